"""Libelium Meshlium: one measure a message, `{"id_wasp", "sensor", "value", "timestamp"}`, on `meshlium…/SCP4/TC`.

Specification: https://development.libelium.com/meshlium-technical-guide/cloudconnectors/basic-cloud-partners/cloud_mqtt
and, for the codes of sensors and their units, https://development.libelium.com/data-frame-programming-guide/.
`id_secret` is a credential: it is never looked at. The identity is `id_wasp`, else the topic level before the
sensor's code.
"""

from collections.abc import Mapping
from typing import Any

from broker.errors import BadMessage
from broker.model import Ignored, Inventory, Message, Place, Reading, Signal, Skipped, Source
from broker.remembered import remembered
from ingest.payload import expect, parse, place, text_or
from ingest.times import moment

TOPICS = ("+/SCP4/+",)
"""Its usual topics."""

Item = Reading | Place | Signal | Inventory | Ignored | Skipped

_CODES: dict[str, tuple[str, str | None]] = {
    "TC": ("temperature", "Cel"),
    "TCA": ("temperature", "Cel"),
    "TCB": ("temperature", "Cel"),
    "TF": ("temperature", "[degF]"),
    "IN_TEMP": ("deviceTemperature", "Cel"),
    "HUM": ("relativeHumidity", "%"),
    "HUMA": ("relativeHumidity", "%"),
    "HUMB": ("relativeHumidity", "%"),
    "PRES": ("atmosphericPressure", "Pa"),
    "PA": ("atmosphericPressure", "Pa"),
    "BAT": ("batteryLevel", "%"),
    "CO": ("co", "[ppm]"),
    "CO2": ("co2", "[ppm]"),
    "NO": ("nitrogenMonoxide", "[ppm]"),
    "NO2": ("no2", "[ppm]"),
    "O3": ("o3", "[ppm]"),
    "SO2": ("so2", "[ppm]"),
    "NH3": ("nh3", "[ppm]"),
    "O2": ("oxygen", "%"),
    "PM1": ("pm1", "ug/m3"),
    "PM2_5": ("pm25", "ug/m3"),
    "PM25": ("pm25", "ug/m3"),
    "PM10": ("pm10", "ug/m3"),
    "NOISE": ("soundLevel", "dB"),
    "MCP": ("soundLevel", "dB"),
    "LUX": ("illuminance", "lx"),
    "LUXES": ("illuminance", "lx"),
    "LUM": ("luminosity", "%"),
    "US": ("distance", "cm"),
    "ANE": ("windSpeed", "km/h"),
    "WV": ("windDirection", None),
    "PLV1": ("precipitationTotal.hour", "mm"),
    "PLV2": ("precipitationTotal.lastHour", "mm"),
    "PLV3": ("precipitationTotal.day", "mm"),
    "RAD": ("photosyntheticRadiation", "umol/m2/s"),
    "PAR": ("photosyntheticRadiation", "umol/m2/s"),
    "UV": ("ultravioletRadiation", "umol/m2/s"),
    "SOILT": ("soilTemperature", "Cel"),
    "SOILTC": ("soilTemperature", "Cel"),
    "LW": ("leafWetness", "V"),
    "PH": ("acidity", "[pH]"),
    "ORP": ("redoxPotential", "V"),
    "DO": ("oxygenSaturation", "%"),
    "DOX": ("oxygenSaturation", "%"),
    "COND": ("electricalConductivity", "mS/cm"),
    "WT": ("waterTemperature", "Cel"),
    "TURB": ("turbidity", "{NTU}"),
    "LP": ("waterLeak", None),
    "PIR": ("motion", None),
}
_SIDES = ("N", "NNE", "NE", "ENE", "E", "ESE", "SE", "SSE", "S", "SSW", "SW", "WSW", "W", "WNW", "NW", "NNW")
_UNTAKEN = frozenset({"STR", "MAC", "NA", "DATE", "TIME", "TST", "FRAME", "ACC"})
_TIMES = ("timestamp", "datetime", "ts", "time", "date")


def decode(message: Message, source: Source, state: Mapping[str, Any]) -> list[Item]:
    """Take the measure of a message, or each of an array of them."""
    del state
    document = parse(message.payload)
    if type(document) is list:
        found = [item for row in document for item in _measure(expect(row, dict, "an item"), message, source)]
    else:
        found = _measure(expect(document, dict, "payload"), message, source)
    return found or [Ignored("no value")]


def _measure(row: Mapping[str, Any], message: Message, source: Source) -> list[Item]:
    thing, code = row.get("id_wasp"), row.get("sensor")
    if type(thing) is not str or type(code) is not str:
        thing, code = _named(row, message.topic.split("/"))
    when = row.get("timestamp") or next((row[key] for key in _TIMES if row.get(key)), None)
    time = None if when is None else moment(when, source.timezone, "timestamp")
    value = row.get("value")
    if value is None and "value" not in row:
        raise BadMessage("value: expected a number, found none")
    if type(value) is dict or type(value) is list:
        raise BadMessage("value: expected a number, found a structure")
    name, qualifier, unit, special = _meaning(code)
    number = _number(value)
    if special or number is None:
        return _special(Reading(thing, code, 0.0, time), name, unit, value)
    if unit == "Pa" and number < 2000:
        unit = "hPa" if number > 200 else "kPa"
    return [Reading(thing, name, number, time, unit, None, qualifier)]


@remembered
def _meaning(code: str) -> tuple[str, str, str | None, bool]:
    """Return property, qualifier and unit of a sensor's code; and whether its values are no numbers."""
    upper = code.strip().upper()
    name, unit = _CODES.get(upper) or (code.strip(), None)
    if upper in _CODES:
        name, _, qualifier = name.partition(".")
        return name, qualifier, unit, False
    return name, "", None, upper in _UNTAKEN or upper in {"GPS", "LOC", "RSSI"}


def _named(row: Mapping[str, Any], levels: list[str]) -> tuple[str, str]:
    """Return device and sensor from the topic `meshlium…/SCP4/TC`, where the payload does not tell."""
    thing, code = row.get("id_wasp"), row.get("sensor")
    if type(thing) is not str:
        if code is None or "value" not in row or len(levels) < 2:
            raise BadMessage("id_wasp: expected a string, found none", reason="identity")
        thing = levels[-2]
    code = text_or(code, "" if "sensor" in row else levels[-1])
    if not code:
        raise BadMessage("sensor: expected its code, found none")
    return thing, code


def _special(base: Reading, name: str, unit: str | None, value: Any) -> list[Item]:
    """Take a position, a signal or a text."""
    code = base.name.strip().upper()
    if code in {"GPS", "LOC"}:
        north, _, east = text_or(value).replace(",", ";").partition(";")
        return [place(base.thing, north, east, base.time)]
    number = _number(value)
    if code == "RSSI" and number is not None:
        return [Signal(base.thing, {"rssi": number})]
    if code in _UNTAKEN or code == "RSSI":
        return [Skipped(base.name, "no measurement")]
    if value is None or value == "":
        return [Skipped(base.name, "null")]
    if code == "WV" and text_or(value).upper() in _SIDES:
        return [base._replace(name="windDirection", value=_SIDES.index(value.upper()) * 22.5, unit="deg")]
    return [base._replace(name=name, value=value, unit=unit)]


def _number(value: Any) -> float | None:
    try:
        return None if type(value) is bool else float(value)
    except (TypeError, ValueError):
        return None
