"""SenML in JSON: packs of records with base values.

Specification: RFC 8428, https://www.rfc-editor.org/rfc/rfc8428, units also RFC 8798; the form before the RFC
(an object with `e`) is still sent and still read. Device URNs: https://www.rfc-editor.org/rfc/rfc9039
"""

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from broker.errors import BadMessage
from broker.model import Ignored, Inventory, Message, Place, Quality, Reading, Signal, Skipped, Source
from ingest.payload import expect, parse, place

Item = Reading | Place | Signal | Inventory | Ignored | Skipped

VERSION = 10
ABSOLUTE = 2**28
"""Smaller times are relative to now: RFC 8428, 4.5.3."""

_BY_UNIT = {
    "Cel": "temperature",
    "K": "temperature",
    "%RH": "relativeHumidity",
    "%EL": "batteryLevel",
    "lx": "illuminance",
}
"""What is measured where a record's whole name is the device's."""
_DEVICE = re.compile(r"(urn:dev:[a-z0-9-]+:[^:/_]+)(?:[:/_](.*))?", re.IGNORECASE)
_ENDS = ":/._-"
_HEX = re.compile(r"(?:[0-9a-fA-F]{2}){4,}")
_RAW = {"payload", "data", "frmpayload", "raw"}


class Base(NamedTuple):
    """Base values: they hold for their record and the ones after it."""

    name: str = ""
    time: float | None = None
    unit: str | None = None
    value: float = 0.0
    sum: float = 0.0


def decode(message: Message, source: Source, state: Mapping[str, Any]) -> list[Item]:
    """Resolve the records of a pack; a pair of lat and lon becomes the place of its thing."""
    del source, state
    base, records = Base(), _records(parse(message.payload))
    found: list[Item] = []
    degrees: dict[tuple[str, str], float] = {}
    for record in records:
        expect(record, dict, "a record")
        _understood(record)
        base = _rebased(base, record)
        found += _resolved(base, record, message, degrees)
    found += _places(degrees)
    return found or [Ignored("no records")]


def _records(document: Any) -> list[Any]:
    if type(document) is dict and "e" in document:
        entries = expect(document["e"], list, "e")
        base = {key: value for key, value in document.items() if key in {"bn", "bt", "bu"}}
        return [base, *entries]
    return list(expect([document] if type(document) is dict else document, list, "payload"))


def _understood(record: Mapping[str, Any]) -> None:
    for key in record:
        if key.endswith("_"):
            raise BadMessage(
                f"{key}: a field that must be understood (RFC 8428, 4.4), and is not", reason="unsupported"
            )
    if record.get("bver", VERSION) != VERSION and _float(record["bver"], "bver") > VERSION:
        raise BadMessage(f"bver: expected at most {VERSION}, found a later version", reason="unsupported")


def _rebased(base: Base, record: Mapping[str, Any]) -> Base:
    if not any(key in record for key in ("bn", "bt", "bu", "bv", "bs")):
        return base
    return Base(
        name=expect(record["bn"], str, "bn") if "bn" in record else base.name,
        time=_float(record["bt"], "bt") if "bt" in record else base.time,
        unit=expect(record["bu"], str, "bu") if "bu" in record else base.unit,
        value=_base_value(record, base),
        sum=_float(record["bs"], "bs") if "bs" in record else base.sum,
    )


def _base_value(record: Mapping[str, Any], base: Base) -> float:
    # Before the RFC, bv was a boolean value.
    value = record.get("bv")
    return base.value if value is None or isinstance(value, bool) else _float(value, "bv")


def _resolved(
    base: Base, record: Mapping[str, Any], message: Message, degrees: dict[tuple[str, str], float]
) -> list[Item]:
    own = expect(record.get("n", ""), str, "n")
    unit = expect(record["u"], str, "u") if "u" in record else base.unit
    thing, name = _named(base.name, own, unit)
    if unit in {"lat", "lon"} and "v" in record:
        degrees[thing, unit] = base.value + _float(record["v"], "v")
        return []
    return _valued(base, record, Reading(thing, name, 0.0, *_timed(base, record, message, unit)))


def _timed(base: Base, record: Mapping[str, Any], message: Message, unit: str | None) -> tuple[Any, ...]:
    """Return time, unit, end, qualifier and quality as a Reading has them."""
    seconds = (base.time or 0.0) + (_float(record["t"], "t") if "t" in record else 0.0)
    if seconds >= ABSOLUTE:
        return _absolute(seconds), unit
    if seconds == 0 or message.retained:
        return None, unit
    try:
        return message.received + timedelta(seconds=seconds), unit, None, "", int(Quality.RECEIVED)
    except (OverflowError, ValueError):
        raise BadMessage("t: expected seconds, found a number that is none", reason="time") from None


def _absolute(seconds: float) -> datetime:
    try:
        return datetime.fromtimestamp(seconds, UTC)
    except (OverflowError, ValueError, OSError):
        raise BadMessage("t: expected epoch seconds, found a number too large", reason="time") from None


def _valued(base: Base, record: Mapping[str, Any], reading: Reading) -> list[Item]:
    """Take the record's value: of v, vb, vs and vd it has at most one; s is a running sum beside it."""
    if "v" in record:
        sums: list[Item] = [Skipped(reading.name, "sum")] if "s" in record else []
        return [reading._replace(value=base.value + _float(record["v"], "v")), *sums]
    truth = record.get("vb", record.get("bv"))
    if isinstance(truth, bool):
        return [reading._replace(value=truth, unit=None)]
    text = record.get("vs", record.get("sv"))
    if text is not None:
        return [_text(reading, expect(text, str, "vs"))]
    if "vd" in record:
        return [Skipped(reading.name, "no codec")]
    if "s" in record:
        total = base.sum + _float(record["s"], "s")
        return [reading._replace(value=total, unit=f"{reading.unit or ''}.s", qualifier="sum")]
    # Only base values: they are for the records after this one.
    return []


def _text(reading: Reading, text: str) -> Item:
    if reading.name.lower() in _RAW and _HEX.fullmatch(text):
        return Skipped(reading.name, "no codec")
    return reading._replace(value=text)


def _named(base: str, own: str, unit: str | None) -> tuple[str, str]:
    """Split a record's name into thing and property: the base name is the thing where it has both."""
    if own and base and not own.startswith("urn:"):
        return base.rstrip(_ENDS), own
    device = _DEVICE.fullmatch(base + own)
    if device:
        return device[1], device[2] or _BY_UNIT.get(unit or "", "value")
    if own:
        return "", own
    thing, _, name = base.rstrip(_ENDS).rpartition("/" if "/" in base else ":")
    return (thing, name) if thing and name else ("", base.rstrip(_ENDS) or _BY_UNIT.get(unit or "", "value"))


def _places(degrees: Mapping[tuple[str, str], float]) -> list[Item]:
    things = dict.fromkeys(thing for thing, _ in degrees)
    return [place(thing, degrees.get((thing, "lat")), degrees.get((thing, "lon"))) for thing in things]


def _float(value: Any, field: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise BadMessage(f"{field}: expected a number, found {type(value).__name__}")
    return value
