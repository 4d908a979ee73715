from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker import vocabulary
from broker.errors import BadMessage
from broker.model import Ignored, Inventory, Message, Place, Quality, Reading, Signal, Skipped, Source
from ingest.normalise import Normalised, Normaliser

RECEIVED = datetime(2026, 3, 2, 12, tzinfo=UTC)
TIME = datetime(2026, 3, 2, 11, 59, tzinfo=UTC)
SOURCE = Source("s", "sensors/+", format="json")


def normalise(*decoded: Any, source: Source = SOURCE, **message: Any) -> Normalised:
    delivered = Message("sensors/kelder", b"", RECEIVED, **message)
    return Normaliser(vocabulary.load()).normalise(list(decoded), delivered, source)


def value(name: str, given: Any, unit: str | None = None, **more: Any) -> Reading:
    return Reading(**{"thing": "a", "name": name, "value": given, "time": TIME, "unit": unit, **more})


def test_plain_value() -> None:
    (row,) = normalise(value("temp", 21.5)).observations
    assert row.datastream == ("a", "temperature", "", "Cel")
    assert (row.start, row.end, row.number, row.result, row.quality) == (TIME, None, 21.5, None, 0)


@pytest.mark.parametrize(
    ("reading", "number", "unit"),
    [
        (value("humidity", 0.07, "1"), 7.0, "%"),
        (value("temperature", 50, "°F"), 10.0, "Cel"),
        (value("humidity", "45%"), 45.0, "%"),
        (value("temperature", "12,5"), 12.5, "Cel"),
        (value("Bat", "3384 mV"), 3.384, "V"),
        (value("distance", 1250, "mm"), 1.25, "m"),
        (value("distance", 1250), 1250, ""),
        (value("no2", 21, "ppb"), 21, "[ppb]"),
    ],
)
def test_units(reading: Reading, number: float, unit: str) -> None:
    (row,) = normalise(reading).observations
    assert (row.number, row.datastream.unit) == (number, unit)


def test_implausible_values_are_kept_and_flagged() -> None:
    rows = normalise(value("temp", 999), value("humidity", 1.2, "1"), value("distance", 1e9)).observations
    assert [row.quality for row in rows] == [Quality.RANGE, Quality.RANGE, 0]


def test_other_results() -> None:
    rows = normalise(
        value("occupied", 1), value("motion", "off"), value("mode", " eco "), value("door", True)
    ).observations
    assert [(row.number, row.result) for row in rows] == [(None, True), (None, False), (None, "eco"), (None, True)]


@pytest.mark.parametrize(
    ("reading", "reason"),
    [
        (value("temp", float("nan")), "not a number"),
        (value("blub", float("inf")), "not a number"),
        (value("temp", 1e308, "kPa"), None),
        (value("humidity", 1e308, "1"), "not a number"),
        (value("temp", "unavailable"), "unavailable"),
        (value("blub", "-"), "unavailable"),
        (value("temp", "warm"), "text"),
        (value("temp", True), "boolean"),
        (value("motion", 7), "not a boolean"),
        (value("blub", {"a": 1}), "no value"),
        (value("blub", "x\0"), "control character"),
        (value("blub", "x\ud800"), "control character"),
        (value("blub", "é🌡"), None),
        (value("blub", "x" * 2000), "text too long"),
    ],
)
def test_skipped_with_a_reason(reading: Reading, reason: str | None) -> None:
    found = normalise(reading)
    assert [item.reason for item in found.skipped] == ([reason] if reason else [])
    assert found.ignored == reason


def test_without_a_time_it_is_the_receive_time() -> None:
    (row,) = normalise(value("temp", 3, time=None)).observations
    assert (row.start, row.quality) == (RECEIVED, Quality.RECEIVED)


def test_retained_without_a_time_is_state() -> None:
    assert normalise(value("temp", 3, time=None), retained=True).ignored == "retained"
    both = normalise(value("temp", 3, time=None), value("hum", 4), retained=True)
    assert [row.number for row in both.observations] == [4]


@pytest.mark.parametrize("time", [RECEIVED + timedelta(hours=1, seconds=1), datetime(1989, 12, 31, tzinfo=UTC)])
def test_impossible_times(time: datetime) -> None:
    with pytest.raises(BadMessage) as caught:
        normalise(value("temp", 3), value("hum", 3, time=time))
    assert caught.value.reason == "time"


def test_bounds_of_the_source() -> None:
    assert normalise(value("temp", 3, time=RECEIVED + timedelta(hours=1))).observations
    with pytest.raises(BadMessage, match="at most 30 s before"):
        normalise(value("temp", 3), source=Source("s", "sensors/+", max_age=30))
    with pytest.raises(BadMessage, match="at most 3600 s after"):
        normalise(Place("a", {}, RECEIVED + timedelta(days=1)))


def test_same_stream_and_time_are_spread() -> None:
    tick = timedelta(microseconds=1)
    rows = normalise(value("temp", 1), value("temperature", 2, time=TIME + tick), value("temp", 3)).observations
    assert [(row.start, row.quality) for row in rows] == [
        (TIME, 0), (TIME + tick, 0), (TIME + 2 * tick, Quality.SPREAD),
    ]  # fmt: skip


def test_qualifiers_join() -> None:
    (row,) = normalise(value("probe1.temp", 1, qualifier="north")).observations
    assert row.datastream.qualifier == "probe1.north"


def test_what_is_no_reading() -> None:
    place, signal = Place("a", {"type": "Point", "coordinates": [3, 50]}, TIME, "Markt"), Signal("", {"rssi": -70})
    found = normalise(place, signal, Inventory("k", 1), Skipped("x", "null"))
    assert found.places == [place]
    assert found.signals == [Signal("kelder", {"rssi": -70})]
    assert found.inventories == [Inventory("k", 1)]
    assert found.ignored == "null"
    assert normalise(place, Ignored("location")).ignored == "location"
    assert normalise(place).ignored == "place"
    assert normalise().ignored == "no value"


def test_identity_of_the_push_door() -> None:
    (row,) = normalise(value("temp", 1, thing=""), identity="esp8266-1").observations
    assert row.datastream.thing == "esp8266-1"


VALUES = st.floats() | st.integers(-(2**63), 2**64) | st.booleans() | st.text(max_size=30)


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["temp", "motion", "blub", "hum", "pm2_5"]), VALUES, st.none() | st.text(max_size=5)
        )
    )
)
def test_each_value_is_an_observation_or_skipped(given: list[tuple[str, Any, str | None]]) -> None:
    found = normalise(*(value(*entry) for entry in given))
    assert len(found.observations) + len(found.skipped) == len(given)
    assert len({row[:2] for row in found.observations}) == len(found.observations)
    assert (found.ignored is None) == bool(found.observations)


def test_a_qualifier_is_cleaned() -> None:
    """It is part of what tells datastreams apart, and comes from outside."""
    rows = normalise(
        value("temp", 1, qualifier="\0noord\u202e"), value("temp", 2, qualifier="x" * 500)
    ).observations
    assert [row.datastream.qualifier for row in rows] == ["noord", "x" * 128]


def test_a_signal_has_only_numbers_that_json_has() -> None:
    found = normalise(Signal("a", {"rssi": -70, "snr": float("inf"), "state": "ok"}))
    assert found.signals == [Signal("a", {"rssi": -70, "state": "ok"})]


def test_thousands_of_datastreams_are_no_message() -> None:
    assert normalise(*(value(f"k{number}", 1) for number in range(2000))).observations
    with pytest.raises(BadMessage, match="at most 2000 datastreams"):
        normalise(*(value(f"k{number}", 1) for number in range(2001)))


def test_a_long_series_at_one_time_is_spread_in_order() -> None:
    rows = normalise(*(value("temp", number) for number in range(5000)), value("temp", -1)).observations
    assert [row.number for row in rows] == [*range(5000), -1]
    assert [row.start - TIME for row in rows] == [timedelta(microseconds=index) for index in range(5001)]


def test_an_interval_that_ends_before_it_begins() -> None:
    (row,) = normalise(value("temp", 3, end=TIME)).observations
    assert row.end == TIME
    with pytest.raises(BadMessage, match="ends before it begins"):
        normalise(value("temp", 3, end=TIME - timedelta(microseconds=1)))


@pytest.mark.parametrize("remembered", [{"a": "\0"}, ["\ud800"], float("inf"), {"\0": 1}])
def test_an_inventory_that_no_database_takes(remembered: Any) -> None:
    with pytest.raises(BadMessage, match="an inventory"):
        normalise(Inventory("k", remembered))
    assert normalise(Inventory("k", {"a": ["é 🌡", None, 1.5]})).inventories
