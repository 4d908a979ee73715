"""The end of observations: whole weeks of them, partitions or chunks."""

from datetime import datetime
from typing import NamedTuple

from broker.store.database import Connection


class Dropped(NamedTuple):
    """How many parts of the table are gone, and how many stay for now because somebody reads them."""

    parts: int
    busy: int


def drop(connection: Connection, before: datetime) -> Dropped:
    """Drop the parts that hold nothing from `before` on."""
    row = connection.execute("select dropped, busy from drop_observations(%s)", [before]).fetchone()
    return Dropped(*row) if row else Dropped(0, 0)
