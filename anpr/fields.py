"""What a rejected camera message may leave behind: the names of whitelisted fields and their types."""

import re
from collections.abc import Iterable, Iterator, Mapping
from types import ModuleType
from typing import Any

from anpr.payload import FRAMING, documents, kind, local, parse_json, parts
from broker.errors import BadMessage

LINE = re.compile(rb"^([A-Za-z_ ]+?)(?:_\d+)?=", re.MULTILINE)
DEPTH = 8
"""No vendor nests deeper."""


def whitelist(camera: ModuleType, options: Mapping[str, Any]) -> frozenset[str]:
    """All names that the camera's decoder reads: its `FIELDS`, and those of the paths that the options name."""
    named = getattr(camera, "named", None)
    return frozenset(camera.FIELDS) | frozenset(named(options) if named else ())


def describe(payload: bytes, names: Iterable[str]) -> dict[str, str]:
    """Those of `names` that a JSON, XML, multipart or `key=value` payload has: name → type of its first value."""
    wanted = set(names)
    found: dict[str, str] = {}
    try:
        for name, type_name in _named(payload):
            if name in wanted:
                found.setdefault(name, type_name)
    except BadMessage:
        pass
    return found


def _named(payload: bytes) -> Iterator[tuple[str, str]]:
    start = payload.lstrip(FRAMING)[:2]
    if start[:1] in {b"{", b"["}:
        yield from _json(parse_json(payload))
    elif start[:1] == b"<":
        for root in documents(payload):
            yield from ((local(str(element.tag)), "text") for element in root.iter("*"))
    elif start == b"--":
        for body in parts(payload):
            if body.lstrip()[:1] in {b"{", b"[", b"<"}:
                yield from _named(body)
    else:
        yield from ((match[1].decode(), "text") for match in LINE.finditer(payload))


def _json(value: Any, depth: int = 0) -> Iterator[tuple[str, str]]:
    if depth > DEPTH:
        return
    if isinstance(value, dict):
        for name, inner in value.items():
            yield name, kind(inner)
            yield from _json(inner, depth + 1)
    elif isinstance(value, list):
        for inner in value:
            yield from _json(inner, depth + 1)
