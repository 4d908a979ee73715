"""SenML in JSON or CBOR: packs of records with base values, and SenSML streams of them.

Specification: RFC 8428, https://www.rfc-editor.org/rfc/rfc8428, units also RFC 8798; the form before the RFC
(an object with `e`) is still sent and still read. Device URNs: https://www.rfc-editor.org/rfc/rfc9039.
CBOR is told by the content type or by its first byte. A stream (content type `…/sensml+…`, or `stream = true` in
`[source.options]`) is an array that never ends: each message has some of its records, and base values carry over
from one message to the next of the same topic.
"""

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import lru_cache
from io import BytesIO
from typing import Any, NamedTuple, cast

from cbor2 import CBORDecodeError, CBORDecoder, loads
from pydantic import BaseModel, ConfigDict

from broker.errors import BadMessage
from broker.model import Ignored, Inventory, Message, Place, Quality, Reading, Signal, Skipped, Source
from ingest.payload import MAX_VALUES, expect, parse, place
from ingest.rules import read_number
from ingest.times import epoch

Item = Reading | Place | Signal | Inventory | Ignored | Skipped

VERSION = 10
_SECONDS = 1e11
"""Beyond the year 5138 these are no seconds."""
MAX_NAME = 512
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


_LABELS = {
    -6: "bs", -5: "bv", -4: "bu", -3: "bt", -2: "bn", -1: "bver",
    0: "n", 1: "u", 2: "v", 3: "vs", 4: "vb", 5: "s", 6: "t", 7: "ut", 8: "vd",
}  # fmt: skip
"""What CBOR writes for the keys: RFC 8428, 6."""
_KEYS = frozenset(_LABELS.values()) - {"bver"}
"""What needs no closer look."""
_UNUSUAL = frozenset({"lat", "lon", "Bspl"})
_new: Any = tuple.__new__  # a third of what making a named tuple costs
_SELF_DESCRIBED = b"\xd9\xd9\xf7"
"""A tag that says no more than that this is CBOR: RFC 8949, 3.4.6."""
_BASES = frozenset({"bn", "bt", "bu", "bv", "bs"})


class Options(BaseModel):
    """`[source.options]` of this format."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    stream: bool = False
    """The messages of a topic are one SenSML stream."""


class Base(NamedTuple):
    """Base values: they hold for their record and the ones after it."""

    name: str = ""
    time: float = 0.0
    unit: str | None = None
    value: float = 0.0
    sum: float = 0.0


_NO_BASE = Base()


class Pack(NamedTuple):
    """What is gathered while records are resolved."""

    message: Message
    found: list[Item]
    degrees: dict[tuple[str, datetime | None], dict[str, float]]
    """lat and lon by thing and time."""
    times: dict[float, tuple[datetime | None, int]]
    """Time and quality by seconds: records of one pack share them."""


def decode(message: Message, source: Source, state: Mapping[str, Any]) -> list[Item]:
    """Resolve the records of a pack; a pair of lat and lon becomes the place of its thing."""
    stream = source.options.get("stream") is True or "sensml" in (message.content_type or "")
    remembered = state.get(_key(message)) if stream else None
    base = began = Base(*remembered) if remembered else _NO_BASE
    pack: Pack = _new(Pack, (message, [], {}, {}))
    records = _records(message, stream=stream)
    if len(records) > MAX_VALUES:
        raise BadMessage(f"payload: expected at most {MAX_VALUES} records, found {len(records)}", reason="size")
    for record in records:
        if type(record) is not dict:
            expect(record, dict, "a record")
        if not _KEYS.issuperset(record):
            _understood(record)
        if not _BASES.isdisjoint(record):
            base = _rebased(base, record)
        _resolve(base, record, pack)
    if pack.degrees:
        pack.found.extend(_places(pack))
    if stream and base != began:
        pack.found.append(Inventory(_key(message), list(base)))
    return pack.found or [Ignored("no records")]


def _key(message: Message) -> str:
    return f"stream {message.topic}"


def _records(message: Message, *, stream: bool) -> list[Any]:
    payload = message.payload
    if "cbor" in (message.content_type or "") or (payload[:1] >= b"\x80" and payload[:3] != b"\xef\xbb\xbf"):
        return _cbor(payload, stream=stream)
    document = _stream(payload) if stream else parse(payload)
    if type(document) is dict and "e" in document:
        entries = expect(document["e"], list, "e")
        base = {key: value for key, value in document.items() if key in {"bn", "bt", "bu"}}
        return [base, *entries]
    records: list[Any] = expect([document] if type(document) is dict else document, list, "payload")
    return records


def _stream(payload: bytes) -> Any:
    """Read a part of an endless array: its brackets, and the comma before the next record, may be missing."""
    cut = payload.strip(b"\x00 \t\r\n,")
    return parse(b"[" * (not cut.startswith(b"[")) + cut + b"]" * (not cut.endswith(b"]")))


def _cbor(payload: bytes, *, stream: bool) -> list[Any]:
    try:
        body = payload.removeprefix(_SELF_DESCRIBED)
        document = _sequence(body) if stream else loads(body)
    except (CBORDecodeError, EOFError, ValueError, TypeError, OverflowError, MemoryError, RecursionError):
        raise BadMessage("payload: expected CBOR, found bytes that are none") from None
    rows = expect([document] if type(document) is dict else document, list, "payload")
    return [_labelled(expect(row, dict, "a record")) for row in rows]


def _sequence(payload: bytes) -> list[Any]:
    """Read a part of an endless array: its head and its end may be missing."""
    body = payload.removeprefix(b"\x9f").removesuffix(b"\xff")
    file = BytesIO(body)
    decoder = CBORDecoder(file)
    rows: list[Any] = []
    while file.tell() < len(body):
        row = decoder.decode()
        rows += row if type(row) is list else [row]
    return rows


def _labelled(row: dict[Any, Any]) -> dict[str, Any]:
    """Return a record with the keys and numbers of JSON."""
    return {key if type(key) is str else _LABELS.get(key, str(key)): _plain(value) for key, value in row.items()}


def _plain(value: Any) -> Any:
    """Return a decimal fraction, or a whole number beyond 64 bits, as a float."""
    if type(value) is Decimal or (type(value) is int and abs(value) >= 1 << 63):
        try:
            return float(value)
        except OverflowError:
            raise BadMessage("a number: expected one of 64 bits, found more") from None
    return value


def _understood(record: Mapping[str, Any]) -> None:
    for key in record:
        if key.endswith("_"):
            raise BadMessage(
                f"{key}: a field that must be understood (RFC 8428, 4.4), and is not", reason="unsupported"
            )
    if record.get("bver", VERSION) != VERSION and _float(record["bver"], "bver") > VERSION:
        raise BadMessage(f"bver: expected at most {VERSION}, found a later version", reason="unsupported")


def _rebased(base: Base, record: Mapping[str, Any]) -> Base:
    name, time, unit, value, total = base
    if "bn" in record:
        name = expect(record["bn"], str, "bn")
    if "bt" in record:
        time = _float(record["bt"], "bt")
    if "bu" in record:
        unit = expect(record["bu"], str, "bu")
    if "bv" in record:
        value = _base_value(record, base)
    if "bs" in record:
        total = _float(record["bs"], "bs")
    return cast("Base", _new(Base, (name, time, unit, value, total)))


def _base_value(record: Mapping[str, Any], base: Base) -> float:
    # Before the RFC, bv was a boolean value.
    value = record.get("bv")
    return base.value if value is None or isinstance(value, bool) else _float(value, "bv")


def _resolve(base: Base, record: Mapping[str, Any], pack: Pack) -> None:
    known, seconds, unit, start, _ = base
    own, unit = record.get("n", ""), record.get("u", unit)
    if type(own) is not str or not (unit is None or type(unit) is str):
        raise BadMessage(f"n, u: expected texts, found {type(own).__name__} and {type(unit).__name__}")
    if len(own) > MAX_NAME or len(known) > MAX_NAME or (unit and len(unit) > MAX_NAME):
        raise BadMessage(f"n, u: expected at most {MAX_NAME} characters, found more", reason="name")
    thing, name = _named(known, own, unit)
    if "t" in record:
        seconds += _float(record["t"], "t")
    time, quality = pack.times.get(seconds) or _time(seconds, pack)
    value = record.get("v")
    if (type(value) is float or type(value) is int) and unit not in _UNUSUAL:
        found = _new(Reading, (thing, name, start + value, time, unit, None, "", quality))
        pack.found.append(found)
    elif unit in {"lat", "lon"} and value is not None:
        pack.degrees.setdefault((thing, time), {})[unit] = start + _float(value, "v")
        return
    else:
        found = _new(Reading, (thing, name, 0.0, time, unit, None, "", quality))
        pack.found.extend(_valued(base, record, found))
    if "s" in record:
        pack.found.append(_sum(base, record, found))


def _time(seconds: float, pack: Pack) -> tuple[datetime | None, int]:
    found = pack.times[seconds] = _moment(seconds, pack.message)
    return found


def _moment(seconds: float, message: Message) -> tuple[datetime | None, int]:
    if seconds >= ABSOLUTE:
        # Where it can be no seconds, it is taken for the milliseconds that many send.
        return datetime.fromtimestamp(seconds, UTC) if seconds < _SECONDS else epoch(seconds, "t"), 0
    if seconds == 0 or message.retained:
        return None, 0
    try:
        return message.received + timedelta(seconds=seconds), int(Quality.RECEIVED)
    except (OverflowError, ValueError):
        raise BadMessage("t: expected seconds, found a number that is none", reason="time") from None


def _valued(base: Base, record: Mapping[str, Any], reading: Reading) -> list[Item]:
    """Take the record's value: of v, vb, vs and vd it has at most one; with none it has only base values."""
    if "v" in record:
        value = base.value + _float(record["v"], "v")
        # RFC 8428 has bels of sound pressure level; everybody else decibels.
        bels = reading.unit == "Bspl"
        return [reading._replace(value=value * 10, unit="dB") if bels else reading._replace(value=value)]
    truth = record.get("vb", record.get("bv"))
    if isinstance(truth, bool):
        return [reading._replace(value=truth, unit=None)]
    text = record.get("vs", record.get("sv"))
    if text is not None:
        return [_text(reading, expect(text, str, "vs"))]
    return [Skipped(reading.name, "no codec")] if "vd" in record else []


def _sum(base: Base, record: Mapping[str, Any], reading: Reading) -> Reading:
    """Return the sum of the values over time, whose unit is that of the values times seconds."""
    unit = f"{reading.unit}.s" if reading.unit else "s"
    return reading._replace(name=f"{reading.name}Sum", value=base.sum + _float(record["s"], "s"), unit=unit)


def _text(reading: Reading, text: str) -> Item:
    if reading.name.lower() in _RAW and _HEX.fullmatch(text):
        return Skipped(reading.name, "no codec")
    return reading._replace(value=text, unit=reading.unit if read_number(text) else None)


@lru_cache(maxsize=8192)
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


def _places(pack: Pack) -> list[Item]:
    return [
        place(thing, found.get("lat"), found.get("lon"), time) for (thing, time), found in pack.degrees.items()
    ]


def _float(value: Any, field: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise BadMessage(f"{field}: expected a number, found {type(value).__name__}")
    return value
