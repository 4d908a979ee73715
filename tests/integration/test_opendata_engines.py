"""The published views on Debian's PostgreSQL 15 and on TimescaleDB."""

from opendata_city import MINUTE, T0, City, config

from broker.store import published, schema
from broker.store.database import Database
from opendata import publish

FEEDS = """
[[feed]]
id = "air"
title = "Lucht"
[[feed]]
id = "hourly"
title = "Per uur"
policy = "aggregate"
window = "PT1H"
statistics = ["mean", "median", "last"]
"""


def check(url: str, *, cells: bool) -> None:
    schema.migrate(url)
    city = City(url)
    stream = city.datastream("s1", "airTemperature", "Cel")
    city.observe([(stream, T0 + i * MINUTE, i) for i in range(4)])
    city.observe([(stream, T0, 9, 0, None, 1)])
    city.alive(T0 + 90 * MINUTE)
    city.close()
    store = Database(url, size=1)
    feeds = FEEDS if cells else FEEDS.partition('[[feed]]\nid = "hourly"')[0]
    publish.step(store, config(feeds), lambda *_: [], T0 + 90 * MINUTE)
    with published.snapshot(store) as connection:
        rows = published.rows(connection, "air", [stream], published.Interval(), 10)
        assert [row.result for row in rows] == [9, 1, 2, 3]
        assert published.span(connection, "air") == (T0, T0 + 3 * MINUTE)
        assert [row.result for row in published.latest(connection, "air")] == [3]
        text = b"".join(published.export(connection, "air", [stream], published.Interval()))
        assert text.count(b"\n") == 5
        assert text.splitlines()[1].startswith(b"2026-11-24T10:00:00+00:00,s1,airTemperature,9,Cel,")
        if cells:
            found = {one.statistic: one.id for one in published.datastreams(connection, "hourly")}
            values = {row.datastream: row.result for row in published.latest(connection, "hourly")}
            assert {name: values[id_] for name, id_ in found.items()} == {"mean": 3.75, "median": 2.5, "last": 3}
    store.close()


def test_on_debians_postgresql_15(debian):
    check(debian, cells=True)


def test_on_timescaledb(timescale):
    check(timescale, cells=False)  # cells are written with COPY, which the WebAssembly build does not take
