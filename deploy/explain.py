"""Field by field: what is taken of a message, what it becomes, what is left out, and why.

Generic over all formats: it asks the decoder for its items, the normaliser for what each becomes, and the payload
for the fields that nobody took. Of a camera's message only names and types of fields are told, and of fields that
were not taken never the value.
"""

from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

from anpr.keys import KeyStore
from anpr.plate import Reader
from broker import modules, vocabulary
from broker.config import Config
from broker.errors import BadMessage
from broker.identity import identify
from broker.model import (
    Ignored,
    Inventory,
    Message,
    Observation,
    Passage,
    Place,
    Quality,
    Reading,
    Signal,
    Skipped,
    Source,
)
from ingest.envelope import opened
from ingest.normalise import Normaliser
from ingest.payload import own_time, parse, role
from ingest.rules import Rule, Rules, read_number

MOST = 200
"""Fields that nobody took, of which each has a line."""
FLAGS = {
    Quality.SPREAD: "same time as another value: moved by 1 µs",
    Quality.CLOCK: "its times contradict each other: the epoch won",
    Quality.RECEIVED: "no time of its own: the receive time",
    Quality.PARTIAL: "measured during a part of the interval",
    Quality.SPIKE: "a spike",
    Quality.STUCK: "the same for too long",
}
ROLES = {
    "time": "a time, and another one was used",
    "identity": "names something; not a measurement",
    "unit": "a unit",
    "signal": "radio quality that is not kept",
    "label": "a name; not a measurement",
}
TYPES = {dict: "object", list: "array", str: "text", bool: "boolean", int: "number", float: "number"}


class Line(NamedTuple):
    """One field: its name, what was found, what it becomes (empty for nothing), and why."""

    field: str
    found: str
    becomes: str
    why: str


class Explanation(NamedTuple):
    """All lines, and whether the message as a whole is refused."""

    lines: list[Line]
    refused: bool = False


def explain(config: Config, message: Message) -> Explanation:
    """Explain what the only source of `config` makes of a message."""
    (source,) = config.sources()
    try:
        message = opened(message)
        return _passages(config, message, source) if source.camera else _observations(message, source)
    except BadMessage as error:
        return Explanation([_refusal(error)], refused=True)


def _refusal(error: BadMessage) -> Line:
    return Line("(message)", "", "", f"refused, {error.reason}: {error}")


def _observations(message: Message, source: Source) -> Explanation:
    module = modules.load("ingest.formats")[source.format or ""]
    items = module.decode(message, source, {})
    try:
        whole = Normaliser(vocabulary.load()).normalise(items, message, source)
    except BadMessage as error:
        return Explanation([*_things(items, message, source), _refusal(error)], refused=True)
    lines = [*_things(items, message, source), *_taken(items, whole.observations, message, source)]
    if whole.ignored is not None and not any(type(item) is Ignored for item in items):
        lines.append(Line("(message)", "", "", f"ignored: {whole.ignored}"))
    return Explanation([*lines, *_untaken(items, message, source)])


def _things(items: Iterable[Any], message: Message, source: Source) -> Iterator[Line]:
    """Which things the message is about, and what says so."""
    named = dict.fromkeys(item.thing for item in items if isinstance(item, Reading | Place | Signal))
    for device in named:
        told = device or message.identity or ""
        try:
            thing = identify(source, told, message.topic)
        except BadMessage as error:
            yield _refusal(error)
            continue
        if source.thing is not None:
            why = f"the source's template {source.thing}"
        elif thing == told.strip():
            why = "the message names it" if device else "the push door was told"
        else:
            why = "the topic" + (f", since {told!r} is what any such device is called" if told else "")
        yield Line("(thing)", told, thing, why)


def _taken(
    items: Iterable[Any], observations: list[Observation], message: Message, source: Source
) -> Iterator[Line]:
    """A line for each item of the decoder, in its order."""
    normaliser, rules, left = Normaliser(vocabulary.load()), Rules(vocabulary.load()), iter(observations)
    for item in items:
        match item:
            case Reading():
                alone = normaliser.normalise([item], message, source)
                found = next(left, None) if alone.observations else None
                skipped = alone.skipped[0].reason if alone.skipped else alone.ignored or ""
                yield (
                    _reading(item, found, rules) if found else Line(item.name, _shown(item), "", _why_not(skipped))
                )
            case Skipped(name, reason):
                yield Line(name, "", "", _why_not(reason))
            case Place():
                yield Line(
                    "location", "", f"{item.geometry.get('type')} {item.geometry.get('coordinates')}", "place"
                )
            case Signal():
                for name, value in item.values.items():
                    yield Line(name, str(value), "", "radio signal: kept on the thing, no observation")
            case Inventory():
                yield Line(f"({item.key[:80]})", "", "", "remembered for later messages")
            case Ignored():
                yield Line("(message)", "", "", f"ignored: {item.reason}")


def _why_not(reason: str) -> str:
    return f"skipped: {reason}"


def _shown(reading: Reading) -> str:
    return f"{reading.value!s:.60}{' ' + reading.unit if reading.unit else ''}"


def _reading(reading: Reading, found: Observation, rules: Rules) -> Line:
    unit = reading.unit
    if isinstance(reading.value, str) and (written := read_number(reading.value)):
        unit = unit or written[1]
    rule = rules[reading.name, unit]
    stream = found.datastream
    result = found.result if found.number is None else f"{found.number:.10g}"
    name = stream.property + (f" [{stream.qualifier}]" if stream.qualifier else "")
    becomes = f"{name} = {result!s:.60} {stream.unit}".rstrip()
    reasons = _reasons(reading, unit, found, rule)
    return Line(reading.name, _shown(reading), becomes, "; ".join(reasons))


def _reasons(reading: Reading, unit: str | None, found: Observation, rule: Rule) -> Iterator[str]:
    known = vocabulary.load().get(rule.property)
    if known is None:
        yield "not in the vocabulary: kept under its own name"
    elif known.key != reading.name:
        yield f"the vocabulary's {known.key}"
    if rule.converts:
        plus = f" {'+' if rule.offset > 0 else '-'} {abs(rule.offset):.6g}" if rule.offset else ""
        yield f"converted to {rule.unit}: × {rule.scale:.6g}{plus}"
    elif known is not None and known.unit not in {"", "1"} and found.datastream.unit == known.unit and not unit:
        yield f"taken for {known.unit}"
    if found.quality & Quality.RANGE:
        yield f"flagged range: plausible is {rule.low:g} to {rule.high:g}"
    for flag, text in FLAGS.items():
        if found.quality & flag:
            yield f"flagged {str(flag.name).lower()}: {text}"


def _untaken(items: Iterable[Any], message: Message, source: Source) -> Iterator[Line]:
    """The leaves of a JSON payload that no item of the decoder came from."""
    try:
        document = parse(message.payload)
    except BadMessage:
        return
    used = _Used(items, source)
    lines = [line for path, value in _leaves(document, "") if (line := used.line(path, value))]
    yield from lines[:MOST]
    if len(lines) > MOST:
        yield Line("(more)", "", "", f"not taken: {len(lines) - MOST} more")


def _leaves(node: Any, path: str) -> Iterator[tuple[str, Any]]:
    if isinstance(node, dict | list) and node:
        pairs = node.items() if isinstance(node, dict) else enumerate(node)
        for key, value in pairs:
            yield from _leaves(value, f"{path}.{key}" if path else str(key))
    else:
        yield path or "(payload)", node


class _Used:
    """What of a payload the decoder's items came from, as far as it can be told from outside."""

    def __init__(self, items: Iterable[Any], source: Source) -> None:
        items = list(items)
        readings = [item for item in items if isinstance(item, Reading)]
        places = [item for item in items if isinstance(item, Place)]
        self._zone = source.timezone
        self._names = {item.name for item in items if isinstance(item, Reading | Skipped)}
        self._names |= {name for item in items if isinstance(item, Signal) for name in item.values}
        self._values = {(type(item.value), str(item.value)) for item in readings}
        self._words = {item.thing.lower() for item in items if isinstance(item, Reading | Place | Signal)}
        self._words |= {name.lower() for name in self._names} | {(item.unit or "").lower() for item in readings}
        self._times = {item.time for item in readings} | {item.end for item in readings}
        self._times |= {item.time for item in places}
        self._places = {float(number) for item in places for number in _numbers(item.geometry)}

    def line(self, path: str, value: Any) -> Line | None:
        """The line of a leaf that has none yet."""
        time = next((one for one in self._moments(path, value) if one in self._times), None)
        if time is not None:
            return Line(path, TYPES.get(type(value), ""), f"time = {time.isoformat()}", "the time of values")
        if self._has(path, value):
            return None
        return Line(path, TYPES.get(type(value), "null"), "", f"not taken: {_why_untaken(path, value)}")

    def _has(self, path: str, value: Any) -> bool:
        return (
            any(path == name or path.endswith("." + name) for name in self._names)
            or (type(value), str(value)) in self._values
            or (type(value) is float and value in self._places)
            or (type(value) is str and self._word(value.strip(" :/").lower()))
        )

    def _word(self, word: str) -> bool:
        """Part of a thing's identity, of a name or of a unit."""
        return any(
            word == one or (len(word) > 2 and word in one) or (len(one) > 4 and one in word) for one in self._words
        )

    def _moments(self, path: str, value: Any) -> list[datetime]:
        """What it is as a time, in the source's zone or, for formats that say so, in UTC."""
        dated = isinstance(value, str) and len(value) > 9 and value[:4].isdecimal()
        if not dated and role(path.rpartition(".")[2]) != "time":
            return []
        return [time for zone in (self._zone, UTC) if (time := own_time(value, zone)) is not None]


def _why_untaken(path: str, value: Any) -> str:
    if value is None or value in ("", [], {}):
        return "nothing in it"
    meaning = ROLES.get(role(path.rpartition(".")[2]))
    return meaning or ("a text" if isinstance(value, str) else "the format does not look for it")


def _numbers(node: Any) -> Iterator[float]:
    if isinstance(node, Mapping):
        yield from _numbers(node.get("coordinates"))
    elif isinstance(node, list | tuple):
        for inner in node:
            yield from _numbers(inner)
    elif isinstance(node, int | float):
        yield node


def _passages(config: Config, message: Message, source: Source) -> Explanation:
    """Names and types of the fields that the decoder may read, and what the passages have of them."""
    with TemporaryDirectory() as folder:
        reader = Reader(modules.load("anpr.cameras"), KeyStore(Path(folder) / "keys", config.city.id, config.zone))
        fields = reader.fields(message, source.camera or "")
        lines = [Line(name, kind, "", "one of the fields that are read") for name, kind in fields.items()]
        try:
            found = reader.read(message, source, {})
        except BadMessage as error:
            return Explanation([*lines, _refusal(error)], refused=True)
    for item in found:
        if isinstance(item, Passage):
            lines += _passage(item)
        elif isinstance(item, Skipped):
            lines.append(Line(item.name, "", "", _why_not(item.reason)))
        else:
            lines.append(Line("(message)", "", "", f"ignored: {item.reason}"))
    return Explanation([*lines, Line("(others)", "", "", "all other fields, pictures too, are never read")])


def _passage(one: Passage) -> Iterator[Line]:
    yield Line("(passage)", "", f"thing = {one.camera}", "the message names it, else the topic")
    why = "flagged received: the receive time" if one.time == one.received else "the message's own"
    yield Line("(passage)", "", f"time = {one.time.isoformat()}", why)
    plate = "the plate became a token, which is erased after its window" if one.token else "there is no token"
    yield Line("(passage)", "", f"readStatus = {one.read_status}", plate)
    told = {
        "direction": one.direction,
        "vehicleClass": one.vehicle_class,
        "country": one.country,
        "lane": one.lane,
    }
    for name, value in (told | {"confidence": one.confidence, "speed": one.speed}).items():
        unknown = value is None or value == "unknown"
        yield Line("(passage)", "", f"{name} = {'unknown' if unknown else value}", "not told" if unknown else "")
