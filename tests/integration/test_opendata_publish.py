"""The publisher on a real PostgreSQL: order, members, buckets."""

import threading
from collections.abc import Iterator
from datetime import timedelta

import psycopg
import pytest
from opendata_city import AIR, MINUTE, T0, City, config

from broker.model import Datastream, Flow
from broker.readiness import Readiness
from broker.store.database import Database
from deploy.embedded import Postgres
from opendata import publish

HOUR = timedelta(hours=1)
NOISE = """
[[feed]]
id = "noise"
title = "Geluid"
property = ["soundPressureLevel"]
policy = "aggregate"
window = "PT1H"
statistics = ["mean", "max", "count"]
"""
CARS = """
[[feed]]
id = "cars"
title = "Auto's"
kind = ["camera"]
policy = "aggregate"
window = "PT15M"
statistics = ["count"]
"""


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


def no_flows(*_):
    return []


def step(store, settings, now=T0, since=None, flows=no_flows):
    return publish.step(store, settings, flows, now, since=since)


def members(city, feed):
    return {
        row[0]
        for row in city.all(
            "select datastream_id from feed_member where feed = %s and until_sequence is null", feed
        )
    }


def test_batches_get_a_sequence_without_gaps_in_the_order_of_their_ids(city, store):
    stream = city.datastream("s1", "airTemperature", "Cel")
    batches = [city.observe([(stream, T0 + i * MINUTE, i)]) for i in range(5)]
    step(store, config())
    given = city.all("select id, sequence from batch order by sequence")
    assert [batch for batch, _ in given] == batches
    assert city.one("select count(*) = max(sequence) and min(sequence) = 1 from publication")


def test_publication_time_never_goes_back(city, store):
    stream = city.datastream("s1", "airTemperature", "Cel")
    city.observe([(stream, T0, 1)])
    step(store, config(), T0)
    city.observe([(stream, T0 + MINUTE, 1)])
    step(store, config(), T0 - HOUR)
    assert city.one("select bool_and(published = %s) from publication", T0)


def test_nothing_is_readable_before_it_is_sequenced(city, store):
    stream = city.datastream("s1", "airTemperature", "Cel")
    city.observe([(stream, T0, 1)])
    step(store, config())
    city.observe([(stream, T0 + MINUTE, 2)])
    visible = "select count(*) from published_observation where feed = 'air'"
    assert city.one(visible) == 1
    assert city.one("select phenomenon_start from published_latest where feed = 'air'") == T0
    step(store, config())
    assert city.one(visible) == 2


def test_one_publisher_works_at_a_time(city, store):
    city.observe([(city.datastream("s1", "airTemperature"), T0, 1)])
    with store.transaction() as other:
        assert publish.feeds.lock(other)
        assert not step(store, config()).worked
    assert step(store, config()).worked


def test_wildcards_leave_out_what_is_personal_or_of_a_camera(city, store):
    wanted = city.datastream("s1", "airTemperature")
    city.datastream("s1", "wifiDevices", personal=True)
    city.datastream("cam1", "batteryLevel", kind="camera")
    step(store, config('[[feed]]\nid = "all"\ntitle = "Alles"'))
    assert members(city, "all") == {wanted}


def test_a_new_datastream_joins_with_its_batch_and_an_old_one_with_its_history(city, store):
    old = city.datastream("s1", "airTemperature")
    city.observe([(old, T0, 1)])
    step(store, config('[[feed]]\nid = "other"\ntitle = "Ander"\nproperty = ["pm10"]'))
    done = step(store, config())
    joined = city.one("select from_sequence from feed_member where feed = 'air'")
    assert city.one("select sequence from published_observation where feed = 'air'") == joined
    new = city.datastream("s2", "pm25")
    batch = city.observe([(new, T0, 2)])
    step(store, config(), since=done.newest)
    own = city.one("select sequence from batch where id = %s", batch)
    assert city.one("select sequence from published_observation where datastream_id = %s", new) == own


def test_who_leaves_keeps_what_was_published_and_can_come_back(city, store):
    stream = city.datastream("s1", "airTemperature")
    only = '[[feed]]\nid = "air"\ntitle = "x"\narea = ["Noord"]'
    seen = "select phenomenon_start from published_observation where feed = 'air' order by 1"
    city.thing("s1", area="Noord")
    city.observe([(stream, T0, 1)])
    step(store, config(only))
    city.thing("s1", area="Zuid")
    step(store, config(only))
    city.observe([(stream, T0 + MINUTE, 2)])
    step(store, config(only))
    assert city.all(seen) == [(T0,)]
    city.thing("s1", area="Noord")
    step(store, config(only))
    city.observe([(stream, T0 + 2 * MINUTE, 3)])
    step(store, config(only))
    assert city.all(seen) == [(T0,), (T0 + MINUTE,), (T0 + 2 * MINUTE,)]


def test_the_newest_version_counts_and_a_withdrawal_is_one(city, store):
    stream = city.datastream("s1", "airTemperature")
    city.observe([(stream, T0, 1), (stream, T0 + MINUTE, 2)])
    step(store, config())
    city.observe([(stream, T0, 5, 0, None, 1), (stream, T0 + MINUTE, None, 128, None, 1)])
    rows = "select result_number, version, status from published_observation order by phenomenon_start"
    assert city.all(rows) == [(1, 0, "published"), (2, 0, "published")]
    step(store, config())
    assert city.all(rows) == [(5, 1, "published"), (None, 1, "withdrawn")]


def test_positions_move_only_with_what_a_feed_shows(city, store):
    both = AIR + '[[feed]]\nid = "rain"\ntitle = "Regen"\nproperty = ["precipitation"]'
    air, rain = city.datastream("s1", "airTemperature"), city.datastream("s2", "precipitation")
    city.observe([(air, T0, 1), (rain, T0, 1)])
    step(store, config(both))
    before = dict(city.all("select feed, sequence from feed_position"))
    city.observe([(air, T0 + MINUTE, 1)])
    step(store, config(both))
    after = dict(city.all("select feed, sequence from feed_position"))
    assert after["air"] > before["air"]
    assert after["rain"] == before["rain"]
    city.observe([(air, T0 + 2 * MINUTE, 1)], named=False)
    step(store, config(both))
    assert city.one("select sequence from feed_position where feed = 'rain'") > before["rain"]


def test_a_bucket_closes_after_its_end_and_lateness_by_the_vocabularys_rule(city, store):
    stream = city.datastream("s1", "soundPressureLevel", "dB")
    city.observe([(stream, T0 + i * MINUTE, value) for i, value in enumerate([50, 60, 999])][:2])
    city.observe([(stream, T0 + 5 * MINUTE, 200, 1)])  # implausible: published, never averaged
    for now in (T0 + HOUR, T0 + HOUR + 4 * MINUTE):
        city.alive(now)
        step(store, config(NOISE), now)
        assert city.one("select count(*) from cell") == 0
    now = T0 + HOUR + 5 * MINUTE
    city.alive(now)
    step(store, config(NOISE), now)
    found = dict(
        city.all(
            """select d.qualifier, c.result_number from cell c join datastream d on d.id = c.datastream_id
               where c.phenomenon_start = %s and c.phenomenon_end = %s""",
            T0,
            T0 + HOUR,
        )
    )
    assert found == {"PT1H mean": pytest.approx(57.404, abs=0.001), "PT1H max": 60, "PT1H count": 2}
    assert city.one("select count(*) from published_observation where feed = 'noise'") == 3
    assert city.one("select closed_until from frontier") == T0 + HOUR


@pytest.mark.parametrize(
    ("role", "heartbeat", "drained", "closes"),
    [
        ("ingest", 0, 0, True),
        ("ingest", 0, -20, False),  # has not emptied its queue since the bucket's end
        ("history", 0, -20, False),
        ("ingest", -31, -20, False),  # dead, and may hold something
        ("ingest", -61 * 60, -200, True),  # dead for so long that nobody waits
    ],
)
def test_a_bucket_waits_for_every_process(city, store, role, heartbeat, drained, closes):
    now = T0 + HOUR + 10 * MINUTE
    city.observe([(city.datastream("s1", "soundPressureLevel", "dB"), T0, 50)])
    city.alive(now)
    city.alive(
        now + timedelta(seconds=heartbeat), drained=now + timedelta(minutes=drained), name="other", role=role
    )
    step(store, config(NOISE), now)
    assert (city.one("select count(*) from cell") > 0) is closes


def test_no_bucket_closes_while_no_ingest_is_alive(city, store):
    city.observe([(city.datastream("s1", "soundPressureLevel", "dB"), T0, 50)])
    step(store, config(NOISE), T0 + 2 * HOUR)
    city.alive(T0 + 2 * HOUR, role="history")
    step(store, config(NOISE), T0 + 2 * HOUR)
    assert city.one("select count(*) from cell") == 0


def test_late_data_are_stored_counted_and_in_no_cell(city, store):
    stream = city.datastream("s1", "soundPressureLevel", "dB")
    city.observe([(stream, T0, 50)])
    now = T0 + HOUR + 5 * MINUTE
    city.alive(now)
    step(store, config(NOISE), now)
    before = city.all("select * from cell order by id")
    late = city.observe([(stream, T0 + MINUTE, 90), (stream, now, 55)])
    step(store, config(NOISE), now + timedelta(seconds=1))
    assert city.one("select late from batch where id = %s", late) == 1
    city.alive(now + 2 * HOUR)
    step(store, config(NOISE), now + 2 * HOUR)
    assert city.all("select * from cell order by id")[: len(before)] == before
    assert city.one("select count(*) from cell where phenomenon_start = %s", T0) == len(before)


def test_days_follow_the_citys_clock(city, store):
    daily = NOISE.replace("PT1H", "P1D")
    stream = city.datastream("s1", "soundPressureLevel", "dB")
    night = T0.replace(month=10, day=25, hour=12)  # 25 hours long in Brussels
    city.observe([(stream, night, 50)])
    now = night + timedelta(days=2)
    city.alive(now)
    step(store, config(daily), now)
    start, end = city.all("select phenomenon_start, phenomenon_end from cell limit 1")[0]
    assert (start, end) == (night.replace(day=24, hour=22), night.replace(day=25, hour=23))


def test_a_minimum_suppresses_thin_cells(city, store):
    stream = city.datastream("s1", "soundPressureLevel", "dB")
    city.observe([(stream, T0, 50), (stream, T0 + HOUR, 50), (stream, T0 + HOUR + MINUTE, 52)])
    now = T0 + 3 * HOUR
    city.alive(now)
    settings = config(NOISE.replace('statistics = ["mean", "max", "count"]', "minimum = 2"))
    while step(store, settings, now).more:
        pass
    found = city.all("select status, result_number is null from published_observation order by phenomenon_start")
    assert found == [("suppressed", True), ("published", False)]
    assert city.one("select qualifier from datastream where parent_id is not null") == "PT1H mean min 2"


def test_flows_are_disclosed_once_with_the_citys_minimum(city, store):
    city.thing("cam1", kind="camera")
    city.connection.execute(
        """insert into passage (camera_id, identity, time, received, read_status, direction, vehicle_class, batch_id)
           select id, 'x', %s, %s, 'unread', 'unknown', 'unknown', 1 from thing""",
        [T0, T0],
    )
    quarter = timedelta(minutes=15)
    asked = []

    def flows(_, start, end, now):
        asked.append((start, end, now))
        buckets = [start + i * quarter for i in range((end - start) // quarter)]
        counts = dict(zip(buckets, [7, 4, 0], strict=False))
        stream = Datastream("cam1", "vehiclePassageCount", "", "1")
        return [Flow(stream, "camera", b, b + quarter, float(n), n) for b, n in counts.items()]

    now = T0 + 3 * quarter + 5 * MINUTE
    city.alive(now)
    step(store, config(CARS), now, flows=flows)
    step(store, config(CARS), now, flows=flows)
    assert asked == [(T0, T0 + 3 * quarter, now)]
    shown = "select result_number, status from published_observation where feed = 'cars' order by phenomenon_start"
    assert city.all(shown) == [(7, "published"), (None, "suppressed"), (None, "suppressed")]
    assert city.one("select result_number from cell where status = 'suppressed' limit 1") is None
    assert city.one("select minimum from datastream where cell_window is not null") == 5


def test_the_loop_publishes_within_seconds_and_outlives_the_stores_absence(city, database):
    stop, readiness = threading.Event(), Readiness()
    stream = city.datastream("s1", "airTemperature")
    expired = threading.Event()
    arguments = {
        "database_url": database.publish,
        "flows": no_flows,
        "expire": lambda *_: expired.set(),
        "stop": stop,
        "readiness": readiness,
    }
    thread = threading.Thread(target=publish.run, args=(config(),), kwargs=arguments)
    thread.start()
    try:
        assert expired.wait(30)
        with psycopg.connect(database.publish, autocommit=True) as own:
            own.execute(
                """select pg_terminate_backend(pid) from pg_stat_activity
                   where usename = current_user and pid <> pg_backend_pid()"""
            )
        city.observe([(stream, T0, 1)])
        waited = threading.Event()
        for _ in range(300):
            if city.one("select count(*) from published_observation"):
                break
            waited.wait(0.1)
        assert city.one("select count(*) from published_observation") == 1
    finally:
        stop.set()
        thread.join(30)
    assert not readiness.missing()
