"""NGSI-LD and NGSI-v2 entities, alone, in arrays or in notifications, above all those of Smart Data Models.

Specifications: NGSI-LD, https://www.etsi.org/deliver/etsi_gs/CIM/001_099/009/01.08.01_60/gs_CIM009v010801p.pdf;
NGSI-v2, https://fiware.github.io/specifications/ngsiv2/stable/; models, https://smartdatamodels.org
All encodings are read: keyValues, concise, normalised, temporal and GeoJSON. Times without a zone are UTC, as the
models say.
"""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, NamedTuple

from broker.errors import BadMessage
from broker.model import Ignored, Inventory, Message, Place, Reading, Signal, Skipped, Source
from broker.vocabulary import load
from ingest.fiware import position
from ingest.payload import expect, geometry, parse, place, text_or
from ingest.rules import read_number
from ingest.times import interval, moment

Item = Reading | Place | Signal | Inventory | Ignored | Skipped

PERSONAL = {"AnprFlowObserved", "AnonymousCommuterId", "Vehicle", "Person", "UserContext", "CrowdFlowPerson"}
"""Types that tell of one person or one vehicle."""

_TIMES = (
    "dateObserved", "observationDateTime", "TimeInstant", "observedAt", "timestamp", "dateModified", "modifiedAt",
)  # fmt: skip
_NO_MEASUREMENT = frozenset(
    {
        "id", "type", "@context", "address", "name", "description", "location", "owner", "seeAlso", "laneId",
        "laneDirection", "vehicleType", "isMobile", "municipalityInfo", "reliability", "createdAt", "scope",
        "operationSpace", "observationSpace", "refDevice", "category", "zip", "postalCode", "roadSegment", *_TIMES,
    }
)  # fmt: skip
_FRACTIONS = frozenset(
    {"relativeHumidity", "humidity", "occupancy", "batteryLevel", "fillingLevel", "soilMoistureVwc"}
)
"""0–1 in the models; who sends 54 means per cent."""
_STATES = frozenset({"status", "state", "powerState", "airQualityLevel", "weatherType"})
"""Texts that are observations; others describe the thing."""
_CARRIERS = ("value", "json", "valueList", "vocab", "object", "objectList", "languageMap")
"""What an attribute has its value in, by its kind."""
_NO_VALUES = frozenset({"object", "objectList", "languageMap"})
_NULL = "urn:ngsi-ld:null"
"""What is written for an attribute that was deleted."""
_DATED = re.compile(r"[-:_.]?\d{4}-\d{2}-\d{2}[T_ ]\d{2}[:.]?\d{2}.*$")
_LAST = re.compile(r"[^/#]+$")
_MAX_DEPTH = 6


class Value(NamedTuple):
    """One attribute, whatever its encoding."""

    name: str
    value: Any
    unit: str | None = None
    time: datetime | None = None
    qualifier: str = ""


class Entity(NamedTuple):
    """What its values inherit."""

    type: str
    thing: str
    start: datetime | None
    end: datetime | None
    qualifier: str


def decode(message: Message, source: Source, state: Mapping[str, Any]) -> list[Item]:
    """Take the measurements and places of all entities.

    Raises BadMessage, with reason `personal` for types that tell of one person or vehicle.
    """
    del source, state
    document = parse(message.payload)
    if type(document) is dict and type(document.get("body")) is dict and "metadata" in document:
        document = document["body"]  # how NGSI-LD notifies over MQTT
    notified = _notified(document)
    found: list[Item] = []
    for entity in _entities(document):
        found += _observed(_flat(expect(entity, dict, "an entity")), notified)
    return found or [Ignored("no entity")]


def _entities(document: Any) -> list[Any]:
    if type(document) is not dict:
        return list(expect(document, list, "payload"))
    for key in ("data", "entities", "features", "@graph"):
        # A notification, a batch, a collection, or the entity itself with an attribute of that name.
        if "id" not in document or _type(document) in {"Notification", "FeatureCollection"}:
            inner = document.get(key)
            if type(inner) is list:
                return list(inner)
            if type(inner) is dict and type(inner.get("features")) is list:
                return list(inner["features"])
    return [document]


def _flat(entity: dict[str, Any]) -> dict[str, Any]:
    """Return the entity that is in a GeoJSON Feature: its geometry is the location."""
    inner = entity.get("properties")
    if entity.get("type") != "Feature" or type(inner) is not dict:
        return entity
    identity = {"id": entity["id"]} if "id" in entity else {}
    shape = {"location": entity["geometry"]} if type(entity.get("geometry")) is dict else {}
    return identity | shape | inner


def _notified(document: Any) -> datetime | None:
    value = document.get("notifiedAt") if type(document) is dict else None
    return None if value is None else moment(value, UTC, "notifiedAt")


def _type(entity: Mapping[str, Any]) -> str:
    kind = entity.get("type", entity.get("@type"))
    name = _LAST.search(text_or(kind[0] if type(kind) is list and kind else kind))
    return name[0] if name else ""


def _observed(entity: Mapping[str, Any], notified: datetime | None) -> list[Item]:
    kind = _type(entity)
    if not kind:
        raise BadMessage(f"type: expected a string, found {type(entity.get('type')).__name__}")
    if kind in PERSONAL:
        raise BadMessage(f"type: {kind} tells of one person or vehicle", reason="personal")
    attributes = [value for key in entity for value in _values(key, entity[key])]
    start, end = _time({value.name: value.value for value in attributes}, notified)
    about = Entity(kind, _identity(entity), start, end, _qualifier(attributes))
    found = [item for value in attributes for item in _items(value, about, 0)]
    return found if any(isinstance(item, Reading) for item in found) else [*found, Ignored("no measurement")]


def _identity(entity: Mapping[str, Any]) -> str:
    """Return the id without the time that some publishers put at its end."""
    identity = entity.get("id", entity.get("@id"))
    return _DATED.sub("", expect(identity, str, "id"))


def _values(name: str, attribute: Any) -> list[Value]:
    """Read an attribute in any encoding; one with several `datasetId` or times gives several."""
    if "://" in name:
        name = name.rstrip("/#").replace("#", "/").rpartition("/")[2]
    if type(attribute) is list and attribute and all(type(item) is dict and _carrier(item) for item in attribute):
        return [value for item in attribute for value in _values(name, item)]
    if type(attribute) is not dict:
        return [Value(name, attribute)]
    if type(attribute.get("values")) is list:
        return _history(name, attribute)
    carrier = _carrier(attribute)
    if carrier is None:
        return [Value(name, attribute)]
    return [] if carrier in _NO_VALUES else _carried(name, attribute, carrier)


def _carried(name: str, attribute: Mapping[str, Any], carrier: str) -> list[Value]:
    value = _plain(attribute[carrier])
    known = Value(name, value, _unit_of(attribute), _time_of(name, attribute), text_or(attribute.get("datasetId")))
    if carrier != "valueList" or type(value) is not list:
        return [known]
    return [
        known._replace(value=_plain(item), qualifier=_joined(known.qualifier, str(index)))
        for index, item in enumerate(value)
    ]


def _carrier(attribute: Mapping[str, Any]) -> str | None:
    return next((key for key in _CARRIERS if key in attribute), None)


def _plain(value: Any) -> Any:
    """Return what JSON-LD gives a type: `{"@type": "DateTime", "@value": …}`."""
    return value["@value"] if type(value) is dict and "@value" in value else value


def _unit_of(attribute: Mapping[str, Any]) -> str | None:
    extra = attribute.get("metadata")
    places = (attribute, extra) if type(extra) is dict else (attribute,)
    for place_ in places:
        for key in ("unitCode", "unit", "unitText"):
            unit = text_or(_inner(place_.get(key)))
            if unit:
                return unit.rpartition("/")[2] if "://" in unit else unit
    return None


def _time_of(name: str, attribute: Mapping[str, Any]) -> datetime | None:
    extra = attribute.get("metadata")
    extra = extra if type(extra) is dict else {}
    when = (
        attribute.get("observedAt")
        or extra.get("TimeInstant")
        or extra.get("timestamp")
        or extra.get("observedAt")
    )
    when = _plain(_inner(when))
    return None if when is None else moment(when, UTC, f"{name}.observedAt")


def _history(name: str, attribute: Mapping[str, Any]) -> list[Value]:
    """Read the temporal simplified form: `{"values": [[21.5, "2026-03-02T07:00:00Z"], …]}`."""
    known = Value(name, None, _unit_of(attribute), None, text_or(attribute.get("datasetId")))
    pairs = [pair for pair in attribute["values"] if type(pair) is list and len(pair) == 2]
    return [known._replace(value=value, time=moment(when, UTC, f"{name}.values")) for value, when in pairs]


def _inner(value: Any) -> Any:
    return value.get("value", value) if type(value) is dict else value


def _joined(*parts: str) -> str:
    return ", ".join(filter(None, parts))


def _time(attributes: Mapping[str, Any], notified: datetime | None) -> tuple[datetime | None, datetime | None]:
    """Return the phenomenon time: an interval where both ends are given, else the first of the usual times."""
    start, end = attributes.get("dateObservedFrom"), attributes.get("dateObservedTo")
    if start and end:
        return moment(start, UTC, "dateObservedFrom"), moment(end, UTC, "dateObservedTo")
    for name in _TIMES:
        if attributes.get(name):
            return interval(attributes[name], UTC, name)
    return notified, None


def _qualifier(attributes: list[Value]) -> str:
    """Tell lanes, directions and vehicle types of one entity apart."""
    found = {value.name: value.value for value in attributes}
    lane = found.get("laneId")
    parts = [f"lane {lane}" if isinstance(lane, int | str) and lane != "" else ""]
    parts += [text_or(found.get(name)) for name in ("laneDirection", "vehicleType")]
    return _joined(*parts)


def _items(value: Value, about: Entity, depth: int) -> list[Item]:
    name, content = value.name, value.value
    if name == "location" or (type(content) is dict and "coordinates" in content):
        return _located(value, about)
    if name in _NO_MEASUREMENT or name.startswith(("date", "ref", "@")):
        return []
    if type(content) is dict:
        return _nested(value, about, depth)
    if content is None or content == _NULL:
        return [Skipped(name, "null")]
    taken = isinstance(content, bool | int | float) or (type(content) is str and _told(about.type, name, content))
    return [_reading(value, about)] if taken else []


def _told(kind: str, name: str, text: str) -> bool:
    """Tell whether a text is an observation: a state, or a number of something that is known."""
    if name in _STATES:
        return text != ""
    return _known(kind, name) and (read_number(text) is not None)


@lru_cache(maxsize=4096)
def _known(kind: str, name: str) -> bool:
    return load().model(kind, name) is not None or load().find(name) is not None


def _located(value: Value, about: Entity) -> list[Item]:
    """Return the place: GeoJSON, that as a text, or `"50.83, 3.26"` (geo:point of NGSI-v2)."""
    content, time = value.value, value.time or about.start
    if type(content) is str:
        point = position(content)
        if point:
            return [place(about.thing, *point, time)]
        content = parse(content.encode()) if content.startswith("{") else None
    if type(content) is not dict or value.name.endswith("Space"):
        return []
    return [geometry(about.thing, content, time)]


def _nested(value: Value, about: Entity, depth: int) -> list[Item]:
    if depth > _MAX_DEPTH:
        raise BadMessage(f"{value.name[:80]}: expected values at most {_MAX_DEPTH} deep", reason="size")
    inner = [
        value._replace(name=f"{value.name}.{key}", value=content)
        for key, content in value.value.items()
        if key not in _NO_MEASUREMENT and not isinstance(content, str)
    ]
    return [item for part in inner for item in _items(part, about, depth + 1)]


def _reading(value: Value, about: Entity) -> Reading:
    own = value.time is not None
    return Reading(
        about.thing,
        _property(about.type, value.name),
        value.value,
        value.time if own else about.start,
        value.unit or _unit(value.name, value.value),
        None if own else about.end,
        _joined(about.qualifier, value.qualifier),
    )


@lru_cache(maxsize=4096)
def _property(kind: str, name: str) -> str:
    known = load().model(kind, name)
    return known.key if known else name


def _unit(name: str, value: Any) -> str | None:
    if name.rpartition(".")[2] not in _FRACTIONS or isinstance(value, bool | str):
        return None
    return "1" if 0 <= value <= 1 else "%"
