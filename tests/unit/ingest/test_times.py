from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.errors import BadMessage
from ingest.times import interval, moment

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
    ],
)
def test_moment(written: object, expected: str) -> None:
    assert moment(written, BRUSSELS).isoformat() == expected


def test_both_changes_of_the_clock() -> None:
    """The hour that comes twice is its first; the one that is left out is read as if it had not been."""
    assert moment("2026-10-25T02:30:00", BRUSSELS) == datetime(2026, 10, 25, 0, 30, tzinfo=UTC)
    assert moment("2026-03-29T02:30:00", BRUSSELS) == datetime(2026, 3, 29, 1, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    "written", [12345, -1, True, None, "12:30:00", "gisteren", [], 1e30, float("nan"), "0001-01-01"]
)
def test_refuses_and_names_the_field(written: object) -> None:
    with pytest.raises(BadMessage, match="received_at: expected an RFC 3339 time") as caught:
        moment(written, ZoneInfo("Asia/Tokyo"), "received_at")
    assert caught.value.reason == "time"


def test_interval() -> None:
    start, end = interval("2026-03-02T07:10:00/2026-03-02T07:15:00", UTC)
    assert end is not None
    assert (end - start).total_seconds() == 300
    assert interval("2026-03-02T07:10:00", UTC)[1] is None


@given(st.integers(631_152_000_000, 4_102_444_800_000))
def test_epochs_and_texts_agree(milliseconds: int) -> None:
    when = moment(milliseconds, UTC)
    assert when.timestamp() == milliseconds / 1000
    assert moment(when.isoformat(), BRUSSELS) == when
