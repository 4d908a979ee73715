"""What formats share: parse JSON whatever surrounds it, and take the values out of an object of any depth."""

import json
import re
from collections.abc import Mapping
from datetime import datetime, tzinfo
from math import isfinite
from typing import Any, NamedTuple, cast

import orjson

from broker.errors import BadMessage
from broker.model import Place, Reading, Signal, Skipped
from broker.remembered import remembered
from broker.vocabulary import plain
from ingest.times import agreed, is_epoch, moment

Item = Reading | Place | Signal | Skipped

_NEW: Any = tuple.__new__  # a third of what making a named tuple costs
_SCALARS = frozenset({float, int, bool, str})
MAX_DEPTH = 12
MAX_VALUES = 2000
"""Values that one object may hold: more is no sensor, and each would become a datastream."""

_ROLES = {
    "time": "time timestamp ts datetime dateobserved observedat phenomenontime resulttime measuredat recordedat "
    "createdat sentat epoch lastseen timeinstant unixtime timeutc datetimeutc dateutc measurementtime readingtime",
    "latitude": "latitude lat",
    "longitude": "longitude lon lng long",
    "signal": "rssi snr fcnt linkquality lqi channelrssi lorasnr lorarssi fcntup spreadingfactor wifirssi",
    "unit": "unit units uom unitcode",
    "value": "value val reading",
    "label": "name valuetype parameter measurand variable observedproperty",
    "personal": "plate plateutf8 platetext lpr anpr",
}
_AFTERWARDS = frozenset({"resulttime", "sentat", "createdat", "lastseen"})
"""Of the times: when a measurement became known, not when it was."""
_PLATES = ("licenseplate", "licenceplate", "numberplate", "platenumber", "kenteken", "nummerplaat")
_NAMES_PLATE = re.compile(
    rb"(?<![a-z])plate(?![a-z])|(?:licen[cs]e|number)[ _-]?plate|plate[ _-]?(?:number|text|utf8)"
    rb"|kenteken|nummerplaat",
    re.IGNORECASE,
)
_IDENTITY = re.compile(r"(?:.*_)?id|.*[a-z](?:Id|ID)|ID")
_SPACES = frozenset({"Point", "LineString", "Polygon", "MultiPoint", "MultiLineString", "MultiPolygon"})
_ROLE = {name: role for role, names in _ROLES.items() for name in names.split()}


class Scope(NamedTuple):
    """Where the walk is: what its readings inherit. `text` keeps texts that are no numbers."""

    thing: str
    time: datetime | None
    zone: tzinfo
    text: bool


def parse(payload: bytes) -> Any:
    """Parse JSON; a byte order mark and trailing NULs are cut off, `NaN` becomes a float.

    Raises BadMessage with the position, or with the wrong byte of what is not UTF-8.
    """
    try:
        return orjson.loads(payload)
    except orjson.JSONDecodeError as error:
        return _parse_again(payload, error)


def _parse_again(payload: bytes, first: orjson.JSONDecodeError) -> Any:
    cut = payload.removeprefix(b"\xef\xbb\xbf").rstrip(b"\x00 \t\r\n")
    try:
        text = cut.decode("utf-8")
        if b"NaN" in cut or b"Infinity" in cut:
            return json.loads(text, parse_int=_whole)
        return orjson.loads(text)
    except UnicodeDecodeError as error:
        raise BadMessage(
            f"payload: expected UTF-8, found byte {error.start} that is not", reason="encoding"
        ) from None
    except (json.JSONDecodeError, RecursionError):
        where = f"line {first.lineno} column {first.colno}"
        raise BadMessage(f"payload: expected JSON, found bytes: {_why(first)} at {where}") from None


def _why(error: orjson.JSONDecodeError) -> str:
    return error.msg.split(":", 1)[0]


def _whole(digits: str) -> float:
    return float(digits)


def expect(value: Any, kind: type, field: str) -> Any:
    """Return the value if it is of the JSON type; raises BadMessage that names the field and what was found."""
    if type(value) is not kind:
        raise BadMessage(f"{field}: expected {_name(kind)}, found {_name(type(value))}")
    return value


def text_or(value: Any, default: str = "") -> str:
    """Return the value if it is a text, else `default`."""
    return value if type(value) is str else default


def _name(kind: type) -> str:
    names = {dict: "an object", list: "an array", str: "a string", bool: "a boolean", type(None): "null"}
    return names.get(kind, "a number")


def names_plate(payload: bytes) -> bool:
    """Tell whether bytes that nobody could read name a number plate, as JSON, as XML, or as anything else."""
    return _NAMES_PLATE.search(payload.replace(b"\0", b"")) is not None  # UTF-16 has NULs between


@remembered
def role(key: str) -> str:
    """Tell what a key is other than a measurement (time, latitude, signal, unit, identity, …); "" if it is one."""
    name = plain(key)
    if any(plate in name for plate in _PLATES):
        return "personal"
    return _ROLE.get(name, "identity" if _IDENTITY.fullmatch(key) else "")


def values(document: Mapping[str, Any], scope: Scope) -> list[Item]:
    """Take every value of an object: numbers and booleans, and texts if the scope says so.

    Nested names are joined with dots, list indexes among them. An object with a time of its own gives it
    to its values; `{"value": 21, "unit": "Cel"}` is one value; latitude and longitude become a Place, radio
    quality a Signal. Raises BadMessage for what is nested too deep or holds too many values.
    """
    found: list[Item] = []
    _walk(document, "", scope, found, 0)
    return found


class _Plan(NamedTuple):
    """What the keys of an object are; devices send the same ones every time."""

    values: tuple[str, ...]
    times: tuple[str, ...]
    """Of the measurement, else when it was known or sent."""
    special: tuple[tuple[str, str], ...]
    """Key and role of what is neither a value nor a time, and means something to the walk."""
    personal: str | None


@remembered
def _plan(keys: tuple[str, ...]) -> _Plan:
    roles = {key: role(key) for key in keys}
    times = tuple(key for key in keys if roles[key] == "time")
    measured = tuple(key for key in times if plain(key) not in _AFTERWARDS)
    special = tuple((key, role) for key, role in roles.items() if role not in {"", "time", "identity"})
    personal = next((key for key in keys if roles[key] == "personal"), None)
    return _Plan(tuple(key for key in keys if not roles[key]), measured or times, special, personal)


def _walk(node: Mapping[str, Any], path: str, scope: Scope, found: list[Item], depth: int) -> None:
    if depth > MAX_DEPTH or len(found) > MAX_VALUES:
        raise BadMessage(f"payload: expected at most {MAX_VALUES} values, {MAX_DEPTH} deep", reason="size")
    plan = _plan(tuple(node))
    thing, time, _, text = scope
    for key in plan.values:
        value = node[key]
        kind = type(value)
        name = f"{path}.{key}" if path else key
        if kind is float or kind is int or kind is bool or (kind is str and text):
            found.append(_NEW(Reading, (thing, name, value, time, None, None, "", 0)))
        elif kind is not str:
            _descend(value, name, scope, found, depth)
    if plan.special:
        _special(node, plan, path, scope, found, depth)


def _descend(value: Any, name: str, scope: Scope, found: list[Item], depth: int) -> None:
    if isinstance(value, dict) and text_or(value.get("type")) in _SPACES and "coordinates" in value:
        found.append(geometry(scope.thing, value, scope.time))
    elif isinstance(value, dict):
        own, quality = _own_clock(value, scope.zone)
        before = len(found)
        _walk(value, name, scope if own is None else scope._replace(time=own), found, depth + 1)
        if quality:
            found[before:] = [_flagged(item, quality) for item in found[before:]]
    elif isinstance(value, list):
        for index, item in enumerate(value):
            _descend(item, _indexed(name, index, item), scope, found, depth + 1)
    elif value is None:
        found.append(Skipped(name, "null"))
    elif isinstance(value, int | float | bool) or scope.text:
        found.append(Reading(scope.thing, name, value, scope.time))
    if depth > MAX_DEPTH or len(found) > MAX_VALUES:
        raise BadMessage(f"payload: expected at most {MAX_VALUES} values, {MAX_DEPTH} deep", reason="size")


def _indexed(name: str, index: int, item: Any) -> str:
    """History (items with times of their own) is one series; anything else is told apart by its index."""
    if isinstance(item, dict) and _plan(tuple(item)).times:
        parent, _, _ = name.rpartition(".")
        return parent
    return f"{name}.{index}"


def _own_clock(node: Mapping[str, Any], zone: tzinfo) -> tuple[datetime | None, int]:
    """Find the time of an object inside the message, if it has one, and its quality."""
    written = times(node)
    if len(written) < 2:
        return (own_time(written[0][1], zone) if written else None), 0
    read = [(is_epoch(value), own_time(value, zone)) for _, value in written]
    return agreed(*([time for epoch, time in read if time and epoch is kind] for kind in (True, False)))


def times(node: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """Return the keys and values of an object that say when it was measured, else when it was known or sent."""
    return [(key, value) for key in _plan(tuple(node)).times if (value := node[key]) is not None]


def _flagged(item: Item, quality: int) -> Item:
    return item._replace(quality=item.quality | quality) if isinstance(item, Reading) else item


def own_time(value: Any, zone: tzinfo) -> datetime | None:
    """Return the time that a value is; None where it is none (an uptime, a time of day)."""
    try:
        return moment(value, zone)
    except BadMessage:
        return None


def _special(node: Mapping[str, Any], plan: _Plan, path: str, scope: Scope, found: list[Item], depth: int) -> None:
    if plan.personal is not None:
        key = plan.personal[:80]
        raise BadMessage(f"{key}: number plates are for cameras, not for this format", reason="personal")
    by_role = {role: node[key] for key, role in plan.special}
    label = by_role.get("label")
    if "value" in by_role:
        _valued(node, plan, by_role, path, scope, found, depth)
    elif scope.text and type(label) is str:
        key = next(key for key, role in plan.special if role == "label")
        found.append(Reading(scope.thing, f"{path}.{key}" if path else key, label, scope.time))
    if "signal" in by_role:
        signal = {key: node[key] for key, role in plan.special if role == "signal" and _number(node[key])}
        if signal:
            found.append(Signal(scope.thing, signal))
    if "latitude" in by_role and "longitude" in by_role:
        found.append(place(scope.thing, by_role["latitude"], by_role["longitude"], scope.time))


def _valued(
    node: Mapping[str, Any],
    plan: _Plan,
    by_role: dict[str, Any],
    path: str,
    scope: Scope,
    found: list[Item],
    depth: int,
) -> None:
    """Take `{"value": 21, "unit": "Cel"}` under its own name or, with `"parameter": "P1"`, under that."""
    unit, label = text_or(by_role.get("unit")) or None, text_or(by_role.get("label"))
    stem, _, index = path.rpartition(".")
    parent = stem.rpartition(".")[0] if index.isdigit() else path
    for key, role in plan.special:
        if role != "value":
            continue
        value, name = node[key], f"{parent}.{label}".lstrip(".") if label else path or key
        if type(value) in _SCALARS:
            found.append(_NEW(Reading, (scope.thing, name, value, scope.time, unit, None, "", 0)))
            continue
        before = len(found)
        _descend(value, name, scope._replace(text=True), found, depth)
        found[before:] = [
            item._replace(unit=unit) if isinstance(item, Reading) and unit else item for item in found[before:]
        ]


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and isfinite(value)


def place(thing: str, latitude: Any, longitude: Any, time: datetime | None = None) -> Place | Skipped:
    """Return the Place at these WGS 84 degrees; Skipped where they are no place on earth, or 0, 0."""
    north, east = degrees(latitude), degrees(longitude)
    if north is None or east is None or not (-90 <= north <= 90 and -180 <= east <= 180) or north == east == 0:
        return Skipped("location", "implausible")
    return Place(thing, {"type": "Point", "coordinates": [east, north]}, time)


def geometry(thing: str, found: Mapping[str, Any], time: datetime | None = None) -> Place | Skipped:
    """Return the Place of a geometry (GeoJSON, https://www.rfc-editor.org/rfc/rfc7946), or Skipped."""
    coordinates = found.get("coordinates")
    if found.get("type") == "Point" and type(coordinates) is list and len(coordinates) == 2:
        east, north = coordinates  # nearly all of them
        if type(east) is type(north) is float and -180 <= east <= 180 and -90 <= north <= 90 and (east or north):
            return cast("Place", _NEW(Place, (thing, {"type": "Point", "coordinates": coordinates}, time, None)))
    if text_or(found.get("type")) not in _SPACES or not _on_earth(coordinates, 0):
        return Skipped("location", "implausible")
    return Place(thing, {"type": found["type"], "coordinates": coordinates}, time)


def _on_earth(coordinates: Any, depth: int) -> bool:
    """Tell whether these are WGS 84 positions, longitude first, however deep their arrays."""
    if type(coordinates) is not list or not coordinates or depth > 4:
        return False
    if type(coordinates[0]) is list:
        return all(_on_earth(part, depth + 1) for part in coordinates)
    if len(coordinates) < 2 or not all(_number(number) for number in coordinates):
        return False
    east, north = coordinates[:2]
    return abs(east) <= 180 and abs(north) <= 90 and (east, north) != (0, 0)


def degrees(value: Any) -> float | None:
    """Return a coordinate as a number; texts are read, None is what is none."""
    if type(value) is float:
        return value
    if type(value) is str and _DEGREES.fullmatch(value):
        return float(value)
    return float(value) if _number(value) else None


_DEGREES = re.compile(r"\s*[+-]?\d{1,3}(\.\d{1,20})?\s*")
