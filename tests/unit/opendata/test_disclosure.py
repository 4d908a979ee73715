from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.model import Datastream, Flow
from opendata.disclosure import Bucket, begin, disclose, disclose_flows

T0 = datetime(2026, 11, 24, tzinfo=UTC)
STREAM = Datastream("cam1", "vehiclePassageCount", "PT15M count", "1")
QUARTER = timedelta(minutes=15)

values = st.one_of(st.none(), st.floats(allow_nan=False))
counts = st.integers(min_value=0, max_value=1000)


def flow(value, n):
    return Flow(STREAM, "camera", T0, T0 + QUARTER, value, n)


@given(values, counts, st.integers(min_value=1, max_value=100))
def test_a_value_is_shown_only_if_it_rests_on_enough(value, n, minimum):
    cell = disclose(Bucket(STREAM, T0, T0 + QUARTER, value, n), minimum)
    assert (cell.status == "published") is (n >= minimum and value is not None)
    assert cell.value == (value if cell.status == "published" else None)
    assert (cell.datastream, cell.start, cell.end) == (STREAM, T0, T0 + QUARTER)


@given(st.integers(min_value=2, max_value=50), st.data())
def test_nothing_and_almost_nothing_look_alike(minimum, data):
    one, other = (data.draw(st.integers(min_value=0, max_value=minimum - 1)) for _ in range(2))
    assert disclose_flows([flow(float(one), one)], minimum) == disclose_flows([flow(float(other), other)], minimum)


@given(st.lists(st.tuples(values, counts), max_size=20), st.integers(min_value=2, max_value=50))
def test_every_flow_becomes_one_cell_in_order(pairs, minimum):
    cells = disclose_flows([flow(*pair) for pair in pairs], minimum)
    assert len(cells) == len(pairs)
    assert all(cell.value is None or n >= minimum for cell, (_, n) in zip(cells, pairs, strict=True))


@pytest.mark.parametrize("minimum", [1, 0, -5])
def test_a_minimum_that_protects_nobody_is_refused(minimum):
    with pytest.raises(ValueError, match="single vehicles"):
        disclose_flows([], minimum)


@given(st.lists(st.integers(min_value=0, max_value=9), max_size=12), st.booleans())
def test_the_beginning_of_a_list_never_tells_one_vehicle_from_none(counts, listed):
    flows = [
        Flow(STREAM, "camera", T0 + place * QUARTER, T0 + (place + 1) * QUARTER, float(n), n)
        for place, n in enumerate(counts)
    ]
    cells = disclose_flows(flows, 5)
    shown = begin(reversed(cells), {STREAM} if listed else set())
    first = next((place for place, n in enumerate(counts) if n >= 5), len(counts))
    assert shown == cells[0 if listed else first :]
