"""Passages → counts, and the end of passages: set operations, so that a day takes seconds.

Only passages of sequenced batches are seen. A token counts once per camera and bucket; unread vehicles
and those without a plate count one by one, as nothing tells them apart.
"""

from datetime import datetime, timedelta
from typing import NamedTuple

from broker.store.database import Connection

# A camera has a row for every bucket since it exists: a missing one would tell 0 from "fewer than k".
COUNT = """
    with seen as (
        select camera_id, date_bin(%(width)s, p.time, timestamptz 'epoch') as bucket, token, read_status,
               count(*) as passages
        from passage p join batch b on b.id = p.batch_id
        where p.time >= %(start)s and p.time < %(end)s and p.received <= %(now)s and b.sequence is not null
        group by camera_id, bucket, token, read_status
    ), counted as (
        select camera_id, bucket, count(token) as tokens,
               coalesce(sum(passages) filter (where read_status <> 'read'), 0) as unread,
               coalesce(sum(passages) filter (where read_status = 'read' and token is null), 0) as erased
        from seen group by camera_id, bucket
    ), camera as (
        select id, identity, least(created, first) as since
        from thing
        left join (select camera_id, min(time) as first from passage group by camera_id) p on p.camera_id = id
        where kind = 'camera'
    )
    select camera.identity, slot, coalesce(tokens + unread, 0)::int, coalesce(erased, 0)::int
    from camera
    cross join generate_series(%(start)s, %(end)s - %(width)s, %(width)s) as slot
    left join counted on counted.camera_id = camera.id and counted.bucket = slot
    where camera.since < slot + %(width)s
    order by slot, camera.identity"""


class Count(NamedTuple):
    """One camera's vehicles in one bucket [start, start + width)."""

    camera: str
    start: datetime
    vehicles: int
    """Distinct tokens plus passages that were unread or without a plate."""
    erased: int
    """Passages that were read, and whose token is gone: how many vehicles they were is not known."""


class Oldest(NamedTuple):
    """Receive times of the oldest passage and the oldest token that exist; None where there is none."""

    passage: datetime | None
    token: datetime | None


def count(connection: Connection, start: datetime, end: datetime, width: timedelta, now: datetime) -> list[Count]:
    """Counts of every camera and bucket in [start, end), which lie on multiples of `width` since 1970 (UTC).

    What was received after `now` is not there yet.
    """
    values = {"start": start, "end": end, "width": width, "now": now}
    return [Count(*row) for row in connection.execute(COUNT, values)]


def erase_tokens(connection: Connection, before: datetime) -> int:
    """Erase the tokens of passages received before this moment; return how many."""
    sql = "update passage set token = null where token is not null and received < %s"
    return connection.execute(sql, [before]).rowcount


def delete_passages(connection: Connection, before: datetime) -> int:
    """Delete passages received before this moment; return how many."""
    return connection.execute("delete from passage where received < %s", [before]).rowcount


def oldest(connection: Connection) -> Oldest:
    """What is oldest in the table, whatever any job has done."""
    row = connection.execute("select min(received), min(received) filter (where token is not null) from passage")
    return Oldest(*(row.fetchone() or (None, None)))
