"""Closing buckets: when that may be done, and what then becomes of what is in them.

A bucket closes at its end + lateness by the wall clock, but not while no ingest is alive, nor while
one that may still hold something of it has not emptied its queue. What is closed stays closed.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple, TypeAlias

import structlog

from broker import vocabulary
from broker.config import Config
from broker.metrics import CELLS
from broker.model import Cell, Datastream, Flow
from broker.store import cells, feeds
from broker.store.cells import Aggregate, Process
from broker.store.database import Connection
from opendata import disclosure
from opendata.buckets import DAY, bucket_end, bucket_start
from opendata.disclosure import Bucket
from opendata.membership import LATTICE_STATISTIC, LATTICE_WINDOW, cell_qualifier, shows_flow, shows_flows, window

ALIVE = timedelta(seconds=30)
"""A process with an older heartbeat is dead."""
FORGOTTEN = timedelta(hours=1)
"""A dead one is not waited for any longer: what it held comes again to another, and counts as late."""
LOOKBACK = timedelta(days=2)
"""How far back the very first lattice may begin: a camera's clock that was never set says 1970."""
PART = timedelta(days=1)
"""The longest stretch of buckets that is closed in one step of publication."""

log = structlog.get_logger()

Flows: TypeAlias = Callable[[Connection, datetime, datetime, datetime], list[Flow]]
Decided: TypeAlias = tuple[int, Cell]
Series: TypeAlias = dict[tuple[int, str], list[tuple[int, int | None]]]
"""{(parent, statistic): [(datastream of cells, minimum)]}."""


class Span(NamedTuple):
    """Buckets of one window that close together: [start, end)."""

    window: timedelta
    start: datetime
    end: datetime


class Closed(NamedTuple):
    """How many cells were decided, and whether there is more to close at once."""

    cells: int = 0
    more: bool = False


def horizon(processes: Sequence[Process], now: datetime, lateness: timedelta) -> datetime | None:
    """Up to when buckets may be closed; None: none may. Pure.

    A process of role `history` is waited for like an ingest, but is none: it ends.
    """
    if not any(one.role == "ingest" and now - one.heartbeat <= ALIVE for one in processes):
        return None
    drained = [one.drained for one in processes if not is_forgotten(one, now)]
    if None in drained:
        return None
    return min([now - lateness, *filter(None, drained)])


def is_forgotten(one: Process, now: datetime) -> bool:
    """Whether a process has been dead for so long that nobody waits for it."""
    return now - one.heartbeat > FORGOTTEN


def close_all(connection: Connection, config: Config, flows: Flows, until: datetime, now: datetime) -> Closed:
    """Close what may be closed of every window, a part at a time."""
    reached = cells.frontiers(connection)
    windows = {window(feed) for feed in config.feed if feed.policy == "aggregate"}
    spans = [_span(connection, config, one, reached.get(one), until) for one in sorted(windows)]
    decided = sum(_close(connection, config, flows, span, now) for span in spans if span)
    more = any(span and bucket_end(span.end, span.window, config.zone) <= until for span in spans)
    return Closed(decided, more)


def _span(
    connection: Connection, config: Config, length: timedelta, reached: datetime | None, until: datetime
) -> Span | None:
    """The next part of a window to close: from the frontier, or from the first data there are."""
    end = bucket_start(until, length, config.zone)
    if reached is not None and reached >= end:
        return None
    first = _first(connection, config, length, reached, until)
    if first is None or first >= until:
        if reached is not None:
            cells.close(connection, length, end)
        return None
    span = _part(config, length, max(first, reached) if reached else first, end)
    return span if span.start < end else None


def _part(config: Config, length: timedelta, first: datetime, end: datetime) -> Span:
    """Give the buckets of about a day from the one that holds `first`."""
    start = bucket_start(first, length, config.zone)
    part = max(bucket_end(start, length, config.zone), bucket_start(start + PART, length, config.zone))
    return Span(length, start, min(end, part))


def _first(
    connection: Connection, config: Config, length: timedelta, reached: datetime | None, until: datetime
) -> datetime | None:
    parents = {parent for parent, _ in cells.series(connection, length)}
    found = [cells.first(connection, sorted(parents), reached) if parents else None]
    if length == LATTICE_WINDOW and has_lattice(config):
        # Buckets without a passage are listed too, or their absence would tell that there was none.
        first = cells.first_passage(connection)
        found.append(reached or (first and max(first, until - LOOKBACK)))
    return min((moment for moment in found if moment), default=None)


def has_lattice(config: Config) -> bool:
    """Whether any feed shows flows of vehicles."""
    return any(shows_flows(feed) for feed in config.feed)


def _close(connection: Connection, config: Config, flows: Flows, span: Span, now: datetime) -> int:
    series = cells.series(connection, span.window)
    decided = [*_aggregates(connection, config, span, series), *_flows(connection, config, flows, span, now)]
    cells.close(connection, span.window, span.end)
    return _decide(connection, decided, span, now)


def fill(connection: Connection, config: Config, now: datetime) -> Closed:
    """Decide a part of what is closed already of series that joined later: the past of sensors, never of flows."""
    owed = cells.owed(connection)
    if not owed:
        return Closed()
    length = owed[0].window
    mine = {one.datastream: one for one in owed if one.window == length}
    until = max(one.until for one in mine.values())
    first = cells.first(
        connection, sorted({one.parent for one in mine.values()}), min(one.since for one in mine.values())
    )
    if first is None or first >= until:
        cells.settle(connection, sorted(mine), until)
        return Closed(more=len(mine) < len(owed))
    span = _part(config, length, first, until)
    series: Series = {}
    for one in mine.values():
        series.setdefault((one.parent, one.statistic), []).append((one.datastream, one.minimum))
    since = {one.datastream: bucket_start(one.since, length, config.zone) for one in mine.values()}
    decided = [
        (stream, cell)
        for stream, cell in _aggregates(connection, config, span, series)
        if since[stream] <= cell.start < mine[stream].until
    ]
    cells.settle(connection, sorted(mine), span.end)
    return Closed(_decide(connection, decided, span, now), more=True)


def _decide(connection: Connection, decided: list[Decided], span: Span, now: datetime) -> int:
    """Write cells into the ledger, as one step of publication."""
    if not decided:
        return 0
    sequence = feeds.next_step(connection, now)
    cells.decide(connection, decided, sequence)
    streams = {stream for stream, _ in decided}
    feeds.advance(connection, feeds.holders(connection, streams), sequence)
    for _, cell in decided:
        CELLS.labels(cell.status).inc()
    log.info("buckets closed", until=span.end.isoformat(), cells=len(decided), sequence=sequence)
    return len(decided)


def _aggregates(connection: Connection, config: Config, span: Span, series: Series) -> Iterator[Decided]:
    keys = cells.property_keys(connection, sorted({parent for parent, _ in series}))
    by_rule: dict[str, list[int]] = {}
    for parent, key in keys.items():
        known = vocabulary.load().find(key)
        by_rule.setdefault(known.averaging if known else "arithmetic", []).append(parent)
    bucket = cells.day(config.city.timezone) if span.window >= DAY else cells.sub_day(span.window)
    for rule, parents in by_rule.items():
        for found in cells.aggregate(connection, parents, (span.start, span.end), bucket, rule):
            yield from _disclosed(found, series, bucket_end(found.start, span.window, config.zone))


def _disclosed(found: Aggregate, series: Series, end: datetime) -> Iterator[Decided]:
    nameless = Datastream("", "", "", "")  # a cell of the ledger goes by the datastream's number
    for statistic, value in found.values.items():
        for stream, minimum in series.get((found.datastream, statistic), []):
            if value is not None:
                bucket = Bucket(nameless, found.start, end, value, found.n)
                yield stream, disclosure.disclose(bucket, minimum or 1)


def _flows(connection: Connection, config: Config, flows: Flows, span: Span, now: datetime) -> Iterable[Decided]:
    if span.window != LATTICE_WINDOW or not has_lattice(config):
        return []
    found = [
        flow
        for flow in flows(connection, span.start, span.end, now)
        if any(shows_flow(feed, flow.datastream.property, flow.kind) for feed in config.feed)
    ]
    named = [flow._replace(datastream=_cell_stream(flow.datastream)) for flow in found]
    minimum = config.anpr.minimum
    listed = cells.listed(connection, {flow.datastream for flow in named})
    shown = disclosure.begin(disclosure.disclose_flows(named, minimum), listed)
    kinds = {flow.datastream: flow.kind for flow in named}
    pairs = [(cell.datastream, kinds[cell.datastream]) for cell in shown]
    streams = cells.lattice(connection, pairs, LATTICE_WINDOW, LATTICE_STATISTIC, minimum)
    return [(streams[cell.datastream], cell) for cell in shown]


def _cell_stream(stream: Datastream) -> Datastream:
    return stream._replace(qualifier=cell_qualifier(stream.qualifier, LATTICE_WINDOW, LATTICE_STATISTIC))
