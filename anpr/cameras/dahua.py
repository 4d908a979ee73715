"""Dahua ITC and IPC cameras and recorders: events of `snapManager.cgi` and `eventManager.cgi`, and pushed ITSAPI.

https://github.com/rroller/dahua/issues/215 (events as they come; the HTTP API's own document is for partners)
An event is lines of `Events[0].TrafficCar.Lane=1`, or `Code=…;action=…;index=…;data={…}` with JSON over several
lines, or that JSON alone; multipart streams hold any of them between pictures and heartbeats. `UTC` is true if the
camera's clock is; where it runs on local time, `clock = "local"`. A confidence of 0 says nothing of the reading.
"""

import re
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

import orjson
from pydantic import BaseModel, ConfigDict

from anpr.countries import country
from anpr.payload import instant, kind, lane, name, number, parse_json, parts, text
from broker.errors import BadMessage
from broker.model import Ignored, Message, PlateRead, Skipped, Source

FIELDS = (
    "Code",
    "Action",
    "EventBaseInfo",
    "MachineName",
    "DeviceID",
    "GroupID",
    "IndexInGroup",
    "UTC",
    "UTCMS",
    "RealUTC",
    "Lane",
    "Speed",
    "JunctionDirection",
    "Object",
    "ObjectType",
    "Text",
    "Confidence",
    "Country",
    "CommInfo",
    "Plate",
    "PlateNumber",
    "PlateText",
    "TrafficCar",
    "DrivingDirection",
    "Vehicle",
    "NonMotor",
    "Category",
    # what pushes and remote calls wrap it in
    "Data",
    "Events",
    "params",
    "eventList",
    "Active",
    # ITSAPI
    "Picture",
    "SnapInfo",
    "AccurateTime",
    "SnapTime",
    "LanNo",
    "Direction",
    "VehicleType",
)
"""All that is ever read; the plate among them becomes a token."""
MARKS = (b"PlateNumber", b"TrafficCar", b"TrafficJunction", b'"ObjectType"', b"ObjectType=Plate")
"""Bytes that tell of a plate, also in a message too broken to decode."""

LINE = re.compile(r"^(?:Events\[(\d{1,4})\]\.)?([A-Za-z]+(?:\.[A-Za-z]+){0,3})(?:\[0\])?=([^\r\n]*)", re.MULTILINE)
"""Of an array only the first item: of directions it is the driving one, names of places follow."""
CODED = re.compile(r"Code=(\w+);action=(\w+)[^{]*(\{.*\})?", re.DOTALL)
NEXT = re.compile(r"^(?=Code=\w+;)", re.MULTILINE)
TEXTS = frozenset(b"{[" + bytes(range(65, 91)) + bytes(range(97, 123)))
"""First bytes of a part that is no picture."""
OF_VEHICLE = {"Category", "VehicleType", "Speed"}
"""Not its `Text`, which is the make."""
VEHICLE = ("Object", "TrafficCar", "Plate", "Vehicle", "NonMotor", "PlateNumber", "PlateText")
WANTED = frozenset(FIELDS)
HEARTBEAT = Ignored("heartbeat")
NOT_A_PASSAGE = ("TrafficFlow", "TrafficPark", "TrafficVehicleInNoParking", "TrafficLight", "TrafficJam")
"""Codes of statistics, of vehicles that stand still, and of lights."""
SENTINELS = {"unknown", "unlicensed", "noplate", "no plate"}
DIRECTIONS = {"approach": "forward", "leave": "reverse", "obverse": "forward", "reverse": "reverse"}
CLASSES = {
    "saloon": "auto",
    "salooncar": "auto",
    "motor": "auto",
    "car": "auto",
    "hatchback": "auto",
    "mpv": "auto",
    "suv": "auto",
    "suvmpv": "auto",
    "pickup": "auto",
    "microbus": "auto",
    "minicarriage": "auto",
    "microtruck": "auto",
    "van": "auto",
    "smallcar": "auto",
    "saloonbus": "auto",
    "smalltruck": "auto",
    "lighttruck": "auto",
    "truck": "vrachtwagen",
    "midtruck": "vrachtwagen",
    "mediumtruck": "vrachtwagen",
    "largetruck": "vrachtwagen",
    "bigtruck": "vrachtwagen",
    "heavytruck": "vrachtwagen",
    "trailer": "vrachtwagen",
    "tractor": "vrachtwagen",
    "tankcar": "vrachtwagen",
    "tanktruck": "vrachtwagen",
    "concretemixer": "vrachtwagen",
    "dregscar": "vrachtwagen",
    "containertruck": "vrachtwagen",
    "nonmotor": "fiets",
    "motorcycle": "fiets",
    "twowheelvehicle": "fiets",
    "bicycle": "fiets",
    "cycling": "fiets",
    "passerby": "voetganger",
    "pedestrian": "voetganger",
}
"""OSLO VkmVoertuigType by its definitions: auto with light goods and minibus, buses are in none."""


class Options(BaseModel):
    """`options` of a source of this camera.

    `clock = "local"` is for cameras that count local time as if it were UTC: the source's `timezone` holds.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    clock: Literal["utc", "local"] = "utc"


def decode(message: Message, source: Source, state: Mapping[str, Any]) -> list[PlateRead | Ignored | Skipped]:
    """Take the vehicles of all events; raise BadMessage where there is no event, or one that is none of theirs."""
    del state
    found = [_event(event, source) for event in _events(message.payload)]
    if not any(isinstance(one, PlateRead) for one in found):
        return [*found[:1]]
    return [Skipped("event", one.reason) if isinstance(one, Ignored) else one for one in found if one != HEARTBEAT]


def unwrap(payload: bytes) -> bytes:
    """The events of any form as a JSON list, which is one of them. BadMessage for what is nested too deep."""
    events = _events(payload)
    with suppress(orjson.JSONEncodeError):
        return orjson.dumps(events)
    raise BadMessage("events: nested too deep")


def _events(payload: bytes) -> list[Any]:
    found = _parts(payload) if payload.lstrip()[:2] == b"--" else _body(payload)
    if not found:
        raise BadMessage("neither lines of Events[0] nor Code=… nor JSON")
    return [_bare(event) for event in found]


def _bare(event: Any) -> Any:
    """An event of ITSAPI without its wrapping, and one of any kind without the make of its vehicle."""
    if not isinstance(event, dict):
        return event
    picture = event.get("Picture")
    bare = picture if isinstance(picture, dict) else event
    vehicle = bare.get("Vehicle")
    if not isinstance(vehicle, dict):
        return bare
    return bare | {"Vehicle": {field: value for field, value in vehicle.items() if field in OF_VEHICLE}}


def _parts(payload: bytes) -> list[Any]:
    texts = [body.lstrip() for body in parts(payload)]
    return [event for body in texts if body[:1] and body[0] in TEXTS for event in _body(body)]


def _body(payload: bytes) -> list[Any]:
    if payload.lstrip()[:1] in {b"{", b"["}:
        return _documents(parse_json(payload))
    found = payload.decode(errors="replace").rstrip()
    if found.rpartition("\n")[2].lower() == "heartbeat" and "=" not in found:
        return [{"Active": "keepAlive"}]
    if NEXT.search(found):
        return [_coded(block) for block in NEXT.split(found) if block.startswith("Code=")]
    return _lines(found)


def _documents(document: Any) -> list[Any]:
    """The events of a list, of a remote call's notification, or the one that the document is; `Data` unfolded."""
    params = document.get("params") if isinstance(document, dict) else None
    for holder, field in ((document, "Events"), (params, "eventList")):
        if isinstance(holder, dict) and isinstance(holder.get(field), list):
            document = holder[field]
    return [_unfolded(event) for event in (document if isinstance(document, list) else [document])]


def _unfolded(event: Any) -> Any:
    data = event.get("Data", event.get("data")) if isinstance(event, dict) else None
    if not isinstance(data, dict):
        return event
    own = {"Code": event.get("Code"), "Action": event.get("Action", event.get("action"))}
    return data | {field: value for field, value in own.items() if value is not None}


def _coded(block: str) -> dict[str, Any]:
    match = CODED.match(block)
    data = parse_json(match[3].encode()) if match is not None and match[3] else {}
    if match is None or not isinstance(data, dict):
        raise BadMessage("Code: an action and an object were expected behind it")
    return data | {"Code": match[1], "Action": match[2]}


def _lines(found: str) -> list[Any]:
    """The events in order of their index, each as the object that its dotted names spell."""
    events: dict[int, dict[str, Any]] = {}
    for index, path, value in LINE.findall(found):
        *outer, last = path.split(".")
        if not WANTED.issuperset([*outer, last]):
            continue
        node: Any = events.setdefault(int(index or 0), {})
        for field in outer:
            node = node.setdefault(field, {}) if isinstance(node, dict) else None
        if isinstance(node, dict):
            node[last] = value
    return [events[index] for index in sorted(events)]


def _event(event: Any, source: Source) -> PlateRead | Ignored:
    if not isinstance(event, dict):
        raise BadMessage(f"an object was expected, found {kind(event)}")
    code = text(_at(event, "Code")) or text(_at(event, "EventBaseInfo", "Code"))
    if code is None and "Active" in event:
        return HEARTBEAT
    if code is not None and (not code.startswith("Traffic") or code.startswith(NOT_A_PASSAGE)):
        return Ignored("not_anpr")
    if not any(field in event for field in VEHICLE):
        if code is None:
            raise BadMessage("PlateNumber: missing")
        return Ignored("no data")
    if (text(_at(event, "Action")) or "").lower() == "stop":
        return Ignored("stop")
    if (number(_at(event, "IndexInGroup")) or 0) > 1:
        return Ignored("another picture")
    return _read(event, source)


def _read(event: Mapping[str, Any], source: Source) -> PlateRead:
    time, group = _time(event, source), text(_at(event, "GroupID"))
    return PlateRead(
        camera=name(_first(event, "MachineName", "TrafficCar.MachineName", "DeviceID", "SnapInfo.DeviceID")),
        time=time,
        plate=_plate(event),
        event=None if group is None else f"{group} {time}",
        lane=lane(_first(event, "Lane", "TrafficCar.Lane", "SnapInfo.LanNo")),
        direction=_direction(event),
        vehicle_class=_class(event),
        country=country(text(_first(event, "CommInfo.Country", "Object.Country", "TrafficCar.Country"))),
        confidence=_confidence(number(_first(event, "Object.Confidence", "Plate.Confidence"))),
        speed=_speed(event),
    )


def _at(event: Mapping[str, Any], *path: str) -> Any:
    """The value at a path; of an array the first item."""
    found: Any = event
    for field in path:
        found = found.get(field) if isinstance(found, dict) else None
        found = (found[0] if found else None) if isinstance(found, list) else found
    return found


def _first(event: Mapping[str, Any], *paths: str) -> Any:
    """The first of these that says something."""
    values = (_at(event, *path.split(".")) for path in paths)
    return next((value for value in values if text(value) is not None), None)


def _plate(event: Mapping[str, Any]) -> str | None:
    """The first reading, else what stands for none."""
    fields = ["TrafficCar.PlateNumber", "Plate.Text", "Plate.PlateNumber", "PlateNumber", "PlateText"]
    if _at(event, "Object", "ObjectType") in ("Plate", None):  # a tuple: it may be of any type
        fields.insert(0, "Object.Text")
    values = [_at(event, *field.split(".")) for field in fields]
    if not all(isinstance(value, (str, type(None))) for value in values):
        raise BadMessage("PlateNumber: text was expected")
    said = [found for value in values if (found := text(value)) is not None]
    return next((found for found in said if found.lower() not in SENTINELS), said[0] if said else None)


def _time(event: Mapping[str, Any], source: Source) -> datetime | None:
    """By the clock of the camera; newer firmware has true UTC as `RealUTC` beside its own."""
    if shown := _first(event, "SnapInfo.AccurateTime", "SnapInfo.SnapTime"):
        return instant("SnapTime", shown, source.timezone)
    real = instant("RealUTC", _at(event, "RealUTC"), UTC)
    time = real or instant("UTC", _first(event, "UTC", "TrafficCar.UTC"), UTC)
    if time is None:
        return None
    if real is None and source.options.get("clock") == "local":
        time = time.replace(tzinfo=source.timezone).astimezone(UTC)
    fraction = number(_at(event, "UTCMS")) or 0
    return time + timedelta(milliseconds=fraction) if 0 <= fraction < 1000 else time


def _direction(event: Mapping[str, Any]) -> str:
    said = _first(event, "TrafficCar.DrivingDirection", "JunctionDirection", "SnapInfo.Direction")
    return DIRECTIONS.get((text(said) or "").lower(), "unknown")


def _class(event: Mapping[str, Any]) -> str:
    """By the kind of vehicle; `VehicleSize` says Light-duty of bicycles as well."""
    said = _first(event, "Vehicle.Category", "NonMotor.Category", "Vehicle.VehicleType", "TrafficCar.VehicleType")
    return CLASSES.get(re.sub(r"[\W_]", "", text(said) or "").lower(), "unknown")


def _confidence(value: float | None) -> float | None:
    """Per cent, or out of 255; 0 stands for not known."""
    if value is None or not 0 < value <= 255:
        return None
    return value / (100 if value <= 100 else 255)


def _speed(event: Mapping[str, Any]) -> float | None:
    """km/h; 0 is not measured."""
    values = (number(_at(event, *path)) for path in (("Speed",), ("TrafficCar", "Speed"), ("Vehicle", "Speed")))
    return next((value for value in values if value is not None and 0 < value <= 400), None)
