"""Sparkplug B's payload in protobuf: the few messages of it that carry values, read from the wire.

Wire format: https://protobuf.dev/programming-guides/encoding/; the fields are those of the specification,
https://sparkplug.eclipse.org/specification/version/3.0/documents/sparkplug-specification-3.0.0.pdf (chapter 6).
"""

import zlib
from collections.abc import Iterator
from datetime import datetime
from struct import error as struct_error
from struct import pack, unpack
from typing import Any, NamedTuple

from broker.errors import BadMessage

MAX_INFLATED = 8 << 20
"""Bytes that a compressed payload may hold."""
MAX_DEPTH = 2
"""A payload inside a payload: compressed once."""

_COMPRESSED = "SPBV1.0_COMPRESSED"
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_SIZES = {_FIXED64: 8, _FIXED32: 4}
_WHAT = {16: "bytes", 17: "dataset", 18: "template", 19: "extension"}


class Metric(NamedTuple):
    """One metric: `value` as the wire has it, whole numbers unsigned; None where there is none."""

    name: str = ""
    alias: int | None = None
    timestamp: int | None = None
    """Epoch ms."""
    kind: int = 0
    """Number of its data type; 0 is unsaid."""
    transient: bool = False
    null: bool = False
    value: int | float | bool | str | None = None
    what: str = ""
    """What it carries in place of a value: bytes, dataset, template, extension."""
    properties: dict[str, Any] = {}  # noqa: RUF012  never changed; a metric without properties shares it


class Payload(NamedTuple):
    """One message."""

    timestamp: int | None
    """Epoch ms."""
    seq: int | None
    metrics: list[Metric]


def read(data: bytes, depth: int = 0) -> Payload:
    """Read a payload. Raises BadMessage for what is no protobuf, or not of this schema."""
    timestamp = seq = None
    metrics: list[Metric] = []
    uuid, body = "", b""
    for number, value in _fields(data):
        if number == 2:
            metrics.append(_metric(_expect(value, bytes, "metrics")))
        elif number == 1:
            timestamp = _expect(value, int, "timestamp")
        elif number == 3:
            seq = _expect(value, int, "seq")
        elif number == 4:
            uuid = _text(value, "uuid")
        elif number == 5:
            body = _expect(value, bytes, "body")
    if uuid == _COMPRESSED and depth < MAX_DEPTH:
        inner = read(_inflated(body), depth + 1)
        return inner._replace(timestamp=inner.timestamp or timestamp, seq=inner.seq if seq is None else seq)
    return Payload(timestamp, seq, metrics)


def rebirth(moment: datetime) -> bytes:
    """Write the command that asks an edge node for its births."""
    milliseconds = _varint(int(moment.timestamp() * 1000))
    name = b"Node Control/Rebirth"
    metric = b"".join(
        [b"\x0a", _varint(len(name)), name, b"\x18", milliseconds, b"\x20", _varint(11), b"\x70\x01"]
    )
    return b"".join([b"\x08", milliseconds, b"\x12", _varint(len(metric)), metric])


def _varint(number: int) -> bytes:
    written = bytearray()
    while number > 0x7F:
        written.append(number & 0x7F | 0x80)
        number >>= 7
    written.append(number)
    return bytes(written)


def _fields(data: bytes) -> Iterator[tuple[int, Any]]:
    """Give field numbers with int, bytes (of fixed size: 4 or 8 of them) as values."""
    at, end = 0, len(data)
    while at < end:
        tag, at = _number(data, at)
        number, wire = tag >> 3, tag & 7
        if wire == _VARINT:
            value, at = _number(data, at)
            yield number, value
            continue
        if wire == _BYTES:
            size, at = _number(data, at)
        elif wire in _SIZES:
            size = _SIZES[wire]
        else:
            raise _unreadable()
        if at + size > end or number == 0:
            raise _unreadable()
        yield number, data[at : at + size]
        at += size


def _number(data: bytes, at: int) -> tuple[int, int]:
    """Read a varint of at most 64 bits; return it and where it ends."""
    result = shift = 0
    for position in range(at, min(at + 10, len(data))):
        byte = data[position]
        result |= (byte & 0x7F) << shift
        if byte < 0x80:
            return result & 0xFFFF_FFFF_FFFF_FFFF, position + 1
        shift += 7
    raise _unreadable()


def _metric(data: bytes) -> Metric:
    found: dict[str, Any] = {}
    for number, value in _fields(data):
        if number in _METRIC:
            name, kind = _METRIC[number]
            found[name] = _text(value, name) if kind is str else kind(_expect(value, int, name))
        elif number == 9:
            found["properties"] = _properties(_expect(value, bytes, "properties"))
        elif 10 <= number <= 15:
            found["value"] = _value(number - 10, value)
        elif number in _WHAT:
            found["what"] = _WHAT[number]
    return Metric(**found)


_METRIC: dict[int, tuple[str, type]] = {
    1: ("name", str),
    2: ("alias", int),
    3: ("timestamp", int),
    4: ("kind", int),
    6: ("transient", bool),
    7: ("null", bool),
}


def _value(kind: int, value: Any) -> int | float | bool | str:
    """Read a value: 0 and 1 whole numbers, 2 float, 3 double, 4 boolean, 5 text."""
    try:
        if kind == 2:
            return _single(unpack("<f", value)[0])
        if kind == 3:
            return float(unpack("<d", value)[0])
    except (struct_error, TypeError):
        raise BadMessage("a value: expected a floating point number, found other bytes") from None
    if kind == 5:
        return _text(value, "a value")
    number: int = _expect(value, int, "a value")
    return bool(number) if kind == 4 else number


def _single(number: float) -> float:
    """Return the shortest decimal that is the same single-precision number: 8.1, not 8.100000381469727."""
    wanted = pack("<f", number)
    for digits in (6, 7, 8):
        short = float(f"{number:.{digits}g}")
        try:
            if pack("<f", short) == wanted:
                return short
        except OverflowError:
            continue
    return number


def _properties(data: bytes) -> dict[str, Any]:
    keys: list[str] = []
    values: list[Any] = []
    for number, value in _fields(data):
        if number == 1:
            keys.append(_text(value, "a property's key"))
        elif number == 2:
            values.append(_property(_expect(value, bytes, "a property")))
    return dict(zip(keys, values, strict=False))


def _property(data: bytes) -> Any:
    """Return a property's value; None for null and for sets of properties."""
    found = None
    for number, value in _fields(data):
        if number == 2 and value:
            return None
        if 3 <= number <= 8:
            found = _value(number - 3, value)
    return found


def _text(value: Any, field: str) -> str:
    try:
        text: str = _expect(value, bytes, field).decode("utf-8")
    except UnicodeDecodeError:
        raise BadMessage(f"{field}: expected UTF-8, found other bytes", reason="encoding") from None
    return text


def _expect(value: Any, kind: type, field: str) -> Any:
    if type(value) is not kind:
        raise BadMessage(f"{field}: found another wire type than the schema of Sparkplug B has")
    return value


def _inflated(body: bytes) -> bytes:
    """Undo GZIP or DEFLATE."""
    try:
        inflater = zlib.decompressobj(47)
        data = inflater.decompress(body, MAX_INFLATED)
    except zlib.error:
        raise BadMessage("body: expected GZIP or DEFLATE, found other bytes") from None
    if inflater.unconsumed_tail:
        raise BadMessage(f"body: expected at most {MAX_INFLATED} bytes uncompressed", reason="size")
    return data


def _unreadable() -> BadMessage:
    return BadMessage("payload: expected a Sparkplug B payload in protobuf, found other bytes")
