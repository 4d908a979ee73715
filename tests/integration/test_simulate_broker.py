"""The load generator against real brokers: what it says is acknowledged is what arrives."""

import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import orjson
import pytest
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion
from servers import Mosquitto

from deploy import embedded, simulate
from deploy.simulate import Load
from deploy.wire import Line, Outgoing

START = datetime(2026, 3, 2, 7, tzinfo=UTC)


class Listener:
    """A subscriber that keeps everything."""

    def __init__(self, url: str, wanted: int) -> None:
        host, port = url.rpartition("@")[2].removeprefix("mqtt://").rsplit(":", 1)
        user, _, password = (
            url.partition("@")[0].removeprefix("mqtt://").partition(":") if "@" in url else ("",) * 3
        )
        self.got: list[tuple[str, bytes, bool]] = []
        self.full, ready = threading.Event(), threading.Event()
        self.wanted = wanted
        self.client = Client(CallbackAPIVersion.VERSION2, client_id="listener", clean_session=False)
        if user:
            self.client.username_pw_set(user, password)
        self.client.on_connect = lambda client, *_: client.subscribe("#", qos=1)
        self.client.on_subscribe = lambda *_: ready.set()
        self.client.on_message = self._keep
        self.client.connect(host, int(port))
        self.client.loop_start()
        assert ready.wait(20)

    def _keep(self, client, data, message) -> None:
        self.got.append((message.topic, message.payload, message.dup))
        if len({payload for _, payload, _ in self.got}) >= self.wanted:
            self.full.set()

    def close(self) -> None:
        self.client.disconnect()
        self.client.loop_stop()


@pytest.fixture
def nats(tmp_path: Path) -> Iterator[embedded.Nats]:
    with embedded.nats(tmp_path) as broker:
        yield broker


def numbers(load: Load, listener: Listener) -> list[int]:
    times = [orjson.loads(payload)["uplink_message"]["received_at"] for _, payload, _ in listener.got]
    return sorted({load.number(datetime.fromisoformat(time)) for time in times})


def test_every_numbered_message_arrives_at_nats(nats: embedded.Nats) -> None:
    listener = Listener(nats.url, 1000)
    outcome = simulate.run(f"mqtt://{nats.host}:{nats.port}", count=1000, things=7, connections=3)
    assert listener.full.wait(20)
    listener.close()
    assert (outcome.published, outcome.acknowledged, outcome.unacknowledged) == (1000, 1000, ())
    assert numbers(outcome.load, listener) == list(range(1000))


def test_every_numbered_message_arrives_at_mosquitto(mosquitto: Mosquitto) -> None:
    listener = Listener(mosquitto.url, 1000)
    outcome = simulate.run(mosquitto.url, count=1000, things=10, connections=2, start=START)
    assert outcome.load.start == START
    assert listener.full.wait(20)
    listener.close()
    assert outcome.acknowledged == 1000
    assert numbers(outcome.load, listener) == list(range(1000))


def test_what_a_restarted_broker_had_not_acknowledged_comes_again(mosquitto: Mosquitto) -> None:
    listener = Listener(mosquitto.url, 4000)
    restart = threading.Timer(0.7, mosquitto.restart)
    restart.start()
    outcome = simulate.run(mosquitto.url, count=4000, things=10, connections=2, rate=2000)
    restart.join()
    assert listener.full.wait(30)
    listener.close()
    assert outcome.acknowledged == 4000
    assert outcome.reconnects >= 1
    assert numbers(outcome.load, listener) == list(range(4000))


def test_a_stopped_load_knows_what_is_acknowledged(mosquitto: Mosquitto) -> None:
    stop = threading.Event()
    threading.Timer(0.5, stop.set).start()
    outcome = simulate.run(mosquitto.url, count=1_000_000, rate=2000, stop=stop)
    assert 0 < outcome.acknowledged < 1_000_000
    assert outcome.published == outcome.acknowledged + len(outcome.unacknowledged)


def test_a_login_is_sent(nats: embedded.Nats) -> None:
    line = Line(nats.url, "with-login")
    assert line.deliver([Outgoing(0, b"sensors/a", b"1")])
    line.close()
    wrong = Line(nats.url.replace("ingest:", "ingest:wrong"), "wrong-login")
    with pytest.raises(ConnectionRefusedError, match="CONNACK"):
        wrong.deliver([Outgoing(0, b"sensors/a", b"1")], patience=0)


def test_nobody_there(free_port) -> None:
    with pytest.raises(OSError, match="refused"):
        simulate.run(f"mqtt://127.0.0.1:{free_port()}", count=1, patience=0)
