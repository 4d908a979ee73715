"""`city.toml` → one model. Secrets never stand in it: they come from the environment or files.

`load` reads a file, and reports all that is wrong with it at once: file, line, key, what was found and
what is expected. What needs the plug-ins (does the format exist, are its options right) is checked by
`deploy.check`.
"""

import re
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeVar
from zoneinfo import ZoneInfo

from pydantic import Field, ValidationError

from broker import consistency
from broker.errors import BadConfig
from broker.lines import locate, nearest
from broker.model import Source
from broker.problems import Problem, explain, show, unknown
from broker.tables import (
    AnprTable,
    City,
    FeedTable,
    IngestTable,
    PublishTable,
    RejectsTable,
    SourceTable,
    Table,
)

__all__ = [
    "AnprTable",
    "City",
    "Config",
    "FeedTable",
    "IngestTable",
    "PublishTable",
    "RejectsTable",
    "SourceTable",
    "content",
    "examine",
    "findings",
    "load",
    "parse",
    "read",
    "report",
]

Row = TypeVar("Row", bound=Table)


class Config(Table):
    """All of `city.toml`."""

    city: City
    source: list[SourceTable] = Field(default_factory=list)
    feed: list[FeedTable] = Field(default_factory=list)
    ingest: IngestTable = IngestTable()
    anpr: AnprTable = AnprTable()
    publish: PublishTable = PublishTable()
    rejects: RejectsTable = RejectsTable()

    @property
    def zone(self) -> ZoneInfo:
        """The city's time zone: days and files follow it."""
        return ZoneInfo(self.city.timezone)

    def sources(self) -> list[Source]:
        """The sources as the pipeline wants them."""
        return [self._source(table) for table in self.source]

    def _source(self, table: SourceTable) -> Source:
        limit = table.max_bytes or ((8 << 20) if table.camera else (1 << 20))
        age = table.max_age.total_seconds() if table.max_age else None
        return Source(
            name=table.name,
            topic=table.topic,
            format=table.format,
            camera=table.camera,
            timezone=ZoneInfo(table.timezone or self.city.timezone),
            thing=table.thing,
            personal=table.personal or table.camera is not None,
            max_bytes=limit,
            max_future=table.max_future.total_seconds(),
            max_age=age,
            allow=_allowed(table.allow),
            identity=table.identity,
            part=table.part,
            rate=table.rate,
            options=table.options,
        )


def _allowed(given: list[str] | bool | str) -> frozenset[str] | Literal["registry"] | None:
    if given == "registry":
        return "registry"
    return frozenset(given) if isinstance(given, list) else None


ADDRESSES = "CITYBROKER_MQTT_URL and CITYBROKER_DATABASE_URL in the environment"
SINGLE: dict[str, type[Table]] = {
    "city": City,
    "ingest": IngestTable,
    "anpr": AnprTable,
    "publish": PublishTable,
    "rejects": RejectsTable,
}


def load(path: Path) -> Config:
    """Read a configuration file. BadConfig names every problem of it, one per line."""
    return read(content(path), str(path))


def content(path: Path) -> str:
    """Give the text of a file; BadConfig if it cannot be read."""
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise BadConfig(f"{path}: byte {error.start} is not UTF-8, expected a TOML text") from None
    except OSError as error:
        raise BadConfig(f"{path}: cannot be read: {error.strerror}") from None


def read(text: str, name: str) -> Config:
    """Read a configuration from its text; `name` is what messages call it. Errors as of `load`."""
    config, problems = examine(parse(text, name))
    if config is None or problems:
        raise BadConfig(report(text, name, problems))
    return config


def parse(text: str, name: str) -> Mapping[str, Any]:
    """Read TOML; BadConfig names the line of a syntax error."""
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        found = re.fullmatch(r"(.*) \(at (?:line (\d+), column (\d+)|end of document)\)", str(error), re.DOTALL)
        message, line, column = found.groups() if found else (str(error), None, None)
        where = f"{line or text.count(chr(10)) + 1}"
        at = f" at column {column}" if column else " at the end"
        raise BadConfig(f"{name}:{where}: not valid TOML: {message}{at}") from None
    except RecursionError:
        raise BadConfig(f"{name}:1: not usable TOML: nested too deeply") from None


def examine(document: Mapping[str, Any]) -> tuple[Config | None, list[Problem]]:
    """Validate a parsed `city.toml`: the configuration, None if something is wrong, and all problems.

    Tables are validated one by one, so that a mistake in one does not hide those of the others.
    """
    problems = [Problem((key,), _stray(key)) for key in document if key not in Config.model_fields]
    single = {
        name: _table(model, document.get(name), (name,), problems)
        for name, model in SINGLE.items()
        if name in document or model is City
    }
    sources = _rows(SourceTable, document, "source", problems)
    feeds = _rows(FeedTable, document, "feed", problems)
    problems += consistency.check(sources, feeds, _names(document))
    if problems:
        return None, problems
    settled = [consistency.settle(feed, sources) for feed in feeds.values()]
    return Config.model_validate({**single, "source": [*sources.values()], "feed": settled}), []


class Finding(NamedTuple):
    """A problem with its line, as it is told."""

    line: int
    key: str
    text: str


def findings(text: str, problems: Iterable[Problem]) -> list[Finding]:
    """Find the line of each problem in the text of the file, and put them in its order."""
    lines = locate(text)
    return sorted(Finding(nearest(lines, one.path), one.key, one.say(lines)) for one in problems)


def report(text: str, name: str, problems: Iterable[Problem]) -> str:
    """Give one line for each problem, in the order of the file."""
    return "\n".join(f"{name}:{one.line}: {one.key}: {one.text}" for one in findings(text, problems))


def _names(document: Mapping[str, Any]) -> list[str]:
    """List what sources call themselves, also where something else is wrong with them."""
    rows = document.get("source", [])
    rows = rows if isinstance(rows, list) else []
    return [row["name"] for row in rows if isinstance(row, dict) and isinstance(row.get("name"), str)]


def _stray(key: str) -> str:
    if key in {"sources", "feeds"}:
        return f'found an unknown key "{key}"; did you mean "{key[:-1]}"? Each has its own [[{key[:-1]}]]'
    if key in {"mqtt", "database", "postgres", "nats", "broker"}:
        return f'found an unknown key "{key}", expected --mqtt-url and --database-url, or {ADDRESSES}, instead'
    return unknown(key, Config.model_fields)


def _table(model: type[Row], value: Any, path: tuple[str | int, ...], problems: list[Problem]) -> Row | None:
    if value is None:
        problems.append(Problem(path, "found nothing, expected [city] with at least id and name"))
        return None
    if not isinstance(value, dict):
        problems.append(Problem(path, f"found {show(value)}, expected a table"))
        return None
    try:
        return model.model_validate(value)
    except ValidationError as error:
        problems += explain(error, path, model)
        return None


def _rows(model: type[Row], document: Mapping[str, Any], key: str, problems: list[Problem]) -> dict[int, Row]:
    rows = document.get(key, [])
    if not isinstance(rows, list):
        problems.append(Problem((key,), f"found {show(rows)}, expected [[{key}]] above each {key}"))
        return {}
    read = {number: _table(model, row, (key, number), problems) for number, row in enumerate(rows)}
    return {number: row for number, row in read.items() if row is not None}
