"""OpenALPR and Rekor Scout: the JSON that the agent posts, or leaves in its queue.

https://docs.rekor.ai/scout/application-integration/json-group-results
A group is one vehicle, with times in milliseconds. Where an agent makes groups, its results of single frames
(`alpr_results`) are the same vehicles again, and ignored, unless `count = "results"`. The open-source alprd knows
no groups, gives its messages no `data_type`, and counts in seconds. Candidates, other readings, are never taken.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from anpr.countries import country
from anpr.payload import heading, instant, kind, name, number, parse_json, text
from broker.errors import BadMessage
from broker.model import Ignored, Message, PlateRead, Skipped, Source

FIELDS = (
    "data_type",
    "camera_id",
    "site_id",
    "agent_uid",
    "uuid",
    "best_uuid",
    "epoch_time",
    "epoch_start",
    "best_plate",
    "best_plate_number",
    "best_confidence",
    "best_region",
    "results",
    "plate",
    "confidence",
    "region",
    "vehicle",
    "body_type",
    "name",
    "travel_direction",
)
"""All that is ever read; the plate among them becomes a token."""
MARKS = (b"best_plate", b"matches_template", b"requested_topn")
"""Bytes that tell of a plate, also in a message too broken to decode."""

OTHERS = {"heartbeat": "heartbeat", "alpr_results": "single frame", "alpr_alert": "alert", "vehicle": "no group"}
"""What else comes to the same address → why nothing is counted."""
CLASSES = {
    "sedan": "auto",
    "suv": "auto",
    "van": "auto",
    "truck": "auto",
    "tractor": "vrachtwagen",
    "motorcycle": "fiets",
}
"""OSLO VkmVoertuigType by a body type's first word; `truck-standard` is a pickup, `tractor-trailer` a lorry."""


class Options(BaseModel):
    """`options` of a source of this camera.

    `count = "results"` is for agents that send no groups: every frame of a vehicle is then a passage.
    `forward` is the `travel_direction`, in degrees, that is called forward; without it directions are unknown.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    count: Literal["groups", "results"] = "groups"
    forward: float | None = Field(None, ge=0, le=360)


def decode(message: Message, source: Source, state: Mapping[str, Any]) -> list[PlateRead | Ignored | Skipped]:
    """Take the vehicle of a group, or those of a frame of alprd; raise BadMessage where it is neither."""
    del state
    document = _object(parse_json(message.payload), "the message")
    about = document.get("data_type")
    if about == "alpr_group" or (about is None and "best_plate_number" in document):
        return [_group(document, source)]
    if about is None or (about == "alpr_results" and source.options.get("count") == "results"):
        return _frame(document, source)
    if isinstance(about, str) and about in OTHERS:
        return [Ignored(OTHERS[about])]
    raise BadMessage("data_type: not one of OpenALPR")


def _group(document: Mapping[str, Any], source: Source) -> PlateRead:
    best = document.get("best_plate")
    best = best if isinstance(best, dict) else {"plate": best}
    plate = _plate(document.get("best_plate_number", best.get("plate")), "best_plate_number")
    return PlateRead(
        camera=_camera(document),
        time=instant("epoch_start", document.get("epoch_start"), source.timezone),
        plate=plate,
        event=text(document.get("best_uuid")),
        direction=heading(document.get("travel_direction"), source.options.get("forward")),
        vehicle_class=_class(document.get("vehicle")),
        country=_country(document.get("best_region", best.get("region"))),
        confidence=_percent(document.get("best_confidence", best.get("confidence"))),
    )


def _frame(document: Mapping[str, Any], source: Source) -> list[PlateRead | Ignored | Skipped]:
    results = document.get("results")
    if not isinstance(results, list) or "epoch_time" not in document:
        raise BadMessage("results: a list with an epoch_time was expected")
    time = instant("epoch_time", document["epoch_time"], source.timezone)
    reads = [_result(_object(result, "results"), document, time, source) for result in results]
    uuid = text(document.get("uuid"))
    if uuid is not None:
        reads = [read._replace(event=f"{uuid} {index}") for index, read in enumerate(reads)]
    return [*reads] or [Ignored("empty")]


def _result(
    result: Mapping[str, Any], document: Mapping[str, Any], time: datetime | None, source: Source
) -> PlateRead:
    if "plate" not in result:
        raise BadMessage("plate: missing")
    return PlateRead(
        camera=_camera(document),
        time=instant("epoch_time", result.get("epoch_time"), source.timezone) or time,
        plate=_plate(result["plate"], "plate"),
        country=_country(result.get("region")),
        confidence=_percent(result.get("confidence")),
    )


def _object(value: Any, field: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise BadMessage(f"{field}: an object was expected, found {kind(value)}")
    return value


def _plate(value: Any, field: str) -> str | None:
    if not isinstance(value, (str, type(None))):
        raise BadMessage(f"{field}: text was expected, found {kind(value)}")
    return value


def _camera(document: Mapping[str, Any]) -> str:
    """Numbers of cameras are those of a site, or else of an agent."""
    camera, site = name(document.get("camera_id")), name(document.get("site_id") or document.get("agent_uid"))
    return f"{site}-{camera}" if site and camera else camera


def _class(vehicle: Any) -> str:
    """The likeliest body type, which comes first."""
    bodies = vehicle.get("body_type") if isinstance(vehicle, dict) else None
    first = bodies[0] if isinstance(bodies, list) and bodies else None
    body = text(first.get("name")) if isinstance(first, dict) else None
    return CLASSES.get((body or "").lower().partition("-")[0], "unknown")


def _country(value: Any) -> str | None:
    """`be` and `us-mo` begin with the country, `eu-be` ends with it."""
    return country((text(value) or "").lower().removeprefix("eu-").partition("-")[0])


def _percent(value: Any) -> float | None:
    found = number(value)
    return found / 100 if found is not None and 0 <= found <= 100 else None
