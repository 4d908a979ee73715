"""The Things Stack v3: uplinks of LoRaWAN devices, with what its payload formatter made of their bytes.

Specification: https://www.thethingsindustries.com/docs/integrations/data-formats/
Empty fields are left out by the server: `f_cnt` 0 is absent.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from broker.model import Ignored, Inventory, Message, Place, Reading, Signal, Skipped, Source
from ingest.lorawan import Options, from_bytes, profile_of, signal, taken, understood
from ingest.payload import Scope, expect, parse, place, text_or, values
from ingest.profiles import Profile
from ingest.times import moment

TOPICS = ("v3/+/devices/+/up", "v3/+/devices/+/+", "v3/+/devices/+/+/+")
"""Its usual topics."""

Item = Reading | Place | Signal | Inventory | Ignored | Skipped

__all__ = ["Options", "decode"]


# Units that https://github.com/TheThingsNetwork/lorawan-devices/blob/master/lib/payload.json fixes for
# `normalized_payload`, by the last names of their path; `battery` is a voltage there.
_NORMALISED = {
    "air.temperature": ("air.temperature", "Cel"),
    "air.relativeHumidity": ("air.relativeHumidity", "%"),
    "air.pressure": ("air.pressure", "hPa"),
    "air.co2": ("air.co2", "[ppm]"),
    "air.lightIntensity": ("air.lightIntensity", "lx"),
    "wind.speed": ("wind.speed", "m/s"),
    "wind.direction": ("wind.direction", "deg"),
    "rain.intensity": ("rain.intensity", "mm/h"),
    "soil.temperature": ("soil.temperature", "Cel"),
    "soil.moisture": ("soil.moisture", "%"),
    "soil.depth": ("soil.depth", "cm"),
    "soil.ec": ("soil.ec", "dS/m"),
    "soil.pH": ("soil.pH", "[pH]"),
    "battery": ("batteryVoltage", "V"),
}


def decode(message: Message, source: Source, state: Mapping[str, Any]) -> list[Item]:
    """Take the decoded payload of an uplink, its place and its radio signal."""
    del state
    document = expect(parse(message.payload), dict, "payload")
    ids = expect(document.get("end_device_ids"), dict, "end_device_ids")
    thing = text_or(ids.get("dev_eui")).lower() or text_or(ids.get("device_id"))
    uplink = document.get("uplink_message")
    if uplink is None:
        return [Ignored(_event(document))]
    expect(uplink, dict, "uplink_message")
    if document.get("simulated") is True:
        return [Ignored("simulated")]
    found: list[Item] = [signal(thing, uplink.get("f_cnt", 0), uplink.get("rx_metadata"))]
    found += _places(thing, uplink)
    profile = _profile(uplink, source)
    scope = Scope(thing, _time(document, uplink, source), source.timezone, text=True)
    found += _measured(uplink, scope, profile, source, message)
    return understood(found, profile, uplink.get("f_port"), source.options.get("units"))


def _profile(uplink: Mapping[str, Any], source: Source) -> Profile | None:
    version = uplink.get("version_ids")
    ids = version if type(version) is dict else {}
    return profile_of(source, brand=ids.get("brand_id"), model=ids.get("model_id"))


_EVENTS = ("join_accept", "downlink_", "location_solved", "service_data", "uplink_normalized")


def _event(document: Mapping[str, Any]) -> str:
    """Name the event: joins, acknowledgements and failures of downlinks carry no measurement."""
    for key in document:
        for known in _EVENTS:
            if key.startswith(known):
                return known.rstrip("_").replace("_", " ")
    return "no uplink"


def _time(document: Mapping[str, Any], uplink: Mapping[str, Any], source: Source) -> datetime | None:
    # The network server's clock; a gateway's is often wrong.
    value = uplink.get("received_at") or document.get("received_at")
    return None if value is None else moment(value, source.timezone, "received_at")


def _places(thing: str, uplink: Mapping[str, Any]) -> list[Item]:
    locations = uplink.get("locations")
    if type(locations) is not dict or not locations:
        return []
    # What the device itself measured is better than what somebody once typed in.
    best = next((value for key, value in locations.items() if key != "user"), locations.get("user"))
    return [place(thing, best.get("latitude", 0), best.get("longitude", 0))] if type(best) is dict else []


def _measured(
    uplink: Mapping[str, Any], scope: Scope, profile: Profile | None, source: Source, message: Message
) -> list[Item]:
    decoded, normalised = uplink.get("decoded_payload"), uplink.get("normalized_payload")
    if type(decoded) is dict and decoded:
        found: list[Item] = taken(decoded, profile, scope)
        return _better(found, _normalised(normalised, scope)) if normalised else found
    if normalised:
        return list(_normalised(normalised, scope).values())
    if not uplink.get("frm_payload"):
        return [Ignored("no payload")]
    made = from_bytes(uplink["frm_payload"], uplink.get("f_port"), profile, source, scope, message.received)
    return [Skipped("frm_payload", "no codec")] if made is None else made


def _normalised(measurements: Any, scope: Scope) -> dict[str, Item]:
    """Take the measurements by the last part of their path, with the units that their schema fixes."""
    rows = measurements if type(measurements) is list else [measurements]
    found = (item for row in rows if type(row) is dict for item in values(row, scope))
    return {item.name.rpartition(".")[2]: _known(item) for item in found if isinstance(item, Reading)}


def _known(reading: Reading) -> Reading:
    name, unit = _NORMALISED.get(reading.name, (reading.name, reading.unit))
    return reading._replace(name=name, unit=unit)


def _better(found: list[Item], normalised: dict[str, Item]) -> list[Item]:
    """Give values the unit that their normalised form has: `battery` in volts where the other left it open."""
    return [_of(normalised, item) if isinstance(item, Reading) else item for item in found]


def _of(normalised: dict[str, Item], reading: Reading) -> Reading:
    known = normalised.get(reading.name)
    if not isinstance(known, Reading) or known.unit is None:
        return reading
    name = known.name if reading.name == "battery" else reading.name
    return reading._replace(name=name, value=known.value, unit=known.unit)
