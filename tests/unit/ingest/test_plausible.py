from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker import vocabulary
from broker.model import Message, Quality, Reading, Source
from ingest import normalise
from ingest.normalise import Normaliser
from ingest.plausible import CONFIRMED, FEWEST, Memory

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
SOURCE = Source("s", "sensors/+", format="json")


def flags(*values: float, every: timedelta = MINUTE, step: float = 10, stuck: timedelta = DAY) -> list[int]:
    """What a fresh memory says of values that come at this pace."""
    memory = Memory(step, stuck)
    return [memory.judge(value, NOON + index * every) for index, value in enumerate(values)]


def test_a_jump_is_flagged_and_what_follows_is_not() -> None:
    assert flags(20, 21, 55, 22, 12.5) == [0, 0, Quality.SPIKE, 0, 0]


def test_the_first_value_is_no_jump() -> None:
    assert flags(55) == [0]


def test_three_in_a_row_are_the_new_level() -> None:
    assert CONFIRMED == 3
    assert flags(20, 55, 56, 54, 53, 20) == [0, Quality.SPIKE, Quality.SPIKE, 0, 0, Quality.SPIKE]


def test_jumps_that_do_not_agree_are_no_level() -> None:
    assert flags(20, 55, 90, 56, 91, 20) == [0, *[Quality.SPIKE] * 4, 0]


def test_a_good_value_begins_the_count_again() -> None:
    assert flags(20, 55, 55, 20, 55, 55, 55) == [0, 32, 32, 0, 32, 32, 0]


def test_a_longer_gap_believes_more() -> None:
    assert flags(20, 35, every=HOUR) == [0, Quality.SPIKE]
    assert flags(20, 35, every=2 * HOUR) == [0, 0]
    # Counted from the last value that was accepted: 6 hours, 60 degrees.
    assert flags(20, 75, -30, 75, every=2 * HOUR) == [0, Quality.SPIKE, Quality.SPIKE, 0]


def test_a_value_that_stands_still_is_flagged_until_it_moves() -> None:
    assert flags(*[20] * 12, 20.1, 20.1, every=3 * HOUR) == [*[0] * 9, *[Quality.STUCK] * 3, 0, 0]


def test_few_equal_values_say_nothing() -> None:
    assert flags(*[20] * FEWEST, every=2 * DAY) == [*[0] * (FEWEST - 1), Quality.STUCK]


def test_a_spike_hides_no_standstill() -> None:
    assert flags(*[20] * 10, 55, 20, every=3 * HOUR, step=1)[-2:] == [Quality.SPIKE, Quality.STUCK]


def test_late_values_neither_are_judged_nor_disturb() -> None:
    memory = Memory(10, DAY)
    assert memory.judge(20, NOON) == 0
    assert [memory.judge(value, NOON - HOUR) for value in (99, 99, 99, 20)] == [0, 0, 0, 0]
    assert memory.judge(99, NOON) == 0
    assert memory.judge(21, NOON + MINUTE) == 0
    assert memory.judge(99, NOON + 2 * MINUTE) == Quality.SPIKE
    assert memory.judge(99, NOON + MINUTE) == 0
    assert memory.judge(99, NOON + 3 * MINUTE) == Quality.SPIKE


@given(st.lists(st.floats(-1e6, 1e6), max_size=40), st.lists(st.tuples(st.integers(1, 99), st.floats(-1e6, 1e6))))
def test_the_same_flags_whatever_comes_late(values: list[float], late: list[tuple[int, float]]) -> None:
    """Only the order of the newest counts; and of four equal values the last is never a spike."""
    memory, found = Memory(10, DAY), []
    for index, value in enumerate(values):
        found.append(memory.judge(value, NOON + index * MINUTE))
        for back, other in late:
            assert memory.judge(other, NOON + (index - back) * MINUTE) == 0
    assert found == flags(*values)
    assert flags(*values, 5, 5, 5)[-1] == 0


# ── through Normaliser ───────────────────────────────────────────────────────────────────────────────────────────────


def qualities(
    normaliser: Normaliser, name: str, *values: Any, start: datetime = NOON, **message: Any
) -> list[int]:
    """The quality of each value, a minute apart, each in a message of its own."""
    found = []
    for index, value in enumerate(values):
        reading = Reading("a", name, value, start + index * MINUTE)
        delivered = Message("sensors/a", b"", NOON + DAY, **message)
        found += [row.quality for row in normaliser.normalise([reading], delivered, SOURCE).observations]
    return found


@pytest.fixture
def normaliser() -> Normaliser:
    return Normaliser(vocabulary.load())


def test_nothing_is_dropped(normaliser: Normaliser) -> None:
    assert qualities(normaliser, "airTemperature", 5, 5.5, 40, "6,1 °C", 6) == [0, 0, Quality.SPIKE, 0, 0]


def test_out_of_range_is_not_remembered(normaliser: Normaliser) -> None:
    assert qualities(normaliser, "airTemperature", 5, 999, 999, 999, 6) == [0, *[Quality.RANGE] * 3, 0]


def test_two_names_of_one_datastream_share_what_is_remembered(normaliser: Normaliser) -> None:
    assert qualities(normaliser, "airTemperature", 5) == [0]
    assert qualities(normaliser, "outTemp_C", 40, start=NOON + HOUR) == [Quality.SPIKE]


def test_parts_of_a_thing_are_apart(normaliser: Normaliser) -> None:
    assert qualities(normaliser, "airTemperature", 5, part="1") == [0]
    assert qualities(normaliser, "airTemperature", 40, part="11", start=NOON + MINUTE) == [0]
    assert qualities(normaliser, "airTemperature", 40, part="1", start=NOON + MINUTE) == [Quality.SPIKE]


@pytest.mark.parametrize("name", ["vehicleCount", "batteryLevel", "precipitation", "LAeq", "blub"])
def test_where_jumps_are_normal_nothing_is_flagged(normaliser: Normaliser, name: str) -> None:
    assert qualities(normaliser, name, 20, 100, 30, 90) == [0, 0, 0, 0]


def test_booleans_and_texts_have_no_memory(normaliser: Normaliser) -> None:
    assert qualities(normaliser, "motion", *[True] * 9) == [0] * 9
    assert qualities(normaliser, "mode", *["eco"] * 9) == [0] * 9


def test_memory_is_bounded(normaliser: Normaliser, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(normalise, "MAX_STREAMS", 10)
    message = Message("sensors/a", b"", NOON)
    for number in range(100):
        normaliser.normalise([Reading(f"thing-{number}", "airTemperature", 5, NOON)], message, SOURCE)
    assert len(normaliser._streams) <= 10
    assert len(normaliser._memories) <= 10


@pytest.mark.parametrize("item", vocabulary.load().values(), ids=vocabulary.load())
def test_vocabulary(item: vocabulary.Property) -> None:
    judged = item.step < float("inf") or item.stuck < timedelta.max
    assert not judged or (item.result == "number" and item.averaging != "sum")
    assert item.step > 0
    assert item.step == float("inf") or item.step < item.high - item.low
    assert item.stuck >= DAY
    assert item.averaging == "arithmetic" or item.step == float("inf") or item.key in {"windGust", "snowHeight"}


def test_vocabulary_judges_what_matters() -> None:
    words = vocabulary.load()
    assert words["no2"].step == 300
    assert words["no2"].stuck == DAY
    for key in ("batteryLevel", "batteryVoltage", "peopleCount", "precipitation", "parkingOccupied"):
        assert words[key].stuck == timedelta.max
