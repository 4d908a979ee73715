"""Passages: short-lived, each stored once by (camera, identity)."""

from datetime import datetime
from typing import NamedTuple

from broker.store.database import Connection


class Row(NamedTuple):
    """A passage whose camera the store has numbered."""

    camera: int
    identity: bytes
    time: datetime
    received: datetime
    read_status: str
    token: bytes | None
    lane: str | None
    direction: str
    vehicle_class: str
    country: str | None
    confidence: float | None
    speed: float | None


COLUMNS = (
    "camera_id, identity, time, received, read_status, token, lane, direction, vehicle_class, country, "
    "confidence, speed, batch_id"
)
MERGE = f"""
    insert into passage ({COLUMNS})
    select row.*, %s from unnest(
        %s::bigint[], %s::bytea[], %s::timestamptz[], %s::timestamptz[], %s::text[], %s::bytea[], %s::text[],
        %s::text[], %s::text[], %s::text[], %s::real[], %s::real[]
    ) as row (camera_id, identity) order by camera_id, identity
    on conflict do nothing returning camera_id, identity"""


def merge(connection: Connection, rows: list[Row], batch: int) -> set[tuple[int, bytes]]:
    """Store the passages that are new; return their (camera, identity). Rows must differ in it."""
    if not rows:
        return set()
    columns = [list(column) for column in zip(*rows, strict=True)]
    return {(int(camera), bytes(identity)) for camera, identity in connection.execute(MERGE, [batch, *columns])}
