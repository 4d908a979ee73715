"""The publisher: gives committed batches their order, feeds their members, and closes buckets.

One round is one transaction. Rounds follow each other every second; a round without news costs four
small queries. One publisher works at a time, others stand by.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from threading import Event
from typing import NamedTuple

import structlog

from broker.config import Config
from broker.errors import StoreUnavailable
from broker.metrics import (
    OBSERVATIONS_LATE,
    PARTS_DROPPED,
    PASSAGES_LATE,
    PUBLISH_SECONDS,
    SEQUENCE,
    UNSEQUENCED,
)
from broker.readiness import Readiness
from broker.store import cells, feeds, retention
from broker.store.database import Connection, Database
from broker.store.feeds import Sequenced
from opendata import closing, membership
from opendata.closing import Flows
from opendata.membership import LATTICE_WINDOW, window

PERIOD = 1.0
"""Seconds between rounds."""
BATCHES = 1000
"""The most batches that become readable in one round."""
REVIEW = timedelta(seconds=60)
"""All memberships are looked at again after this: things may have been edited."""
LOOK_BACK = 200
"""Ids of datastreams commit out of order: a new one may lie this far below the newest."""
EXPIRE = timedelta(seconds=30)
RETAIN = timedelta(hours=1)
BUSY = timedelta(minutes=1)
"""When what could not be dropped, because somebody reads it, is tried again."""
NEVER = datetime.min.replace(tzinfo=UTC)

log = structlog.get_logger()

Expire = Callable[[Connection, datetime], object]


class Round(NamedTuple):
    """What a round has done. `more`: there is something left to do at once."""

    worked: bool = False
    more: bool = False
    newest: int = 0
    """The newest datastream that was looked at."""


@dataclass
class State:
    """What the loop remembers from round to round; losing it costs one review."""

    newest: int = 0
    reviewed: datetime = NEVER
    expired: datetime = NEVER
    retain: datetime = NEVER
    """When retention is due."""


def run(
    config: Config,
    *,
    database_url: str,
    flows: Flows,
    expire: Expire,
    stop: Event,
    readiness: Readiness,
) -> None:
    """Publish until `stop` is set. While the store is away it is waited for; other errors end the process."""
    readiness.set("publish", "has not made its first round")
    database = Database(database_url, size=2, role="citybroker_publish")
    state = State()
    try:
        while not stop.is_set():
            began = time.monotonic()
            more = False
            try:
                more = _work(database, config, flows, expire, state)
                readiness.set("publish", None)
            except StoreUnavailable as error:
                log.warning("the store is away, trying again", error=str(error))
                readiness.set("publish", f"waiting for the store: {error}")
            PUBLISH_SECONDS.observe(time.monotonic() - began)
            stop.wait(0 if more else max(0.0, PERIOD - (time.monotonic() - began)))
    finally:
        database.close()


def _work(database: Database, config: Config, flows: Flows, expire: Expire, state: State) -> bool:
    now = datetime.now(UTC)
    review = now - state.reviewed >= REVIEW
    done = step(database, config, flows, now, since=None if review else max(state.newest - LOOK_BACK, 0))
    if done.worked:
        state.newest = max(state.newest, done.newest)
        state.reviewed = now if review else state.reviewed
    if now - state.expired >= EXPIRE:
        with database.transaction() as connection:
            expire(connection, now)
        state.expired = now
    if config.publish.retention and now >= state.retain and not done.more:
        state.retain = now + (RETAIN if retain(database, config, now) else BUSY)
    return done.more


def retain(database: Database, config: Config, now: datetime) -> bool:
    """Drop observations that were kept long enough, unless an open bucket needs them; the feeds move on.

    False: some are being read, try again soon. Raises StoreUnavailable.
    """
    if config.publish.retention is None:
        return True
    with database.transaction() as connection:
        if not feeds.lock(connection):
            return True
        if cells.owed(connection):
            return False
        windows = {window(feed) for feed in config.feed if feed.policy == "aggregate"}
        open_ = [until for length, until in cells.frontiers(connection).items() if length in windows]
        dropped = retention.drop(connection, min([now - config.publish.retention, *open_]))
        if dropped.parts:
            sequence = feeds.next_step(connection, now)
            feeds.advance(connection, feeds.holders(connection, None), sequence)
            log.info("observations dropped", weeks=dropped.parts, sequence=sequence)
        PARTS_DROPPED.inc(dropped.parts)
    return not dropped.busy


def step(database: Database, config: Config, flows: Flows, now: datetime, *, since: int | None = None) -> Round:
    """Make one round. `since` None looks at all memberships again, else at datastreams with a higher id.

    Raises StoreUnavailable; then nothing of the round was done.
    """
    with database.transaction() as connection:
        if not feeds.lock(connection):
            return Round()
        # Before sequencing: what was received before `drained` is committed now, and readable after it.
        until = _horizon(connection, config, now)
        waiting = feeds.waiting(connection)
        newest = since or 0
        if waiting or since is None:
            newest = _join(connection, config, now, since)
        sequenced = feeds.sequence(connection, now, BATCHES) if waiting else []
        if sequenced:
            _announce(connection, config, sequenced)
        closed = closing.close_all(connection, config, flows, until, now) if until else closing.Closed()
        if closed.cells:  # flows may have made datastreams
            newest = _join(connection, config, now, newest)
        filled = closing.fill(connection, config, now)
        more = closed.more or filled.more or len(sequenced) == BATCHES
        return Round(True, more, newest)


def _horizon(connection: Connection, config: Config, now: datetime) -> datetime | None:
    processes = cells.processes(connection)
    for one in processes:
        if closing.is_forgotten(one, now):
            log.warning("a dead process is waited for no longer", process=one.name, heartbeat=str(one.heartbeat))
            cells.forget(connection, one.name)
    return closing.horizon(processes, now, config.publish.lateness)


def _join(connection: Connection, config: Config, now: datetime, since: int | None) -> int:
    """Let datastreams join the feeds that select them, and leave those that do not any more."""
    if since is None:
        feeds.register(connection, {feed.id: feed.model_dump(mode="json") for feed in config.feed})
    found = feeds.candidates(connection, since or 0)
    if missing := membership.series(config.feed, found):
        cells.ensure(connection, missing)
        found = feeds.candidates(connection, since or 0)
    seen = {one.id for one in found}
    held = feeds.held(connection)
    wanted = membership.wanted(config.feed, found)
    joining = wanted - held
    leaving = {one for one in held - wanted if one.datastream in seen}
    if joining or leaving:
        sequence = feeds.next_step(connection, now)
        feeds.join(connection, sorted(joining), sequence)
        cells.owe(connection, {one.datastream for one in joining} - {one.datastream for one in held})
        feeds.leave(connection, sorted(leaving), sequence)
        feeds.advance(connection, {one.feed for one in joining | leaving}, sequence)
        log.info("members changed", joined=len(joining), left=len(leaving), sequence=sequence)
    return max(seen, default=since or 0)


def _announce(connection: Connection, config: Config, sequenced: list[Sequenced]) -> None:
    """Move the positions of the feeds that show something of these batches, and count what came late."""
    last = sequenced[-1].sequence
    streams = {stream for batch in sequenced for stream in batch.datastreams or []}
    unknown = any(batch.datastreams is None and batch.first for batch in sequenced)
    feeds.advance(connection, feeds.holders(connection, None if unknown else streams), last)
    SEQUENCE.set(last)
    UNSEQUENCED.set(feeds.waiting(connection))
    _count_late(connection, config, sequenced)


def _count_late(connection: Connection, config: Config, sequenced: list[Sequenced]) -> None:
    closed = cells.frontiers(connection)
    spans = [(batch.first, batch.last) for batch in sequenced if batch.first and batch.last]
    if closed and spans and min(spans)[0] < max(closed.values()):
        span = min(first for first, _ in spans), max(last for _, last in spans)
        OBSERVATIONS_LATE.inc(cells.count_late(connection, [batch.id for batch in sequenced], span))
    brought = [one for one in sequenced if one.passages and one.received_first and one.received_last]
    if brought and LATTICE_WINDOW in closed and closing.has_lattice(config):
        ids, first, last = zip(*((one.id, one.received_first, one.received_last) for one in brought), strict=True)
        span = min(first), max(last)
        PASSAGES_LATE.inc(cells.count_late_passages(connection, ids, span, closed[LATTICE_WINDOW]))
