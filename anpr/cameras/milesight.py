"""Milesight LPR cameras: the JSON of their HTTP post, and the `key_index=value` lines of `operator.cgi`.

https://support.milesight.com/support/solutions/articles/69000880498
Everything is a string, `"-"` is nothing, times are local and carry no zone (`timezone` of the source).
A list names each passage by its time, region and plate, since polling brings the same entries again.
"""

import re
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from anpr.countries import country
from anpr.payload import instant, kind, lane, name, number, parse_json, text
from broker.errors import BadMessage
from broker.model import Ignored, Message, PlateRead, Skipped, Source

FIELDS = (
    "device",
    "time_msec",
    "time",
    "plate",
    "detection_region",
    "roi_id",
    "direction",
    "vehicle_type",
    "region",
    "confidence",
    "speed",
)
"""All that is ever read; the plate among them becomes a token."""
MARKS = (b'"plate"', b"plate_0=")
"""Bytes that tell of a plate, also in a message too broken to decode."""

DIRECTIONS = {"approach": "forward", "away": "reverse", "1": "forward", "2": "reverse"}
CLASSES = {
    "car": "auto",
    "suv": "auto",
    "van": "auto",
    "pickup": "auto",
    "pickup truck": "auto",
    "minibus": "auto",
    "truck": "vrachtwagen",
    "motorcycle": "fiets",
    "motorbike": "fiets",
    "bicycle": "fiets",
    "bike": "fiets",
    "pedestrian": "voetganger",
}
"""OSLO VkmVoertuigType by its definitions: auto with light vans, fiets is any two-wheeler, buses are in none."""
LINE = re.compile(r"^([A-Za-z_ ]+)_(\d{1,6})=([^\r\n]*)", re.MULTILINE)


def decode(message: Message, source: Source, state: Mapping[str, Any]) -> list[PlateRead | Ignored | Skipped]:
    """Take the passages of one post or one list; raise BadMessage where there is no `plate`."""
    del state
    if message.payload.lstrip()[:1] in {b"{", b"["}:
        document = parse_json(message.payload)
        entries = document if isinstance(document, list) else [document]
        return [_read(_object(entry), source) for entry in entries] or [Ignored("empty")]
    return [_listed(entry, source) for entry in _entries(message.payload)]


def _object(entry: Any) -> Mapping[str, Any]:
    if not isinstance(entry, dict):
        raise BadMessage(f"an object was expected, found {kind(entry)}")
    if "plate" not in entry:
        raise BadMessage("plate: missing")
    if not isinstance(entry["plate"], (str, type(None))):
        raise BadMessage(f"plate: text was expected, found {kind(entry['plate'])}")
    return entry


def _read(entry: Mapping[str, Any], source: Source) -> PlateRead:
    return PlateRead(
        camera=name(entry.get("device")),
        time=_time(entry, source),
        plate=entry["plate"],
        lane=lane(entry.get("detection_region", entry.get("roi_id"))),
        direction=DIRECTIONS.get((text(entry.get("direction")) or "").lower(), "unknown"),
        vehicle_class=CLASSES.get((text(entry.get("vehicle_type")) or "").lower(), "unknown"),
        country=country(text(entry.get("region"))),
        confidence=_confidence(number(entry.get("confidence"))),
        speed=_speed(number(entry.get("speed"))),
    )


def _time(entry: Mapping[str, Any], source: Source) -> datetime | None:
    field = "time_msec" if text(entry.get("time_msec")) else "time"
    return instant(field, entry.get(field), source.timezone)


def _confidence(value: float | None) -> float | None:
    """0–1 as documented; some firmware sends per cent."""
    if value is None or not 0 <= value <= 100:
        return None
    return value if value <= 1 else value / 100


def _speed(value: float | None) -> float | None:
    return value if value is not None and 0 <= value <= 400 else None


def _entries(payload: bytes) -> Iterable[Mapping[str, str]]:
    """The list's entries in order of their index."""
    entries: dict[int, dict[str, str]] = {}
    for key, index, value in LINE.findall(payload.decode(errors="replace")):
        entries.setdefault(int(index), {})[key] = value
    if not any("plate" in entry for entry in entries.values()):
        raise BadMessage("neither a JSON object nor lines of plate_0=…")
    return [entries[index] for index in sorted(entries)]


def _listed(entry: Mapping[str, str], source: Source) -> PlateRead | Skipped:
    if "plate" not in entry:
        return Skipped("plate", "missing")
    read = _read(entry, source)
    return read if read.time is None else read._replace(event=f"{read.time} {read.lane} {read.plate}")
