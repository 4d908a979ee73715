"""Which datastreams belong to which feed: pure. Patterns are shell globs; `*` is all."""

from collections.abc import Iterable, Sequence
from datetime import timedelta
from fnmatch import fnmatchcase
from functools import lru_cache

from broker import periods, vocabulary
from broker.config import FeedTable
from broker.store.cells import Series
from broker.store.feeds import Candidate, Membership

PERSONAL_KINDS = frozenset({"camera", "camera_pair", "section", "zone"})
"""Kinds of things whose data come from vehicles: never raw."""

LATTICE_WINDOW = timedelta(minutes=15)
LATTICE_STATISTIC = "count"


def window(feed: FeedTable) -> timedelta:
    """The length of an aggregate feed's buckets."""
    return periods.parse(feed.window or "PT1H") or timedelta(hours=1)


def statistics(feed: FeedTable) -> list[str]:
    """The statistics of an aggregate feed."""
    return feed.statistics or ["mean"]


def wanted(feeds: Iterable[FeedTable], candidates: Sequence[Candidate]) -> set[Membership]:
    """Who of the candidates belongs where."""
    return {Membership(feed.id, one.id) for feed in feeds for one in candidates if selects(feed, one)}


def selects(feed: FeedTable, one: Candidate) -> bool:
    """Whether the feed shows this datastream: a sensor's under `raw`, cells under `aggregate`."""
    if feed.policy == "raw":
        return is_sensor(one) and _matches(feed, one)
    if one.window != window(feed) or one.statistic not in statistics(feed):
        return False
    return (one.parent is None or one.minimum == feed.minimum) and _matches(feed, one)


def series(feeds: Iterable[FeedTable], candidates: Sequence[Candidate]) -> list[Series]:
    """The datastreams of cells that aggregate feeds still lack, of the sensors among the candidates."""
    there = {(one.parent, one.window, one.statistic, one.minimum) for one in candidates if one.parent}
    found = {
        (one.id, window(feed), statistic, feed.minimum): one.qualifier
        for feed in feeds
        if feed.policy == "aggregate"
        for one in candidates
        if is_sensor(one) and _is_number(one.property) and _matches(feed, one)
        for statistic in statistics(feed)
    }
    return [
        Series(parent, cell_qualifier(qualifier, length, statistic, minimum), length, statistic, minimum)
        for (parent, length, statistic, minimum), qualifier in found.items()
        if (parent, length, statistic, minimum) not in there
    ]


def cell_qualifier(qualifier: str, length: timedelta, statistic: str, minimum: int | None = None) -> str:
    """What tells cells from what they were made of: `PT1H mean`, `lane 1 PT15M count`, `PT1H mean min 5`."""
    parts = [qualifier, periods.write(length), statistic, f"min {minimum}" if minimum else ""]
    return " ".join(part for part in parts if part)


def shows_flows(feed: FeedTable) -> bool:
    """Whether the feed may select from the city's lattice of cells about vehicles."""
    if feed.policy != "aggregate" or window(feed) != LATTICE_WINDOW or LATTICE_STATISTIC not in statistics(feed):
        return False
    return any(_any(feed.kind, kind) for kind in PERSONAL_KINDS)


def shows_flow(feed: FeedTable, key: str, kind: str) -> bool:
    """Whether the feed selects flows of this property and kind of thing."""
    return shows_flows(feed) and _any(feed.property, key) and _any(feed.kind, kind)


def is_sensor(one: Candidate) -> bool:
    """Whether this is what a sensor sent and nobody is behind it."""
    return one.window is None and not one.personal and one.kind not in PERSONAL_KINDS


def _matches(feed: FeedTable, one: Candidate) -> bool:
    return (
        _any(feed.property, one.property)
        and _any(feed.kind, one.kind)
        and _any(feed.area, one.area)
        and _any(feed.source, one.source)
    )


def _any(patterns: Sequence[str], text: str) -> bool:
    return any(pattern == "*" or fnmatchcase(text, pattern) for pattern in patterns)


@lru_cache(maxsize=4096)
def _is_number(key: str) -> bool:
    known = vocabulary.load().find(key)
    return known is None or known.result == "number"
