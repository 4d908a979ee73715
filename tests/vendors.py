"""Messages of vendors through the Reader, and through the push door before it."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from anpr.plate import Reader
from anpr.strip import strip
from broker.errors import BadMessage
from broker.model import Ignored, Message, Passage, Skipped, Source
from broker.modules import load

CAMERAS = load("anpr.cameras")
BRUSSELS = ZoneInfo("Europe/Brussels")
NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
MORNING = datetime(2026, 3, 2, 7, 10, 6, tzinfo=UTC)
PLATE = "1QVX000"
EVENT = {
    "Code": "TrafficJunction",
    "UTC": 1772435406,
    "Object": {"ObjectType": "Plate", "Text": PLATE},
    "TrafficCar": {"PlateNumber": PLATE},
}


def bytes_of(payload: Any) -> bytes:
    if isinstance(payload, bytes):
        return payload
    return payload.encode() if isinstance(payload, str) else json.dumps(payload).encode()


def read(reader: Reader, camera: str, payload: Any, **options) -> list[Passage | Ignored | Skipped]:
    """What becomes of it, which is the same after the push door has stripped it."""
    message = Message("cam/zuid", bytes_of(payload), NOON)
    source = Source("cameras", "cam/+", camera=camera, timezone=BRUSSELS, options=options)
    found = reader.read(message, source, {})
    stripped = message._replace(payload=strip(message.payload, CAMERAS[camera]))
    assert [type(one) for one in reader.read(stripped, source, {})] == [type(one) for one in found]
    return found


def one(reader: Reader, camera: str, payload: Any, **options) -> Passage:
    (passage,) = read(reader, camera, payload, **options)
    assert isinstance(passage, Passage)
    return passage


def refused(reader: Reader, camera: str, payload: Any, **options) -> BadMessage:
    message = Message("cam/zuid", bytes_of(payload), NOON)
    source = Source("cameras", "cam/+", camera=camera, timezone=BRUSSELS, options=options)
    with pytest.raises(BadMessage) as caught:
        reader.read(message, source, {})
    assert PLATE not in str(caught.value)
    assert caught.value.__context__ is None
    return caught.value


def without(document: Mapping[str, Any], *fields: str) -> dict[str, Any]:
    return {key: value for key, value in document.items() if key not in fields}
