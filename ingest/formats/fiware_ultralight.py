"""FIWARE UltraLight 2.0: `t|15|k|abc` on `/ul/{apikey}/{device}/attrs[/{attribute}]`; `#` parts groups.

Specification: https://fiware-iotagent-ul.readthedocs.io/en/latest/usermanual.html
A group may begin with its time: `2026-03-02T06:45:00Z|pm25|9.8`. Options as in `fiware_iota_json`.
"""

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from broker.errors import BadMessage
from broker.model import Ignored, Inventory, Message, Place, Reading, Signal, Skipped, Source
from ingest.fiware import Options, address, ignored, measures, redact
from ingest.payload import Scope, own_time

TOPICS = ("/ul/+/+/attrs", "/ul/+/+/attrs/+", "/ul/#", "ul/+/+/attrs", "ul/+/+/attrs/+")
"""Its usual topics."""

Item = Reading | Place | Signal | Inventory | Ignored | Skipped

__all__ = ["Options", "decode", "redact"]

MAX_GROUPS = 2000
_NAME = re.compile(r"[\w.-]{1,40}")
"""A key that an error may quote: not a piece of something else."""


def decode(message: Message, source: Source, state: Mapping[str, Any]) -> list[Item]:
    """Take the measures of all groups; commands are ignored. BadMessage names a key without a value."""
    del state
    about = address(message.topic)
    if about.kind != "attrs":
        return [*ignored(about)]
    groups = _text(message.payload).split("#")
    if len(groups) > MAX_GROUPS:
        raise BadMessage(f"payload: expected at most {MAX_GROUPS} groups, found {len(groups)}", reason="size")
    found: list[Item] = []
    for number, group in enumerate(groups, 1):
        if not group.strip() and number > 1:
            continue
        time, fields = _timed(group.split("|"), about.attribute, source)
        scope = Scope(about.device, time, source.timezone, text=True)
        for pairs in _pairs(fields, about.attribute, number):
            found += measures(pairs, scope, source.options)
    return found or [Ignored("no value")]


def _text(payload: bytes) -> str:
    try:
        text = payload.removeprefix(b"\xef\xbb\xbf").decode("utf-8").strip("\0 \t\r\n")
    except UnicodeDecodeError as error:
        raise BadMessage(
            f"payload: expected UTF-8, found byte {error.start} that is not", reason="encoding"
        ) from None
    if not text or not text.replace("\t", " ").isprintable():
        raise BadMessage(f"payload: expected printable text, found {len(payload)} bytes that are not")
    return text


def _timed(fields: list[str], attribute: str, source: Source) -> tuple[datetime | None, list[str]]:
    """Split the time off that may stand before the first key."""
    first = fields[0].strip()
    expected = len(fields) % 2 == 1 or attribute or ":" in first
    time = own_time(first, source.timezone) if expected and len(fields) > 1 else None
    return (None, fields) if time is None else (time, fields[1:])


def _pairs(fields: list[str], attribute: str, number: int) -> list[dict[str, str]]:
    """Return keys and values; a key that comes again begins another dictionary."""
    if attribute and len(fields) == 1:
        fields = [attribute, *fields]
    found: list[dict[str, str]] = [{}]
    for index in range(0, len(fields), 2):
        key, value = fields[index].strip(), fields[index + 1].strip() if index + 1 < len(fields) else ""
        if not key:
            raise BadMessage(f"group {number}: expected a key before each value, found an empty one")
        if not value:
            named = key if _NAME.fullmatch(key) else f"group {number}"
            raise BadMessage(f"{named}: expected a value, found none")
        if key in found[-1]:
            found.append({})
        found[-1][key] = value
    return found
