"""Sensor.Community (airrohr, NAM): pushes of the firmware, its `/data.json`, the public API, the CSV archive.

Specification: https://github.com/opendata-stuttgart/meta/wiki/APIs (push and API) and
https://github.com/opendata-stuttgart/sensors-software (the firmware). P1 is PM10, P2 is PM2.5 and P0 is PM1;
pressure is in Pa; every value is a text. A push to the network has neither identity nor time: the identity
stands in the `X-Sensor` header (the source's `identity = "header:X-Sensor"`), the part in `X-PIN`
(`part = "header:X-PIN"`), or in the topic. The firmware's own counters are passed over.
"""

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from math import inf, isnan
from typing import Any

from broker.errors import BadMessage
from broker.model import Ignored, Inventory, Message, Place, Quality, Reading, Signal, Skipped, Source
from broker.remembered import remembered
from ingest.payload import expect, parse, place
from ingest.text import rows, text
from ingest.times import moment

Item = Reading | Place | Signal | Inventory | Ignored | Skipped

ARCHIVE = b"sensor_id;"
"""How a file of https://archive.sensor.community begins."""

_TYPES: dict[str, tuple[str, str | None]] = {
    "P0": ("pm1", "ug/m3"),
    "P1": ("pm10", "ug/m3"),
    "P10": ("pm10", "ug/m3"),
    "P2": ("pm25", "ug/m3"),
    "P25": ("pm25", "ug/m3"),
    "P4": ("pm4", "ug/m3"),
    "temperature": ("temperature", "Cel"),
    "humidity": ("relativeHumidity", "%"),
    "pressure": ("atmosphericPressure", "Pa"),
    "noise_LAeq": ("LAeq", "dB"),
    "noise_LA_min": ("LAmin", "dB"),
    "noise_LA_max": ("LAmax", "dB"),
    "counts_per_minute": ("radiationCount", "/min"),
    "radiation": ("radiation", "uSv/h"),
    "co2": ("co2", "[ppm]"),
    "co2_ppm": ("co2", "[ppm]"),
    "conc_co2_ppm": ("co2", "[ppm]"),
    "TS": ("typicalParticleSize", "um"),
    **{f"N{size}": (f"particlesN{size}", "/cm3") for size in ("05", "1", "25", "4", "10")},
}
_OWN = frozenset(
    {
        "samples", "min_micro", "max_micro", "interval", "durP1", "ratioP1", "durP2", "ratioP2", "hv_pulses",
        "counts", "sample_time_ms", "altitude", "pressure_sealevel", "pressure_at_sealevel", "height", "date",
        "time", "timestamp", "ap", "signal_quality",
    }
)  # fmt: skip
"""Counters of the firmware, and what is computed from other values."""
_SATURATED = {"P1": 1999.9, "P2": 999.9}
"""Where the range of an SDS011 ends, µg/m³."""
_IDS = ("esp8266id", "esp32id", "chipid", "chip_id", "sensor")
_NAMED = re.compile(r"(?:esp8266|esp32|raspi|airrohr|nam|smogomierz)[-_]?[0-9A-Fa-f]{4,20}", re.IGNORECASE)
_NOTHING = {
    "temperature": -128.0,
    "relativeHumidity": -1.0,
    "atmosphericPressure": -1.0,
    "pm10": -1.0,
    "pm25": -1.0,
}
"""What the firmware has before it has measured."""
_RANGE = int(Quality.RANGE)


def decode(message: Message, source: Source, state: Mapping[str, Any]) -> list[Item]:
    """Take the values of one push, of every sensor of the API's answer, or of every row of the archive."""
    del state
    if message.payload.lstrip(b"\xef\xbb\xbf \r\n").startswith(ARCHIVE):
        return _archived(rows(text(message.payload), ";"))
    document = parse(message.payload)
    if type(document) is list:
        found = [item for entry in document for item in _published(expect(entry, dict, "an item"))]
    elif type(document) is dict and type(document.get("sensor")) is dict:
        found = _published(document)
    else:
        found = _pushed(expect(document, dict, "payload"), message, source)
    return found or [Ignored("no value")]


def _pushed(document: Mapping[str, Any], message: Message, source: Source) -> list[Item]:
    """Read what the firmware sends, or what it shows at `/data.json`: `age` is then seconds since the reading."""
    values = expect(document.get("sensordatavalues"), list, "sensordatavalues")
    if not values:
        return []
    return _values(values, _identity(document, message, source), _time(document.get("age"), message))


def _identity(document: Mapping[str, Any], message: Message, source: Source) -> str:
    own = next((document[key] for key in _IDS if type(document.get(key)) in {str, int}), "")
    told = message.identity or ""
    if own != "":
        return told if told.endswith(f"-{own}") else str(own)
    if told or source.thing is not None or "+" in source.topic.split("/"):
        return told
    level = next((one for one in message.topic.split("/") if _NAMED.fullmatch(one)), "")
    if not level:
        raise BadMessage("X-Sensor: expected the device's id there or in the topic, found none", reason="identity")
    return level


def _time(age: Any, message: Message) -> datetime | None:
    try:
        return None if age is None or message.retained else message.received - timedelta(seconds=float(age))
    except (TypeError, ValueError, OverflowError):
        return None


def _published(entry: Mapping[str, Any]) -> list[Item]:
    """Read one sensor of the public API: UTC without a zone, coordinates as texts."""
    sensor = expect(entry.get("sensor"), dict, "sensor")
    values = expect(entry.get("sensordatavalues"), list, "sensordatavalues")
    if type(sensor.get("id")) not in {int, str}:
        raise BadMessage("sensor.id: expected a number, found none", reason="identity")
    thing, time = str(sensor["id"]), moment(entry.get("timestamp"), UTC, "timestamp")
    found = _values(values, thing, time)
    where = entry.get("location")
    if found and type(where) is dict and "latitude" in where:
        found.append(place(thing, where["latitude"], where.get("longitude"), time))
    return found


def _values(values: list[Any], thing: str, time: datetime | None) -> list[Item]:
    found: list[Item] = []
    gps: dict[str, Any] = {}
    counted = False
    for row in values:
        kind = row.get("value_type") if type(row) is dict else None
        if type(kind) is not str:
            raise BadMessage("value_type: expected a string, found none")
        value = row.get("value")
        if kind in {"GPS_lat", "GPS_lon", "latitude", "longitude"}:
            gps[kind[:7].lower()] = value
        elif kind == "signal":
            found += _signal(thing, value)
        else:
            counted |= kind == "durP1"
            _take(found, thing, kind, value, time)
    if counted:
        found = _without_mass(found)
    if len(gps) > 1:
        north, east = (
            (gps.get("gps_lat"), gps.get("gps_lon")) if "gps_lat" in gps else (gps["latitud"], gps["longitu"])
        )
        found.append(place(thing, north, east, time))
    return found


def _take(found: list[Item], thing: str, kind: str, value: Any, time: datetime | None) -> None:
    name, unit, qualifier, nothing, full = _meaning(kind)
    if not name:
        return
    try:
        number = float(value)
    except (TypeError, ValueError):
        found.append(Skipped(kind, "null" if value is None else "empty" if value == "" else "unavailable"))
        return
    if number == nothing or isnan(number):
        found.append(Skipped(kind, "unavailable"))
        return
    if unit == "Pa" and number < 2000:
        unit = "hPa"  # forks of the firmware
    found.append(Reading(thing, name, number, time, unit, None, qualifier, _RANGE if number >= full else 0))


def _without_mass(found: list[Item]) -> list[Item]:
    """Leave out the dust of a PPD42NS, which is known by `durP1`: it counts particles, and weighs none."""
    return [
        Skipped(item.name, "no mass") if isinstance(item, Reading) and item.name in {"pm10", "pm25"} else item
        for item in found
    ]


@remembered
def _meaning(kind: str) -> tuple[str, str | None, str, float | None, float]:
    """Return what `BME280_temperature` is: name, unit, sensor, its value for nothing, and where it is saturated.

    What is no measurement has no name.
    """
    sensor, _, quantity = ("", "", kind) if kind in _OWN or kind in _TYPES else kind.partition("_")
    if quantity in _OWN:
        return "", None, "", None, inf
    if quantity not in _TYPES:
        return kind, None, "", None, inf
    name, unit = _TYPES[quantity]
    full = _SATURATED.get(quantity, inf) if sensor in {"", "SDS"} else inf
    return name, unit, sensor, _NOTHING.get(name), full


def _signal(thing: str, value: Any) -> list[Item]:
    try:
        return [Signal(thing, {"rssi": float(str(value).removesuffix("dBm"))})]
    except ValueError:
        return []


def _archived(table: list[list[str]]) -> list[Item]:
    header, *lines = table
    found: list[Item] = []
    placed: set[tuple[str, str, str]] = set()
    for line in lines:
        row = dict(zip(header, line, strict=False))
        thing, time = row["sensor_id"], moment(row.get("timestamp"), UTC, "timestamp")
        of_row: list[Item] = []
        for kind in header:
            if kind not in _COLUMNS:
                _take(of_row, thing, kind, row.get(kind, ""), time)
        found += _without_mass(of_row) if row.get("durP1") else of_row
        where = thing, row.get("lat", ""), row.get("lon", "")
        if all(where) and where not in placed:
            placed.add(where)
            found.append(place(*where, time))
    return found or [Ignored("no value")]


_COLUMNS = frozenset({"sensor_id", "sensor_type", "location", "lat", "lon", "timestamp"})
