"""The ingest role between a real broker and a real database: what is acknowledged is stored, once."""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from threading import Event, Thread

import paho.mqtt.client as paho
import psycopg
import pytest

from anpr.keys import KeyStore
from broker import config as configuration
from broker.config import RejectsTable
from broker.errors import BadConfig
from broker.metrics import Outcomes, messages
from broker.model import Datastream, Message, Observation
from broker.readiness import Readiness
from broker.store.database import Database
from broker.vocabulary import load
from ingest import run as ingest
from ingest.pipeline import Pipeline
from ingest.session import address
from ingest.writer import Taken, Writer

CONFIG = """
[city]
id = "leiestad"
name = "Leiestad"

[[source]]
name = "own"
topic = "sensors/#"
format = "json"
max_bytes = 1000

[[source]]
name = "cameras"
topic = "cameras/#"
camera = "milesight"
"""


@pytest.fixture(autouse=True)
def counters(monkeypatch):
    """Each test starts its counters at nothing; the registry of this process keeps the first."""
    monkeypatch.setattr(ingest, "expose_messages", lambda: None)
    monkeypatch.setattr(messages, "_received", 0)
    monkeypatch.setattr(messages, "_done", Outcomes())


@pytest.fixture
def config():
    return configuration.read(CONFIG, "city.toml")


@pytest.fixture
def keys(tmp_path, config):
    return KeyStore(tmp_path / "keys", config.city.id, config.zone)


@contextmanager
def running(config, url: str, database_url: str, keys: KeyStore) -> Iterator[Readiness]:
    stop, readiness = Event(), Readiness(mqtt="not started")
    options = {"mqtt_url": url, "database_url": database_url, "keys": keys, "stop": stop, "readiness": readiness}
    thread = Thread(target=ingest.run, args=[config], kwargs=options)
    thread.start()
    try:
        until(lambda: not readiness.missing())
        yield readiness
    finally:
        stop.set()
        thread.join(30)
        assert not thread.is_alive()


def until(condition: Callable[[], object], seconds: float = 20) -> object:
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.02)
    return found


def publish(url: str, *sent: tuple[str, bytes], retain: bool = False) -> None:
    where = address(url)
    client = paho.Client(paho.CallbackAPIVersion.VERSION2)
    if where.username:
        client.username_pw_set(where.username, where.password)
    client.connect(where.host, where.port)
    client.loop_start()
    for topic, payload in sent:
        client.publish(topic, payload, qos=1, retain=retain).wait_for_publish(10)
    client.disconnect()
    client.loop_stop()


def query(database, sql: str) -> list[tuple]:
    with psycopg.connect(database.owner, autocommit=True) as connection:
        return connection.execute(sql).fetchall()


def reading(**values) -> bytes:
    return json.dumps(values).encode()


def test_stores_rejects_ignores_and_counts(mosquitto, database, config, keys):
    now = datetime.now(UTC).isoformat()
    later = (datetime.now(UTC) + timedelta(days=1)).isoformat()
    with running(config, mosquitto.url, database.ingest, keys):
        publish(
            mosquitto.url,
            ("sensors/a", reading(temperature=21.5, time=now)),
            ("sensors/a", reading(temperature=21.5, time=now)),
            ("sensors/a", reading(temperature=22.5, time=now)),
            ("sensors/a", b'{"temperature": '),
            ("sensors/a", b"x" * 2000),
            ("sensors/a", b"\xff\xfe\xfd"),
            ("sensors/a", reading(temperature=1, time=later)),
            ("sensors/a", reading(temperature=900, time=now, relativeHumidity=50)),
        )
        until(lambda: query(database, "select coalesce(sum(received), 0) from batch") == [(8,)])
    assert query(database, "select reason, source, payload is not null from reject order by id") == [
        ("syntax", "own", True),
        ("size", "own", True),
        ("encoding", "own", True),
        ("time", "own", True),
    ]
    total = "select sum(stored), sum(duplicate), sum(conflicts), sum(observations) from batch"
    assert query(database, total) == [(2, 2, 2, 2)]
    assert query(database, "select count(*) from process") == [(0,)], "a clean stop owes nothing"


def test_a_reject_is_replayed_with_its_first_receive_time(mosquitto, database, config, keys):
    with running(config, mosquitto.url, database.ingest, keys):
        publish(mosquitto.url, ("sensors/a", reading(temperature=21.5, note="x" * 1500)))
        until(lambda: query(database, "select reason from reject") == [("size",)])
    ((number, received),) = query(database, "select id, received from reject")
    larger = configuration.read(CONFIG.replace("max_bytes = 1000", "max_bytes = 5000"), "city.toml")
    outcomes = ingest.replay(larger, database_url=database.ingest, keys=keys)
    assert (outcomes.stored, outcomes.observations) == (1, 1)
    stored = query(database, "select phenomenon_start from observation where result_number = 21.5")
    assert stored == [(received,)]
    again = ingest.replay(larger, database_url=database.ingest, keys=keys, numbers=[number])
    assert (again.stored, again.duplicate) == (0, 1)
    assert ingest.replay(larger, database_url=database.ingest, keys=keys).messages == 0
    assert query(database, "select sum(received) from batch where kind = 'delivery'") == [(1,)]
    with pytest.raises(BadConfig, match="no reject 99"):
        ingest.replay(larger, database_url=database.ingest, keys=keys, numbers=[99])


def test_a_camera_reject_keeps_no_value_and_cannot_be_replayed(mosquitto, database, config, keys):
    with running(config, mosquitto.url, database.ingest, keys):
        publish(mosquitto.url, ("cameras/1", b'{"plate": "1ABC000", "time": "never"}'))
        until(lambda: query(database, "select count(*) from reject") == [(1,)])
    ((number, payload, fields),) = query(database, "select id, payload, fields from reject")
    assert payload is None
    assert "1ABC000" not in json.dumps(fields)
    with pytest.raises(BadConfig, match="cannot be replayed"):
        ingest.replay(config, database_url=database.ingest, keys=keys, numbers=[number])


def test_retained_messages(mosquitto, database, config, keys):
    plate = reading(device="c1", time="2026-03-02 08:00:00", plate="1ABC000", confidence="0.9")
    publish(mosquitto.url, ("sensors/state", b'{"temperature": 5}'), ("cameras/1", plate), retain=True)
    for _ in range(2):
        with running(config, mosquitto.url, database.ingest, keys):
            time.sleep(0.5)
    assert query(database, "select count(*) from observation") == [(0,)]
    ignored = query(
        database, "select key, sum(value::int) from batch, jsonb_each_text(ignored) group by 1 order by 1"
    )
    assert ("retained", 3) in ignored or ("retained", 2) in ignored
    assert dict(ignored)["retained message cleared"] == 1, "the camera's was cleared at its first coming"


def test_waits_for_a_database_that_is_away(mosquitto, config, keys, tmp_path, capfd):
    stop, readiness = Event(), Readiness(database="not connected yet")
    url = f"postgresql://nobody@/none?host={tmp_path}"
    options = {"mqtt_url": mosquitto.url, "database_url": url, "keys": keys, "stop": stop, "readiness": readiness}
    thread = Thread(target=ingest.run, args=[config], kwargs=options)
    thread.start()
    until(lambda: "waiting" in readiness.missing().get("database", ""))
    stop.set()
    thread.join(20)
    assert not thread.is_alive()
    assert "waiting for the database" in "".join(capfd.readouterr())


def test_a_camera_without_a_key_store_is_refused(mosquitto, database, config):
    options = {"mqtt_url": mosquitto.url, "database_url": database.ingest, "keys": None, "stop": Event()}
    with pytest.raises(BadConfig, match="source cameras is a camera"):
        ingest.run(config, readiness=Readiness(), **options)


def test_one_message_that_the_store_refuses_stops_no_other(database, config, keys):
    store = Database(database.ingest, role="citybroker_ingest")
    writer = Writer(store, load(), "test", keep=RejectsTable())
    pipeline = Pipeline(config, ingest.make_taker(config, keys, {}), writer, Readiness(), Event(), keys)
    source = config.sources()[0]
    now = datetime.now(UTC)

    def taken(n: int, result: str) -> Taken:
        message = Message(f"sensors/{n}", b"{}", now + timedelta(seconds=n))
        stream = Datastream("a", "state", "", "")
        return Taken(message, source, [Observation(stream, message.received, None, None, result, 0)])

    outcomes = Outcomes()
    for some in pipeline._persist([taken(n, "bad\0" if n == 37 else "good") for n in range(100)]):
        outcomes.add(some)
    store.close()
    assert (outcomes.stored, dict(outcomes.rejected)) == (99, {"store": 1})
    assert query(database, "select topic, reason from reject") == [("sensors/37", "store")]
    assert query(database, "select count(*) from observation") == [(99,)]
