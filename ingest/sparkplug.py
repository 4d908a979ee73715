"""Sparkplug B's payload in protobuf: of its fields those that carry values, births and sequences.

Specification: https://sparkplug.eclipse.org/specification/version/3.0/documents/sparkplug-specification-3.0.0.pdf,
chapter 6.
"""

import zlib
from collections.abc import Mapping
from datetime import datetime
from typing import Any, NamedTuple

from broker.errors import BadMessage
from ingest import protobuf
from ingest.protobuf import Field

MAX_INFLATED = 8 << 20
"""Bytes that a compressed payload may hold."""

_COMPRESSED = "SPBV1.0_COMPRESSED"
_WHOLE = (1 << 64) - 1
_WITHOUT_VALUE = {
    16: Field("bytes", "bytes"),
    17: Field("dataset", "bytes"),
    18: Field("template", "bytes"),
    19: Field("extension", "bytes"),
}


def _values(first: int) -> dict[int, Field]:
    """The fields of a value, of which there is one."""
    kinds = ("int", "int", "float", "double", "bool", "text")
    return {first + offset: Field("value", kind) for offset, kind in enumerate(kinds)}


_PROPERTY = {2: Field("null", "bool"), **_values(3)}
_PROPERTIES = {1: Field("keys", "text", many=True), 2: Field("values", "message", _PROPERTY, many=True)}
_METRIC = {
    1: Field("name", "text"),
    2: Field("alias", "int"),
    3: Field("timestamp", "int"),
    4: Field("kind", "int"),
    6: Field("transient", "bool"),
    7: Field("null", "bool"),
    9: Field("properties", "message", _PROPERTIES),
    **_values(10),
    **_WITHOUT_VALUE,
}
_PAYLOAD = {
    1: Field("timestamp", "int"),
    2: Field("metrics", "message", _METRIC, many=True),
    3: Field("seq", "int"),
    4: Field("uuid", "text"),
    5: Field("body", "bytes"),
}


class Metric(NamedTuple):
    """One metric: `value` as the wire has it, whole numbers unsigned; None where there is none."""

    name: str
    alias: int | None
    timestamp: int | None
    """Epoch ms."""
    kind: int
    """Number of its data type; 0 is unsaid."""
    transient: bool
    null: bool
    value: int | float | bool | str | None
    what: str
    """What it carries in place of a value: bytes, dataset, template, extension."""
    properties: Mapping[str, Any]


class Payload(NamedTuple):
    """One message."""

    timestamp: int | None
    """Epoch ms."""
    seq: int | None
    metrics: list[Metric]


def read(data: bytes, *, inner: bool = False) -> Payload:
    """Read a payload, compressed or not. Raises BadMessage for what is no protobuf, or not of this schema."""
    found = protobuf.read(data, _PAYLOAD)
    timestamp, seq = found.get("timestamp"), found.get("seq")
    if found.get("uuid") == _COMPRESSED and not inner:
        whole = read(_inflated(found.get("body", b"")), inner=True)
        return whole._replace(timestamp=whole.timestamp or timestamp, seq=whole.seq if seq is None else seq)
    return Payload(timestamp, seq, [_metric(one) for one in found.get("metrics", ())])


def _metric(found: Mapping[str, Any]) -> Metric:
    value, alias = found.get("value"), found.get("alias")
    return Metric(
        found.get("name", ""),
        None if alias is None else alias & _WHOLE,
        found.get("timestamp"),
        found.get("kind", 0),
        found.get("transient", False),
        found.get("null", False),
        value & _WHOLE if type(value) is int else value,
        next((field.name for field in _WITHOUT_VALUE.values() if field.name in found), ""),
        _properties(found["properties"]) if "properties" in found else {},
    )


def _properties(found: Mapping[str, Any]) -> dict[str, Any]:
    values = (None if one.get("null") else one.get("value") for one in found.get("values", ()))
    return dict(zip(found.get("keys", ()), values, strict=False))


def _inflated(body: bytes) -> bytes:
    """Undo GZIP or DEFLATE."""
    inflater = zlib.decompressobj(47)
    try:
        data = inflater.decompress(body, MAX_INFLATED)
    except zlib.error:
        raise BadMessage("body: expected GZIP or DEFLATE, found other bytes") from None
    if inflater.unconsumed_tail:
        raise BadMessage(f"body: expected at most {MAX_INFLATED} bytes uncompressed", reason="size")
    return data


def rebirth(moment: datetime) -> bytes:
    """Write the command that asks an edge node for its births: `Node Control/Rebirth`, a boolean, true."""
    milliseconds = _varint(int(moment.timestamp() * 1000))
    name = b"Node Control/Rebirth"
    metric = b"".join([b"\x0a", _varint(len(name)), name, b"\x18", milliseconds, b"\x20\x0b\x70\x01"])
    return b"".join([b"\x08", milliseconds, b"\x12", _varint(len(metric)), metric])


def _varint(number: int) -> bytes:
    written = bytearray()
    while number > 0x7F:
        written.append(number & 0x7F | 0x80)
        number >>= 7
    written.append(number)
    return bytes(written)
