"""Camera payloads as plain values: JSON, XML, multipart bodies, `key=value` lines, and their text, numbers, times.

Every error is raised outside an `except`, so that no parser's exception (which quotes the payload, and a plate
with it) hangs on to a BadMessage as its context. No error text holds a value.
"""

import math
import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta, tzinfo
from itertools import islice, pairwise
from types import ModuleType
from typing import Any

import orjson
from lxml import etree

from broker.errors import BadMessage
from broker.remembered import remembered

PARSER = etree.XMLParser(
    resolve_entities=False,
    no_network=True,
    load_dtd=False,
    huge_tree=False,
    remove_comments=True,
    remove_pis=True,
)
TYPES = {
    dict: "object",
    list: "array",
    str: "text",
    bool: "boolean",
    int: "number",
    float: "number",
    type(None): "null",
}
NOTHING = {"", "-", "--"}
EPOCH = re.compile(r"(\d{10})(\.\d*|(?:\d{3}){1,2}(?:\.\d*)?)?", re.ASCII)
"""Seconds, and what follows as their fraction: with a point, or as ms or µs without."""
START = datetime(1970, 1, 1, tzinfo=UTC)
FRAMING = bytes(range(0x21))
"""Blanks and control characters, which may stand before a document."""
ROOT = re.compile(rb"<([A-Za-z_][\w.:-]*)")
LARGE = 1 << 20
PICTURE = re.compile(rb">[^<]{100000,}<")
"""A text that no decoder would read."""
DOCUMENTS = 1000
"""That one message may hold."""
BLANK_LINE = re.compile(rb"\r?\n\r?\n")


def parse_json(payload: bytes) -> Any:
    """Read JSON; raise BadMessage where it is none."""
    with suppress(orjson.JSONDecodeError):
        return orjson.loads(payload)
    raise BadMessage("the message is not valid JSON in UTF-8")


def parse_xml(payload: bytes) -> etree._Element:
    """Read XML without entities, network or huge trees; raise BadMessage where it is none or has a DOCTYPE."""
    root = None
    with suppress(etree.XMLSyntaxError, ValueError):
        root = etree.fromstring(payload.strip(), PARSER)
    if root is None:
        raise BadMessage("the message is not well-formed XML")
    if root.getroottree().docinfo.internalDTD is not None:
        raise BadMessage("a document type declaration is refused")
    return root


def documents(payload: bytes) -> list[etree._Element]:
    """Read one XML document, or several one behind the other, as a TCP stream brings them.

    What frames them (STX, a length) is left out, as is what is cut off at the end where a whole one stands before
    it, and pictures, which may be larger than the parser would take. BadMessage as of `parse_xml`.
    """
    if len(payload) > LARGE:
        payload = PICTURE.sub(b"><", payload)
    with suppress(BadMessage):
        return [parse_xml(payload)]
    start = ROOT.search(payload)
    end = re.compile(rb"</" + re.escape(start[1]) + rb"\s*>") if start else ROOT
    ends = [0, *(found.end() for found in islice(end.finditer(payload), DOCUMENTS))]
    return [parse_xml(payload[payload.find(b"<", one) : other]) for one, other in pairwise(ends)] or [
        parse_xml(payload)
    ]


@remembered
def local(tag: str) -> str:
    """An element's tag without its namespace: firmwares disagree on that."""
    return tag.rpartition("}")[2]


def parts(payload: bytes) -> Iterator[bytes]:
    """Bodies of a multipart message (RFC 2046) that starts with its delimiter; bare LF line ends count too."""
    delimiter = payload.lstrip().split(b"\n", 1)[0].strip()
    for part in payload.split(delimiter)[1:]:
        yield from BLANK_LINE.split(part, maxsplit=1)[1:]


def unwrapped(payload: bytes, camera: ModuleType) -> bytes:
    """The JSON or XML of a message out of its vendor's own wrapping, if the decoder has an `unwrap` for one."""
    unwrap: Callable[[bytes], bytes] | None = getattr(camera, "unwrap", None)
    return payload if unwrap is None else unwrap(payload)


def text(value: Any) -> str | None:
    """A text or number as stripped text; None for what cameras write for nothing (`"-"`, `""`, null)."""
    if isinstance(value, str):
        stripped = value.strip()
        return None if stripped in NOTHING else stripped
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return str(value)
    return None


def name(value: Any) -> str:
    """A device's name as printable text of at most 100 characters; "" where there is none."""
    return "".join(filter(str.isprintable, text(value) or ""))[:100].strip()


def number(value: Any) -> float | None:
    """A finite number, also out of a text; None for anything else."""
    found = text(value)
    if found is None:
        return None
    try:
        result = float(found)
    except ValueError:
        return None
    return result if math.isfinite(result) else None


def lane(value: Any) -> str | None:
    """A lane or detection region: a whole number up to 999, so that no free text gets stored as one."""
    found = text(value) or ""
    return found if found.isascii() and found.isdecimal() and len(found) <= 3 else None


def heading(value: Any, forward: float | None) -> str:
    """Tell forward from reverse: whether a heading, in degrees, is 90° or less off `forward`.

    A heading is one in the picture. What it means on the road is known to who hung up the camera alone, so
    it is unknown where no `forward` is configured.
    """
    found = number(value)
    if found is None or forward is None:
        return "unknown"
    return "forward" if abs((found - forward + 180) % 360 - 180) <= 90 else "reverse"


def instant(field: str, value: Any, zone: tzinfo, *, local_clock: bool = False) -> datetime | None:
    """An ISO 8601 time, or an epoch in s (with or without fraction), ms or µs, in UTC; None where there is none.

    A time without offset is in `zone`; of an hour that comes twice it is the first. `local_clock`
    ignores an offset: the clock is right, its zone is not. Raises BadMessage for anything else.
    """
    found = text(value)
    if found is None:
        return None
    with suppress(ValueError, OverflowError, OSError):
        return _instant(found, zone, local_clock=local_clock)
    raise BadMessage(f"{field}: a {kind(value)} that is no time", reason="time")


def _instant(found: str, zone: tzinfo, *, local_clock: bool) -> datetime:
    if epoch := EPOCH.fullmatch(found):
        fraction = (epoch[2] or "").replace(".", "")
        return START + timedelta(seconds=int(epoch[1]), microseconds=int(f"{fraction:0<6.6}"))
    if found[-5:-4] in {"+", "-"} and found[-3] == ":":  # some firmware writes +8:00
        found = f"{found[:-4]}0{found[-4:]}"
    time = datetime.fromisoformat(found)
    if local_clock or time.tzinfo is None:
        time = time.replace(tzinfo=zone)
    return time.astimezone(UTC)


def kind(value: Any) -> str:
    """What a JSON value is (text, number, object, …), for error texts."""
    return TYPES.get(type(value), "value")
