"""The push door between real clients and a real MQTT broker: 202 means that the broker has the message."""

import base64
import gzip
import http.client
import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import servers
import uvicorn
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion
from prometheus_client import REGISTRY

from broker import config as configuration
from broker.model import Message
from broker.readiness import Readiness
from deploy import door, health
from deploy.roles import SERVER
from ingest import http as ingest_http
from ingest.envelope import opened

SAMPLES = Path(__file__).parents[1] / "samples"
TOKEN = "kaas-met-mosterd"
CITY = """
[city]
id = "c"
name = "C"
[[source]]
name = "meter"
topic = "in/meter/+"
format = "json"
max_bytes = 2000
[[source]]
name = "air"
topic = "in/air/#"
format = "json"
identity = "header:X-Sensor"
part = "header:X-Pin"
[[source]]
name = "gates"
topic = "in/gates/+"
camera = "hikvision"
[[source]]
name = "slow"
topic = "in/slow/+"
format = "json"
rate = 0.1
[[source]]
name = "closed"
topic = "in/closed/+"
format = "json"
[[source]]
name = "elsewhere"
topic = "elsewhere/+"
format = "json"
"""


class Answer(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def problem(self) -> dict[str, Any]:
        assert self.headers["content-type"] == "application/problem+json"
        found = json.loads(self.body)
        assert found["status"] == self.status
        return found


class Running(NamedTuple):
    port: int
    readiness: Readiness

    def push(
        self, path: str, body: Any = b"", method: str = "POST", token: str | None = TOKEN, **headers: str
    ) -> Answer:
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        if token is not None:
            given["Authorization"] = f"Bearer {token}"
        with closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)) as connection:
            connection.request(method, path, body, given)
            answer = connection.getresponse()
            return Answer(answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read())


@contextmanager
def serving(url: str) -> Iterator[Running]:
    readiness, port = Readiness(), servers.free_port()
    config = configuration.read(CITY, "city.toml")
    app = door.alone(config)
    server = uvicorn.Server(uvicorn.Config(app, port=port, **SERVER))
    with door.mounted(app, config, url, readiness):
        thread = threading.Thread(target=server.run)
        thread.start()
        try:
            wait(lambda: server.started)
            yield Running(port, readiness)
        finally:
            server.should_exit = True
            thread.join(30)


@pytest.fixture(autouse=True)
def tokens(monkeypatch, tmp_path):
    for name in ("METER", "GATES", "SLOW"):
        monkeypatch.setenv(f"CITYBROKER_TOKEN_{name}", TOKEN)
    path = tmp_path / "tokens"
    path.write_text(f"an-older-one\n\n{TOKEN}\n")
    monkeypatch.setenv("CITYBROKER_TOKEN_AIR_FILE", str(path))
    monkeypatch.delenv("CITYBROKER_TOKEN_CLOSED", raising=False)


def wait(condition: Callable[[], object], seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.fixture
def running(mosquitto) -> Iterator[Running]:
    with serving(mosquitto.url) as found:
        wait(lambda: not found.readiness.missing())
        yield found


@pytest.fixture
def received(mosquitto) -> Iterator[list[Message]]:
    """What a subscriber of the broker gets, out of its envelope."""
    from datetime import UTC, datetime

    found: list[Message] = []
    client = Client(CallbackAPIVersion.VERSION2, client_id="reader", clean_session=False)  # outlives a restart
    subscribed = threading.Event()
    client.on_connect = lambda *_: client.subscribe("#", 1)
    client.on_subscribe = lambda *_: subscribed.set()
    client.on_message = lambda _c, _d, packet: found.append(
        opened(Message(packet.topic, packet.payload, datetime.now(UTC)))
    )
    client.connect("127.0.0.1", mosquitto.port)
    client.loop_start()
    assert subscribed.wait(10)
    yield found
    client.disconnect()
    client.loop_stop()


def one(received: list[Message]) -> Message:
    wait(lambda: received)
    (found,) = received
    received.clear()
    return found


def test_what_is_accepted_is_at_the_broker(running, received):
    answer = running.push("/in/meter/kelder", b'{"t": 21.5}', Content_Type="application/json")
    assert (answer.status, answer.body) == (202, b"")
    found = one(received)
    assert (found.topic, found.payload) == ("in/meter/kelder", b'{"t": 21.5}')
    assert (found.identity, found.content_type, found.part) == ("kelder", "application/json", None)


@pytest.mark.parametrize(
    ("path", "topic", "identity"),
    [
        ("/in/meter", "in/meter/meter", None),
        ("/in/meter/", "in/meter/meter", None),
        ("/in/meter/a%20b+%23", "in/meter/a%20b%2B%23", "a b+#"),
        ("/in/meter/gate/7/", "in/meter/gate%2F7", "gate/7"),
        ("/in/meter/caf%C3%A9", "in/meter/caf%C3%A9", "café"),
    ],
)
def test_the_device_of_the_path_is_one_topic_level(running, received, path, topic, identity):
    assert running.push(path, b"1", method="PUT").status == 202
    found = one(received)
    assert (found.topic, found.identity, found.payload) == (topic, identity, b"1")


def test_identity_and_part_come_from_where_the_source_says(running, received):
    body = b'{"sensordatavalues":[{"value_type":"P1","value":"21.40"}]}'
    headers = {"X_Sensor": "esp8266-1000001", "X_Pin": "1"}
    assert running.push("/in/air", body, **headers).status == 202
    found = one(received)
    assert (found.topic, found.identity, found.part) == ("in/air/esp8266-1000001", "esp8266-1000001", "1")
    assert running.push("/in/air", body, X_Sensor="a").problem["detail"].startswith("header:X-Pin: missing")
    assert running.push("/in/air", body, X_Sensor="a" * 300, X_Pin="1").status == 400


def test_a_query_and_a_form_are_json(running, received):
    assert running.push("/in/meter/w?tempf=70.1&x=1&x=2&token=" + TOKEN, method="GET", token=None).status == 202
    found = one(received)
    assert json.loads(found.payload) == {"tempf": "70.1", "x": ["1", "2"]}
    assert found.content_type == "application/json"
    assert (
        running.push("/in/meter", b"tempf=70.1&PASSKEY=", Content_Type=f"{pushed_form()};charset=utf-8").status
        == 202
    )
    assert json.loads(one(received).payload) == {"tempf": "70.1", "PASSKEY": ""}
    assert running.push("/in/meter", b'{"t": 1}', Content_Type=pushed_form()).status == 202
    assert one(received).payload == b'{"t": 1}'
    assert running.push("/in/meter", b"\xff\xfe", Content_Type=pushed_form()).status == 415
    assert running.push("/in/meter?token=x", method="GET").problem["detail"].startswith("there is no message")


def pushed_form() -> str:
    return "application/x-www-form-urlencoded"


def basic(password: str) -> str:
    return "Basic " + base64.b64encode(f"anybody:{password}".encode()).decode()


@pytest.mark.parametrize(
    ("headers", "path", "status"),
    [
        ({"Authorization": f"Bearer {TOKEN}"}, "/in/meter", 202),
        ({"Authorization": basic(TOKEN)}, "/in/meter", 202),
        ({"X_Api_Key": TOKEN}, "/in/meter", 202),
        ({}, f"/in/meter?token={TOKEN}", 202),
        ({"X_Api_Key": "an-older-one", "X_Sensor": "a", "X_Pin": "1"}, "/in/air", 202),
        ({}, "/in/meter", 401),
        ({"Authorization": "Digest username=x"}, "/in/meter", 401),
        ({"Authorization": "Basic %%%"}, "/in/meter", 401),
        ({"Authorization": f"Bearer {TOKEN}x"}, "/in/meter", 403),
        ({"X_Api_Key": "\xe9"}, "/in/meter", 403),
        ({"Authorization": basic("")}, "/in/meter", 401),
        ({"Authorization": basic("an-older-one")}, "/in/meter", 403),
        ({"X_Api_Key": TOKEN}, "/in/closed", 403),
        ({}, "/in/closed", 401),
    ],
)
def test_who_may_push(running, headers, path, status):
    answer = running.push(path, b"{}", token=None, **headers)
    assert answer.status == status
    if status != 202:
        assert TOKEN not in answer.problem["detail"]
    assert ("www-authenticate" in answer.headers) == (status == 401)


@pytest.mark.parametrize("path", ["/in/nothing", "/in/elsewhere/x", "/in/", "/in", "/"])
def test_what_is_not_there(running, path):
    assert running.push(path, b"1").status == 404


@pytest.mark.parametrize("method", ["DELETE", "HEAD", "PATCH"])
def test_other_methods(running, method):
    answer = running.push("/in/meter?t=1", method=method)
    assert (answer.status, "POST" in answer.headers["allow"]) == (405, True)


def test_a_message_is_never_longer_than_the_source_takes(running, received):
    assert running.push("/in/meter", b"x" * 2000).status == 202
    assert running.push("/in/meter", b"x" * 2001).problem["detail"] == "the source takes 2000 bytes"
    assert running.push("/in/meter", iter([b"x" * 500] * 1000)).status == 413  # chunked: its length is not told
    assert one(received).payload == b"x" * 2000


def test_what_is_packed_is_unpacked(running, received):
    assert running.push("/in/meter", gzip.compress(b'{"t": 1}'), Content_Encoding="gzip").status == 202
    assert one(received).payload == b'{"t": 1}'
    bomb = gzip.compress(b"x" * 50_000_000)[:1999]
    assert running.push("/in/meter", bomb, Content_Encoding="gzip").status == 413
    assert running.push("/in/meter", gzip.compress(b"1" * 99)[:-9], Content_Encoding="gzip").status == 400
    assert running.push("/in/meter", b"no", Content_Encoding="gzip").status == 400
    assert running.push("/in/meter", b"no", Content_Encoding="br").status == 415


def test_more_than_the_rate_has_to_wait(running):
    assert running.push("/in/slow", b"1").status == 202
    answer = running.push("/in/slow", b"1")
    assert (answer.status, int(answer.headers["retry-after"]) <= 11) == (429, True)
    assert running.push("/in/meter", b"1").status == 202


def test_of_a_camera_only_what_its_decoder_reads_goes_on(running, received):
    event = (SAMPLES / "hikvision" / "full.xml").read_bytes()
    picture = b"\xff\xd8" + bytes(range(256)) * 40_000
    parts = [(b"image/jpeg", picture), (b"text/xml", event)]
    body = b"".join(b"--MIME_boundary\r\nContent-Type: %s\r\n\r\n%s\r\n" % part for part in parts)
    kind = "multipart/form-data; boundary=MIME_boundary"
    assert running.push("/in/gates/zuid", body + b"--MIME_boundary--\r\n", Content_Type=kind).status == 202
    found = one(received)
    assert (found.topic, found.identity, found.content_type) == ("in/gates/zuid", "zuid", kind)
    assert len(found.payload) < len(event)
    assert b"licensePlate" in found.payload
    refused = running.push("/in/gates/zuid", b"<EventNotificationAlert><licensePlate>1XYZ987")
    assert (refused.status, "1XYZ987" in refused.problem["detail"]) == (400, False)
    assert running.push("/in/gates/zuid", picture).status == 400
    assert running.push("/in/meter", body[:1000], Content_Type=kind).status == 415
    assert received == []


def test_a_broker_that_is_away_is_told_and_found_again(running, received, mosquitto):
    mosquitto.stop()
    wait(running.readiness.missing)
    answer = running.push("/in/meter", b"1")
    assert (answer.status, answer.headers["retry-after"]) == (503, "5")
    assert "mqtt" in answer.problem["detail"].lower()
    mosquitto.start()
    wait(lambda: not running.readiness.missing())
    wait(lambda: running.push("/in/meter", b"2").status == 202)
    wait(lambda: b"2" in [found.payload for found in received])


def test_a_broker_that_does_not_answer_is_told(running, received, mosquitto, monkeypatch):
    monkeypatch.setattr(ingest_http, "ACKNOWLEDGED_WITHIN", 0.3)
    mosquitto.process.send_signal(signal.SIGSTOP)
    try:
        assert running.push("/in/meter", b"1").headers["retry-after"] == "5"
    finally:
        mosquitto.process.send_signal(signal.SIGCONT)
    assert one(received).payload == b"1"  # late, and as it should be: nobody was told that it is there
    assert running.push("/in/meter", b"2").status == 202


def test_many_at_once_all_arrive(running, received):
    def push(number: int) -> None:
        statuses[number] = running.push("/in/meter/x", b"%d" % number).status

    statuses: dict[int, int] = {}
    threads = [threading.Thread(target=push, args=(number,)) for number in range(100)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(statuses.values()) == {202}
    wait(lambda: len(received) == 100)
    assert sorted(int(found.payload) for found in received) == list(range(100))


def test_a_device_that_hangs_up_leaves_nothing_behind(running, received):
    import socket

    with socket.create_connection(("127.0.0.1", running.port)) as connection:
        head = f"POST /in/meter HTTP/1.1\r\nHost: x\r\nX-Api-Key: {TOKEN}\r\nContent-Length: 100\r\n\r\nhalf"
        connection.sendall(head.encode())
    assert running.push("/in/meter", b"1").status == 202
    assert one(received).payload == b"1"


def test_requests_are_counted(running):
    def count(source: str, status: str) -> float:
        labels = {"source": source, "status": status}
        return REGISTRY.get_sample_value("citybroker_door_requests_total", labels) or 0

    before = [count("meter", "202"), count("", "404"), count("meter", "401")]
    running.push("/in/meter", b"1")
    running.push("/in/nobody-knows", b"1")
    running.push("/in/meter", b"1", token=None)
    assert [count("meter", "202"), count("", "404"), count("meter", "401")] == [n + 1 for n in before]
    assert REGISTRY.get_sample_value("citybroker_door_connected") == 1


def test_the_door_on_nats(nats):
    with serving(f"mqtt://{nats.host}:{nats.port}") as running:
        wait(lambda: not running.readiness.missing())
        for path in ("/in/meter/a", "/in/meter/a%20b", "/in/meter/a.b", "/in/meter/%2A%3E", "/in/meter/$x"):
            assert running.push(path, b"1").status == 202


def test_the_door_as_a_process_of_its_own(mosquitto, received, tmp_path):
    (tmp_path / "city.toml").write_text(CITY)
    port, metrics_port = servers.free_port(), servers.free_port()
    ports = ["--http-port", str(port), "--metrics-port", str(metrics_port)]
    command = [sys.executable, "-m", "deploy.cli", "door", "--mqtt-url", mosquitto.url, *ports]
    process = subprocess.Popen([*command, "--config", str(tmp_path / "city.toml")], stdout=subprocess.DEVNULL)
    try:
        wait(lambda: health.status(metrics_port, "/health/ready") == 200)
        wait(lambda: health.status(port, "/in/meter") == 401)
        assert Running(port, Readiness()).push("/in/meter/a", b"1").status == 202
        assert one(received).payload == b"1"
        assert health.values(metrics_port)["citybroker_door_connected"] == 1
        mosquitto.stop()
        wait(lambda: health.status(metrics_port, "/health/ready") == 503)
    finally:
        process.terminate()
        assert process.wait(30) == 0


def test_a_door_that_no_source_is_for(tmp_path):
    (tmp_path / "city.toml").write_text('[city]\nid = "c"\nname = "C"\n')
    command = [
        sys.executable,
        "-m",
        "deploy.cli",
        "door",
        "--mqtt-url",
        "mqtt://127.0.0.1:1",
        "--config",
        "city.toml",
    ]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert 'topic "in/NAME/+"' in done.stderr
