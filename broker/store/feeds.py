"""What the publisher writes about feeds: their members, and the order in which all is published.

Sequence numbers have no gaps: one publisher works at a time, under an advisory lock, and only what is
committed gets a number. So a reader that has seen number n never finds something new below it.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from psycopg.types.json import Jsonb

from broker.store.database import Connection


class Candidate(NamedTuple):
    """A datastream that may belong to feeds, with all that a selection asks for."""

    id: int
    thing: str
    kind: str
    area: str
    property: str
    source: str
    qualifier: str
    personal: bool
    parent: int | None
    window: timedelta | None
    """Length of the buckets; None for what a sensor sent."""
    statistic: str | None
    minimum: int | None


class Membership(NamedTuple):
    """A feed holds a datastream."""

    feed: str
    datastream: int


class Sequenced(NamedTuple):
    """A batch that has just become readable. `datastreams` None: it may have any."""

    id: int
    sequence: int
    datastreams: list[int] | None
    first: datetime | None
    last: datetime | None
    """First and last phenomenon time of its observations."""
    passages: int
    received_first: datetime | None
    received_last: datetime | None


def lock(connection: Connection) -> bool:
    """Become the publisher until the end of the transaction; False while another one is."""
    row = connection.execute("select pg_try_advisory_xact_lock(hashtext('citybroker publish'))").fetchone()
    return bool(row and row[0])


def waiting(connection: Connection) -> int:
    """How many committed batches have no sequence yet."""
    row = connection.execute("select count(*) from batch where sequence is null").fetchone()
    return int(row[0]) if row else 0


def register(connection: Connection, definitions: Mapping[str, Mapping[str, Any]]) -> None:
    """Keep the definitions of the configured feeds; nothing is written where none has changed."""
    for feed, definition in definitions.items():
        connection.execute(
            """insert into feed (id, definition) values (%s, %s)
               on conflict (id) do update set definition = excluded.definition
               where feed.definition <> excluded.definition""",
            [feed, Jsonb(definition)],
        )


def candidates(connection: Connection, since: int) -> list[Candidate]:
    """All datastreams with an id above `since`."""
    rows = connection.execute(
        """select d.id, t.identity, t.kind, coalesce(t.properties ->> 'area', ''), p.key,
                  coalesce(d.source, t.source, ''), d.qualifier, d.personal, d.parent_id, d.cell_window,
                  d.statistic, d.minimum
           from datastream d join thing t on t.id = d.thing_id
           join observed_property p on p.id = d.observed_property_id
           where d.id > %s order by d.id""",
        [since],
    )
    return [Candidate(*row) for row in rows]


def held(connection: Connection) -> set[Membership]:
    """What the feeds hold now."""
    rows = connection.execute("select feed, datastream_id from feed_member where until_sequence is null")
    return {Membership(*row) for row in rows}


def next_step(connection: Connection, now: datetime) -> int:
    """Take one sequence number; its publication time is never before an earlier one's."""
    row = connection.execute(
        """insert into publication
           select coalesce(max(sequence), 0) + 1, greatest(%s, max(published)) from publication
           returning sequence""",
        [now],
    ).fetchone()
    return int(row[0]) if row else 0


def join(connection: Connection, members: Iterable[Membership], sequence: int) -> None:
    """These belong to the feed from `sequence` on; what it held of them before, it held before."""
    connection.cursor().executemany(
        """insert into feed_member (feed, datastream_id, from_sequence, after_sequence)
           select %(feed)s, %(datastream)s, %(sequence)s, coalesce(max(until_sequence), 0)
           from feed_member where feed = %(feed)s and datastream_id = %(datastream)s""",
        [{**member._asdict(), "sequence": sequence} for member in members],
    )


def leave(connection: Connection, members: Iterable[Membership], sequence: int) -> None:
    """These belong to the feed no longer; what was published of them stays."""
    connection.cursor().executemany(
        """update feed_member set until_sequence = %s
           where feed = %s and datastream_id = %s and until_sequence is null""",
        [(sequence, *member) for member in members],
    )


def sequence(connection: Connection, now: datetime, limit: int) -> list[Sequenced]:
    """Make committed batches readable, in the order of their ids, each under a number of its own."""
    rows = connection.execute(
        """with ready as (
               select id, row_number() over (order by id) as place
               from (select id from batch where sequence is null order by id limit %(limit)s) waiting
           ), last as (
               select coalesce(max(sequence), 0) as sequence, max(published) as published from publication
           ), numbered as (
               insert into publication
               select last.sequence + ready.place, greatest(%(now)s, last.published) from ready, last
               returning sequence
           )
           update batch b set sequence = last.sequence + ready.place from ready, last
           where b.id = ready.id
           returning b.id, b.sequence, b.datastreams, b.phenomenon_first, b.phenomenon_last, b.passages,
                     b.received_first, b.received_last""",
        {"now": now, "limit": limit},
    )
    return sorted((Sequenced(*row) for row in rows), key=lambda batch: batch.sequence)


def advance(connection: Connection, feeds: Iterable[str], sequence: int) -> None:
    """What these feeds show has changed with `sequence`."""
    connection.execute(
        """insert into feed_position
           select f.id, p.sequence, p.published from publication p, unnest(%s::text[]) as f (id)
           where p.sequence = %s
           on conflict (feed) do update
               set sequence = excluded.sequence, published = excluded.published
               where feed_position.sequence < excluded.sequence""",
        [sorted(feeds), sequence],
    )


def holders(connection: Connection, datastreams: Iterable[int] | None) -> list[str]:
    """The feeds that hold one of these datastreams; None: any that a sensor fills."""
    rows = connection.execute(
        """select distinct m.feed from feed_member m join datastream d on d.id = m.datastream_id
           where m.until_sequence is null and (d.id = any(%s) or %s and d.cell_window is null)""",
        [list(datastreams or []), datastreams is None],
    )
    return [str(feed) for (feed,) in rows]
