"""A camera's message without all that nobody reads: images, owners, makes and models, before it travels on.

Only fields that the camera's decoder lists (`FIELDS`) are left, in the camera's own form (JSON, XML, a multipart
body, `key=value` lines; JSON, where it has an `unwrap`), so that its decoder reads the result as it would have
read the message.
"""

import re
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from types import MappingProxyType, ModuleType
from typing import Any

import orjson
from lxml import etree

from anpr.fields import DEPTH, whitelist
from anpr.payload import FRAMING, documents, local, parse_json, parts, unwrapped
from broker.errors import BadMessage

LONGEST = 1000
"""Characters of a field: whatever is longer is a picture, not a reading."""
LINE = re.compile(rb"^([A-Za-z_ ]+?)(_\d{1,6})?=([^\r\n]*)", re.MULTILINE)
BOUNDARY = b"--citybroker"


def strip(payload: bytes, camera: ModuleType, options: Mapping[str, Any] = MappingProxyType({})) -> bytes:
    """Keep of a message what the camera's decoder may read with these options of its source.

    Raises BadMessage, whose text holds no value.

    The same message gives the same bytes, so that one that is sent again stays recognisable.
    """
    names = whitelist(camera, options)
    payload = unwrapped(payload, camera)
    start = payload.lstrip(FRAMING)[:2]
    if start == b"--":
        return _multipart(payload, names)
    if start[:1] in {b"{", b"[", b"<"}:
        return _document(payload, names)
    return _lines(payload, names)


def _multipart(payload: bytes, names: AbstractSet[str]) -> bytes:
    """The parts that are JSON or XML, each behind a delimiter of ours; pictures are not even looked at."""
    kept = [_document(body, names) for body in parts(payload) if body.lstrip()[:1] in {b"{", b"[", b"<"}]
    if not kept:
        raise BadMessage("no part of the multipart message is JSON or XML")
    return b"".join(BOUNDARY + b"\r\n\r\n" + body + b"\r\n" for body in kept) + BOUNDARY + b"--\r\n"


def _document(payload: bytes, names: AbstractSet[str]) -> bytes:
    if payload.lstrip(FRAMING)[:1] == b"<":
        return b"".join(etree.tostring(_element(root, names, 0), encoding="utf-8") for root in documents(payload))
    return orjson.dumps(_value(parse_json(payload), names, 0))


def _value(found: Any, names: AbstractSet[str], depth: int) -> Any:
    if depth > DEPTH:
        raise BadMessage(f"nested deeper than {DEPTH}")
    if isinstance(found, dict):
        return {key: _value(inner, names, depth + 1) for key, inner in found.items() if key in names}
    if isinstance(found, list):
        return [_value(inner, names, depth + 1) for inner in found]
    return None if isinstance(found, str) and len(found) > LONGEST else found


def _element(found: etree._Element, names: AbstractSet[str], depth: int) -> etree._Element:
    if depth > DEPTH:
        raise BadMessage(f"nested deeper than {DEPTH}")
    prefixes: Any = found.nsmap  # whose key None, the default namespace, not every stub knows
    kept = etree.Element(found.tag, nsmap=prefixes)
    for name, value in found.attrib.items():
        if local(str(name)) in names and len(value) <= LONGEST:
            kept.set(name, value)
    kept.text = found.text if len(found.text or "") <= LONGEST else None
    kept.extend(_element(child, names, depth + 1) for child in found if _wanted(child, names))
    return kept


def _wanted(child: etree._Element, names: AbstractSet[str]) -> bool:
    """Whether its tag is listed, and of a pair (ONVIF's `<SimpleItem Name="text" Value="…"/>`) its name too."""
    return local(str(child.tag)) in names and child.get("Name") in {None, *names}


def _lines(payload: bytes, names: AbstractSet[str]) -> bytes:
    found = [
        match[0] for match in LINE.finditer(payload) if match[1].decode() in names and len(match[3]) <= LONGEST
    ]
    if not found:
        raise BadMessage("neither JSON nor XML nor key=value lines of this camera")
    return b"\r\n".join(found) + b"\r\n"
