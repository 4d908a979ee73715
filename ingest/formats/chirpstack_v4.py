"""ChirpStack v4 in JSON: uplinks, device status and integration events of LoRaWAN devices.

Specification: https://www.chirpstack.io/docs/chirpstack/integrations/events.html
Zero and false may be left out; numbers of `object` come as floats.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from broker.model import Ignored, Inventory, Message, Place, Reading, Signal, Skipped, Source
from ingest.lorawan import Options, signal, with_units
from ingest.payload import Scope, expect, parse, place, text_or, values
from ingest.times import moment

Item = Reading | Place | Signal | Inventory | Ignored | Skipped

__all__ = ["Options", "decode"]


def decode(message: Message, source: Source, state: Mapping[str, Any]) -> list[Item]:
    """Take the decoded object of an uplink or integration event, or a device's status."""
    del state
    document = expect(parse(message.payload), dict, "payload")
    info = expect(document.get("deviceInfo"), dict, "deviceInfo")
    thing = text_or(info.get("devEui")).lower()
    event = message.topic.rpartition("/")[2]
    if event in {"join", "ack", "txack", "log"}:
        return [Ignored(event)]
    if event == "location" or "location" in document:
        return [*_location(thing, document, source), Ignored("location")]
    if event == "status" or "margin" in document:
        return _status(document, Scope(thing, _time(document, source), source.timezone, text=True))
    found = _measured(document, Scope(thing, _time(document, source), source.timezone, text=True))
    return with_units(found, source.options.get("units"))


def _time(document: Mapping[str, Any], source: Source) -> datetime | None:
    value = document.get("time")
    return None if value is None else moment(value, source.timezone)


def _measured(document: Mapping[str, Any], scope: Scope) -> list[Item]:
    found: list[Item] = (
        [signal(scope.thing, document.get("fCnt", 0), document["rxInfo"])] if "rxInfo" in document else []
    )
    decoded = document.get("object")
    if type(decoded) is dict and decoded:
        found += values(decoded, scope)
    elif document.get("data"):
        found.append(Skipped("data", "no codec"))
    else:
        found.append(Ignored("no payload"))
    return found


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
