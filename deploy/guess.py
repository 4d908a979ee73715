"""Which formats and cameras accept a message, best first, and the `[[source]]` that each would need.

A decoder accepts what it takes something from, or knows and ignores. `json` and `xml` take whatever they are
configured to take, so without a configuration they say nothing about a message; `plain` takes any text, and counts
for a single number or boolean only. A format that also takes a message that means nothing has to be known by the
topic, or by a time, a name or a radio signal beside values of which the vocabulary knows half; and then only if no
other accepts the message.

A format may offer `TOPICS`, its usual topic filters, the one to configure first.
"""

import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from types import ModuleType
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from anpr.keys import KeyStore
from anpr.plate import Reader
from broker import modules, vocabulary
from broker.errors import BadMessage
from broker.model import Ignored, Message, Observation, Passage, Quality, Reading, Source
from broker.topics import matches
from ingest.normalise import Normaliser

CONFIGURED = {"json", "xml"}
"""What takes anything once it has been told what."""
MEANINGLESS = (b'{"zqx": 1.5}', b'{"zqx": {"zqy": "zqz"}}', b"{}", b'[{"zqx": 1.5}]', b"[]", b"zqx")
"""What no device sends: whoever takes it, or says to know it, takes anything."""
ANYWHERE = "message"
"""The topic of a message of which none is known, for formats without usual ones."""
PUSHED = re.compile(r"in/([^/]+)(?:/[^/]+)?")
"""What the push door publishes on: its source's name, and a device."""
ZONE = ZoneInfo("Europe/Brussels")


class Guess(NamedTuple):
    """What a format or camera makes of the message. Nothing of it is a value of the message."""

    kind: str
    """format or camera."""
    name: str
    topic: str
    """The topic filter of its source."""
    usual: bool
    """The message's topic is one of the format's usual ones."""
    observations: int
    """Or passages."""
    known: int
    """Plausible observations whose property is in the vocabulary, or fields of passages that have a value."""
    properties: list[str]
    identity: bool
    """The message names its thing."""
    time: bool
    """The message has its time."""
    more: bool
    """The message has a place, a radio signal or an inventory."""
    ignored: str | None
    """Why the format takes nothing of it."""
    telling: bool = True
    """The format does not take just anything."""

    @property
    def rank(self) -> tuple[Any, ...]:
        """The greater, the better."""
        taken = self.observations > 0
        own = (self.identity, self.time, self.more)
        return (self.telling, taken, self.kind == "camera", self.usual, self.known, *own, self.observations)

    @property
    def source(self) -> str:
        """The `[[source]]` table for it, as TOML."""
        pushed = PUSHED.fullmatch(self.topic)
        name = pushed[1] if pushed else self.name.replace("_", "-")
        rows = {"name": name, "topic": self.topic, self.kind: self.name}
        lines = (f"{key} = {json.dumps(text, ensure_ascii=False)}\n" for key, text in rows.items())
        return "[[source]]\n" + "".join(lines)


class Way(NamedTuple):
    """A topic that the message may have come on, and the source that would take it from there."""

    message: Message
    source: Source
    usual: bool
    """It did come on that topic, and the format is usual there."""


def guess(payload: bytes, topic: str | None = None, content_type: str | None = None) -> list[Guess]:
    """All that accept the message, best first; of one name the best topic."""
    if not payload.strip():
        return []
    normaliser = Normaliser(vocabulary.load())
    message = Message(topic or "", payload, datetime.now(UTC), content_type=content_type)
    found = [
        _telling(partial(_format, module, normaliser), way)
        for name, module in modules.load("ingest.formats").items()
        if name not in CONFIGURED
        for way in _ways("format", name, module, message)
    ]
    cameras = modules.load("anpr.cameras")
    with TemporaryDirectory() as folder:
        reader = Reader(cameras, KeyStore(Path(folder) / "keys", "guess", ZONE))
        found += [
            _telling(partial(_camera, reader), way)
            for name, module in cameras.items()
            for way in _ways("camera", name, module, message)
        ]
    ranked = sorted((one for one in found if one), key=lambda one: one.rank, reverse=True)
    best: dict[tuple[str, str], Guess] = {}
    for one in (one for one in ranked if one.telling or not ranked[0].telling):
        best.setdefault((one.kind, one.name), one)
    return list(best.values())


def _ways(kind: str, name: str, module: ModuleType, message: Message) -> Iterable[Way]:
    """The topics that it may have come on: its own, else each usual one of the format."""
    usual: tuple[str, ...] = getattr(module, "TOPICS", ())
    if message.topic:
        own = next((one for one in usual if matches(one, message.topic)), None)
        ways = [(message, own or message.topic)]
    else:
        ways = [(message._replace(topic=_example(one)), one) for one in usual or (ANYWHERE,)]
    for told, topic in ways:
        source = Source(name, topic, timezone=ZONE, max_future=float("inf"))
        source = replace(source, format=name) if kind == "format" else replace(source, camera=name)
        yield Way(told, source, usual=bool(message.topic) and topic in usual)


def _example(topic_filter: str) -> str:
    return topic_filter.replace("+", "x").replace("#", "x")


def _telling(attempt: Callable[[Way], Guess | None], way: Way) -> Guess | None:
    """What is made of the message, unless as much is made of one that means nothing."""
    found = attempt(way)
    if found is None or way.usual:
        return found
    like = [one for one in MEANINGLESS if one[:1] == way.message.payload.lstrip()[:1] or one[:1].isalpha()]
    for payload in like:
        other = attempt(way._replace(message=way.message._replace(payload=payload)))
        if other and (other.observations or other.ignored == found.ignored):
            understood = found.known > 0 and 2 * found.known >= found.observations
            evident = understood and (found.identity or found.time or found.more)
            return found._replace(telling=False) if evident else None
    return found


def _format(module: ModuleType, normaliser: Normaliser, way: Way) -> Guess | None:
    message, source, usual = way
    try:
        items = module.decode(message, source, {})
        found = normaliser.normalise(items, message, source)
    except Exception:  # noqa: BLE001 - whatever is wrong, this format does not take it
        return None
    readings = [item for item in items if type(item) is Reading]
    if not items or (source.name == "plain" and not _single(found.observations)):
        return None
    names = [row.datastream.property for row in found.observations]
    levels = message.topic.split("/")
    return Guess(
        "format",
        source.name,
        _filter(source, message, {item.thing for item in readings}),
        usual,
        observations=len(names),
        known=sum(_known(row) for row in found.observations),
        properties=sorted(set(names)),
        identity=any(item.thing and item.thing not in levels for item in readings),
        time=any(item.time for item in readings),
        more=bool(found.places or found.signals or found.inventories),
        ignored=None if names or found.places or found.signals or found.inventories else found.ignored,
    )


def _known(row: Observation) -> bool:
    """The vocabulary knows the property, in its unit, and finds the value plausible."""
    found = vocabulary.load().get(row.datastream.property)
    return found is not None and found.unit == row.datastream.unit and not row.quality & Quality.RANGE


def _single(observations: list[Observation]) -> bool:
    return len(observations) == 1 and (observations[0].number is not None or type(observations[0].result) is bool)


def _camera(reader: Reader, way: Way) -> Guess | None:
    message, source, usual = way
    try:
        items = reader.read(message, source, {})
    except BadMessage:
        return None
    passages = [item for item in items if isinstance(item, Passage)]
    levels = message.topic.split("/")
    ignored = next((item.reason for item in items if isinstance(item, Ignored)), None)
    if not passages and ignored is None:
        return None
    return Guess(
        "camera",
        source.name,
        _filter(source, message, {one.camera for one in passages}),
        usual,
        observations=len(passages),
        known=sum(_told(one) for one in passages),
        properties=[],
        identity=any(one.camera not in levels for one in passages),
        time=any(one.time != one.received for one in passages),
        more=False,
        ignored=None if passages else ignored,
    )


def _told(passage: Passage) -> int:
    """How many fields of a passage the message had."""
    told = [passage.read_status == "read", passage.direction != "unknown", passage.vehicle_class != "unknown"]
    return sum(told) + sum(one is not None for one in passage[9:12]) + (passage.lane is not None)


def _filter(source: Source, message: Message, things: set[str]) -> str:
    """A topic filter for messages like this one: the usual one, else its topic with + for what names the thing."""
    if source.topic != message.topic:
        return source.topic
    if pushed := PUSHED.fullmatch(message.topic):
        return f"in/{pushed[1]}/+"
    if source.topic == ANYWHERE:
        return f"{source.name.replace('_', '-')}/+"
    same = {thing.lower() for thing in things}
    return "/".join("+" if level.lower() in same else level for level in message.topic.split("/"))


def tell(found: Guess) -> str:
    """Say in one line what it makes of the message."""
    if found.ignored is not None:
        return f"{found.name} ({found.kind}): knows it and ignores it: {found.ignored}"
    if found.observations == 0:
        return f"{found.name} ({found.kind}): takes a place, a signal or an inventory"
    what = "passages" if found.kind == "camera" else "observations"
    names = f" ({', '.join(found.properties)})" if found.properties else ""
    own = [word for word, has in (("identity", found.identity), ("time", found.time)) if has]
    with_own = f"; with {' and '.join(own)} of its own" if own else "; neither identity nor time of its own"
    usual = "; on its usual topic" if found.usual else "" if found.telling else "; but it takes nearly anything"
    return f"{found.name} ({found.kind}): {what}: {found.observations}{names}{with_own}{usual}"


def as_row(found: Guess) -> Mapping[str, Any]:
    """For scripts."""
    row = found._asdict()
    return {row.pop("kind"): row.pop("name"), **row, "source": found.source}
