"""OGC SensorThings 1.0 and 1.1, create over MQTT: Observations on `v1.1/Datastreams(17)/Observations`.

Specification: https://docs.ogc.org/is/18-088/18-088.html#create-observation-mqtt. The message has the result, its
Datastream the unit and the observed property; unless the Datastream comes along, the configuration knows them:

    [source.options.datastreams]
    17 = { thing = "peil-leie-01", property = "waterLevel", unit = "cm" }

A key that no Observation has is refused by name: a misspelt `phenomenontime` would else become a wrong time.
"""

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any, NamedTuple, cast

from pydantic import BaseModel, ConfigDict

from broker.errors import BadMessage
from broker.model import Ignored, Inventory, Message, Place, Reading, Signal, Skipped, Source
from broker.problems import did_you_mean
from broker.remembered import remembered
from ingest.payload import MAX_VALUES, Scope, expect, geometry, parse, text_or, values
from ingest.times import interval, moment

TOPICS = ("v1.1/+/Observations", "v1.1/Observations", "v1.1/+", "v1.0/+/Observations", "v1.0/Observations")
"""Its usual topics."""

Item = Reading | Place | Signal | Inventory | Ignored | Skipped

_STEP = re.compile(r"([A-Za-z]+)(?:\((?:'([^']{1,256})'|([^()']{1,256}))\))?")
_STREAMS = ("Datastream", "MultiDatastream")
_KEYS = frozenset(
    {
        "result", "phenomenonTime", "resultTime", "resultQuality", "validTime", "parameters", "properties",
        "FeatureOfInterest", "id", *_STREAMS,
    }
)  # fmt: skip
_new: Any = tuple.__new__  # a third of what making a named tuple costs
_NONE: dict[str, Any] = {}
_MANY = "CreateObservations"


class Datastream(BaseModel):
    """What a Datastream is of."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    thing: str = ""
    property: str = "result"
    """Vocabulary key or own name."""
    unit: str | None = None
    qualifier: str = ""


class Options(BaseModel):
    """`[source.options]` of this format."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    datastreams: dict[str, Datastream] = {}
    """By the id that the topic or `@iot.id` has."""


class Path(NamedTuple):
    """What a topic says: the entity set that is written to, and the ids on the way there."""

    target: str
    stream: str
    """`Datastreams(17)`; "" where the topic names none."""
    number: str
    """The id in it."""
    thing: str
    """`Things(3)`, likewise."""


class Observed(NamedTuple):
    """What the observations of one Datastream inherit."""

    thing: str
    property: str
    unit: str | None
    qualifier: str


def decode(message: Message, source: Source, state: Mapping[str, Any]) -> list[Item]:
    """Take the result of an Observation, of several, or of a data array."""
    del state
    path = _path(message.topic)
    if path.target not in {"Observations", _MANY}:
        return [Ignored("no observation")]
    document = parse(message.payload)
    if type(document) is dict and "dataArray" not in document:
        return _observation(document, path, source)
    found: list[Item] = []
    for entity in document if type(document) is list else [document]:
        for observation in _rows(expect(entity, dict, "an Observation")):
            found += _observation(observation, path, source)
            if len(found) > MAX_VALUES:
                raise BadMessage(f"payload: expected at most {MAX_VALUES} values", reason="size")
    return found or [Ignored("no observation")]


@remembered
def _path(topic: str) -> Path:
    steps = [match for level in topic.split("/") if (match := _STEP.fullmatch(level))]
    names = [match[1] for match in steps]
    keyed = {match[1]: match for match in steps if match[2] or match[3]}
    stream, thing = keyed.get("Datastreams") or keyed.get("MultiDatastreams"), keyed.get("Things")
    target = next((name for name in reversed(names) if name[0].isupper()), "Observations")
    number = str(stream[2] or stream[3]) if stream else ""
    return Path(target, stream[0] if stream else "", number, thing[0] if thing else "")


def _rows(entity: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Unfold a data array: `{"Datastream": …, "components": ["phenomenonTime", "result"], "dataArray": [[…]]}`."""
    if "dataArray" not in entity:
        return [entity]
    names = expect(entity.get("components"), list, "components")
    shared = {key: entity[key] for key in _STREAMS if key in entity}
    rows: list[Mapping[str, Any]] = []
    for row in expect(entity["dataArray"], list, "dataArray"):
        cells = dict(zip(map(str, names), expect(row, list, "a row of dataArray"), strict=False))
        foi = cells.pop("FeatureOfInterest/id", None)
        rows.append(shared | cells | ({"FeatureOfInterest": {"@iot.id": foi}} if foi else {}))
    return rows


def _observation(entity: Mapping[str, Any], path: Path, source: Source) -> list[Item]:
    if not _KEYS.issuperset(entity):
        _understood(entity)
    if "result" not in entity:
        raise BadMessage("result: expected a value, found none")
    about = _about(entity, path, source.options.get("datastreams") or _NONE)
    start, end = _times(entity, source)
    found = _results(entity["result"], about, start, end, source)
    return [*found, *_feature(entity, about, start)] if "FeatureOfInterest" in entity else found


def _understood(entity: Mapping[str, Any]) -> None:
    for key in entity:
        if key not in _KEYS and "@" not in key:
            hint = did_you_mean(key, list(_KEYS))
            raise BadMessage(f"{key[:80]}: an Observation has no such key{hint}", reason="fields")


def _times(entity: Mapping[str, Any], source: Source) -> tuple[datetime | None, datetime | None]:
    """Return the phenomenon time; the result time stands in where there is none."""
    value = entity.get("phenomenonTime")
    if value is None:
        result = entity.get("resultTime")
        return (None if result is None else moment(result, source.timezone, "resultTime")), None
    start, end = interval(value, source.timezone, "phenomenonTime")
    if end and end < start:
        raise BadMessage(
            "phenomenonTime: expected an interval, found one that ends before it begins", reason="time"
        )
    return start, end


def _about(entity: Mapping[str, Any], path: Path, known: Mapping[str, Any]) -> Observed:
    """Return what the configuration, the Datastream that came along, or the topic says of the Datastream."""
    inline = entity.get("Datastream") or entity.get("MultiDatastream") or _NONE
    if inline is _NONE and path.number not in known:
        qualifier = path.stream if path.thing else ""
        return cast("Observed", _new(Observed, (path.thing or path.stream, "result", None, qualifier)))
    expect(inline, dict, "Datastream")
    key = _key(inline)
    given = known.get(key or path.number, _NONE)
    thing = given.get("thing") or _thing(inline) or path.thing or (f"Datastreams({key})" if key else path.stream)
    return Observed(
        thing,
        given.get("property") or _property(inline) or "result",
        given.get("unit") or _unit(inline),
        given.get("qualifier") or (path.stream if path.thing and not given else ""),
    )


def _key(entity: Any) -> str:
    value = entity.get("@iot.id", entity.get("id")) if type(entity) is dict else None
    return str(value) if type(value) in {int, str} else ""


def _thing(stream: Mapping[str, Any]) -> str:
    thing = stream.get("Thing")
    key = _key(thing)
    if key:
        return f"Things({key})"
    return text_or(thing.get("name")) if type(thing) is dict else ""


def _property(stream: Mapping[str, Any]) -> str:
    observed = stream.get("ObservedProperty")
    return text_or(observed.get("name")) if type(observed) is dict else ""


def _unit(stream: Mapping[str, Any]) -> str | None:
    unit = stream.get("unitOfMeasurement")
    return (text_or(unit.get("symbol")) or text_or(unit.get("name")) or None) if type(unit) is dict else None


def _results(
    result: Any, about: Observed, start: datetime | None, end: datetime | None, source: Source
) -> list[Item]:
    """Take a result of any kind; the parts of an array or object are told apart by index or name."""
    if result is None:
        return [Skipped(about.property, "null")]
    if type(result) not in {dict, list}:
        thing, name, unit, qualifier = about
        return [_new(Reading, (thing, name, result, start, unit, end, qualifier, 0))]
    scope = Scope(about.thing, start, source.timezone, text=True)
    parts = values({about.property: result}, scope) if type(result) is list else values(result, scope)
    return [_part(item, about, end) for item in parts]


def _part(item: Item, about: Observed, end: datetime | None) -> Item:
    if type(item) is not Reading:
        return item
    thing, name, value, time, unit, _, _, quality = item
    own = thing, name, value, time, unit or about.unit, end, about.qualifier, quality
    return cast("Reading", _new(Reading, own))


def _feature(entity: Mapping[str, Any], about: Observed, start: datetime | None) -> list[Item]:
    """Return the place of the feature of interest, where it comes along."""
    feature = entity.get("FeatureOfInterest")
    shape = feature.get("feature") if type(feature) is dict else None
    if type(shape) is dict and shape.get("type") == "Feature":
        shape = shape.get("geometry")
    return [geometry(about.thing, shape, start)] if type(shape) is dict else []
