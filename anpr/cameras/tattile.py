"""Tattile cameras (Vega, Axle Counter): one XML document per vehicle, as their TCP push sends it.

https://www.tattile.com/traffic-cameras/
The root is `MESSAGE`, `Msg` or `root`. A stream of documents may arrive as one message: they stand one behind the
other without a separator, and what is cut off at the end is left out. Date and time are local and carry no zone
(`timezone` of the source). The base64 pictures (`IMAGE_OCR`, `IMAGE_CTX`) are never read.
"""

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from lxml import etree

from anpr.countries import country
from anpr.payload import documents, instant, lane, local, name, number, text
from broker.errors import BadMessage
from broker.model import Ignored, Message, PlateRead, Skipped, Source

FIELDS = (
    "PLATE_STRING",
    "PLATE_COUNTRY_CODE",
    "DATE",
    "TIME",
    "DEVICE_SN",
    "DEVICE_NAME",
    "OCRSCORE",
    "DIRECTION",
    "LANE_ID",
    "SPEED",
)
"""All that is ever read; the plate among them becomes a token."""
MARKS = (b"PLATE_STRING",)
"""Bytes that tell of a plate, also in a message too broken to decode."""

ROOTS = {"message", "msg", "root"}
WANTED = frozenset(FIELDS)
DIRECTIONS = {"APPROACH": "forward", "APPROACHING": "forward", "GOAWAY": "reverse"}
TIME = re.compile(r"(\d\d)[-:.](\d\d)[-:.](\d\d)(?:[-:](\d{1,3})|[.,](\d{1,6}))?", re.ASCII)
DATE = re.compile(r"(\d{4})[-/.](\d\d)[-/.](\d\d)", re.ASCII)


def decode(message: Message, source: Source, state: Mapping[str, Any]) -> list[PlateRead | Ignored | Skipped]:
    """Take the passage of each document; raise BadMessage where one is none."""
    del state
    return [_read(_fields(root), source) for root in documents(message.payload)]


def _fields(root: etree._Element) -> Mapping[str, str | None]:
    if local(str(root.tag)).lower() not in ROOTS:
        raise BadMessage("the root element is not MESSAGE, Msg or root")
    fields = {tag: child.text for child in reversed(root) if (tag := local(str(child.tag))) in WANTED}
    if "PLATE_STRING" not in fields:
        raise BadMessage("PLATE_STRING: missing")
    return fields


def _read(fields: Mapping[str, str | None], source: Source) -> PlateRead:
    get = fields.get
    direction = (text(get("DIRECTION")) or "").upper().replace(" ", "").replace("_", "")
    speed = number(get("SPEED"))
    return PlateRead(
        camera=name(get("DEVICE_SN")) or name(get("DEVICE_NAME")),
        time=_time(text(get("DATE")), text(get("TIME")), source),
        plate=get("PLATE_STRING"),
        lane=lane(get("LANE_ID")),
        direction=DIRECTIONS.get(direction, "unknown"),
        country=country(text(get("PLATE_COUNTRY_CODE"))),
        confidence=_score(text(get("OCRSCORE"))),
        speed=speed if speed is not None and 0 < speed <= 400 else None,
    )


def _time(date: str | None, clock: str | None, source: Source) -> datetime | None:
    """`2026-03-02` and `08-10-06-250` or `08:10:06`."""
    if date is None or clock is None:
        return None
    day, hour = DATE.fullmatch(date), TIME.fullmatch(clock)
    if day is None or hour is None:
        raise BadMessage("DATE, TIME: a text that is no time", reason="time")
    written = f"{'-'.join(day.groups())}T{':'.join(hour.groups()[:3])}.{hour[5] or (hour[4] or '0').zfill(3):0<6}"
    return instant("DATE, TIME", written, source.timezone)


def _score(written: str | None) -> float | None:
    """Per cent, such as `093` or `92.5`; `0.93`, which nobody would send as per cent, is a fraction."""
    value = number(written)
    if written is None or value is None or not 0 <= value <= 100:
        return None
    return value if "." in written and value <= 1 else value / 100
