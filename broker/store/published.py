"""What the API reads: `published_*` views and functions only, in one snapshot per request.

Observations are walked in slices of time, because no index orders a feed's many datastreams by time:
a slice is small, found by the index of each datastream, and sorted in memory. So the first byte comes
at once and memory stays flat, however long the feed is.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from broker.model import Quality
from broker.store.database import Connection, Database, translated

FIRST_SLICE = timedelta(minutes=1)
LONGEST_SLICE = timedelta(days=1)
SLICE_ROWS = 40_000
"""Rows that a slice of an export aims at."""

HEADER = b"phenomenonTime,thing,observedProperty,result,unit,datastream,phenomenonTimeEnd,quality,status\n"


class Position(NamedTuple):
    """How far a feed has come; it changes whenever what the feed shows does."""

    sequence: int = 0
    published: datetime | None = None


class Datastream(NamedTuple):
    """A member of a feed. `window` is the length of its buckets, None for what a sensor sent."""

    id: int
    thing: str
    property: str
    property_name: str
    definition: str
    qualifier: str
    unit: str
    window: timedelta | None
    statistic: str | None
    minimum: int | None
    current: bool

    def name(self) -> str:
        """Thing, property and qualifier: what the outputs call it."""
        return "/".join(part for part in (self.thing, self.property, self.qualifier) if part)


class Thing(NamedTuple):
    """A thing with a datastream in a feed; `location` is GeoJSON, WGS 84, longitude first."""

    identity: str
    name: str
    description: str
    kind: str
    properties: dict[str, Any]
    location: dict[str, Any] | None


class Row(NamedTuple):
    """One published observation or cell. `status`: published, suppressed or withdrawn."""

    datastream: int
    start: datetime
    end: datetime | None
    result: Any
    quality: int
    status: str


class Interval(NamedTuple):
    """Phenomenon times [from_, to); None is no bound."""

    from_: datetime | None = None
    to: datetime | None = None


@contextmanager
def snapshot(database: Database) -> Iterator[Connection]:
    """Give a read-only transaction that sees one moment of the database, however long it lasts."""
    with database.transaction() as connection:
        connection.execute("set transaction isolation level repeatable read, read only; select")
        yield connection


def positions(connection: Connection) -> dict[str, Position]:
    """{feed: position} of the feeds that the publisher knows; an empty one is as old as it is known."""
    rows = connection.execute(
        """select f.id, coalesce(p.sequence, 0), coalesce(p.published, f.created)
           from published_feed f left join published_position p on p.feed = f.id"""
    )
    return {feed: Position(sequence, published) for feed, sequence, published in rows}


def datastreams(connection: Connection, feed: str) -> list[Datastream]:
    """All that are or were members of a feed, by thing, property and qualifier."""
    rows = connection.execute(
        """select id, thing, property, property_name, definition, qualifier, unit, cell_window, statistic,
                  minimum, current
           from published_datastream where feed = %s order by thing, property, qualifier, unit""",
        [feed],
    )
    return [Datastream(*row) for row in rows]


def things(connection: Connection, feed: str) -> list[Thing]:
    """The things of a feed, by identity."""
    rows = connection.execute(
        """select identity, name, description, kind, properties, location from published_thing
           where id in (select thing_id from published_datastream where feed = %s) order by identity""",
        [feed],
    )
    return [Thing(*row) for row in rows]


def span(connection: Connection, feed: str) -> Interval:
    """First and last phenomenon time of a feed; both None while it is empty."""
    row = connection.execute("select first, last from published_span(%s)", [feed]).fetchone()
    return Interval(*row) if row else Interval()


def latest(connection: Connection, feed: str) -> list[Row]:
    """The newest row of each current member."""
    rows = connection.execute(
        """select datastream_id, phenomenon_start, phenomenon_end, result_number, result, quality, status
           from published_latest where feed = %s""",
        [feed],
    )
    return [_row(row) for row in rows]


def rows(
    connection: Connection,
    feed: str,
    members: Sequence[int],
    interval: Interval,
    limit: int,
    after: tuple[datetime, int] | None = None,
) -> list[Row]:
    """At most `limit` rows of these members, by time and datastream, behind `after` (time, datastream)."""
    found: list[Row] = []
    since, behind = after or (interval.from_, -1)
    if since and interval.from_ and since < interval.from_:
        since = interval.from_
    start, step = _next(connection, feed, members, since), FIRST_SLICE
    behind = behind if start == since else -1
    while start and len(found) < limit and _within(start, interval):
        end = _end(start, step, interval)
        bounds = [feed, list(members), start, end, start, behind]
        part = [_row(row) for row in connection.execute(_PAGE, [*bounds, limit - len(found)])]
        behind = -1
        found += part
        start = end if part else _next(connection, feed, members, end)
        step = _pace(step, len(part), limit)
    return found


def export(connection: Connection, feed: str, members: Sequence[int], interval: Interval) -> Iterator[bytes]:
    """Give all rows of these members as CSV in blocks, header first, ascending by time.

    PostgreSQL renders a slice into one value: half the cost of COPY's message per row.
    Raises StoreUnavailable when the database goes away on the way.
    """
    yield HEADER
    with translated():
        start = _next(connection, feed, members, interval.from_)
        step = FIRST_SLICE
        while start and _within(start, interval):
            end = _end(start, step, interval)
            values = {"feed": feed, "members": list(members), "start": start, "end": end}
            block, count = connection.execute(_EXPORT, values, binary=True).fetchone() or (None, 0)
            if block:
                yield block
            start = end if count else _next(connection, feed, members, end)
            step = _pace(step, count, SLICE_ROWS)


def chart(
    connection: Connection,
    feed: str,
    members: Sequence[int],
    interval: Interval,
    width: timedelta,
    rule: str | None,
) -> list[tuple[datetime, str, float]]:
    """(bin start, thing, mean) of these members in bins of `width`, by the vocabulary's rule; None: totals."""
    return connection.execute(
        f"""select date_bin(%s, o.phenomenon_start, %s) as bin, d.thing, {mean(rule) if rule else "sum(v)"}
            from published_observation o
            join published_datastream d on d.feed = o.feed and d.id = o.datastream_id
            cross join lateral (select o.result_number as v) value
            where o.feed = %s and o.datastream_id = any(%s) and o.phenomenon_start >= %s
              and o.phenomenon_start < %s and o.result_number is not null and o.quality & {IMPLAUSIBLE} = 0
            group by 1, 2 order by 2, 1""",
        [width, interval.from_, feed, list(members), interval.from_, interval.to],
    ).fetchall()


IMPLAUSIBLE = int(Quality.RANGE | Quality.SPIKE | Quality.STUCK | Quality.WITHDRAWN)
"""Values with one of these flags are published, and never averaged."""


def mean(rule: str) -> str:
    """SQL of the mean of `v` by the vocabulary's averaging rule: levels energetic, directions vectorial."""
    match rule:
        case "energetic":
            return "10 * log(avg(power(10::double precision, v / 10)))"
        case "vectorial":
            return "mod((degrees(atan2(avg(sind(v)), avg(cosd(v)))) + 360)::numeric, 360)::double precision"
        case _:
            return "avg(v)"


def _next(connection: Connection, feed: str, members: Sequence[int], since: datetime | None) -> datetime | None:
    row = connection.execute(
        "select published_next(%s, %s, coalesce(%s, timestamptz '-infinity'))", [feed, list(members), since]
    ).fetchone()
    return row[0] if row else None


def _within(start: datetime, interval: Interval) -> bool:
    return interval.to is None or start < interval.to


def _end(start: datetime, step: timedelta, interval: Interval) -> datetime:
    end = start + step
    return end if interval.to is None else min(end, interval.to)


def _pace(step: timedelta, count: int, aim: int) -> timedelta:
    """The next slice's length, after one of `count` rows."""
    return min(step * min(8.0, max(0.125, aim / max(count, 1))), LONGEST_SLICE)


def _row(row: tuple[Any, ...]) -> Row:
    stream, start, end, number, result, quality, status = row
    return Row(stream, start, end, result if number is None else number, quality, status)


def _names(column: str) -> str:
    flags = ", ".join(
        f"case when {column} & {flag.value} <> 0 then '{(flag.name or '').lower()}' end" for flag in Quality
    )
    return f"case when {column} <> 0 then concat_ws(' ', {flags}) end"


def _iso(column: str) -> str:
    # The session's zone is UTC, so the text ends in +00; to_char costs thrice as much.
    return f"replace({column}::text, ' ', 'T') || ':00'"


_PAGE = """
    select datastream_id, phenomenon_start, phenomenon_end, result_number, result, quality, status
    from published_observation
    where feed = %s and datastream_id = any(%s) and phenomenon_start >= %s and phenomenon_start < %s
      and (phenomenon_start > %s or datastream_id > %s)
    order by phenomenon_start, datastream_id limit %s"""
_EXPORT = f"""
    with d as materialized (
        select id, concat(':00,', csv_field(thing), ',', csv_field(property), ',') as head,
               concat(',', csv_field(unit), ',',
                      csv_field(concat_ws('/', thing, property, nullif(qualifier, ''))), ',') as tail
        from published_datastream where feed = %(feed)s)
    select convert_to(string_agg(
               replace(phenomenon_start::text, ' ', 'T') || head
               || coalesce(result_number::text, csv_field(result #>> '{{}}'), '') || tail
               || case when phenomenon_end is null and quality = 0 and status = 'published' then E',,published\\n'
                  else concat({_iso("phenomenon_end")}, ',', {_names("quality")}, ',', status, E'\\n')
                  end, ''), 'UTF8'),
           count(*)
    from (select o.*, d.head, d.tail
          from published_observation o join d on d.id = o.datastream_id
          where o.feed = %(feed)s and o.datastream_id = any(%(members)s)
            and o.phenomenon_start >= %(start)s and o.phenomenon_start < %(end)s
          order by o.phenomenon_start, o.datastream_id) sorted"""
