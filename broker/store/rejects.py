"""What was refused: kept for a while, so that it can be read, repaired and replayed."""

from datetime import datetime, timedelta
from typing import Any, NamedTuple

from psycopg.rows import class_row, dict_row
from psycopg.types.json import Jsonb

from broker.store.database import Connection


class Reject(NamedTuple):
    """A refused message. Of a camera's only `fields` {name: type} is kept, and `payload` is None."""

    source: str | None
    topic: str
    reason: str
    detail: str
    received: datetime
    retained: bool
    length: int
    payload: bytes | None
    fields: dict[str, str] | None = None


def add(connection: Connection, rejects: list[Reject], batch: int) -> None:
    """Keep these, in the batch's transaction."""
    connection.cursor().executemany(
        """insert into reject
               (batch_id, source, topic, reason, detail, received, retained, length, payload, fields)
           values (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s)""",
        [(batch, *r[:8], None if r.fields is None else Jsonb(r.fields)) for r in rejects],
    )


def recent(connection: Connection, limit: int = 100) -> list[dict[str, Any]]:
    """The newest rejects without their payloads, newest first."""
    cursor = connection.cursor(row_factory=dict_row)
    return cursor.execute(
        """select id, received, source, topic, reason, detail, length, replayed,
                  payload is not null as replayable
           from reject order by id desc limit %s""",
        [limit],
    ).fetchall()


def get(connection: Connection, number: int) -> Reject | None:
    """One reject with its payload, or None."""
    cursor = connection.cursor(row_factory=class_row(Reject))
    return cursor.execute(
        """select source, topic, reason, detail, received, retained, length, payload, fields
           from reject where id = %s""",
        [number],
    ).fetchone()


def replayable(connection: Connection) -> list[int]:
    """Ids of the rejects that can be replayed and have not been, oldest first."""
    rows = connection.execute("select id from reject where payload is not null and replayed is null order by id")
    return [int(row[0]) for row in rows]


def mark(connection: Connection, numbers: list[int]) -> None:
    """These have been replayed."""
    connection.execute("update reject set replayed = now() where id = any(%s)", [numbers])


def prune(connection: Connection, now: datetime, max_age: timedelta, max_bytes: int) -> int:
    """Drop what is older than `max_age` or beyond the newest `max_bytes` of payload; return how many."""
    return connection.execute(
        """delete from reject where received < %s or id in (
               select id from (
                   select id, sum(coalesce(length(payload), 0) + 200) over (order by id desc) as size from reject
               ) sized where size > %s)""",
        [now - max_age, max_bytes],
    ).rowcount
