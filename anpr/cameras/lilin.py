"""LILIN LPR cameras: the log of `get_search_info`, polled or posted.

https://www.meritlilin.com/en/support
`TS` is when the plate was seen, in microseconds, and names the passage with `CAR_ID`, since polling brings the
same entries again. An entry without it is one of a list (allowed, denied, visitors), no passage. Names, phone
numbers and addresses (`LPR_USER`, `LPR_PHONE`, `LPR_ADDRESS`) and pictures, in whose names the plate stands, are
never read.
"""

from collections.abc import Mapping
from typing import Any

from anpr.countries import country
from anpr.payload import instant, kind, number, parse_json, text
from broker.errors import BadMessage
from broker.model import Ignored, Message, PlateRead, Skipped, Source

FIELDS = ("INFORMATION", "TS", "CAR_ID", "LPR", "THRESHOLD", "COUNTRY")
"""All that is ever read; the plate among them becomes a token."""
MARKS = (b'"LPR"', b"'LPR'", b"LPR_")
"""Bytes that tell of a plate, also in a message too broken to decode."""


def decode(message: Message, source: Source, state: Mapping[str, Any]) -> list[PlateRead | Ignored | Skipped]:
    """Take the passages of a log, or of one entry; raise BadMessage where there is no `LPR`."""
    del state
    document = parse_json(message.payload)
    if isinstance(document, dict):
        document = document.get("INFORMATION", [document])
    if not isinstance(document, list):
        raise BadMessage(f"INFORMATION: a list was expected, found {kind(document)}")
    return [_entry(entry, source) for entry in document] or [Ignored("empty")]


def _entry(entry: Any, source: Source) -> PlateRead | Skipped:
    if not isinstance(entry, dict) or not isinstance(entry.get("LPR"), (str, type(None))) or "LPR" not in entry:
        raise BadMessage("LPR: an entry with a text was expected")
    time = instant("TS", entry.get("TS"), source.timezone)
    if time is None:
        return Skipped("LPR", "an entry of a list, without a time: no passage")
    confidence = number(entry.get("THRESHOLD"))
    return PlateRead(
        camera="",
        time=time,
        plate=entry["LPR"],
        event=f"{text(entry['TS'])} {text(entry.get('CAR_ID'))}",
        country=country(text(entry.get("COUNTRY"))),
        confidence=confidence if confidence is not None and 0 <= confidence <= 1 else None,
    )
