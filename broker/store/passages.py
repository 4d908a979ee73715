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
INCOMING = "create temp table if not exists incoming_passage (like passage) on commit delete rows"
MERGE = f"""
    insert into passage ({COLUMNS}) select {COLUMNS} from incoming_passage order by camera_id, identity
    on conflict do nothing returning camera_id, identity"""


def merge(connection: Connection, rows: list[Row], batch: int) -> set[tuple[int, bytes]]:
    """Store the passages that are new; return their (camera, identity). Rows must differ in it."""
    connection.execute(INCOMING)
    with connection.cursor().copy(f"copy incoming_passage ({COLUMNS}) from stdin") as target:
        for row in rows:
            target.write_row((*row, batch))
    return {(int(camera), bytes(identity)) for camera, identity in connection.execute(MERGE)}
