from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from hypothesis import given
from hypothesis import strategies as st

from opendata.buckets import bucket_end, bucket_start

BRUSSELS = ZoneInfo("Europe/Brussels")
WINDOWS = [timedelta(minutes=1), timedelta(minutes=15), timedelta(hours=1), timedelta(hours=12), timedelta(days=1)]
FIRST, LAST = (datetime(year, 1, 1) for year in (1990, 2100))  # noqa: DTZ001 - hypothesis adds the zone
moments = st.datetimes(min_value=FIRST, max_value=LAST, timezones=st.just(UTC))


@given(moments, st.sampled_from(WINDOWS))
def test_a_bucket_holds_its_moment_and_meets_its_neighbour(moment, window):
    start = bucket_start(moment, window, BRUSSELS)
    end = bucket_end(start, window, BRUSSELS)
    assert start <= moment < end
    assert bucket_start(start, window, BRUSSELS) == start
    assert bucket_start(end, window, BRUSSELS) == end


def test_short_windows_follow_utc_and_days_the_city():
    moment = datetime(2026, 7, 1, 23, 20, tzinfo=UTC)
    assert bucket_start(moment, timedelta(minutes=15), BRUSSELS) == datetime(2026, 7, 1, 23, 15, tzinfo=UTC)
    assert bucket_start(moment, timedelta(days=1), BRUSSELS) == datetime(2026, 7, 1, 22, 0, tzinfo=UTC)


def test_days_of_23_and_25_hours():
    spring = bucket_start(datetime(2026, 3, 29, 12, tzinfo=UTC), timedelta(days=1), BRUSSELS)
    autumn = bucket_start(datetime(2026, 10, 25, 12, tzinfo=UTC), timedelta(days=1), BRUSSELS)
    assert bucket_end(spring, timedelta(days=1), BRUSSELS) - spring == timedelta(hours=23)
    assert bucket_end(autumn, timedelta(days=1), BRUSSELS) - autumn == timedelta(hours=25)
