"""Observations: COPY straight into the table, and around what is there already when that fails.

`COPY` cannot skip duplicates, and they come only after a redelivery. So a batch is first copied as
it is; on a unique violation the caller rolls back and merges: COPY into a temporary table, then
`INSERT … ON CONFLICT DO NOTHING`.
"""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from struct import Struct
from typing import Any, NamedTuple

import orjson

from broker.store.database import Connection

EPOCH = datetime(2000, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)

COLUMNS = "datastream_id, phenomenon_start, version, phenomenon_end, result_number, result, quality, batch_id"

HEADER = b"PGCOPY\n\xff\r\n\0" + bytes(8)
TRAILER = b"\xff\xff"
# One row of the binary COPY format: the number of columns, then length and value of each; -1 is null.
NUMBER = Struct("!h iq iq ih i id i ih iq")
NUMBER_OF_INTERVAL = Struct("!h iq iq ih iq id i ih iq")
OTHER_START = Struct("!h iq iq ih")
OTHER_END = Struct("!ih iq")
LENGTH = Struct("!i")
INT8 = Struct("!iq")
FLOAT8 = Struct("!id")


class Row(NamedTuple):
    """An observation whose datastream the store has numbered; times in µs since 2000 (PostgreSQL's own)."""

    datastream: int
    start: int
    end: int | None
    number: float | None
    result: Any
    quality: int
    version: int = 0


class Merged(NamedTuple):
    """What a merge found: (datastream, start) of the rows that were new, and of those with another value."""

    new: set[tuple[int, int]]
    conflicts: set[tuple[int, int]]


def micros(moment: datetime) -> int:
    """Microseconds since 2000-01-01, as PostgreSQL counts them."""
    since = moment - EPOCH
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds


def ensure_partitions(connection: Connection, moments: Iterable[datetime]) -> None:
    """Make the partitions that rows at these times need; on TimescaleDB there is nothing to do."""
    for moment in moments:
        connection.execute("select ensure_partition(%s)", [moment])


def copy(connection: Connection, rows: list[Row], batch: int) -> None:
    """Store rows that should all be new. Raises psycopg's UniqueViolation where one is not."""
    if not rows:
        return
    with connection.cursor().copy(COPY) as target:
        target.write(HEADER + b"".join([_pack(row, batch) for row in rows]) + TRAILER)


def merge(connection: Connection, rows: list[Row], batch: int) -> Merged:
    """Store the rows that are new, and say which; the stored value stays where another comes."""
    if not rows:
        return Merged(set(), set())
    columns = [list(column) for column in zip(*rows, strict=True)]
    columns[3] = [None if number is None else float(number) for number in columns[3]]
    columns[4] = [None if result is None else orjson.dumps(result).decode() for result in columns[4]]
    new = connection.execute(MERGE, [batch, *columns]).fetchall()
    conflicts = connection.execute(CONFLICTS, columns).fetchall()
    return Merged(
        {(stream, micros(start)) for stream, start in new}, {(d, micros(start)) for d, start in conflicts}
    )


COPY = f"copy observation ({COLUMNS}) from stdin (format binary)"
EPOCH_SQL = "'2000-01-01 00:00:00+00'::timestamptz"
INCOMING = f"""
    select datastream_id, {EPOCH_SQL} + since * interval '1 microsecond' as phenomenon_start,
           {EPOCH_SQL} + until * interval '1 microsecond' as phenomenon_end,
           result_number, result::jsonb, quality, version
    from unnest(%s::bigint[], %s::bigint[], %s::bigint[], %s::float8[], %s::text[], %s::smallint[], %s::smallint[])
        as row (datastream_id, since, until, result_number, result, quality, version)"""
MERGE = f"""
    insert into observation ({COLUMNS})
    select datastream_id, phenomenon_start, version, phenomenon_end, result_number, result, quality, %s
    from ({INCOMING}) incoming order by datastream_id, phenomenon_start
    on conflict do nothing returning datastream_id, phenomenon_start"""
CONFLICTS = f"""
    select i.datastream_id, i.phenomenon_start
    from ({INCOMING}) i join observation o using (datastream_id, phenomenon_start, version)
    where (o.result_number, o.result) is distinct from (i.result_number, i.result)"""


def _pack(row: Row, batch: int) -> bytes:
    stream, start, end, number, result, quality, version = row
    if number is not None:
        if end is None:
            return NUMBER.pack(8, 8, stream, 8, start, 2, version, -1, 8, number, -1, 2, quality, 8, batch)
        return NUMBER_OF_INTERVAL.pack(
            8, 8, stream, 8, start, 2, version, 8, end, 8, number, -1, 2, quality, 8, batch
        )
    json = b"\x01" + orjson.dumps(result)
    return b"".join(
        (
            OTHER_START.pack(8, 8, stream, 8, start, 2, version),
            LENGTH.pack(-1) if end is None else INT8.pack(8, end),
            LENGTH.pack(-1),
            LENGTH.pack(len(json)),
            json,
            OTHER_END.pack(2, quality, 8, batch),
        )
    )
