"""The ingest role: one process that subscribes, stores and acknowledges until it is told to stop."""

import gc
import time
from collections.abc import Iterable
from datetime import UTC, datetime
from functools import partial
from threading import Event
from typing import Any

import structlog

from anpr.keys import KeyStore
from anpr.plate import Reader
from broker import modules
from broker.config import Config
from broker.errors import BadConfig, StoreUnavailable
from broker.metrics import Outcomes, expose_messages
from broker.model import Message
from broker.readiness import Readiness
from broker.store import batches, rejects, schema, things
from broker.store.database import Database
from broker.vocabulary import load
from ingest.mqtt import Subscriber, session_id
from ingest.normalise import Normaliser
from ingest.pipeline import Pipeline, Taker
from ingest.register import Register
from ingest.writer import Writer

log = structlog.get_logger()


def process_name(config: Config, number: int) -> str:
    """The name of this process, with which its MQTT client ids begin: city, role and process number."""
    return f"citybroker-{config.city.id}-ingest-{number}"


def run(
    config: Config,
    *,
    mqtt_url: str,
    database_url: str,
    keys: KeyStore | None,
    stop: Event,
    readiness: Readiness,
    number: int = 0,
) -> None:
    """Ingest until `stop`, then drain, commit, acknowledge and return.

    A database or broker that is away is waited for; `readiness` says so. Raises BadConfig and
    NotMigrated, which no waiting helps.
    """
    expose_messages()
    _collect_less_garbage()
    name = process_name(config, number)
    secret = keys.broker_key() if keys else ""
    mine = sorted({session_id(name, source.topic, secret) for source in config.source})
    filters = [source.topic for source in config.source]
    subscriber = Subscriber(mqtt_url, name, filters, config.ingest, readiness, secret)
    database = Database(database_url, size=2, role="citybroker_ingest")
    try:
        state, obsolete = _remembered(database, name, mine, readiness, stop)
        writer = Writer(database, load(), name, keep=config.rejects)
        taker = make_taker(config, keys, state, Register(partial(_registered, database)))
        pipeline = Pipeline(config, taker, writer, readiness, stop, keys)
        subscriber.start(obsolete)
        pipeline.run(subscriber)
        _leave(database, writer, name, mine if subscriber.subscribed else None)
    except StoreUnavailable as error:
        log.warning(
            "ingest: stopped without the database; the MQTT broker keeps what is not stored", why=str(error)
        )
    finally:
        subscriber.stop()
        database.close()


def _collect_less_garbage() -> None:
    """Half of the time of a batch went into looking for cycles among tuples that die with it anyway."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(100_000, 20, 20)


def _registered(database: Database) -> frozenset[str]:
    with database.transaction() as connection:
        return things.known(connection)


def make_taker(
    config: Config, keys: KeyStore | None, state: dict[str, dict[str, Any]], register: Register | None = None
) -> Taker:
    """The decoders of this configuration. Raises BadConfig where a camera source lacks its keys.

    Without a register every thing counts as registered.
    """
    cameras = [source.name for source in config.source if source.camera]
    if cameras and keys is None:
        raise BadConfig(f"source {cameras[0]} is a camera: a key store is needed (--keys)")
    reader = Reader(modules.load("anpr.cameras"), keys) if keys else None
    return Taker(config, modules.load("ingest.formats"), Normaliser(load()), reader, state, register)


def replay(
    config: Config, *, database_url: str, keys: KeyStore | None, numbers: Iterable[int] | None = None
) -> Outcomes:
    """Take rejects (all that can be, or these) through the pipeline again, with their first receive time.

    What is refused again is a new reject. The message counters of deliveries stay as they are.
    """
    database = Database(database_url, size=2, role="citybroker_ingest")
    total = Outcomes()
    try:
        with database.transaction() as connection:
            state = batches.remembered(connection)
            chosen = list(numbers) if numbers is not None else rejects.replayable(connection)
        writer = Writer(database, load(), "replay", kind="replay", keep=config.rejects)
        taker = make_taker(config, keys, state, Register(partial(_registered, database)))
        for number in chosen:
            total.add(_replay(database, taker, writer, number))
    finally:
        database.close()
    return total


def _replay(database: Database, taker: Taker, writer: Writer, number: int) -> Outcomes:
    with database.transaction() as connection:
        reject = rejects.get(connection, number)
    if reject is None:
        raise BadConfig(f"there is no reject {number}")
    if reject.payload is None:
        raise BadConfig(f"reject {number} came from a camera: its payload was not kept, it cannot be replayed")
    message = Message(reject.topic, reject.payload, reject.received, reject.retained)
    outcomes = writer.write([taker.take(message, reject.source)], drained=datetime.now(UTC))
    with database.transaction() as connection:
        rejects.mark(connection, [number])
    return outcomes


def _leave(database: Database, writer: Writer, name: str, sessions: list[str] | None) -> None:
    writer.leave()
    if sessions is not None:  # those of filters that are gone have been deleted
        with database.transaction() as connection:
            batches.remember(connection, "", _sessions_key(name), sessions)


def _sessions_key(name: str) -> str:
    return f"sessions of {name}"


def _remembered(
    database: Database, name: str, mine: list[str], readiness: Readiness, stop: Event
) -> tuple[dict[str, dict[str, Any]], list[str]]:
    """What decoders remember, and the MQTT sessions of filters that are gone; waits for the store."""
    said = False
    while True:
        try:
            schema.ensure(database.url, "ingest")
            with database.transaction() as connection:
                state = batches.remembered(connection)
                earlier: list[str] = state.pop("", {}).get(_sessions_key(name), [])
                batches.remember(connection, "", _sessions_key(name), sorted({*earlier, *mine}))
        except StoreUnavailable as error:
            if stop.is_set():
                raise
            if not said:
                log.warning("ingest: waiting for the database", why=str(error))
                said = True
            readiness.set("database", f"waiting: {error}")
            time.sleep(0.5)
        else:
            readiness.set("database", None)
            return state, sorted({*earlier} - {*mine})
