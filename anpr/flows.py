"""Flows of vehicles, computed from passages when their bucket closes; and the end of passages.

Flows exist only until they have been disclosed. Prior art and terms: Kortrijk's ANPR-Metrics,
https://github.com/brechtvdv/anpr-metrics (`passedByVehiclesCount`).
"""

from datetime import datetime, timedelta
from typing import NamedTuple

from broker.config import AnprTable
from broker.metrics import OLDEST_PASSAGE, OLDEST_TOKEN
from broker.model import Datastream, Flow
from broker.store import flows as store
from broker.store.database import Connection

BUCKET = timedelta(minutes=15)
HARD_CAP = timedelta(hours=24)
"""No configuration keeps a token or a passage longer."""
COUNT_UNIT = "1"


class Ages(NamedTuple):
    """Seconds since the receive time of the oldest passage and the oldest token; 0 where there is none."""

    passage: float
    token: float


def compute(connection: Connection, start: datetime, end: datetime, now: datetime) -> list[Flow]:
    """Vehicles per camera and quarter of an hour in [start, end), by passage time, as known at `now`.

    A camera without any vehicle has a flow of 0. `n` never counts a vehicle twice: where tokens are
    erased already it is smaller than `value`.
    """
    counts = store.count(connection, start, end, BUCKET, now)
    return [
        Flow(
            datastream=Datastream(count.camera, "vehiclePassageCount", "", COUNT_UNIT),
            kind="camera",
            start=count.start,
            end=count.start + BUCKET,
            value=float(count.vehicles + count.erased),
            n=count.vehicles,
        )
        for count in counts
    ]


def ages(connection: Connection, now: datetime) -> Ages:
    """How old the oldest rows of the table really are: what `status` and the alerts go by."""
    oldest = store.oldest(connection)
    return Ages(*((now - moment).total_seconds() if moment else 0.0 for moment in oldest))


def expire(connection: Connection, settings: AnprTable, now: datetime) -> Ages:
    """Erase tokens and delete passages that have had their lifetime, by receive time.

    Returns the ages found before, and shows them as metrics: a round that is late, or fails, is seen.
    """
    found = ages(connection, now)
    OLDEST_PASSAGE.set(found.passage)
    OLDEST_TOKEN.set(found.token)
    store.delete_passages(connection, now - min(settings.passage_lifetime, HARD_CAP))
    store.erase_tokens(connection, now - min(settings.token_lifetime, HARD_CAP))
    return found
