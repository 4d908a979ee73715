"""Is a `city.toml` right, with all that the plug-ins know: formats, cameras, their options, properties."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

from pydantic import BaseModel, ValidationError

from broker import config, modules, vocabulary
from broker.config import Config, SourceTable
from broker.errors import BadConfig
from broker.problems import Problem, did_you_mean, explain, show

PLUG_INS = {"format": "ingest.formats", "camera": "anpr.cameras"}


class Inspection(NamedTuple):
    """What was found: the configuration (None if it has problems), its problems, and what is only odd."""

    config: Config | None
    problems: list[config.Finding]
    warnings: list[config.Finding]


def check(path: Path) -> Config:
    """Read a configuration that is right in all that can be known before anything is connected.

    BadConfig names every problem, one per line.
    """
    inspection = inspect(path)
    if inspection.config is None:
        raise BadConfig("\n".join(tell(path, finding) for finding in inspection.problems))
    return inspection.config


def tell(path: Path, finding: config.Finding) -> str:
    """Say a problem in one line: file, line, key and text."""
    return f"{path}:{finding.line}: {finding.key}: {finding.text}"


def inspect(path: Path) -> Inspection:
    """Find all problems and oddities of a file; BadConfig if it cannot be read as TOML."""
    text = config.content(path)
    document = config.parse(text, str(path))
    found, problems = config.examine(document)
    problems += plug_in_problems(document, path.parent)
    whole = None if problems or found is None else settled(found, path.parent)
    return Inspection(whole, config.findings(text, problems), config.findings(text, oddities(document)))


def settled(found: Config, directory: Path) -> Config:
    """Give the configuration with options as the plug-ins have them: what they name in `directory` is read."""
    formats = modules.load(PLUG_INS["format"])
    sources = [_settled(table, formats, directory) for table in found.source]
    return found.model_copy(update={"source": sources})


def _settled(table: SourceTable, formats: Mapping[str, ModuleType], directory: Path) -> SourceTable:
    model = getattr(formats.get(table.format or ""), "Options", None)
    if model is None or not table.options:
        return table
    options = model.model_validate(table.options, context={"directory": directory})
    return table.model_copy(update={"options": options.model_dump(exclude_unset=True)})


def plug_in_problems(document: Mapping[str, Any], directory: Path | None = None) -> list[Problem]:
    """Find sources whose format or camera does not exist, or does not take the options.

    Files that options name stand in `directory`; without one they are not looked for.
    """
    plug_ins = {key: modules.load(package) for key, package in PLUG_INS.items()}
    return [
        problem
        for number, row in _rows(document, "source")
        for key, known in plug_ins.items()
        if isinstance(row.get(key), str)
        for problem in _plug_in(("source", number), key, row, known, directory)
    ]


def _plug_in(
    path: tuple[str | int, ...],
    key: str,
    row: Mapping[str, Any],
    known: Mapping[str, ModuleType],
    directory: Path | None,
) -> list[Problem]:
    name, options = row[key], row.get("options", {})
    if name not in known:
        wanted = f"expected one of {', '.join(known)}{did_you_mean(name, known)}"
        return [Problem((*path, key), f"found {show(name)}, {wanted}")]
    model = getattr(known[name], "Options", None)
    if not isinstance(options, dict):
        return []
    if model is None:
        text = f"found options, expected none: {key} {show(name)} has no settings of its own"
        return [Problem((*path, "options"), text)] if options else []
    return _options((*path, "options"), model, options, directory)


def _options(
    path: tuple[str | int, ...], model: type[BaseModel], options: dict[str, Any], directory: Path | None
) -> list[Problem]:
    try:
        model.model_validate(options, context={"directory": directory})
    except ValidationError as error:
        return explain(error, path, model)
    return []


def oddities(document: Mapping[str, Any]) -> list[Problem]:
    """Find what is allowed but probably not meant, or needs something of its surroundings."""
    return [*_blank_topics(document), *_nobody_pushes(document), *_unknown_properties(document)]


def _blank_topics(document: Mapping[str, Any]) -> Iterable[Problem]:
    text = (
        "has a blank: the embedded broker (NATS) drops connections that use such a topic; "
        "give another broker by --mqtt-url"
    )
    for number, row in _rows(document, "source"):
        if " " in str(row.get("topic", "")):
            yield Problem(("source", number, "topic"), f"{show(row['topic'])} {text}")


def _nobody_pushes(document: Mapping[str, Any]) -> Iterable[Problem]:
    """Find settings of the push door on sources that it does not serve."""
    for number, row in _rows(document, "source"):
        topic = f"in/{row.get('name')}/+"
        for key in ("identity", "part", "rate"):
            if key in row and row.get("topic") not in {topic, topic[:-1] + "#"}:
                yield Problem(("source", number, key), f"is for the push door, which has the topic {show(topic)}")


def _unknown_properties(document: Mapping[str, Any]) -> Iterable[Problem]:
    known = vocabulary.load()
    for number, row in _rows(document, "feed"):
        names = row.get("property", [])
        for position, name in enumerate(names if isinstance(names, list) else [names]):
            if isinstance(name, str) and name != "*" and known.find(name) is None:
                hint = did_you_mean(name, known)
                text = f"{show(name)} is not in the vocabulary: only a payload's own key can match{hint}"
                yield Problem(("feed", number, "property", position), text)


def _rows(document: Mapping[str, Any], key: str) -> Iterable[tuple[int, Mapping[str, Any]]]:
    rows = document.get(key, [])
    return [(n, row) for n, row in enumerate(rows if isinstance(rows, list) else []) if isinstance(row, dict)]
