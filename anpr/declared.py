"""Cameras that the configuration describes: where plate, time and the rest stand, and what their words mean."""

import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime, tzinfo
from typing import Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, field_validator

from anpr.countries import country
from anpr.payload import instant, kind, lane, name, number, text
from broker.errors import BadMessage
from broker.model import Ignored, PlateRead, Skipped, Source

PATHS = (
    "plate",
    "passages",
    "camera",
    "event",
    "confidence",
    "direction",
    "lane",
    "vehicle_class",
    "country",
    "speed",
)
"""Options that are a path; `time` is one or several."""
MISSING = object()
"""What `take` gives where there is nothing, not even null."""
DIRECTIONS = {
    "forward": "forward",
    "approach": "forward",
    "approaching": "forward",
    "towards": "forward",
    "reverse": "reverse",
    "away": "reverse",
}
CLASSES = {
    "auto": "auto",
    "car": "auto",
    "van": "auto",
    "vrachtwagen": "vrachtwagen",
    "truck": "vrachtwagen",
    "lorry": "vrachtwagen",
    "fiets": "fiets",
    "bicycle": "fiets",
    "motorcycle": "fiets",
    "voetganger": "voetganger",
    "pedestrian": "voetganger",
}
"""Usual words → OSLO VkmVoertuigType, where fiets is any two-wheeler."""
Take = Callable[[str], Any]
"""What stands at a path of a passage: text, number, null; MISSING."""


class Options(BaseModel):
    """`options` of a source of such a camera: paths, and for words and numbers what they mean.

    `confidence_scale` makes a confidence one of 0–1 (0.01 for per cent), `speed_scale` a speed one in km/h
    (1.609344 for mph, 3.6 for m/s). `time` may be a list of paths, which are joined with a blank;
    `time_format` is as of `strptime`, for times that are neither ISO 8601 nor an epoch.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)
    syntax: ClassVar[re.Pattern[str]]
    example: ClassVar[str]

    plate: str
    passages: str | None = None
    camera: str | None = None
    event: str | None = None
    time: str | list[str] | None = None
    time_format: str | None = None
    confidence: str | None = None
    confidence_scale: float = 1.0
    direction: str | None = None
    directions: dict[str, Literal["forward", "reverse", "unknown"]] = {}
    lane: str | None = None
    vehicle_class: str | None = None
    vehicle_classes: dict[str, Literal["voetganger", "fiets", "auto", "vrachtwagen", "unknown"]] = {}
    country: str | None = None
    speed: str | None = None
    speed_scale: float = 1.0

    @field_validator(*PATHS, "time")
    @classmethod
    def _path(cls, value: str | list[str] | None) -> str | list[str] | None:
        given = value if isinstance(value, list) else [] if value is None else [value]
        if not all(cls.syntax.fullmatch(path) for path in given):
            raise ValueError(f"expected a path such as {cls.example}")
        return value


def paths(options: Mapping[str, Any]) -> list[str]:
    """All paths that the options name."""
    times = options.get("time") or []
    named = [options[key] for key in PATHS if options.get(key)]
    return named + ([times] if isinstance(times, str) else times)


def read(takes: list[Take], source: Source) -> list[PlateRead | Ignored | Skipped]:
    """Take the passages of a message, of which each is what its `Take` gives.

    Raises BadMessage where nothing stands at the path of the plate, which in a list is a Skipped.
    """
    if not takes:
        return [Ignored("empty")]
    found: list[PlateRead | Ignored | Skipped] = [_read(take, source) for take in takes]
    if not any(isinstance(one, PlateRead) for one in found):
        raise BadMessage("nothing stands at the path of the plate")
    return found


def configured(source: Source) -> Mapping[str, Any]:
    """The source's options; BadMessage where it has none, as when any camera is tried on a message."""
    if "plate" not in source.options:
        raise BadMessage("the path of the plate is not configured", reason="options")
    return source.options


def _read(take: Take, source: Source) -> PlateRead | Skipped:
    options = source.options

    def at(key: str) -> Any:
        return take(options[key]) if options.get(key) else None

    plate = at("plate")
    if plate is MISSING:
        return Skipped("plate", "missing")
    if isinstance(plate, (dict, list)):
        raise BadMessage(f"plate: text was expected, found {kind(plate)}")
    return PlateRead(
        camera=name(at("camera")),
        time=_time(take, source),
        plate=text(plate),
        event=text(at("event")),
        lane=lane(at("lane")),
        direction=_word(at("direction"), DIRECTIONS, options.get("directions", {})),
        vehicle_class=_word(at("vehicle_class"), CLASSES, options.get("vehicle_classes", {})),
        country=country(text(at("country"))),
        confidence=_scaled(at("confidence"), options.get("confidence_scale", 1.0), 1),
        speed=_scaled(at("speed"), options.get("speed_scale", 1.0), 400),
    )


def _time(take: Take, source: Source) -> datetime | None:
    where = source.options.get("time") or []
    found = [text(take(path)) for path in ([where] if isinstance(where, str) else where)]
    written = " ".join(part for part in found if part is not None)
    if not found or None in found:
        return None
    form = source.options.get("time_format")
    return (
        instant("time", written, source.timezone) if form is None else _formatted(written, form, source.timezone)
    )


def _formatted(written: str, form: str, zone: tzinfo) -> datetime:
    with suppress(ValueError, OverflowError):
        time = datetime.strptime(written, form)  # noqa: DTZ007 - its zone is in the format, or the source's
        return (time if time.tzinfo else time.replace(tzinfo=zone)).astimezone(UTC)
    raise BadMessage("time: a text that is not of the configured format", reason="time")


def _word(value: Any, usual: Mapping[str, str], own: Mapping[str, str]) -> str:
    """What a word (or number) means by the configuration, else usually."""
    found = text(value) or ""
    return own.get(found) or usual.get(found.lower(), "unknown")


def _scaled(value: Any, scale: float, high: float) -> float | None:
    found = number(value)
    return found * scale if found is not None and 0 <= found * scale <= high else None
