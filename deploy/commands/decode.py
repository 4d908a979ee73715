"""`citybroker decode`: what a message would become, or why it is refused."""

# ruff: noqa: PLC0415, PLR0913, PLR0917 - it imports what it runs, so that --help is there at once; options are arguments

import sys
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from deploy.commands.options import option

if TYPE_CHECKING:
    from broker.config import Config
    from broker.model import Message, Observation, Passage
    from ingest.writer import Taken


def decode(
    file: Annotated[Path, typer.Argument(help="The payload; - is standard input.", allow_dash=True)],
    topic: Annotated[str, option("--topic", "The topic that it came on.")],
    format_: Annotated[str | None, option("--format", "A sensor format: tts_v3, senml, …")] = None,
    camera: Annotated[str | None, option("--camera", "A camera format: milesight, hikvision, …")] = None,
    config: Annotated[Path | None, option("--config", "Take the settings of a source from here.")] = None,
    source: Annotated[str | None, option("--source", "Which one; else the one that takes the topic.")] = None,
    timezone: Annotated[str, option("--timezone", "Of local times without a zone.")] = "Europe/Brussels",
    content_type: Annotated[str | None, option("--content-type", "Of the payload, if the sender said it.")] = None,
    received: Annotated[str | None, option("--received", "When it came, RFC 3339; else now.")] = None,
    retained: Annotated[bool, option("--retained", "It was a retained message.")] = False,
    explain: Annotated[bool, option("--explain", "Say field by field what is taken, and why.")] = False,
) -> None:
    """Show what a message becomes: one JSON per observation or passage; nothing is stored.

    Values that are left out and places go to standard error. Exit code 0 if it would be stored or
    ignored, 1 if it would be refused. A number plate is never shown. --explain shows a table
    instead: every field, what it becomes, by which factor and unit, what is left out, and why.

    Try:
      citybroker decode --format tts_v3 --topic v3/app/devices/dev/up uplink.json
      citybroker decode --explain --format senml --topic air/7 pack.json
      citybroker decode --camera milesight --topic anpr/gate-1 event.json
      cat event.json | citybroker decode --config city.toml --topic anpr/gate-1 -
    """
    from broker.model import Message

    chosen = (
        _configured(config, source, topic)
        if config and not (format_ or camera)
        else _given({"format": format_, "camera": camera}, topic, timezone)
    )
    message = Message(topic, payload(file), _moment(received), retained, content_type=content_type)
    if explain:
        _explain(chosen, message)
    else:
        _show(_take(chosen, message))


def _explain(config: "Config", message: "Message") -> None:
    from deploy import explain
    from deploy.commands.output import show_table

    found = explain.explain(config, message)
    show_table(("field", "found", "becomes", "why"), found.lines)
    if found.refused:
        raise typer.Exit(1)


def _configured(path: Path, name: str | None, topic: str) -> "Config":
    """Keep the one source of a configuration that is meant."""
    from broker.errors import BadConfig
    from broker.problems import did_you_mean
    from broker.topics import matches
    from deploy import check

    config = check.check(path)
    names = [one.name for one in config.source]
    if name and name not in names:
        raise BadConfig(f'--source: found "{name}", expected one of {", ".join(names)}{did_you_mean(name, names)}')
    found = [one for one in config.source if matches(one.topic, topic) and name in {None, one.name}]
    if not found:
        raise BadConfig(
            f'--topic: "{topic}" is not taken by {f"source {name}" if name else "any source"} of {path}'
        )
    return config.model_copy(update={"source": found, "feed": []})


def _given(decoder: dict[str, str | None], topic: str, timezone: str) -> "Config":
    """Make a configuration of one source from the options."""
    from broker.config import examine
    from broker.errors import BadConfig
    from deploy import check

    row = {"name": "decode", "topic": topic} | {key: name for key, name in decoder.items() if name is not None}
    document = {"city": {"id": "decode", "name": "decode", "timezone": timezone}, "source": [row]}
    config, problems = examine(document)
    problems += check.plug_in_problems(document)
    if config is None or problems:
        raise BadConfig("\n".join(_complaint(problem.path, problem.text) for problem in problems))
    return config


def _complaint(path: tuple[str | int, ...], text: str) -> str:
    key = path[-1] if isinstance(path[-1], str) else "format"
    if "options" in path:
        return f"--config: this format has settings (source.options.{key}: {text}); take them from a city.toml"
    if isinstance(path[-1], int):
        return "--format or --camera: found neither or both, expected one of them, or --config"
    return f"--{key}: {text}"


def payload(file: Path) -> bytes:
    """Read a payload from a file, or from standard input. BadConfig."""
    from broker.errors import BadConfig

    try:
        return sys.stdin.buffer.read() if str(file) == "-" else file.read_bytes()
    except OSError as error:
        raise BadConfig(f"{file}: cannot be read: {error.strerror}") from None


def _moment(text: str | None) -> datetime:
    from datetime import UTC

    from broker.errors import BadConfig

    try:
        time = datetime.fromisoformat(text) if text else datetime.now(UTC)
    except ValueError:
        time = datetime.min  # noqa: DTZ901 - has no zone, and is refused for that below
    if time.tzinfo is None:
        raise BadConfig(f'--received: found "{text}", expected a time with a zone, such as 2026-11-24T12:00:00Z')
    return time.astimezone(UTC)


def _take(config: "Config", message: "Message") -> "Taken":
    """Take the message as ingest would, with keys that are thrown away."""
    from tempfile import TemporaryDirectory

    from anpr.keys import KeyStore
    from ingest.run import make_taker

    with TemporaryDirectory() as folder:
        keys = KeyStore(Path(folder) / "keys", config.city.id, config.zone)
        return make_taker(config, keys, {}).take(message)


def _show(taken: "Taken") -> None:
    from deploy.commands.output import emit

    for skipped in taken.skipped:
        emit({"skipped": skipped.name, "reason": skipped.reason}, error=True)
    for place in taken.places:
        emit({"thing": place.thing, "location": place.geometry}, error=True)
    if taken.reject is not None:
        emit({"refused": taken.reject.reason, "detail": taken.reject.detail}, error=True)
        raise typer.Exit(1)
    if taken.ignored is not None:
        emit({"ignored": taken.ignored})
    for observation in taken.observations:
        emit(_observation(observation))
    for passage in taken.passages:
        emit(_passage(passage))


def _observation(one: "Observation") -> dict[str, Any]:
    from broker.model import Quality
    from deploy.commands.output import stamp

    line: dict[str, Any] = {
        "thing": one.datastream.thing,
        "observedProperty": one.datastream.property,
        "phenomenonTime": stamp(one.start),
        "result": one.result if one.number is None else one.number,
        "unit": one.datastream.unit,
    }
    if one.end is not None:
        line["phenomenonTimeEnd"] = stamp(one.end)
    if one.datastream.qualifier:
        line["qualifier"] = one.datastream.qualifier
    if one.quality:
        line["quality"] = [str(flag.name).lower() for flag in Quality if flag in Quality(one.quality)]
    return line


def _passage(one: "Passage") -> dict[str, Any]:
    """Whitelisted: no token, no identity."""
    from deploy.commands.output import stamp

    return {
        "thing": one.camera,
        "phenomenonTime": stamp(one.time),
        "readStatus": one.read_status,
        "confidence": one.confidence,
        "direction": one.direction,
        "vehicleClass": one.vehicle_class,
        "country": one.country,
        "lane": one.lane,
        "speed": one.speed,
    }
