"""The embedded MQTT broker: who may do what, when devices are let in, and what lies on its disk."""

import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from queue import Queue
from urllib.parse import urlsplit

import pytest
from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from broker.errors import BadConfig
from deploy import children, embedded
from deploy import nats as broker

PATIENCE = 30


class Session:
    """One paho client and what it saw."""

    def __init__(self, server: embedded.Nats, name: str, *, ingest: bool) -> None:
        self.answers: Queue[str] = Queue()
        self.granted: Queue[list[str]] = Queue()
        self.messages: Queue[MQTTMessage] = Queue()
        self.lost: Queue[str] = Queue()
        self.client = Client(
            CallbackAPIVersion.VERSION2,
            client_id=name,
            clean_session=not ingest,
            protocol=MQTTProtocolVersion.MQTTv311,
            manual_ack=True,
        )
        if ingest:
            parts = urlsplit(server.url)
            self.client.username_pw_set(str(parts.username), parts.password)
        self.client.on_connect = lambda _c, _u, _f, code, _p: self.answers.put(str(code))
        self.client.on_subscribe = lambda _c, _u, _m, codes, _p: self.granted.put([str(code) for code in codes])
        self.client.on_message = lambda _c, _u, message: self.messages.put(message)
        self.client.on_disconnect = lambda _c, _u, _f, code, _p: self.lost.put(str(code))
        self.client.connect(server.host, server.port)
        self.client.loop_start()
        self.answer = self.answers.get(timeout=PATIENCE)

    def subscribe(self, *topics: str) -> list[str]:
        self.client.subscribe([(topic, 1) for topic in topics])
        return self.granted.get(timeout=PATIENCE)

    def publish(self, topic: str, payload: str | bytes, qos: int = 1) -> None:
        self.client.publish(topic, payload, qos).wait_for_publish(PATIENCE)

    def receive(self) -> MQTTMessage:
        return self.messages.get(timeout=PATIENCE)

    def ack(self, message: MQTTMessage) -> None:
        self.client.ack(message.mid, message.qos)


Connect = Callable[..., Session]


@pytest.fixture
def connect() -> Iterator[Connect]:
    """`connect(server, name)`: a session that is closed at the end of the test."""
    sessions: list[Session] = []

    def open_session(server: embedded.Nats, name: str, *, ingest: bool = False) -> Session:
        sessions.append(Session(server, name, ingest=ingest))
        return sessions[-1]

    yield open_session
    for session in sessions:
        session.client.disconnect()
        session.client.loop_stop()


@contextmanager
def left_over(directory: Path) -> Iterator[int]:
    """A broker that nobody stopped."""
    directory.mkdir(exist_ok=True)
    server = broker.prepare(directory / "nats", host="127.0.0.1", port=-1, key="key")
    process = children.start(broker.program(server, admitted=True, output=directory / "nats.log"))
    embedded._wait(process, lambda: broker.mqtt_port(server, process.pid) is not None)
    yield process.pid
    process.wait()


def test_a_device_publishes_at_every_qos_and_hears_nothing(tmp_path: Path, connect: Connect) -> None:
    with embedded.nats(tmp_path) as server:
        ingest = connect(server, "ingest", ingest=True)
        assert ingest.subscribe("v3/#") == ["Granted QoS 1"]
        device = connect(server, "device")
        for qos in (0, 1, 2):
            device.publish(f"v3/{qos}", str(qos), qos)
        assert sorted(ingest.receive().payload for _ in range(3)) == [b"0", b"1", b"2"]
        assert device.subscribe("v3/#", "#") == ["Unspecified error", "Unspecified error"]


def test_a_device_cannot_speak_to_the_server_itself(tmp_path: Path, connect: Connect) -> None:
    with embedded.nats(tmp_path) as server:
        ingest = connect(server, "ingest", ingest=True)
        device = connect(server, "device")
        ingest.subscribe("v3/#")
        for topic in ("$JS/API/STREAM/DELETE/$MQTT_msgs", "$MQTT/msgs/v3/forged", "$SYS/REQ/SERVER/PING"):
            device.publish(topic, "x")
        device.publish("v3/real", "x")
        assert ingest.receive().topic == "v3/real"


def test_a_wrong_password_is_refused(tmp_path: Path, connect: Connect) -> None:
    with embedded.nats(tmp_path) as server:
        url = server.url.replace("mqtt://ingest:", "mqtt://ingest:x")
        forged = embedded.Nats(url, server.host, server.port, server.server, server.process)
        assert connect(forged, "ingest", ingest=True).answer == "Not authorized"


def test_devices_wait_until_they_are_admitted_and_can_be_shut_out(tmp_path: Path, connect: Connect) -> None:
    with embedded.nats(tmp_path, admitted=False) as server:
        ingest = connect(server, "ingest", ingest=True)
        ingest.subscribe("v3/#")
        assert connect(server, "early").answer == "Not authorized"
        server.admit()
        device = connect(server, "device")
        assert device.answer == "Success"
        device.publish("v3/a", "x")
        assert ingest.receive().payload == b"x"
        server.admit(admitted=False)
        assert device.lost.get(timeout=PATIENCE)
        assert ingest.lost.empty()


def test_what_is_not_acknowledged_comes_again_on_the_same_connection(tmp_path: Path, connect: Connect) -> None:
    with embedded.nats(tmp_path, ack_wait=1) as server:
        ingest = connect(server, "ingest", ingest=True)
        ingest.subscribe("v3/#")
        device = connect(server, "device")
        device.publish("v3/a", "once")
        first, second = ingest.receive(), ingest.receive()
        assert (first.payload, second.payload, second.dup) == (b"once", b"once", True)
        ingest.ack(second)
        device.publish("v3/a", "next")
        assert ingest.receive().payload == b"next"


def test_a_kill_loses_nothing_that_was_acknowledged(tmp_path: Path, connect: Connect) -> None:
    with embedded.nats(tmp_path, ack_wait=1) as server:
        ingest = connect(server, "ingest", ingest=True)
        ingest.subscribe("v3/#")
        ingest.client.disconnect()
        device = connect(server, "device")
        for number in range(200):
            device.client.publish("v3/a", str(number), 1)
        device.publish("v3/a", "200")
        server.process.send_signal(signal.SIGKILL)
        server.process.wait()
    with embedded.nats(tmp_path, ack_wait=1) as server:
        ingest = connect(server, "ingest", ingest=True)
        assert {int(ingest.receive().payload) for _ in range(201)} == set(range(201))


def test_nothing_lies_readable_on_the_disk(tmp_path: Path, connect: Connect) -> None:
    with embedded.nats(tmp_path, key="secret-key-of-the-test") as server:
        ingest = connect(server, "ingest", ingest=True)
        ingest.subscribe("camera/#")
        device = connect(server, "device")
        device.publish("camera/1", "plate 1-ABC-123")
        device.client.publish("camera/2", "plate 1-ABC-123", 1, retain=True).wait_for_publish(PATIENCE)
        assert ingest.receive().payload == b"plate 1-ABC-123"
        password = urlsplit(server.url).password
        found = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    assert b"1-ABC-123" not in found
    assert b"secret-key-of-the-test" not in found
    assert str(password).encode() not in found


def test_another_key_is_refused_before_messages_are_forgotten(tmp_path: Path, connect: Connect) -> None:
    with embedded.nats(tmp_path, key="one") as server:
        connect(server, "ingest", ingest=True).subscribe("v3/#")
    with pytest.raises(BadConfig, match="another key"), embedded.nats(tmp_path, key="another"):
        pass


def subscribed(connect: Connect, server: embedded.Nats, topics: list[str]) -> list[str]:
    """What the broker answers when each filter has a session of its own, as in ingest."""
    return [
        answer
        for number, topic in enumerate(topics)
        for answer in connect(server, f"ingest-{number}", ingest=True).subscribe(topic)
    ]


def test_every_filter_is_granted_and_they_may_become_more(tmp_path: Path, connect: Connect) -> None:
    topics = [f"v{number}/#" for number in range(12)]
    for some in (topics[:1], topics[:3], topics):
        with embedded.nats(tmp_path, topics=some) as server:
            for topic in some:
                session = connect(server, f"ingest-{topic[:-2]}", ingest=True)
                assert session.subscribe(topic) == ["Granted QoS 1"]


def test_messages_of_ten_mebibytes_pass(tmp_path: Path, connect: Connect) -> None:
    with embedded.nats(tmp_path) as server:
        ingest = connect(server, "ingest", ingest=True)
        ingest.subscribe("v3/#")
        connect(server, "device").publish("v3/a", bytes(10 << 20))
        assert len(ingest.receive().payload) == 10 << 20


def test_it_says_how_many_messages_wait(tmp_path: Path, connect: Connect) -> None:
    with embedded.nats(tmp_path) as server:
        ingest = connect(server, "ingest", ingest=True)
        ingest.subscribe("v3/#")
        device = connect(server, "device")
        for _ in range(3):
            device.publish("v3/a", "x")
        messages = [ingest.receive() for _ in range(3)]
        assert broker.waiting(server.server, server.process.pid) == 3
        for message in messages:
            ingest.ack(message)
        embedded._wait(server.process, lambda: broker.waiting(server.server, server.process.pid) == 0)


def test_a_broker_that_was_left_over_is_ended(tmp_path: Path) -> None:
    with left_over(tmp_path) as pid, embedded.nats(tmp_path, key="key"):
        assert children.started(pid) is None


def test_in_flight_is_shared_among_the_sessions() -> None:
    assert broker.in_flight(["a"], bound=70_000) == 32_767
    assert broker.in_flight(["a/#", "b"], bound=20_000) == 10_000
    assert broker.in_flight([f"{n}" for n in range(100)], bound=20_000) == 1_000
    assert broker.in_flight(["a", "b"], bound=100) == 100
    assert broker.in_flight([], bound=100) == 100


def test_the_configuration_that_is_handed_out_is_valid(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NATS_KEY", "NATS_INGEST", "NATS_DEVICE"):
        monkeypatch.setenv(name, f"p{name}")
    handed_out = Path(broker.__file__).parent / "nats" / "nats-server.conf"
    command = [broker._binary(), "-t", "-c", str(handed_out)]
    assert "is valid" in subprocess.run(command, capture_output=True, text=True, check=True).stderr
