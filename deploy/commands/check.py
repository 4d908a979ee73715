"""`citybroker check`: whether a configuration is right, and what is wrong with it."""

# ruff: noqa: PLC0415 - a command imports what it runs, so that --help is there at once

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from deploy.commands.options import JsonOption

if TYPE_CHECKING:
    from deploy.check import Inspection


def check(
    config: Annotated[Path, typer.Argument(envvar="CITYBROKER_CONFIG", help="The file, usually city.toml.")],
    as_json: JsonOption = False,
) -> None:
    """Check a configuration: every problem with its line, its key, what was found and what is expected.

    Exit code 0 if it is right (warnings do not count), 2 if not. `up` and every role check it too.

    Try:
      citybroker check city.toml
      citybroker check city.toml --json
    """
    from broker.errors import BadConfig
    from deploy import check as checks

    found = checks.inspect(config)
    if as_json:
        _emit(found)
        raise typer.Exit(2 if found.problems else 0)
    for warning in found.warnings:
        typer.echo(f"warning: {checks.tell(config, warning)}", err=True)
    if found.config is None:
        raise BadConfig("\n".join(checks.tell(config, problem) for problem in found.problems))
    sources, feeds = len(found.config.source), len(found.config.feed)
    typer.echo(f"{config}: right: {found.config.city.name}, sources: {sources}, feeds: {feeds}")


def _emit(found: "Inspection") -> None:
    from deploy.commands.output import emit

    emit(
        {
            "valid": not found.problems,
            "problems": [problem._asdict() for problem in found.problems],
            "warnings": [warning._asdict() for warning in found.warnings],
        }
    )
