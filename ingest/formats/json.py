"""Any JSON: the fields that the configuration names, or, without it, every number and boolean under its own name.

Specification: RFC 8259, https://www.rfc-editor.org/rfc/rfc8259. `[source.options]` may hold

    thing = "device.id"                      # where the device names itself
    time = "readings[*].ts"                  # [*]: each item's own
    fields = [{ path = "readings[*].t", property = "airTemperature", unit = "Cel", qualifier = "roof" }]

Without `fields` the time and the device are looked for under their usual names.
"""

import re
from collections.abc import Iterator, Mapping
from datetime import datetime
from functools import lru_cache
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict

from broker.errors import BadMessage
from broker.model import Ignored, Inventory, Message, Place, Reading, Signal, Skipped, Source
from broker.remembered import remembered
from broker.vocabulary import plain
from ingest.payload import Scope, expect, parse, role, times, values
from ingest.rules import read_number
from ingest.times import agreed, is_epoch, moment

Item = Reading | Place | Signal | Inventory | Ignored | Skipped
Path = tuple[str | int | None, ...]
"""Keys and indexes; None is [*]."""

_STEP = re.compile(r"([^.\[\]]+)|\[(\d+|\*)\]|\.")
_EUI = re.compile(r"[0-9A-Fa-f]{16}")
_DEVICE_KEYS = (
    "deveui", "eui", "deviceid", "device", "sensorid", "sensor", "thingid", "thing", "nodeid", "node", "stationid",
    "station", "serialnumber", "serial", "imei", "mac", "macaddress", "esp8266id", "clientid", "devicename", "id",
)  # fmt: skip
_RANKS = {name: rank for rank, name in enumerate(_DEVICE_KEYS)}
_UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")


@lru_cache(maxsize=4096)
def path(text: str) -> Path:
    """Read `data.readings[*].value` or `[0].t`. Raises ValueError where it is no path."""
    steps: list[str | int | None] = []
    end = 0
    for match in _STEP.finditer(text):
        if match.start() != end:
            break
        end = match.end()
        if match[1]:
            steps.append(match[1])
        elif match[2]:
            steps.append(None if match[2] == "*" else int(match[2]))
    if not steps or end != len(text):
        raise ValueError('expected a path such as "data.readings[*].value"')
    return tuple(steps)


def _valid(text: str) -> str:
    path(text)
    return text


def _impersonal(text: str) -> str:
    if any(isinstance(step, str) and role(step) == "personal" for step in path(text)):
        raise ValueError("expected no number plate: it is for cameras, not for this format")
    return text


PathText = Annotated[str, AfterValidator(_valid)]


class Field(BaseModel):
    """One value of the payload."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    path: Annotated[PathText, AfterValidator(_impersonal)]
    property: str | None = None
    """Vocabulary key or own name; the last key of the path if absent."""
    unit: str | None = None
    qualifier: str = ""


class Options(BaseModel):
    """`[source.options]` of this format."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    thing: PathText | None = None
    time: PathText | None = None
    fields: list[Field] = []


def decode(message: Message, source: Source, state: Mapping[str, Any]) -> list[Item]:
    """Take the configured fields, else every number and boolean."""
    del state
    document = parse(message.payload)
    if source.options.get("fields"):
        return _configured(document, source)
    if type(document) is list:
        found = [item for entry in document for item in _object(expect(entry, dict, "an item"), source)]
    elif type(document) in {int, float, bool}:
        found = [Reading("", _topic_name(message.topic, source), document, None)]
    else:
        found = _object(expect(document, dict, "payload"), source)
    return found or [Ignored("no value")]


def _configured(document: Any, source: Source) -> list[Item]:
    options = source.options
    things, times = _located(document, options.get("thing")), _located(document, options.get("time"))
    found: list[Item] = []
    for field in options["fields"]:
        qualifiers = _located(document, field.get("qualifier", "").removeprefix("$")) if _refers(field) else {}
        for index, value in _resolve(document, path(field["path"])):
            when = _nearest(times, index)
            time = None if when is None else moment(when, source.timezone, options["time"])
            base = Reading(_text(_nearest(things, index)), _property(field), 0.0, time, field.get("unit"))
            alone = index in times or not index
            qualifier = _text(_nearest(qualifiers, index)) if qualifiers else field.get("qualifier", "")
            numbered = "" if alone else ".".join(map(str, index))
            found.append(_value(base._replace(qualifier=qualifier or numbered), value, field["path"]))
    if not found:
        names = ", ".join(field["path"] for field in options["fields"])
        raise BadMessage(f"payload: none of the configured fields ({names}) is in it", reason="fields")
    return found


def _refers(field: Mapping[str, Any]) -> bool:
    """A qualifier such as `$readings[*].lane` stands in the payload."""
    return bool(field.get("qualifier", "").startswith("$"))


def _property(field: Mapping[str, Any]) -> str:
    name = field.get("property")
    if name:
        return str(name)
    return next((step for step in reversed(path(field["path"])) if isinstance(step, str)), "value")


def _value(reading: Reading, value: Any, where: str) -> Item:
    if value is None:
        return Skipped(reading.name, "null")
    if isinstance(value, dict | list):
        raise BadMessage(f"{where}: expected a number, a boolean or a string, found {type(value).__name__}")
    return reading._replace(value=value)


def _located(document: Any, text: str | None) -> dict[tuple[int, ...], Any]:
    return dict(_resolve(document, path(text))) if text else {}


def _nearest(found: Mapping[tuple[int, ...], Any], index: tuple[int, ...]) -> Any:
    """Return what was found for the same items, or for what they are in."""
    return next((found[index[:length]] for length in range(len(index), -1, -1) if index[:length] in found), None)


def _resolve(node: Any, steps: Path, index: tuple[int, ...] = ()) -> Iterator[tuple[tuple[int, ...], Any]]:
    for depth, step in enumerate(steps):
        if step is None:
            for number, item in enumerate(node if isinstance(node, list) else ()):
                yield from _resolve(item, steps[depth + 1 :], (*index, number))
            return
        if isinstance(step, int):
            if not isinstance(node, list) or step >= len(node):
                return
        elif not isinstance(node, dict) or step not in node:
            return
        node = node[step]
    yield index, node


def _text(value: Any) -> str:
    text = str(value) if isinstance(value, str | int) and not isinstance(value, bool) else ""
    return text.lower() if len(text) == 16 and _EUI.fullmatch(text) else text


def _object(document: Mapping[str, Any], source: Source) -> list[Item]:
    time, quality = _time(document, source)
    names = _names(tuple(document))
    thing = _device(document, names) if names else ""
    found: list[Item] = [
        item
        for item in values(document, Scope(thing, time, source.timezone, text=True))
        if type(item) is not Reading
        or ((type(item.value) is not str or read_number(item.value)) and item.name not in names)
    ]
    return [_flagged(item, time, quality) for item in found] if quality else found


def _flagged(item: Item, time: datetime | None, quality: int) -> Item:
    return item._replace(quality=quality) if isinstance(item, Reading) and item.time is time else item


@remembered
def _names(keys: tuple[str, ...]) -> tuple[str, ...]:
    """Return the keys that may name the device, best first."""
    ranks = {key: rank for key in keys if (rank := _RANKS.get(plain(key))) is not None}
    return tuple(sorted(ranks, key=ranks.__getitem__))


def _device(document: Mapping[str, Any], names: tuple[str, ...]) -> str:
    """Find what the device calls itself."""
    for key in names:
        value = document[key]
        if isinstance(value, dict):
            value = _device(value, _names(tuple(value)))
        # `id` alone may be that of the message: a count or a UUID.
        if value and not (plain(key) == "id" and (type(value) is not str or _UUID.fullmatch(value))):
            text = _text(value)
            if text:
                return text
    return ""


def _time(document: Mapping[str, Any], source: Source) -> tuple[datetime | None, int]:
    """Find the time under its usual names."""
    epochs: list[datetime] = []
    texts: list[datetime] = []
    for key, value in times(document):
        (epochs if is_epoch(value) else texts).append(moment(value, source.timezone, key))
    return agreed(epochs, texts)


def _topic_name(topic: str, source: Source) -> str:
    """Name a bare value after the last topic level, unless that names the thing."""
    levels, steps = topic.split("/"), source.topic.split("/")
    wildcard = next((index for index, step in enumerate(steps) if step in {"+", "#"}), len(levels))
    named = source.thing is not None or wildcard < len(levels) - 1
    return levels[-1] if named and levels[-1] else "value"
