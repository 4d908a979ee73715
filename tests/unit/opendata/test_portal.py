from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree

from opendata import catalogue
from opendata.catalogue import Chart
from opendata.portal import chart, words
from opendata.portal.html import Markup, element, text

T0 = datetime(2026, 11, 24, 10, tzinfo=UTC)
HALF = timedelta(minutes=30)
ZONE = ZoneInfo("Europe/Brussels")
FRAME = chart.Frame(400, 200)


@given(st.text())
def test_text_is_escaped_and_markup_is_not(raw):
    made = element("p", raw, Markup("<b>x</b>"), title=raw)
    assert made.count("<") == 4
    assert text(made) == made


def test_attributes_are_written_as_html_has_them():
    assert (
        element("a", class_="x", aria_label='"', hidden=True, open=False, id=None)
        == '<a class="x" aria-label="&quot;" hidden></a>'
    )
    assert element("br") == "<br>"
    assert text(None, ["a", ["&"]]) == "a&amp;"


@pytest.mark.parametrize(
    ("result", "unit", "shown"),
    [
        (12.345, "Cel", "12,35\u00a0°C"),
        (-3, "1", "\u22123"),
        (12345.6, "", "12\u202f346"),
        (999.96, "1", "1\u202f000"),
        (0.00001234, "", "0,0000123"),
        (0, "1", "0"),
        (True, "", "ja / yes"),
        ("open", "", "open"),
        (None, "dB", "–"),
    ],
)
def test_values_read_as_people_write_them(result, unit, shown):
    assert words.value(result, unit) == shown


def test_policies_are_said_in_two_languages():
    assert "elke meting" in words.policy(None, [])
    said = words.policy("PT1H", ["mean", "max"])
    assert "gemiddelde, maximum per uur" in said
    assert '<span lang="en" class="en">hourly mean, maximum</span>' in said


def test_qualifiers_of_cells_are_said_in_words():
    assert words.qualifier("lane 1 PT15M count", "PT15M") == "lane 1 aantal"
    assert words.qualifier("PT1H mean min 2", "PT1H") == "gemiddelde"
    assert words.qualifier("lane 1", "PT1H") == "lane 1"
    assert words.qualifier("probe 2", None) == "probe 2"


numbers = st.floats(min_value=-1e9, max_value=1e9)


@given(
    st.dictionaries(
        st.text(min_size=1, max_size=5), st.lists(numbers, min_size=1, max_size=48), min_size=1, max_size=9
    )
)
def test_any_chart_is_drawn_within_its_frame(values):
    drawn = Chart(
        "airTemperature", "Cel", T0, T0 + 48 * HALF,
        {thing: [(T0 + place * HALF, value) for place, value in enumerate(row)] for thing, row in values.items()},
    )  # fmt: skip
    for draw in (chart.overview, chart.lines):
        tree = etree.fromstring(draw(drawn, ZONE, FRAME).encode())
        for line in tree.iter("polyline"):
            for point in line.attrib["points"].split():
                x, y = map(float, point.split(","))
                assert 0 <= x <= FRAME.width
                assert -1 <= y <= FRAME.height + 1


@given(st.lists(numbers, min_size=1, max_size=48))
def test_the_grid_reaches_over_all_values(values):
    drawn = Chart("airTemperature", "Cel", T0, T0 + 48 * HALF, {"s": [(T0, value) for value in values]})
    tree = etree.fromstring(chart.lines(drawn, ZONE, FRAME).encode())
    rules = [float(one.attrib["y1"]) for one in tree.iter("line")]
    for point in tree.find("polyline").attrib["points"].split():
        assert min(rules) - 0.2 <= float(point.split(",")[1]) <= max(rules) + 0.2
    assert 2 <= len(rules) <= 7


@pytest.mark.parametrize(
    ("minutes", "whole"),
    [(59, None), (150, None), (190, (1, 3)), (60 * 30 + 5, (6, 30)), (60 * 48, (24, 48))],
)
def test_totals_are_of_hours_that_are_over_and_were_seen_whole(minutes, whole):
    first = T0 + timedelta(minutes=1) if minutes < 200 else T0
    found = catalogue._whole_hours(first, T0 + timedelta(minutes=minutes), 24)
    assert found == (whole and (T0 + timedelta(hours=whole[0]), T0 + timedelta(hours=whole[1])))


def test_totals_say_that_they_are_an_hours():
    assert words.rate("mm") == "mm/u"
    assert words.rate("1") == "per uur"
    drawn = Chart("precipitation", "mm", T0, T0 + 4 * HALF, {"s": [(T0, 1.0)]}, hourly=True)
    assert "mm/u" in chart.overview(drawn, ZONE, FRAME)


def test_lines_break_where_nothing_was_measured():
    points = [(T0 + place * HALF, 1.0) for place in (0, 1, 2, 3, 9, 10)]
    assert [len(part) for part in chart.unbroken(points)] == [4, 2]
    assert chart.unbroken(points[:1]) == [points[:1]]


@given(st.floats(min_value=1e-9, max_value=1e12))
def test_steps_are_round_and_not_smaller(rough):
    assert rough * 0.998 <= chart.nice(rough) <= rough * 10.01
