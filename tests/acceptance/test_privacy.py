"""A known plate through every camera and every failure path: afterwards it stands nowhere, and no token is told.

Plates here are invented: the number 000 is not issued.
"""

import json
import os
import re
from base64 import b64encode
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from signal import SIGCONT, SIGSTOP
from typing import Any, NamedTuple

import plates
import psycopg
import pytest
import servers
from devices import Device, of_camera, samples
from processes import City, until, up
from reader import Reader

from broker import modules

PLATE = "1-QXZ-000"
VISIBLE = "1-QYW-000"
"""A sensor's text that looks like one: it may be found, and is what the search is tried on."""
SAMPLE_PLATE = re.compile(rb"\b[0-9]-?[A-Z]{3}-?000\b")
BIG = {"camera": 8 << 20, "sensor": 1 << 20}

CAMERAS = sorted(modules.load("anpr.cameras"))
FORMATS = sorted(modules.load("ingest.formats"))
CONFIG = """
[city]
id = "leiestad"
name = "Leiestad"

[[source]]
name = "meters"
topic = "meters/+"
format = "json"
[source.options]
fields = [{ path = "speed" }]

[[feed]]
id = "all"
title = "Alles"

[[feed]]
id = "vehicles"
title = "Voertuigen"
kind = "camera"
policy = "aggregate"
"""
OPTIONS = {
    "camera-json": '[source.options]\nplate = "vehicle.plate"\ntime = "seen"\n',
    "camera-xml": '[source.options]\nplate = "car/plate"\npassages = "events/event"\n',
}
"""Of cameras that the configuration describes: as in most of their samples."""
CONFIG += "".join(
    f'[[source]]\nname = "{kind}-{name}"\ntopic = "{kind}/{name}/+"\n{kind} = "{name}"\n'
    + OPTIONS.get(f"{kind}-{name}", "")
    for kind, names in (("format", [*FORMATS, "failing"]), ("camera", [*CAMERAS, "failing"]))
    for name in names
)
SENSORS = ["meters/gate", *(f"format/{name}/gate" for name in [*FORMATS, "failing"])]
FAILING = '''"""A decoder with a defect, whose error tells all that it was given: https://example.org"""

FIELDS, MARKS = ("plate",), ()


def decode(message, source, state):
    raise ValueError(repr(message.payload))
'''
PLUG_INS = """import anpr.cameras
import ingest.formats

anpr.cameras.__path__.append({folder!r})
ingest.formats.__path__.append({folder!r})
"""
PATHS = [
    *("/", "/feeds", "/catalog.ttl", "/catalog.rdf", "/catalog.jsonld", "/catalog.nt", "/metrics"),
    *("/health/live", "/health/ready", "/openapi.json", "/nowhere", "/feeds/all/observations.csv?from=1"),
    *(f"/feeds/{feed}{rest}" for feed in ("all", "vehicles") for rest in ("", "?", "/observations.csv")),
    *(f"/feeds/{feed}/observations.{form}" for feed in ("all", "vehicles") for form in ("json", "geojson")),
]
COMMANDS = [
    "rejects list --json",
    "rejects list",
    "things list --json",
    "status --json",
    "status --counters --json",
]


class Sent(NamedTuple):
    """A message of a camera that holds the plate."""

    camera: str
    payload: bytes


def planted() -> list[Sent]:
    """Every sample of every camera, with the plate as this or that firmware writes it."""
    found = []
    for camera in CAMERAS:
        ways = [PLATE, PLATE.replace("-", ""), PLATE.lower()]
        for number, one in enumerate(samples(of_camera(camera))):
            plate = ways[number % len(ways)].encode()
            found.append(Sent(camera, SAMPLE_PLATE.sub(plate, one.payload)))
    holding = [one for one in found if plates.holds(one.payload, plates.forms(PLATE))]
    assert {one.camera for one in holding} == set(CAMERAS)
    return holding


def damaged(payload: bytes) -> Iterator[bytes]:
    """The message as it may arrive: whole, cut off behind the plate, malformed, in other encodings."""
    end = max(match.end() for match in re.finditer(rb"(?i)1-?QXZ-?000", payload))
    text = payload.decode("latin-1")
    yield payload
    yield payload[:end]
    yield payload[: end + 3]
    yield payload.replace(b":", b"", 1).replace(b"<", b"", 1)
    yield payload.replace(b'"', b"'") if payload.startswith(b"{") else payload[5:]
    yield payload[: end + 1] + b"\xff\xfe\x80" + payload[end + 1 :]
    for encoding in ("utf-16", "utf-16-be", "utf-32"):
        yield text.encode(encoding)
        yield text[:end].encode(encoding)
    yield payload + b"\0\0"


def multipart(payload: bytes) -> Iterator[bytes]:
    """In bodies of several parts, of which some lack."""
    yield b"--B\r\nContent-Type: application/xml\r\n\r\n" + payload
    yield b"--B\r\nContent-Type: application/xml\r\n" + payload + b"\r\n--B--"
    yield b"--B\r\n\r\n--B\r\nContent-Type: image/jpeg\r\n\r\n\xff\xd8" + payload + b"\r\n--B--"
    yield b"--\r\n" + payload


def publish_all(sensor: Device) -> None:
    """Every camera message on every path on which it can fail."""
    for number, (camera, payload) in enumerate(planted()):
        for body in (*damaged(payload), *multipart(payload)):
            for topic in (f"camera/{camera}/gate-{number}", "camera/failing/gate", *SENSORS):
                sensor.publish(topic, body)
    for camera, payload in {one.camera: one for one in planted()}.values():
        sensor.publish(f"camera/{camera}/gate", payload + b" " * BIG["camera"])
        sensor.publish("format/json/gate", payload + b" " * BIG["sensor"])
    sensor.tell("format/senml/gate", [{"bn": "urn:dev:mac:02:", "n": "licensePlate", "vs": PLATE}])


def publish_visible(sensor: Device) -> None:
    """What may be found again: as a value, and in a reject."""
    uplink = {
        "end_device_ids": {"dev_eui": "0200000000A00001"},
        "uplink_message": {"decoded_payload": {"note": VISIBLE}},
    }
    sensor.tell("format/tts_v3/sign", uplink)
    sensor.publish("format/json/sign", f'{{"note": "{VISIBLE}')


def while_others_are_away(city: City, sensor: Device) -> None:
    """Camera messages arrive while the database is away, and around a kill -9 of ingest."""
    for child in ("postgres", "ingest"):
        with city.renewed(child):
            for camera, payload in planted():
                sensor.publish(f"camera/{camera}/{child}", payload)
                sensor.publish("format/json/gate", payload)
        wait_for_camera(city, child)


def wait_for_camera(city: City, thing: str) -> None:
    """Until something of it is stored: what was delivered before and not acknowledged comes again after 30 s."""
    until(lambda: thing in cameras(city), f"what arrived of {thing} is stored", 90)


def cameras(city: City) -> set[str]:
    """The cameras of which something is stored."""
    with suppress(psycopg.OperationalError), psycopg.connect(city.run["database"]["owner"]) as connection:
        return {row[0] for row in connection.execute("select identity from thing where kind = 'camera'")}
    return set()  # the database is not back yet


def retained(city: City, sensor: Device, read: Reader) -> None:
    """A retained camera message comes to the next ingest, and is cleared."""
    for camera, payload in planted():
        sensor.publish(f"camera/{camera}/kept", payload, retain=True)
    with city.renewed("ingest"):
        pass
    until(lambda: read.count("retained_camera_cleared") == len(CAMERAS), "all are cleared")


class Search(NamedTuple):
    """What is looked through: (name of the place, content) of each kind."""

    files: list[tuple[str, bytes]]
    tables: list[tuple[str, bytes]]
    answers: list[tuple[str, bytes]]
    printed: list[tuple[str, bytes]]

    def places(self, wanted: set[bytes]) -> set[str]:
        """Where one of these forms stands."""
        return {name for kind in self for name, content in kind if plates.holds(content, wanted)}


def search(city: City, folder: Path, read: Reader) -> Search:
    """Look at all that a city leaves behind and tells."""
    return Search(
        list(plates.files(folder)),
        list(plates.tables(city.run["database"]["owner"])),
        [(path, repr(one.headers).encode() + one.content) for path in PATHS for one in [read.get(path)]],
        [(words, city.command(*words.split()).encode()) for words in COMMANDS],
    )


def counters(city: City) -> dict[str, Any]:
    """The counts of all processes that there were, from the database."""
    found: dict[str, Any] = json.loads(city.command("status", "--counters", "--json"))
    return found


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All that the city writes is below it: data, logs, configuration, keys."""
    return tmp_path_factory.mktemp("privacy")


@pytest.fixture(scope="module")
def city(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[City]:
    """A city with a format and a camera besides that have a defect."""
    site = tmp_path_factory.mktemp("site")
    (site / "plugins").mkdir()
    (site / "plugins" / "failing.py").write_text(FAILING)
    (site / "sitecustomize.py").write_text(PLUG_INS.format(folder=str(site / "plugins")))
    path = os.pathsep.join([str(site), os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep)
    with up(folder, CONFIG, (servers.free_port(), servers.free_port()), PYTHONPATH=path) as running:
        yield running


@pytest.fixture(scope="module")
def found(city: City, folder: Path, sensor: Device, read: Reader) -> Search:
    """What there is after all of it, while camera messages that nobody has acknowledged wait in the broker."""
    publish_visible(sensor)
    publish_all(sensor)
    while_others_are_away(city, sensor)
    retained(city, sensor, read)
    until(lambda: counters(city)["in_flight"] == 0, "all is stored or refused")
    city.signal("ingest", SIGSTOP)
    try:
        for camera, payload in planted():
            sensor.publish(f"camera/{camera}/waiting", payload)
        return search(city, folder, read)
    finally:
        city.signal("ingest", SIGCONT)


def test_the_plate_stands_nowhere(found: Search) -> None:
    assert found.places(plates.forms(PLATE)) == set()


def test_the_search_finds_what_is_there(found: Search) -> None:
    places = found.places(plates.forms(VISIBLE))
    assert places >= {"public.reject", "/feeds/all", "/feeds/all/observations.csv", "/feeds/all/observations.json"}
    assert any("/pg_wal/" in place for place in places)
    names = {name.partition("/")[2].partition("/")[0] for name, _ in found.files}
    assert names >= {"postgres", "nats", "run.json"}
    assert "up.log" in {name for name, _ in found.files}


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "utf-16-be"])
@pytest.mark.parametrize("plate", [PLATE, "1QXZ000", "1qxz000", "1-qxz-000"])
@pytest.mark.parametrize("before", ["", "x", "xy"])
def test_the_search_knows_the_ways_of_writing(encoding: str, plate: str, before: str) -> None:
    wanted = plates.forms(PLATE)
    body = f"{before}{plate}yz".encode(encoding)
    assert all(plates.holds(one, wanted) for one in (body, b64encode(body), body.hex().upper().encode()))
    assert not plates.holds(VISIBLE.encode(encoding), wanted)


def test_no_token_is_told(city: City, found: Search) -> None:
    with psycopg.connect(city.run["database"]["owner"]) as connection:
        rows = connection.execute("select distinct token from passage where token is not null").fetchall()
    wanted = set.union(*(plates.token_forms(bytes(row[0])) for row in rows))
    told = Search([], [], found.answers, found.printed)
    assert told.places(wanted) == set()
    assert "public.passage" in found.places(wanted), "the search finds what is there"


def test_all_paths_were_taken(city: City, found: Search) -> None:
    kept = until(lambda: one if (one := counters(city))["in_flight"] == 0 else None, "all is stored or refused")
    assert kept["adds_up"]
    assert set(kept["rejected"]) >= {"syntax", "encoding", "size", "time", "personal", "decoder"}
    assert kept["ignored"]["retained"] == kept["ignored"]["retained message cleared"] == len(CAMERAS)
    assert kept["passages"] >= len(planted())
    with psycopg.connect(city.run["database"]["owner"]) as connection:
        payloads = connection.execute("select topic from reject where payload is not null").fetchall()
    assert payloads == [("format/json/sign",)]
    wait_for_camera(city, "waiting")
