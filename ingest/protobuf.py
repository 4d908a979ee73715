"""Protobuf without generated code: the fields of a message, and the few well-known types that sensors send.

Specification: https://protobuf.dev/programming-guides/encoding/. Whoever reads a message says which of its fields
it wants.
"""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from struct import pack, unpack
from typing import Any, NamedTuple

from broker.errors import BadMessage

MAX_DEPTH = 12
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_KINDS = {"int": _VARINT, "bool": _VARINT, "float": _FIXED32, "double": _FIXED64}
_NANOSECONDS = 1_000
_LARGEST = 3.4e38
"""Below the largest float of 32 bits."""


class Field(NamedTuple):
    """What a field number is: its name, its type, and the fields of a message of its own."""

    name: str
    kind: str
    """int, bool, float, double, text, bytes, time, struct or message."""
    fields: "Mapping[int, Field] | None" = None
    many: bool = False


def read(data: bytes, fields: Mapping[int, Field]) -> dict[str, Any]:
    """Return the values of the fields that are wanted, by name; others are passed over.

    Raises BadMessage for bytes that are no such message.
    """
    found: dict[str, Any] = {}
    for number, wire, value in wired(data):
        field = fields.get(number)
        if field is None:
            continue
        if wire != _KINDS.get(field.kind, _BYTES):
            raise BadMessage(f"{field.name}: expected a protobuf {field.kind}, found wire type {wire}")
        taken = _value(field, value)
        if field.many:
            found.setdefault(field.name, []).append(taken)
        else:
            found[field.name] = taken
    return found


def wired(data: bytes) -> list[tuple[int, int, Any]]:
    """Return number, wire type and value (a whole number or bytes) of every field. Raises BadMessage."""
    found: list[tuple[int, int, Any]] = []
    at, end = 0, len(data)
    while at < end:
        tag, at = _varint(data, at)
        number, wire = tag >> 3, tag & 7
        if number == 0:
            raise _broken()
        if wire == _VARINT:
            value, at = _varint(data, at)
            found.append((number, wire, value))
            continue
        if wire == _BYTES:
            size, at = _varint(data, at)
        else:
            size = 8 if wire == _FIXED64 else 4 if wire == _FIXED32 else -1
        if size < 0 or at + size > end:
            raise _broken()
        found.append((number, wire, data[at : at + size]))
        at += size
    return found


def _varint(data: bytes, at: int) -> tuple[int, int]:
    if at < len(data) and data[at] < 128:
        return data[at], at + 1
    result = shift = 0
    for index in range(at, min(at + 10, len(data))):
        byte = data[index]
        result |= (byte & 127) << shift
        if byte < 128:
            return result, index + 1
        shift += 7
    raise _broken()


def _broken() -> BadMessage:
    return BadMessage("payload: expected protobuf, found bytes that are none")


def _value(field: Field, value: Any) -> Any:
    if field.kind == "message":
        return read(value, field.fields or {})
    if field.kind == "text":
        return text(value, field.name)
    return _READERS[field.kind](value)


def text(value: bytes, name: str) -> str:
    """Return a string. Raises BadMessage (`encoding`)."""
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        raise BadMessage(f"{name}: expected UTF-8, found bytes that are not", reason="encoding") from None


def signed(value: int) -> int:
    """Return an int32 or int64, whose negatives are written as large numbers of 64 bits."""
    value &= (1 << 64) - 1
    return value - (1 << 64) if value >= 1 << 63 else value


def single(value: bytes) -> float:
    """Return a float of 32 bits with the digits that it was written with: 75.59055, not 75.59055328369141."""
    number: float = unpack("<f", value)[0]
    for digits in (6, 7, 8):
        short = float(f"{number:.{digits}g}")
        if short == number or (abs(short) < _LARGEST and pack("<f", short) == value):
            return short
    return number


def time(value: bytes, name: str = "time") -> datetime:
    """Return a google.protobuf.Timestamp. Raises BadMessage (`time`)."""
    parts = {number: found for number, wire, found in wired(value) if wire == _VARINT}
    seconds, rest = signed(parts.get(1, 0)), signed(parts.get(2, 0))
    try:
        return datetime.fromtimestamp(seconds, UTC).replace(microsecond=rest // _NANOSECONDS)
    except (ValueError, OverflowError, OSError):
        raise BadMessage(f"{name}: expected a time, found a number that is none", reason="time") from None


def struct(value: bytes, depth: int = 0) -> dict[str, Any]:
    """Return a google.protobuf.Struct as JSON has it. Raises BadMessage."""
    if depth > MAX_DEPTH:
        raise BadMessage(f"payload: expected values at most {MAX_DEPTH} deep", reason="size")
    found: dict[str, Any] = {}
    for number, wire, entry in wired(value):
        if number == 1 and wire == _BYTES:
            parts = {key: part for key, kind, part in wired(entry) if kind == _BYTES}
            found[text(parts.get(1, b""), "a key")] = _any(parts.get(2, b""), depth + 1)
    return found


def _any(value: bytes, depth: int) -> Any:
    """Return a google.protobuf.Value: null, number, text, truth, object or array."""
    if depth > MAX_DEPTH:
        raise BadMessage(f"payload: expected values at most {MAX_DEPTH} deep", reason="size")
    found: Any = None
    for number, wire, part in wired(value):
        match (number, wire):
            case (2, 1):
                found = unpack("<d", part)[0]
            case (3, 2):
                found = text(part, "a value")
            case (4, 0):
                found = bool(part)
            case (5, 2):
                found = struct(part, depth)
            case (6, 2):
                found = [_any(item, depth + 1) for key, kind, item in wired(part) if (key, kind) == (1, 2)]
            case _:
                found = None
    return found


_READERS: dict[str, Callable[[Any], Any]] = {
    "int": signed,
    "bool": bool,
    "float": single,
    "double": lambda value: unpack("<d", value)[0],
    "bytes": bytes,
    "time": time,
    "struct": struct,
}
