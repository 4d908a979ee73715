"""Documentation is tested: every setting, metric, plug-in, command and address is in it, and nothing else."""

import json
import re
import tomllib
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any, get_args

import pytest
from prometheus_client import REGISTRY
from pydantic_core import PydanticUndefined

from broker import config, metrics, modules, periods, settings

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), ROOT / "tests/samples/README.md"])
ENV = "CITYBROKER_"


def section(page: str, heading: str) -> str:
    """The text below one heading, up to the next of its level."""
    text = (ROOT / page).read_text()
    level = heading.partition(" ")[0]
    found = re.search(rf"^{re.escape(heading)}\n(.*?)(?=^{level} |\Z)", text, re.MULTILINE | re.DOTALL)
    assert found, f"{page} lacks the heading {heading!r}"
    return found[1]


def rows(text: str) -> dict[str, list[str]]:
    """Rows of tables whose first cell is `code`: {code: the other cells}."""
    lines = [
        line.strip().removeprefix("|").removesuffix("|") for line in text.splitlines() if line.startswith("| `")
    ]
    found = [re.split(r"(?<!\\)\|", line) for line in lines]
    return {cells[0].strip().strip("`"): [cell.strip() for cell in cells[1:]] for cells in found}


def shown(field: Any) -> str:
    """A setting's default as the tables show it."""
    match field.default:
        case _ if field.is_required():
            return "required"
        case None | _ if field.default is None or field.default is PydanticUndefined:
            return "–"
        case timedelta():
            return f"`{periods.write(field.default)}`"
        case _:
            return f"`{json.dumps(field.default)}`"


def tables() -> Iterator[tuple[str, type[config.Table]]]:
    for name, field in config.Config.model_fields.items():
        inner = get_args(field.annotation)
        yield (f"## `[[{name}]]`", inner[0]) if inner else (f"## `[{name}]`", field.annotation)


@pytest.mark.parametrize(("heading", "table"), [*tables()])
def test_every_setting(heading, table):
    documented = {key: cells[0] for key, cells in rows(section("docs/configuration.md", heading)).items()}
    assert documented == {name: shown(field) for name, field in table.model_fields.items()}


def test_every_secret():
    documented = rows(section("docs/configuration.md", "## Environment"))
    assert set(documented) == {ENV + name.upper() for name in settings.Settings.model_fields}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_configuration_in_the_docs_is_valid(page):
    for text in re.findall(r"^```toml\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL):
        whole = text if "[city]" in text else '[city]\nid = "c"\nname = "C"\n' + text
        tomllib.loads(whole)
        config.read(whole, page.name)


def known_metrics() -> dict[str, list[str]]:
    """{name as Prometheus shows it: [type, labels]} of every metric of the project."""
    found = {}
    for collector in {*REGISTRY._collector_to_names, metrics.messages}:
        for family in collector.collect():
            labels = getattr(collector, "_labelnames", None) or getattr(family, "_labelnames", ())
            name = family.name + ("_total" if family.type == "counter" else "")
            found[name] = [family.type, ", ".join(f"`{label}`" for label in labels)]
    return {name: row for name, row in found.items() if name.startswith("citybroker_")}


def test_every_metric():
    documented = rows((ROOT / "docs/metrics.md").read_text())
    assert {name: cells[:2] for name, cells in documented.items()} == known_metrics()


@pytest.mark.parametrize(
    ("page", "package"),
    [
        ("docs/formats.md", "ingest.formats"),
        ("docs/cameras.md", "anpr.cameras"),
        ("docs/outputs.md", "opendata.outputs"),
    ],
)
def test_every_plug_in(page, package):
    documented = rows((ROOT / page).read_text().partition("\n## ")[0])
    assert set(documented) == set(modules.load(package))


def anchors(page: Path) -> set[str]:
    headings = re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_somewhere(page):
    broken = []
    for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        if re.match(r"\w+:", link):
            continue
        name, _, anchor = link.partition("#")
        target = (page.parent / name) if name else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            broken.append(link)
    assert not broken
