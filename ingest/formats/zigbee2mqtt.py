"""Zigbee2MQTT: the state of a device on `zigbee2mqtt/FRIENDLY_NAME`, where the name may hold slashes and blanks.

Specification: https://www.zigbee2mqtt.io/guide/usage/mqtt_topics_and_messages.html
The retained `bridge/devices` is remembered: it tells the IEEE address of a friendly name, which stays when the
device is renamed and so is its identity, and the units of its values. Until it has come the friendly name is
the identity. There is no time but `last_seen`, if it is switched on. `linkquality` is the thing's signal;
settings, updates and colours are passed over. Values on topics of their own (`output: attribute`) are taken too.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from broker.errors import BadMessage
from broker.model import Ignored, Inventory, Message, Place, Reading, Signal, Skipped, Source
from broker.remembered import remembered
from ingest.payload import expect, own_time, parse, text_or
from ingest.rules import read_number
from ingest.text import text

TOPICS = ("zigbee2mqtt/#",)
"""Its usual topics."""

Item = Reading | Place | Signal | Inventory | Ignored | Skipped

KEY = "devices"
"""Of the inventory: {friendly name: {"id": IEEE address, "units": {name: unit}, "light": true}}."""

_NAMES: dict[str, tuple[str, str | None]] = {
    "temperature": ("temperature", "Cel"),
    "humidity": ("relativeHumidity", "%"),
    "pressure": ("atmosphericPressure", "hPa"),
    "illuminance": ("illuminance", "lx"),
    "illuminance_lux": ("illuminance", "lx"),
    "battery": ("batteryLevel", "%"),
    "device_temperature": ("deviceTemperature", "Cel"),
    "soil_moisture": ("soilMoisture", "%"),
    "co2": ("co2", "[ppm]"),
    "voc": ("tvoc", "[ppb]"),
    "pm1": ("pm1", "ug/m3"),
    "pm25": ("pm25", "ug/m3"),
    "pm10": ("pm10", "ug/m3"),
    "noise": ("soundLevel", "dB"),
    "power": ("activePower", "W"),
    "energy": ("activeEnergy", "kW.h"),
    "current": ("electricCurrent", "A"),
    "occupancy": ("presence", None),
    "presence": ("presence", None),
    "water_leak": ("waterLeak", None),
    "local_temperature": ("temperature", "Cel"),
    "current_heating_setpoint": ("setpointTemperature", "Cel"),
    "occupied_heating_setpoint": ("setpointTemperature", "Cel"),
    "formaldehyd": ("formaldehyde", None),
    "ac_frequency": ("mainsFrequency", "Hz"),
    "power_factor": ("powerFactor", None),
    "produced_energy": ("exportedEnergy", "kW.h"),
}
_SILENT = frozenset(
    {
        "linkquality", "last_seen", "elapsed", "update", "update_available", "color", "color_mode",
        "color_temp", "color_options", "device", "power_outage_count", "trigger_count", "level_config", "click",
        "effect", "gradient", "identify", "alarm_volume", "child_lock", "requested_brightness_level",
        "requested_brightness_percent", "led_indication", "power_on_behavior", "linkquality_level",
        "action_rate", "action_step_size", "action_transition_time", "action_group", "action_level",
        "operation_mode", "sensitivity", "detection_delay", "keep_time", "occupancy_timeout",
        "temperature_calibration", "humidity_calibration", "temperature_precision", "humidity_precision",
        "illuminance_calibration",
    }
)  # fmt: skip
"""The device's settings, and what tells of the radio."""
_BOOLEANS = {"ON": True, "OFF": False}
_NO_UNITS: Mapping[str, str] = {}
_SETTING, _VALUE, _CONTACT, _STATE, _BRIGHTNESS, _VOLTAGE, _EVENT = range(7)
"""How a value is taken."""
_SPECIAL = {
    "contact": (_CONTACT, "open"),
    "state": (_STATE, "switchOn"),
    "brightness": (_BRIGHTNESS, "dimmingLevel"),
    "voltage": (_VOLTAGE, "voltage"),
    "action": (_EVENT, "action"),
}
_MARKS = ("linkquality", "last_seen")
"""What tells a message where the base topic is another."""
_PARTS = frozenset({"left", "right", "center", "top", "bottom", "l1", "l2", "l3", "l4", "l5", "l6", "l7", "l8"})


def decode(message: Message, source: Source, state: Mapping[str, Any]) -> list[Item]:
    """Take the values of a device's state; of the bridge only its inventory of devices."""
    name, property_, sibling = _address((message.topic, source.topic))
    payload = message.payload
    if sibling == "bridge":
        return _bridge(name, payload)
    known = _known(state)
    if sibling and name not in known:
        return [Ignored(sibling)]
    if payload[:1] == b"{" or payload.lstrip(b"\xef\xbb\xbf \t\r\n")[:1] == b"{":
        document = expect(parse(payload), dict, "payload")
        if not (known or "zigbee2mqtt" in message.topic or any(key in document for key in _MARKS)):
            raise BadMessage("payload: expected a message of Zigbee2MQTT, found none of its keys")
        return _state(document, name, known.get(name) or {}, source)
    if not payload.strip():
        return [Ignored("empty")]
    named = "/" in name and (known or "zigbee2mqtt" in message.topic)
    thing = name.removesuffix(f"/{property_}") if named else ""
    return _attribute(text(payload), thing, property_, known.get(thing) or {})


@remembered
def _address(key: tuple[str, str]) -> tuple[str, str, str]:
    """Return the friendly name, its last level, and what else than a state the topic is about.

    What the bridge says has `bridge` for that, and what it is about for the name.
    """
    topic, topic_filter = key
    levels = topic.split("/")
    start = _base(levels, topic_filter)
    if levels[start] == "bridge":
        return "/".join(levels[start + 1 :]), levels[-1], "bridge"
    return "/".join(levels[start:]), levels[-1], _sibling(levels[start + 1 :])


def _base(levels: list[str], topic_filter: str) -> int:
    """Return how many levels stand before the friendly name: the base topic may have several."""
    for index, level in enumerate(levels[:-1]):
        if level.startswith("zigbee2mqtt"):
            return index + 1
    fixed = [index for index, level in enumerate(topic_filter.split("/")) if level in {"+", "#"}]
    return min(fixed[0] if fixed else 1, len(levels) - 1)


def _sibling(levels: list[str]) -> str:
    """Tell what a topic below a device's own is about, if that is not a value."""
    if levels and levels[-1] == "availability":
        return "availability"
    return "command" if {"set", "get"} & set(levels[-2:]) else ""


def _known(state: Mapping[str, Any]) -> Mapping[str, Any]:
    found = state.get(KEY)
    return found if isinstance(found, Mapping) else {}


def _bridge(about: str, payload: bytes) -> list[Item]:
    if about != "devices":
        return [Ignored("bridge")]
    devices: dict[str, Any] = {}
    for row in expect(parse(payload), list, "devices"):
        device = expect(row, dict, "devices")
        name, address = device.get("friendly_name"), device.get("ieee_address")
        if type(name) is str and type(address) is str and device.get("type") != "Coordinator":
            units: dict[str, str] = {}
            definition = device.get("definition")
            light = _exposed(definition.get("exposes") if type(definition) is dict else None, units, 0)
            devices[name] = {"id": address, "units": units, "light": light}
    return [Inventory(KEY, devices)]


def _exposed(exposes: Any, units: dict[str, str], depth: int) -> bool:
    """Collect the units of what a device exposes; tell whether it is a light."""
    light = False
    for item in exposes if type(exposes) is list and depth < 4 else ():
        if type(item) is not dict:
            continue
        light |= item.get("type") == "light"
        if type(item.get("property")) is str and type(item.get("unit")) is str:
            units[item["property"]] = item["unit"]
        light |= _exposed(item.get("features"), units, depth + 1)
    return light


def _state(document: Mapping[str, Any], name: str, device: Mapping[str, Any], source: Source) -> list[Item]:
    thing = _identity(document, device, name)
    seen, strength = document.get("last_seen"), document.get("linkquality")
    time = None if seen is None else own_time(seen, source.timezone)
    found: list[Item] = []
    nulls: list[Item] = []
    units = device.get("units") or _NO_UNITS
    for key, value in document.items():
        how, property_, unit, qualifier = _meaning(key)
        if how == _SETTING or (key == "illuminance" and "illuminance_lux" in document):
            continue  # older firmware has both: one is no lx
        if value is None:
            nulls.append(Skipped(key, "null"))
            continue
        kind = type(value)
        if how == _VALUE and (kind is float or kind is int or kind is bool):
            found.append(Reading(thing, property_, value, time, units.get(key) or unit, None, qualifier))
        elif kind is dict:
            _nested(found, thing, key, value, time)
        else:
            reading = Reading(thing, property_, value, time, units.get(key) or unit, None, qualifier)
            _special(found, reading, how, document, device)
    found = [*found, *nulls] if found else [Ignored("no value")]
    if isinstance(strength, int | float) and strength > 0:
        found.append(Signal(thing, {"linkquality": strength}))
    return found


def _identity(document: Mapping[str, Any], device: Mapping[str, Any], name: str) -> str:
    address = device.get("id")
    if type(address) is str:
        return address
    block = document.get("device")  # with the option include_device_information
    return text_or(block.get("ieeeAddr"), name) if type(block) is dict else name


def _nested(found: list[Item], thing: str, path: str, node: Mapping[str, Any], time: datetime | None) -> None:
    for key, value in node.items():
        if type(value) in {int, float, bool}:
            found.append(Reading(thing, f"{path}.{key}", value, time))


def _special(
    found: list[Item], reading: Reading, how: int, document: Mapping[str, Any], device: Mapping[str, Any]
) -> None:
    """Append what needs a look at its value; texts other than events are settings."""
    value: Any = reading.value
    number = type(value) in {int, float}
    if how == _CONTACT and type(value) is bool:
        found.append(reading._replace(value=not value))
    elif how == _STATE and type(value) is str and value in _BOOLEANS:
        light = device.get("light") or "brightness" in document
        found.append(reading._replace(name="lightOn" if light else "switchOn", value=_BOOLEANS[value]))
    elif how == _BRIGHTNESS and number:
        found.append(reading._replace(value=round(value / 2.54, 1), unit="%"))
    elif how == _VOLTAGE and number:
        unit = reading.unit or ("mV" if "battery" in document or value >= 1000 else "V")
        name = "batteryVoltage" if "battery" in document or unit == "mV" else "voltage"
        found.append(reading._replace(name=name, unit=unit))
    elif type(value) is str and ((how == _EVENT and value) or (how == _VALUE and read_number(value))):
        found.append(reading)


@remembered
def _meaning(key: str) -> tuple[int, str, str | None, str]:
    """Return how to take it, name, unit and qualifier of `temperature`, `state_left`, `power_l1`."""
    stem, _, part = key.rpartition("_")
    if not stem or part not in _PARTS:
        stem, part = key, ""
    if key in _SILENT:
        return _SETTING, "", None, ""
    if stem in _SPECIAL:
        how, name = _SPECIAL[stem]
        return how, name, None, part
    return _VALUE, *_NAMES.get(stem, (stem, None)), part


def _attribute(words: str, thing: str, property_: str, device: Mapping[str, Any]) -> list[Item]:
    """Take the value of a topic of its own, `zigbee2mqtt/FRIENDLY_NAME/temperature`."""
    number = read_number(words)
    value: Any = number[0] if number else {"true": True, "false": False}.get(words.lower(), words)
    if not thing or (type(value) is str and value not in _BOOLEANS and property_ != "action"):
        raise BadMessage("payload: expected an object, or a value on a topic of its own")
    how, name, unit, qualifier = _meaning(property_)
    if how == _SETTING:
        return [Ignored("no value")]
    units = device.get("units") or _NO_UNITS
    found: list[Item] = []
    reading = Reading(
        text_or(device.get("id"), thing), name, value, None, units.get(property_) or unit, None, qualifier
    )
    if how == _VALUE and type(value) is not str:
        return [reading]
    _special(found, reading, how, {property_: value}, device)
    return found or [Ignored("no value")]
