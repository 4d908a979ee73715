from datetime import timedelta

import pytest

from broker.config import FeedTable
from broker.store.feeds import Candidate, Membership
from opendata import membership

HOUR = timedelta(hours=1)
QUARTER = timedelta(minutes=15)


def feed(**values):
    return FeedTable.model_validate({"id": "f", "title": "F", **values})


def one(**values):
    base = Candidate(1, "s1", "sensor", "Noord", "airTemperature", "ttn-gent", "", False, None, None, None, None)
    return base._replace(**values)


@pytest.mark.parametrize(
    ("selection", "selected"),
    [
        ({}, True),
        ({"property": ["airTemperature"]}, True),
        ({"property": ["pm25"]}, False),
        ({"property": ["air*"]}, True),
        ({"kind": ["counter"]}, False),
        ({"area": ["Noord", "Zuid"]}, True),
        ({"area": ["Zuid"]}, False),
        ({"source": ["ttn-*"]}, True),
        ({"source": ["TTN-*"]}, False),
    ],
)
def test_raw_feeds_select_by_property_kind_area_and_source(selection, selected):
    assert membership.selects(feed(**selection), one()) is selected


@pytest.mark.parametrize(
    "hidden",
    [{"personal": True}, {"kind": "camera"}, {"kind": "camera_pair"}, {"window": HOUR, "statistic": "mean"}],
)
def test_raw_feeds_never_hold_what_is_personal_nor_cells(hidden):
    assert not membership.selects(feed(kind=["*", "camera"]), one(**hidden))


def test_aggregate_feeds_hold_cells_of_their_window_and_statistics():
    hourly = feed(policy="aggregate", window="PT1H", statistics=["mean"])
    cell = one(window=HOUR, statistic="mean", parent=1)
    assert membership.selects(hourly, cell)
    assert not membership.selects(hourly, one())
    assert not membership.selects(hourly, cell._replace(window=QUARTER))
    assert not membership.selects(hourly, cell._replace(statistic="max"))
    assert not membership.selects(hourly, cell._replace(minimum=5))
    assert membership.selects(hourly, cell._replace(parent=None, minimum=5)), "the city's lattice sets the minimum"


def test_aggregate_feeds_need_series_of_sensors_once():
    feeds = [
        feed(policy="aggregate", window="PT1H", statistics=["mean", "max"], minimum=3),
        feed(id="g", policy="aggregate", window="PT1H", statistics=["mean"], minimum=3),
        feed(id="raw"),
    ]
    sensors = [one(qualifier="lane 1"), one(id=2, personal=True), one(id=3, kind="camera")]
    found = membership.series(feeds, sensors)
    assert {(s.parent, s.qualifier) for s in found} == {
        (1, "lane 1 PT1H mean min 3"),
        (1, "lane 1 PT1H max min 3"),
    }
    cells = [one(id=9 + n, parent=1, window=HOUR, statistic=s.statistic, minimum=3) for n, s in enumerate(found)]
    assert membership.series(feeds, [*sensors, *cells]) == []
    assert membership.wanted(feeds, [*sensors, *cells]) == {
        Membership("f", 9), Membership("f", 10), Membership("g", 9 + [s.statistic for s in found].index("mean")),
        Membership("raw", 1),
    }  # fmt: skip


def test_an_aggregate_feed_without_more_is_the_hourly_mean():
    plain = feed(policy="aggregate")
    assert (membership.window(plain), membership.statistics(plain)) == (HOUR, ["mean"])


@pytest.mark.parametrize(
    ("values", "shown"),
    [
        ({"policy": "aggregate", "window": "PT15M", "statistics": ["count"], "kind": ["camera"]}, True),
        ({"policy": "aggregate", "window": "PT15M", "statistics": ["count"]}, True),
        ({"policy": "aggregate", "window": "PT15M", "statistics": ["count"], "property": ["pm25"]}, False),
        ({"policy": "aggregate", "window": "PT15M", "statistics": ["count"], "kind": ["sensor"]}, False),
        ({"policy": "aggregate", "window": "PT1H", "statistics": ["count"], "kind": ["camera"]}, False),
        ({"policy": "aggregate", "window": "PT15M", "statistics": ["mean"], "kind": ["camera"]}, False),
        ({"kind": ["camera"]}, False),
    ],
)
def test_flows_are_shown_in_the_lattices_window_and_statistic_only(values, shown):
    assert membership.shows_flow(feed(**values), "vehiclePassageCount", "camera") is shown
