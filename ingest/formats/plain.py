"""A plain value per topic: `21.5`, `21,5 °C`, `true` or `off` on `…/station/temperature`.

Specification: https://docs.oasis-open.org/mqtt/mqtt/v3.1.1/mqtt-v3.1.1.html (a topic and bytes, no more).
The last topic level names the property, the levels before it the thing: from the filter's first wildcard on,
all of them without one. A last level `state` or `value` says nothing, so the one before it is the name (ESPHome:
`bureau/sensor/temperature/state`). `[source.options]` may say `property`, `unit` and `qualifier` of every value.
"""

import re
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict

from broker.errors import BadMessage
from broker.model import Ignored, Inventory, Message, Place, Reading, Signal, Skipped, Source
from broker.remembered import remembered
from ingest.rules import read_boolean, read_number
from ingest.text import text

Item = Reading | Place | Signal | Inventory | Ignored | Skipped

_MAX_LENGTH = 64
_PADDED = re.compile(r"[+-]?(?:\d{1,15}(?:\.\d{0,30})?|\.\d{1,30})", re.ASCII)
"""Numbers as printf may write them: `007.50`, `.5`, `21.`."""
_SAYING_NOTHING = frozenset({"state", "value", "status", "raw", "current", "status_value"})
_KINDS = frozenset({"sensor", "binary_sensor", "number", "switch", "sensors"})
"""Levels that name the kind of what follows."""
_NOTHING = frozenset({"nan", "unavailable", "unknown", "none", "null", "-"})


class Options(BaseModel):
    """`[source.options]` of this format."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    property: str | None = None
    """Vocabulary key or own name; the topic's if absent."""
    unit: str | None = None
    qualifier: str = ""


def decode(message: Message, source: Source, state: Mapping[str, Any]) -> list[Item]:
    """Take the one value. Raises BadMessage for what is neither a number nor a boolean."""
    del state
    thing, name = _named((message.topic, source.topic, source.thing is not None))
    if name.startswith("$"):
        return [Ignored("attribute")]  # Homie's description of a device
    words = text(message.payload).strip('"').strip()
    if not words:
        return [Ignored("empty")]
    if words.lower() in _NOTHING:
        return [Skipped(name, "unavailable")]
    value, unit = _value(words)
    options = source.options
    told = options.get("property") or name
    return [Reading(thing, told, value, None, options.get("unit") or unit, None, options.get("qualifier") or "")]


def _value(words: str) -> tuple[float | bool, str | None]:
    found = read_number(words) if len(words) <= _MAX_LENGTH else None
    if found:
        return found
    if _PADDED.fullmatch(words):
        return float(words), None
    on = read_boolean(words)
    if on is None:
        raise BadMessage("payload: expected one number or boolean, found another text")
    return on, None


@remembered
def _named(key: tuple[str, str, bool]) -> tuple[str, str]:
    """Return thing and property; "" for a thing that a template or the filter's wildcard names."""
    topic, topic_filter, template = key
    levels = [level for level in topic.split("/") if level]
    if not levels:
        raise BadMessage("topic: expected a level that names the property, found none", reason="name")
    steps = topic_filter.split("/")
    first = next((index for index, step in enumerate(steps) if step in {"+", "#"}), 0)
    end = len(levels) - 1
    while end > 1 and levels[end].lower() in _SAYING_NOTHING:
        end -= 1
    name, before = levels[end], levels[:end]
    if before and before[-1] in _KINDS and len(before) > 1:
        before = before[:-1]
    if template:
        return "", name
    offset = len(topic.split("/")) - len(levels)  # a leading slash
    own = before[max(first - offset, 0) :] or before
    return "/".join(own) or name, name
