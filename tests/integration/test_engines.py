"""The schema gives the same on the wheel's PostgreSQL, on Debian's and on TimescaleDB."""

from datetime import UTC, datetime, timedelta

import psycopg
import pytest

from broker.metrics import Outcomes
from broker.model import Datastream, Quality
from broker.store import batches, observations, schema, things

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
STREAM = Datastream("kortrijk-01", "temperature", "", "Cel")
ORIGIN = things.Origin("meteo", "tts_v3", personal=False)
DESCRIBED = {"temperature": things.Description("temperature", "", "")}
OBSERVATION = """
    insert into observation (datastream_id, phenomenon_start, version, result_number, quality, batch_id)
    values (%s, %s, %s, %s, %s, %s)"""


@pytest.fixture(params=["wheel", "debian", "timescale"])
def url(request):
    """The owner's login of an empty database on each engine."""
    if request.param == "wheel":
        return request.getfixturevalue("empty_database").owner
    return request.getfixturevalue(request.param)


@pytest.fixture
def serve(url, request):
    """A login that may read as the API does."""
    return request.getfixturevalue("empty_database").serve if "wheel" in request.node.name else url


def fill(url):
    """Two published batches and one that no reader may see yet: an hour by minutes over two weeks, one corrected."""
    with psycopg.connect(url) as connection:
        stream, thing = things.datastreams(connection, {STREAM: ORIGIN}, DESCRIBED)[STREAM]
        things.place(connection, thing, {"type": "Point", "coordinates": [3.26, 50.83]}, NOON, "Kortrijk Markt")
        numbers = [batches.number(connection) for _ in range(3)]
        moments = [NOON + timedelta(minutes=minute, days=7 * (minute % 2)) for minute in range(60)]
        observations.ensure_partitions(connection, [*moments, NOON + timedelta(days=30)])
        for batch in numbers:
            batches.add(connection, batch, "ingest-0", "delivery", Outcomes(stored=1), batches.Span(), [])
        connection.execute("insert into publication values (1, %s), (2, %s)", [NOON, NOON + timedelta(hours=1)])
        connection.execute("update batch set sequence = id where id < 3")
        connection.execute("insert into feed (id, definition) values ('meteo', '{}')")
        connection.execute(
            "insert into feed_member (feed, datastream_id, from_sequence) values ('meteo', %s, 1)", [stream]
        )
        rows = [(stream, moment, 0, float(number), 0, numbers[0]) for number, moment in enumerate(moments)]
        rows.append((stream, moments[0], 1, 99.5, int(Quality.RANGE), numbers[1]))
        rows.append((stream, NOON + timedelta(days=30), 0, 7.0, 0, numbers[2]))
        connection.cursor().executemany(OBSERVATION, rows)


def read(url):
    """What the role of the API sees of the feed."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("set timezone to 'UTC'; set role citybroker_serve")
        try:
            found = connection.execute(
                """select phenomenon_start, result_number, quality, version, sequence, status
                   from published_observation where feed = 'meteo' order by phenomenon_start, version"""
            ).fetchall()
            span = connection.execute("select * from published_span('meteo')").fetchone()
            things_seen = connection.execute("select identity, name, location from published_thing").fetchall()
        finally:
            connection.execute("reset role")
        return found, span, things_seen


def test_migrations_and_reads(url, serve):
    assert len(schema.migrate(url)) == len(schema.names("postgres"))
    assert schema.migrate(url) == []
    fill(url)
    found, span, seen = read(serve)
    assert len(found) == 60
    assert found[0] == (NOON, 99.5, Quality.RANGE, 1, 2, "published")
    assert found[1] == (NOON + timedelta(minutes=2), 2.0, 0, 0, 1, "published")
    assert [row[0] for row in found] == sorted({row[0] for row in found})
    assert span == (NOON, NOON + timedelta(days=7, minutes=59))
    assert seen == [("kortrijk-01", "Kortrijk Markt", {"type": "Point", "coordinates": [3.26, 50.83]})]


def test_an_observation_is_there_once(url):
    schema.migrate(url)
    fill(url)
    with psycopg.connect(url) as connection:
        again = "insert into observation select * from observation on conflict do nothing"
        assert connection.execute(again).rowcount == 0


def test_the_hypertable_is_compressed_and_reads_the_same(timescale):
    schema.migrate(timescale)
    fill(timescale)
    before = read(timescale)
    with psycopg.connect(timescale, autocommit=True) as connection:
        chunks = connection.execute("select compress_chunk(c) from show_chunks('observation') c").fetchall()
        policies = connection.execute(
            "select proc_name from timescaledb_information.jobs where hypertable_name is not null"
        )
        assert "policy_compression" in {name for (name,) in policies}
        packed = "select count(*) from timescaledb_information.chunks where is_compressed"
        assert connection.execute(packed).fetchone() == (len(chunks),)
    assert len(chunks) == 3
    assert read(timescale) == before


def test_a_late_duplicate_meets_a_compressed_chunk(timescale):
    schema.migrate(timescale)
    fill(timescale)
    with psycopg.connect(timescale, autocommit=True) as connection:
        stream = connection.execute("select id from datastream").fetchone()[0]
        connection.execute("select compress_chunk(c) from show_chunks('observation') c")
        again = OBSERVATION + " on conflict do nothing"
        assert connection.execute(again, [stream, NOON, 0, 0.0, 0, 3]).rowcount == 0
        assert connection.execute(again, [stream, NOON + timedelta(seconds=1), 0, 0.0, 0, 3]).rowcount == 1
