"""Every Prometheus metric of the project. A process shows those of its role; `up` shows them all.

The message counters add up in every single scrape:
`received = stored + duplicate + ignored{reason} + rejected{reason} + in flight`.
"""

from collections import Counter as Tally
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from threading import Lock

from prometheus_client import REGISTRY, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector


@dataclass(slots=True)
class Outcomes:
    """What became of messages, by outcome; also the counts that one batch writes with itself."""

    stored: int = 0
    duplicate: int = 0
    ignored: Tally[str] = field(default_factory=Tally)
    rejected: Tally[str] = field(default_factory=Tally)
    observations: int = 0
    passages: int = 0
    cells: int = 0
    conflicts: int = 0
    skipped: Tally[str] = field(default_factory=Tally)

    @property
    def messages(self) -> int:
        """All messages that have an outcome."""
        return self.stored + self.duplicate + self.ignored.total() + self.rejected.total()

    def add(self, other: "Outcomes") -> None:
        """Count the other's messages here too."""
        for name in ("stored", "duplicate", "observations", "passages", "cells", "conflicts"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        for name in ("ignored", "rejected", "skipped"):
            getattr(self, name).update(getattr(other, name))


class Messages(Collector):
    """The message counters of one ingest process, read as one consistent snapshot."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._received = 0
        self._done = Outcomes()

    def receive(self, count: int = 1) -> None:
        """`count` deliveries came in and are in flight."""
        with self._lock:
            self._received += count

    def settle(self, outcomes: Outcomes) -> None:
        """These messages have been committed."""
        with self._lock:
            self._done.add(outcomes)

    @property
    def in_flight(self) -> int:
        """Received and not committed yet."""
        with self._lock:
            return self._received - self._done.messages

    def describe(self) -> Iterable[Metric]:
        """Nothing before the first scrape, so that registering reads nothing."""
        return []

    def collect(self) -> Iterable[Metric]:
        """All families of one moment."""
        with self._lock:
            return list(_families(self._received, self._done))


def _families(received: int, done: Outcomes) -> Iterable[Metric]:
    yield _counter("messages_received", "Deliveries taken from the MQTT broker.", received)
    yield _counter("messages_stored", "Messages of which something new was stored.", done.stored)
    yield _counter("messages_duplicate", "Messages of which all was stored before.", done.duplicate)
    yield _reasons("messages_ignored", "Messages that are known and carry nothing to store.", done.ignored)
    yield _reasons("messages_rejected", "Messages that were refused, and kept as rejects.", done.rejected)
    yield GaugeMetricFamily(
        "citybroker_messages_in_flight", "Received, and not committed yet.", received - done.messages
    )
    yield _counter("observations_stored", "Observations that were new.", done.observations)
    yield _counter("observations_conflict", "Observations with another value than the stored one.", done.conflicts)
    yield _reasons("values_skipped", "Values not taken from messages that were.", done.skipped)
    yield _counter("passages_stored", "Vehicle passages that were new.", done.passages)
    yield _counter("cells_received", "Cells that an edge disclosed, new here.", done.cells)


def _counter(name: str, text: str, value: float) -> CounterMetricFamily:
    return CounterMetricFamily(f"citybroker_{name}", text, value)


def _reasons(name: str, text: str, tally: Mapping[str, int]) -> CounterMetricFamily:
    family = CounterMetricFamily(f"citybroker_{name}", text, labels=["reason"])
    for reason, count in sorted(tally.items()):
        family.add_metric([reason], count)
    return family


messages = Messages()

# Ingest
BYTES_IN_FLIGHT = Gauge("citybroker_bytes_in_flight", "Payload bytes received and not committed yet.")
MQTT_CONNECTED = Gauge("citybroker_mqtt_connected", "1 while the subscriptions are acknowledged.")
MQTT_CONNECTS = Counter("citybroker_mqtt_connects", "Connections made to the MQTT broker.")
RETAINED_CLEARED = Counter("citybroker_retained_camera_cleared", "Retained camera messages that were cleared.")
REPLIES = Counter("citybroker_replies", "Messages sent to devices: rebirth requests of Sparkplug B.")
STORE_RETRIES = Counter("citybroker_store_retries", "Batches tried again because the store was away.")
BATCH_MESSAGES = Histogram(
    "citybroker_batch_messages", "Messages a batch.", buckets=(1, 10, 100, 500, 1000, 2000, 5000, 10000)
)
BATCH_SECONDS = Histogram("citybroker_batch_seconds", "From taking a batch to its commit.")
LATENCY = Histogram("citybroker_receive_to_commit_seconds", "Of the oldest message of each batch.")

# The push door
DOOR_CONNECTED = Gauge("citybroker_door_connected", "1 while pushed messages can be published.")
DOOR_REQUESTS = Counter("citybroker_door_requests", "Requests of the push door.", ["source", "status"])
DOOR_SECONDS = Histogram("citybroker_door_seconds", "From a request's head to the acknowledgement of its message.")

# Publish
SEQUENCE = Gauge("citybroker_publication_sequence", "The last step of publication.")
UNSEQUENCED = Gauge("citybroker_batches_unsequenced", "Committed batches that no reader sees yet.")
CELLS = Counter("citybroker_cells", "Cells decided.", ["status"])
OBSERVATIONS_LATE = Counter("citybroker_observations_late", "Observations stored after their bucket had closed.")
PASSAGES_LATE = Counter("citybroker_passages_late", "Vehicle passages stored after their bucket had closed.")
PARTS_DROPPED = Counter(
    "citybroker_observation_parts_dropped", "Weeks of observations that retention has dropped."
)
PUBLISH_SECONDS = Histogram("citybroker_publish_seconds", "One round of the publisher.")
OLDEST_PASSAGE = Gauge("citybroker_passage_oldest_seconds", "Age of the oldest passage that exists.")
OLDEST_TOKEN = Gauge("citybroker_token_oldest_seconds", "Age of the oldest token that exists.")

# Serve
REQUESTS = Histogram("citybroker_http_request_seconds", "Time to the first byte.", ["route", "status"])


def render() -> bytes:
    """All metrics of this process in Prometheus' text format."""
    return generate_latest(REGISTRY)


def expose_messages() -> None:
    """Show the message counters: ingest does, the other roles have none."""
    REGISTRY.register(messages)
