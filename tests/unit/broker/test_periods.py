"""ISO 8601 durations of fixed length."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.periods import parse, write


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("PT15M", 900), ("PT1H", 3600), ("P1D", 86_400), ("P1DT2H3M4S", 93_784), ("PT90M", 5400), ("PT0S", 0)],
)
def test_parse(text, seconds):
    assert parse(text) == timedelta(seconds=seconds)


@pytest.mark.parametrize(
    "text", ["", "P", "PT", "P1DT", "1H", "P1Y", "P1M", "PT1.5H", "-PT1H", "pt1h", "P9999999999D"]
)
def test_what_is_none(text):
    assert parse(text) is None


@given(st.integers(0, 10**9))
def test_what_is_written_is_read_again(seconds):
    length = timedelta(seconds=seconds)
    assert parse(write(length)) == length


@given(st.from_regex(r"P(\d{1,12}D)?(T(\d{1,12}H)?(\d{1,12}M)?)?", fullmatch=True))
def test_parse_never_fails(text):
    found = parse(text)
    assert found is None or parse(write(found)) == found
