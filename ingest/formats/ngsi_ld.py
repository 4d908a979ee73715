"""NGSI-LD and NGSI-v2 entities, alone, in arrays or in notifications, above all those of Smart Data Models.

Specifications: NGSI-LD, https://www.etsi.org/deliver/etsi_gs/CIM/001_099/009/01.08.01_60/gs_CIM009v010801p.pdf;
NGSI-v2, https://fiware.github.io/specifications/ngsiv2/stable/; models, https://smartdatamodels.org
All encodings are read: keyValues, concise and normalised. Times without a zone are UTC, as the models say.
"""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, NamedTuple

from broker.errors import BadMessage
from broker.model import Ignored, Inventory, Message, Place, Reading, Signal, Skipped, Source
from broker.vocabulary import load
from ingest.payload import expect, geometry, parse, text_or
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
    notified = _notified(document)
    found: list[Item] = []
    for entity in _entities(document):
        found += _observed(expect(entity, dict, "an entity"), notified)
    return found or [Ignored("no entity")]


def _entities(document: Any) -> list[Any]:
    if type(document) is dict:
        for key in ("data", "entities"):
            # A notification, a batch, or the entity itself with an attribute of that name.
            if type(document.get(key)) is list and ("id" not in document or _type(document) == "Notification"):
                return list(document[key])
        return [document]
    return list(expect(document, list, "payload"))


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
    """Read an attribute in any encoding; one with several `datasetId` gives several."""
    if type(attribute) is list and attribute and all(type(item) is dict and "value" in item for item in attribute):
        return [value for item in attribute for value in _values(name, item)]
    if type(attribute) is not dict or "value" not in attribute:
        return [Value(name, attribute)]
    value = attribute["value"]
    if type(value) is dict and "@value" in value:
        value = value["@value"]
    extra = attribute.get("metadata")
    extra = extra if type(extra) is dict else {}
    unit = text_or(attribute.get("unitCode")) or text_or(_inner(extra.get("unitCode"))) or None
    when = attribute.get("observedAt") or _inner(extra.get("TimeInstant") or extra.get("timestamp"))
    time = None if when is None else moment(when, UTC, f"{name}.observedAt")
    return [Value(name, value, unit, time, text_or(attribute.get("datasetId")))]


def _inner(value: Any) -> Any:
    return value.get("value") if type(value) is dict else value


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
    return ", ".join(filter(None, parts))


def _items(value: Value, about: Entity, depth: int) -> list[Item]:
    name, content = value.name, value.value
    if type(content) is dict and (name == "location" or "coordinates" in content):
        return [geometry(about.thing, content, about.start)]
    if name in _NO_MEASUREMENT or name.startswith(("date", "ref", "@")):
        return []
    if type(content) is dict:
        return _nested(value, about, depth)
    if isinstance(content, bool | int | float) or (type(content) is str and name in _STATES and content):
        return [_reading(value, about)]
    return [Skipped(name, "null")] if content is None else []


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
        value.qualifier or about.qualifier,
    )


@lru_cache(maxsize=4096)
def _property(kind: str, name: str) -> str:
    known = load().model(kind, name)
    return known.key if known else name


def _unit(name: str, value: Any) -> str | None:
    if name.rpartition(".")[2] not in _FRACTIONS or isinstance(value, bool | str):
        return None
    return "1" if 0 <= value <= 1 else "%"
