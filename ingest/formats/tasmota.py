"""Tasmota: sensors on `tele/TOPIC/SENSOR`, the device's health on `tele/TOPIC/STATE`; FullTopic may be another.

Specification: https://tasmota.github.io/docs/MQTT/ and https://tasmota.github.io/docs/JSON-Status-Responses/
`Time` is local without a zone unless it has an offset; `Epoch` settles it. A clock that was not set yet (1970) is
no time. `TempUnit`, `PressureUnit` and `SpeedUnit` stand beside the values. A sensor's name (`BME280`), or its
`Id` where there are several, is the qualifier. SSID and BSSID are never taken.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from broker.errors import BadMessage
from broker.model import Ignored, Inventory, Message, Place, Quality, Reading, Signal, Skipped, Source
from broker.remembered import remembered
from ingest.payload import expect, parse, text_or
from ingest.rules import read_boolean, read_number
from ingest.text import text
from ingest.times import epoch, moment

TOPICS = ("tele/+/SENSOR", "tele/+/+", "+/tele/+", "+/+/tele/+", "+/+/+/tele/+", "stat/+/+")
"""Its usual topics."""

Item = Reading | Place | Signal | Inventory | Ignored | Skipped

_PREFIXES = ("tele", "stat", "cmnd")
_KINDS = frozenset({"SENSOR", "STATE", "LWT", "RESULT", "LOGGING", "UPTIME", "MARGINS", "WAKEUP", "HASS_STATE"})
_SCALES = {"C": "Cel", "F": "[degF]"}
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
    "Energy": ("activeEnergy", "kW.h"),
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
_ANSWERS = ("StatusSNS", "StatusSTS")
_IDS = ("mac", "Address", "Id")
_SWITCHED = {"ON": True, "OFF": False}
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
_NEW = tuple.__new__
"""Makes a named tuple in half the time."""


class _Scope(NamedTuple):
    """What the values of a message share."""

    thing: str
    time: datetime | None
    flags: int
    document: Mapping[str, Any]


def decode(message: Message, source: Source, state: Mapping[str, Any]) -> list[Item]:
    """Take the sensors' values, or the state's voltage, switches and signal; everything else is ignored."""
    del state
    kind, thing, ignored = _address(message.topic)
    if ignored:
        return [Ignored(ignored)]
    if kind.startswith("POWER"):
        return [_switch(thing, kind, text(message.payload))]
    document = expect(parse(message.payload), dict, "payload")
    for key in _ANSWERS:
        if type(document.get(key)) is dict:
            document = document[key]
            break
    if kind not in _KINDS and not kind.startswith("STATUS") and "Time" not in document:
        raise BadMessage("Time: expected a Tasmota message, found none of its keys")
    scope = _Scope(thing, *_time(document, source), document)
    health = kind == "STATE" or "Wifi" in document or "UptimeSec" in document
    found = _health(document, scope) if health else _sensors(document, scope)
    return found or [Ignored("no value")]


@remembered
def _address(topic: str) -> tuple[str, str, str]:
    """Return the kind of a message, its device, and why there is nothing to store ("" if there may be)."""
    levels = topic.split("/")
    return levels[-1], _device(levels), _ignored(levels, levels[-1])


def _device(levels: list[str]) -> str:
    """Return the device's %topic%: what stands between prefix and kind, else before the prefix."""
    at = next((index for index, level in enumerate(levels) if level in _PREFIXES), None)
    if at is None:
        return levels[-2] if len(levels) > 1 and levels[-1] in _KINDS else ""
    between = levels[at + 1 : -1]
    return "/".join(between) if between else (levels[at - 1] if at else "")


def _ignored(levels: list[str], kind: str) -> str:
    if "cmnd" in levels:
        return "command"
    if kind == "LWT":
        return "availability"
    if "discovery" in levels:
        return "discovery"
    if (kind.startswith("INFO") and kind[4:].isdigit()) or kind in {"LOGGING", "UPTIME", "MARGINS", "WAKEUP"}:
        return "device information"
    answered = kind.startswith("STATUS") and kind not in {"STATUS0", "STATUS8", "STATUS10", "STATUS11"}
    return "status" if answered else ""


def _unit(document: Mapping[str, Any], key: str) -> str | None:
    value = document.get(key)
    return _SCALES.get(value, value) if type(value) is str else None


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
    qualifier = sensor
    for key in _IDS:
        if key in values:
            qualifier = text_or(values[key]) or qualifier
    for key, value in values.items():
        if type(value) is dict:
            if depth < 3:
                _sensor(found, _joined(qualifier, key), value, scope, depth + 1)
        elif type(value) is list:
            for index, item in enumerate(value, 1):
                _take(found, _joined(qualifier, str(index)), key, item, scope)
        else:
            _take(found, qualifier, key, value, scope)


def _take(found: list[Item], qualifier: str, key: str, value: Any, scope: _Scope) -> None:
    """Append one value. Of texts only numbers and switches are values."""
    name, unit, own = _meaning((key, qualifier))
    if not name:
        return
    kind = type(value)
    if kind is not float and kind is not int and kind is not bool:
        if value is None:
            found.append(Skipped(_joined(qualifier, key), "null"))
            return
        if kind is not str or (read_number(value) is None and value not in _SWITCHED):
            return
        value = _SWITCHED.get(value, value)
    if unit in _UNITS:
        unit = _unit(scope.document, _UNITS[unit])
    thing, time, flags, _ = scope
    found.append(_NEW(Reading, (thing, name, value, time, unit, None, own, flags)))


@remembered
def _meaning(named: tuple[str, str]) -> tuple[str, str | None, str]:
    """Return name, unit (or which of the message's units) and qualifier of a value; no name for what is none."""
    key, sensor = named
    stem = key.rstrip("0123456789")
    if key in _SILENT and not (key == "Speed" and sensor):
        return "", None, ""
    if key == "Distance":
        return "distance", _LENGTHS.get(sensor.partition("-")[0], "mm"), sensor
    if stem in {"POWER", "Switch"}:
        return "switchOn", None, _joined(sensor, "" if stem == "POWER" else "switch", key[len(stem) :])
    if sensor == "COUNTER" or (key.startswith("PB") and key[2:3].isdigit()):
        counter = sensor == "COUNTER"
        return ("pulseCount", None, key) if counter else ("particleCount", "/dL", _joined(sensor, key[2:]))
    own = key if key in _NAMES else stem if stem in _NAMES else ""
    if not own:
        return key, None, sensor
    name, unit = _NAMES[own]
    if sensor == "ESP32" and name == "temperature":
        name, sensor = "deviceTemperature", ""
    return name, unit, _joined(sensor, _PARTS.get(own, key[len(own) :]))


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
