"""Zigbee2MQTT: the state of a device on `zigbee2mqtt/FRIENDLY_NAME`, where the name may hold slashes and blanks.

Specification: https://www.zigbee2mqtt.io/guide/usage/mqtt_topics_and_messages.html
The retained `bridge/devices` is remembered: it tells the IEEE address of a friendly name, which stays when the
device is renamed and so is its identity, and the units of its values. Until it has come the friendly name is
the identity. There is no time but `last_seen`, if it is switched on. `linkquality` is the thing's signal;
settings, updates and colours are passed over. Values on topics of their own (`output: attribute`) are taken too.
"""

from collections.abc import Mapping
from datetime import datetime
from functools import lru_cache
from typing import Any

from broker.errors import BadMessage
from broker.model import Ignored, Inventory, Message, Place, Reading, Signal, Skipped, Source
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
_PARTS = frozenset({"left", "right", "center", "top", "bottom", "l1", "l2", "l3", "l4", "l5", "l6", "l7", "l8"})


def decode(message: Message, source: Source, state: Mapping[str, Any]) -> list[Item]:
    """Take the values of a device's state; of the bridge only its inventory of devices."""
    levels = message.topic.split("/")
    start = _base(levels, source.topic)
    if levels[start : start + 1] == ["bridge"]:
        return _bridge(levels[start + 1 :], message.payload)
    known = _known(state)
    name = "/".join(levels[start:])
    if name not in known and (reason := _sibling(levels[start + 1 :])):
        return [Ignored(reason)]
    if not message.payload.strip():
        return [Ignored("empty")]
    if message.payload.lstrip(b"\xef\xbb\xbf \t\r\n")[:1] == b"{":
        return _state(expect(parse(message.payload), dict, "payload"), name, known.get(name) or {}, source)
    return _attribute(message, levels[start:], known)


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


def _bridge(levels: list[str], payload: bytes) -> list[Item]:
    if levels != ["devices"]:
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
    units, light = device.get("units") or {}, bool(device.get("light")) or "brightness" in document
    thing = _identity(document, device, name)
    time = None if document.get("last_seen") is None else own_time(document["last_seen"], source.timezone)
    found: list[Item] = []
    nulls: list[Item] = []
    for key, value in document.items():
        if key in _SILENT:
            continue
        if value is None:
            nulls.append(Skipped(key, "null"))
        elif type(value) is dict:
            _nested(found, thing, key, value, time)
        else:
            _take(found, Reading(thing, key, value, time, units.get(key)), "battery" in document, light)
    strength: Any = document.get("linkquality")
    if not any(isinstance(item, Reading) for item in found):
        found = [*found, Ignored("no value")]
    else:
        found += nulls
    if type(strength) in {int, float} and strength > 0:
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


def _take(found: list[Item], reading: Reading, battery: bool, light: bool) -> None:
    """Append the reading in the broker's terms; texts other than events are settings."""
    key, value = reading.name, reading.value
    name, unit, qualifier = _meaning(key)
    unit = reading.unit or unit
    if key == "contact":
        name, value = "open", not value
    elif name == "state":
        on = _BOOLEANS.get(value) if type(value) is str else None
        if on is None:
            return
        name, value = "lightOn" if light else "switchOn", on
    elif name == "brightness" and type(value) in {int, float}:
        name, value, unit = "dimmingLevel", round(float(value) / 2.54, 1), "%"  # type: ignore[arg-type]
    elif name == "voltage" and type(value) in {int, float}:
        unit = reading.unit or ("mV" if battery or float(value) >= 1000 else "V")  # type: ignore[arg-type]
        name = "batteryVoltage" if battery or unit == "mV" else "voltage"
    elif type(value) is str:
        if not (key == "action" and value) and read_number(value) is None:
            return
    elif type(value) is list:
        return
    found.append(reading._replace(name=name, value=value, unit=unit, qualifier=qualifier))


@lru_cache(maxsize=4096)
def _meaning(key: str) -> tuple[str, str | None, str]:
    """Return name, unit and qualifier of `temperature`, `state_left`, `power_l1`."""
    stem, _, part = key.rpartition("_")
    if stem and part in _PARTS:
        return *_NAMES.get(stem, (stem, None)), part
    return *_NAMES.get(key, (key, None)), ""


def _attribute(message: Message, levels: list[str], known: Mapping[str, Any]) -> list[Item]:
    """Take the value of a topic of its own, `zigbee2mqtt/FRIENDLY_NAME/temperature`."""
    words = text(message.payload)
    name = "/".join(levels[:-1])
    number = read_number(words)
    value: Any = number[0] if number else {"true": True, "false": False}.get(words.lower(), words)
    if not name or (type(value) is str and value not in _BOOLEANS and levels[-1] != "action"):
        raise BadMessage("payload: expected an object, or a value on a topic of its own")
    device = known.get(name) or {}
    found: list[Item] = []
    if levels[-1] not in _SILENT:
        thing, units = text_or(device.get("id"), name), device.get("units") or {}
        _take(
            found, Reading(thing, levels[-1], value, None, units.get(levels[-1])), False, bool(device.get("light"))
        )
    return found or [Ignored("no value")]
