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
    levels = message.topic.split("/")
    named = row.get("id_wasp", row.get("idWasp"))
    if type(named) is not str and ("sensor" not in row or len(levels) < 2):
        raise BadMessage("id_wasp: expected a string, found none", reason="identity")
    thing = named if type(named) is str else levels[-2]
    code = text_or(row.get("sensor"), "" if "sensor" in row else levels[-1]).strip()
    if not code:
        raise BadMessage("sensor: expected its code, found none")
    if "value" not in row:
        raise BadMessage("value: expected a number, found none")
    when = next((row[key] for key in _TIMES if row.get(key) not in (None, "")), None)
    time = None if when is None else moment(when, source.timezone, "timestamp")
    return _value(Reading(thing, code, 0.0, time), row["value"])


def _value(base: Reading, value: Any) -> list[Item]:
    code = base.name.upper()
    if code in {"GPS", "LOC"}:
        north, _, east = text_or(value).replace(",", ";").partition(";")
        return [place(base.thing, north, east, base.time)]
    if code == "RSSI":
        return [Signal(base.thing, {"rssi": float(value)})] if _is_number(value) else []
    if code in _UNTAKEN or value is None or value == "":
        return [Skipped(base.name, "no measurement" if code in _UNTAKEN else "null")]
    if code == "WV" and text_or(value).upper() in _SIDES:
        return [base._replace(name="windDirection", value=_SIDES.index(value.upper()) * 22.5, unit="deg")]
    if type(value) in {dict, list}:
        raise BadMessage("value: expected a number, found a structure")
    name, unit = _CODES.get(code) or (base.name, None)
    if name == "atmosphericPressure" and _is_number(value) and float(value) < 2000:
        unit = "hPa" if float(value) > 200 else "kPa"
    name, _, qualifier = name.partition(".") if code in _CODES else (name, "", "")
    number = float(value) if _is_number(value) else value
    return [base._replace(name=name, value=number, unit=unit, qualifier=qualifier)]


def _is_number(value: Any) -> bool:
    try:
        float(value)
    except (TypeError, ValueError):
        return False
    return type(value) is not bool
