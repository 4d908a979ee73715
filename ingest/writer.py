"""One batch into the store, in one transaction: all of it or nothing, and nothing twice."""

import os
import socket
import time
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from broker.config import RejectsTable
from broker.errors import AlreadyStored
from broker.metrics import Outcomes
from broker.model import (
    Datastream,
    Inventory,
    Message,
    Observation,
    Passage,
    Place,
    Reply,
    Signal,
    Skipped,
    Source,
)
from broker.store import batches, observations, passages, rejects, things
from broker.store.database import Connection, Database
from broker.store.observations import EPOCH, Row
from broker.vocabulary import Vocabulary

DAY = 86_400 * 1_000_000
WEEK = 7 * DAY
MONDAY = 2 * DAY
"""The store's weeks begin on Monday; its epoch is a Saturday."""
MERGES = 20
"""After a redelivery more of them follow: so many batches go the way around duplicates at once."""
SEE_EVERY = timedelta(seconds=30)
PRUNE_EVERY = 60.0


class Taken(NamedTuple):
    """What one message became. Exactly one of: something carried, `ignored`, `reject`."""

    message: Message
    source: Source | None
    observations: Sequence[Observation] = ()
    passages: Sequence[Passage] = ()
    places: Sequence[Place] = ()
    signals: Sequence[Signal] = ()
    inventories: Sequence[Inventory] = ()
    skipped: Sequence[Skipped] = ()
    ignored: str | None = None
    replies: Sequence[Reply] = ()
    reject: rejects.Reject | None = None


class Rows(NamedTuple):
    """A batch's rows without repetitions, and which of them came from which message."""

    observations: list[Row]
    passages: list[passages.Row]
    shares: list[tuple[int, int, int, int]]
    """By message: from and until where its `observations` stand, and its `passages`."""
    conflicts: int
    starts: set[int]
    """Of the observations: their phenomenon times, without many repetitions."""


class Writer:
    """Writes batches for one process, and remembers the store's numbers of things and datastreams."""

    def __init__(
        self,
        database: Database,
        vocabulary: Vocabulary,
        process: str,
        *,
        kind: str = "delivery",
        keep: RejectsTable,
    ) -> None:
        self._database = database
        self._vocabulary = vocabulary
        self._process = process
        self._kind = kind
        self._keep_rejects = keep
        self._pruned = -PRUNE_EVERY
        self._host, self._pid = socket.gethostname(), os.getpid()
        self.forget()

    def forget(self) -> None:
        """Ask the store again for everything that was remembered."""
        self._streams: dict[Datastream, tuple[int, int]] = {}
        self._cameras: dict[str, int] = {}
        self._places: dict[str, Mapping[str, Any] | None] = {}
        self._seen: dict[int, datetime] = {}
        self._heard: dict[int, tuple[datetime, int]] = {}
        self._weeks: set[int] = set()
        self._merges = 0

    def write(self, batch: list[Taken], *, again: int = 0, drained: datetime, flying: int = 0) -> Outcomes:
        """Commit a batch and say what became of its messages; `again` more were duplicates in flight.

        Raises StoreUnavailable (try the same again), StoreRefused (something in it cannot be stored).
        """
        try:
            rows = self._rows(batch)
        except KeyError:  # something in it is new
            self._resolve(batch)
            rows = self._rows(batch)
        self._partition(rows.starts)
        if not self._merges:
            try:
                return self._commit(batch, rows, again, drained, flying)
            except AlreadyStored:
                self._merges = MERGES
        self._merges -= 1
        return self._commit(batch, rows, again, drained, flying, merging=True)

    def beat(self, drained: datetime, flying: int) -> None:
        """Say that this process is alive."""
        with self._database.transaction() as connection:
            self._beat(connection, drained, flying)
            self._note(connection, {thing: {} for thing in self._heard})

    def leave(self) -> None:
        """Say that this process has stopped and owes nothing."""
        with self._database.transaction() as connection:
            batches.leave(connection, self._process)

    def _beat(self, connection: Connection, drained: datetime, flying: int) -> None:
        batches.beat(connection, self._process, "ingest", self._host, self._pid, drained, flying)
        if time.monotonic() - self._pruned > PRUNE_EVERY:
            self._pruned = time.monotonic()
            keep = self._keep_rejects
            rejects.prune(connection, datetime.now(UTC), keep.max_age, keep.max_bytes)

    # Numbers of things and datastreams: in a transaction of their own, so that a batch that rolls back
    # leaves none behind that only we believe in.

    def _resolve(self, batch: list[Taken]) -> None:
        wanted = {
            observation.datastream: taken.source
            for taken in batch
            for observation in taken.observations
            if observation.datastream not in self._streams
        }
        cameras = {
            passage.camera: taken.source.name
            for taken in batch
            for passage in taken.passages
            if passage.camera not in self._cameras and taken.source
        }
        if not wanted and not cameras:
            return
        with self._database.transaction() as connection:
            if wanted:
                origins = {stream: self._origin(stream, source) for stream, source in wanted.items()}
                described = {stream.property: self._describe(stream.property) for stream in wanted}
                found = things.datastreams(connection, origins, described)
            numbers = {
                name: things.number(connection, [name], "camera", source)[name] for name, source in cameras.items()
            }
        self._cameras |= numbers
        if wanted:
            self._streams |= found

    def _origin(self, stream: Datastream, source: Source | None) -> things.Origin:
        if source is None:
            return things.Origin("", "", personal=False)
        known = self._vocabulary.find(stream.property)
        kind = f"format {source.format}" if source.format else f"camera {source.camera}"
        return things.Origin(source.name, kind, source.personal or (known is not None and known.personal))

    def _describe(self, key: str) -> things.Description:
        known = self._vocabulary.find(key)
        if known is None or known.key != key:
            return things.Description(key, "", "")
        return things.Description(known.labels["en"], known.definition, known.labels["nl"])

    # Rows

    def _rows(self, batch: list[Taken]) -> Rows:
        """Number what the batch holds. Raises KeyError where the store has not numbered it yet."""
        rows: list[Row] = []
        vehicles: dict[tuple[int, bytes], passages.Row] = {}
        seen: dict[tuple[int, int], Row] = {}
        shares = []
        starts: set[int] = set()
        conflicts = 0
        for taken in batch:
            first, first_vehicle = len(rows), len(vehicles)
            if taken.observations:
                conflicts += self._number(taken.observations, rows, seen, starts)
            for passage in taken.passages:
                vehicles.setdefault((self._cameras[passage.camera], passage.identity), self._vehicle(passage))
            shares.append((first, len(rows), first_vehicle, len(vehicles)))
        return Rows(rows, list(vehicles.values()), shares, conflicts, starts)

    def _number(
        self,
        found: Sequence[Observation],
        rows: list[Row],
        seen: dict[tuple[int, int], Row],
        starts: set[int],
    ) -> int:
        """Add the rows of one message that the batch does not have; return how many contradict what it has."""
        streams, new = self._streams, tuple.__new__  # a third of what making a named tuple costs
        moment: datetime | None = None
        conflicts = since = 0
        for stream, start, end, number, result, quality in found:
            if start is not moment:
                moment, since = start, observations.micros(start)
                starts.add(since)
            until = None if end is None else observations.micros(end)
            key = streams[stream][0], since
            row = new(Row, (*key, until, number, result, quality, 0))
            earlier = seen.setdefault(key, row)
            if earlier is row:
                rows.append(row)
            elif earlier[3:5] != row[3:5]:
                conflicts += 1
        return conflicts

    def _vehicle(self, passage: Passage) -> passages.Row:
        return passages.Row(
            self._cameras[passage.camera],
            passage.identity,
            passage.time,
            passage.received,
            passage.read_status,
            passage.token,
            *passage[6:],
        )

    def _partition(self, starts: set[int]) -> None:
        weeks = {(start - MONDAY) // WEEK for start in starts} - self._weeks
        if weeks:
            with self._database.transaction() as connection:
                moments = [EPOCH + timedelta(microseconds=week * WEEK + MONDAY) for week in sorted(weeks)]
                observations.ensure_partitions(connection, moments)
            self._weeks |= weeks

    # The transaction

    def _commit(
        self, batch: list[Taken], rows: Rows, again: int, drained: datetime, flying: int, *, merging: bool = False
    ) -> Outcomes:
        with self._database.transaction() as connection:
            number = batches.number(connection)
            outcomes = self._store(connection, batch, rows, number, merging)
            outcomes.duplicate += again
            self._keep(connection, batch, number)
            streams = sorted({row[0] for row in rows.observations})
            span = _span(batch, rows.starts)
            batches.add(connection, number, self._process, self._kind, outcomes, span, streams)
            if self._kind == "delivery":
                self._beat(connection, drained, flying)
        return outcomes

    def _store(
        self, connection: Connection, batch: list[Taken], rows: Rows, number: int, merging: bool
    ) -> Outcomes:
        conflicts = rows.conflicts
        new = [True] * len(rows.observations)
        if merging:
            merged = observations.merge(connection, rows.observations, number)
            new = [row[:2] in merged.new for row in rows.observations]
            conflicts += len(merged.conflicts)
        else:
            observations.copy(connection, rows.observations, number)
        vehicles = passages.merge(connection, rows.passages, number)
        new_vehicles = [row[:2] in vehicles for row in rows.passages]
        outcomes = Outcomes(conflicts=conflicts, observations=sum(new), passages=sum(new_vehicles))
        for taken, (first, end, first_vehicle, end_vehicle) in zip(batch, rows.shares, strict=True):
            if taken.ignored is not None or taken.reject is not None or taken.skipped:
                _count_rest(outcomes, taken)
                if taken.ignored is not None or taken.reject is not None:
                    continue
            if True in new[first:end] or True in new_vehicles[first_vehicle:end_vehicle]:
                outcomes.stored += 1
            else:
                outcomes.duplicate += 1
        return outcomes

    def _keep(self, connection: Connection, batch: list[Taken], number: int) -> None:
        refused = [taken.reject for taken in batch if taken.reject is not None]
        if refused:
            rejects.add(connection, refused, number)
        self._place(connection, batch)
        self._see(connection, batch)
        remembered = {
            (taken.source.name if taken.source else "", key): value
            for taken in batch
            for key, value in taken.inventories
        }
        for (source, key), value in remembered.items():
            batches.remember(connection, source, key, value)

    def _place(self, connection: Connection, batch: list[Taken]) -> None:
        """Keep where things are; most messages say again what is known."""
        moved = [
            (taken, place)
            for taken in batch
            for place in taken.places
            if self._places.get(place.thing) != place.geometry
        ]
        if not moved:
            return
        sources = {place.thing: taken.source.name if taken.source else "" for taken, place in moved}
        numbers = {name: things.number(connection, [name], "sensor", at)[name] for name, at in sources.items()}
        stored = things.places(connection, numbers.values())
        current = {name: stored.get(number) for name, number in numbers.items()}
        for taken, place in moved:
            if current[place.thing] != place.geometry:
                current[place.thing] = place.geometry
                moment = place.time or taken.message.received
                things.place(connection, numbers[place.thing], place.geometry, moment, place.name)
        self._places |= current

    def _see(self, connection: Connection, batch: list[Taken]) -> None:
        """Note who was heard of, each thing every half minute at most; the messages between are counted here."""
        heard = self._heard
        due: dict[int, dict[str, Any]] = {}
        for taken in batch:
            received = taken.message.received
            for thing in self._things(taken):
                heard[thing] = (received, heard[thing][1] + 1 if thing in heard else 1)
                if thing in due or received - self._seen.get(thing, _LONG_AGO) > SEE_EVERY:
                    signal = due.setdefault(thing, {})
                    for one in taken.signals:
                        signal.update(one.values)
        self._note(connection, due)

    def _note(self, connection: Connection, due: Mapping[int, Mapping[str, Any]]) -> None:
        """Write that these things were heard of, with their radio signal."""
        if not due:
            return
        heard = {thing: self._heard.pop(thing) for thing in due}
        things.see(connection, {thing: things.Sighting(*heard[thing], due[thing]) for thing in due})
        self._seen |= {thing: moment for thing, (moment, _) in heard.items()}

    def _things(self, taken: Taken) -> Iterable[int]:
        if taken.observations:
            streams = {observation[0][0]: observation[0] for observation in taken.observations}  # one a thing
            return {self._streams[stream][1] for stream in streams.values()}
        return {self._cameras[passage.camera] for passage in taken.passages}


_LONG_AGO = datetime.min.replace(tzinfo=UTC)


def _count_rest(outcomes: Outcomes, taken: Taken) -> None:
    """Count what a message left out, and itself where it carries nothing."""
    outcomes.skipped.update(skipped.reason for skipped in taken.skipped)
    if taken.reject is not None:
        outcomes.rejected[taken.reject.reason] += 1
    elif taken.ignored is not None:
        outcomes.ignored[taken.ignored] += 1


def _span(batch: list[Taken], starts: set[int]) -> batches.Span:
    if not batch:
        return batches.Span()
    received = batch[0].message.received, batch[-1].message.received  # in this order they came
    first, last = (min(starts), max(starts)) if starts else (None, None)
    return batches.Span(*received, _moment(first), _moment(last))


def _moment(micros: int | None) -> datetime | None:
    return None if micros is None else EPOCH + timedelta(microseconds=micros)
