"""Every sample of tests/samples/outputs over one small city: its README says what they look like."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pyoxigraph
import pytest
from opendata_city import MINUTE, T0, City, config
from test_opendata_api import served

from broker import metrics
from broker.readiness import Readiness
from broker.store.database import Database
from deploy.embedded import Postgres
from opendata import app, publish

ROOT = Path(__file__).parents[1] / "samples" / "outputs"
SUFFIX = ".request.json"
GRAPHS = {
    ".ttl": pyoxigraph.RdfFormat.TURTLE,
    ".rdf": pyoxigraph.RdfFormat.RDF_XML,
    ".jsonld": pyoxigraph.RdfFormat.JSON_LD,
    ".nt": pyoxigraph.RdfFormat.N_TRIPLES,
}
FEEDS = """
[[feed]]
id = "air"
title = { nl = "Lucht", en = "Air" }
description = { nl = "Wat in de lucht zit.", en = "What is in the air." }
property = ["airTemperature", "pm25", "open"]
[[feed]]
id = "hourly"
title = { nl = "Temperatuur per uur", en = "Temperature by the hour" }
property = ["airTemperature"]
policy = "aggregate"
window = "PT1H"
statistics = ["mean", "max"]
minimum = 2
[[feed]]
id = "empty"
title = { nl = "Leeg", en = "Empty" }
source = ["nobody"]
"""


def fill(city: City) -> None:
    """Two things of which one has a place; numbers, a text, a flag, an interval, a correction, thin hours."""
    warm = city.datastream("zennegat", "airTemperature", "Cel", area="Noord")
    dust = city.datastream("zennegat", "pm25", "ug/m3", qualifier="inlet 2", area="Noord")
    cold = city.datastream('kiosk "Sint-Jan", 2', "airTemperature", "Cel")
    door = city.datastream('kiosk "Sint-Jan", 2', "open")
    city.place("zennegat", 4.4701, 51.0402)
    city.observe([(warm, T0 + i * 20 * MINUTE, 8.5 + i) for i in range(4)])
    city.observe([(dust, T0, 12.25, 0, T0 + 10 * MINUTE), (dust, T0 + 10 * MINUTE, 2000, 1, T0 + 20 * MINUTE)])
    city.observe(
        [(cold, T0 + 5 * MINUTE, -3), (door, T0 + 5 * MINUTE, True), (door, T0 + 6 * MINUTE, 'half, "op"')]
    )
    city.observe([(warm, T0 + 20 * MINUTE, 9.75, 0, None, 1)])


@pytest.fixture
def client(database: Postgres) -> Iterator[httpx.Client]:
    """Ask the city, two hours later."""
    city, settings, now = City(database.owner), config(FEEDS), T0 + 120 * MINUTE
    fill(city)
    city.alive(now)
    store = Database(database.publish, role="citybroker_publish")
    while publish.step(store, settings, lambda *_: [], now).more:
        pass
    store.close()
    city.connection.execute("update feed set created = %s", [T0])
    city.close()
    made = app.create(
        settings, database_url=database.serve, readiness=Readiness(), submit=None, metrics=metrics.render
    )
    with served(made) as client:
        yield client


def graph(content: bytes, form: pyoxigraph.RdfFormat) -> pyoxigraph.Dataset:
    made = pyoxigraph.Dataset(pyoxigraph.parse(content, format=form))
    made.canonicalize(pyoxigraph.CanonicalizationAlgorithm.UNSTABLE)
    return made


def read(content: bytes, suffix: str) -> Any:
    """What is compared: the graph, the document, or the bytes."""
    if suffix in GRAPHS:
        return graph(content, GRAPHS[suffix])
    return json.loads(content) if suffix in {".json", ".geojson"} else content.decode()


def expected(case: Path) -> Path:
    """The file beside the request with the same name and the form's own ending."""
    (found,) = case.parent.glob(f"{case.name.removesuffix(SUFFIX)}.expected.*")
    return found


@pytest.mark.parametrize("folder", sorted(ROOT.iterdir()), ids=lambda folder: folder.name)
def test_an_output_answers_as_its_samples_say(client: httpx.Client, folder: Path) -> None:
    cases = sorted(folder.glob(f"*{SUFFIX}"))
    assert cases
    for case in cases:
        asked = json.loads(case.read_text())
        answer = client.get(asked["path"], headers={"Accept": asked.get("accept", "*/*")})
        file = expected(case)
        assert answer.status_code == asked.get("status", 200), f"{case.name}: {answer.text}"
        assert answer.headers["content-type"].startswith(asked["type"]), case.name
        assert read(answer.content, file.suffix) == read(file.read_bytes(), file.suffix), case.name
