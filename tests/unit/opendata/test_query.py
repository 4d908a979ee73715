from contextlib import suppress
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opendata.problems import Problem
from opendata.query import moment, selection


@pytest.mark.parametrize(
    "text",
    [
        "2026-11-24T10:00:00Z", "2026-11-24T11:00:00+01:00", "2026-11-24T11:00:00 01:00", "2026-11-24T11:00 01",
        "2026-11-24T11:00:00.000 0100", "2026-11-24 10:00:00+00:00", "20261124T100000Z", " 2026-11-24T10:00Z ",
    ],
)  # fmt: skip
def test_times_with_a_zone_are_read(text):
    assert moment("from", text) == datetime(2026, 11, 24, 10, tzinfo=UTC)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "2026-11-24",
        "2026-11-24T10:00:00",
        "2026-11-24 10:00",
        "now",
        "2026-13-01T00:00Z",
        "0001-01-01T00:00+14:00",
    ],
)
def test_anything_else_is_a_400_that_names_the_parameter(text):
    with pytest.raises(Problem) as caught:
        moment("from", text)
    assert (caught.value.status, caught.value.extra["parameter"]) == (400, "from")


@given(st.text(max_size=40))
def test_no_text_is_worse_than_a_400(text):
    found = None
    with suppress(Problem):
        found = moment("to", text)
    assert found is None or found.tzinfo is UTC


def test_nothing_is_no_bound():
    assert selection() == (None, None, (), ())
