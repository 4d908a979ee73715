"""Frigate: the end of each event, and the plates of `tracked_object_update`, which carry the same id.

https://docs.frigate.video/integrations/mqtt
An event comes as `new`, `update` (many) and `end`, of which the end is counted. The plate may come first, on
`frigate/tracked_object_update`: id and camera are those of the event, so it is one passage. Of a vehicle the time
is when it came into view. `sub_label` and `name`, which hold what the owner calls a known plate, are never read.
"""

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from anpr.payload import heading, instant, kind, name, number, parse_json, text
from broker.errors import BadMessage
from broker.model import Ignored, Message, PlateRead, Skipped, Source

TOPICS = ("frigate/events", "frigate/tracked_object_update")
FIELDS = (
    "type",
    "after",
    "severity",
    "id",
    "camera",
    "label",
    "false_positive",
    "start_time",
    "entered_zones",
    "velocity_angle",
    "average_estimated_speed",
    "recognized_license_plate",
    "recognized_license_plate_score",
    "plate",
    "score",
    "timestamp",
)
"""All that is ever read; the plate among them becomes a token."""
MARKS = (b"recognized_license_plate",)
"""Bytes that tell of a plate, also in a message too broken to decode."""

UPDATES = {"description", "face", "lpr", "classification"}
"""Types of `tracked_object_update`."""
CLASSES = {"car": "auto", "van": "auto", "truck": "vrachtwagen", "bus": "unknown", "motorcycle": "fiets"}
"""Labels of what has a plate → OSLO VkmVoertuigType, where fiets is any two-wheeler and buses are in none."""
KILOMETRES = {"kph": 1.0, "mph": 1.609344}


class Options(BaseModel):
    """`options` of a source of this camera.

    `speed_unit` is what Frigate's `unit_system` makes of speeds: `kph` (metric, as it comes) or `mph` (imperial).
    `zones` are names of zones in the order in which who drives forward enters them; `forward` is the
    `velocity_angle` (degrees) of who drives forward, for cameras without such zones.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    speed_unit: Literal["kph", "mph"] = "kph"
    zones: list[str] = Field(default=[], min_length=2)
    forward: float | None = Field(default=None, ge=0, lt=360)


def decode(message: Message, source: Source, state: Mapping[str, Any]) -> list[PlateRead | Ignored | Skipped]:
    """Take the passage of an event that has ended, or of a plate; raise BadMessage for anything else."""
    del state
    document = parse_json(message.payload)
    if not isinstance(document, dict):
        raise BadMessage(f"an object was expected, found {kind(document)}")
    step = text(document.get("type")) or ""
    if "after" in document:
        return [_event(step, document["after"], source)]
    if step not in UPDATES or not text(document.get("id")):
        raise BadMessage("neither an event nor an update of a tracked object")
    return [_plate(document, source) if step == "lpr" else Ignored("not_a_plate")]


def _event(step: str, after: Any, source: Source) -> PlateRead | Ignored:
    if step not in {"new", "update", "end"} or not isinstance(after, dict):
        raise BadMessage("after: an event's state was expected")
    if "severity" in after:
        return Ignored("review")
    if "label" not in after:
        raise BadMessage("label: missing")
    if step != "end":
        return Ignored("not_ended")
    plate, score = _recognised(after)
    label = text(after["label"]) or ""
    if after.get("false_positive") is True or (plate is None and label not in CLASSES):
        return Ignored("no_vehicle")
    return PlateRead(
        camera=name(after.get("camera")),
        time=instant("start_time", after.get("start_time"), source.timezone),
        plate=plate,
        event=text(after.get("id")),
        direction=_direction(after, source.options),
        vehicle_class=CLASSES.get(label, "unknown"),
        confidence=_confidence(score),
        speed=_speed(number(after.get("average_estimated_speed")), source),
    )


def _recognised(after: Mapping[str, Any]) -> tuple[str | None, Any]:
    """The plate and its score, which some versions give as a pair."""
    plate, score = after.get("recognized_license_plate"), after.get("recognized_license_plate_score")
    if isinstance(plate, list) and len(plate) == 2:
        plate, score = plate
    if plate is not None and not isinstance(plate, str):
        raise BadMessage(f"recognized_license_plate: text was expected, found {kind(plate)}")
    return plate or None, score


def _plate(update: Mapping[str, Any], source: Source) -> PlateRead:
    plate = update.get("plate")
    if not isinstance(plate, str):
        raise BadMessage(f"plate: text was expected, found {kind(plate)}")
    return PlateRead(
        camera=name(update.get("camera")),
        time=instant("timestamp", update.get("timestamp"), source.timezone),
        plate=plate,
        event=text(update["id"]),
        confidence=_confidence(update.get("score")),
    )


def _direction(after: Mapping[str, Any], options: Mapping[str, Any]) -> str:
    """By the first and the last of the configured zones that it entered, else by its angle."""
    zones, entered = options.get("zones", []), after.get("entered_zones")
    known = [zones.index(zone) for zone in entered if zone in zones] if isinstance(entered, list) else []
    if not known or known[0] == known[-1]:
        return heading(after.get("velocity_angle"), options.get("forward"))
    return "forward" if known[0] < known[-1] else "reverse"


def _confidence(score: Any) -> float | None:
    value = number(score)
    return value if value is not None and 0 <= value <= 1 else None


def _speed(value: float | None, source: Source) -> float | None:
    """km/h; 0 is not measured."""
    kilometres = (value or 0.0) * KILOMETRES[source.options.get("speed_unit", "kph")]
    return kilometres if 0 < kilometres <= 400 else None
