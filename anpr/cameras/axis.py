"""Axis License Plate Verifier and CAMMRA AI: pushed JSON, ONVIF events (XML or JSON), lists of `search.cgi`.

https://developer.axis.com/vapix/applications/license-plate-verifier-api
A vehicle (`carID`) is told of as `new`, any number of times as `update`, and as `lost` once it is out of sight:
the last, which has the best reading, is the passage. The plate stands in image names and addresses too; they are
never read.
"""

import re
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any, Literal

from lxml import etree
from pydantic import BaseModel, ConfigDict

from anpr.countries import country
from anpr.payload import documents, instant, kind, lane, local, name, number, parse_json, parts, text
from broker.errors import BadMessage
from broker.model import Ignored, Message, PlateRead, Skipped, Source

FIELDS = (
    # JSON
    "capture_timestamp",
    "datetime",
    "plateUTF8",
    "plateUnicode",
    "plateASCII",
    "plateText",
    "plateCountry",
    "plateConfidence",
    "carState",
    "carID",
    "carMoveDirection",
    "roiID",
    "camera_info",
    "SerialNumber",
    "MACAddress",
    "cameraId",
    "sensorProviderID",
    "packetCounter",
    "vehicle_info",
    "type",
    # the publisher's JSON
    "device",
    "plate",
    "localTime",
    "timestamp",
    # ONVIF
    "message",
    "data",
    "serial",
    "Event",
    "NotificationMessage",
    "Message",
    "UtcTime",
    "Data",
    "SimpleItem",
    "Name",
    "Value",
    "text",
    "country",
    "lpConfidence",
    "vehicleType",
    # search.cgi
    "event",
    "TS",
    "LPR",
    "CAR_ID",
    "CAR_CONF",
    "COUNTRY",
)
"""All that is ever read; the plate among them becomes a token."""
MARKS = (
    b"plateText",
    b"plateUTF8",
    b"plateASCII",
    b"plateUnicode",
    b"carState",
    b"carID",
    b"<LPR>",
    b'"localTime"',
)
"""Bytes that tell of a plate, also in a message too broken to decode."""

PLATES = ("plateUTF8", "plateUnicode", "plateText", "plateASCII", "text", "plate", "LPR")
ESCAPED = re.compile(r"\\u([0-9A-Fa-f]{4})")
CLOCK = re.compile(r"(\d{8})[ T]?(\d{6})(\d{3})? ?([+-]\d\d:?\d\d|Z)?")
"""`20260302 081001252`, with a zone or without."""
STATES = {"new": "new", "update": "update", "updated": "update", "lost": "lost"}
DIRECTIONS = {"in": "forward", "out": "reverse"}
FACTORY_SENSOR = re.compile(r"(default|terminal|sensor)[ _-]?(id)?[ _-]?\d*", re.IGNORECASE)
"""`defaultID_1`, `Terminal_1`: shared by every camera that nobody named."""
CLASSES = {
    "car": "auto",
    "suv": "auto",
    "van": "auto",
    "pickup": "auto",
    "truck": "vrachtwagen",
    "big truck": "vrachtwagen",
    "heavy truck": "vrachtwagen",
    "moto": "fiets",
    "motorcycle": "fiets",
    "motorbike": "fiets",
    "bicycle": "fiets",
    "bike": "fiets",
}
"""OSLO VkmVoertuigType by its definitions; buses are in none."""


class Options(BaseModel):
    """`options` of a source of this camera.

    `count = "new"` is for cameras that are set to send no `lost`: the first report is then the passage.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    count: Literal["lost", "new"] = "lost"


def decode(message: Message, source: Source, state: Mapping[str, Any]) -> list[PlateRead | Ignored | Skipped]:
    """Take the vehicles that are reported for the last time; raise BadMessage where none is reported at all."""
    del state
    found: list[PlateRead | Ignored | Skipped] = [_event(event, source) for event in _events(message.payload)]
    if not found:
        raise BadMessage("no event of a license plate application")
    return [one for one in found if isinstance(one, PlateRead)] or found[:1]


def _events(payload: bytes) -> Iterator[Mapping[str, Any]]:
    start = payload.lstrip()
    if start[:2] == b"--":
        for body in parts(payload):
            if body.lstrip()[:1] in {b"{", b"[", b"<"}:
                yield from _events(body)
    elif start[:1] == b"<":
        for root in documents(payload):
            yield from _elements(root)
    else:
        document = parse_json(payload)
        for entry in document if isinstance(document, list) else [document]:
            yield _flat(entry)


def _flat(entry: Any) -> Mapping[str, Any]:
    """An event with its nested objects beside its own fields."""
    if not isinstance(entry, dict):
        raise BadMessage(f"an object was expected, found {kind(entry)}")
    found = {key: value for key, value in entry.items() if key in FIELDS}
    message = _inner(entry, "message")
    for inner in (_inner(entry, "camera_info"), _inner(message, "data")):
        found.update((key, value) for key, value in inner.items() if key in FIELDS)
    found.setdefault("vehicleType", _inner(found, "vehicle_info").get("type"))
    return found


def _inner(entry: Mapping[str, Any], field: str) -> Mapping[str, Any]:
    found = entry.get(field)
    return found if isinstance(found, dict) else {}


def _elements(root: etree._Element) -> Iterator[Mapping[str, Any]]:
    """Events of ONVIF as their pairs of names and values, those of `search.cgi` as their elements."""
    for element in root.iter("{*}NotificationMessage", "{*}event"):
        found: dict[str, Any] = {}
        for inner in element.iter("{*}*"):
            found.update({key: value for key, value in inner.attrib.items() if key == "UtcTime"})
            tag = inner.get("Name") if local(str(inner.tag)) == "SimpleItem" else local(str(inner.tag))
            if tag in FIELDS:
                found.setdefault(str(tag), inner.get("Value", inner.text))
        yield found


def _event(event: Mapping[str, Any], source: Source) -> PlateRead | Ignored:
    fields = [field for field in PLATES if field in event]
    report = text(event.get("carState"))
    if report is None and fields in ([], ["plate"]) and "localTime" not in event:
        return Ignored(_other(event))
    if report is None:
        return _read(event, fields, source)
    known = STATES.get(report.lower())
    if known is None:
        raise BadMessage("carState: not one of new, update and lost")
    return _read(event, fields, source) if known == source.options.get("count", "lost") else Ignored(known)


def _other(event: Mapping[str, Any]) -> str:
    """What an event without a plate is; many other vendors have a field `plate`."""
    if "packetCounter" in event:
        return "heartbeat"
    if "plate" not in event and ("UtcTime" in event or {"message", "serial"} <= event.keys()):
        return "not_anpr"
    raise BadMessage("carState: missing")


def _read(event: Mapping[str, Any], fields: list[str], source: Source) -> PlateRead:
    time, plate = _time(event, source), _plate(event, fields)
    car = text(event.get("carID", event.get("CAR_ID")))
    return PlateRead(
        camera=_camera(event),
        time=time,
        plate=plate,
        # Numbers of cars begin anew when the camera does.
        event=None if car is None and "TS" not in event else f"{car or plate} {time}",
        lane=lane(event.get("roiID")),
        direction=DIRECTIONS.get((text(event.get("carMoveDirection")) or "").lower(), "unknown"),
        vehicle_class=CLASSES.get((text(event.get("vehicleType")) or "").lower(), "unknown"),
        country=country(text(_first(event, "plateCountry", "country", "COUNTRY"))),
        confidence=_confidence(number(_first(event, "plateConfidence", "lpConfidence", "CAR_CONF"))),
    )


def _first(event: Mapping[str, Any], *fields: str) -> Any:
    return next((event[field] for field in fields if text(event.get(field))), None)


def _plate(event: Mapping[str, Any], fields: list[str]) -> str | None:
    """The text of the first field that has one; older firmware escapes each character."""
    for field in fields:
        if not isinstance(event[field], (str, type(None))):
            raise BadMessage(f"{field}: text was expected, found {kind(event[field])}")
    found = text(_first(event, *fields))
    return found and ESCAPED.sub(lambda match: chr(int(match[1], 16)), found)


def _camera(event: Mapping[str, Any]) -> str:
    """The serial number, which is the MAC address without colons, else a name that somebody gave."""
    for field in ("SerialNumber", "MACAddress", "cameraId", "serial", "device"):
        if found := name(event.get(field)):
            return found.replace(":", "").upper() if field == "MACAddress" else found
    given = name(event.get("sensorProviderID"))
    return "" if FACTORY_SENSOR.fullmatch(given) else given


def _time(event: Mapping[str, Any], source: Source) -> datetime | None:
    """The capture's own time, else that of the message."""
    for field in ("capture_timestamp", "timestamp", "TS"):
        if number(event.get(field)):
            return instant(field, event[field], source.timezone)
    found = text(event.get("datetime"))
    match = CLOCK.fullmatch(found or "")
    if match is not None:
        day, clock, fraction, zone = match.groups("")
        found = f"{day}T{clock}.{fraction or '000'}{zone}"
    return instant("datetime", found or _first(event, "UtcTime", "localTime"), source.timezone)


def _confidence(value: float | None) -> float | None:
    """0–1 as documented; some firmware sends per cent."""
    if value is None or not 0 <= value <= 100:
        return None
    return value if value <= 1 else value / 100
