"""Netatmo weather stations: the answers of `getstationsdata` and `getpublicdata`, or one station's data.

Specification: https://dev.netatmo.com/apidocumentation/weather
Each module is a thing of its own (its MAC) with a time of its own. An unreachable module has measured nothing: it
is skipped, whatever stands in it. Values are metric, whatever the account displays. The user's name and mail are
never taken. `place.location` is [longitude, latitude], but some write it the other way round: what lies in Europe
is meant.
"""

from collections.abc import Mapping
from datetime import datetime
from functools import partial
from typing import Any

from broker.errors import BadMessage
from broker.model import Ignored, Inventory, Message, Place, Reading, Signal, Skipped, Source
from broker.remembered import remembered
from ingest.payload import expect, parse, place
from ingest.times import epoch

Item = Reading | Place | Signal | Inventory | Ignored | Skipped

_NAMES: dict[str, tuple[str, str, str]] = {
    "temperature": ("temperature", "Cel", ""),
    "humidity": ("relativeHumidity", "%", ""),
    "co2": ("co2", "[ppm]", ""),
    "noise": ("soundLevel", "dB", ""),
    "pressure": ("atmosphericPressure", "hPa", ""),
    "absolutepressure": ("atmosphericPressure", "hPa", "absolute"),
    "windstrength": ("windSpeed", "km/h", ""),
    "windangle": ("windDirection", "deg", ""),
    "guststrength": ("windGust", "km/h", ""),
    "gustangle": ("windDirection", "deg", "gust"),
    "rain": ("precipitation", "mm", ""),
    "sumrain1": ("precipitationTotal", "mm", "lastHour"),
    "sumrain24": ("precipitationTotal", "mm", "today"),
    "rainlive": ("precipitation", "mm", ""),
    "rain60min": ("precipitationTotal", "mm", "lastHour"),
    "rain24h": ("precipitationTotal", "mm", "today"),
    "healthidx": ("healthIndex", "1", ""),
}
_OUTDOOR = "NAModule1"
_SIGNALS = {
    "rf_status": "rf_status",
    "wifi_status": "wifi_status",
    "rf_strength": "rf_status",
    "wifi_strength": "wifi_status",
}
_NUMBERS = (int, float)
_EUROPE = (-25.0, 45.0, 34.0, 72.0)
"""West, east, south, north."""


def decode(message: Message, source: Source, state: Mapping[str, Any]) -> list[Item]:
    """Take the values of every module that could be reached."""
    del source, state
    document = parse(message.payload)
    body = document.get("body", document) if type(document) is dict else document
    if type(body) is dict and type(body.get("home")) is dict:
        stations = [body["home"]]
    elif type(body) is dict:
        stations = body.get("devices", [body])
    else:
        stations = body
    found = [item for row in expect(stations, list, "devices") for item in _station(expect(row, dict, "devices"))]
    return found or [Ignored("no value")]


def _station(station: Mapping[str, Any]) -> list[Item]:
    where = _place(station.get("place"))
    if type(station.get("measures")) is dict:
        return _public(station["measures"], where)
    modules = station.get("modules", [])
    rows = [expect(row, dict, "modules") for row in expect(modules, list, "modules") if type(row) is not str]
    if "dashboard_data" in station or "_id" in station:
        rows = [station, *rows]
    elif not rows:
        raise BadMessage("devices: expected modules with dashboard_data or measures, found none")
    return [item for row in rows for item in _module(row, where)]


def _module(row: Mapping[str, Any], where: tuple[float, float] | None) -> list[Item]:
    thing = row.get("_id", row.get("id"))
    if type(thing) is not str:
        raise BadMessage("_id: expected a string, found none", reason="identity")
    values = row.get("dashboard_data", row if "ts" in row else None)
    if row.get("reachable") is False or type(values) is not dict:
        return [Skipped("dashboard_data", "unreachable" if row.get("reachable") is False else "no value")]
    when: Any = values.get("time_utc", values.get("ts"))
    time = epoch(when, "time_utc") if type(when) in _NUMBERS else None
    found: list[Item] = []
    for key, value in values.items():
        _take(found, thing, key, value, time, outdoor=row.get("type") == _OUTDOOR)
    level: Any = row.get("battery_percent")
    if type(level) in _NUMBERS:
        found.append(Reading(thing, "batteryLevel", level, time, "%"))
    strength = {name: row[key] for key, name in _SIGNALS.items() if type(row.get(key)) in _NUMBERS}
    if strength:
        found.append(Signal(thing, strength))
    return _placed(found, thing, where, time)


def _take(
    found: list[Item], thing: str, key: str, value: Any, time: datetime | None, *, outdoor: bool = False
) -> None:
    name, unit, qualifier = _meaning(key)
    if not name:
        return
    if type(value) not in _NUMBERS:
        found.append(Skipped(key, "null" if value is None else "not a number"))
    elif name == "windDirection" and value < 0:
        found.append(Skipped(key, "calm"))
    else:
        name = "airTemperature" if outdoor and name == "temperature" else name
        found.append(Reading(thing, name, value, time, unit, None, qualifier))


@remembered
def _meaning(key: str) -> tuple[str, str, str]:
    """Return name, unit and qualifier of `WindStrength` or `wind_strength`; no name for what is not taken."""
    return _NAMES.get(key.replace("_", "").lower(), ("", "", ""))


def _public(measures: Mapping[str, Any], where: tuple[float, float] | None) -> list[Item]:
    """Read `getpublicdata`: values by module, as `res` with `type`, or named with a time beside them."""
    found: list[Item] = []
    for thing, values in measures.items():
        measure = expect(values, dict, "measures")
        before = len(found)
        if type(measure.get("res")) is dict and type(measure.get("type")) is list:
            for seconds, numbers in measure["res"].items():
                if not seconds.isdecimal():
                    raise BadMessage("res: expected epochs, found another key", reason="time")
                take = partial(_take, found, thing, time=epoch(int(seconds), "res"), outdoor=True)
                for key, value in zip(measure["type"], expect(numbers, list, "res"), strict=False):
                    take(expect(key, str, "type"), value)
        else:
            when = measure.get("rain_timeutc", measure.get("wind_timeutc"))
            time = epoch(when, "timeutc") if type(when) in _NUMBERS else None
            for key, value in measure.items():
                _take(found, thing, key, value, time)
        if len(found) > before:
            _placed(found, thing, where, None)
    return found


def _placed(found: list[Item], thing: str, where: tuple[float, float] | None, time: datetime | None) -> list[Item]:
    if where and found:
        found.append(place(thing, where[1], where[0], time))
    return found


def _place(found: Any) -> tuple[float, float] | None:
    """Return longitude and latitude."""
    pair = found.get("location") if type(found) is dict else None
    if type(pair) is not list or len(pair) != 2 or not all(type(number) in _NUMBERS for number in pair):
        return None
    first, second = pair
    return (second, first) if not _european(first, second) and _european(second, first) else (first, second)


def _european(east: float, north: float) -> bool:
    return _EUROPE[0] <= east <= _EUROPE[1] and _EUROPE[2] <= north <= _EUROPE[3]
