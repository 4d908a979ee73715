"""Frames and numbered messages of the load generator."""

from datetime import UTC, datetime, timedelta

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploy import simulate, wire
from deploy.simulate import Load

START = datetime(2026, 3, 2, 7, tzinfo=UTC)


def test_a_publish_frame_is_that_of_the_specification() -> None:
    frame = wire.publish(b"a/b", b"xyz", 10)
    assert frame == b"\x32\x0a\x00\x03a/b\x00\x0axyz"
    assert wire.again(frame) == b"\x3a" + frame[1:]


@given(st.integers(0, 3_000_000))
def test_a_frame_tells_its_length(size: int) -> None:
    frame = wire.publish(b"t", bytes(size), 1)
    length = shift = 0
    at = 1
    for byte in frame[1:5]:
        at += 1
        length |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            break
    assert len(frame) == at + length


def messages(load: Load, shares: int) -> list[wire.Outgoing]:
    return [message for share in range(shares) for message in simulate.generate(load, share, shares)]


@pytest.mark.parametrize("shares", [1, 3])
def test_numbers_are_complete_and_their_own(shares: int) -> None:
    load = Load(count=1000, things=7, start=START)
    sent = messages(load, shares)
    assert sorted(message.number for message in sent) == list(range(1000))
    for number, _, payload in sent:
        body = orjson.loads(payload)
        moment = datetime.fromisoformat(body["uplink_message"]["received_at"])
        assert load.number(moment) == number
        assert moment == load.time(number)


def test_a_thing_stays_with_one_connection() -> None:
    load = Load(count=500, things=7)
    topics = [{message.topic for message in simulate.generate(load, share, 3)} for share in range(3)]
    assert sum(len(mine) for mine in topics) == len(set.union(*topics)) == 7


def test_the_message_of_the_benchmarks() -> None:
    load = Load(count=3000, things=100)
    assert {len(message.payload) for message in messages(load, 1)} == {288}
    values = orjson.loads(messages(load, 1)[-1].payload)["uplink_message"]["decoded_payload"]
    assert list(values) == ["temperature", "humidity", "pressure", "pm25"]


def test_the_same_seed_gives_the_same_load_and_another_another() -> None:
    load = Load(count=50, seed=3, start=START)
    assert messages(load, 1) == messages(load, 1)
    assert messages(load, 1) != messages(Load(count=50, seed=4, start=START), 1)


def test_times_of_now_are_ascending_for_each_thing() -> None:
    before = datetime.now(UTC)
    sent = messages(Load(count=200, things=2, times="now"), 1)
    times = [orjson.loads(message.payload)["uplink_message"]["received_at"] for message in sent]
    moments = [datetime.fromisoformat(time) for time in times]
    assert len(set(moments)) == 200
    assert before - timedelta(microseconds=1) <= moments[0] == min(moments)


@pytest.mark.parametrize("format_", simulate.FORMATS)
def test_every_format_of_the_demo(format_: str) -> None:
    load = Load(count=20, things=20, formats=(format_, "tts_v3"), start=START)
    sent = messages(load, 2)
    assert len({(message.topic, message.payload) for message in sent}) == 20


def test_the_ceiling_is_a_rate() -> None:
    assert simulate.ceiling(Load(count=1000)) > 0


def test_a_summary_is_json() -> None:
    outcome = simulate.Outcome(Load(count=2, start=START), 2, 1, 0, 0, 0.5, (1,))
    assert orjson.loads(orjson.dumps(outcome.summary())) == {
        "published": 2,
        "acknowledged": 1,
        "resent": 0,
        "reconnects": 0,
        "seconds": 0.5,
        "unacknowledged": [1],
        "rate": 2.0,
        "start": "2026-03-02T07:00:00+00:00",
        "step": 1000,
    }
