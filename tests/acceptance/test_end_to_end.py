"""Messages in, open feeds out: one `citybroker up`, published to over MQTT and read over HTTP."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pyoxigraph
import pytest
from devices import Device, samples
from processes import until
from reader import Reader, Row, moment

FEEDS = ["all", "climate", "minutes", "vehicles"]
CASES = [
    *samples("tts_v3", "uplink-with-units", "normalised-payload"),
    *samples("chirpstack_v4", "uplink", "integration"),
    *samples("senml", "pack"),
    *samples("ngsi_ld", "key-values", "notification"),
    *samples("json", "usual-keys", "bare-number"),
    *(case._replace(topic="meters/a") for case in samples("json", "configured")),
]
WANTED = [(case, wanted) for case in CASES for wanted in case.expected]
BRUSSELS = ZoneInfo("Europe/Brussels")
AGO = datetime.now(UTC).replace(second=0, microsecond=0) - timedelta(minutes=40)
QUARTER = AGO - timedelta(minutes=AGO.minute % 15)


# What a bucket shows is decided when it closes: these come first


def test_cells_of_closed_buckets(sensor: Device, read: Reader) -> None:
    base = {"bn": "urn:dev:mac:02000000000a:", "n": "temperature", "u": "Cel"}
    values = [(5, 20), (50, 23), (65, 22)]
    sensor.tell("minutes/a", [base | {"t": AGO.timestamp() + second, "v": value} for second, value in values])
    rows = until(lambda: found if len(found := read.rows("minutes")) == 4 else None, "the cells")
    full, thin = AGO, AGO + timedelta(minutes=1)
    shown = {(moment(row["phenomenonTime"]), row["datastream"].rpartition("/")[2]): row for row in rows}
    assert {key: (row["result"], row["status"]) for key, row in shown.items()} == {
        (full, "PT1M mean min 2"): ("21.5", "published"),
        (full, "PT1M count min 2"): ("2", "published"),
        (thin, "PT1M mean min 2"): ("", "suppressed"),
        (thin, "PT1M count min 2"): ("", "suppressed"),
    }
    assert {row["thing"] for row in rows} == {"urn:dev:mac:02000000000a"}
    assert moment(rows[0]["phenomenonTimeEnd"]) == thin


def test_cells_of_vehicles(sensor: Device, read: Reader) -> None:
    lines = []
    for number in range(8):
        local = (QUARTER + timedelta(seconds=number)).astimezone(BRUSSELS)
        lines += [f"time_{number}={local:%Y-%m-%d %H:%M:%S}", f"plate_{number}=1ZXQ{number:03}"]
    sensor.publish("camera/ring-1/milesight", "\n".join(lines))
    first, *later = until(lambda: read.rows("vehicles"), "a cell of vehicles")
    assert moment(first["phenomenonTime"]) == QUARTER
    assert (first["thing"], first["observedProperty"]) == ("ring-1", "vehiclePassageCount")
    assert (first["result"], first["status"]) == ("8", "published")
    assert all((row["result"], row["status"]) == ("", "suppressed") for row in later)


# Every format and both cameras


def test_samples_of_every_format(sensor: Device, read: Reader) -> None:
    for case in CASES:
        sensor.publish(case.topic, case.payload)
    rows = until(lambda: stored(read), "all of them")
    for case, wanted in WANTED:
        row = next(row for row in rows if is_of(row, wanted))
        assert row["unit"] == wanted["unit"], case.name


def stored(read: Reader) -> list[Row] | None:
    rows = read.rows("all")
    return rows if all(any(is_of(row, wanted) for row in rows) for _, wanted in WANTED) else None


def is_of(row: Row, wanted: dict[str, Any]) -> bool:
    """Whether this is the observation that a sample becomes; one without a time has its receive time."""
    when = row["quality"] == "received" or moment(row["phenomenonTime"]) == moment(wanted["phenomenonTime"])
    result = wanted["result"]
    same = (
        row["result"] == str(result).lower() if isinstance(result, str | bool) else row["result"] == f"{result:g}"
    )
    return (
        when and same and row["thing"] == wanted["thing"] and row["observedProperty"] == wanted["observedProperty"]
    )


def test_samples_of_every_camera(sensor: Device, read: Reader) -> None:
    cases = [*samples("milesight", "full"), *samples("hikvision", "full", "multipart", "unread")]
    before = read.count("passages_stored")
    for case in cases:
        sensor.publish(f"camera/brugsepoort/{case.name.partition('/')[0]}", case.payload)
    until(lambda: read.count("passages_stored") - before >= 3, "passages")
    known = [json.loads(line) for line in read.city.command("things", "list", "--json").splitlines()]
    cameras = {thing["identity"] for thing in known if thing["kind"] == "camera"}
    assert cameras >= {"Kortrijksesteenweg", "02:00:00:00:0a:91", "brugsepoort"}
    assert not cameras & {row["thing"] for row in read.rows("all")}, "nothing of a camera is raw"


def test_a_sensor_that_nobody_has_announced(sensor: Device, read: Reader) -> None:
    sensor.tell("sensors/balcony", {"temperature": 21.5, "humidity": 48})
    rows = until(lambda: read.of("all", "balcony"), "the reader's own sensor", 20)
    assert {row["observedProperty"]: row["result"] for row in rows} == {
        "temperature": "21.5",
        "relativeHumidity": "48",
    }
    assert {row["thing"] for row in read.rows("climate")} >= {"balcony"}


# Every output


@pytest.mark.parametrize("feed", FEEDS)
def test_all_forms_show_the_same(read: Reader, feed: str) -> None:
    rows = read.rows(feed)
    shown = [
        one for page in pages(read, f"/feeds/{feed}/observations.json?limit=7") for one in page["observations"]
    ]
    features = [
        one for page in pages(read, f"/feeds/{feed}/observations.geojson?limit=1000") for one in page["features"]
    ]
    assert rows
    assert [{key: written(value) for key, value in one.items()} for one in shown] == [
        {key: timed(key, value) for key, value in row.items()} for row in rows
    ]
    assert [one["properties"] for one in features] == shown
    times = [one["phenomenonTime"] for one in shown]
    assert times == sorted(times)


def pages(read: Reader, path: str | None) -> Iterator[dict[str, Any]]:
    while path:
        page = read.get(path).raise_for_status().json()
        yield page
        links = page.get("links", [])
        path = page.get("next") or next((link["href"] for link in links if link["rel"] == "next"), None)


def written(value: Any) -> str:
    """A value of JSON as the CSV writes it."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return timed("phenomenonTime", value) if value[10:11] == "T" else value
    return "" if value is None else f"{value:.10g}"


def timed(key: str, value: str) -> str:
    return moment(value).isoformat() if key.startswith("phenomenonTime") and value else value


def test_feeds(read: Reader) -> None:
    offered = {feed["id"]: feed for feed in read.get("/feeds").json()["feeds"]}
    assert list(offered) == FEEDS
    assert (offered["all"]["title"], offered["all"]["policy"], offered["all"]["tier"]) == ("Alles", "raw", "open")
    assert (offered["minutes"]["policy"], offered["minutes"]["properties"]) == ("aggregate", ["temperature"])
    assert offered["climate"]["properties"] == ["relativeHumidity", "temperature"]
    for feed in FEEDS:
        one = read.get(f"/feeds/{feed}", Accept="application/json").json()
        assert one["id"] == feed
        assert {thing["identity"] for thing in one["things"]} == {row["thing"] for row in read.rows(feed)}
        page = read.get(f"/feeds/{feed}", Accept="text/html")
        assert (page.headers["content-type"], page.status_code) == ("text/html; charset=utf-8", 200)
    home = read.get("/")
    assert home.headers["content-type"] == "text/html; charset=utf-8"
    assert all(title in home.text for title in ("Alles", "Klimaat", "Per minuut", "Voertuigen"))
    assert "<svg" in home.text


def test_filters(read: Reader) -> None:
    station = "urn:dev:mac:020000000001"
    rows = read.of("all", station)
    assert {row["observedProperty"] for row in rows} == {"relativeHumidity", "temperature", "batteryLevel"}
    only = read.rows("all", f"thing={station}&thing=KASTJE-7&property=temperature&property=pm25")
    assert {(row["thing"], row["observedProperty"]) for row in only} == {
        (station, "temperature"),
        ("KASTJE-7", "pm25"),
    }
    first, last = "2026-03-02T07:00:00Z", "2026-03-02T08:01:00 01:00"  # a + that a query string swallowed
    between = read.rows("all", f"thing={station}&from={first}&to={last}")
    assert len(between) == 2, "from is inclusive, to is exclusive"
    assert {moment(row["phenomenonTime"]) for row in between} == {moment(first)}
    assert between == read.rows("all", f"thing={station}&from={first}&to=2026-03-02T08:01:00%2B01:00")


@pytest.mark.parametrize("form", ["csv", "json", "geojson"])
@pytest.mark.parametrize(
    ("query", "status", "what"),
    [
        ("from=2026-03-02T07:00:00", 400, "from"),
        ("to=yesterday", 400, "to"),
        ("from=2026-03-02T07:00:00Z&to=2026-03-01T07:00:00Z", 400, "to"),
    ],
)
def test_wrong_questions(read: Reader, form: str, query: str, status: int, what: str) -> None:
    answer = read.get(f"/feeds/all/observations.{form}?{query}")
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")
    assert answer.json()["parameter"] == what
    assert answer.json()["status"] == status


def test_what_is_not_there(read: Reader) -> None:
    for path in ("/feeds/none", "/feeds/none/observations.csv", "/nowhere"):
        answer = read.get(path)
        assert (answer.status_code, answer.headers["content-type"]) == (404, "application/problem+json")
    refused = read.get("/catalog", Accept="image/png")
    assert (refused.status_code, refused.headers["content-type"]) == (406, "application/problem+json")
    assert read.ask("POST", "/feeds").status_code == 405


CACHED = [
    "/",
    "/feeds",
    "/feeds/all",
    "/catalog.ttl",
    *(f"/feeds/all/observations.{f}" for f in ("csv", "json", "geojson")),
]


@pytest.mark.parametrize("path", CACHED)
def test_validators_gzip_head_and_cors(read: Reader, path: str) -> None:
    plain = read.get(path, Accept_Encoding="identity", Origin="https://example.org")
    assert plain.headers["access-control-allow-origin"] == "*"
    assert read.ask("OPTIONS", path, Origin="https://example.org", Access_Control_Request_Method="GET").is_success
    etag = plain.headers["etag"]
    same = read.get(path, Accept_Encoding="identity", If_None_Match=etag)
    assert (same.status_code, same.content, same.headers["etag"]) == (304, b"", etag)
    packed = read.get(path, Accept_Encoding="gzip")
    assert (packed.headers["content-encoding"], packed.content) == ("gzip", plain.content)
    assert packed.headers["etag"] != etag
    head = read.ask("HEAD", path, Accept_Encoding="identity")
    assert (head.status_code, head.content, head.headers["etag"]) == (200, b"", etag)
    assert head.headers["content-type"] == plain.headers["content-type"]


def test_an_etag_ends_with_what_it_stood_for(sensor: Device, read: Reader) -> None:
    path = "/feeds/all/observations.csv"
    etag = read.get(path).headers["etag"]
    sensor.tell("sensors/etag", {"temperature": 1})
    assert until(lambda: read.get(path, If_None_Match=etag).status_code == 200, "another one")


FORMS = {
    "ttl": pyoxigraph.RdfFormat.TURTLE,
    "rdf": pyoxigraph.RdfFormat.RDF_XML,
    "jsonld": pyoxigraph.RdfFormat.JSON_LD,
    "nt": pyoxigraph.RdfFormat.N_TRIPLES,
}


def test_the_catalogue_in_every_form(read: Reader) -> None:
    graphs = []
    for extension, form in FORMS.items():
        answer = read.get(f"/catalog.{extension}")
        assert answer.headers["content-type"].partition(";")[0] == form.media_type
        negotiated = read.get("/catalog", Accept=form.media_type)
        assert negotiated.headers["content-type"].partition(";")[0] == form.media_type
        assert "Accept" in negotiated.headers["vary"]
        for one in (answer, negotiated):
            dataset = pyoxigraph.Dataset(pyoxigraph.parse(one.content, form))
            dataset.canonicalize(pyoxigraph.CanonicalizationAlgorithm.UNSTABLE)
            graphs.append({quad.triple for quad in dataset})
    assert all(graph == graphs[0] for graph in graphs)
    kinds = [str(one.object) for one in graphs[0] if one.predicate.value.endswith("#type")]
    assert kinds.count("<http://www.w3.org/ns/dcat#Dataset>") == len(FEEDS)
    assert read.get("/catalog").headers["content-type"].startswith("text/turtle")


def test_operations(read: Reader) -> None:
    assert read.get("/health/live").status_code == 200
    ready = read.get("/health/ready")
    assert (ready.status_code, ready.json()["missing"]) == (200, {})
    schema = read.get("/openapi.json").json()
    assert set(schema["paths"]) >= {"/feeds", "/feeds/{feed}", "/catalog", "/metrics", "/health/ready"}
    found = read.samples()
    assert {role for name, role in found if name == "process_cpu_seconds_total"} == {
        "up",
        "ingest",
        "publish",
        "serve",
    }
    names = {name for name, _ in found}
    assert names >= {"citybroker_publish_seconds_count", "citybroker_http_request_seconds_count"}
    counts = read.messages()
    assert counts["received"] == counts["stored"] + counts["duplicate"] + counts["ignored"] + counts["rejected"]
    assert read.count("observations_stored") == len(read.rows("all"))
