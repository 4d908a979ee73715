"""ChirpStack v4, JSON or protobuf: uplinks, device status and integration events of LoRaWAN devices.

Specification: https://www.chirpstack.io/docs/chirpstack/integrations/events.html; the protobuf schema,
https://github.com/chirpstack/chirpstack/blob/master/api/proto/integration/integration.proto
Zero and false may be left out; numbers of `object` come as floats.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from broker.model import Ignored, Inventory, Message, Place, Reading, Signal, Skipped, Source
from ingest import protobuf
from ingest.lorawan import Options, from_bytes, profile_of, signal, taken, understood
from ingest.payload import Scope, expect, parse, place, text_or
from ingest.profiles import Profile
from ingest.protobuf import Field
from ingest.times import moment

TOPICS = ("application/+/device/+/event/+",)
"""Its usual topics."""

Item = Reading | Place | Signal | Inventory | Ignored | Skipped

__all__ = ["Options", "decode"]

_TAG = {1: Field("key", "text"), 2: Field("value", "text")}
_NAMES = {
    6: Field("deviceProfileName", "text"),
    8: Field("devEui", "text"),
    9: Field("tags", "message", _TAG, many=True),
}
_INFO = Field("deviceInfo", "message", _NAMES)
_HEADER = {2: Field("time", "time"), 3: _INFO}
_HEARD = {6: Field("rssi", "int"), 7: Field("snr", "float")}
_PROTOBUF = {
    "up": _HEADER
    | {
        7: Field("fCnt", "int"),
        8: Field("fPort", "int"),
        10: Field("data", "bytes"),
        11: Field("object", "struct"),
        12: Field("rxInfo", "message", _HEARD, many=True),
    },
    "status": _HEADER
    | {
        5: Field("margin", "int"),
        6: Field("externalPowerSource", "bool"),
        7: Field("batteryLevelUnavailable", "bool"),
        8: Field("batteryLevel", "float"),
    },
    "location": _HEADER
    | {4: Field("location", "message", {1: Field("latitude", "double"), 2: Field("longitude", "double")})},
    "integration": _HEADER | {6: Field("object", "struct")},
    "join": _HEADER,
    "ack": _HEADER,
    "txack": _HEADER,
    "log": {1: Field("time", "time"), 2: _INFO},
}


def decode(message: Message, source: Source, state: Mapping[str, Any]) -> list[Item]:
    """Take the decoded object of an uplink or integration event, or a device's status."""
    del state
    event = message.topic.rpartition("/")[2]
    document = _read(message.payload, event)
    info = expect(document.get("deviceInfo"), dict, "deviceInfo")
    thing = text_or(info.get("devEui")).lower()
    if event in {"join", "ack", "txack", "log"}:
        return [Ignored(event)]
    if event == "location" or "location" in document:
        return [*_location(thing, document, source), Ignored("location")]
    if event == "status" or "margin" in document:
        return _status(document, Scope(thing, _time(document, source), source.timezone, text=True))
    scope = Scope(thing, _time(document, source), source.timezone, text=True)
    profile = profile_of(source, names=_names(info))
    found = _signal(document, thing) + _measured(document, scope, profile, source, message)
    return understood(found, profile, document.get("fPort"), source.options.get("units"))


def _read(payload: bytes, event: str) -> dict[str, Any]:
    """Read the event, in protobuf where it does not begin as JSON does; the topic alone says which event it is."""
    fields = _PROTOBUF.get(event)
    if fields is None or payload.lstrip(b" \t\r\n\xef\xbb\xbf").startswith(b"{"):
        document: dict[str, Any] = expect(parse(payload), dict, "payload")
        return document
    return protobuf.read(payload, fields)


def _time(document: Mapping[str, Any], source: Source) -> datetime | None:
    value = document.get("time")
    return value if value is None or type(value) is datetime else moment(value, source.timezone)


def _names(info: Mapping[str, Any]) -> tuple[Any, ...]:
    """What may name the device's profile: the tags `profile` and `model`, and its device profile."""
    tags = info.get("tags")
    if type(tags) is list:
        tags = {tag.get("key"): tag.get("value") for tag in tags if type(tag) is dict}
    if type(tags) is not dict:
        return (info.get("deviceProfileName"),)
    return tags.get("profile"), tags.get("model"), info.get("deviceProfileName")


def _signal(document: Mapping[str, Any], thing: str) -> list[Item]:
    return [signal(thing, document.get("fCnt", 0), document["rxInfo"])] if "rxInfo" in document else []


def _measured(
    document: Mapping[str, Any], scope: Scope, profile: Profile | None, source: Source, message: Message
) -> list[Item]:
    decoded, data = document.get("object"), document.get("data")
    if type(decoded) is dict and decoded:
        return taken(decoded, profile, scope)
    if not data:
        return [Ignored("no payload")]
    found = from_bytes(data, document.get("fPort"), profile, source, scope, message.received)
    return [Skipped("data", "no codec")] if found is None else found


def _status(document: Mapping[str, Any], scope: Scope) -> list[Item]:
    thing, time = scope.thing, scope.time
    found: list[Item] = []
    if document.get("externalPowerSource"):
        found.append(Skipped("batteryLevel", "external power"))
    elif document.get("batteryLevelUnavailable"):
        found.append(Skipped("batteryLevel", "unavailable"))
    else:
        found.append(Reading(thing, "batteryLevel", document.get("batteryLevel", 0), time, "%"))
    found.append(Reading(thing, "margin", document.get("margin", 0), time, "dB"))
    return found


def _location(thing: str, document: Mapping[str, Any], source: Source) -> list[Item]:
    location = expect(document.get("location"), dict, "location")
    where = place(thing, location.get("latitude", 0), location.get("longitude", 0), _time(document, source))
    return [where]
