"""Travel times and flows that somebody else computed from number plates: what of them may be taken.

They are personal: a value of few vehicles is the trip of one. The vocabulary says so of their properties, so they
are published as cells only; and what rests on fewer vehicles than a cell would need, or on a number that is not
told, is not taken at all. What is of one vehicle is refused with all that it came with.
"""

from collections.abc import Iterator
from datetime import datetime
from math import isfinite
from typing import Any, NamedTuple

from lxml import etree
from pydantic import BaseModel, ConfigDict, Field

from anpr.payload import local, parse_xml
from broker.errors import BadMessage
from broker.model import Ignored, Place, Reading, Skipped, Source

Item = Reading | Place | Ignored | Skipped

TRIPS, COUNTS = 10, 5
"""Fewest vehicles of a travel time or speed, and of a count: the minimums of cells."""
NO_DATA, UNKNOWN = "no data", "unknown number of vehicles"
OF_ONE = {
    "individualTravelTimeData",
    "individualVehicleDataValues",
    "licensePlate",
    "vehicleRegistrationPlateIdentifier",
    "vehicleRegistrationNumber",
}
"""Elements that tell of one vehicle."""


class Options(BaseModel):
    """`[source.options]`: the fewest vehicles that a travel time or a speed, and a count, must rest on."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    minimum: int = Field(default=TRIPS, ge=TRIPS)
    minimum_count: int = Field(default=COUNTS, ge=COUNTS)


class Scope(NamedTuple):
    """What the values of a site share."""

    thing: str
    time: datetime | None
    end: datetime | None
    minimum: int
    minimum_count: int


def scope(source: Source, thing: str, time: datetime | None, end: datetime | None = None) -> Scope:
    """Give the scope of a site, with the minimums of the source."""
    options = Options.model_validate(dict(source.options))
    return Scope(thing[:256], time, end, options.minimum, options.minimum_count)


def parse(payload: bytes) -> etree._Element:
    """Read the XML, without entities or network. Raises BadMessage, `personal` where it tells of one vehicle."""
    root = parse_xml(payload)
    if any(name(element) in OF_ONE for element in root.iter("*")):
        raise BadMessage("payload: expected values of many vehicles, found one of one", reason="personal")
    return root


def taken(found: list[Item]) -> list[Item]:
    """Give what a message became; Ignored where it has no data."""
    if all(isinstance(item, Skipped) and item.reason == NO_DATA for item in found):
        return [Ignored(NO_DATA)]
    return found


def value(of: Scope, key: str, written: Any, unit: str, qualifier: str, vehicles: int | None) -> Item:
    """Give a travel time or speed of so many vehicles, or why it is not taken; -1 stands for nothing."""
    number = positive(written)
    if number is None:
        return Skipped(named(key, qualifier), NO_DATA)
    if vehicles is None:
        return Skipped(named(key, qualifier), UNKNOWN)
    if vehicles < of.minimum:
        return Skipped(named(key, qualifier), f"fewer than {of.minimum} vehicles")
    return Reading(of.thing, key, number, of.time, unit, of.end, qualifier)


def count(of: Scope, written: Any, qualifier: str) -> Item:
    """Give a count of vehicles, or why it is not taken."""
    number = positive(written)
    if number is None:
        return Skipped(named("vehiclePassageCount", qualifier), NO_DATA)
    if number < of.minimum_count:
        return Skipped(named("vehiclePassageCount", qualifier), f"fewer than {of.minimum_count} vehicles")
    return Reading(of.thing, "vehiclePassageCount", number, of.time, "1", of.end, qualifier)


def quality(of: Scope, written: Any, qualifier: str) -> Iterator[Item]:
    """Give how good the publisher says its value is (per cent), where it says so."""
    number = positive(written)
    if number is not None:
        yield Reading(of.thing, "travelTimeQuality", number, of.time, "%", of.end, qualifier)


def positive(written: Any) -> float | None:
    """Read a number of 0 and more; None for anything else."""
    try:
        number = float(written)
    except (TypeError, ValueError):
        return None
    return number if isfinite(number) and number >= 0 else None


def whole(written: Any) -> int | None:
    """Read a number of vehicles; None for anything else."""
    number = positive(written)
    return int(number) if number is not None and number == int(number) else None


def named(key: str, qualifier: str) -> str:
    """Name a value that is not taken."""
    return f"{key}.{qualifier}" if qualifier else key


def name(element: etree._Element) -> str:
    """Give an element's name without its namespace."""
    return local(str(element.tag))


def children(element: etree._Element | None, wanted: str) -> list[etree._Element]:
    """Give the children of a name; none of no element."""
    return [] if element is None else [child for child in element if name(child) == wanted]


def child(element: etree._Element | None, *path: str) -> etree._Element | None:
    """Give the first child of a name, and of that the first of the next."""
    for step in path:
        element = next(iter(children(element, step)), None)
    return element


def text(element: etree._Element | None, *path: str) -> str:
    """Give the text of such a child; "" where there is none."""
    found = child(element, *path)
    return "" if found is None else (found.text or "").strip()
