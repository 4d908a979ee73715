"""Charts as inline SVG, styled by the page's own style sheet.

https://www.w3.org/TR/SVG2/
"""

from collections.abc import Sequence
from datetime import datetime, timedelta, tzinfo
from itertools import pairwise
from math import ceil, floor, log10
from typing import NamedTuple, TypeAlias

from opendata.catalogue import Chart
from opendata.portal.html import Content, Markup, element, text
from opendata.portal.words import label, number, rate, unit

Points: TypeAlias = Sequence[tuple[datetime, float]]

COLOURS = 6
"""Lines that get a colour of their own."""


class Frame(NamedTuple):
    """The size of a chart and of the margins around its lines, in user units."""

    width: int
    height: int
    left: int = 44
    right: int = 12
    top: int = 12
    bottom: int = 24


class Scale(NamedTuple):
    """From values and times to user units."""

    frame: Frame
    start: datetime
    end: datetime
    low: float
    high: float
    step: float
    """Between two lines of the grid."""

    def x(self, time: datetime) -> float:
        """Where a time lies."""
        share = (time - self.start) / (self.end - self.start)
        return round(self.frame.left + share * (self.frame.width - self.frame.left - self.frame.right), 1)

    def y(self, value: float) -> float:
        """Where a value lies."""
        share = (value - self.low) / (self.high - self.low)
        return round(self.frame.height - self.frame.bottom - share * self._depth, 1)

    @property
    def _depth(self) -> int:
        return self.frame.height - self.frame.top - self.frame.bottom


def overview(chart: Chart, zone: tzinfo, frame: Frame) -> Markup:
    """Draw one bold line, the mean of all things, over a thin one for each of them."""
    scale = _scale(chart, frame)
    bold = _mean(list(chart.lines.values()))
    thin = [_line(scale, points, "thin") for points in chart.lines.values()] if len(chart.lines) > 1 else []
    areas = [_area(scale, part) for part in unbroken(bold)]
    return _svg(chart, scale, zone, [thin, areas, _line(scale, bold, "bold"), _dot(scale, bold)])


def lines(chart: Chart, zone: tzinfo, frame: Frame) -> Markup:
    """Draw a line for each thing, the first few in colours of their own."""
    scale = _scale(chart, frame)
    drawn = [
        _line(scale, points, f"line c{place}" if place < COLOURS else "thin")
        for place, points in enumerate(chart.lines.values())
    ]
    return _svg(chart, scale, zone, drawn[::-1])


def _svg(chart: Chart, scale: Scale, zone: tzinfo, drawn: Content) -> Markup:
    frame = scale.frame
    return element(
        "svg",
        element("title", _title(chart)),
        _grid(scale),
        _times(scale, zone),
        drawn,
        viewBox=f"0 0 {frame.width} {frame.height}",
        role="img",
        class_="chart",
    )


def _title(chart: Chart) -> str:
    values = [value for points in chart.lines.values() for _, value in points]
    measured = rate(chart.unit) if chart.hourly else unit(chart.unit)
    shown = f"{number(min(values))} – {number(max(values))} {measured}"
    return f"{label(chart.property)}: {shown}, {len(chart.lines)} meetpunten / things, 24 u / h"


def _scale(chart: Chart, frame: Frame) -> Scale:
    values = [value for points in chart.lines.values() for _, value in points]
    low, high = min(values), max(values)
    step = nice((high - low) / 4 or abs(high) / 4 or 1)
    low, high = floor(low / step) * step, ceil(high / step) * step
    return Scale(frame, chart.start, chart.end, low, high if high > low else low + step, step)


def nice(rough: float) -> float:
    """Round a positive step up to 1, 2 or 5 times a power of ten."""
    power = 10.0 ** floor(log10(rough))
    return next(one * power for one in (1, 2, 5, 10) if one * power >= rough * 0.999)


def _grid(scale: Scale) -> list[Markup]:
    frame = scale.frame
    count = round((scale.high - scale.low) / scale.step)
    marks = []
    for place in range(count + 1):
        value = scale.low + place * scale.step
        y = scale.y(value)
        marks.append(element("line", x1=frame.left, x2=frame.width - frame.right, y1=y, y2=y, class_="grid"))
        marks.append(
            element("text", number(round(value, 6)), x=frame.left - 7, y=y + 3.5, class_="tick", text_anchor="end")
        )
    return marks


def _times(scale: Scale, zone: tzinfo) -> list[Markup]:
    local = scale.start.astimezone(zone)
    first = local.replace(minute=0, second=0, microsecond=0)
    hours = [first + timedelta(hours=one) for one in range(1, 27)]
    shown = [one for one in hours if one.hour % 6 == 0 and scale.start <= one <= scale.end]
    y = scale.frame.height - 6
    return [
        element("text", one.strftime("%H:%M"), x=scale.x(one), y=y, class_="tick", text_anchor="middle")
        for one in shown
    ]


def _mean(many: list[list[tuple[datetime, float]]]) -> list[tuple[datetime, float]]:
    by_time: dict[datetime, list[float]] = {}
    for points in many:
        for time, value in points:
            by_time.setdefault(time, []).append(value)
    return [(time, sum(values) / len(values)) for time, values in sorted(by_time.items())]


def unbroken(points: Points) -> list[Points]:
    """Cut a line where values are missing, so that nothing is drawn that nobody measured."""
    steps = sorted(later[0] - earlier[0] for earlier, later in pairwise(points))
    if not steps:
        return [points]
    longest = steps[len(steps) // 2] * 2.5
    cuts = [place for place, (one, two) in enumerate(pairwise(points), 1) if two[0] - one[0] > longest]
    return [points[start:end] for start, end in pairwise([0, *cuts, len(points)])]


def _line(scale: Scale, points: Points, kind: str) -> Markup:
    return text(element("polyline", points=_points(scale, part), class_=kind) for part in unbroken(points))


def _area(scale: Scale, points: Points) -> Markup:
    floor_ = scale.frame.height - scale.frame.bottom
    ends = f"{scale.x(points[-1][0])},{floor_} {scale.x(points[0][0])},{floor_}"
    return element("polygon", points=f"{_points(scale, points)} {ends}", class_="area")


def _dot(scale: Scale, points: Points) -> Markup:
    time, value = points[-1]
    return element("circle", cx=scale.x(time), cy=scale.y(value), r=3.2, class_="dot")


def _points(scale: Scale, points: Points) -> str:
    return " ".join(f"{scale.x(time)},{scale.y(value)}" for time, value in points)
