"""Amsterdam's travel times: `amsterdamTravelTimes`, computed from number plates for sections, trajectories, lanes.

Specification: https://github.com/Amsterdam/waarnemingen-voertuigen (and its predecessor `reistijden-api`). Each
kind of a value (`raw`, `representative`, `processed`, `predicted`) is a qualifier, as is a lane or a class of a
count. What is of fewer vehicles than the minimum, or of a number that is not told, is skipped; -1 is no data; a
message with one vehicle's trip (`individualTravelTimeData`) is refused as personal. Of an estimate, which rests on
a model, it is taken how good the publisher says it is (`dataQuality`), also where the estimate is not.
"""

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from lxml import etree

from broker.errors import BadMessage
from broker.model import Ignored, Inventory, Message, Place, Reading, Signal, Skipped, Source
from ingest import travel
from ingest.payload import degrees, geometry
from ingest.times import moment
from ingest.travel import Options, Scope, child, children, text

__all__ = ["Options", "decode"]

Item = Reading | Place | Signal | Inventory | Ignored | Skipped


def decode(message: Message, source: Source, state: Mapping[str, Any]) -> list[Item]:
    """Take the values of every site. Raises BadMessage (`personal`) where one vehicle's trip is among them."""
    del state
    root = travel.parse(message.payload)
    if travel.name(root) != "amsterdamTravelTimes":
        raise BadMessage("payload: expected amsterdamTravelTimes, found another element")
    found = [
        item
        for publication in children(root, "payloadPublication")
        for site in children(publication, "siteMeasurements")
        for item in _site(site, publication, source)
    ]
    return [*travel.taken(found)]


def _site(site: etree._Element, publication: etree._Element, source: Source) -> Iterator[travel.Item]:
    reference = child(site, "measurementSiteReference")
    thing = "" if reference is None else str(reference.get("id", "")).strip()
    if not thing:
        raise BadMessage("measurementSiteReference: expected an id, found none")
    period = child(publication, "measurementPeriod")
    times = [_time(text(period, f"measurement{which}Time"), source) for which in ("Start", "End")]
    of = travel.scope(source, thing, *times)
    for data in children(site, "travelTimeData"):
        yield from _travel_time(data, of)
    for flow in children(child(site, "trafficFlowData"), "measuredFlow"):
        yield from _flow(flow, of)
    yield from _place(reference, of)


def _time(written: str, source: Source) -> datetime | None:
    return moment(written, source.timezone, "measurementPeriod") if written else None


def _travel_time(data: etree._Element, of: Scope) -> Iterator[travel.Item]:
    kind = str(data.get("travelTimeType", ""))
    vehicles = _vehicles(data)
    error = text(data, "dataError").lower() == "true"
    values = [
        travel.value(of, key, None if error else text(data, field), unit, kind, vehicles)
        for key, field, unit in (("travelTime", "travelTime", "s"), ("travelSpeed", "trafficSpeed", "km/h"))
        if child(data, field) is not None
    ]
    yield from values
    if any(isinstance(one, Reading) for one in values) or (data.get("estimationType") and not error):
        yield from travel.quality(of, data.get("dataQuality"), kind)


def _vehicles(data: etree._Element) -> int | None:
    """Give the number of vehicles: the attribute, or the sum of the classes; the lower, where both are there."""
    told = data.get("numberOfInputValuesUsed")
    classes = [
        travel.whole(one.get("count")) for one in children(child(data, "numberOfInputValuesUsed"), "category")
    ]
    numbers = [travel.whole(told)] if told is not None else []
    if classes:
        numbers.append(None if None in classes else sum(filter(None, classes)))
    known = [number for number in numbers if number is not None]
    return min(known) if known and len(known) == len(numbers) else None


def _flow(flow: etree._Element, of: Scope) -> Iterator[travel.Item]:
    """Take the count of a lane, and of each class in it: they need not add up."""
    lane = str(flow.get("specificLane", ""))
    yield travel.count(of, text(flow, "vehicleFlow"), lane)
    for category in children(child(flow, "numberOfInputValuesUsed"), "category"):
        kind = str(category.get("type", "")).strip()
        if kind:
            yield travel.count(of, category.get("count"), ".".join(filter(None, (lane, kind))))
        else:
            yield Skipped("vehiclePassageCount", "class without a name")


def _place(reference: etree._Element | None, of: Scope) -> Iterator[travel.Item]:
    """Give a camera's point, or the line through the first camera of each location of a section."""
    found = child(reference, "locationContainedInItinerary")
    locations = children(reference if found is None else found, "location")
    cameras = (child(location, "lane", "camera", "coordinates") for location in locations)
    points = [[degrees(at.get("longitude")), degrees(at.get("latitude"))] for at in cameras if at is not None]
    if points:
        line = (
            {"type": "LineString", "coordinates": points}
            if points[1:]
            else {"type": "Point", "coordinates": points[0]}
        )
        place = geometry(of.thing, line, of.time)
        title = text(reference, "measurementSiteName")
        yield place._replace(name=title or None) if isinstance(place, Place) else place
