"""WeeWX weather stations through its MQTT extension: packets on `…/loop` or `…/archive`, or one value a topic.

Specification: https://github.com/matthewwall/weewx-mqtt and, for names and unit systems,
https://weewx.com/docs/5.1/reference/units/. Every value is a text, the time too. The unit is the end of the name
(`outTemp_C`). A name without one among names that have it was not converted: it still is in the station's own US
units. Where no name has one (`append_units_label = false`), `usUnits` or `[source.options] unit_system` says them.
"""

import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from math import isfinite
from typing import Any, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict

from broker.errors import BadMessage
from broker.model import Ignored, Inventory, Message, Place, Reading, Signal, Skipped, Source
from broker.remembered import remembered
from ingest.payload import expect, parse, place
from ingest.rules import read_number
from ingest.text import text
from ingest.times import epoch

TOPICS = ("weather/loop", "weather/archive", "+/loop", "+/archive", "+/+/loop", "+/+/archive")
"""Its usual topics."""

Item = Reading | Place | Signal | Inventory | Ignored | Skipped

_Unit = tuple[str | None, float]
"""UCUM code, factor."""
_NONE: _Unit = (None, 1)
_NEW = tuple.__new__
"""Makes a named tuple in half the time."""
_PACKETS = {"loop", "archive"}
_SHORT = 16_384
"""Bytes."""
_SUFFIXES: dict[str, _Unit] = {
    "C": ("Cel", 1), "F": ("[degF]", 1), "K": ("K", 1), "mbar": ("hPa", 1), "hPa": ("hPa", 1), "kPa": ("kPa", 1),
    "inHg": ("[in_i'Hg]", 1), "mmHg": ("mm[Hg]", 1), "kph": ("km/h", 1), "km_per_hour": ("km/h", 1),
    "mph": ("[mi_i]/h", 1), "mile_per_hour": ("[mi_i]/h", 1), "mps": ("m/s", 1), "meter_per_second": ("m/s", 1),
    "knot": ("[kn_i]", 1), "knot2": ("[kn_i]", 1), "in": ("[in_i]", 1), "inch": ("[in_i]", 1), "cm": ("cm", 1),
    "mm": ("mm", 1), "cm_per_hour": ("mm/h", 10), "mm_per_hour": ("mm/h", 1), "in_per_hour": ("[in_i]/h", 1),
    "inch_per_hour": ("[in_i]/h", 1), "Wpm2": ("W/m2", 1), "watt_per_meter_squared": ("W/m2", 1),
    "volt": ("V", 1), "amp": ("A", 1), "watt": ("W", 1), "foot": ("[ft_i]", 1), "meter": ("m", 1), "km": ("km", 1),
    "mile": ("[mi_i]", 1), "percent": ("%", 1), "minute": ("min", 1), "hour": ("h", 1), "second": ("s", 1),
    "count": ("1", 1), "lux": ("lx", 1), "ppm": ("[ppm]", 1), "dB": ("dB", 1), "centibar": ("kPa", 1),
    "microgram_per_meter_cubed": ("ug/m3", 1), "degree_C": ("Cel", 1), "degree_F": ("[degF]", 1),
}  # fmt: skip
"""How names end: UCUM unit, factor."""
_SYSTEMS: dict[str, dict[str, _Unit]] = {
    "US": {"temperature": ("[degF]", 1), "pressure": ("[in_i'Hg]", 1), "speed": ("[mi_i]/h", 1),
           "rain": ("[in_i]", 1), "rate": ("[in_i]/h", 1)},
    "METRIC": {"temperature": ("Cel", 1), "pressure": ("hPa", 1), "speed": ("km/h", 1),
               "rain": ("cm", 1), "rate": ("mm/h", 10)},
    "METRICWX": {"temperature": ("Cel", 1), "pressure": ("hPa", 1), "speed": ("m/s", 1),
                 "rain": ("mm", 1), "rate": ("mm/h", 1)},
}  # fmt: skip
_NUMBERED = {1: "US", 16: "METRIC", 17: "METRICWX"}
_NAMES: dict[str, tuple[str, str, str]] = {
    "outTemp": ("airTemperature", "", "temperature"),
    "inTemp": ("temperature", "indoor", "temperature"),
    "highOutTemp": ("airTemperature", "high", "temperature"),
    "lowOutTemp": ("airTemperature", "low", "temperature"),
    "dewpoint": ("dewPoint", "", "temperature"),
    "inDewpoint": ("dewPoint", "indoor", "temperature"),
    "appTemp": ("feelsLikeTemperature", "", "temperature"),
    "heatindex": ("feelsLikeTemperature", "heatIndex", "temperature"),
    "windchill": ("feelsLikeTemperature", "windChill", "temperature"),
    "humidex": ("feelsLikeTemperature", "humidex", "temperature"),
    "outHumidity": ("relativeHumidity", "", ""),
    "inHumidity": ("relativeHumidity", "indoor", ""),
    "barometer": ("atmosphericPressure", "", "pressure"),
    "pressure": ("atmosphericPressure", "station", "pressure"),
    "altimeter": ("atmosphericPressure", "altimeter", "pressure"),
    "windSpeed": ("windSpeed", "", "speed"),
    "windSpeed10": ("windSpeed", "10min", "speed"),
    "windGust": ("windGust", "", "speed"),
    "windGust10": ("windGust", "10min", "speed"),
    "windDir": ("windDirection", "", ""),
    "windDir10": ("windDirection", "10min", ""),
    "windGustDir": ("windDirection", "gust", ""),
    "rain": ("precipitation", "", "rain"),
    "rainRate": ("precipitationIntensity", "", "rate"),
    "radiation": ("solarRadiation", "", ""),
    "UV": ("uvIndex", "", ""),
    "snowDepth": ("snowHeight", "", "rain"),
    "luminosity": ("illuminance", "", ""),
    "consBatteryVoltage": ("batteryVoltage", "console", ""),
    "supplyVoltage": ("voltage", "supply", ""),
    "pm1_0": ("pm1", "", ""),
    "pm2_5": ("pm25", "", ""),
    "pm10_0": ("pm10", "", ""),
    "co2": ("co2", "", ""),
    "noise": ("soundLevel", "", ""),
}
_STEMS = {
    "extraTemp": ("temperature", "extra", "temperature"),
    "extraHumid": ("relativeHumidity", "extra", ""),
    "soilTemp": ("soilTemperature", "", "temperature"),
    "leafTemp": ("temperature", "leaf", "temperature"),
    "soilMoist": ("soilWaterTension", "", "tension"),
    "leafWet": ("leafWetness", "", ""),
}
"""Names that are followed by a number."""
_GROUPS = (("Temp", "temperature"), ("temp", "temperature"), ("Dewpoint", "temperature"))
_TOTALS = re.compile(r"(hour|day|month|year|storm|total)?_?[rR]ain(\d{0,2})")
_SILENT = (
    "dateTime", "usUnits", "interval", "sunrise", "sunset", "forecast", "stormStart", "trend", "rxCheck",
    "latitude", "longitude", "altitude", "heatdeg", "cooldeg", "growdeg", "long_term_rain",
)  # fmt: skip
"""What names begin with that are no measurements."""


class Options(BaseModel):
    """`[source.options]`: the units of names that have no unit, where the packet does not say them."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    unit_system: Literal["US", "METRIC", "METRICWX"] | None = None


class _Name(NamedTuple):
    """What a key of a packet means; `name` is "" for what is no measurement."""

    name: str
    qualifier: str
    group: str
    unit: _Unit | None


class _Column(NamedTuple):
    """What becomes of the values of one key."""

    key: str
    name: str
    code: str | None
    qualifier: str
    factor: float
    near: str
    """The key whose temperature tells whether this one, which has no unit, is in °C after all; "" for others."""


class _Plan(NamedTuple):
    """What becomes of a packet with these keys; a station sends the same ones every time."""

    columns: tuple[_Column, ...]
    own: bool
    """One of the keys at least is a name of WeeWX."""


def decode(message: Message, source: Source, state: Mapping[str, Any]) -> list[Item]:
    """Take the values of a packet, or the value of a topic of its own."""
    del state
    thing, last = _address(message.topic)
    system = source.options.get("unit_system") or ""
    payload = message.payload
    if payload[:1] != b"{" and payload.lstrip(b"\xef\xbb\xbf \t\r\n")[:1] != b"{":
        return _alone(Reading(thing, last, 0.0, None), text(payload), _SYSTEMS.get(system, {}))
    packet = expect(parse(payload), dict, "payload")
    # Keys come from outside: only short packets are worth remembering.
    plan = _plan((tuple(packet), system or _said(packet)))
    if not plan.own and "dateTime" not in packet:
        raise BadMessage("dateTime: expected a packet of WeeWX, found none of its keys")
    start, end = _times(packet, archive=last == "archive")
    found: list[Item] = []
    for key, name, code, qualifier, factor, near in plan.columns:
        value = packet[key]
        try:
            number = float(value)
        except (TypeError, ValueError):
            found.append(Skipped(key, "null" if value is None else "unavailable"))
            continue
        if near and _is_nearer(number, packet[near]):
            found.append(_NEW(Reading, (thing, name, number, start, "Cel", end, qualifier, 0)))
        else:
            found.append(_NEW(Reading, (thing, name, number * factor, start, code, end, qualifier, 0)))
    return _surroundings(packet, thing, found) or [Ignored("no value")]


@remembered
def _address(topic: str) -> tuple[str, str]:
    """Return the station, which stands before the last level, and the last level."""
    levels = topic.split("/")
    return levels[-2] if len(levels) > 1 else levels[0], levels[-1]


def _alone(base: Reading, word: str, system: Mapping[str, _Unit]) -> list[Item]:
    if base.name in _PACKETS:
        raise BadMessage("payload: expected an object, found a value")
    meaning = _meaning(base.name)
    if read_number(word) is None and word not in {"", "None"} and meaning.name:
        raise BadMessage("payload: expected a number, found a text")
    if meaning.name == base.name and not system and base.name not in _NAMES:
        raise BadMessage("topic: expected a name of WeeWX, found another in the last level", reason="name")
    number = _number(word)
    if not meaning.name or number is None:
        return [Ignored("no value")]
    unit, factor = meaning.unit or system.get(meaning.group) or _NONE
    return [base._replace(name=meaning.name, value=number * factor, unit=unit, qualifier=meaning.qualifier)]


def _times(packet: Mapping[str, Any], *, archive: bool) -> tuple[datetime | None, datetime | None]:
    """Return the time of a packet; an archive record's is the end of its interval."""
    seconds = _number(packet.get("dateTime", packet.get("dateTime_unix_epoch")))
    if seconds is None:
        return None, None
    end = epoch(seconds, "dateTime")
    if not archive:
        return end, None
    minutes = _number(packet.get("interval_minute", packet.get("interval")))
    return (end - timedelta(minutes=minutes), end) if minutes and 0 < minutes <= 1440 else (end, None)


def _said(packet: Mapping[str, Any]) -> str:
    """Return the system of units that the packet says its names without unit are in; "" if it says none."""
    number = _number(packet.get("usUnits"))
    return _NUMBERED.get(int(number), "") if number and isfinite(number) else ""


@remembered
def _plan(key: tuple[tuple[str, ...], str]) -> _Plan:
    """Work out what becomes of a packet; where some of its names have units, those without were not converted."""
    keys, system = key
    labelled = any(_meaning(key).unit for key in keys)
    units = _SYSTEMS.get("US" if labelled else system, {})
    return _Plan(
        tuple(_column(key, units, keys) for key in keys if _meaning(key).name),
        labelled or not _NAMES.keys().isdisjoint(keys),
    )


def _column(key: str, units: Mapping[str, _Unit], keys: tuple[str, ...]) -> _Column:
    name, qualifier, group, unit = _meaning(key)
    code, factor = unit or units.get(group) or _NONE
    near = "inTemp_C" if "indoor" in qualifier else "outTemp_C"
    unsure = unit is None and group == "temperature" and units is _SYSTEMS["US"] and near in keys
    return _Column(key, name, code, qualifier, factor, near if unsure else "")


def _is_nearer(number: float, written: Any) -> bool:
    """Tell whether a temperature is nearer the one in °C if it is in °C as well, and not in °F."""
    near = _number(written)
    return near is not None and abs(number - near) < abs((number - 32) / 1.8 - near)


def _split(key: str) -> tuple[str, _Unit | None]:
    """Split `rainRate_cm_per_hour` into name and unit; the longest end that is one."""
    at = key.find("_")
    while at > 0:
        if key[at + 1 :] in _SUFFIXES:
            return key[:at], _SUFFIXES[key[at + 1 :]]
        at = key.find("_", at + 1)
    return key, None


@remembered
def _meaning(key: str) -> _Name:
    stem, unit = _split(key)
    if key.startswith(_SILENT) or "Alarm" in key or key.endswith(("Status", "Icon", "Rule", "Start")):
        return _Name("", "", "", None)
    if stem in _NAMES:
        return _Name(*_NAMES[stem], unit)
    letters = stem.rstrip("0123456789")
    if letters in _STEMS:
        name, qualifier, group = _STEMS[letters]
        tension = ("kPa", 1.0) if group == "tension" else None  # centibar
        return _Name(name, qualifier + stem[len(letters) :], group, unit or tension)
    total = _TOTALS.fullmatch(stem)
    if total:
        return _Name("precipitationTotal", total[1] or f"{total[2]}h", "rain", unit)
    group = next((group for part, group in _GROUPS if part in stem), "")
    return _Name(stem, "", group, unit)


def _number(value: Any) -> float | None:
    if value is None:  # an exception takes longer than all the rest
        return None
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if number == number and type(value) is not bool else None  # noqa: PLR0124  NaN is no number


def _surroundings(packet: Mapping[str, Any], thing: str, found: list[Item]) -> list[Item]:
    """Add the station's place and the quality of its radio."""
    received = _number(packet["rxCheckPercent"]) if "rxCheckPercent" in packet else None
    if received is not None and found:
        found.append(_NEW(Signal, (thing, {"received_percent": received})))
    if found and "latitude" in packet and "longitude" in packet:
        found.append(place(thing, packet["latitude"], packet["longitude"]))
    return found
