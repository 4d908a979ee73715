"""The catalogue against the official shapes; only where `../shared/standards` is."""

import subprocess
import sys
from pathlib import Path

import pytest
from opendata_city import AIR, MINUTE, T0, City, config
from pyoxigraph import RdfFormat

from broker.store.database import Database
from deploy.embedded import Postgres
from opendata import publish
from opendata.catalogue import Catalogue
from opendata.dcat import catalogue_graph
from opendata.outputs.dcat import render

FORMS = {"ttl": RdfFormat.TURTLE, "rdf": RdfFormat.RDF_XML, "nt": RdfFormat.N_TRIPLES, "jsonld": RdfFormat.JSON_LD}
FEEDS = (
    AIR
    + '[[feed]]\nid = "hourly"\ntitle = "Per uur"\npolicy = "aggregate"\nwindow = "PT1H"\nstatistics = ["mean"]\n'
)


@pytest.fixture
def files(database: Postgres, tmp_path: Path) -> dict[str, Path]:
    city = City(database.owner)
    stream = city.datastream("s1", "airTemperature", "Cel")
    city.place("s1", 3.72, 51.05)
    city.observe([(stream, T0 + i * MINUTE, i) for i in range(5)])
    city.alive(T0)
    writer, reader = Database(database.publish), Database(database.serve)
    publish.step(writer, config(FEEDS), lambda *_: [], T0)
    with Catalogue(config(FEEDS), reader, "https://data.gent.example").open() as snapshot:
        graph = catalogue_graph(snapshot)
    found = {name: tmp_path / f"catalog.{name}" for name in FORMS}
    for name, path in found.items():
        path.write_bytes(render(graph, FORMS[name]))
    for one in (writer, reader, city):
        one.close()
    return found


def test_the_catalogue_passes_the_shapes(files: dict[str, Path], shared: Path) -> None:
    script = shared / "standards" / "validate.py"
    for profile, form in [*(("dcat-ap", form) for form in FORMS), ("dcat-ap-vl", "ttl"), ("dcat-ap-vl-3", "ttl")]:
        found = subprocess.run(
            [sys.executable, str(script), profile, "--quiet", str(files[form])],
            capture_output=True,
            text=True,
            check=False,
        )
        assert found.returncode == 0, f"{profile} {form}: {found.stdout}{found.stderr}"
