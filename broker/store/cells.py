"""Buckets of time: what falls into them, which are closed, and the ledger of what was disclosed."""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from broker.model import Cell
from broker.store import things
from broker.store.database import Connection
from broker.store.published import IMPLAUSIBLE, mean
from broker.store.things import Description

COUNT_UNIT = "1"
SENSOR = "citybroker"


class Process(NamedTuple):
    """Who brings data in. Everything that it received before `drained` is committed."""

    name: str
    role: str
    heartbeat: datetime
    drained: datetime | None
    """None: nothing yet."""


class Series(NamedTuple):
    """A datastream of cells that one of the sensor's is aggregated to."""

    parent: int
    qualifier: str
    window: timedelta
    statistic: str
    minimum: int | None


class Aggregate(NamedTuple):
    """What `n` plausible numbers of one datastream make in one bucket."""

    datastream: int
    start: datetime
    n: int
    values: dict[str, float | None]
    """By statistic."""


def processes(connection: Connection) -> list[Process]:
    """All that have said that they bring data in, and have not said that they stopped."""
    rows = connection.execute(
        """select name, role, heartbeat, case when isfinite(drained) then drained end
           from process where role in ('ingest', 'history') order by name"""
    )
    return [Process(*row) for row in rows]


def forget(connection: Connection, process: str) -> None:
    """Wait for this process no longer."""
    connection.execute("delete from process where name = %s", [process])


def frontiers(connection: Connection) -> dict[timedelta, datetime]:
    """{window: all buckets are closed up to here}."""
    return dict(connection.execute("select cell_window, closed_until from frontier").fetchall())


def close(connection: Connection, window: timedelta, until: datetime) -> None:
    """All buckets of this window are closed up to `until`."""
    connection.execute(
        """insert into frontier values (%s, %s)
           on conflict (cell_window) do update set closed_until = excluded.closed_until""",
        [window, until],
    )


def first(connection: Connection, parents: Sequence[int], since: datetime | None) -> datetime | None:
    """The earliest phenomenon time of these datastreams at or after `since`."""
    row = connection.execute(
        """select min(o.phenomenon_start) from unnest(%s::bigint[]) as p (id) cross join lateral (
               select phenomenon_start from observation
               where datastream_id = p.id and phenomenon_start >= coalesce(%s, timestamptz '-infinity')
               order by phenomenon_start limit 1) o""",
        [list(parents), since],
    ).fetchone()
    return row[0] if row else None


def first_passage(connection: Connection) -> datetime | None:
    """The time of the earliest passage that still exists."""
    row = connection.execute("select min(time) from passage").fetchone()
    return row[0] if row else None


def aggregate(
    connection: Connection, parents: Sequence[int], span: tuple[datetime, datetime], bucket: str, rule: str
) -> list[Aggregate]:
    """Aggregate what was published of `parents` in [span) by bucket; implausible values and texts do not count.

    `bucket` is the SQL of a bucket's start (see `sub_day` and `day`), `rule` the vocabulary's averaging.
    """
    names, columns = zip(*_statistics(rule).items(), strict=True)
    rows = connection.execute(
        f"""select datastream_id, {bucket} as bucket, count(*), {", ".join(columns)}
            from (select o.*, result_number as v from observation o
                  where datastream_id = any(%(parents)s)
                    and phenomenon_start >= %(start)s and phenomenon_start < %(end)s
                    and result_number is not null and quality & {IMPLAUSIBLE} = 0
                    and batch_id not in (select id from batch where sequence is null)
                    and not exists (select from observation n
                                    where n.datastream_id = o.datastream_id
                                      and n.phenomenon_start = o.phenomenon_start
                                      and n.version > o.version and n.version > 0)) o
            group by 1, 2 order by 2, 1""",
        {"parents": list(parents), "start": span[0], "end": span[1]},
    )
    return [
        Aggregate(stream, start, n, dict(zip(names, values, strict=True))) for stream, start, n, *values in rows
    ]


def sub_day(window: timedelta) -> str:
    """SQL of the start of a bucket shorter than a day: aligned to UTC."""
    return f"date_bin(interval '{window.total_seconds():.0f} seconds', phenomenon_start, timestamptz 'epoch')"


def day(zone: str) -> str:
    """SQL of the start of a day of the city."""
    quoted = zone.replace("'", "''").replace("%", "%%")
    return f"date_trunc('day', phenomenon_start, '{quoted}')"


def _statistics(rule: str) -> dict[str, str]:
    return {
        "mean": mean(rule),
        "min": "min(v)",
        "max": "max(v)",
        "sum": "sum(v)",
        "count": "count(v)::double precision",
        "median": "percentile_cont(0.5) within group (order by v)",
        "p85": "percentile_cont(0.85) within group (order by v)",
        "last": "(array_agg(v order by phenomenon_start desc))[1]",
    }


def ensure(connection: Connection, wanted: Iterable[Series]) -> None:
    """Make the datastreams of cells that are not there yet."""
    connection.cursor().executemany(
        """insert into datastream (thing_id, observed_property_id, sensor_id, feature_of_interest_id, qualifier,
                                   unit, source, parent_id, cell_window, statistic, minimum)
           select thing_id, observed_property_id, sensor_id, feature_of_interest_id, %(qualifier)s,
                  case when %(statistic)s = 'count' then %(unit)s else unit end, source, id, %(window)s,
                  %(statistic)s, %(minimum)s
           from datastream where id = %(parent)s
           on conflict do nothing""",
        [{**series._asdict(), "unit": COUNT_UNIT} for series in wanted],
    )


def series(connection: Connection, window: timedelta) -> dict[tuple[int, str], list[tuple[int, int | None]]]:
    """{(parent, statistic): [(datastream of cells, minimum)]} of a window, as far as a feed holds them."""
    found: dict[tuple[int, str], list[tuple[int, int | None]]] = {}
    rows = connection.execute(
        """select d.parent_id, d.statistic, d.id, d.minimum from datastream d
           where d.cell_window = %s and d.parent_id is not null
             and exists (select from feed_member m where m.datastream_id = d.id and m.until_sequence is null)""",
        [window],
    )
    for parent, statistic, stream, minimum in rows:
        found.setdefault((parent, statistic), []).append((stream, minimum))
    return found


def property_keys(connection: Connection, parents: Sequence[int]) -> dict[int, str]:
    """{datastream: key of its observed property}."""
    rows = connection.execute(
        """select d.id, p.key from datastream d join observed_property p on p.id = d.observed_property_id
           where d.id = any(%s)""",
        [list(parents)],
    )
    return {int(stream): str(key) for stream, key in rows}


def lattice(
    connection: Connection, streams: Iterable[tuple[Any, str]], window: timedelta, statistic: str, minimum: int
) -> dict[Any, int]:
    """Ids of the datastreams of flows' cells, made where they are missing. `streams`: (Datastream, thing kind).

    The datastreams' qualifiers are already those of cells.
    """
    pairs = list(dict.fromkeys(streams))
    keys = things.properties(
        connection, {stream.property: Description(stream.property, "", "") for stream, _ in pairs}
    )
    connection.execute(
        "insert into sensor (name, description) values (%s, 'computed from passages') on conflict do nothing",
        [SENSOR],
    )
    found: dict[Any, int] = {}
    for stream, kind in pairs:
        owner = things.number(connection, [stream.thing], kind, SENSOR)[stream.thing]
        values = [owner, keys[stream.property], stream.qualifier, stream.unit]
        connection.execute(
            """insert into datastream (thing_id, observed_property_id, sensor_id, qualifier, unit, source,
                                       cell_window, statistic, minimum)
               select %s, %s, s.id, %s, %s, t.source, %s, %s, %s from sensor s, thing t
               where s.name = %s and t.id = %s
               on conflict (thing_id, observed_property_id, qualifier, unit)
               do update set minimum = excluded.minimum where datastream.minimum <> excluded.minimum""",
            [*values, window, statistic, minimum, SENSOR, owner],
        )
        row = connection.execute(
            """select id from datastream
               where thing_id = %s and observed_property_id = %s and qualifier = %s and unit = %s""",
            values,
        ).fetchone()
        found[stream] = int(row[0]) if row else 0
    return found


def listed(connection: Connection, streams: Iterable[Any]) -> set[Any]:
    """Which of these datastreams of flows' cells (of the model) have been listed before."""
    wanted = {(one.thing, one.property, one.qualifier, one.unit): one for one in streams}
    rows = connection.execute(
        """select t.identity, p.key, d.qualifier, d.unit
           from datastream d join thing t on t.id = d.thing_id
           join observed_property p on p.id = d.observed_property_id
           where d.parent_id is null and d.cell_window is not null and t.identity = any(%s)""",
        [sorted({thing for thing, *_ in wanted})],
    )
    return {wanted[row] for row in rows if row in wanted}


def decide(connection: Connection, decided: Iterable[tuple[int, Cell]], sequence: int) -> None:
    """Write cells into the ledger. Raises StoreRefused where one was decided before."""
    with connection.cursor().copy(
        "copy cell (datastream_id, phenomenon_start, phenomenon_end, result_number, status, sequence) from stdin"
    ) as target:
        for stream, cell in decided:
            target.write_row((stream, cell.start, cell.end, cell.value, cell.status, sequence))


def count_late(connection: Connection, batches: Sequence[int], span: tuple[datetime, datetime]) -> int:
    """Count, per batch and in all, what came after its bucket had closed: it is stored, and in no cell."""
    rows = connection.execute(
        """with late as (
               select o.batch_id, count(*) as n from observation o
               where o.batch_id = any(%(batches)s) and o.phenomenon_start >= %(first)s
                 and o.phenomenon_start <= %(last)s
                 and o.datastream_id in (select parent_id from datastream where parent_id is not null)
                 and exists (select from datastream c join frontier f using (cell_window)
                             where c.parent_id = o.datastream_id and o.phenomenon_start < f.closed_until)
               group by 1
           )
           update batch set late = late.n from late where batch.id = late.batch_id returning late.n""",
        {"batches": list(batches), "first": span[0], "last": span[1]},
    )
    return sum(int(n) for (n,) in rows)


def count_late_passages(
    connection: Connection, batches: Sequence[int], received: tuple[datetime, datetime], until: datetime
) -> int:
    """Count, per batch and in all, the passages of before `until` among those received in [first, last]."""
    rows = connection.execute(
        """with late as (
               select batch_id, count(*) as n from passage
               where batch_id = any(%s) and received between %s and %s and time < %s
               group by 1
           )
           update batch set late = batch.late + late.n from late where batch.id = late.batch_id
           returning late.n""",
        [list(batches), *received, until],
    )
    return sum(int(n) for (n,) in rows)


class Owed(NamedTuple):
    """A series of cells that joined late: its buckets in [since, until) are closed, and not decided yet."""

    datastream: int
    parent: int
    statistic: str
    minimum: int | None
    window: timedelta
    since: datetime
    until: datetime


def owe(connection: Connection, joined: Iterable[int]) -> None:
    """Note the past of these series: from their last cell, or the first that was published, to what is closed.

    Only of what sensors sent: the past of flows is gone, and what is personal is never decided afterwards.
    """
    connection.execute(
        """insert into fill (datastream_id, since, until)
           select d.id, past.since, f.closed_until
           from datastream d join datastream p on p.id = d.parent_id and not p.personal
           join frontier f on f.cell_window = d.cell_window
           cross join lateral (select coalesce(
               (select max(phenomenon_end) from cell where datastream_id = d.id),
               (select phenomenon_start from observation
                where datastream_id = p.id and batch_id not in (select id from batch where sequence is null)
                order by phenomenon_start limit 1)) as since) past
           where d.id = any(%s) and past.since < f.closed_until
           on conflict do nothing""",
        [sorted(joined)],
    )


def owed(connection: Connection) -> list[Owed]:
    """The series whose past is not decided yet."""
    rows = connection.execute(
        """select d.id, d.parent_id, d.statistic, d.minimum, d.cell_window, fill.since, fill.until
           from fill join datastream d on d.id = fill.datastream_id order by d.id"""
    )
    return [Owed(*row) for row in rows]


def settle(connection: Connection, streams: Sequence[int], until: datetime) -> None:
    """The past of these series is decided up to `until`."""
    connection.execute(
        "update fill set since = %s where datastream_id = any(%s) and since < %s", [until, list(streams), until]
    )
    connection.execute("delete from fill where since >= until")
