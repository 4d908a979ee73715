"""Cells of what joins late, what comes late, and what a camera's first cell would tell."""

from collections.abc import Iterator
from datetime import timedelta

import pytest
from opendata_city import MINUTE, T0, City, config

from broker.model import Datastream, Flow
from broker.store import cells
from broker.store.database import Database
from deploy.embedded import Postgres
from opendata import publish

HOUR = timedelta(hours=1)
QUARTER = timedelta(minutes=15)
CELLS = """
    select c.phenomenon_start, c.result_number, c.status from cell c join datastream d on d.id = c.datastream_id
    where exists (select from feed_member m where m.datastream_id = d.id and m.feed = %s) order by 1"""


def feed(name: str, statistic: str = "mean", *, more: str = 'property = ["airTemperature"]') -> str:
    return (
        f'[[feed]]\nid = "{name}"\ntitle = "x"\npolicy = "aggregate"\nwindow = "PT1H"\n'
        f'statistics = ["{statistic}"]\n{more}\n'
    )


CARS = feed("cars", "count", more='kind = ["camera"]').replace("PT1H", "PT15M")


@pytest.fixture
def city(database: Postgres) -> Iterator[City]:
    made = City(database.owner)
    yield made
    made.close()


@pytest.fixture
def store(database: Postgres) -> Iterator[Database]:
    opened = Database(database.publish, role="citybroker_publish")
    yield opened
    opened.close()


@pytest.fixture
def work(city, store):
    """Publish until there is nothing more to do."""

    def work(feeds, now, flows=lambda *_: []):
        city.alive(now)
        while publish.step(store, config(feeds), flows, now).more:
            pass

    return work


def passed(city, time, received, n=1, camera="cam1"):
    """A batch of passages of one camera."""
    owner = city.thing(camera, kind="camera")
    with city.connection.transaction():
        batch = city.one(
            """insert into batch (process, passages, received_first, received_last)
               values ('test', %s, %s, %s) returning id""",
            n, received, received,
        )  # fmt: skip
        city.connection.execute(
            """insert into passage
                   (camera_id, identity, time, received, read_status, direction, vehicle_class, batch_id)
               select %s, decode(md5(%s::text || n), 'hex'), %s, %s, 'unread', 'unknown', 'unknown', %s
               from generate_series(1, %s) n""",
            [owner, batch, time, received, batch, n],
        )
    return batch


def test_a_feed_that_comes_later_gets_the_past_of_its_sensors(city, work):
    stream = city.datastream("s1", "airTemperature", "Cel")
    city.observe([(stream, T0 - timedelta(days=9) + i * 30 * MINUTE, float(i)) for i in range(4)])
    city.observe([(stream, T0 + i * 30 * MINUTE, float(i)) for i in range(4)])
    now = T0 + 3 * HOUR
    work(feed("mean"), now)
    before = city.all("select * from cell order by id")
    position = dict(city.all("select feed, sequence from feed_position"))
    work(feed("mean") + feed("most", "max"), now + MINUTE)
    means, most = city.all(CELLS, "mean"), city.all(CELLS, "most")
    assert [start for start, *_ in most] == [start for start, *_ in means]
    assert [value for _, value, _ in most] == [1, 3, 1, 3]
    assert city.all("select * from cell order by id")[: len(before)] == before
    assert city.one("select min(sequence) from published_observation where feed = 'most'") > position["mean"]
    assert city.one("select count(*) from fill") == 0
    work(feed("mean") + feed("most", "max"), now + 2 * MINUTE)
    assert city.all(CELLS, "most") == most
    city.observe([(stream, now, 8.0)])
    work(feed("mean") + feed("most", "max"), now + 2 * HOUR)
    assert city.all(CELLS, "most") == [*most, (now, 8, "published")]


def test_a_feed_that_was_away_fills_its_gap_and_decides_nothing_twice(city, work):
    stream = city.datastream("s1", "airTemperature", "Cel")
    both = feed("mean") + feed("most", "max")
    city.observe([(stream, T0, 1.0)])
    work(both, T0 + 2 * HOUR)
    city.observe([(stream, T0 + 2 * HOUR, 2.0)])
    work(feed("mean"), T0 + 4 * HOUR)
    city.observe([(stream, T0 + MINUTE, 99.0)])  # late
    assert len(city.all(CELLS, "most")) == 1
    work(both, T0 + 4 * HOUR + MINUTE)
    assert city.all(CELLS, "most") == [(T0, 1, "published"), (T0 + 2 * HOUR, 2, "published")]


def test_the_late_data_of_a_new_sensor_stay_in_no_cell(city, work):
    stream = city.datastream("s1", "airTemperature", "Cel")
    city.observe([(stream, T0, 1.0)])
    work(feed("mean"), T0 + 2 * HOUR)
    new = city.datastream("s2", "airTemperature", "Cel")
    late = city.observe([(new, T0, 5.0)])
    work(feed("mean"), T0 + 2 * HOUR + MINUTE)
    assert city.one("select late from batch where id = %s", late) == 1
    assert [value for _, value, _ in city.all(CELLS, "mean")] == [1]


def test_the_past_of_what_is_personal_is_never_decided(city, work):
    stream = city.datastream("s1", "airTemperature", "Cel")
    personal = city.datastream("s2", "airTemperature", "Cel", personal=True)
    city.observe([(stream, T0, 1.0), (personal, T0, 2.0)])
    quarters = feed("quarters").replace("PT1H", "PT15M")
    work(quarters, T0 + 2 * HOUR)
    passed(city, T0, T0, 9)

    asked = []

    def flows(_, start, end, now):
        asked.append(start)
        return []

    work(quarters + CARS, T0 + 3 * HOUR, flows)
    assert min(asked) == T0 + 2 * HOUR - QUARTER  # what was closed before stays as it is
    assert city.one("select count(*) from datastream where parent_id = %s", personal) == 0
    city.connection.execute("update datastream set personal = true where id = %s", [stream])
    city.connection.execute("delete from feed_member where feed = 'quarters'")
    with city.connection.transaction():
        series = city.all("select id from datastream where parent_id is not null")
        cells.owe(city.connection, [number for (number,) in series])
    assert city.one("select count(*) from fill") == 0


def test_late_passages_are_counted(city, work):
    passed(city, T0, T0, 9)

    def flows(_, start, end, now):
        buckets = [start + i * QUARTER for i in range((end - start) // QUARTER)]
        stream = Datastream("cam1", "vehiclePassageCount", "", "1")
        return [Flow(stream, "camera", b, b + QUARTER, 9.0, 9) for b in buckets]

    work(CARS, T0 + HOUR, flows)
    assert city.one("select max(late) from batch") == 0
    late = passed(city, T0 + MINUTE, T0 + HOUR, 3)
    fresh = passed(city, T0 + HOUR, T0 + HOUR, 2)
    work(CARS, T0 + HOUR + MINUTE, flows)
    assert city.one("select late from batch where id = %s", late) == 3
    assert city.one("select late from batch where id = %s", fresh) == 0


def test_a_camera_is_listed_from_its_first_cell_that_reaches_the_minimum(city, work):
    counts = {T0: 0, T0 + QUARTER: 3, T0 + 2 * QUARTER: 7, T0 + 3 * QUARTER: 0, T0 + 4 * QUARTER: 2}
    passed(city, T0, T0)

    def flows(_, start, end, now):
        stream = Datastream("cam1", "vehiclePassageCount", "", "1")
        return [Flow(stream, "camera", b, b + QUARTER, float(n), n) for b, n in counts.items() if start <= b < end]

    work(CARS, T0 + 2 * QUARTER + 5 * MINUTE, flows)
    assert city.one("select count(*) from cell") == 0
    assert city.one("select count(*) from published_thing") == 0
    work(CARS, T0 + 4 * QUARTER + 5 * MINUTE, flows)
    shown = [(T0 + 2 * QUARTER, 7, "published"), (T0 + 3 * QUARTER, None, "suppressed")]
    assert city.all(CELLS, "cars") == shown
    work(CARS, T0 + 5 * QUARTER + 5 * MINUTE, flows)
    assert city.all(CELLS, "cars") == [*shown, (T0 + 4 * QUARTER, None, "suppressed")]


def test_a_clock_that_was_never_set_does_not_open_the_lattice_of_decades(city, work):
    passed(city, T0 - timedelta(days=9000), T0)
    asked = []

    def flows(_, start, end, now):
        asked.append(start)
        return []

    work(CARS, T0 + HOUR, flows)
    assert min(asked) >= T0 + HOUR - timedelta(days=2, minutes=30)
