"""Old observations go by whole weeks, on each engine; nobody is held up, and feeds say that they have changed."""

from collections.abc import Iterator
from datetime import timedelta

import psycopg
import pytest
from opendata_city import AIR, MINUTE, T0, City, config
from test_ingest import CONFIG, query, reading, running, until
from test_ingest import publish as send

from anpr.keys import KeyStore
from broker import config as configuration
from broker.store import published, schema
from broker.store.database import Database
from deploy.embedded import Postgres
from opendata import publish

DAY = timedelta(days=1)
KEEP = '[publish]\nretention = "P20D"'
HOURLY = """
[[feed]]
id = "hourly"
title = "Per uur"
property = ["airTemperature"]
policy = "aggregate"
window = "PT1H"
"""


@pytest.fixture(params=["wheel", "debian", "timescale"])
def url(request: pytest.FixtureRequest) -> str:
    """The owner's login of an empty database on each engine."""
    if request.param == "wheel":
        return request.getfixturevalue("empty_database").owner
    return request.getfixturevalue(request.param)


@pytest.fixture
def store(database: Postgres) -> Iterator[Database]:
    opened = Database(database.publish, role="citybroker_publish")
    yield opened
    opened.close()


def no_flows(*_):
    return []


def position(store: Database) -> int:
    with store.transaction() as connection:
        return connection.execute("select sequence from feed_position where feed = 'air'").fetchone()[0]


def kept(url: str) -> list[float]:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("reset role")  # likewise
        rows = connection.execute(
            "select result_number from published_observation where feed = 'air' order by phenomenon_start"
        )
        return [number for (number,) in rows]


def test_whole_weeks_go_and_the_feeds_move_on(url):
    schema.migrate(url)
    city = City(url)
    stream = city.datastream("s1", "airTemperature", "Cel")
    for days in (90, 60, 5, 0):
        city.observe([(stream, T0 - days * DAY, days)])
    city.connection.execute("deallocate all")  # in WebAssembly all connections are one session
    city.close()
    settings = config(AIR, KEEP)
    store = Database(url, size=1, role="citybroker_publish")
    publish.step(store, settings, no_flows, T0)
    before = position(store)
    assert publish.retain(store, settings, T0)
    assert position(store) == before + 1
    assert publish.retain(store, settings, T0)  # nothing more to do
    assert position(store) == before + 1
    store.close()
    assert kept(url) == [5, 0]


def test_without_retention_all_is_kept(database, store):
    city = City(database.owner)
    city.observe([(city.datastream("s1", "airTemperature", "Cel"), T0 - 4000 * DAY, 1)])
    city.close()
    publish.step(store, config(), no_flows, T0)
    assert publish.retain(store, config(), T0)
    assert kept(database.owner) == [1]


def test_an_export_is_not_disturbed_and_dropping_waits_for_the_next_time(database, store):
    city = City(database.owner)
    stream = city.datastream("s1", "airTemperature", "Cel")
    city.observe([(stream, T0 - 60 * DAY, 1), (stream, T0, 2)])
    city.close()
    settings = config(AIR, KEEP)
    publish.step(store, settings, no_flows, T0)
    reader = Database(database.serve, size=1, role="citybroker_serve")
    with published.snapshot(reader) as connection:
        blocks = published.export(connection, "air", [stream], published.Interval())
        next(blocks)
        first = next(blocks)
        assert not publish.retain(store, settings, T0)
        assert (first + b"".join(blocks)).count(b"\n") == 2
    reader.close()
    assert kept(database.owner) == [1, 2]
    assert publish.retain(store, settings, T0)
    assert kept(database.owner) == [2]


def test_what_an_open_bucket_needs_stays(database, store):
    city = City(database.owner)
    stream = city.datastream("s1", "airTemperature", "Cel")
    city.observe([(stream, T0 - 60 * DAY, 1), (stream, T0, 2)])
    settings = config(AIR + HOURLY, KEEP)
    city.alive(T0 - 59 * DAY)
    while publish.step(store, settings, no_flows, T0 - 59 * DAY).more:
        pass
    city.connection.execute("update frontier set closed_until = %s", [T0 - 61 * DAY])
    assert publish.retain(store, settings, T0)
    assert kept(database.owner) == [1, 2]
    city.connection.execute("update frontier set closed_until = %s", [T0])
    assert publish.retain(store, settings, T0)
    assert kept(database.owner) == [2]
    assert city.one("select count(*) from published_observation where feed = 'hourly'") == 1  # cells stay
    city.close()


def test_the_loop_drops_by_itself(database, store):
    city = City(database.owner)
    stream = city.datastream("s1", "airTemperature", "Cel")
    city.observe([(stream, T0 - 4000 * DAY, 1)])
    state = publish.State()
    for _ in range(2):
        publish._work(store, config(AIR, KEEP), no_flows, lambda *_: None, state)
    assert kept(database.owner) == []
    city.observe([(stream, T0 - 4000 * DAY + MINUTE, 1)])
    publish._work(store, config(AIR, KEEP), no_flows, lambda *_: None, state)
    assert kept(database.owner) == [1]  # until the hour is over
    city.close()


def test_a_message_about_a_week_that_is_gone_is_stored_again(mosquitto, database, store, tmp_path, monkeypatch):
    monkeypatch.setattr("ingest.run.expose_messages", lambda: None)
    settings = configuration.read(f"{CONFIG}\n{AIR}\n{KEEP}", "city.toml")
    keys = KeyStore(tmp_path / "keys", settings.city.id, settings.zone)
    count = "select count(*) from observation"

    def sent(minute: int) -> tuple[str, bytes]:
        return "sensors/s1", reading(time=f"2020-01-06T10:{minute:02d}:00Z", temperature=minute)

    with running(settings, mosquitto.url, database.ingest, keys):
        send(mosquitto.url, sent(1))
        until(lambda: query(database, count) == [(1,)])
        publish.step(store, settings, no_flows, T0)
        assert publish.retain(store, settings, T0)
        assert query(database, count) == [(0,)]
        send(mosquitto.url, sent(2))
        until(lambda: query(database, count) == [(1,)])
    assert query(database, "select count(*) from reject") == [(0,)]
