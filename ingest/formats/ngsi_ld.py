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
from typing import Any, NamedTuple, cast

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
_NO_MEASUREMENT = {
    "id", "type", "@context", "address", "name", "description", "location", "owner", "seeAlso", "laneId",
    "laneDirection", "vehicleType", "isMobile", "municipalityInfo", "reliability", "createdAt", "scope",
    "operationSpace", "observationSpace", "refDevice", "category", "zip", "postalCode", "roadSegment", *_TIMES,
}  # fmt: skip
_FRACTIONS = {"relativeHumidity", "humidity", "occupancy", "batteryLevel", "fillingLevel", "soilMoistureVwc"}
"""0–1 in the models; who sends 54 means per cent."""
_STATES = frozenset({"status", "state", "powerState", "airQualityLevel", "weatherType"})
"""Texts that are observations; others describe the thing."""
_CARRIERS = ("value", "json", "valueList", "vocab", "object", "objectList", "languageMap")
"""What an attribute has its value in, by its kind."""
_NO_VALUES = frozenset({"object", "objectList", "languageMap"})
_NULL = "urn:ngsi-ld:null"
"""What is written for an attribute that was deleted."""
_DATED = re.compile(r"[-:_.]?\d{4}-\d{2}-\d{2}[T_ ]\d{2}[:.]?\d{2}.*$")
_UNITS = ("unitCode", "unit", "unitText")
_ALL_UNITS = frozenset(_UNITS)
_QUALIFIERS = frozenset({"laneId", "laneDirection", "vehicleType"})
_NUMBERS = (float, int)
_COLLECTIONS = frozenset({"Notification", "FeatureCollection"})
_MAX_DEPTH = 6
MAX_NAME = 512
MAX_PLANS = 2000
"""Names come from outside: memory does not grow with them."""
_new: Any = tuple.__new__  # a third of what making a named tuple costs


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


class Plan(NamedTuple):
    """What becomes of an attribute of one name and type of entity."""

    kind: str
    """value, location, or expanded where its name is an IRI."""
    property: str
    fraction: bool
    """0–1 in the models, whatever the unit is called elsewhere."""
    state: bool
    """Its texts are observations."""
    known: bool
    """Its texts are numbers, where they can be read as such."""


class Plans(dict[str, Plan | None]):
    """By name, for one type; None for what describes the entity. A missing one is made."""

    def __init__(self, type_: str) -> None:
        super().__init__()
        self._type = type_

    def __missing__(self, name: str) -> Plan | None:
        plan = _plan(self._type, name)
        if len(name) <= MAX_NAME:
            if len(self) >= MAX_PLANS:
                self.clear()
            self[name] = plan
        return plan


def _plan(type_: str, name: str) -> Plan | None:
    if "://" in name or name == "location":
        kind = "location" if name == "location" else "expanded"
        return Plan(kind, name, fraction=False, state=False, known=False)
    if name in _NO_MEASUREMENT or name.startswith(("date", "ref", "@")):
        return None
    model = load().model(type_, name)
    last = name.rpartition(".")[2]
    known = model is not None or load().find(name) is not None
    return Plan("value", model.key if model else name, last in _FRACTIONS, name in _STATES, known)


_plans = lru_cache(maxsize=512)(Plans)


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
    if "id" in document and _type(document) not in _COLLECTIONS:
        return [document]
    for key in ("data", "entities", "features", "@graph"):
        inner = document.get(key)
        if type(inner) is dict:
            inner = inner.get("features")
        if type(inner) is list:
            return inner
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
    if type(kind) is list and kind:
        kind = kind[0]
    if type(kind) is not str:
        return ""
    return kind.replace("#", "/").rpartition("/")[2]


def _kind(entity: Mapping[str, Any]) -> str:
    """Return the type. Raises BadMessage where it is none, and (`personal`) for those of persons and vehicles."""
    kind = _type(entity)
    if not 0 < len(kind) <= MAX_NAME:
        found = type(entity.get("type")).__name__
        raise BadMessage(f"type: expected a string of at most {MAX_NAME} characters, found {found}")
    if kind in PERSONAL:
        raise BadMessage(f"type: {kind} tells of one person or vehicle", reason="personal")
    return kind


def _observed(entity: Mapping[str, Any], notified: datetime | None) -> list[Item]:
    kind = _kind(entity)
    about = _about(kind, entity, notified)
    plans, found = _plans(kind), list[Item]()
    _, thing, start, end, qualifier = about
    for name, attribute in entity.items():
        plan = plans[name]
        if plan is None:
            continue
        if plan.kind == "expanded":
            return _observed(_shortened(entity), notified)
        content = attribute
        if type(content) is dict and len(content) == 2 and "value" in content and "type" in content:
            content = content["value"]
        if type(content) in _NUMBERS and plan.kind == "value":
            unit = ("1" if 0 <= content <= 1 else "%") if plan.fraction else None
            found.append(_new(Reading, (thing, plan.property, content, start, unit, end, qualifier, 0)))
        elif _tells(content, plan):
            for value in _values(name, attribute):
                found += _items(value, plan, about, 0)
    return found if Reading in map(type, found) else [*found, Ignored("no measurement")]


def _tells(content: Any, plan: Plan) -> bool:
    """Tell whether an attribute is worth a closer look: most texts, and lists of them, describe the entity."""
    if type(content) is str:
        return plan.state or plan.known or plan.kind == "location"
    return type(content) is not list or (bool(content) and type(content[0]) is dict)


def _about(kind: str, entity: Mapping[str, Any], notified: datetime | None) -> Entity:
    """Return what its values inherit. Raises BadMessage where its id or time is none."""
    identity = expect(entity.get("id", entity.get("@id")), str, "id")
    if len(identity) > MAX_NAME:
        raise BadMessage(f"id: expected at most {MAX_NAME} characters, found more", reason="identity")
    start, end = _time(entity, notified)
    qualifier = "" if _QUALIFIERS.isdisjoint(entity) else _qualifier(entity)
    return cast("Entity", _new(Entity, (kind, _undated(identity), start, end, qualifier)))


@lru_cache(maxsize=4096)
def _undated(identity: str) -> str:
    """Return the id without the time that some publishers put at its end."""
    return _DATED.sub("", identity)


def _shortened(entity: Mapping[str, Any]) -> dict[str, Any]:
    """Return the entity with names in place of their IRIs, as brokers send them that know no context."""
    return {
        name.rstrip("/#").replace("#", "/").rpartition("/")[2] if "://" in name else name: attribute
        for name, attribute in entity.items()
    }


def _values(name: str, attribute: Any) -> list[Value]:
    """Read an attribute in any encoding; one with several `datasetId` or times gives several."""
    if type(attribute) is list and attribute and all(type(item) is dict and _carrier(item) for item in attribute):
        return [value for item in attribute for value in _values(name, item)]
    if type(attribute) is not dict:
        return [_new(Value, (name, attribute, None, None, ""))]
    if "values" in attribute and type(attribute["values"]) is list:
        return _history(name, attribute)
    carrier = _carrier(attribute)
    if carrier is None:
        return [Value(name, attribute)]
    return [] if carrier in _NO_VALUES else _carried(name, attribute, carrier)


def _carried(name: str, attribute: Mapping[str, Any], carrier: str) -> list[Value]:
    value = _plain(attribute[carrier])
    unit, time, part = _unit_of(attribute), _time_of(name, attribute), text_or(attribute.get("datasetId"))
    known: Value = _new(Value, (name, value, unit, time, part))
    if carrier != "valueList" or type(value) is not list:
        return [known]
    return [
        known._replace(value=_plain(item), qualifier=_joined(known.qualifier, str(index)))
        for index, item in enumerate(value)
    ]


def _carrier(attribute: Mapping[str, Any]) -> str | None:
    if "value" in attribute:
        return "value"
    return next((key for key in _CARRIERS if key in attribute), None)


def _plain(value: Any) -> Any:
    """Return what JSON-LD gives a type: `{"@type": "DateTime", "@value": …}`."""
    return value["@value"] if type(value) is dict and "@value" in value else value


def _unit_of(attribute: Mapping[str, Any]) -> str | None:
    unit = attribute.get("unitCode")
    if unit is None:
        extra = attribute.get("metadata")
        for one in (attribute, extra) if type(extra) is dict else (attribute,):
            if not _ALL_UNITS.isdisjoint(one):
                unit = next(_inner(one[key]) for key in _UNITS if key in one)
                break
    if type(unit) is not str or not unit:
        return None
    return unit.rpartition("/")[2] if "://" in unit else unit


def _time_of(name: str, attribute: Mapping[str, Any]) -> datetime | None:
    when = attribute.get("observedAt")
    if when is None:
        extra = attribute.get("metadata")
        if type(extra) is not dict:
            return None
        when = extra.get("TimeInstant") or extra.get("timestamp") or extra.get("observedAt")
    when = _plain(_inner(when))
    return None if when is None else moment(when, UTC, f"{name}.observedAt")


def _history(name: str, attribute: Mapping[str, Any]) -> list[Value]:
    """Read the temporal simplified form: `{"values": [[21.5, "2026-03-02T07:00:00Z"], …]}`."""
    unit, part, field = _unit_of(attribute), text_or(attribute.get("datasetId")), f"{name}.values"
    pairs = [pair for pair in attribute["values"] if type(pair) is list and len(pair) == 2]
    return [_new(Value, (name, value, unit, moment(when, UTC, field), part)) for value, when in pairs]


def _inner(value: Any) -> Any:
    return value.get("value", value) if type(value) is dict else value


def _joined(*parts: str) -> str:
    return ", ".join(filter(None, parts))


def _bare(attribute: Any) -> Any:
    """Return the value of an attribute in any encoding."""
    return _plain(_inner(attribute)) if type(attribute) is dict else attribute


def _time(entity: Mapping[str, Any], notified: datetime | None) -> tuple[datetime | None, datetime | None]:
    """Return the phenomenon time: an interval where both ends are given, else the first of the usual times."""
    if "dateObservedFrom" in entity and "dateObservedTo" in entity:
        start, end = _bare(entity["dateObservedFrom"]), _bare(entity["dateObservedTo"])
        if start and end:
            return moment(start, UTC, "dateObservedFrom"), moment(end, UTC, "dateObservedTo")
    for name in _TIMES:
        if name in entity:
            value = _bare(entity[name])
            if value:
                return interval(value, UTC, name)
    return notified, None


def _qualifier(entity: Mapping[str, Any]) -> str:
    """Tell lanes, directions and vehicle types of one entity apart."""
    lane = _bare(entity.get("laneId"))
    parts = [f"lane {lane}" if isinstance(lane, int | str) and lane != "" else ""]
    parts += [text_or(_bare(entity.get(name))) for name in ("laneDirection", "vehicleType")]
    return _joined(*parts)


def _items(value: Value, plan: Plan, about: Entity, depth: int) -> list[Item]:
    content = value.value
    if type(content) in _NUMBERS and plan.kind == "value":
        return [_reading(value, plan, about)]
    if plan.kind == "location" or (type(content) is dict and "coordinates" in content):
        return _located(value, about)
    if type(content) is dict:
        return _nested(value, about, depth)
    if content is None or content == _NULL:
        return [Skipped(value.name, "null")]
    taken = isinstance(content, bool | int | float) or (type(content) is str and _told(plan, content))
    return [_reading(value, plan, about)] if taken else []


def _told(plan: Plan, text: str) -> bool:
    """Tell whether a text is an observation: a state, or a number of something that is known."""
    return text != "" if plan.state else plan.known and read_number(text) is not None


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
    found, plans, path = list[Item](), _plans(about.type), value.name
    for key, content in value.value.items():
        plan = plans[f"{path}.{key}"] if type(content) is not str and key not in _NO_MEASUREMENT else None
        if plan is None:
            continue
        inner = _new(Value, (f"{path}.{key}", content, value.unit, value.time, value.qualifier))
        if type(content) in _NUMBERS:
            found.append(_reading(inner, plan, about))
        else:
            found += _items(inner, plan, about, depth + 1)
    return found


def _reading(value: Value, plan: Plan, about: Entity) -> Reading:
    _, content, unit, own, part = value
    _, thing, start, end, inherited = about
    if unit is None and plan.fraction and type(content) in _NUMBERS:
        unit = "1" if 0 <= content <= 1 else "%"
    qualifier = _joined(inherited, part) if part else inherited
    time, until = (start, end) if own is None else (own, None)
    return cast("Reading", _new(Reading, (thing, plan.property, content, time, unit, until, qualifier, 0)))
