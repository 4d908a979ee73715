"""One uplink of one device is one observation of each value, whoever delivers it, and how often."""

from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker import modules, vocabulary
from broker.config import City, Config, SourceTable
from broker.model import Message, Observation, Quality
from ingest.normalise import Normaliser
from ingest.pipeline import Taker
from ingest.writer import Taken

TIME = "2026-03-02T07:15:00.190512339Z"
RECEIVED = datetime(2026, 3, 2, 7, 15, 1, tzinfo=UTC)
SOURCES = [
    SourceTable(name="tts", topic="v3/+/devices/+/up", format="tts_v3"),
    SourceTable(name="chirpstack", topic="application/+/device/+/event/up", format="chirpstack_v4"),
    SourceTable(name="own", topic="sensors/+", format="json"),
    SourceTable(name="late", topic="late/+", format="json", max_age=timedelta(hours=1)),
]
VALUES = {"temperature": 6.5, "humidity": 81.0, "co2": 430}


@pytest.fixture(scope="module")
def taker() -> Taker:
    config = Config(city=City(id="leiestad", name="Leiestad"), source=SOURCES)
    return Taker(config, modules.load("ingest.formats"), Normaliser(vocabulary.load()), None, {})


def things_stack(values: dict[str, float], *gateways: int) -> Message:
    heard = [
        {"gateway_ids": {"gateway_id": f"gw-{rssi}"}, "rssi": rssi, "snr": 7, "time": "2026-03-02T07:14:58Z"}
        for rssi in gateways
    ]
    body = {
        "end_device_ids": {"device_id": "lucht-7", "dev_eui": "02000000000B0007"},
        "received_at": "2026-03-02T07:15:00.4Z",
        "uplink_message": {
            "f_port": 85, "f_cnt": 9, "decoded_payload": values, "rx_metadata": heard, "received_at": TIME,
        },
    }  # fmt: skip
    return Message("v3/leiestad/devices/lucht-7/up", orjson.dumps(body), RECEIVED)


def chirpstack(values: dict[str, float], *gateways: int) -> Message:
    body = {
        "deduplicationId": "00000000-0000-4000-8000-000000000001",
        "time": TIME.replace("Z", "+00:00"),
        "deviceInfo": {"devEui": "02000000000b0007", "deviceName": "lucht 7", "deviceProfileName": "eigen"},
        "fCnt": 9,
        "fPort": 85,
        "object": {name: float(value) for name, value in values.items()},
        "rxInfo": [{"gatewayId": f"gw{rssi}", "rssi": rssi, "snr": 7.5} for rssi in gateways],
    }
    return Message(
        "application/1/device/02000000000b0007/event/up", orjson.dumps(body), RECEIVED + timedelta(seconds=1)
    )


def plain(values: dict[str, float], time: Any = TIME, topic: str = "sensors/lucht-7") -> Message:
    return Message(topic, orjson.dumps({"dev_eui": "02000000000B0007", "time": time, **values}), RECEIVED)


def kept(taken: list[Taken]) -> dict[Any, list[Observation]]:
    """What the store has of these: it is unique by datastream and time."""
    rows: dict[Any, list[Observation]] = {}
    for one in taken:
        for row in one.observations:
            rows.setdefault((row.datastream, row.start), []).append(row)
    return rows


def test_two_network_servers_and_a_program_of_ones_own(taker: Taker) -> None:
    deliveries = [things_stack(VALUES, -80), chirpstack(VALUES, -80), plain(VALUES)]
    rows = kept([taker.take(message) for message in deliveries])
    assert [len(same) for same in rows.values()] == [3, 3, 3]
    assert all(len({(row.number, row.result) for row in same}) == 1 for same in rows.values())
    assert {stream.thing for stream, _ in rows} == {"02000000000b0007"}


@given(st.lists(st.integers(-130, -20), max_size=6, unique=True), st.integers(1, 4))
def test_however_many_gateways_and_deliveries(gateways: list[int], times: int) -> None:
    config = Config(city=City(id="leiestad", name="Leiestad"), source=SOURCES)
    taker = Taker(config, modules.load("ingest.formats"), Normaliser(vocabulary.load()), None, {})
    for make in (things_stack, chirpstack):
        taken = [taker.take(make(VALUES, *gateways)._replace(duplicate=turn > 0)) for turn in range(times)]
        rows = kept(taken)
        assert [len(same) for same in rows.values()] == [times] * len(VALUES)
        assert {row.quality for same in rows.values() for row in same} == {0}
        assert all(signal.values.get("rssi") == max(gateways) for signal in taken[0].signals if gateways)


def test_a_redelivery_is_no_second_look(taker: Taker) -> None:
    """A duplicate of a spike does not make it a level: what is not newer is not judged."""
    later = iter(range(1, 100))

    def send(value: float) -> list[int]:
        time = RECEIVED + timedelta(seconds=next(later))
        message = plain({"airTemperature": value}, time.isoformat(), "sensors/weer")
        return [taker.take(message).observations[0].quality for _ in range(3)]

    assert send(5) == [0, 0, 0]
    assert send(45) == [Quality.SPIKE, 0, 0]
    assert send(45) == [Quality.SPIKE, 0, 0]
    assert send(5) == [0, 0, 0]


@pytest.mark.parametrize(
    ("time", "topic", "reason"),
    [
        ("2026-03-01T07:15:00Z", "sensors/a", None),  # a day late: backfill is taken
        ("2021-03-01T07:15:00Z", "sensors/a", None),
        ("2026-03-02T06:30:00Z", "late/a", None),
        ("2026-03-02T06:00:00Z", "late/a", "time"),
        ("2026-03-02T08:15:00Z", "late/a", None),  # a clock that is fast
        ("2026-03-02T08:15:02Z", "sensors/a", "time"),
        ("2036-02-07T06:28:16Z", "sensors/a", "time"),
        ("1970-01-01T00:10:00Z", "sensors/a", "time"),  # a clock that was never set
        (600, "sensors/a", "time"),
    ],
)
def test_late_and_early(taker: Taker, time: Any, topic: str, reason: str | None) -> None:
    taken = taker.take(plain(VALUES, time, topic))
    assert (taken.reject.reason if taken.reject else None) == reason
    assert len(taken.observations) == (0 if reason else 3)


def test_backfill_in_any_order_is_the_same_observations(taker: Taker) -> None:
    times = [RECEIVED - timedelta(hours=hours) for hours in (1, 5, 3, 2, 4)]
    rows = [
        row
        for time in times
        for row in taker.take(plain({"co2": 400}, time.isoformat(), "sensors/b")).observations
    ]
    assert [(row.start, row.quality) for row in rows] == [(time, 0) for time in times]


def test_the_measurements_own_time_goes_before_when_it_became_known(taker: Taker) -> None:
    body = {"resultTime": "2026-03-02T07:14:59Z", "phenomenonTime": "2026-03-02T07:00:00Z", "temperature": 6.5}
    (row,) = taker.take(Message("sensors/a", orjson.dumps(body), RECEIVED)).observations
    assert row.start == datetime(2026, 3, 2, 7, tzinfo=UTC)


def test_contradicting_times(taker: Taker) -> None:
    """A local clock said to be UTC beside an epoch; an inner object has times of its own."""
    inner = {"timestamp": 1772435640, "resultTime": "2026-03-02T07:14:50Z", "temp": 5}
    body = {"time": "2026-03-02T08:15:00Z", "ts": 1772435700, "probe": inner, "humidity": 60}
    taken = taker.take(Message("sensors/a", orjson.dumps(body), RECEIVED))
    assert {row.datastream.property: (row.start, row.quality) for row in taken.observations} == {
        "relativeHumidity": (datetime(2026, 3, 2, 7, 15, tzinfo=UTC), Quality.CLOCK),
        "temperature": (datetime(2026, 3, 2, 7, 14, tzinfo=UTC), 0),
    }
