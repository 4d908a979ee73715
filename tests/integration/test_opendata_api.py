"""Every output over HTTP, from a real PostgreSQL under the API's own login."""

import csv
import gzip
import io
import json
import re
import socket
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import datetime, timedelta
from typing import Any

import httpx
import psycopg
import pyoxigraph
import pytest
import uvicorn
from fastapi import FastAPI
from opendata_city import AIR, MINUTE, T0, City, config

from broker import metrics
from broker.readiness import Readiness
from broker.store import published
from broker.store.database import Database
from deploy.embedded import Postgres
from opendata import app, catalogue, publish
from opendata.problems import Problem

OFFERED = (
    AIR
    + """
[[feed]]
id = "hourly"
title = "Per uur"
property = ["airTemperature"]
policy = "aggregate"
window = "PT1H"
statistics = ["mean"]
[[feed]]
id = "empty"
title = { nl = "Leeg", en = "Empty" }
source = ["nobody"]
"""
)
HOUR = timedelta(hours=1)
HEADER = "phenomenonTime,thing,observedProperty,result,unit,datastream,phenomenonTimeEnd,quality,status"


@pytest.fixture
def city(database: Postgres) -> Iterator[City]:
    made = City(database.owner)
    first = made.datastream("s1", "airTemperature", "Cel", qualifier="probe 1", area="Noord")
    second = made.datastream('s,"2', "pm25", "ug/m3")
    made.place("s1", 3.72, 51.05)
    made.observe([(first, T0 + i * MINUTE, 10 + i / 4) for i in range(10)])
    made.observe([(second, T0 + i * MINUTE + timedelta(microseconds=1), i) for i in range(5)])
    made.observe(
        [(second, T0 + 5 * MINUTE, 'zei "nee", ja', 1 | 8, T0 + 6 * MINUTE), (second, T0 + 7 * MINUTE, True)]
    )
    yield made
    made.close()


@pytest.fixture
def advance(database: Postgres, city: City) -> Iterator[Callable[..., None]]:
    store = Database(database.publish, role="citybroker_publish")

    def advance(now: datetime = T0 + timedelta(hours=2), feeds: str = OFFERED) -> None:
        city.alive(now)
        while publish.step(store, config(feeds), lambda *_: [], now).more:
            pass

    yield advance
    store.close()


@contextmanager
def served(made: FastAPI, **more: Any) -> Iterator[httpx.Client]:
    """The application behind a real server; any host name leads to it."""
    with tempfile.TemporaryDirectory() as folder:
        socket = f"{folder}/http"
        server = uvicorn.Server(uvicorn.Config(made, uds=socket, log_level="critical", ws="none", **more))
        thread = threading.Thread(target=server.run)
        thread.start()
        try:
            transport = httpx.HTTPTransport(uds=socket, retries=20)
            with httpx.Client(transport=transport, base_url="http://data.example", timeout=60) as client:
                yield client
        finally:
            server.should_exit = True
            thread.join(30)


@pytest.fixture
def readiness() -> Readiness:
    return Readiness()


@pytest.fixture
def client(database: Postgres, advance: Callable[..., None], readiness: Readiness) -> Iterator[httpx.Client]:
    advance()
    made = app.create(
        config(OFFERED), database_url=database.serve, readiness=readiness, submit=None, metrics=metrics.render
    )
    with served(made) as client:
        yield client


def table(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text, newline="")))


def test_csv_has_all_rows_ascending_in_the_promised_columns(client):
    answer = client.get("/feeds/air/observations.csv")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/csv")
    assert answer.text.partition("\n")[0] == HEADER
    rows = table(answer.text)
    times = [datetime.fromisoformat(row["phenomenonTime"]) for row in rows]
    assert len(rows) == 17
    assert times == sorted(times)
    assert rows[0] == {
        "phenomenonTime": "2026-11-24T10:00:00+00:00",
        "thing": "s1",
        "observedProperty": "airTemperature",
        "result": "10",
        "unit": "Cel",
        "datastream": "s1/airTemperature/probe 1",
        "phenomenonTimeEnd": "",
        "quality": "",
        "status": "published",
    }
    (odd,) = [row for row in rows if row["result"].startswith("zei")]
    assert odd["thing"] == 's,"2'
    assert odd["result"] == 'zei "nee", ja'
    assert odd["phenomenonTimeEnd"] == "2026-11-24T10:06:00+00:00"
    assert odd["quality"] == "range received"
    assert [
        row["result"]
        for row in rows
        if row["phenomenonTime"].startswith("2026-11-24T10:07") and row["unit"] != "Cel"
    ] == ["true"]


def test_csv_json_and_geojson_tell_the_same(client):
    rows = table(client.get("/feeds/air/observations.csv").text)
    body = client.get("/feeds/air/observations.json").json()
    features = client.get("/feeds/air/observations.geojson").json()
    assert [one["properties"] for one in features["features"]] == body["observations"]
    assert list(body["observations"][0]) == [
        "phenomenonTime", "phenomenonTimeEnd", "thing", "observedProperty", "result", "unit", "datastream", "quality", "status",
    ]  # fmt: skip
    for row, one in zip(rows, body["observations"], strict=True):
        assert datetime.fromisoformat(row["phenomenonTime"]) == datetime.fromisoformat(one["phenomenonTime"])
        same = ("thing", "observedProperty", "unit", "datastream", "quality", "status")
        assert [row[key] for key in same] == [one[key] for key in same]
    places = {one["properties"]["thing"]: one["geometry"] for one in features["features"]}
    assert places == {"s1": {"type": "Point", "coordinates": [3.72, 51.05]}, 's,"2': None}


def test_from_is_inclusive_and_to_exclusive_in_any_zone(client):
    for start in ("2026-11-24T10:02:00Z", "2026-11-24T11:02:00%2B01:00", "2026-11-24T11:02:00+01:00"):
        rows = table(client.get(f"/feeds/air/observations.csv?from={start}&to=2026-11-24T10:04:00Z&thing=s1").text)
        assert [row["phenomenonTime"][11:16] for row in rows] == ["10:02", "10:03"]


def test_things_and_properties_filter(client):
    one = client.get("/feeds/air/observations.json", params={"property": "pm25"}).json()["observations"]
    assert {row["thing"] for row in one} == {'s,"2'}
    both = client.get("/feeds/air/observations.json", params={"thing": ["s1", 's,"2']}).json()["observations"]
    assert len(both) == 17
    assert client.get("/feeds/air/observations.json", params={"thing": "other"}).json()["observations"] == []


@pytest.mark.parametrize(
    ("query", "name"),
    [
        ("from=2026-11-24T10:00:00", "from"),
        ("from=2026-11-24", "from"),
        ("to=yesterday", "to"),
        ("to=", "to"),
        ("from=2026-11-24T10:00:00Z&to=2026-11-23T10:00:00Z", "to"),
        ("limit=0", "limit"),
        ("limit=much", "limit"),
        ("after=nonsense", "after"),
    ],
)
def test_a_bad_parameter_is_named(client, query, name):
    answer = client.get(f"/feeds/air/observations.json?{query}")
    assert answer.status_code == 400
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["parameter"] == name
    assert answer.json()["status"] == 400


def test_pages_follow_each_other_to_the_end(client):
    found, address = [], "/feeds/air/observations.json?limit=4&from=2026-11-24T10:00:00Z"
    while address:
        answer = client.get(address)
        body = answer.json()
        found += body["observations"]
        address = body["next"]
        assert answer.headers.get("link") == (f'<{address}>; rel="next"' if address else None)
    assert found == client.get("/feeds/air/observations.json").json()["observations"]
    first = client.get("/feeds/air/observations.geojson?limit=4").json()
    assert first["links"][0]["rel"] == "next"


@pytest.mark.parametrize("form", ["csv", "json", "geojson"])
def test_an_etag_holds_until_the_feed_moves(client, form, city, advance):
    address = f"/feeds/air/observations.{form}"
    first = client.get(address)
    etag = first.headers["etag"]
    assert etag.startswith('"')
    for header in (etag, f'W/{etag}, "other"', "*"):
        same = client.get(address, headers={"If-None-Match": header})
        assert (same.status_code, same.content, same.headers["etag"]) == (304, b"", etag)
    assert client.get(f"{address}?thing=s1").headers["etag"] != etag
    assert client.get(address, headers={"Accept-Encoding": "identity"}).headers["etag"] != etag
    stream = city.one("select id from datastream where unit = 'Cel' and parent_id is null")
    city.observe([(stream, T0 + timedelta(hours=1), 3)])
    advance()
    later = client.get(address, headers={"If-None-Match": etag})
    assert later.status_code == 200
    assert later.headers["etag"] != etag
    assert later.content != first.content


def test_gzip_is_negotiated(client):
    for address in ("/feeds/air/observations.csv", "/feeds", "/catalog.ttl"):
        with client.stream("GET", address, headers={"Accept-Encoding": "gzip"}) as packed:
            raw = b"".join(packed.iter_raw())
        plain = client.get(address, headers={"Accept-Encoding": "identity"})
        assert packed.headers["content-encoding"] == "gzip"
        assert "content-encoding" not in plain.headers
        assert gzip.decompress(raw) == plain.content
        assert "Accept-Encoding" in plain.headers["vary"]


ADDRESSES = {"/health/ready", "/openapi.json", "/assets/portal.css", "/nothing", "/feeds/none"}
OWN = {"date", "transfer-encoding"}
"""Headers that may differ: when it was, and how a body of unknown length comes."""


@pytest.mark.parametrize("coding", ["identity", "gzip"])
def test_head_has_the_headers_of_get_and_no_body(client, coding):
    paths = client.get("/openapi.json").json()["paths"]
    asked = {path.replace("{feed}", "air") for path, methods in paths.items() if "get" in methods} | ADDRESSES
    assert len(asked) > 15
    for address in sorted(asked - {"/metrics"}):  # whose length changes with every request
        head, get = (
            client.request(method, address, headers={"Accept-Encoding": coding}) for method in ("HEAD", "GET")
        )
        assert head.status_code == get.status_code, address
        assert head.content == b"", address
        kept, given = ({*one.headers.items()} for one in (head, get))
        assert {name for name, _ in kept ^ given} <= OWN, address


@pytest.mark.parametrize("http", ["h11", "httptools"])
def test_head_of_what_is_streamed_names_no_length(database, advance, readiness, http):
    advance()
    made = app.create(
        config(OFFERED), database_url=database.serve, readiness=readiness, submit=None, metrics=metrics.render
    )
    with served(made, http=http) as client:
        head = client.head("/feeds/air/observations.csv")
        assert head.status_code == 200
        assert "content-length" not in head.headers


def test_every_site_may_read(client):
    answer = client.get("/feeds", headers={"Origin": "https://elsewhere.example"})
    assert answer.headers["access-control-allow-origin"] == "*"
    assert {"ETag", "Link"} <= set(re.split(r",\s*", answer.headers["access-control-expose-headers"]))
    asked = {"Origin": "https://elsewhere.example", "Access-Control-Request-Method": "GET"}
    preflight = client.options("/feeds", headers={**asked, "Access-Control-Request-Headers": "if-none-match"})
    assert preflight.status_code == 200
    assert client.options("/feeds").headers["allow"] == "GET, HEAD, OPTIONS"


@pytest.mark.parametrize(
    ("method", "address", "headers", "status"),
    [
        ("GET", "/nothing", {}, 404),
        ("GET", "/feeds/none", {}, 404),
        ("GET", "/feeds/none/observations.csv", {}, 404),
        ("POST", "/feeds", {}, 405),
        ("GET", "/catalog", {"Accept": "image/png"}, 406),
        ("GET", "/feeds/air", {"Accept": "text/csv"}, 406),
    ],
)
def test_errors_are_problem_documents(client, method, address, headers, status):
    answer = client.request(method, address, headers=headers)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    body = answer.json()
    assert body["status"] == status
    assert body["title"]
    assert body["detail"]
    if status == 405:
        assert answer.headers["allow"] == "GET, HEAD, OPTIONS"
    if status == 406:
        assert body["allowed"]


def test_the_index_names_what_is_offered(client):
    found = {one["id"]: one for one in client.get("/feeds").json()["feeds"]}
    assert list(found) == ["air", "hourly", "empty"]
    air = found["air"]
    assert (air["title"], air["policy"], air["tier"]) == ("Lucht", "raw", "open")
    assert air["properties"] == ["airTemperature", "pm25"]
    assert (air["thingCount"], air["datastreamCount"]) == (2, 2)
    assert air["observations"]["csv"] == "http://data.example/feeds/air/observations.csv"
    assert found["hourly"]["statistics"] == ["mean"]
    assert found["empty"]["properties"] == []
    for address in [*air["observations"].values(), air["url"]]:
        assert client.get(address).status_code == 200


def test_a_feed_is_json_or_a_page(client):
    body = client.get("/feeds/air").json()
    assert [one["identity"] for one in body["things"]] == ['s,"2', "s1"]
    assert "signal" not in body["things"][0]
    assert {one["datastream"]: one["result"] for one in body["latest"]} == {
        "s1/airTemperature/probe 1": 12.25, 's,"2/pm25': True,
    }  # fmt: skip
    page = client.get("/feeds/air", headers={"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"})
    assert page.headers["content-type"].startswith("text/html")
    assert "Accept" in page.headers["vary"]
    assert "<svg" in page.text
    assert "luchttemperatuur" in page.text
    assert "s,&quot;2" in page.text
    assert 's,"2' not in page.text


def test_pages_load_nothing_from_elsewhere(client):
    for address in ("/", "/feeds/air", "/feeds/hourly", "/feeds/empty"):
        page = client.get(address, headers={"Accept": "text/html"})
        assert page.status_code == 200
        loaded = re.findall(r'<(?:link|script|img)[^>]*(?:href|src)="([^"]+)"', page.text)
        assert loaded
        assert all(one.startswith(("http://data.example/", "data:")) for one in loaded)
        assert "default-src 'none'" in page.headers["content-security-policy"]
        for one in loaded:
            if one.startswith("http"):
                assert client.get(one).status_code == 200
    assert client.get("/").text.count("<article") == 3


def test_counts_of_unequal_intervals_are_charted_as_totals_of_whole_hours(database, city, advance):
    stream = city.datastream("z1", "bicycleCount", "1")
    rows = [(stream, T0 + i * 15 * MINUTE, 15, 0, T0 + (i + 1) * 15 * MINUTE) for i in range(8)]
    rows += [(stream, T0 + 2 * HOUR + i * MINUTE, 1, 0, T0 + 2 * HOUR + (i + 1) * MINUTE) for i in range(70)]
    city.observe(rows)
    other = city.datastream("z1", "bicycleCount", "1", qualifier="back")
    city.observe([(other, T0 + i * HOUR, 40, 0, T0 + (i + 1) * HOUR) for i in range(4)])
    raw = '[[feed]]\nid = "bikes"\ntitle = "Fietsen"\nproperty = ["bicycleCount"]\n'
    feeds = raw + raw.replace("bikes", "hourly") + 'policy = "aggregate"\nstatistics = ["sum"]'
    advance(T0 + 4 * HOUR, feeds)
    store = Database(database.serve, role="citybroker_serve")
    shown = catalogue.Catalogue(config(feeds), store, "http://data.example")
    try:
        with shown.open() as snapshot:
            sent, cells = (snapshot.chart(shown.feed(one), "bicycleCount") for one in ("bikes", "hourly"))
    finally:
        store.close()
    assert sent.hourly
    assert sent.lines == cells.lines == {"z1": [(T0 + hours * HOUR, 100) for hours in range(3)]}


def test_people_read_names_of_things(city, client):
    city.connection.execute("update thing set name = 'Zennegat <1>' where identity = 's1'")
    page = client.get("/feeds/air", headers={"Accept": "text/html"}).text
    assert '<th scope="row" title="s1">Zennegat &lt;1&gt;</th>' in page
    assert '<li class="c1">Zennegat &lt;1&gt;</li>' in page or '<li class="c0">Zennegat &lt;1&gt;</li>' in page


def test_aggregates_are_cells_and_nothing_else(client):
    rows = client.get("/feeds/hourly/observations.json").json()["observations"]
    assert len(rows) == 1
    assert rows[0]["result"] == pytest.approx(11.125)
    assert rows[0]["datastream"] == "s1/airTemperature/probe 1 PT1H mean"
    assert rows[0]["phenomenonTimeEnd"] == "2026-11-24T11:00:00+00:00"
    assert table(client.get("/feeds/hourly/observations.csv").text)[0]["result"] == "11.125"


def test_an_empty_feed_is_empty_everywhere(client):
    assert client.get("/feeds/empty/observations.csv").text == HEADER + "\n"
    assert client.get("/feeds/empty/observations.json").json() == {
        "feed": "empty",
        "observations": [],
        "next": None,
    }
    assert client.get("/feeds/empty/observations.geojson").json()["features"] == []


FORMS = {
    "ttl": ("text/turtle", pyoxigraph.RdfFormat.TURTLE),
    "rdf": ("application/rdf+xml", pyoxigraph.RdfFormat.RDF_XML),
    "jsonld": ("application/ld+json", pyoxigraph.RdfFormat.JSON_LD),
    "nt": ("application/n-triples", pyoxigraph.RdfFormat.N_TRIPLES),
}


def triples(content: bytes, form: pyoxigraph.RdfFormat) -> set[tuple[str, str, str]]:
    parsed = pyoxigraph.parse(content, format=form)
    return {(str(one.subject), str(one.predicate), str(one.object)) for one in parsed}


def test_the_catalogue_is_the_same_in_all_forms(client):
    graphs = []
    for extension, (media, form) in FORMS.items():
        by_name = client.get(f"/catalog.{extension}")
        by_type = client.get("/catalog", headers={"Accept": f"{media}, text/html;q=0.9"})
        assert by_name.headers["content-type"].startswith(media)
        assert by_name.content == by_type.content
        assert "Accept" in by_type.headers["vary"]
        graphs.append(triples(by_name.content, form))
    assert all(graph == graphs[0] for graph in graphs)
    assert client.get("/catalog").headers["content-type"].startswith("text/turtle")
    etag = client.get("/catalog.nt").headers["etag"]
    assert client.get("/catalog.nt", headers={"If-None-Match": etag}).status_code == 304


def test_the_catalogue_has_what_harvesters_ask_for(client):
    text = client.get("/catalog.ttl").content
    store = pyoxigraph.Store()
    store.load(text, format=pyoxigraph.RdfFormat.TURTLE)
    prefixes = """prefix dcat: <http://www.w3.org/ns/dcat#> prefix dct: <http://purl.org/dc/terms/>
        prefix foaf: <http://xmlns.com/foaf/0.1/> prefix vcard: <http://www.w3.org/2006/vcard/ns#>"""

    def ask(pattern: str) -> bool:
        return bool(store.query(f"{prefixes} ask {{ {pattern} }}"))

    assert ask(
        "?c a dcat:Catalog; dct:title ?t; dct:description ?d; dct:publisher [ foaf:name ?n ]; dct:license ?l"
    )
    assert ask("?c a dcat:Catalog; dcat:contactPoint [ vcard:hasEmail <mailto:data@stad.example> ]")
    for feed in ("air", "hourly", "empty"):
        one = f"<http://data.example/feeds/{feed}#dataset>"
        assert ask(
            f"?c dcat:dataset {one} . {one} a dcat:Dataset; dct:title ?t; dct:description ?d; dct:identifier ?i"
        )
        assert ask(
            f"{one} dcat:distribution [ dcat:downloadURL <http://data.example/feeds/{feed}/observations.csv> ]"
        )
        assert ask(f"?r a dcat:CatalogRecord; foaf:primaryTopic {one}; dct:modified ?m")
    assert ask("?s a dcat:DataService; dcat:endpointURL <http://data.example/feeds>; dcat:servesDataset ?d")
    found = store.query(
        f"""{prefixes} select ?start ?end ?box {{ <http://data.example/feeds/air#dataset>
            dct:temporal [ dcat:startDate ?start; dcat:endDate ?end ]; dct:spatial [ dcat:bbox ?box ] }}"""
    )
    (row,) = found
    assert datetime.fromisoformat(row["start"].value) == T0
    assert datetime.fromisoformat(row["end"].value) == T0 + 9 * MINUTE
    assert row["box"].value.startswith("POLYGON((3.72 51.05")
    addresses = set(re.findall(r"<(http://data\.example/[^>#]*)>", client.get("/catalog.nt").text))
    assert len(addresses) > 10
    for address in sorted(addresses):
        assert client.get(address).status_code == 200, address


def test_the_public_address_stands_in_for_the_one_that_was_asked(database, advance, readiness):
    advance()
    made = app.create(
        config(OFFERED), database_url=database.serve, readiness=readiness, submit=None,
        metrics=metrics.render, public_url="https://data.gent.example/broker/",
    )  # fmt: skip
    with served(made) as client:
        assert client.get("/feeds").json()["feeds"][0]["url"] == "https://data.gent.example/broker/feeds/air"
        page = client.get("/feeds/air/observations.json?limit=1").json()
        assert page["next"].startswith(
            "https://data.gent.example/broker/feeds/air/observations.json?limit=1&after="
        )
        assert b"data.example" not in client.get("/catalog.ttl").content


def test_readiness_names_what_is_missing(client, readiness):
    assert client.get("/health/live").status_code == 200
    assert client.get("/health/ready").json() == {"ready": True, "missing": {}}
    readiness.set("ingest", "has not subscribed")
    answer = client.get("/health/ready")
    assert (answer.status_code, answer.json()) == (
        503,
        {"ready": False, "missing": {"ingest": "has not subscribed"}},
    )


def test_metrics_count_requests_by_route(client):
    client.get("/feeds/air")
    text = client.get("/metrics").text
    assert 'citybroker_http_request_seconds_count{route="/feeds/{feed}",status="200"}' in text


def test_openapi_names_the_addresses(client):
    document = client.get("/openapi.json").json()
    assert document["openapi"].startswith("3.1")
    assert {"/feeds", "/feeds/{feed}", "/feeds/{feed}/observations.csv", "/catalog", "/health/ready"} <= set(
        document["paths"]
    )
    names = [one["name"] for one in document["paths"]["/feeds/{feed}/observations.json"]["get"]["parameters"]]
    assert {"from", "to", "thing", "property", "limit", "after"} <= set(names)


def test_the_apis_login_sees_published_views_only(database, client):
    with psycopg.connect(database.serve, autocommit=True) as connection:
        connection.execute("set role citybroker_serve")
        for name in ("observation", "passage", "reject", "cell", "thing", "datastream", "batch", "feed_member"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(f"select 1 from {name}")
        assert connection.execute("select count(*) from published_observation").fetchone()[0] > 0


def test_what_is_personal_is_never_raw_even_where_a_feed_holds_it(city, client):
    stream = city.datastream("s9", "airTemperature", personal=True)
    city.observe([(stream, T0, 1)])
    city.connection.execute("insert into feed_member values ('air', %s, 1, null)", [stream])
    city.connection.execute("insert into publication select max(sequence) + 1, now() from publication")
    city.connection.execute(
        "update batch set sequence = (select max(sequence) from publication) where sequence is null"
    )
    assert "s9" not in client.get("/feeds/air/observations.csv").text
    assert all(one["thing"] != "s9" for one in client.get("/feeds/air").json()["latest"])


def test_an_export_is_one_moment_whatever_is_published_meanwhile(database, city, client, advance):
    store = Database(database.serve, role="citybroker_serve")
    stream = city.one("select id from datastream where unit = 'Cel' and parent_id is null")
    try:
        with published.snapshot(store) as connection:
            blocks = published.export(connection, "air", [stream], published.Interval())
            assert next(blocks).startswith(b"phenomenonTime,")
            city.observe([(stream, T0 + timedelta(hours=1), 99)])
            advance()
            rest = b"".join(blocks)
        assert rest.count(b"\n") == 10
        assert b",99," not in rest
        assert ",99," in client.get("/feeds/air/observations.csv").text
    finally:
        store.close()


def test_a_long_export_comes_in_blocks_over_any_gap(database, city, advance):
    stream = city.datastream("s5", "pm25", "ug/m3")
    batch = city.observe([(stream, T0 - timedelta(days=400), 1), (stream, T0, 2)])
    for days in (30, 7):
        city.connection.execute("select ensure_partition(%s)", [T0 - timedelta(days=days)])
    city.connection.execute(
        """insert into observation select %s, %s::timestamptz + n * interval '1 second', 0, null, n, null, 0, %s
           from generate_series(1, 100000) n""",
        [stream, T0 - timedelta(days=7), batch],
    )
    advance()
    store = Database(database.serve, role="citybroker_serve")
    try:
        with published.snapshot(store) as connection:
            blocks = list(published.export(connection, "air", [stream], published.Interval()))
    finally:
        store.close()
    rows = b"".join(blocks).decode().splitlines()[1:]
    assert len(rows) == 100_002
    assert [row[:19] for row in rows] == sorted(row[:19] for row in rows)
    assert max(len(block) for block in blocks) < 40_000_000
    assert len(blocks) > 3


def test_readers_that_leave_give_their_connection_back(database, readiness, city, advance):
    stream = city.datastream("s5", "pm25", "ug/m3")
    batch = city.observe([(stream, T0, 1)])
    city.connection.execute(
        """insert into observation select %s, %s::timestamptz + n * interval '1 ms', 0, null, n, null, 0, %s
           from generate_series(1, 200000) n""",
        [stream, T0, batch],
    )
    advance()
    made = app.create(
        config(OFFERED), database_url=database.serve, readiness=readiness, submit=None, metrics=metrics.render
    )
    with served(made) as client:
        for _ in range(12):  # more than may run at one time; some may be told to wait
            client.head("/feeds/air/observations.csv")
            with client.stream(
                "GET", "/feeds/air/observations.csv", headers={"Accept-Encoding": "identity"}
            ) as got:
                next(got.iter_raw())
        for _ in range(200):
            again = client.get("/feeds/air/observations.csv")
            if again.status_code == 200:
                break
        assert again.status_code == 200
        assert again.text.count("\n") == 200_019
        open_ = "select count(*) from pg_stat_activity where usename = 'citybroker_serve' and state <> 'idle'"
        while city.one(open_):
            time.sleep(0.1)


def test_too_many_exports_are_told_to_wait(database, advance, readiness):
    advance()
    reader = Database(database.serve, size=catalogue.EXPORTS + 1)
    shown = catalogue.Catalogue(config(OFFERED), reader, "http://data.example")
    try:
        with ExitStack() as stack:
            for _ in range(catalogue.EXPORTS):
                stack.enter_context(shown.export())
            with pytest.raises(Problem) as caught, shown.export():
                pass
            assert (caught.value.status, caught.value.headers["Retry-After"]) == (503, "10")
        with shown.export() as snapshot:
            assert snapshot.positions()
    finally:
        reader.close()


@pytest.fixture(params=["gone", "silent", "stopped"])
def away(request: pytest.FixtureRequest) -> Iterator[str]:
    """A store that cannot be reached, one that takes connections and says nothing, one that is not there any more."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        if request.param == "stopped":
            listener.close()
        yield (
            "postgresql://x@/x?host=/nowhere" if request.param == "gone" else f"postgresql://x@127.0.0.1:{port}/x"
        )


def test_while_the_store_is_away_the_answer_says_so(readiness, away):
    made = app.create(config(OFFERED), database_url=away, readiness=readiness, submit=None, metrics=metrics.render)
    with served(made) as client:
        for address in ("/", "/feeds", "/feeds/air/observations.csv", "/catalog"):
            answer = client.get(address)
            assert answer.status_code == 503
            assert answer.headers["retry-after"]
            assert answer.headers["content-type"] == "application/problem+json"
            assert json.loads(answer.content)["status"] == 503
        assert client.get("/health/live").status_code == 200
