"""FIWARE context brokers: `AnprFlowObserved` of the Smart Data Models, in every form of NGSI-v2 and NGSI-LD.

https://github.com/smart-data-models/dataModel.Transportation/tree/master/AnprFlowObserved
An entity as keyValues, normalised or concise, as a GeoJSON Feature, in a list, a batch (`entities`) or a
notification (`data`). The camera is `observedBy`, else the entity's `id`. Brand, model, colour and pictures are
never read.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from anpr.countries import country
from anpr.payload import instant, kind, lane, name, number, parse_json, text
from broker.errors import BadMessage
from broker.model import Ignored, Message, PlateRead, Skipped, Source

FIELDS = (
    "data",
    "entities",
    "features",
    "properties",
    "id",
    "type",
    "value",
    "object",
    "@value",
    "dateObserved",
    "observedBy",
    "laneId",
    "vehiclePlateNotRead",
    "observedVehicle",
    "direction",
    "speed",
    "vehicleType",
    "country",
    "code",
    "licensePlate",
    "identifier",
    "confidence",
)
"""All that is ever read; the plate among them becomes a token."""
MARKS = (b"AnprFlowObserved",)
"""Bytes that tell of a plate, also in a message too broken to decode."""

LISTS = ("data", "entities", "features")
WRAPPED = ("value", "object", "@value")
WRAPS = 3
"""A property of a structure, a property in that, a date in that."""
DEPTH = 8
DIRECTIONS = {"towards": "forward", "away": "reverse"}
CLASSES = {
    "car": "auto",
    "van": "auto",
    "minibus": "auto",
    "caravan": "auto",
    "lorry": "vrachtwagen",
    "truck": "vrachtwagen",
    "motorcycle": "fiets",
    "moped": "fiets",
    "bicycle": "fiets",
}
"""Types of the model Vehicle → OSLO VkmVoertuigType, where fiets is any two-wheeler and buses are in none."""
OF_ONE = re.compile(r"[0-9a-fA-F]{8}(-?[0-9a-fA-F]{4}){3}-?[0-9a-fA-F]{12}$|(?<!\d)\d{10}(\d{3}|\d{6})?$")
"""How an id ends that is one of the passage, not of the camera: a UUID, an epoch."""


def decode(message: Message, source: Source, state: Mapping[str, Any]) -> list[PlateRead | Ignored | Skipped]:
    """Take the passage of each entity; raise BadMessage where there is none of this type."""
    del state
    entities = list(_entities(parse_json(message.payload), 0))
    ours = [entity for entity in entities if _type(entity) == "anprflowobserved"]
    if not ours:
        raise BadMessage("type: AnprFlowObserved was expected")
    others: list[Skipped] = [Skipped("entity", "of another type")] if len(ours) < len(entities) else []
    return [*(_read(entity, source) for entity in ours), *others]


def _entities(document: Any, depth: int) -> Iterator[Mapping[str, Any]]:
    """The entities of a document: itself, or those of its lists."""
    if depth > DEPTH:
        raise BadMessage(f"nested deeper than {DEPTH}")
    if isinstance(document, list):
        for one in document:
            yield from _entities(one, depth + 1)
        return
    if not isinstance(document, dict):
        raise BadMessage(f"an entity was expected, found {kind(document)}")
    inside = next((document[key] for key in LISTS if isinstance(document.get(key), list)), None)
    if inside is not None:
        yield from _entities(inside, depth + 1)
    elif document.get("type") == "Feature" and isinstance(document.get("properties"), dict):
        yield {"id": document.get("id"), **document["properties"]}
    else:
        yield document


def _type(entity: Mapping[str, Any]) -> str:
    """The type without namespace, in lower case: ids and types differ in that."""
    found = entity.get("type")
    found = found[0] if isinstance(found, list) and found else found
    return re.split("[/#:]", found)[-1].lower() if isinstance(found, str) else ""


def _read(entity: Mapping[str, Any], source: Source) -> PlateRead:
    vehicle = _object(entity.get("observedVehicle"))
    plate = _object(vehicle.get("licensePlate"))
    identifier = text(_plain(plate.get("identifier")))
    unread = _plain(entity.get("vehiclePlateNotRead")) in (True, "true")
    observed = _plain(entity.get("dateObserved"))
    confidence = number(_plain(plate.get("confidence")))
    speed = number(_plain(vehicle.get("speed")))
    return PlateRead(
        camera=name(_plain(entity.get("observedBy"))) or _camera(entity, identifier),
        time=instant(
            "dateObserved", observed.split("/")[0] if isinstance(observed, str) else observed, source.timezone
        ),
        plate=None if unread else identifier,
        lane=lane(_plain(entity.get("laneId"))),
        direction=DIRECTIONS.get(_word(vehicle.get("direction")), "unknown"),
        vehicle_class=CLASSES.get(_word(vehicle.get("vehicleType")), "unknown"),
        country=country(text(_plain(_object(vehicle.get("country")).get("code")))),
        confidence=confidence if confidence is not None and 0 <= confidence <= 1 else None,
        speed=speed if speed is not None and 0 <= speed <= 400 else None,
    )


def _camera(entity: Mapping[str, Any], plate: str | None) -> str:
    """The entity's id, unless it is one of the passage or tells of the vehicle."""
    found = name(entity.get("id"))
    return "" if OF_ONE.search(found) or (plate and _bare(plate) in _bare(found)) else found


def _bare(written: str) -> str:
    return re.sub(r"\W|_", "", written).upper()


def _plain(value: Any) -> Any:
    """An attribute's value, whatever it is wrapped in."""
    for _ in range(WRAPS):
        key = next((key for key in WRAPPED if isinstance(value, dict) and key in value), None)
        if key is None:
            break
        value = value[key]
    return value


def _object(value: Any) -> Mapping[str, Any]:
    found = _plain(value)
    return found if isinstance(found, dict) else {}


def _word(value: Any) -> str:
    return (text(_plain(value)) or "").lower()
