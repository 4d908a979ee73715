"""A format with state between a real broker and a real database: it asks, remembers, and survives a restart."""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Thread

import paho.mqtt.client as paho
import psycopg
import pytest

from broker import config as configuration
from broker.metrics import Outcomes, messages
from broker.readiness import Readiness
from ingest import run as ingest
from ingest.session import address
from ingest.sparkplug import read

SAMPLES = Path(__file__).parents[1] / "samples" / "sparkplug_b"
CONFIG = """
[city]
id = "leiestad"
name = "Leiestad"

[[source]]
name = "pumps"
topic = "spBv1.0/#"
format = "sparkplug_b"
"""
NODE, DEVICE = "spBv1.0/Leiestad/{}/pompstation-3", "spBv1.0/Leiestad/{}/pompstation-3/put-1"


@pytest.fixture(autouse=True)
def counters(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ingest, "expose_messages", lambda: None)
    monkeypatch.setattr(messages, "_received", 0)
    monkeypatch.setattr(messages, "_done", Outcomes())


@contextmanager
def running(url: str, database_url: str) -> Iterator[None]:
    stop, readiness = Event(), Readiness(mqtt="not started")
    options = {"mqtt_url": url, "database_url": database_url, "keys": None, "stop": stop, "readiness": readiness}
    thread = Thread(target=ingest.run, args=[configuration.read(CONFIG, "city.toml")], kwargs=options)
    thread.start()
    try:
        until(lambda: not readiness.missing())
        yield
    finally:
        stop.set()
        thread.join(30)
        assert not thread.is_alive()


def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.02)


@contextmanager
def edge(url: str) -> Iterator[tuple[paho.Client, list[bytes]]]:
    """An edge node that hears its commands."""
    heard: list[bytes] = []
    client = paho.Client(paho.CallbackAPIVersion.VERSION2)
    subscribed = Event()
    client.on_message = lambda _client, _data, message: heard.append(message.payload)
    client.on_subscribe = lambda *_: subscribed.set()
    client.connect(address(url).host, address(url).port)
    client.subscribe(NODE.format("NCMD"), 1)
    client.loop_start()
    assert subscribed.wait(10)
    yield client, heard
    client.disconnect()
    client.loop_stop()


def send(client: paho.Client, topic: str, name: str) -> None:
    client.publish(topic, (SAMPLES / f"{name}.bin").read_bytes(), qos=1).wait_for_publish(10)


def test_births_are_asked_for_and_survive_a_restart(mosquitto, database) -> None:  # type: ignore[no-untyped-def]
    def query(sql: str) -> list[tuple[object, ...]]:
        with psycopg.connect(database.owner, autocommit=True) as connection:
            return connection.execute(sql).fetchall()

    level = "select result_number from observation where result_number = 1.9"
    with edge(mosquitto.url) as (client, heard):
        with running(mosquitto.url, database.ingest):
            send(client, DEVICE.format("DDATA"), "device-data")
            send(client, DEVICE.format("DDATA"), "device-data")
            until(lambda: heard)
            assert read(heard[0]).metrics[0].name == "Node Control/Rebirth"
            assert query(level) == []
            send(client, NODE.format("NBIRTH"), "node-birth")
            send(client, DEVICE.format("DBIRTH"), "device-birth")
            until(lambda: query("select 1 from decoder_state where key = 'birth Leiestad/pompstation-3/put-1'"))
        with running(mosquitto.url, database.ingest):
            send(client, DEVICE.format("DDATA"), "device-data")
            until(lambda: query(level) == [(1.9,)])
        assert len(heard) <= 2, "a rebirth is asked for once a minute at most, by each run"
    remembered = dict(query("select key, value from decoder_state where source = 'pumps'"))
    assert remembered["seq Leiestad/pompstation-3"] == 0
    assert json.dumps(remembered["birth Leiestad/pompstation-3/put-1"]).count("Level") == 2
