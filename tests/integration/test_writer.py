"""A batch into a real PostgreSQL: everything new once, repetitions counted, refusals harmless."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from broker.config import RejectsTable
from broker.errors import StoreRefused
from broker.model import Datastream, Inventory, Message, Observation, Passage, Place, Signal, Skipped, Source
from broker.store import batches, observations, rejects, things
from broker.store.database import Database
from broker.vocabulary import load
from ingest.writer import Taken, Writer

T0 = datetime(2026, 3, 2, 7, tzinfo=UTC)
SOURCE = Source("sensors", "s/#", format="json")
CAMERA = Source("cameras", "c/#", camera="milesight", personal=True)


@pytest.fixture
def store(database) -> Iterator[Database]:
    found = Database(database.ingest, role="citybroker_ingest")
    yield found
    found.close()


@pytest.fixture
def writer(store) -> Writer:
    return Writer(store, load(), "test", keep=RejectsTable(max_age=timedelta(days=36500)))


def message(n: int = 0, payload: bytes = b"{}") -> Message:
    return Message(f"s/{n}", payload, T0 + timedelta(seconds=n))


def observation(
    number: float | None, minute: int = 0, thing: str = "a", result=None, end=None, **more
) -> Observation:
    stream = Datastream(thing, more.get("property", "temperature"), "", more.get("unit", "Cel"))
    return Observation(stream, T0 + timedelta(minutes=minute), end, number, result, more.get("quality", 0))


def taken(*found: Observation, n: int = 0, **more) -> Taken:
    return Taken(message(n), SOURCE, observations=list(found), **more)


def write(writer: Writer, *batch: Taken, **more):
    return writer.write(list(batch), drained=T0, **more)


def rows(store: Database, sql: str) -> list[tuple]:
    with store.transaction() as connection:
        return connection.execute(sql).fetchall()


STORED = (
    "select phenomenon_start, phenomenon_end, result_number, result, quality, version from observation order by 1"
)


def test_stores_numbers_intervals_and_other_results(writer, store):
    end = T0 + timedelta(minutes=15)
    outcomes = write(
        writer,
        taken(observation(21.5, 0, quality=3)),
        taken(observation(4, 1, end=end), observation(None, 2, result="open"), n=1),
        taken(observation(None, 3, result=True), observation(None, 4, result={"a": [1]}, end=end), n=2),
    )
    assert (outcomes.stored, outcomes.observations, outcomes.messages) == (3, 5, 3)
    minute = [T0 + timedelta(minutes=n) for n in range(5)]
    assert rows(store, STORED) == [
        (minute[0], None, 21.5, None, 3, 0),
        (minute[1], end, 4.0, None, 0, 0),
        (minute[2], None, None, "open", 0, 0),
        (minute[3], None, None, True, 0, 0),
        (minute[4], end, None, {"a": [1]}, 0, 0),
    ]


def test_micros_are_those_of_postgres(writer, store):
    moment = datetime(1999, 12, 31, 23, 59, 59, 999999, tzinfo=UTC)
    stream = Datastream("a", "temperature", "", "Cel")
    write(writer, taken(Observation(stream, moment, None, 1.0, None, 0)))
    assert rows(store, STORED)[0][0] == moment
    assert observations.micros(moment) == -1


def test_the_same_again_is_a_duplicate_and_another_value_a_conflict(writer, store):
    assert write(writer, taken(observation(1)), taken(observation(2, 1))).stored == 2
    again = write(writer, taken(observation(1)), taken(observation(3, 1)), taken(observation(4, 2)))
    assert (again.stored, again.duplicate, again.conflicts, again.observations) == (1, 2, 1, 1)
    assert [row[2] for row in rows(store, STORED)] == [1.0, 2.0, 4.0]


def test_repetitions_inside_a_batch_count_too(writer, store):
    outcomes = write(writer, taken(observation(1)), taken(observation(1)), taken(observation(9)))
    assert (outcomes.stored, outcomes.duplicate, outcomes.conflicts) == (1, 2, 1)
    assert [row[2] for row in rows(store, STORED)] == [1.0]


def test_a_message_is_stored_if_one_of_its_values_is_new(writer):
    write(writer, taken(observation(1)))
    outcomes = write(writer, taken(observation(1), observation(2, 1)))
    assert (outcomes.stored, outcomes.duplicate, outcomes.observations) == (1, 0, 1)


def test_a_merge_takes_results_of_every_kind(writer, store):
    batch = [
        taken(observation(1), observation(2.5, 1), observation(None, 2, result="open")),
        taken(observation(None, 3, result={"a": True}, end=T0 + timedelta(hours=1)), n=1),
    ]
    write(writer, taken(observation(1)))
    assert write(writer, *batch).observations == 3
    assert write(writer, *batch).duplicate == 2
    assert [row[2:4] for row in rows(store, STORED)] == [
        (1.0, None),
        (2.5, None),
        (None, "open"),
        (None, {"a": True}),
    ]


def test_a_merge_also_serves_batches_without_repetitions(writer):
    write(writer, taken(observation(1)))
    write(writer, taken(observation(1)))
    assert write(writer, taken(observation(5, 7))).stored == 1
    assert write(writer).messages == 0


def test_another_writer_finds_what_the_first_made(writer, store):
    write(writer, taken(observation(1)))
    other = Writer(store, load(), "other", keep=RejectsTable())
    assert write(other, taken(observation(1), observation(2, 1))).observations == 1
    assert rows(store, "select count(*) from datastream") == [(1,)]
    assert rows(store, "select count(*) from thing") == [(1,)]


def test_a_property_outside_the_vocabulary_keeps_its_name_and_unit(writer, store):
    write(writer, taken(observation(1, property="wobble", unit="furlong")))
    assert rows(store, "select key, definition from observed_property") == [("wobble", "")]
    assert rows(store, "select unit, personal from datastream") == [("furlong", False)]


def test_counts_every_outcome_in_its_batch(writer, store):
    reject = rejects.Reject("sensors", "s/3", "syntax", "line 1", T0, False, 2, b"{}")
    outcomes = write(
        writer,
        taken(observation(1), skipped=[Skipped("x", "null")]),
        Taken(message(1), SOURCE, ignored="join"),
        Taken(message(2), SOURCE, reject=reject),
        again=2,
        flying=7,
    )
    assert (outcomes.messages, outcomes.stored, outcomes.duplicate) == (5, 1, 2)
    with store.transaction() as connection:
        counters = batches.counters(connection)
    assert counters == {
        "received": 12,
        "stored": 1,
        "duplicate": 2,
        "in_flight": 7,
        "observations": 1,
        "passages": 0,
        "conflicts": 0,
        "ignored": {"join": 1},
        "rejected": {"syntax": 1},
    }
    assert rows(store, "select skipped, received_last from batch") == [({"null": 1}, T0 + timedelta(seconds=2))]


def test_a_replay_is_no_delivery(writer, store):
    replayed = Writer(store, load(), "replay", kind="replay", keep=RejectsTable())
    write(replayed, taken(observation(1)))
    with store.transaction() as connection:
        assert batches.counters(connection)["received"] == 0
    assert rows(store, "select count(*) from process") == [(0,)]


def test_what_the_store_refuses_leaves_nothing(writer, store):
    with pytest.raises(StoreRefused):
        write(writer, taken(observation(1)), taken(observation(None, 1, result="a\0b")))
    assert rows(store, STORED) == []
    assert rows(store, "select count(*) from batch") == [(0,)]


def test_passages_are_stored_once_by_camera_and_identity(writer, store):
    def passage(identity: bytes, camera: str = "c1") -> Passage:
        return Passage(
            *(camera, T0, T0, identity, "read", b"12345678", "1", "forward", "auto", "BE", 0.9, None),
        )

    first = Taken(message(0), CAMERA, passages=[passage(b"1" * 16)])
    both = Taken(message(1), CAMERA, passages=[passage(b"1" * 16), passage(b"1" * 16, "c2")])
    assert write(writer, first, first).duplicate == 1
    outcomes = write(writer, both)
    assert (outcomes.stored, outcomes.passages) == (1, 1)
    assert rows(store, "select identity, kind from thing order by 1") == [("c1", "camera"), ("c2", "camera")]
    assert (
        rows(store, "select token, lane, speed, confidence::float8::numeric(2, 1)::float8 from passage")
        == [(b"12345678", "1", None, 0.9)] * 2
    )


def test_places_make_history_and_the_latest_is_current(writer, store):
    def place(longitude: float, hours: int) -> Place:
        return Place("a", {"type": "Point", "coordinates": [longitude, 51.0]}, T0 + timedelta(hours=hours), "Here")

    write(writer, taken(observation(1), places=[place(3.0, 0)]))
    write(writer, taken(observation(2, 1), places=[place(3.0, 1)]))
    write(writer, taken(observation(3, 2), places=[place(4.0, 2)]))
    writer.forget()
    write(writer, taken(observation(4, 3), places=[place(3.5, 1)]))
    with store.transaction() as connection:
        (found,) = things.registered(connection)
    assert found["name"] == "Here"
    assert found["location"]["coordinates"] == [4.0, 51.0]
    assert rows(store, "select count(*) from historical_location") == [(3,)]


def test_last_seen_and_signal_are_kept_on_the_thing(writer, store):
    write(writer, taken(observation(1), signals=[Signal("a", {"rssi": -90, "snr": 7})]))
    with store.transaction() as connection:
        (found,) = things.registered(connection)
    assert (found["signal"], found["last_seen"], found["datastreams"]) == ({"rssi": -90, "snr": 7}, T0, 1)


def test_decoders_are_remembered_and_forgotten(writer, store):
    write(
        writer,
        Taken(message(), SOURCE, inventories=[Inventory("k", {"a": 1}), Inventory("l", 2)], ignored="birth"),
    )
    write(writer, Taken(message(), SOURCE, inventories=[Inventory("l", None)], ignored="death"))
    with store.transaction() as connection:
        assert batches.remembered(connection) == {"sensors": {"k": {"a": 1}}}


def test_rejects_are_listed_marked_and_pruned(writer, store):
    def reject(n: int, payload: bytes | None) -> rejects.Reject:
        return rejects.Reject(
            "s", "t", "syntax", "why", T0 + timedelta(days=n), False, 3, payload, {"plate": "str"}
        )

    write(writer, *(Taken(message(n), SOURCE, reject=reject(n, None if n == 1 else b"abc")) for n in range(4)))
    with store.transaction() as connection:
        listed = rejects.recent(connection)
        assert [row["replayable"] for row in listed] == [True, True, False, True]
        numbers = rejects.replayable(connection)
        assert len(numbers) == 3
        rejects.mark(connection, numbers[:1])
        assert rejects.replayable(connection) == numbers[1:]
        assert rejects.get(connection, numbers[0]) == reject(0, b"abc")
        assert rejects.get(connection, 10**9) is None
        assert rejects.prune(connection, T0 + timedelta(days=3), timedelta(days=1, hours=12), 1 << 20) == 2
        assert rejects.prune(connection, T0, timedelta(days=9), 250) == 1


def test_two_writers_at_once_store_each_row_once(store, database):
    from threading import Thread

    def work(name: str) -> None:
        mine = Database(database.ingest, role="citybroker_ingest")
        writer = Writer(mine, load(), name, keep=RejectsTable())
        for start in range(0, 400, 20):
            batch = [taken(observation(n, n, thing=f"t{n % 7}"), n=n) for n in range(start, start + 30)]
            write(writer, *batch)
        mine.close()

    threads = [Thread(target=work, args=[f"w{n}"]) for n in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert rows(store, "select count(*), count(distinct (datastream_id, phenomenon_start)) from observation") == [
        (410, 410)
    ]
    assert rows(store, "select sum(observations), sum(received) from batch") == [(410, 1200)]
