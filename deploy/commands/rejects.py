"""`citybroker rejects`: what was refused, why, and once more after a repair."""

# ruff: noqa: PLC0415 - a command imports what it runs, so that --help is there at once

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from deploy.commands import options
from deploy.commands.options import DatabaseUrlOption, DataOption, JsonOption, option

if TYPE_CHECKING:
    from anpr.keys import KeyStore
    from broker.config import Config
    from broker.store.rejects import Reject

NumberArgument = Annotated[int, typer.Argument(help="The reject's id, of `rejects list`.")]


def show_list(
    limit: Annotated[int, option("--limit", "How many, the newest first.", min=1)] = 100,
    data: DataOption = options.DATA,
    database_url: DatabaseUrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """List what was refused, the newest first, with the reason and whether it can be replayed.

    Try:
      citybroker rejects list
      citybroker rejects list --limit 20 --json
    """
    from broker.store import rejects
    from deploy.commands import output, running

    with running.connected(database_url, data) as connection:
        rows = rejects.recent(connection, limit)
    if as_json:
        for row in rows:
            output.emit(row)
        return
    columns = ("id", "received", "source", "topic", "reason", "detail", "bytes", "replay")
    output.show_table(columns, [_row(row) for row in rows])


def _row(row: dict[str, Any]) -> tuple[Any, ...]:
    from deploy.commands.output import moment

    replay = "done" if row["replayed"] else "possible" if row["replayable"] else "no: camera"
    names = ("source", "topic", "reason", "detail", "length")
    return (row["id"], moment(row["received"]), *(row[name] for name in names), replay)


def show(
    number: NumberArgument,
    data: DataOption = options.DATA,
    database_url: DatabaseUrlOption = None,
    payload: Annotated[bool, option("--payload", "Print only the payload, byte for byte.")] = False,
) -> None:
    """Show one reject as JSON, with its payload. Of a camera's only names and types of fields are kept.

    Try:
      citybroker rejects show 17
      citybroker rejects show 17 --payload | citybroker decode --format senml --topic in/x -
    """
    from broker.errors import BadConfig
    from broker.store import rejects
    from deploy.commands import output, running

    with running.connected(database_url, data) as connection:
        found = rejects.get(connection, number)
    if found is None:
        raise BadConfig(f"there is no reject {number}: see `citybroker rejects list`")
    if not payload:
        output.emit({"id": number} | _described(found))
        return
    if found.payload is None:
        raise BadConfig(f"reject {number} came from a camera: its payload was not kept")
    typer.echo(found.payload, nl=False)


def _described(reject: "Reject") -> dict[str, Any]:
    """All of a reject; bytes that are no text as base64."""
    from base64 import b64encode

    values = reject._asdict()
    payload = values.pop("payload")
    if payload is None:
        return values
    try:
        return values | {"payload": payload.decode()}
    except UnicodeDecodeError:
        return values | {"payloadBase64": b64encode(payload).decode()}


def replay(
    numbers: Annotated[
        list[int] | None, typer.Argument(help="Ids; all that can be replayed if none is given.")
    ] = None,
    config: Annotated[
        Path | None, option("--config", "The configuration; else that of the instance on --data.", dir_okay=False)
    ] = None,
    keys: options.KeysOption = None,
    data: DataOption = options.DATA,
    database_url: DatabaseUrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """Take rejects through the pipeline again, with the time at which they were received.

    For after a repair of the configuration or a decoder. What is refused again is a new reject.
    Camera messages cannot be replayed, because nothing of them is kept.

    Try:
      citybroker rejects replay 17 18
      citybroker rejects replay
    """
    from deploy.commands import output, running
    from ingest import run

    url = running.database_url(database_url, data, "ingest")
    chosen = _config(config, data)
    outcomes = run.replay(chosen, database_url=url, keys=_keys(chosen, keys, data), numbers=numbers or None)
    counts = {
        "stored": outcomes.stored,
        "duplicate": outcomes.duplicate,
        "ignored": dict(outcomes.ignored),
        "rejected": dict(outcomes.rejected),
    }
    if as_json:
        output.emit(counts)
        return
    ignored, rejected = outcomes.ignored.total(), outcomes.rejected.total()
    typer.echo(
        f"stored {outcomes.stored}, duplicate {outcomes.duplicate}, ignored {ignored}, refused again {rejected}"
    )


def _config(path: Path | None, data: Path) -> "Config":
    from deploy import check
    from deploy.commands import running

    return check.check(path or Path(running.instance(data)["config"]))


def _keys(config: "Config", folder: Path | None, data: Path) -> "KeyStore | None":
    """The keys of the option, else of the instance: what comes from cameras is told apart with them."""
    from anpr.keys import KeyStore
    from deploy.data import read_run

    found = folder or read_run(data).get("keys")
    return KeyStore(Path(found), config.city.id, config.zone) if found else None
