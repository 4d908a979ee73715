"""Telraam: hourly or quarter-hourly counts of a road segment by mode and direction, from its HTTP API.

Specification: https://documenter.getpostman.com/view/8210376/TWDRqyaV (Telraam API), in its old schema (`pct_up`,
`lorry`), the new one (`uptime`, `heavy`), and the live snapshot as GeoJSON. Counts are extrapolated by the
device's uptime: it is kept as an observation of its own, and below 1 the counts are flagged as partial. An
interval without uptime has no data, which is not the same as no traffic. Speed histograms are left out.
"""

from collections.abc import Mapping
from datetime import UTC, timedelta
from typing import Any

from broker.errors import BadMessage
from broker.model import Ignored, Inventory, Message, Place, Quality, Reading, Signal, Skipped, Source
from broker.remembered import remembered
from ingest.payload import expect, geometry, parse
from ingest.times import moment

Item = Reading | Place | Signal | Inventory | Ignored | Skipped

_MODES = {
    "car": "carCount",
    "heavy": "truckCount",
    "lorry": "truckCount",
    "bike": "bicycleCount",
    "pedestrian": "pedestrianCount",
    "night": "nightCount",
}
_DETAILED = {"mode_bus": "busCount", "mode_motorcycle": "motorcycleCount", "mode_van": "vanCount"}
"""Of a Telraam S2; its other modes are parts of those above."""
_INTERVALS = {
    "": timedelta(hours=1),
    "hour": timedelta(hours=1),
    "quarter": timedelta(minutes=15),
    "day": timedelta(days=1),
}
_FULL = 0.995
"""An uptime from which on an interval was measured whole."""
_PARTIAL = int(Quality.PARTIAL)
_NUMBERS = (float, int)


def decode(message: Message, source: Source, state: Mapping[str, Any]) -> list[Item]:
    """Take the counts of a report, of a snapshot, or of one bare interval."""
    del source, state
    document = parse(message.payload)
    if type(document) is dict and type(document.get("features")) is list:
        found = [item for feature in document["features"] for item in _feature(expect(feature, dict, "features"))]
        return found or [Ignored("no value")]
    rows = document.get("report", [document]) if type(document) is dict else document
    found = [item for row in expect(rows, list, "report") for item in _interval(expect(row, dict, "report"))]
    return found or [Ignored("no value")]


def _feature(feature: Mapping[str, Any]) -> list[Item]:
    row = expect(feature.get("properties"), dict, "properties")
    found = _interval(row)
    where = feature.get("geometry")
    if type(where) is dict:
        found.append(geometry(_segment(row), where))
    return found


def _interval(row: Mapping[str, Any]) -> list[Item]:
    uptime = row.get("uptime", row.get("pct_up"))
    if not any(mode in row for mode in _MODES):
        raise BadMessage("report: expected counts of cars, bikes or pedestrians, found none")
    thing, date = _segment(row), row.get("date")
    if date is None or date == "":
        return [Skipped("date", "empty")]
    if type(uptime) in _NUMBERS and uptime <= 0:
        return [Skipped("uptime", "no data")]
    start = moment(date, UTC, "date")
    end = start + _length(row)
    flags = _PARTIAL if type(uptime) in _NUMBERS and uptime < _FULL else 0
    found: list[Item] = []
    for key, value in row.items():
        meaning = _meaning(key)
        if meaning is None:
            continue
        name, unit, qualifier = meaning
        if type(value) in _NUMBERS and value != -1:
            flag = 0 if name == "uptime" else flags
            found.append(Reading(thing, name, value, start, unit, end, qualifier, flag))
        elif type(value) is not list:
            found.append(Skipped(key, "null" if value is None else "empty" if value == "" else "no value"))
    return found


@remembered
def _meaning(key: str) -> tuple[str, str, str] | None:
    """Return name, unit and direction (`lft`, `rgt`) of `car_lft`; None for what is no measurement."""
    mode, _, side = key.rpartition("_")
    if key in _MODES:
        return _MODES[key], "1", ""
    if side in {"lft", "rgt"} and mode in _MODES:
        return _MODES[mode], "1", side
    if side in {"lft", "rgt"} and mode.startswith("mode_"):
        return _DETAILED.get(mode, mode), "1", side
    if key == "v85":
        return "v85", "km/h", ""
    return ("uptime", "1", "") if key in {"uptime", "pct_up"} else None


def _segment(row: Mapping[str, Any]) -> str:
    found = row.get("segment_id")
    if type(found) not in {int, str} or found == "":
        raise BadMessage("segment_id: expected a number or a string, found none", reason="identity")
    return str(found)


def _length(row: Mapping[str, Any]) -> timedelta:
    name = row.get("interval", row.get("period", ""))
    word = name.removeprefix("per-").removesuffix("ly").replace("dai", "day") if type(name) is str else "none"
    length = _INTERVALS.get(word)
    if length is None:
        raise BadMessage("interval: expected hourly, quarterly or daily, found another")
    return length
