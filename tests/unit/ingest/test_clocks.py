from datetime import UTC, datetime, timedelta, tzinfo
from zoneinfo import ZoneInfo

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker import modules, vocabulary
from broker.config import City, Config, SourceTable
from broker.model import Message, Source
from ingest.clocks import Clocks, Twice, goes_back
from ingest.normalise import Normaliser
from ingest.pipeline import Taker
from ingest.times import moment

BRUSSELS = ZoneInfo("Europe/Brussels")
BACK = datetime(2026, 10, 25, 1, tzinfo=UTC)
"""When clocks go from 03:00 back to 02:00."""
AHEAD = datetime(2026, 3, 29, 1, tzinfo=UTC)
MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)
SECONDS = st.integers(-6 * 3600, 6 * 3600).map(lambda seconds: timedelta(seconds=seconds))


def written(time: datetime) -> str:
    """As a device with a local clock and no zone writes it."""
    return time.astimezone(BRUSSELS).replace(tzinfo=None).isoformat()


@given(SECONDS, st.integers(0, 25 * 60))
def test_a_live_message_is_read_as_it_was_meant(after: timedelta, late: int) -> None:
    """Around the change each local time that is at most 25 minutes old comes back as the moment that it was."""
    time = BACK + after
    assert moment(written(time), Twice(BRUSSELS, time + timedelta(seconds=late))) == time


@given(SECONDS)
def test_no_local_time_is_lost_when_clocks_go_ahead(after: timedelta) -> None:
    time = AHEAD + after
    assert moment(written(time), BRUSSELS) == moment(written(time), Twice(BRUSSELS, time)) == time


@given(st.datetimes(datetime(2026, 3, 29, 2), datetime(2026, 3, 29, 3)), st.booleans())  # noqa: DTZ001 - local
def test_a_local_time_that_never_was_keeps_its_place(wall: datetime, live: bool) -> None:
    zone: tzinfo = Twice(BRUSSELS, AHEAD) if live else BRUSSELS
    if wall < datetime(2026, 3, 29, 3):  # noqa: DTZ001 - local
        assert moment(wall.isoformat(), zone) == wall.replace(tzinfo=UTC) - HOUR


def test_backfill_is_the_first_hour() -> None:
    assert moment("2026-10-25T02:30:00", Twice(BRUSSELS, BACK + 5 * HOUR)) == BACK - 30 * MINUTE
    assert moment("2026-10-25T02:30:00", Twice(BRUSSELS, BACK - 30 * MINUTE)) == BACK - 30 * MINUTE
    assert moment("2026-10-25T02:30:00", Twice(BRUSSELS, BACK + 31 * MINUTE)) == BACK + 30 * MINUTE


def test_a_clock_that_is_a_little_fast() -> None:
    assert moment("2026-10-25T02:04:00", Twice(BRUSSELS, BACK + MINUTE)) == BACK + 4 * MINUTE


def test_a_zone_of_the_time_itself_wins() -> None:
    assert moment("2026-10-25T02:30:00+02:00", Twice(BRUSSELS, BACK + HOUR)) == BACK - 30 * MINUTE


def test_the_zone_is_otherwise_as_it_was() -> None:
    zone, summer = Twice(BRUSSELS, BACK), datetime(2026, 7, 1)  # noqa: DTZ001 - local
    assert (zone.utcoffset(summer), zone.dst(summer), zone.tzname(summer)) == (2 * HOUR, HOUR, "CEST")
    assert zone.utcoffset(None) is None


@given(st.datetimes(datetime(2025, 1, 1), datetime(2030, 1, 1), timezones=st.just(UTC)))  # noqa: DTZ001 - bounds
def test_sources_change_only_while_it_matters(received: datetime) -> None:
    source = Source("s", "s/+", timezone=BRUSSELS)
    found = Clocks().at(source, received)
    matters = any(
        moment(written(received - ago), Twice(BRUSSELS, received)) != moment(written(received - ago), BRUSSELS)
        for ago in (timedelta(), 20 * MINUTE, 59 * MINUTE)
    )
    assert (found is not source) >= matters
    assert Clocks().at(Source("s", "s/+"), received).timezone is UTC


def test_only_around_that_night() -> None:
    assert [goes_back(BRUSSELS, BACK + n * HOUR, BACK + (n + 1) * HOUR) for n in range(-3, 4)] == [
        False, False, True, True, True, False, False,
    ]  # fmt: skip
    assert not goes_back(BRUSSELS, AHEAD, AHEAD + HOUR)


@pytest.fixture
def taker() -> Taker:
    config = Config(
        city=City(id="leiestad", name="Leiestad", timezone="Europe/Brussels"),
        source=[SourceTable(name="s", topic="sensors/+", format="json")],
    )
    return Taker(config, modules.load("ingest.formats"), Normaliser(vocabulary.load()), None, {})


def test_a_night_of_live_messages_has_no_two_values_at_one_time(taker: Taker) -> None:
    """A device with a local clock that sends every ten minutes, from 01:30 to 04:00 by the wall."""
    sent = [BACK - 90 * MINUTE + n * 10 * MINUTE for n in range(22)]
    for time in sent:
        payload = orjson.dumps({"time": written(time), "temp": 7})
        (row,) = taker.take(Message("sensors/a", payload, time + timedelta(seconds=2))).observations
        assert row.start == time
