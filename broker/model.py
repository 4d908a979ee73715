"""The values that flow, in the order in which they flow.

    Message ──decode──► Reading ──normalise──► Observation ──store, disclose──► Cell
               └──────► PlateRead ──tokenise──► Passage ──flows──► Flow ──disclose──► Cell

They are named tuples: immutable, and a third of the cost of a frozen dataclass where four are made
for every message. All times are aware datetimes in UTC unless said otherwise; units are UCUM codes.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, tzinfo
from enum import IntFlag
from typing import Any, Literal, NamedTuple

Result = float | str | bool | dict[str, Any] | list[Any]


class Message(NamedTuple):
    """One delivery of the MQTT broker. `received` is when this process got it (UTC)."""

    topic: str
    payload: bytes
    received: datetime
    retained: bool = False
    duplicate: bool = False
    """The DUP flag: the broker has tried before."""
    content_type: str | None = None
    identity: str | None = None
    """What the push door took from a header, query or path."""
    part: str | None = None
    """Which part of the thing the push door was told of: the qualifier of what has none."""


@dataclass(frozen=True, slots=True)
class Source:
    """A topic filter of the configuration and what decodes it; built once from `[[source]]`."""

    name: str
    topic: str
    format: str | None = None
    camera: str | None = None
    timezone: tzinfo = UTC
    """Of local times that carry no zone."""
    thing: str | None = None
    """Template of the identity: `{device}` is the decoder's, `{0}`, `{1}`, … are topic levels."""
    personal: bool = False
    max_bytes: int = 1 << 20
    max_future: float = 3600.0
    """Seconds that a phenomenon time may lie after the receive time."""
    max_age: float | None = None
    """Seconds that it may lie before; None is no limit."""
    allow: frozenset[str] | Literal["registry"] | None = None
    """Identities of the things that are taken, `*` for any characters; or the registered ones; None: all."""
    identity: str | None = None
    """Of the push door: where the identity stands, `header:X-Sensor`, `query:id` or `path`."""
    part: str | None = None
    """Of the push door: where the part of the thing stands, likewise."""
    rate: float = 200.0
    """Messages a second that the push door takes."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """The format's own settings (`fields` of `json`, …), validated by the format's `Options`, if it has one."""


class Reading(NamedTuple):
    """One value as the payload has it: its own name, its own unit.

    `time` None means that the payload has no time for it: the receive time stands in, and a retained
    message is then state, not a measurement. `end` makes it an interval [time, end).
    `index` and `qualifier` tell apart what one thing measures twice (lane, direction, probe, depth).
    """

    thing: str
    name: str
    value: Result
    time: datetime | None
    unit: str | None = None
    end: datetime | None = None
    qualifier: str = ""
    quality: int = 0
    """`Quality` flags that the decoder already knows of."""


class Skipped(NamedTuple):
    """A value inside an understood message that is not taken: `"unavailable"`, null, NaN, bytes without codec."""

    name: str
    reason: str


class Place(NamedTuple):
    """Where a thing is: GeoJSON geometry in WGS 84, longitude first. `time` None: since the message."""

    thing: str
    geometry: Mapping[str, Any]
    time: datetime | None = None
    name: str | None = None


class Signal(NamedTuple):
    """Last radio signal, frame counter, battery of the network's own: kept on the thing, never an observation."""

    thing: str
    values: Mapping[str, float | str]


class Inventory(NamedTuple):
    """What a decoder wants remembered for its source (Sparkplug births, bridge inventories); None forgets it."""

    key: str
    value: Any


class Reply(NamedTuple):
    """What a decoder wants said to a device (a rebirth request); published at most once a minute on each topic."""

    topic: str
    payload: bytes


class Ignored(NamedTuple):
    """The message is known and carries nothing to store (join, heartbeat, acknowledgement)."""

    reason: str


class Quality(IntFlag):
    """Flags of an observation's `resultQuality`; 0 is good. `names` gives them as published."""

    RANGE = 1
    """Outside the plausible range of its property."""
    SPREAD = 2
    """Same datastream and time as its neighbour in the message: moved by 1 µs."""
    CLOCK = 4
    """Contradicting times: the epoch won."""
    RECEIVED = 8
    """Without a time of its own: the receive time."""
    PARTIAL = 16
    """The device measured only part of the interval."""
    SPIKE = 32
    STUCK = 64
    WITHDRAWN = 128


class Datastream(NamedTuple):
    """What an observation belongs to, before the store has numbered it."""

    thing: str
    property: str
    """Vocabulary key, else the payload's own name."""
    qualifier: str
    unit: str
    """UCUM, "" where unknown or without unit."""


class Observation(NamedTuple):
    """One result of one datastream at one phenomenon time, in the vocabulary's unit."""

    datastream: Datastream
    start: datetime
    end: datetime | None
    number: float | None
    result: Any
    """Text, boolean or structure where the result is not a number."""
    quality: int


class PlateRead(NamedTuple):
    """What a camera's decoder takes from a message. It never leaves `anpr.plate`."""

    camera: str
    time: datetime | None
    plate: str | None
    """As read; None where the vendor has no plate field at all."""
    event: str | None = None
    """The vendor's own id of this passage."""
    lane: str | None = None
    direction: str = "unknown"
    """forward, reverse or unknown."""
    vehicle_class: str = "unknown"
    """OSLO VkmVoertuigType: voetganger, fiets, auto, vrachtwagen; or unknown."""
    country: str | None = None
    """ISO 3166-1 alpha-2, upper case."""
    confidence: float | None = None
    """0–1."""
    speed: float | None = None
    """km/h."""
    no_plate: bool = False
    """The vendor says that the vehicle has none."""


class Passage(NamedTuple):
    """One vehicle past one camera, with a token in place of the plate."""

    camera: str
    time: datetime
    received: datetime
    identity: bytes
    """16 bytes, unique per camera: keyed digest of the vendor's event id, else of the message."""
    read_status: str
    """read, unread or no_plate."""
    token: bytes | None
    """8 bytes, None unless read."""
    lane: str | None
    direction: str
    vehicle_class: str
    country: str | None
    confidence: float | None
    speed: float | None


class Flow(NamedTuple):
    """What was computed from passages for one bucket; exists only until it has been disclosed."""

    datastream: Datastream
    kind: str
    """thing kind: camera, camera_pair, zone, section."""
    start: datetime
    end: datetime
    value: float | None
    n: int
    """How many vehicles it rests on: distinct tokens plus unread passages."""


class Cell(NamedTuple):
    """One disclosed value of one closed bucket, decided once. `status`: published or suppressed (value None)."""

    datastream: Datastream
    start: datetime
    end: datetime
    value: float | None
    status: str
