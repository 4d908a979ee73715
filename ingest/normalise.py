"""What a decoder took → observations in the vocabulary's terms: identity, property, unit, time, plausibility.

The hot path: what a name and a unit come to is worked out once (`ingest.rules`); each value then costs one
multiply-add, two comparisons, and a look at what its datastream had before (`ingest.plausible`). Observations
are those of OGC SensorThings 1.1, https://docs.ogc.org/is/18-088/18-088.html#observation
"""

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from math import inf, isfinite
from typing import Any, NamedTuple

from broker.errors import BadMessage
from broker.identity import identify, named
from broker.model import (
    Datastream,
    Ignored,
    Inventory,
    Message,
    Observation,
    Place,
    Quality,
    Reading,
    Reply,
    Signal,
    Skipped,
    Source,
)
from broker.remembered import LONGEST
from broker.vocabulary import Vocabulary
from ingest.plausible import Memory
from ingest.rules import MAX_NAME, Rule, Rules, read_boolean, read_number

EARLIEST = datetime(1990, 1, 1, tzinfo=UTC)
MAX_TEXT = 1024
"""Characters of a text result."""

_RANGE, _SPREAD, _RECEIVED = int(Quality.RANGE), int(Quality.SPREAD), int(Quality.RECEIVED)
_TICK = timedelta(microseconds=1)
_NUL = b"\\u0000"
_NEW: Any = tuple.__new__  # a third of what making a named tuple costs
_NUMBERS = (float, int)
_NOTHING = frozenset(
    {
        "",
        "-",
        "--",
        "unavailable",
        "unknown",
        "none",
        "null",
        "nan",
        "n/a",
        "na",
        "inf",
        "-inf",
        "error",
        "undefined",
    }
)


_Taken = tuple[Rule, float | None, Any, int]
"""Rule, number, else another result, quality flags."""
MAX_STREAMS = 200_000
"""Identities come from outside: memory does not grow with them."""
MAX_STREAMS_OF_ONE = 2000
"""Datastreams in one message: more is no sensor."""


class Normalised(NamedTuple):
    """A message in the broker's terms. `ignored` says why there is no observation; None where there are some."""

    observations: list[Observation]
    places: list[Place]
    signals: list[Signal]
    inventories: list[Inventory]
    skipped: list[Skipped]
    ignored: str | None
    replies: list[Reply]


_Key = tuple[str, str, str | None, str, str | None] | tuple[str, str, str | None, str, str | None, Rule]
"""Thing, name, unit and qualifier of a reading, the part that its message is of, and a rule of the value's own."""
_Stream = tuple[Datastream, Rule, Memory | None]


class Normaliser:
    """Turns decoded messages into observations; remembers its rules from one message to the next."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self._rules = Rules(vocabulary)
        self._streams: dict[_Key, _Stream] = {}
        self._memories: dict[Datastream, Memory] = {}
        self._identities: dict[tuple[str, str | None, str, str, str | None], str] = {}

    def normalise(self, decoded: Sequence[Any], message: Message, source: Source) -> Normalised:
        """Normalise what the source's decoder took from the message.

        Raises BadMessage: `time` for a phenomenon time before 1990, beyond `source.max_future` or older than
        `source.max_age`; `identity` where nothing names the thing; `name` for a name that cannot be one; `size`
        for what would become thousands of datastreams.
        """
        readings = [item for item in decoded if type(item) is Reading]
        rest = [item for item in decoded if type(item) is not Reading] if len(readings) < len(decoded) else []
        if message.retained and readings:
            readings, rest = _timed(readings, rest)
        normalised: Normalised = _NEW(Normalised, ([], [], [], [], [], None, []))
        self._observe(readings, message, source, normalised)
        for item in rest:
            self._keep(item, message, source, normalised)
        observations = normalised.observations
        if not observations:
            return normalised._replace(ignored=_ignored(rest, normalised.skipped))
        if len(observations) > 1:
            streams = len({row.datastream for row in observations})
            if streams > MAX_STREAMS_OF_ONE:
                raise BadMessage(f"expected at most {MAX_STREAMS_OF_ONE} datastreams, found more", reason="size")
            if streams < len(observations):
                return normalised._replace(observations=_spread(observations))
        return normalised

    def _observe(self, readings: list[Reading], message: Message, source: Source, into: Normalised) -> None:
        streams, observations, new = self._streams, into.observations, _NEW
        received, part, device, thing = message.received, message.part, None, ""
        checked = received
        for own, name, value, time, unit, end, qualifier, quality in readings:
            start, flags = (time, quality) if time else (received, quality | _RECEIVED)
            if start is not checked:
                checked = _checked(start, message, source)
            if end is not None and end < start:
                raise BadMessage("time: expected an interval, found one that ends before it begins", reason="time")
            if own != device:
                device, thing = own, self._thing(own, message, source)
            key = thing, name, unit, qualifier, part
            stream, rule, memory = streams.get(key) or self._stream(key, self._rules[name, unit])
            # Nearly all values: a number in the vocabulary's unit, or one that converts to it, that is plausible.
            number: Any = value if rule.plain and type(value) in _NUMBERS else _converted(rule, value)
            result = None
            if number is None or not rule.low <= number <= rule.high:
                taken = self._taken(rule, name, value, unit)
                if isinstance(taken, Skipped):
                    into.skipped.append(taken)
                    continue
                meant, number, result, more = taken
                flags |= more
                if meant is not rule:  # a text that says its unit
                    stream, _, memory = streams.get((*key, meant)) or self._stream((*key, meant), meant)
            if memory and not flags & _RANGE:
                flags |= memory.judge(number, start)
            observations.append(new(Observation, (stream, start, end, number, result, flags)))

    def _thing(self, device: str, message: Message, source: Source) -> str:
        """Return the identity of a device of a message."""
        key = device, message.identity, message.topic, source.topic, source.thing
        thing = self._identities.get(key)
        if thing is None:
            thing = identify(source, named(device) or message.identity or "", message.topic)
            if len(self._identities) >= MAX_STREAMS:
                self._identities.clear()
            if len(device) + len(message.topic) <= LONGEST:
                self._identities[key] = thing
        return thing

    def _stream(self, key: _Key, rule: Rule) -> _Stream:
        """Work out what readings of this key belong to. Two names of one datastream share what is remembered."""
        if len(self._streams) >= MAX_STREAMS:
            self._streams.clear()
            self._memories.clear()
        thing, _, unit, qualifier, part, *_ = key
        own = (qualifier and rule.joined(qualifier)) or rule.qualifier or part or ""
        if len(own) > MAX_NAME or not own.isprintable():
            own = "".join(filter(str.isprintable, own[:MAX_NAME])).strip()
        stream = Datastream(thing, rule.property, own, rule.unit)
        memory = self._memories.get(stream)
        if memory is None and (rule.step < inf or rule.stuck < timedelta.max):
            memory = self._memories[stream] = Memory(rule.step, rule.stuck)
        found = stream, rule, memory
        if len(qualifier) + len(unit or "") <= LONGEST:
            self._streams[key] = found
        return found

    def _taken(self, rule: Rule, name: str, value: Any, unit: str | None) -> _Taken | Skipped:
        """Take a value that is no plain number: convert, read a text, or say why it is left out."""
        if rule.kind == "boolean":
            truth = read_boolean(value)
            return Skipped(name, "not a boolean") if truth is None else (rule, None, truth, 0)
        if type(value) is str:
            written = read_number(value)
            if written is None:
                return _text(rule, name, value)
            value = written[0]
            rule = self._rules[name, unit or written[1]]
        if type(value) is bool:
            return Skipped(name, "boolean") if rule.kind else (rule, None, value, 0)
        if type(value) not in _NUMBERS:
            return Skipped(name, "no value")
        return _number(rule, name, value)

    def _keep(self, item: Any, message: Message, source: Source, into: Normalised) -> None:
        """Put what is no reading where it belongs."""
        if type(item) is Signal:
            into.signals.append(_NEW(Signal, (self._thing(item.thing, message, source), _finite(item.values))))
        elif type(item) is Place:
            if item.time is not None:
                _checked(item.time, message, source)
            thing = self._thing(item.thing, message, source)
            into.places.append(Place(thing, item.geometry, item.time, item.name))
        elif type(item) is Skipped:
            into.skipped.append(item)
        elif type(item) is Inventory:
            into.inventories.append(_storable(item))
        elif type(item) is Reply:
            into.replies.append(item)


def _converted(rule: Rule, value: Any) -> float | None:
    """Return a number of another unit in the vocabulary's; None for anything else."""
    return round(value * rule.scale + rule.offset, 9) if rule.converts and type(value) in _NUMBERS else None


def _number(rule: Rule, name: str, value: float) -> _Taken | Skipped:
    number = value * rule.scale + rule.offset
    if not isfinite(number):
        return Skipped(name, "not a number")
    if rule.converts:
        number = round(number, 9)
    return rule, number, None, 0 if rule.low <= number <= rule.high else _RANGE


def _text(rule: Rule, name: str, value: str) -> _Taken | Skipped:
    word = value.strip()
    if word.lower() in _NOTHING:
        return Skipped(name, "unavailable")
    if rule.kind:
        return Skipped(name, "text")
    if len(word) > MAX_TEXT:
        return Skipped(name, "text too long")
    if "\0" in word or not (word.isascii() or word.encode("utf-8", "ignore").decode() == word):
        return Skipped(name, "control character")  # or half a surrogate pair: no database takes it
    return rule, None, word, 0


def _checked(time: datetime, message: Message, source: Source) -> datetime:
    """Return the time if the source allows it. Where a device's clock is wrong, nothing that it says is dated."""
    lead = (time - message.received).total_seconds()
    if lead > source.max_future:
        raise BadMessage(
            f"time: at most {source.max_future:g} s after the receive time, found later", reason="time"
        )
    if time < EARLIEST:
        raise BadMessage("time: since 1990, found earlier", reason="time")
    if source.max_age is not None and -lead > source.max_age:
        raise BadMessage(
            f"time: at most {source.max_age:g} s before the receive time, found earlier", reason="time"
        )
    return time


def _finite(values: Mapping[str, float | str]) -> Mapping[str, float | str]:
    """Leave out numbers that no JSON has: a signal is kept as JSON."""
    for value in values.values():
        if not isinstance(value, str) and not isfinite(value):
            return {key: one for key, one in values.items() if isinstance(one, str) or isfinite(one)}
    return values


def _storable(item: Inventory) -> Inventory:
    """Refuse what the database cannot remember as JSON: NUL, half a surrogate pair, infinity."""
    try:
        written = json.dumps([item.key, item.value], ensure_ascii=False, allow_nan=False).encode()
    except (ValueError, RecursionError):
        written = _NUL
    if _NUL in written:
        raise BadMessage("an inventory: expected text and numbers, found some that are none")
    return item


def _timed(readings: list[Reading], rest: list[Any]) -> tuple[list[Reading], list[Any]]:
    """Of a retained message only values with a time of their own are measurements: the rest is state."""
    timed = [reading for reading in readings if reading.time is not None]
    return timed, rest if timed else [*rest, Ignored("retained")]


def _spread(observations: list[Observation]) -> list[Observation]:
    """Move values of one datastream and time apart by 1 µs, in their order, and flag them."""
    following: dict[tuple[Datastream, datetime], datetime] = {}  # time that is taken → where a free one may be
    spread = []
    for row in observations:
        start, stream = row.start, row.datastream
        while (stream, start) in following:
            start = following[stream, start]
        following[stream, row.start] = following[stream, start] = start + _TICK
        spread.append(row if start is row.start else row._replace(start=start, quality=row.quality | _SPREAD))
    return spread


def _ignored(rest: list[Any], skipped: list[Skipped]) -> str:
    """Say why a message has no observation: what its decoder said, else what it had instead."""
    said = next((item.reason for item in rest if type(item) is Ignored), None)
    if said is not None:
        return said
    if skipped:
        return skipped[0].reason
    return next((type(item).__name__.lower() for item in rest), "no value")
