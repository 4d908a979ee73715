"""Documentation is tested: every setting, metric, plug-in, command and address is in it, and nothing else."""

import json
import os
import re
import shlex
import tomllib
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any, get_args

import pytest
import typer
from prometheus_client import REGISTRY
from pydantic_core import PydanticUndefined

from broker import config, metrics, modules, periods, settings
from deploy import cli

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
    """Rows of tables whose first cell is `code`, perhaps as a link: {code: the other cells}."""
    plain = re.sub(r"^\| \[(`[^`]+`)\]\([^)]+\)", r"| \1", text, flags=re.MULTILINE)
    lines = [
        line.strip().removeprefix("|").removesuffix("|") for line in plain.splitlines() if line.startswith("| `")
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


def commands(command: Any, path: str = "citybroker") -> dict[str, Any]:
    """{citybroker rejects list: its command} of all that do something."""
    below = getattr(command, "commands", None)
    if below is None:
        return {path: command}
    return {
        name: leaf for word, child in below.items() for name, leaf in commands(child, f"{path} {word}").items()
    }


ROOT_COMMAND = typer.main.get_command(cli.app)
COMMANDS = commands(ROOT_COMMAND)


def test_every_command():
    headings = re.findall(r"^## `(.*)`$", (ROOT / "docs/commands.md").read_text(), re.MULTILINE)
    assert sorted(headings) == sorted(COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option(name):
    options = [one for one in COMMANDS[name].params if one.param_type_name == "option" and one.name != "help"]
    documented = {flag: cells[0] for flag, cells in rows(section("docs/commands.md", f"## `{name}`")).items()}
    assert documented == {one.opts[0]: default_of(one) for one in options}
    variables = [ENV + one.opts[0].removeprefix("--").replace("-", "_").upper() for one in options]
    assert [one.envvar for one in options] == variables


def default_of(option: Any) -> str:
    if option.required:
        return "required"
    return "–" if option.default is None or option.default is False else f"`{option.default}`"


def shell_lines(page: Path) -> list[str]:
    """Commands of the page's shell blocks, with continued lines joined and `x` for what is quoted."""
    blocks = re.findall(r"^ *```sh\n(.*?)^ *```", page.read_text(), re.MULTILINE | re.DOTALL)
    text = re.sub(r"'[^']*'|\"[^\"]*\"", "x", "\n".join(blocks).replace("\\\n", " "))
    return [line.strip() for line in text.splitlines()]


def words_of(line: str, program: str) -> list[list[str]]:
    """The arguments of each call of `program` in a line of shell, without redirections."""
    line = re.sub(r"\s\d?>>?\s*(?:&\d|\S+)|\s&$", "", line)
    calls = re.split(r"[|;]|&&", line)
    words = [shlex.split(call, comments=True) for call in calls]
    return [call[1:] for call in words if call and Path(call[0]).name == program]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_commands_in_the_docs_exist(page, monkeypatch):
    for name in [variable for variable in os.environ if variable.startswith(ENV)]:
        monkeypatch.delenv(name)
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for line in shell_lines(page):
        for arguments in words_of(line, "make"):
            assert {word for word in arguments if "=" not in word and word != "x"} <= targets, line
        for arguments in words_of(line, "citybroker"):
            parse(arguments)


def parse(arguments: list[str]) -> None:
    """Have the command line understand the arguments; nothing runs. Fails as it would."""
    command, context = ROOT_COMMAND, None
    while getattr(command, "commands", None):
        context = command.make_context(command.name, arguments, parent=context, resilient_parsing=False)
        arguments = [*context._protected_args, *context.args]
        _, command, arguments = command.resolve_command(context, arguments)
    command.make_context(command.name, arguments, parent=context)


@pytest.mark.parametrize(
    ("page", "package"), [("docs/formats.md", "ingest.formats"), ("docs/cameras.md", "anpr.cameras")]
)
def test_every_option_of_a_plug_in(page, package):
    lines = re.findall(r"^\| (`\w+`(?:, `\w+`)*) \| `(\w+)` \|", section(page, "## Options"), re.MULTILINE)
    documented = {(name, option) for names, option in lines for name in re.findall(r"\w+", names)}
    models = {name: module.Options for name, module in modules.load(package).items() if hasattr(module, "Options")}
    assert documented == {(name, option) for name, model in models.items() for option in model.model_fields}
