"""The MQTT session against real brokers: order, acknowledgement, redelivery, reconnects, bounds."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import paho.mqtt.client as paho
import pytest

from broker.config import IngestTable
from broker.errors import BadConfig
from broker.readiness import Readiness
from deploy import embedded
from ingest.mqtt import Delivery, Subscriber, session_id
from ingest.session import address


@pytest.fixture
def hasty_nats(tmp_path: Path) -> Iterator[embedded.Nats]:
    """NATS sends again what is not acknowledged only after its ack_wait."""
    with embedded.nats(tmp_path / "nats", topics=["a/#", "b/#"], ack_wait=2) as broker:
        yield broker


@pytest.fixture(params=["hasty_nats", "mosquitto"])
def broker_url(request: pytest.FixtureRequest) -> str:
    return request.getfixturevalue(request.param).url


@pytest.fixture
def subscribe(broker_url: str) -> Iterator[Callable[..., Subscriber]]:
    started = []

    def start(
        client_id: str = "test", filters: tuple[str, ...] = ("a/#",), obsolete: tuple[str, ...] = (), **limits
    ):
        readiness = Readiness()
        subscriber = Subscriber(broker_url, client_id, filters, IngestTable(**limits), readiness)
        subscriber.start(obsolete)
        started.append(subscriber)
        until(lambda: not readiness.missing())
        return subscriber

    yield start
    for subscriber in started:
        subscriber.stop()


def until(condition: Callable[[], object], seconds: float = 15) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.01)


def publish(url: str, topics: list[str], payload: bytes | None = None, *, retain: bool = False) -> None:
    where = address(url)
    client = paho.Client(paho.CallbackAPIVersion.VERSION2)
    if where.username:
        client.username_pw_set(where.username, where.password)
    client.connect(where.host, where.port)
    client.loop_start()
    for info in [
        client.publish(topic, topic.encode() if payload is None else payload, qos=1, retain=retain)
        for topic in topics
    ]:
        info.wait_for_publish(10)
    client.disconnect()
    client.loop_stop()


def collect(subscriber: Subscriber, count: int, seconds: float = 10) -> list[Delivery]:
    found: list[Delivery] = []
    deadline = time.monotonic() + seconds
    while len(found) < count and time.monotonic() < deadline:
        found += subscriber.take(1000, 0)
    return found


def test_delivers_in_order_with_increasing_receive_times(broker_url, subscribe):
    subscriber = subscribe()
    topics = [f"a/{n}" for n in range(500)]
    publish(broker_url, topics)
    found = collect(subscriber, 500)
    assert [delivery.message.topic for delivery in found] == topics
    assert [delivery.message.payload.decode() for delivery in found] == topics
    times = [delivery.message.received for delivery in found]
    assert sorted(set(times)) == times
    assert not subscriber.idle
    subscriber.ack(found)
    assert subscriber.idle


def test_what_is_not_acknowledged_comes_again_and_only_that(broker_url, subscribe):
    first = subscribe()
    publish(broker_url, [f"a/{n}" for n in range(20)])
    found = collect(first, 20)
    first.ack(found[:15])
    time.sleep(0.3)
    first.stop()
    second = subscribe()
    again = collect(second, 5)
    assert sorted(d.message.topic for d in again) == sorted(d.message.topic for d in found[15:])
    assert all(delivery.message.duplicate for delivery in again)
    second.ack(again)
    time.sleep(0.2)
    assert collect(second, 1, 0.5) == []


def test_the_session_of_an_obsolete_filter_is_deleted(broker_url, subscribe):
    first = subscribe(filters=("a/#", "b/#"))
    first.stop()
    second = subscribe(filters=("a/#",), obsolete=(session_id("test", "b/#"),))
    publish(broker_url, ["b/1", "a/1"])
    found = collect(second, 2, 1.5)
    assert [delivery.message.topic for delivery in found] == ["a/1"]
    second.ack(found)
    time.sleep(0.3)
    second.stop()
    third = subscribe(filters=("a/#", "b/#"))
    assert collect(third, 1, 1) == [], "nothing had been kept for the obsolete filter"


def test_a_retained_message_is_marked_and_can_be_cleared(broker_url, subscribe):
    publish(broker_url, ["a/kept"], b"1", retain=True)
    first = subscribe()
    (found,) = collect(first, 1)
    assert found.message.retained
    first.clear_retained("a/kept")
    (echo,) = collect(first, 1)
    assert echo.message.payload == b""
    assert first.cleared == {"a/kept": 1}
    first.ack([found, echo])
    time.sleep(0.3)
    first.stop()
    second = subscribe(client_id="other")
    assert collect(second, 1, 1) == []


def test_reading_pauses_at_the_bound_of_bytes_and_goes_on_after_acks(broker_url, subscribe):
    subscriber = subscribe(max_in_flight_bytes=500_000)
    publish(broker_url, [f"a/{n}" for n in range(100)], b"x" * 100_000)
    time.sleep(1)
    found = collect(subscriber, 100, 1)
    assert 5 <= len(found) < 20
    topics = set()
    while found:
        topics |= {delivery.message.topic for delivery in found}
        subscriber.ack(found)
        found = collect(subscriber, 1, 2)
    assert len(topics) == 100


def test_a_stop_keeps_what_was_not_taken_for_the_next_session(broker_url, subscribe):
    first = subscribe()
    first.pause()
    publish(broker_url, ["a/1"])
    time.sleep(0.3)
    first.stop()
    second = subscribe()
    assert [delivery.message.topic for delivery in collect(second, 1)] == ["a/1"]


def test_survives_a_restart_of_the_broker_and_never_acks_across_it(mosquitto):
    readiness = Readiness()
    subscriber = Subscriber(mosquitto.url, "restart", ["a/#"], IngestTable(), readiness)
    subscriber.start()
    try:
        until(lambda: not readiness.missing())
        publish(mosquitto.url, ["a/1", "a/2"])
        old = collect(subscriber, 2)
        mosquitto.stop()
        until(lambda: "waiting" in readiness.missing().get("mqtt", ""))
        mosquitto.start()
        until(lambda: not readiness.missing())
        again = collect(subscriber, 2)
        assert [d.message.topic for d in again] == ["a/1", "a/2"]
        assert {d.connection for d in again} > set()
        assert {d.connection for d in again}.isdisjoint({d.connection for d in old})
        subscriber.ack(old)
        time.sleep(0.3)
        assert not subscriber.idle
        subscriber.ack(again)
        assert subscriber.idle
    finally:
        subscriber.stop()


def test_nats_redelivers_on_the_live_connection_and_it_is_not_queued_twice(tmp_path):
    with embedded.nats(tmp_path / "nats", ack_wait=1) as broker:
        readiness = Readiness()
        subscriber = Subscriber(broker.url, "again", ["a/#"], IngestTable(), readiness)
        subscriber.start()
        until(lambda: not readiness.missing())
        publish(broker.url, ["a/1"])
        found = collect(subscriber, 1)
        until(lambda: subscriber.again >= 1)
        assert subscriber.take(10, 0) == []
        assert subscriber.take_again() >= 1
        subscriber.ack(found)
        subscriber.stop()


def test_a_flood_on_many_filters_does_not_wait_for_ack_wait(tmp_path):
    topics = [f"{n}/#" for n in range(8)]
    with embedded.nats(tmp_path / "nats", topics=topics, ack_wait=60) as broker:
        readiness = Readiness()
        subscriber = Subscriber(broker.url, "flood", topics, IngestTable(), readiness)
        subscriber.start()
        try:
            until(lambda: not readiness.missing())
            publish(broker.url, [f"{n % 8}/{n}" for n in range(30_000)], b"x")
            seen = set()
            while found := collect(subscriber, 1, 5):
                seen |= {delivery.message.topic for delivery in found}
                subscriber.ack(found)
            assert len(seen) == 30_000
        finally:
            subscriber.stop()


def test_a_broker_that_is_away_is_named(free_port):
    readiness = Readiness()
    port = free_port()
    subscriber = Subscriber(f"mqtt://127.0.0.1:{port}", "away", ["a"], IngestTable(), readiness)
    subscriber.start()
    try:
        until(lambda: "waiting for" in readiness.missing()["mqtt"])
        assert f"127.0.0.1:{port}" in readiness.missing()["mqtt"]
    finally:
        subscriber.stop()


@pytest.mark.parametrize("url", ["http://host", "mqtt://", "mqtt://host:port", "host:1883"])
def test_a_wrong_url_is_refused(url):
    with pytest.raises(BadConfig, match="mqtt://host:port"):
        address(url)


def test_takes_a_url_apart():
    assert address("mqtts://me:p%40ss@broker") == ("broker", 8883, True, "me", "p@ss")
    assert address("mqtt://broker:1884") == ("broker", 1884, False, None, None)
