"""Sparkplug B 3.0: births, data and deaths of edge nodes and their devices, in protobuf.

Specification: https://sparkplug.eclipse.org/specification/version/3.0/documents/sparkplug-specification-3.0.0.pdf
A birth names its metrics; after it a metric may come with its alias alone, so births are remembered. Where one
is missing, or a number of the sequence is, the edge node is asked for a rebirth (`[source.options]`
`rebirth = false`: never). Values of births are measurements too: what is so at that time.
"""

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from math import isfinite
from typing import Any, NamedTuple

from pydantic import BaseModel, ConfigDict

from broker.errors import BadMessage
from broker.model import Ignored, Inventory, Message, Place, Reading, Reply, Signal, Skipped, Source
from ingest import units
from ingest.rules import MAX_NAME
from ingest.sparkplug import Metric, Payload, read, rebirth
from ingest.times import epoch

TOPICS = ("spBv1.0/#",)
"""Its usual topics."""

Item = Reading | Place | Signal | Inventory | Ignored | Skipped | Reply

NAMESPACE = "spBv1.0"
GOOD = 192
"""The `Quality` of a metric that can be trusted; 0 is bad, 500 stale."""

_QUALITIES = {0: "bad quality", 500: "stale"}
_SIGNED = {1: 8, 2: 16, 3: 32, 4: 64}
_UNSIGNED, _FLOATS, _BOOLEAN, _DATE = {5, 6, 7, 8}, {9, 10}, 11, 13
_TEXTS = {12, 14, 15}
_NO_VALUES = {16: "dataset", 17: "bytes", 18: "file", 19: "template", 20: "properties", 21: "properties"}
_ARRAYS = range(22, 35)
_COMMANDS = ("Node Control/", "Device Control/")
_UNIT_KEYS = ("engunit", "engunits", "engineeringunit", "engineeringunits", "unit", "units")
_UNIT_IN_NAME = re.compile(r"(.*\S)\s*[(\[]([^()\[\]]{1,16})[)\]]")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Options(BaseModel):
    """`[source.options]` of this format."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    rebirth: bool = True
    """Ask an edge node for a rebirth where its births are not known."""


class Topic(NamedTuple):
    """`spBv1.0/{group}/{kind}/{edge}[/{device}]`."""

    kind: str
    edge: str
    """`{group}/{edge}`."""
    thing: str
    """The edge, or `{group}/{edge}/{device}`."""
    command: str
    """Where the edge node listens."""


class Known(NamedTuple):
    """A metric with what its birth said of it."""

    name: str
    kind: int
    unit: str | None


def decode(message: Message, source: Source, state: Mapping[str, Any]) -> list[Item]:
    """Take the metrics of births and data; births are remembered, deaths forget them."""
    levels = _levels(message.topic)
    if levels[1:2] == ["STATE"]:
        return [Ignored("state")]
    topic = _topic(levels)
    if topic.kind in {"NCMD", "DCMD"}:
        return [Ignored("command")]
    payload = read(message.payload)
    if topic.kind in {"NDEATH", "DDEATH"}:
        return [*_sequence(topic, payload, message, state), *_death(topic, payload, state), Ignored("death")]
    found = _sequence(topic, payload, message, state)
    if topic.kind in {"NBIRTH", "DBIRTH"}:
        found += _birth(topic, payload, state)
    found += _data(topic, payload, state, born=topic.kind.endswith("BIRTH"))
    if any(type(item) is Reply for item in found):
        found = [item for item in found if type(item) is not Reply]
        if source.options.get("rebirth", True):
            found.append(Reply(topic.command, rebirth(message.received)))
    return found or [Ignored("no metrics")]


def _levels(topic: str) -> list[str]:
    """Return the levels from the namespace on; a bridge may have put its own before it."""
    levels = topic.split("/")
    if NAMESPACE not in levels:
        raise BadMessage(f"topic: expected {NAMESPACE}/…, found another namespace", reason="topic")
    return levels[levels.index(NAMESPACE) :]


def _topic(levels: list[str]) -> Topic:
    if len(levels) not in {4, 5} or not all(levels):
        raise BadMessage(f"topic: expected {NAMESPACE}/group/type/edge[/device]", reason="topic")
    _, group, kind, edge, *device = levels
    if kind not in {f"{'D' if device else 'N'}{what}" for what in ("BIRTH", "DATA", "DEATH", "CMD")}:
        raise BadMessage("topic: expected a message type of Sparkplug B, found another", reason="topic")
    node = f"{group}/{edge}"
    return Topic(kind, node, "/".join([node, *device]), f"{NAMESPACE}/{group}/NCMD/{edge}")


def _sequence(topic: Topic, payload: Payload, message: Message, state: Mapping[str, Any]) -> list[Item]:
    """Follow the edge's sequence, 0 to 255: a number that is missing is counted, and asks for a rebirth."""
    if payload.seq is None:
        return []
    key, last = f"seq {topic.edge}", state.get(f"seq {topic.edge}")
    found: list[Item] = []
    if last == payload.seq or (message.duplicate and topic.kind != "NBIRTH"):
        return found  # what the MQTT broker sends again does not move it
    found.append(Inventory(key, payload.seq))
    if type(last) is int and topic.kind != "NBIRTH" and (last + 1) % 256 != payload.seq:
        found += [Skipped("seq", "sequence gap"), Reply(topic.command, b"")]
    return found


def _death(topic: Topic, payload: Payload, state: Mapping[str, Any]) -> list[Item]:
    """Forget what has died. The will of an earlier session, told by its bdSeq, may come after a new birth."""
    born = (state.get(f"birth {topic.thing}") or {}).get("bdSeq")
    died = _number(payload, "bdSeq")
    if topic.kind == "NDEATH" and born is not None and died is not None and born != died:
        return []
    return _forget(topic, state)


def _forget(topic: Topic, state: Mapping[str, Any]) -> list[Item]:
    """Forget a birth; with an edge node's also those of its devices."""
    mine = f"birth {topic.thing}"
    keys = [key for key in state if key == mine or (topic.kind[0] == "N" and key.startswith(f"{mine}/"))]
    return [Inventory(key, None) for key in keys if state[key] is not None]


def _birth(topic: Topic, payload: Payload, state: Mapping[str, Any]) -> list[Item]:
    """Remember names, types and units: {"aliases": {alias: name}, "metrics": {name: [type, unit]}}."""
    named = [metric for metric in payload.metrics if _nameable(metric.name)]
    birth = {
        "aliases": {str(metric.alias): metric.name for metric in named if metric.alias is not None},
        "metrics": {metric.name: [metric.kind, _unit(metric)] for metric in named},
        "bdSeq": _number(payload, "bdSeq"),
    }
    forgotten = _forget(topic, state) if topic.kind == "NBIRTH" else []
    return [*forgotten, Inventory(f"birth {topic.thing}", birth)]


def _number(payload: Payload, name: str) -> int | None:
    return next((one.value for one in payload.metrics if one.name == name and type(one.value) is int), None)


def _nameable(name: str) -> bool:
    return 0 < len(name) <= MAX_NAME and name.isprintable()


def _unit(metric: Metric) -> str | None:
    if not metric.properties:
        return None
    plain = {key.replace(" ", "").replace("_", "").lower(): value for key, value in metric.properties.items()}
    texts = (plain.get(key) for key in _UNIT_KEYS)
    return next((text for text in texts if type(text) is str and text.isprintable() and text), None)


def _data(topic: Topic, payload: Payload, state: Mapping[str, Any], *, born: bool) -> list[Item]:
    birth = {} if born else state.get(f"birth {topic.thing}") or {}
    found: list[Item] = []
    if not born and not birth:
        found.append(Reply(topic.command, b""))
    fallback = _time(payload.timestamp)
    aliases, metrics = birth.get("aliases", {}), birth.get("metrics", {})
    for metric in payload.metrics:
        name = metric.name or aliases.get(str(metric.alias), "")
        if not name:
            found += [Skipped(f"alias {metric.alias}"[:40], "unknown alias"), Reply(topic.command, b"")]
            continue
        kind, unit = metrics.get(name, (0, None))
        known = Known(name, metric.kind or kind, _unit(metric) or unit)
        found.append(_taken(topic.thing, metric, known, _time(metric.timestamp) or fallback))
    return found


def _time(milliseconds: int | None) -> datetime | None:
    """Read epoch ms; None where the device has no clock (0, or since its start)."""
    if not milliseconds:
        return None
    try:
        return epoch(milliseconds)
    except BadMessage:
        return None


def _taken(thing: str, metric: Metric, known: Known, time: datetime | None) -> Item:
    """Take one metric, or say why not."""
    why = _unwanted(metric, known)
    if why:
        return Skipped(known.name[:MAX_NAME], why)
    value = _value(metric.value, known.kind)
    if value is None:
        return Skipped(known.name, "not a number" if known.kind in _FLOATS else "no value")
    name, unit = _split(known.name, known.unit)
    return Reading(thing, name, value, time, unit)


def _unwanted(metric: Metric, known: Known) -> str:
    """Say why a metric is no measurement; "" if it is one."""
    said = _named(known.name)
    if said or metric.transient or metric.null:
        return said or ("transient" if metric.transient else "null")
    if known.kind in _ARRAYS:
        return "array"
    return _NO_VALUES.get(known.kind) or metric.what or (_quality(metric) if metric.properties else "")


@lru_cache(maxsize=20_000)
def _named(name: str) -> str:
    """Say why what has this name is no measurement."""
    if not _nameable(name):
        return "name"
    if name == "bdSeq" or name.startswith(_COMMANDS):
        return "control"
    return "property of the device" if name.startswith("Properties/") else ""


def _quality(metric: Metric) -> str:
    for key, value in metric.properties.items():
        if key.lower() == "quality" and type(value) is int and value != GOOD:
            return _QUALITIES.get(value, "")
    return ""


def _value(value: Any, kind: int) -> float | str | bool | None:
    """Return the value as its type has it; signed whole numbers are two's complement on the wire."""
    if type(value) is str or value is None:
        return value or None
    if kind == _BOOLEAN or type(value) is bool:
        return bool(value)
    if type(value) is float:
        return value if isfinite(value) else None
    if kind == _DATE:
        return _date(value)
    if kind in _SIGNED:
        bits = _SIGNED[kind]
        value &= (1 << bits) - 1
        return int(value - (1 << bits) if value >> (bits - 1) else value)
    return int(value)


def _date(milliseconds: int) -> str | None:
    try:
        return (_EPOCH + timedelta(milliseconds=milliseconds)).isoformat().replace("+00:00", "Z")
    except OverflowError:
        return None


@lru_cache(maxsize=20_000)
def _split(name: str, unit: str | None) -> tuple[str, str | None]:
    """Take a unit out of a name, `Supply Voltage (V)`, where there is no other."""
    match = _UNIT_IN_NAME.fullmatch(name)
    if match and units.code(match[2]):
        return match[1], unit or match[2]
    return name, unit
