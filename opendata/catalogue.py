"""The only door to published data, made for one caller.

A Catalogue knows what is offered; `open` gives a Snapshot of what it holds at one moment, so that an
answer and its ETag are of the same moment however long the answer takes.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from hashlib import blake2b
from threading import BoundedSemaphore
from typing import Any, NamedTuple

from broker import periods, vocabulary
from broker.config import Config, FeedTable
from broker.model import Quality
from broker.store import published
from broker.store.database import Connection, Database
from broker.store.published import Datastream, Interval, Position, Row, Thing
from opendata.membership import statistics, window
from opendata.problems import Problem
from opendata.query import Selection

EXPORTS = 8
"""Exports that may run at one time; each holds a connection as long as its reader reads."""
CHART_BINS = 48
HOUR = timedelta(hours=1)
AMOUNTS = frozenset({"sum", "count"})
"""Statistics that are amounts themselves, of a property that is one."""
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

__all__ = [
    "Catalogue",
    "Chart",
    "Datastream",
    "Feed",
    "Interval",
    "Page",
    "Position",
    "Shown",
    "Snapshot",
    "Thing",
]


class Feed(NamedTuple):
    """One feed as it is offered; texts by language."""

    id: str
    titles: dict[str, str]
    descriptions: dict[str, str]
    policy: str
    tier: str
    window: str | None
    """ISO 8601 length of its buckets, None under policy raw."""
    statistics: list[str]
    properties: list[str]
    """Keys and patterns that it selects by, in the order of the configuration."""

    def title(self, language: str) -> str:
        """The title in this language, or in the one there is."""
        return self.titles.get(language) or next(iter(self.titles.values()))

    def description(self, language: str) -> str:
        """The description in this language, or in the one there is; "" without any."""
        return self.descriptions.get(language) or next(iter(self.descriptions.values()), "")


class Shown(NamedTuple):
    """One observation as every output shows it."""

    start: datetime
    end: datetime | None
    thing: str
    property: str
    result: Any
    unit: str
    datastream: str
    quality: str
    """Names of flags, blank between; "" is good."""
    status: str


class Page(NamedTuple):
    """A page of observations; `next` is where the next one begins, None on the last."""

    rows: list[Shown]
    next: tuple[datetime, int] | None


class Chart(NamedTuple):
    """Means of one property: {thing: [(start of the bin, mean)]} in [start, end); totals an hour if `hourly`."""

    property: str
    unit: str
    start: datetime
    end: datetime
    lines: dict[str, list[tuple[datetime, float]]]
    hourly: bool = False


@dataclass(frozen=True)
class Catalogue:
    """What one caller may see. `base` is the public address of this broker, without a slash at its end."""

    config: Config
    database: Database
    base: str
    exports: BoundedSemaphore = field(default_factory=lambda: BoundedSemaphore(EXPORTS))
    charts: dict[tuple[Any, ...], Chart | None] = field(default_factory=dict)

    def feeds(self) -> list[Feed]:
        """All that is offered, in the order of the configuration."""
        return [self._feed(table) for table in self.config.feed]

    def feed(self, id_: str) -> Feed:
        """One feed. Raises Problem 404."""
        for table in self.config.feed:
            if table.id == id_:
                return self._feed(table)
        raise Problem(404, f"there is no feed {id_!r}, see {self.base}/feeds")

    @contextmanager
    def open(self) -> Iterator["Snapshot"]:
        """Look at the published data of this moment. Raises StoreUnavailable."""
        with published.snapshot(self.database) as connection:
            yield Snapshot(self, connection)

    @contextmanager
    def export(self) -> Iterator["Snapshot"]:
        """Look at them for long. Raises Problem 503 while too many do."""
        if not self.exports.acquire(blocking=False):
            raise Problem(503, "too many exports are running", headers={"Retry-After": "10"})
        try:
            with self.open() as snapshot:
                yield snapshot
        finally:
            self.exports.release()

    def _feed(self, table: FeedTable) -> Feed:
        language = self.config.city.language
        raw = table.policy == "raw"
        return Feed(
            id=table.id,
            titles=_texts(table.title, language),
            descriptions=_texts(table.description, language),
            policy=table.policy,
            tier=table.tier,
            window=None if raw else periods.write(window(table)),
            statistics=[] if raw else statistics(table),
            properties=table.property,
        )


@dataclass(frozen=True)
class Snapshot:
    """The published data of one moment."""

    catalogue: Catalogue
    connection: Connection

    def positions(self) -> dict[str, Position]:
        """{feed id: position} of the feeds that the publisher knows."""
        return published.positions(self.connection)

    def position(self, feed: Feed) -> Position:
        """How far the feed has come."""
        return self.positions().get(feed.id, Position())

    def datastreams(self, feed: Feed) -> list[Datastream]:
        """All that are or were members."""
        return published.datastreams(self.connection, feed.id)

    def things(self, feed: Feed) -> list[Thing]:
        """The things of the feed, with their place."""
        return published.things(self.connection, feed.id)

    def span(self, feed: Feed) -> Interval:
        """First and last phenomenon time."""
        return published.span(self.connection, feed.id)

    def version(self, feed: Feed, selection: Selection) -> str:
        """A digest that changes with anything that an answer about this selection shows, places aside."""
        seen = (self.position(feed).sequence, self.datastreams(feed), selection)
        return blake2b(repr(seen).encode(), digest_size=12).hexdigest()

    def observations(
        self, feed: Feed, selection: Selection, limit: int, after: tuple[datetime, int] | None = None
    ) -> Page:
        """A page of at most `limit` observations, ascending by phenomenon time, behind `after`."""
        members = {one.id: one for one in self._members(feed, selection)}
        interval = Interval(selection.from_, selection.to)
        found = published.rows(self.connection, feed.id, list(members), interval, limit + 1, after)
        rows = found[:limit]
        following = (rows[-1].start, rows[-1].datastream) if len(found) > limit else None
        return Page([_shown(row, members[row.datastream]) for row in rows], following)

    def csv(self, feed: Feed, selection: Selection) -> Iterator[bytes]:
        """All observations as CSV in blocks, ascending by phenomenon time."""
        members = [one.id for one in self._members(feed, selection)]
        return published.export(self.connection, feed.id, members, Interval(selection.from_, selection.to))

    def latest(self, feed: Feed) -> list[Shown]:
        """The newest observation of each current datastream, by thing and property."""
        members = {one.id: one for one in self.datastreams(feed)}
        found = [_shown(row, members[row.datastream]) for row in published.latest(self.connection, feed.id)]
        return sorted(found, key=lambda one: (one.thing, one.property, one.datastream))

    def chart(self, feed: Feed, property_: str, hours: int = 24) -> Chart | None:
        """The means of a property over the feed's last hours, per thing; None if there are no numbers.

        Amounts are added up instead, over a thing's datastreams: those of a sensor, whose intervals may
        differ, by whole hours; cells by their own buckets. Computed once a minute, whoever asks.
        """
        span = self.span(feed)
        if span.from_ is None or span.to is None:
            return None
        key = (feed.id, property_, hours, span.to.replace(second=0, microsecond=0))
        if key not in self.catalogue.charts:
            if len(self.catalogue.charts) > 256:
                self.catalogue.charts.clear()
            known = vocabulary.load().find(property_)
            rule = known.averaging if known else "arithmetic"
            bins = _totals(feed, span.from_, span.to, hours) if rule == "sum" else None
            if bins:
                found = self._chart(feed, property_, *bins, None)
            else:
                width = timedelta(hours=hours) / CHART_BINS
                end = span.to - (span.to - EPOCH) % width + width
                found = self._chart(feed, property_, Interval(end - hours * HOUR, end), width, rule)
            self.catalogue.charts[key] = found
        return self.catalogue.charts[key]

    def _chart(
        self, feed: Feed, property_: str, interval: Interval, width: timedelta, rule: str | None
    ) -> Chart | None:
        shown = (None, *feed.statistics[:1])
        members = [
            one
            for one in self.datastreams(feed)
            if one.property == property_ and one.current and one.statistic in shown
        ]
        lines: dict[str, list[tuple[datetime, float]]] = {}
        for moment, thing, value in published.chart(
            self.connection, feed.id, [one.id for one in members], interval, width, rule
        ):
            lines.setdefault(thing, []).append((moment, value))
        if not lines or interval.from_ is None or interval.to is None:
            return None
        return Chart(
            property_, members[0].unit, interval.from_, interval.to, lines, hourly=width == HOUR and rule is None
        )

    def _members(self, feed: Feed, selection: Selection) -> list[Datastream]:
        return [
            one
            for one in self.datastreams(feed)
            if (not selection.things or one.thing in selection.things)
            and (not selection.properties or one.property in selection.properties)
        ]


def _totals(feed: Feed, first: datetime, last: datetime, hours: int) -> tuple[Interval, timedelta] | None:
    """Over which bins amounts are added up; None where they cannot be."""
    if feed.window is None:
        whole = _whole_hours(first, last, hours)
        return (whole, HOUR) if whole else None
    length = periods.parse(feed.window)
    if feed.statistics[0] not in AMOUNTS or length is None or length > HOUR:
        return None
    return Interval(last - hours * HOUR, last), length


def _whole_hours(first: datetime, last: datetime, hours: int) -> Interval | None:
    """The last hours that lie in between and are over; None if they are fewer than two."""
    end = last - (last - EPOCH) % HOUR
    start = max(end - hours * HOUR, first + (EPOCH - first) % HOUR)
    return Interval(start, end) if end - start >= 2 * HOUR else None


def quality(flags: int) -> str:
    """Names of quality flags as published; "" is good."""
    return " ".join((flag.name or "").lower() for flag in Quality if flags & flag)


def _shown(row: Row, member: Datastream) -> Shown:
    return Shown(
        row.start,
        row.end,
        member.thing,
        member.property,
        row.result,
        member.unit,
        member.name(),
        quality(row.quality) if row.quality else "",
        row.status,
    )


def _texts(text: str | dict[str, str], language: str) -> dict[str, str]:
    if isinstance(text, dict):
        return dict(text)
    return {language: text} if text else {}
