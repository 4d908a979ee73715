from datetime import UTC, datetime, timedelta, tzinfo
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.errors import BadMessage
from broker.model import Quality
from ingest.times import agreed, interval, is_epoch, moment

BRUSSELS = ZoneInfo("Europe/Brussels")


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("2026-03-02T06:59:57.899120450Z", "2026-03-02T06:59:57.899120+00:00"),
        ("2026-03-02T07:15:00.190512339+00:00", "2026-03-02T07:15:00.190512+00:00"),
        ("2026-03-02T07:15:00z", "2026-03-02T07:15:00+00:00"),
        ("2026-03-02 07:15:00 UTC", "2026-03-02T07:15:00+00:00"),
        ("2026-03-02 08:15:00", "2026-03-02T07:15:00+00:00"),
        ("2026-07-02 09:15:00", "2026-07-02T07:15:00+00:00"),
        ("2026-03-02T08:15:00+0100", "2026-03-02T07:15:00+00:00"),
        (1772434800, "2026-03-02T07:00:00+00:00"),
        (1772434800.25, "2026-03-02T07:00:00.250000+00:00"),
        (1772434800123, "2026-03-02T07:00:00.123000+00:00"),
        (1772434800123456, "2026-03-02T07:00:00.123456+00:00"),
        (1772434800123456789, "2026-03-02T07:00:00.123456+00:00"),
        ("1772434800", "2026-03-02T07:00:00+00:00"),
        ("1772434800.123", "2026-03-02T07:00:00.123000+00:00"),
        ("1.7724348E+9", "2026-03-02T07:00:00+00:00"),
        ("1772434800123456789", "2026-03-02T07:00:00.123456+00:00"),
        ("2026-03-02T07:15Z", "2026-03-02T07:15:00+00:00"),
        ("20260302T071500Z", "2026-03-02T07:15:00+00:00"),
        ("20260302081500", "2026-03-02T07:15:00+00:00"),
        ("2026/03/02 08:15:00.5", "2026-03-02T07:15:00.500000+00:00"),
        ("2026-03-02T07:15:00,25Z", "2026-03-02T07:15:00.250000+00:00"),
        (" 2026-03-02T08:15:00 +01:00\n", "2026-03-02T07:15:00+00:00"),
        ("2026-03-02 07:15:00.1234567 +0000 UTC", "2026-03-02T07:15:00.123456+00:00"),
        ("2026-03-02T08:15:00+01:00[Europe/Brussels]", "2026-03-02T07:15:00+00:00"),
        ("2026-03-02T07:15:00GMT", "2026-03-02T07:15:00+00:00"),
        ("2026-03-02T07:15:00-00:00", "2026-03-02T07:15:00+00:00"),
        ("2026/03/02 04:45 -03:30", "2026-03-02T08:15:00+00:00"),
        ("2026-12-31T23:59:60Z", "2027-01-01T00:00:00+00:00"),
        ("2026-12-31T23:59:60.75-01:00", "2027-01-01T01:00:00.750000+00:00"),
        ("2026-03-02T24:00:00", "2026-03-02T23:00:00+00:00"),
        ("2026-03-02", "2026-03-01T23:00:00+00:00"),
    ],
)
def test_moment(written: object, expected: str) -> None:
    assert moment(written, BRUSSELS).isoformat() == expected


def test_both_changes_of_the_clock() -> None:
    """The hour that comes twice is its first; the one that is left out is read as if it had not been."""
    assert moment("2026-10-25T02:30:00", BRUSSELS) == datetime(2026, 10, 25, 0, 30, tzinfo=UTC)
    assert moment("2026-03-29T02:30:00", BRUSSELS) == datetime(2026, 3, 29, 1, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    "written",
    [
        12345, -1, True, None, "12:30:00", "gisteren", [], 1e30, float("nan"), "0001-01-01", 10**400, "9" * 5000, "nan", "1e400",
        "1_772_434_800", "02/03/2026 07:15:00", "2026-02-30T00:00:00Z", "2026-03-02T24:00:01Z", "2026-03-02T23:60:00Z",
        "2026-03-02T23:59:61Z", "2026-03-02T07:15:00+99:99", "9999/12/31 24:00:00Z", "20269902081500", "",
    ],
)  # fmt: skip
def test_refuses_and_names_the_field(written: object) -> None:
    with pytest.raises(BadMessage, match="received_at: expected an RFC 3339 time") as caught:
        moment(written, ZoneInfo("Asia/Tokyo"), "received_at")
    assert caught.value.reason == "time"


def test_interval() -> None:
    start, end = interval("2026-03-02T07:10:00/2026-03-02T07:15:00", UTC)
    assert end is not None
    assert (end - start).total_seconds() == 300
    assert interval("2026-03-02T07:10:00", UTC)[1] is None


EPOCHS = st.integers(631_152_000, 4_102_444_800)
"""Seconds, 1990 to 2100."""


@given(EPOCHS, st.integers(0, 999_999))
def test_epochs_in_every_unit_and_texts_agree(seconds: int, micro: int) -> None:
    """Seconds, ms, µs and ns, as numbers and as texts, and every spelling of RFC 3339 are one moment."""
    when = datetime.fromtimestamp(seconds, UTC)
    exact = when.replace(microsecond=micro)
    milli = exact.replace(microsecond=micro // 1000 * 1000)
    numbers = {
        seconds: when,
        seconds * 1000 + micro // 1000: milli,
        seconds * 10**6 + micro: exact,
        seconds * 10**9 + micro * 1000 + 999: exact,
    }
    for number, expected in numbers.items():
        assert moment(number, BRUSSELS) == moment(str(number), BRUSSELS) == moment(f" {number} ", UTC) == expected
    assert moment(float(seconds), UTC) == moment(f"{seconds}.0", UTC) == when
    for zone in (UTC, BRUSSELS, ZoneInfo("America/St_Johns")):
        text = exact.astimezone(zone).isoformat(timespec="microseconds")
        for spelling in (
            text,
            text.lower(),
            text.replace("T", " "),
            text[:-6] + " " + text[-6:],
            text[:26] + "9" + text[26:],
        ):
            assert moment(spelling, ZoneInfo("Asia/Tokyo")) == exact


@given(EPOCHS)
def test_local_time_without_a_zone(seconds: int) -> None:
    """It comes back as the moment that it was, but in the second of two equal hours: that is read as the first."""
    when = datetime.fromtimestamp(seconds, UTC)
    local = when.astimezone(BRUSSELS)
    read = moment(local.replace(tzinfo=None).isoformat(), BRUSSELS)
    assert read == when - timedelta(hours=local.fold)


@given(
    st.text(max_size=40)
    | st.from_regex(r"\d{4}[-/]?\d\d[-/]?\d\d[T ]?\d\d:?\d\d.{0,12}")
    | st.floats()
    | st.integers()
)
def test_a_time_or_bad_message(written: object) -> None:
    try:
        found: tzinfo | str | None = moment(written, BRUSSELS).tzinfo
    except BadMessage as error:
        found = error.reason
    assert found in {UTC, "time"}


TIMES = st.lists(st.datetimes(datetime(2020, 1, 1), datetime(2030, 1, 1), timezones=st.just(UTC)), max_size=3)  # noqa: DTZ001


@given(TIMES, TIMES)
def test_of_contradicting_times_the_epoch_wins(epochs: list[datetime], texts: list[datetime]) -> None:
    time, quality = agreed(epochs, texts)
    assert time == next(iter([*epochs, *texts]), None)
    assert (quality == Quality.CLOCK) == bool(
        epochs and texts and abs(epochs[0] - texts[0]) > timedelta(seconds=1)
    )


@pytest.mark.parametrize(
    ("written", "number"), [(1772434800, True), ("1772434800.5", True), ("20260302071500", False)]
)
def test_is_epoch(written: object, number: bool) -> None:
    assert is_epoch(written) is number
