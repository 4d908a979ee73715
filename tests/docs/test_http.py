"""Every address, parameter and column of the HTTP API is in docs/http.md, and nothing else."""

import re
from pathlib import Path

import pytest
from fastapi import FastAPI
from starlette.routing import Match

from broker import config
from broker.model import Quality
from broker.readiness import Readiness
from broker.store import published
from opendata import app

PAGE = (Path(__file__).parents[2] / "docs/http.md").read_text()
CITY = config.read('[city]\nid = "c"\nname = "C"', "city.toml")


def part(heading: str) -> str:
    return PAGE.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]


def first_cells(text: str) -> list[str]:
    """What stands as `code` in the first cell of each row."""
    rows = [line.split("|")[1] for line in text.splitlines() if line.startswith("| `")]
    return [code for cell in rows for code in re.findall(r"`([^`]+)`", cell)]


@pytest.fixture(scope="module")
def api() -> FastAPI:
    """The application; nothing is asked of it, so it needs no database."""
    return app.create(CITY, database_url="host=/nowhere", readiness=Readiness(), submit=None, metrics=lambda: b"")


def test_every_address(api):
    documented = set(first_cells(PAGE.partition("\n## ")[0]))
    described = set(api.openapi()["paths"])
    assert described - documented == set()
    assert [path for path in documented - described if not is_served(api, path)] == []


def is_served(api: FastAPI, path: str) -> bool:
    scope = {"type": "http", "method": "GET", "path": path, "headers": [], "app": api}
    return any(route.matches(scope)[0] is Match.FULL for route in api.routes)


def test_every_parameter(api):
    given = {
        one["name"]
        for path, methods in api.openapi()["paths"].items()
        if "/observations." in path
        for one in methods["get"].get("parameters", [])
        if one["in"] == "query"
    }
    assert set(first_cells(part("Parameters of observations"))) == given


def test_every_column():
    columns = published.HEADER.decode().strip().split(",")
    assert first_cells(part("Columns of CSV")) == columns
    assert f"`{','.join(columns)}`" in part("Columns of CSV")
    (quality,) = [line for line in part("Columns of CSV").splitlines() if line.startswith("| `quality`")]
    withdrawn = {"withdrawn"}  # a status
    assert (
        set(re.findall(r"`(\w+)`", quality)) - {"quality"}
        == {str(flag.name).lower() for flag in Quality} - withdrawn
    )
