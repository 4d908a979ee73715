"""Passages into counts, and their end, on a real PostgreSQL."""

import re
import secrets
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from anpr import flows
from broker.config import AnprTable
from broker.metrics import render
from broker.model import Passage
from broker.store import passages, things
from broker.store.database import Database

T0 = datetime(2026, 3, 2, 7, tzinfo=UTC)
QUARTER = timedelta(minutes=15)
NOW = T0 + timedelta(hours=2)


@pytest.fixture
def store(database) -> Iterator[Database]:
    found = Database(database.owner, role=None)
    with found.transaction() as connection:
        connection.execute("insert into publication values (1, %s)", [T0])
        connection.execute("insert into batch (id, process, sequence) values (1, 'test', 1), (2, 'test', null)")
        things.number(connection, ["a", "b"], "camera", "cameras")
        things.number(connection, ["air"], "sensor", "sensors")
        connection.execute("update thing set created = %s", [T0])
    yield found
    found.close()


@pytest.fixture
def publisher(database) -> Iterator[Database]:
    found = Database(database.publish, role="citybroker_publish")
    yield found
    found.close()


def passage(
    camera: str, seconds: float, token: bytes | None, *, status: str = "read", later: float = 0
) -> Passage:
    time = T0 + timedelta(seconds=seconds)
    return Passage(
        camera=camera,
        time=time,
        received=time + timedelta(seconds=later),
        identity=secrets.token_bytes(16),
        read_status=status,
        token=token,
        lane=None,
        direction="forward",
        vehicle_class="auto",
        country="BE",
        confidence=0.9,
        speed=None,
    )


def put(store: Database, *found: Passage, batch: int = 1) -> None:
    with store.transaction() as connection:
        numbers = things.number(connection, {one.camera for one in found}, "camera", "cameras")
        passages.merge(
            connection, [passages.Row(numbers[one.camera], one[3], *one[1:3], *one[4:]) for one in found], batch
        )


def counts(
    publisher: Database, start: datetime, end: datetime, now: datetime = NOW
) -> dict[tuple[str, datetime], int]:
    with publisher.transaction() as connection:
        found = flows.compute(connection, start, end, now)
    return {(one.datastream.thing, one.start): one.n for one in found}


def test_a_token_counts_once_and_the_unread_one_by_one(store, publisher):
    put(
        store,
        passage("a", 10, b"11111111"),
        passage("a", 20, b"11111111"),
        passage("a", 30, b"22222222"),
        passage("a", 40, None, status="unread"),
        passage("a", 40, None, status="unread"),
        passage("a", 50, None, status="no_plate"),
        passage("b", 10, b"11111111"),
    )
    with publisher.transaction() as connection:
        found = flows.compute(connection, T0, T0 + QUARTER, NOW)
    assert [(one.datastream.thing, one.value, one.n) for one in found] == [("a", 5.0, 5), ("b", 1.0, 1)]
    assert found[0].datastream == ("a", "vehiclePassageCount", "", "1")
    assert (found[0].kind, found[0].start, found[0].end) == ("camera", T0, T0 + QUARTER)


def test_buckets_are_half_open(store, publisher):
    put(
        store,
        passage("a", 0, b"1"),
        passage("a", 899.999, b"2"),
        passage("a", 900, b"3"),
        passage("a", 1800, b"4"),
    )
    found = counts(publisher, T0, T0 + 2 * QUARTER)
    assert found == {("a", T0): 2, ("a", T0 + QUARTER): 1, ("b", T0): 0, ("b", T0 + QUARTER): 0}


def test_a_camera_has_every_bucket_since_it_exists(store, publisher):
    put(store, passage("late", 1000, b"1"))
    found = counts(publisher, T0 - QUARTER, T0 + 3 * QUARTER)
    assert ("late", T0) not in found
    assert found["late", T0 + QUARTER] == 1
    assert found["late", T0 + 2 * QUARTER] == 0
    assert ("a", T0 - QUARTER) not in found
    assert not any(thing == "air" for thing, _ in found)


def test_what_is_not_sequenced_or_not_received_yet_is_not_counted(store, publisher):
    put(store, passage("a", 1, b"1"), batch=2)
    put(store, passage("a", 2, b"2", later=100), passage("a", 3, b"3"))
    assert counts(publisher, T0, T0 + QUARTER, T0 + timedelta(seconds=60))["a", T0] == 1
    assert counts(publisher, T0, T0 + QUARTER)["a", T0] == 2


def test_passages_without_their_token_add_to_the_value_but_not_to_n(store, publisher):
    put(store, passage("a", 1, None), passage("a", 2, None), passage("a", 3, b"1"))
    with publisher.transaction() as connection:
        found = flows.compute(connection, T0, T0 + QUARTER, NOW)
    assert (found[0].value, found[0].n) == (3.0, 1)


@pytest.mark.parametrize("day", [datetime(2026, 3, 29, tzinfo=UTC), datetime(2026, 10, 25, tzinfo=UTC)])
def test_clock_changes_neither_lose_nor_double_a_bucket(store, publisher, day):
    start = day - timedelta(hours=3)
    put(
        store, *(passage("a", (start - T0).total_seconds() + 60 * minute, b"%d" % minute) for minute in range(480))
    )
    found = counts(publisher, start, start + timedelta(hours=8), start + timedelta(days=1))
    assert [n for (thing, _), n in found.items() if thing == "a"] == [15] * 32


def test_tokens_and_passages_end_by_receive_time(store, publisher):
    put(
        store,
        passage("a", -7200, b"1", later=7200 + 30),  # replayed: happened long ago, received just now
        passage("a", 10, b"2"),
        passage("a", 10, None, status="unread"),
        passage("a", -4000, b"3"),
    )
    settings = AnprTable(token_lifetime=timedelta(minutes=60), passage_lifetime=timedelta(minutes=90))
    with publisher.transaction() as connection:
        found = flows.expire(connection, settings, T0 + timedelta(seconds=3600 + 20))
        left = connection.execute("select time, token from passage order by time, token").fetchall()
    assert found == flows.Ages(passage=7620.0, token=7620.0)
    assert left == [
        (T0 - timedelta(seconds=7200), b"1"),
        (T0 + timedelta(seconds=10), None),
        (T0 + timedelta(seconds=10), None),
    ]


def test_nothing_outlives_the_hard_cap(store, publisher):
    put(store, passage("a", 0, b"1"))
    loose = AnprTable.model_construct(
        token_lifetime=timedelta(days=30), passage_lifetime=timedelta(days=30), minimum=5
    )
    with publisher.transaction() as connection:
        flows.expire(connection, loose, T0 + timedelta(hours=24, seconds=1))
        assert flows.ages(connection, NOW) == flows.Ages(0.0, 0.0)


def test_lateness_is_a_metric_read_from_the_table(store, publisher):
    put(store, passage("a", 0, None), passage("a", 600, b"1"))
    with publisher.transaction() as connection:
        flows.expire(connection, AnprTable(), T0 + timedelta(seconds=900))
    text = render().decode()
    assert re.search(r"^citybroker_passage_oldest_seconds 900\.0$", text, re.MULTILINE)
    assert re.search(r"^citybroker_token_oldest_seconds 300\.0$", text, re.MULTILINE)
