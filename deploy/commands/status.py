"""`citybroker status`: what runs, is it ready, and do the counters add up."""

# ruff: noqa: PLC0415 - a command imports what it runs, so that --help is there at once

from pathlib import Path
from typing import Annotated, Any

import typer

from deploy.commands import options
from deploy.commands.options import DatabaseUrlOption, DataOption, JsonOption, option


def status(
    counters: Annotated[bool, option("--counters", "The message counters, from the database.")] = False,
    data: DataOption = options.DATA,
    database_url: DatabaseUrlOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show the instance that runs on --data; with --counters what became of every message.

    received = stored + duplicate + ignored + rejected + in flight: the counts are written with each
    batch in its transaction, so that they add up over crashes and over processes. Exit code 1 if the
    instance is not ready, or if the counters do not add up.

    Try:
      citybroker status
      citybroker status --counters --json
    """
    found = _counters(database_url, data) if counters else _instance(data)
    if as_json:
        from deploy.commands.output import emit

        emit(found)
    else:
        typer.echo("\n".join(_lines(found)))
    raise typer.Exit(0 if found.get("adds_up", True) and found.get("ready", True) else 1)


def _counters(database_url: str | None, data: Path) -> dict[str, Any]:
    from broker.store import batches
    from deploy.commands import running

    with running.connected(database_url, data) as connection:
        found = batches.counters(connection)
    return found | {"adds_up": found["received"] == _outcomes(found)}


def _outcomes(found: dict[str, Any]) -> int:
    reasons = sum(found["ignored"].values()) + sum(found["rejected"].values())
    return int(found["stored"] + found["duplicate"] + reasons + found["in_flight"])


def _instance(data: Path) -> dict[str, Any]:
    from deploy.commands import running

    run = running.instance(data)
    ready, missing = _readiness(run["metrics"]["up"])
    names = ("http_url", "device_url", "config", "pid")
    return {name: run[name] for name in names} | {"ready": ready, "missing": missing}


def _readiness(port: int) -> tuple[bool, Any]:
    import httpx

    try:
        answer = httpx.get(f"http://127.0.0.1:{port}/health/ready", timeout=5, trust_env=False)
        return answer.status_code == 200, answer.json()["missing"]
    except (httpx.HTTPError, ValueError, KeyError):
        return False, {"up": "does not answer"}


def _lines(found: dict[str, Any], indent: str = "") -> list[str]:
    """Name and value in columns; what has reasons comes as a block, with its sum."""
    lines = []
    for name, value in found.items():
        label = f"{indent}{name.replace('_', ' ')}"
        if isinstance(value, dict):
            total = sum(value.values()) if all(isinstance(one, int) for one in value.values()) else ""
            lines += [f"{label:<28} {total}".rstrip(), *_lines(value, indent + "  ")]
        else:
            shown = {True: "yes", False: "no"}[value] if isinstance(value, bool) else value
            lines.append(f"{label:<28} {shown}")
    return lines
