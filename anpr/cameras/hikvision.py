"""Hikvision ANPR cameras and recorders: ISAPI `EventNotificationAlert`, bare or in a multipart body with pictures.

https://tpp.hikvision.com/Wiki/ISAPI/ (Intelligent Security API, ANPR: `XML_EventNotificationAlert_AlarmEventInfo`)
Names are matched without namespace: firmwares use three, or a prefix. Pictures never get past `parts`.
A replay (`isDataRetransmission`, `alarmDataType` 1) carries its own time; the second upload of one
passage (`hasMoreData`) carries the UUID of the first.
"""

import re
from collections.abc import Mapping
from typing import Any, Literal

from lxml import etree
from pydantic import BaseModel, ConfigDict

from anpr.countries import country
from anpr.payload import instant, lane, local, name, number, parse_xml, parts, text
from broker.errors import BadMessage
from broker.model import Ignored, Message, PlateRead, Skipped, Source

FIELDS = (
    "macAddress",
    "channelName",
    "channelID",
    "dateTime",
    "eventType",
    "UUID",
    "ANPR",
    "licensePlate",
    "country",
    "CRIndex",
    "line",
    "direction",
    "confidenceLevel",
    "vehicleType",
    "vehicleInfo",
    "speed",
)
"""All that is ever read; the plate among them becomes a token."""
MARKS = (b"licensePlate", b"LicensePlate")
"""Bytes that tell of a plate, also in a message too broken to decode."""

NESTED = {"ANPR", "vehicleInfo"}
WANTED = frozenset(FIELDS)
FACTORY_NAME = re.compile(r"(ip[ _-]?)?(capture |dome )?(camera|dome|channel)?[ _-]?\d*", re.IGNORECASE)
"""`Camera 01`, `IPCamera 01`, `IP CAPTURE CAMERA`: shared by every camera that nobody named."""
NO_MAC = {"", "00:00:00:00:00:00"}
CLASSES = {
    "vehicle": "auto",
    "SUVMPV": "auto",
    "SUV": "auto",
    "MPV": "auto",
    "van": "auto",
    "pickupTruck": "auto",
    "buggy": "auto",
    "smallCar": "auto",
    "miniCar": "auto",
    "saloon": "auto",
    "sedan": "auto",
    "hatchback": "auto",
    "coupe": "auto",
    "minibus": "auto",
    "minitruck": "auto",
    "lightTruck": "auto",
    "smallTruck": "auto",
    "truck": "vrachtwagen",
    "largeTruck": "vrachtwagen",
    "mediumHeavyTruck": "vrachtwagen",
    "containerTruck": "vrachtwagen",
    "slagTruck": "vrachtwagen",
    "oilTankTruck": "vrachtwagen",
    "concreteMixer": "vrachtwagen",
    "platformTrailer": "vrachtwagen",
    "twoWheelVehicle": "fiets",
    "nonmotorVehicle": "fiets",
    "motorcycle": "fiets",
    "bicycle": "fiets",
    "pedestrian": "voetganger",
}
"""OSLO VkmVoertuigType by its definitions: auto with light goods and minibus, fiets is any two-wheeler."""
COUNTRIES = (
    "", "CZ", "FR", "DE", "ES", "IT", "NL", "PL", "SK", "BY", "MD", "RU", "UA", "BE", "BG", "DK", "FI", "GB",
    "GR", "HR", "HU", "IL", "LU", "MK", "NO", "PT", "RO", "RS", "AZ", "GE", "KZ", "LT", "TM", "UZ", "LV", "EE",
    "AL", "AT", "BA", "IE", "IS", "VA", "MT", "SE", "CH", "CY", "TR", "SI", "ME", "XK",
)  # fmt: skip
"""By the vendor's own number (COUNTRY_INDEX), which is not ISO 3166."""


class Options(BaseModel):
    """`options` of a source of this camera.

    `clock = "local"` is for cameras left on the factory's zone whose clock shows the local time: the
    offset (`+08:00`) is then ignored and the source's `timezone` holds.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    clock: Literal["offset", "local"] = "offset"


def decode(message: Message, source: Source, state: Mapping[str, Any]) -> list[PlateRead | Ignored | Skipped]:
    """Take the passage of each XML document of the message; raise BadMessage where there is none."""
    del state
    payload = message.payload
    bodies = [payload]
    if payload.lstrip()[:2] == b"--":
        bodies = [body for body in parts(payload) if body.lstrip()[:1] == b"<"]
        if not bodies:
            raise BadMessage("no part of the multipart message is XML")
    return [_event(parse_xml(body), source) for body in bodies]


def _event(root: etree._Element, source: Source) -> PlateRead | Ignored:
    if local(str(root.tag)) != "EventNotificationAlert":
        raise BadMessage("the root element is not EventNotificationAlert")
    fields = _fields(root, {})
    event = (fields.get("eventType") or "").lower()
    if "ANPR" not in fields:
        if event in {"", "anpr"}:
            raise BadMessage("ANPR: missing")
        return Ignored("heartbeat" if event == "videoloss" else "not_anpr")
    return _read(fields, source)


def _fields(element: etree._Element, found: dict[str, str | None]) -> dict[str, str | None]:
    """The whitelisted elements of the root, ANPR and vehicleInfo; of a repeated one the first."""
    for child in element:
        tag = local(str(child.tag))
        if tag in WANTED and tag not in found:
            found[tag] = child.text
            if tag in NESTED:
                _fields(child, found)
    return found


def _read(fields: Mapping[str, str | None], source: Source) -> PlateRead:
    get = fields.get
    plate = get("licensePlate")
    own_clock = source.options.get("clock") == "local"
    return PlateRead(
        camera=_camera(fields, source),
        time=instant("dateTime", get("dateTime"), source.timezone, local_clock=own_clock),
        plate=plate,
        event=text(get("UUID")),
        lane=lane(get("line")),
        direction=found if (found := (get("direction") or "").strip()) in {"forward", "reverse"} else "unknown",
        vehicle_class=CLASSES.get((get("vehicleType") or "").strip(), "unknown"),
        country=_country(text(get("country"))) or _country(text(get("CRIndex"))),
        confidence=_percent(number(get("confidenceLevel"))),
        speed=_speed(number(get("speed"))),
        no_plate=(plate or "").strip().lower() == "noplate",
    )


def _camera(fields: Mapping[str, str | None], source: Source) -> str:
    """The MAC address, else a name that somebody gave, else a recorder's channel.

    Channel 1 is what every camera calls itself: it names one only inside of a template.
    """
    mac = name(fields.get("macAddress")).lower()
    if mac not in NO_MAC:
        return mac
    given = name(fields.get("channelName"))
    channel = lane(fields.get("channelID")) or ""
    if not FACTORY_NAME.fullmatch(given):
        return given
    return "" if channel in {"0", "1"} and "{device}" not in (source.thing or "") else channel


def _country(code: str | None) -> str | None:
    if code is not None and code.isdecimal():
        return COUNTRIES[int(code)] or None if len(code) < 4 and int(code) < len(COUNTRIES) else None
    return country(code)


def _percent(value: float | None) -> float | None:
    return value / 100 if value is not None and 0 <= value <= 100 else None


def _speed(value: float | None) -> float | None:
    """km/h; 0 is not measured."""
    return value if value is not None and 0 < value <= 400 else None
