"""People counters: counts of lines, zones and directions. Messages about single persons are never taken.

Specification: https://github.com/Amsterdam/waarnemingen-mensen (the messages of Amsterdam's counting cameras); any
other message with counts (`in`, `out`, `count`, …), a time and a sensor is read likewise. What describes a person
(an id, a trajectory, a speed, a distance) is skipped as `personal`; a message with nothing else is refused for it.
Zones may lie inside one another, so counts of one sensor are not added up.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from broker.errors import BadMessage
from broker.model import Ignored, Inventory, Message, Place, Reading, Signal, Skipped, Source
from broker.remembered import remembered
from broker.vocabulary import plain
from ingest.payload import expect, parse, place, role, text_or
from ingest.times import moment

Item = Reading | Place | Signal | Inventory | Ignored | Skipped

_COUNTS = {
    "in": "in countin countedin incount incounted peoplein peoplecountin peoplecounterin totalin lineperiodin "
    "entered enters enter entries entrances countsin personsin visitorsin inward forward fw",
    "out": "out countout countedout outcount outcounted peopleout peoplecountout peoplecounterout totalout "
    "lineperiodout exited exits exit countsout personsout visitorsout outward backward bw",
    "": "count counts counted peoplecount peoplecounter peoplecountall peoplecounterall people persons "
    "personcount pedestrians pedestriancount visitors visitorcount numberofpeople numpeople countall passersby",
    "inside": "occupancy inside peopleinside capacitycounted currenttotal regioncount currentcount peoplepresent",
}
_SIDES = {name: side for side, names in _COUNTS.items() for name in names.split()}
_BARE = frozenset(
    {"count", "counts", "in", "out", "enter", "exit", "forward", "backward", "occupancy", "inside", "people"}
)
"""Names that other devices use too: they need a time and a sensor beside them."""
_PERSONAL = frozenset(
    {
        "personid", "personids", "trackid", "trackids", "trackedobjects", "trajectory", "trajectories", "track",
        "tracks", "path", "paths", "signals", "faceid", "face", "faces", "facelist", "persons", "tracklist",
        "objects", "targets", "targetlist", "distances", "gender", "age", "ages", "attributes", "macaddresses",
        "macs", "hashedmac",
    }
)  # fmt: skip
"""Names of what tells of one person; of these a number (`persons`) is a count."""
_PERSONS = frozenset({"personid", "trackid", "faceid", "hashedmac"})
_SENSORS = (
    "sensor", "sensorid", "device", "deviceid", "devicesn", "serialnumber", "serial", "mac", "camera", "cameraid",
    "counter", "counterid", "locationid", "devicename", "name",
)  # fmt: skip
_STARTS = ("timestampstart", "starttime", "start", "from", "periodstart", "begintime")
_ENDS = ("timestampend", "endtime", "end", "to", "periodend", "stoptime")
_NUMBERS = (int, float)
_ENVELOPES = ("end_device_ids", "deviceInfo", "specversion", "@context")
"""Keys of messages that are of another format, whatever they carry."""
_MAX_DEPTH = 8
_MAX_VALUES = 2000


class _Scope(NamedTuple):
    """What the counts of a message share."""

    thing: str
    time: datetime | None
    end: datetime | None


def decode(message: Message, source: Source, state: Mapping[str, Any]) -> list[Item]:
    """Take the counts. Raises BadMessage (`personal`) where there is nothing but persons."""
    del state
    document = parse(message.payload)
    rows = document.get("data", document) if type(document) is dict else document
    found: list[Item] = []
    for row in rows if type(rows) is list else [document]:
        found += _message(expect(row, dict, "payload"), source)
    if _has_persons(found) and not any(isinstance(item, Reading) for item in found):
        raise BadMessage(
            "payload: counts are taken, persons are not, and there is nothing else", reason="personal"
        )
    return found or [Ignored("no value")]


def _message(row: Mapping[str, Any], source: Source) -> list[Item]:
    while len(row) == 1 and type(inside := next(iter(row.values()))) is dict:
        row = inside  # a wrapper such as logics_data
    if row.get("message_type") == "person":
        return [Skipped("person", "personal")]
    scope = _scope(row, source)
    found: list[Item] = []
    if type(row.get("aggregate")) is list:
        for one in row["aggregate"]:
            _line(found, expect(one, dict, "aggregate"), scope)
    elif type(row.get("direction")) is list:
        for one in row["direction"]:
            _direction(found, expect(one, dict, "direction"), scope)
        _density(found, row, scope, "")
    elif type(row.get("source")) is dict and type(row.get("type")) is str:
        _metric(found, row, scope)
    else:
        if any(key in row for key in _ENVELOPES) or ("id" in row and type(row.get("type")) is str):
            raise BadMessage("payload: expected a people counter's message, found an envelope")
        _walk(found, row, scope, "", source)
        _check(row, found, scope)
    if "latitude" in row and "longitude" in row and any(isinstance(item, Reading) for item in found):
        found.append(place(scope.thing, row["latitude"], row["longitude"], scope.time))
    return found


def _scope(row: Mapping[str, Any], source: Source) -> _Scope:
    """Find sensor and interval under their usual names, also one object deeper."""
    found = _found(row)
    thing = found.get("sensor", (0, ""))[1]
    return _Scope(str(thing), *_interval(found, source))


def _found(row: Mapping[str, Any]) -> dict[str, tuple[int, Any]]:
    """Return sensor, start, end and interval, each with the rank of the name that it stood under."""
    found: dict[str, tuple[int, Any]] = {}
    for key, value in row.items():
        for name, one in value.items() if type(value) is dict else ((key, value),):
            what, rank = _meant(name)
            if not what or one is None or (what in found and found[what][0] <= rank):
                continue
            if what != "sensor" or type(one) in {str, int}:
                found[what] = rank, one
    return found


@remembered
def _meant(key: str) -> tuple[str, int]:
    """Tell what a key tells of the message, and how well: a plain time is a start, if there is no better."""
    name = plain(key)
    for what, names in (("sensor", _SENSORS), ("start", _STARTS), ("end", _ENDS), ("interval", ("interval",))):
        if name in names:
            return what, names.index(name)
    return ("start", len(_STARTS)) if role(key) == "time" else ("", 0)


def _interval(found: Mapping[str, tuple[int, Any]], source: Source) -> tuple[datetime | None, datetime | None]:
    """Return start and end; a time alone is the start."""
    if "start" not in found:
        return None, None
    time = moment(found["start"][1], source.timezone)
    if "end" in found:
        return time, moment(found["end"][1], source.timezone, "end")
    length = found["interval"][1] if "interval" in found else None
    if isinstance(length, int | float) and 0 < length <= 86400:
        return time, time + timedelta(seconds=length)
    return time, None


def _line(found: list[Item], one: Mapping[str, Any], scope: _Scope) -> None:
    """Take a line's `count_in` and `count_out`, or a zone's `count`."""
    if _is_person(one):
        found.append(Skipped("person", "personal"))
        return
    name = text_or(one.get("id"), text_or(one.get("type")))
    for key, side in (("count", ""), ("count_in", "in"), ("count_out", "out")):
        if key in one:
            _count(found, key, one[key], scope, ".".join(filter(None, (name, side))))


def _direction(found: list[Item], one: Mapping[str, Any], scope: _Scope) -> None:
    """Take count and median speed (m/s) of one azimuth (degrees). Nobody has no speed."""
    azimuth = one.get("azimuth")
    name = f"{azimuth:g}" if type(azimuth) in _NUMBERS else ""
    _count(found, "count", one.get("count"), scope, name)
    speed: Any = one.get("median_speed")
    if type(speed) in _NUMBERS and one.get("count"):
        found.append(Reading(scope.thing, "medianWalkingSpeed", speed, scope.time, "m/s", scope.end, name))
    elif speed is None:
        found.append(Skipped("median_speed", "null"))
    found += [Skipped(key, "personal") for key in one if _key(key) in _PERSONAL and one[key]]


def _metric(found: list[Item], row: Mapping[str, Any], scope: _Scope) -> None:
    """Take an `areaMetrics`, `lineMetrics` or `countMetrics`; the id of a count is that of the message."""
    name = "" if row["type"] == "countMetrics" else text_or(row.get("id"))
    for one in row["counts"] if type(row.get("counts")) is list else ():
        azimuth = expect(one, dict, "counts").get("azimuth")
        side = f"{azimuth:g}" if type(azimuth) in _NUMBERS else ""
        _count(found, "count", one.get("count"), scope, ".".join(filter(None, (name, side))))
    if "count" in row:
        _count(found, "count", row["count"], scope, name)
    _density(found, row, scope, name)
    if not found:
        raise BadMessage("count: expected a number, found none")


def _density(found: list[Item], row: Mapping[str, Any], scope: _Scope, name: str) -> None:
    density: Any = row.get("density")
    if type(density) in _NUMBERS:
        found.append(Reading(scope.thing, "crowdDensity", density, scope.time, "/m2", scope.end, name))
    elif "density" in row:
        found.append(Skipped("density", "null"))


def _count(
    found: list[Item], key: str, value: Any, scope: _Scope, qualifier: str, name: str = "peopleCount"
) -> None:
    if type(value) is str and value.strip().isdecimal() and len(value) < 16:
        value = int(value)
    if type(value) in _NUMBERS:
        found.append(Reading(scope.thing, name, value, scope.time, "1", scope.end, qualifier))
    else:
        found.append(Skipped(key, "null" if value is None else "not a number"))


def _walk(
    found: list[Item], node: Mapping[str, Any], scope: _Scope, where: str, source: Source, depth: int = 0
) -> None:
    """Take every count of a message of any shape; what is personal is not looked into."""
    if depth > _MAX_DEPTH or len(found) > _MAX_VALUES:
        raise BadMessage(f"payload: expected at most {_MAX_VALUES} counts, {_MAX_DEPTH} deep", reason="size")
    if _is_person(node):
        found.append(Skipped("person", "personal"))
        return
    side = _side(text_or(node["name"])) if "name" in node and "value" in node else None
    if side is not None:
        _named_count(found, side, side or "count", node["value"], scope, where)
        return
    for key, value in node.items():
        if type(value) is dict:
            _walk(found, value, scope, _step(where, key), source, depth + 1)
        elif type(value) is list:
            _items(found, key, value, scope, where, source, depth + 1)
        elif (side := _side(key)) is not None:
            _named_count(found, side, key, value, scope, where)


def _items(
    found: list[Item], key: str, items: list[Any], scope: _Scope, where: str, source: Source, depth: int
) -> None:
    """Walk through lines, zones or intervals: told apart by name, number or time, else by index."""
    if _key(key) in _PERSONAL and items:
        found.append(Skipped(key, "personal"))
        return
    for index, item in enumerate(items, 1):
        if type(item) is not dict:
            continue
        own = next(
            (str(item[name]) for name in ("name", "line", "zone") if type(item.get(name)) in {str, int}), ""
        )
        time, end = _interval(_found(item), source)
        inner = scope._replace(time=time, end=end) if time else scope
        if _side(own) is None and not time and _key(key) != "counts":
            own = own or f"{key}.{index}"
        _walk(found, item, inner, where if _side(own) is not None else _step(where, own), source, depth)


def _named_count(found: list[Item], side: str, key: str, value: Any, scope: _Scope, where: str) -> None:
    """Append a count under what its name says: passed since, ever or present."""
    total = "total" in where.split(".") or _key(key).startswith("total")
    name = "peoplePresent" if side == "inside" else "peopleTotal" if total else "peopleCount"
    _count(found, key, value, scope, ".".join(filter(None, (where, "" if side == "inside" else side))), name)


def _step(where: str, key: str) -> str:
    return f"{where}.{key}" if where and key else where or key


@remembered
def _side(key: str) -> str | None:
    return _SIDES.get(plain(key))


@remembered
def _key(key: str) -> str:
    return plain(key)


def _is_person(node: Mapping[str, Any]) -> bool:
    return any(map(_PERSONS.__contains__, map(_key, node)))


def _check(row: Mapping[str, Any], found: list[Item], scope: _Scope) -> None:
    """Refuse what only happens to have a key such as `count`."""
    if _has_persons(found):
        return
    known = {_key(key) for key in row} & _SIDES.keys()
    if not (scope.thing or scope.time) and known <= _BARE:
        raise BadMessage("payload: expected counts of people with a sensor and a time, found a number alone")
    if not any(isinstance(item, Reading) for item in found):
        raise BadMessage("payload: expected counts, found none that is a number")


def _has_persons(found: list[Item]) -> bool:
    return any(isinstance(item, Skipped) and item.reason == "personal" for item in found)
