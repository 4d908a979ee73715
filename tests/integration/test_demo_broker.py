"""The demo's devices against a real broker: a piece of history, live, and a start that goes on."""

import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from io import StringIO
from pathlib import Path

import pytest
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion
from rich.console import Console
from servers import Mosquitto

from deploy import demo
from deploy.demo import city, publish

PLACES = sum(thing.format == "chirpstack_v4" for thing in city.things())
"""Messages that only tell where a thing is."""


@pytest.fixture
def seen(mosquitto: Mosquitto) -> Iterator[list[str]]:
    """The topics of all that is published."""
    topics: list[str] = []
    ready = threading.Event()
    client = Client(CallbackAPIVersion.VERSION2)
    client.on_connect = lambda client, *_: client.subscribe("#", qos=1)
    client.on_subscribe = lambda *_: ready.set()
    client.on_message = lambda _, __, message: topics.append(message.topic)
    client.connect("127.0.0.1", mosquitto.port)
    client.loop_start()
    assert ready.wait(20)
    yield topics
    client.disconnect()
    client.loop_stop()


def wait_for(seen: list[str], wanted: int) -> None:
    waiting = threading.Event()
    for _ in range(200):
        if len(seen) >= wanted:
            return
        waiting.wait(0.05)
    pytest.fail(f"{len(seen)} of {wanted} messages came", pytrace=False)


def test_history_is_acknowledged_shown_and_noted(mosquitto: Mosquitto, seen: list[str], tmp_path: Path) -> None:
    mark, screen = tmp_path / "mark", StringIO()
    until = demo.history(mosquitto.url, hours=1, mark=mark, console=Console(file=screen))
    assert publish.marked(mark) == until
    assert "100" in screen.getvalue()
    start = publish.quarter(until - timedelta(hours=1))
    wanted = sum(len(publish.due(*chunk)) for chunk in publish.chunks(start, until))
    wait_for(seen, wanted + PLACES)
    assert len(seen) == wanted + PLACES
    assert {topic.partition("/")[0] for topic in seen} == {
        "v3", "application", "senml", "entities", "bicycle", "anpr"
    }  # fmt: skip


def test_a_second_start_goes_on_where_the_first_ended(
    mosquitto: Mosquitto, seen: list[str], tmp_path: Path
) -> None:
    mark = tmp_path / "mark"
    before = datetime.now(UTC) - timedelta(minutes=2)
    publish.note(mark, before)
    until = demo.history(mosquitto.url, mark=mark)
    wanted = sum(len(publish.due(*chunk)) for chunk in publish.chunks(before, until))
    wait_for(seen, wanted + PLACES)
    assert len(seen) == wanted + PLACES


def test_live_publishes_until_it_is_told_to_stop(mosquitto: Mosquitto, seen: list[str], tmp_path: Path) -> None:
    stop, since = threading.Event(), datetime.now(UTC) - timedelta(minutes=1)
    live = threading.Thread(target=demo.live, args=(mosquitto.url, stop), kwargs={"since": since})
    live.start()
    wait_for(seen, 60)
    mosquitto.restart()
    stop.set()
    live.join(20)
    assert not live.is_alive()


def test_a_stopped_history_says_how_far_it_came(mosquitto: Mosquitto, tmp_path: Path) -> None:
    stop, mark = threading.Event(), tmp_path / "mark"
    stop.set()
    until = demo.history(mosquitto.url, mark=mark, stop=stop)
    assert until < datetime.now(UTC) - timedelta(hours=23)
    assert not mark.exists()
