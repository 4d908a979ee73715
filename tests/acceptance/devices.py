"""Devices of the acceptance tests: they publish with QoS 1, what the samples hold and what else is asked."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion

SAMPLES = Path(__file__).parents[1] / "samples"
SUFFIX = ".expected.json"


class Sample(NamedTuple):
    """A payload of tests/samples, its topic, and what must become of it."""

    name: str
    topic: str
    payload: bytes
    expected: Any


def sample(case: Path) -> Sample:
    """Read one, by its file of what is expected."""
    stem = case.name.removesuffix(SUFFIX)
    (payload,) = [path for path in case.parent.glob(f"{stem}.*") if path != case]
    spec = json.loads(case.read_text())
    return Sample(f"{case.parent.name}/{stem}", spec["topic"], payload.read_bytes(), spec["expected"])


def of_camera(name: str) -> str:
    """The folder of a camera's samples: one of its own where a format has the same name."""
    return f"cameras/{name}" if (SAMPLES / "cameras" / name).is_dir() else name


def samples(folder: str, *names: str) -> list[Sample]:
    """The samples of a format or camera: these, or all."""
    found = {case.name.removesuffix(SUFFIX): case for case in sorted((SAMPLES / folder).glob(f"*{SUFFIX}"))}
    return [sample(found[name]) for name in names or found]


class Device:
    """A connection to the MQTT broker."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def publish(self, topic: str, payload: bytes | str, *, retain: bool = False) -> None:
        """Publish, and return once the broker has promised to keep it."""
        self._client.publish(topic, payload, qos=1, retain=retain).wait_for_publish(60)

    def tell(self, topic: str, document: Any) -> None:
        """Publish JSON."""
        self.publish(topic, json.dumps(document))


@contextmanager
def device(url: str) -> Iterator[Device]:
    """A device that is connected meanwhile."""
    where = urlsplit(url)
    client, connected = Client(CallbackAPIVersion.VERSION2), Event()
    client.on_connect = lambda *_: connected.set()
    client.username_pw_set(where.username, where.password)
    client.connect(str(where.hostname), int(where.port or 1883))
    client.loop_start()
    try:
        assert connected.wait(30), "the broker does not answer"
        yield Device(client)
    finally:
        client.disconnect()
        client.loop_stop()


@contextmanager
def listener(url: str, topic: str) -> Iterator[list[tuple[str, bytes]]]:
    """What the broker delivers on a topic filter meanwhile, retained messages first."""
    where = urlsplit(url)
    client, subscribed = Client(CallbackAPIVersion.VERSION2), Event()
    heard: list[tuple[str, bytes]] = []
    client.on_connect = lambda *_: client.subscribe(topic, 1)
    client.on_subscribe = lambda *_: subscribed.set()
    client.on_message = lambda _client, _data, message: heard.append((message.topic, message.payload))
    client.username_pw_set(where.username, where.password)
    client.connect(str(where.hostname), int(where.port or 1883))
    client.loop_start()
    try:
        assert subscribed.wait(30), "the broker does not let it subscribe"
        yield heard
    finally:
        client.disconnect()
        client.loop_stop()
