"""Tasmota: sensors on `tele/TOPIC/SENSOR`, the device's health on `tele/TOPIC/STATE`; FullTopic may be another.

Specification: https://tasmota.github.io/docs/MQTT/ and https://tasmota.github.io/docs/JSON-Status-Responses/
`Time` is local without a zone unless it has an offset; `Epoch` settles it. A clock that was not set yet (1970) is
no time. `TempUnit`, `PressureUnit` and `SpeedUnit` stand beside the values. A sensor's name (`BME280`), or its
`Id` where there are several, is the qualifier. SSID and BSSID are never taken.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any, NamedTuple

from broker.errors import BadMessage
from broker.model import Ignored, Inventory, Message, Place, Quality, Reading, Signal, Skipped, Source
from ingest.payload import expect, parse, text_or
from ingest.rules import read_boolean, read_number
from ingest.text import text
from ingest.times import epoch, moment

TOPICS = ("tele/+/SENSOR", "tele/+/+", "+/tele/+", "+/+/tele/+", "+/+/+/tele/+", "stat/+/+")
"""Its usual topics."""

Item = Reading | Place | Signal | Inventory | Ignored | Skipped

_PREFIXES = ("tele", "stat", "cmnd")
_KINDS = frozenset({"SENSOR", "STATE", "LWT", "RESULT", "LOGGING", "UPTIME", "MARGINS", "WAKEUP", "HASS_STATE"})
_UNITS = {"Temp": "TempUnit", "Pressure": "PressureUnit", "Speed": "SpeedUnit"}
_NAMES: dict[str, tuple[str, str | None]] = {
    "Temperature": ("temperature", "Temp"),
    "DewPoint": ("dewPoint", "Temp"),
    "HeatIndex": ("feelsLikeTemperature", "Temp"),
    "Humidity": ("relativeHumidity", "%"),
    "Pressure": ("atmosphericPressure", "Pressure"),
    "SeaPressure": ("atmosphericPressure", "Pressure"),
    "Illuminance": ("illuminance", "lx"),
    "Lux": ("illuminance", "lx"),
    "PM1": ("pm1", "ug/m3"),
    "PM2.5": ("pm25", "ug/m3"),
    "PM4": ("pm4", "ug/m3"),
    "PM10": ("pm10", "ug/m3"),
    "CF1": ("pm1Cf1", "ug/m3"),
    "CF2.5": ("pm25Cf1", "ug/m3"),
    "CF10": ("pm10Cf1", "ug/m3"),
    "CarbonDioxide": ("co2", "[ppm]"),
    "CO2": ("co2", "[ppm]"),
    "eCO2": ("co2", "[ppm]"),
    "TVOC": ("tvoc", "[ppb]"),
    "UvIndex": ("uvIndex", "1"),
    "Moisture": ("soilMoisture", "%"),
    "Battery": ("batteryLevel", "%"),
    "Total": ("activeEnergy", "kW.h"),
    "Today": ("activeEnergy", "kW.h"),
    "Yesterday": ("activeEnergy", "kW.h"),
    "ExportActive": ("exportedEnergy", "kW.h"),
    "Period": ("activeEnergy", "W.h"),
    "Power": ("activePower", "W"),
    "ApparentPower": ("apparentPower", "VA"),
    "ReactivePower": ("reactivePower", "var"),
    "Factor": ("powerFactor", "1"),
    "Frequency": ("mainsFrequency", "Hz"),
    "Voltage": ("voltage", "V"),
    "Current": ("electricCurrent", "A"),
    "Speed": ("windSpeed", "Speed"),
    "WindSpeed": ("windSpeed", "Speed"),
    "Vcc": ("voltage", "V"),
}
_PARTS = {
    "SeaPressure": "sea",
    "Today": "today",
    "Yesterday": "yesterday",
    "Period": "period",
    "eCO2": "equivalent",
}
"""What a name says beside the property."""
_LENGTHS = {"SR04": "cm", "HCSR04": "cm", "DYP": "cm", "ME007": "cm", "TFmini": "cm"}
"""Sensors whose Distance is in cm; of the others (VL53L0X) it is in mm."""
_SILENT = frozenset(
    {
        "Time", "Epoch", "TempUnit", "PressureUnit", "SpeedUnit", "Id", "Address", "Type", "TotalStartTime",
        "Endpoint", "Device", "Name", "mac", "via", "Uptime", "UptimeSec", "Heap", "SleepMode", "Sleep",
        "LoadAvg", "MqttCount", "Berry", "Hostname", "IPAddress", "Fade", "Speed", "LedTable", "Scheme",
        "Color", "HSBColor", "Channel", "CT", "Width",
    }
)  # fmt: skip
_NETWORK = ("SSId", "BSSId")
_EVENTS = (
    "IrReceived",
    "RfReceived",
    "IRHVAC",
    "Rfid",
    "SerialReceived",
    "SSerialReceived",
    "TuyaReceived",
    "Button",
)
_CLOCK = int(Quality.CLOCK)


class _Scope(NamedTuple):
    """What the values of a message share."""

    thing: str
    time: datetime | None
    units: Mapping[str, str | None]
    flags: int


def decode(message: Message, source: Source, state: Mapping[str, Any]) -> list[Item]:
    """Take the sensors' values, or the state's voltage, switches and signal; everything else is ignored."""
    del state
    levels = message.topic.split("/")
    kind, thing = levels[-1], _device(levels)
    ignored = _ignored(levels, kind)
    if ignored:
        return [Ignored(ignored)]
    if kind.startswith("POWER"):
        return [_switch(thing, kind, text(message.payload))]
    document = expect(parse(message.payload), dict, "payload")
    document = next(
        (document[key] for key in ("StatusSNS", "StatusSTS") if type(document.get(key)) is dict), document
    )
    health = "Wifi" in document or "UptimeSec" in document or kind == "STATE"
    if kind not in _KINDS and not kind.startswith("STATUS") and "Time" not in document:
        raise BadMessage("Time: expected a Tasmota message, found none of its keys")
    time, flags = _time(document, source)
    scope = _Scope(thing, time, {name: _unit(document, key) for name, key in _UNITS.items()}, flags)
    found = _health(document, scope) if health else _sensors(document, scope)
    return found or [Ignored("no value")]


def _device(levels: list[str]) -> str:
    """Return the device's %topic%: what stands between prefix and kind, else before the prefix."""
    at = next((index for index, level in enumerate(levels) if level in _PREFIXES), None)
    if at is None:
        return levels[-2] if len(levels) > 1 and levels[-1] in _KINDS else ""
    between = levels[at + 1 : -1]
    return "/".join(between) if between else (levels[at - 1] if at else "")


def _ignored(levels: list[str], kind: str) -> str:
    """Tell why a message on this topic has nothing to store; "" if it may have."""
    if "cmnd" in levels:
        return "command"
    if kind == "LWT":
        return "availability"
    if "discovery" in levels:
        return "discovery"
    if (kind.startswith("INFO") and kind[4:].isdigit()) or kind in {"LOGGING", "UPTIME", "MARGINS", "WAKEUP"}:
        return "device information"
    return (
        "status"
        if kind.startswith("STATUS") and kind not in {"STATUS0", "STATUS8", "STATUS10", "STATUS11"}
        else ""
    )


def _unit(document: Mapping[str, Any], key: str) -> str | None:
    value = text_or(document.get(key))
    return {"C": "Cel", "F": "[degF]"}.get(value, value) or None


def _time(document: Mapping[str, Any], source: Source) -> tuple[datetime | None, int]:
    """Return the time, and a flag where Time and Epoch contradict each other by more than a zone."""
    written, seconds = document.get("Time"), document.get("Epoch")
    local = moment(written.replace(".", "-", 2), source.timezone, "Time") if type(written) is str else None
    if isinstance(seconds, int | float) and seconds >= 631_152_000:
        settled = epoch(seconds, "Epoch")
        apart = (local - settled) % timedelta(minutes=15) if local else timedelta()
        same = min(apart, timedelta(minutes=15) - apart) <= timedelta(seconds=2)
        return settled, 0 if same else _CLOCK
    return (None, 0) if local is None or local.year < 2000 else (local, 0)


def _sensors(document: Mapping[str, Any], scope: _Scope) -> list[Item]:
    found: list[Item] = []
    for key, value in document.items():
        if key.startswith(_EVENTS):
            continue
        if type(value) is dict:
            if key in {"ZbReceived", "ZigbeeReceived"}:
                _zigbee(found, value, scope)
            else:
                _sensor(found, key, value, scope, 0)
        elif type(value) is list and any(type(item) is dict for item in value):
            for index, item in enumerate(value, 1):
                if type(item) is dict:
                    _sensor(found, f"{key}-{index}", item, scope, 0)
        else:
            _take(found, "", key, value, scope)
    return found


def _zigbee(found: list[Item], devices: Mapping[str, Any], scope: _Scope) -> None:
    """Take what a Zigbee bridge has received: each device is a thing of its own."""
    for key, values in devices.items():
        if type(values) is dict:
            thing = text_or(values.get("Name")) or text_or(values.get("Device")) or key
            strength: Any = values.get("LinkQuality")
            own = {name: value for name, value in values.items() if name != "LinkQuality"}
            _sensor(found, "", own, scope._replace(thing=thing), 0)
            if type(strength) in {int, float}:
                found.append(Signal(thing, {"linkquality": strength}))


def _sensor(found: list[Item], sensor: str, values: Mapping[str, Any], scope: _Scope, depth: int) -> None:
    qualifier = text_or(values.get("Id")) or text_or(values.get("Address")) or text_or(values.get("mac")) or sensor
    for key, value in values.items():
        if type(value) is dict:
            if depth < 3:
                _sensor(found, f"{qualifier}.{key}" if qualifier else key, value, scope, depth + 1)
        elif type(value) is list:
            for index, item in enumerate(value, 1):
                _take(found, f"{qualifier}.{index}" if qualifier else str(index), key, item, scope)
        else:
            _take(found, qualifier, key, value, scope)


def _take(found: list[Item], qualifier: str, key: str, value: Any, scope: _Scope) -> None:
    """Append one value. Of texts only numbers and switches are values."""
    if key in _SILENT and not (key == "Speed" and qualifier):
        return
    if value is None:
        found.append(Skipped(f"{qualifier}.{key}" if qualifier else key, "null"))
        return
    if type(value) is str and read_number(value) is None:
        if value not in {"ON", "OFF"}:
            return
        value = value == "ON"
    if type(value) not in {int, float, bool, str}:
        return
    name, unit, own = _meaning(key, qualifier)
    unit = scope.units[unit] if unit in _UNITS else unit
    found.append(Reading(scope.thing, name, value, scope.time, unit, None, own, scope.flags))


@lru_cache(maxsize=4096)
def _meaning(key: str, sensor: str) -> tuple[str, str | None, str]:
    """Return name, unit (or which of the message's units) and qualifier of a sensor's value."""
    stem = key.rstrip("0123456789")
    if key == "Temperature" and sensor == "ESP32":
        return "deviceTemperature", "Temp", ""
    if key == "Distance":
        return "distance", _LENGTHS.get(sensor.partition("-")[0], "mm"), sensor
    if stem in {"POWER", "Switch"}:
        return "switchOn", None, _joined(sensor, "" if stem == "POWER" else "switch", key[len(stem) :])
    if sensor == "COUNTER":
        return "pulseCount", None, key
    if key.startswith("PB") and key[2:3].isdigit():
        return "particleCount", "/dL", _joined(sensor, key[2:])
    name, unit, part = (*_NAMES[key], _PARTS.get(key, "")) if key in _NAMES else (key, None, "")
    return name, unit, _joined(sensor, part)


def _joined(*parts: str) -> str:
    return ".".join(filter(None, parts))


def _health(document: Mapping[str, Any], scope: _Scope) -> list[Item]:
    """Take the supply voltage, switches and dimmer; the radio's strength is the thing's signal."""
    found: list[Item] = []
    for key, value in document.items():
        if key == "Vcc" or key.startswith("POWER"):
            _take(found, "supply" if key == "Vcc" else "", key, value, scope)
        elif key == "Dimmer" and type(value) in {int, float}:
            found.append(Reading(scope.thing, "dimmingLevel", value, scope.time, "%", None, "", scope.flags))
    wifi = document.get("Wifi")
    if type(wifi) is dict:
        found += [Skipped(key, "network") for key in _NETWORK if key in wifi]
        values = {
            "rssi": wifi.get("Signal"),
            "wifi_quality": wifi.get("RSSI"),
            "uptime": document.get("UptimeSec"),
        }
        known = {key: value for key, value in values.items() if type(value) in {int, float}}
        found += [Signal(scope.thing, known)] if known else []  # type: ignore[arg-type]
    return found


def _switch(thing: str, kind: str, word: str) -> Item:
    on = read_boolean(word)
    if on is None:
        raise BadMessage(f"{kind[:20]}: expected ON or OFF, found another text")
    return Reading(thing, "switchOn", on, None, None, None, kind.removeprefix("POWER"))
