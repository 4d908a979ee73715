"""DATEX II travel times, versions 2 and 3: measured data of sites, and elaborated data of predefined locations.

Specification: https://docs.datex2.eu/ (`TravelTimeData` of `MeasuredDataPublication` and of
`ElaboratedDataPublication`, bare or in any envelope). The measurement alone is taken: not the reference value,
free flow or expectation that nest a travel time of their own. What is of fewer vehicles than the minimum, or of a
number that is not told (`numberOfInputValuesUsed`), is skipped; -1 and `dataError` are no data; a message with one
vehicle's data is refused as personal.
"""

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from lxml import etree

from broker.errors import BadMessage
from broker.model import Ignored, Inventory, Message, Place, Reading, Signal, Skipped, Source
from ingest import travel
from ingest.times import moment
from ingest.travel import Options, child, text

__all__ = ["Options", "decode"]

Item = Reading | Place | Signal | Inventory | Ignored | Skipped

TYPE = "{http://www.w3.org/2001/XMLSchema-instance}type"
FIRST = {"", "0", "1"}
"""Indexes of the only value of a site."""


def decode(message: Message, source: Source, state: Mapping[str, Any]) -> list[Item]:
    """Take the travel times. Raises BadMessage where there is no measured or elaborated data."""
    del state
    root = travel.parse(message.payload)
    values = [element for element in root.iter("*") if travel.name(element) == "basicData"]
    if not values:
        raise BadMessage("payload: expected basicData of DATEX II, found none")
    return [*travel.taken([item for basic in values for item in _value(basic, source)])]


def _value(basic: etree._Element, source: Source) -> Iterator[travel.Item]:
    around = {travel.name(element): element for element in reversed([*basic.iterancestors()])}
    if "basicDataReferenceValue" in around:
        return
    found = child(basic, "travelTime")
    if found is None:
        yield Skipped(str(basic.get(TYPE, "basicData")).rpartition(":")[2][:40], "no travel time")
        return
    qualifier = _qualifier(basic)
    start, end = _times(basic, around, source)
    of = travel.scope(source, _thing(basic, around), start, end)
    error = text(found, "dataError").lower() in {"true", "1"}
    vehicles = travel.whole(found.get("numberOfInputValuesUsed"))
    value = travel.value(of, "travelTime", None if error else text(found, "duration"), "s", qualifier, vehicles)
    yield value
    if isinstance(value, Reading):
        yield from travel.quality(of, found.get("supplierCalculatedDataQuality"), qualifier)


def _thing(basic: etree._Element, around: Mapping[str, etree._Element]) -> str:
    """Give the measurement site, else the predefined location of elaborated data."""
    site = child(around.get("siteMeasurements"), "measurementSiteReference")
    if site is None:
        places = (element for element in basic.iter("*") if travel.name(element).startswith("predefinedLocation"))
        site = next((element for element in places if element.get("id")), None)
    thing = "" if site is None else str(site.get("id", "")).strip()
    if not thing:
        raise BadMessage("measurementSiteReference, predefinedLocationReference: expected an id, found none")
    return thing


def _qualifier(basic: etree._Element) -> str:
    """Tell apart the values of a site: by index, and by the kind of vehicle."""
    index = next((str(element.get("index")) for element in basic.iterancestors() if element.get("index")), "")
    kind = text(basic, "forVehiclesWithCharacteristicsOf", "vehicleType")
    return ".".join(
        filter(None, ("" if index in FIRST else index[:20], "" if kind == "anyVehicle" else kind[:40]))
    )


def _times(
    basic: etree._Element, around: Mapping[str, etree._Element], source: Source
) -> tuple[datetime | None, datetime | None]:
    """Give the value's own time or period, else that of the site, else that of the publication."""
    own = child(basic, "measurementOrCalculationTime")
    inside = {} if own is None else {travel.name(element): element.text or "" for element in own.iter("*")}
    start, end = inside.get("startOfPeriod") or inside.get("timeValue"), inside.get("endOfPeriod")
    start = start or (inside.get("measurementOrCalculationTime") or "").strip()
    start = start or text(around.get("siteMeasurements"), "measurementTimeDefault")
    start = start or next((found for one in around.values() if (found := text(one, "timeDefault"))), "")
    start = start or text(around.get("payloadPublication", around.get("payload")), "publicationTime")
    return (
        moment(start.strip(), source.timezone, "time") if start else None,
        moment(end.strip(), source.timezone, "endOfPeriod") if start and end else None,
    )
