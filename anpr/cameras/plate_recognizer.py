"""Plate Recognizer Stream and Snapshot: their webhook, as JSON, or in a form whose field `json` holds it.

https://guides.platerecognizer.com/docs/stream/results
`plate` is the text itself (in lower case), or, with detection by vehicle, an object with the text in
`props.plate[0].value`. Of a vehicle without plate it is empty or null. `timestamp` is UTC, said or not.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import unquote_to_bytes

from pydantic import BaseModel, ConfigDict, Field

from anpr.countries import country
from anpr.payload import heading, instant, kind, name, number, parse_json, parts, text
from broker.errors import BadMessage
from broker.model import Ignored, Message, PlateRead, Skipped, Source

FIELDS = (
    "epoch_time",
    "hook",
    "event",
    "data",
    "camera_id",
    "timestamp",
    "timestamp_local",
    "results",
    "plate",
    "props",
    "value",
    "score",
    "region",
    "code",
    "vehicle",
    "type",
    "direction",
)
"""All that is ever read; the plate among them becomes a token."""
MARKS = (b'"plate"', b'\\"plate\\"', b"%22plate%22", b'"dscore"')
"""Bytes that tell of a plate, also in a message too broken to decode."""

FORM = b"json="
CLASSES = {
    "sedan": "auto",
    "suv": "auto",
    "van": "auto",
    "pickup truck": "auto",
    "car": "auto",
    "big truck": "vrachtwagen",
    "truck": "vrachtwagen",
    "motorcycle": "fiets",
    "bicycle": "fiets",
}
"""OSLO VkmVoertuigType by its definitions; buses are in none."""


class Options(BaseModel):
    """`options` of a source of this camera.

    `forward` is the `direction`, in degrees, that is called forward; without it directions are unknown.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    forward: float | None = Field(None, ge=0, le=360)


def decode(message: Message, source: Source, state: Mapping[str, Any]) -> list[PlateRead | Ignored | Skipped]:
    """Take the vehicles of one picture; raise BadMessage where there is no list of results."""
    del state
    document = _document(message.payload)
    data = document.get("data", document)
    if not isinstance(data, dict):
        raise BadMessage(f"data: an object was expected, found {kind(data)}")
    results = data.get("results")
    if "epoch_time" in data:
        raise BadMessage("epoch_time: of OpenALPR, not of Plate Recognizer")
    if not isinstance(results, list):
        if _event(document) == "heartbeat":
            return [Ignored("heartbeat")]
        raise BadMessage(f"results: a list was expected, found {kind(results)}")
    time = _time(data, source)
    return [_read(result, name(data.get("camera_id")), time, source) for result in results] or [Ignored("empty")]


def unwrap(payload: bytes) -> bytes:
    """The JSON out of a form, or of a field `json` that holds it as a string; anything else as it is."""
    found = payload.lstrip()
    if found[:2] == b"--":
        found = next((body for body in parts(found) if body.lstrip()[:1] == b"{"), b"")
    elif found.startswith(FORM):
        found = unquote_to_bytes(found.removeprefix(FORM).partition(b"&")[0].replace(b"+", b" "))
    if b'"json"' in found:
        document = parse_json(found)
        if isinstance(document, dict) and isinstance(document.get("json"), str):
            return str(document["json"]).encode()
    return found


def _document(payload: bytes) -> Mapping[str, Any]:
    found = parse_json(unwrap(payload))
    if not isinstance(found, dict):
        raise BadMessage(f"an object was expected, found {kind(found)}")
    return found


def _event(document: Mapping[str, Any]) -> Any:
    hook = document.get("hook")
    return hook.get("event") if isinstance(hook, dict) else None


def _time(data: Mapping[str, Any], source: Source) -> datetime | None:
    if text(data.get("timestamp")):
        return instant("timestamp", data["timestamp"], UTC)
    return instant("timestamp_local", data.get("timestamp_local"), source.timezone)


def _read(result: Any, camera: str, time: datetime | None, source: Source) -> PlateRead:
    if not isinstance(result, dict) or "plate" not in result:
        raise BadMessage("plate: missing")
    plate, score, region = _plate(result)
    vehicle = result.get("vehicle")
    body = text(vehicle.get("type")) if isinstance(vehicle, dict) else None
    return PlateRead(
        camera=camera,
        time=time,
        plate=plate,
        direction=heading(result.get("direction"), source.options.get("forward")),
        vehicle_class=CLASSES.get((body or "").lower(), "unknown"),
        country=country((text(region) or "").partition("-")[0]),
        confidence=found if (found := number(score)) is not None and 0 <= found <= 1 else None,
        no_plate=not result["plate"],
    )


def _plate(result: Mapping[str, Any]) -> tuple[str | None, Any, Any]:
    """The text, the score of the reading (not that of the detection), and the region of either schema."""
    plate = result["plate"]
    if isinstance(plate, dict):
        read, region = _first(plate, "plate"), _first(plate, "region")
        plate, score, code = read.get("value"), read.get("score"), region.get("value")
    else:
        found = result.get("region")
        score, code = result.get("score"), found.get("code") if isinstance(found, dict) else None
    if not isinstance(plate, (str, type(None))):
        raise BadMessage(f"plate: text was expected, found {kind(plate)}")
    return plate, score, code


def _first(plate: Mapping[str, Any], field: str) -> Mapping[str, Any]:
    """The likeliest of a property's values, which comes first."""
    props = plate.get("props")
    values = props.get(field) if isinstance(props, dict) else None
    first = values[0] if isinstance(values, list) and values else None
    return first if isinstance(first, dict) else {}
