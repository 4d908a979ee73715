"""decode → normalise → store → acknowledge, for whatever the MQTT session hands over.

One bad message never stops or delays the others: what cannot be understood becomes a reject, and a
batch that the store refuses is halved until the one that it refuses stands alone. While the store
is away the same batch is tried again, and nothing is acknowledged.
"""

import time
import traceback
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from threading import Event
from types import ModuleType
from typing import Any, TypeVar

import structlog

from anpr.keys import KeyStore
from anpr.plate import Reader
from broker.config import Config
from broker.errors import BadMessage, StoreRefused, StoreUnavailable
from broker.metrics import (
    BATCH_MESSAGES,
    BATCH_SECONDS,
    LATENCY,
    REPLIES,
    RETAINED_CLEARED,
    STORE_RETRIES,
    Outcomes,
    messages,
)
from broker.model import Ignored, Message, Passage, Skipped, Source
from broker.readiness import Readiness
from broker.remembered import remembered
from broker.store.rejects import Reject
from broker.topics import matches
from ingest.clocks import Clocks
from ingest.envelope import opened
from ingest.mqtt import Delivery, Subscriber
from ingest.normalise import Normaliser
from ingest.payload import names_plate
from ingest.register import Register
from ingest.writer import Taken, Writer

log = structlog.get_logger()
T = TypeVar("T")

BEAT = 1.0
ROTATE_EVERY = 30.0
REPLY_EVERY = 60.0
"""Seconds between two replies on one topic."""
MAX_REPLIED = 10_000
MAX_REMEMBERED = 100_000
"""Entries that decoders keep for one source: their keys come from outside."""
RETRY = (0.1, 0.2, 0.5, 1, 2, 5)


class Taker:
    """Makes of each message what is to be stored of it. It keeps what decoders remember, by source."""

    def __init__(
        self,
        config: Config,
        formats: Mapping[str, ModuleType],
        normaliser: Normaliser,
        reader: Reader | None,
        state: dict[str, dict[str, Any]],
        register: Register | None = None,
    ) -> None:
        self._register = register or Register()
        self._sources = config.sources()
        self._decoders = {name: module.decode for name, module in formats.items()}
        self._redactions = {name: module.redact for name, module in formats.items() if hasattr(module, "redact")}
        self._normaliser = normaliser
        self._reader = reader
        self._state = state
        self._clocks = Clocks()
        self._defects: set[tuple[str, str, str]] = set()
        self.source = remembered(self._source)

    def _source(self, topic: str) -> Source | None:
        return next((source for source in self._sources if matches(source.topic, topic)), None)

    def take(self, message: Message, name: str | None = None) -> Taken:
        """What this message becomes; a reject where it cannot be understood.

        `name` is that of the source of a reject: its topic may have lost the level that the filter asks for.
        """
        source = self.source(message.topic) or next((one for one in self._sources if one.name == name), None)
        if source is None:
            return Taken(message, None, ignored="no source")
        redact = self._redactions.get(source.format or "")
        if redact:  # from here on nobody sees the secret that stands in the topic
            message = message._replace(topic=redact(message.topic))
        try:
            return self._become(message, source)
        except BadMessage as error:
            return self._reject(message, source, error.reason, str(error))
        except StoreUnavailable:
            raise  # the key store is away: nothing is wrong with the message
        except Exception as error:  # noqa: BLE001  a decoder's defect must not stop the messages behind it
            self._report(source, error)
            return self._reject(message, source, "decoder", f"the decoder failed: {type(error).__name__}")

    def _become(self, delivered: Message, source: Source) -> Taken:
        """What it carries; of the push door's that is in an envelope, which a reject keeps."""
        message = opened(delivered)
        if len(message.payload) > source.max_bytes:
            size = len(message.payload)
            raise BadMessage(f"{size} bytes, the source takes {source.max_bytes}", reason="size")
        source = self._clocks.at(source, message.received)
        taken = self._passages(message, source) if source.camera else self._observations(message, source)
        return taken if message is delivered else taken._replace(message=delivered)

    def _report(self, source: Source, error: Exception) -> None:
        """Name a decoder's defect once, by its place; its text could hold what the message held."""
        place = traceback.extract_tb(error.__traceback__)[-1]
        defect = (source.name, type(error).__name__, f"{Path(place.filename).name}:{place.lineno}")
        if defect not in self._defects:
            self._defects.add(defect)
            log.error("a decoder failed", source=defect[0], error=defect[1], at=defect[2])

    def _observations(self, message: Message, source: Source) -> Taken:
        state = self._state.setdefault(source.name, {})
        decoded = self._decoders[source.format or ""](message, source, state)
        found = self._normaliser.normalise(decoded, message, source)
        if source.allow is not None:
            found = self._register.observed(found, source)
        inventories = [one for one in found.inventories if one.key in state or len(state) < MAX_REMEMBERED]
        for key, value in inventories:
            state[key] = value
        ignored = found.ignored
        if ignored is None and not found.observations:
            ignored = "place" if found.places else "inventory" if found.inventories else "nothing taken"
        return Taken(
            message,
            source,
            observations=found.observations if ignored is None else (),
            places=found.places,
            signals=found.signals,
            inventories=inventories,
            skipped=found.skipped,
            ignored=ignored,
            replies=found.replies,
        )

    def _passages(self, message: Message, source: Source) -> Taken:
        if self._reader is None:
            raise BadMessage("there are no keys for cameras", reason="keys")
        found = self._reader.read(message, source, self._state.setdefault(source.name, {}))
        found = self._register.passed(found, source)
        vehicles = [one for one in found if isinstance(one, Passage)]
        skipped = [one for one in found if isinstance(one, Skipped)]
        ignored = next((one.reason for one in found if isinstance(one, Ignored)), None)
        if not vehicles and ignored is None:
            ignored = "nothing taken"
        return Taken(message, source, passages=vehicles, skipped=skipped, ignored=None if vehicles else ignored)

    def _reject(self, delivered: Message, source: Source, reason: str, detail: str) -> Taken:
        message = delivered if reason == "envelope" else opened(delivered)
        fields = self._fields(message, source)
        secret = (
            source.camera is not None or fields is not None or reason == "personal" or names_plate(message.payload)
        )
        if secret and source.format and reason != "personal":
            detail = "not shown: a number plate may stand in it"  # a format's errors may quote a key
        reject = Reject(
            source=source.name,
            topic=message.topic.replace("\0", "\\0"),
            reason=reason,
            detail=detail.replace("\0", "\\0").encode("utf-8", "replace").decode()[:500],
            received=message.received,
            retained=message.retained,
            length=len(message.payload),
            payload=None if secret else delivered.payload,
            fields=fields,
        )
        return Taken(delivered, source, reject=reject)

    def _fields(self, message: Message, source: Source) -> dict[str, str] | None:
        """Names and types of the fields of what a camera may have sent; None where no camera has."""
        if self._reader is None:
            return None
        try:
            camera = source.camera or self._reader.accepted_by(message)
            return (
                self._reader.fields(message, camera, source.options if source.camera else {}) if camera else None
            )
        except Exception as error:  # noqa: BLE001  nor must it stop them here; what nobody knows may hold a plate
            self._report(source, error)
            return {}

    def refuse(self, taken: Taken, why: str) -> Taken:
        """The store does not take what this message became: make it a reject."""
        if taken.source is None or taken.reject is not None:
            return Taken(taken.message, None, ignored="not storable")
        return self._reject(taken.message, taken.source, "store", why)


class Pipeline:
    """Moves deliveries from the session to the store until told to stop."""

    def __init__(
        self,
        config: Config,
        taker: Taker,
        writer: Writer,
        readiness: Readiness,
        stop: Event,
        keys: KeyStore | None = None,
    ) -> None:
        self._stop = stop
        self._keys = keys
        self._rotated = 0.0
        self._limits = config.ingest
        self._taker = taker
        self._writer = writer
        self._readiness = readiness
        self._beaten = 0.0
        self._again = 0
        self._replied: dict[str, float] = {}

    def run(self, subscriber: Subscriber) -> None:
        """Work until `stop`; then drain what has been received, commit and acknowledge it.

        Raises StoreUnavailable where the store stays away while draining.
        """
        while not self._stop.is_set():
            self._round(subscriber)
        subscriber.pause()
        log.info("ingest: draining", in_flight=messages.in_flight)
        while not subscriber.idle:
            self._round(subscriber)
        self._flush(subscriber)

    def _round(self, subscriber: Subscriber) -> None:
        delay = 0 if self._stop.is_set() else self._limits.batch_delay
        self._rotate()
        deliveries = subscriber.take(self._limits.batch_messages, delay)
        self._again += subscriber.take_again()
        if not deliveries:
            self._rest(subscriber)
            return
        started = time.monotonic()
        taken = [self._take(subscriber, delivery) for delivery in deliveries]
        first = deliveries[0].message.received
        for outcomes in self._persist(taken):
            messages.settle(outcomes)
        self._reply(subscriber, taken)
        subscriber.ack(deliveries)
        BATCH_MESSAGES.observe(len(deliveries))
        BATCH_SECONDS.observe(time.monotonic() - started)
        LATENCY.observe(max(0.0, (datetime.now(UTC) - first).total_seconds()))
        self._beaten = time.monotonic()

    def _take(self, subscriber: Subscriber, delivery: Delivery) -> Taken:
        message = delivery.message
        if not message.payload and subscriber.cleared[message.topic]:
            subscriber.cleared[message.topic] -= 1
            return Taken(message, None, ignored="retained message cleared")
        try:
            taken = self._taker.take(message)
        except StoreUnavailable:
            taken = self._patiently(partial(self._taker.take, message))
        if message.retained and taken.source and taken.source.camera and message.payload:
            subscriber.clear_retained(message.topic)
            RETAINED_CLEARED.inc()
        return taken

    def _reply(self, subscriber: Subscriber, taken: list[Taken]) -> None:
        """Say to devices what decoders want said: a flood of messages brings no flood of replies."""
        now = time.monotonic()
        for reply in (reply for one in taken for reply in one.replies):
            if now - self._replied.get(reply.topic, -REPLY_EVERY) >= REPLY_EVERY:
                if len(self._replied) >= MAX_REPLIED:
                    self._replied.clear()
                self._replied[reply.topic] = now
                subscriber.publish(reply.topic, reply.payload)
                REPLIES.inc()

    def _persist(self, taken: list[Taken], *, fresh: bool = False) -> list[Outcomes]:
        """Commit these, in halves where the store refuses them; wait while it is away.

        Not `fresh`: what the writer remembers may be gone, such as a week that retention has dropped.
        """
        try:
            return [self._write(taken)]
        except StoreRefused as error:
            self._writer.forget()
            if not fresh:
                return self._persist(taken, fresh=True)
            if len(taken) > 1:
                middle = len(taken) // 2
                return self._persist(taken[:middle], fresh=True) + self._persist(taken[middle:], fresh=True)
            return [self._write([self._taker.refuse(taken[0], str(error))])]

    def _write(self, taken: list[Taken]) -> Outcomes:
        flying = max(0, messages.in_flight - len(taken) - self._again)
        work = partial(self._writer.write, taken, again=self._again, drained=_drained(taken), flying=flying)
        outcomes = self._patiently(work)
        self._again = 0
        self._readiness.set("database", None)
        return outcomes

    def _patiently(self, work: Callable[[], T]) -> T:
        """Do this, again and again while the store is away; not for ever once we are to stop."""
        attempt = 0
        while True:
            try:
                return work()
            except StoreUnavailable as error:
                if self._stop.is_set() and attempt >= len(RETRY):
                    raise  # nothing of it is acknowledged: the broker keeps it
                self._wait(attempt, str(error))
                attempt += 1

    def _rotate(self) -> None:
        """Let no key outlive its day, also where no camera sends anything at night."""
        if self._keys and time.monotonic() - self._rotated > ROTATE_EVERY:
            self._rotated = time.monotonic()
            self._patiently(partial(self._keys.rotate, datetime.now(UTC)))

    def _wait(self, attempt: int, why: str) -> None:
        if attempt == 0:
            log.warning("ingest: waiting for the store", why=why)
        STORE_RETRIES.inc()
        self._readiness.set("database", f"waiting: {why}")
        self._writer.forget()
        time.sleep(RETRY[min(attempt, len(RETRY) - 1)])

    def _rest(self, subscriber: Subscriber) -> None:
        if time.monotonic() - self._beaten < BEAT:
            return
        self._beaten = time.monotonic()
        try:
            if self._again:
                self._flush(subscriber)
            else:
                self._writer.beat(datetime.now(UTC), messages.in_flight)
            self._readiness.set("database", None)
        except StoreUnavailable as error:
            self._readiness.set("database", f"waiting: {error}")

    def _flush(self, subscriber: Subscriber) -> None:
        """Write the counts that no batch has taken along yet."""
        self._again += subscriber.take_again()
        if self._again:
            messages.settle(self._write([]))


def _drained(taken: list[Taken]) -> datetime:
    """Everything before the last message of this batch is committed with it."""
    return taken[-1].message.received if taken else datetime.now(UTC)
