"""`citybroker guess`: which formats and cameras accept a message."""

# ruff: noqa: PLC0415 - a command imports what it runs, so that --help is there at once

from pathlib import Path
from typing import Annotated

import typer

from deploy.commands.options import JsonOption, option


def guess(
    file: Annotated[Path, typer.Argument(help="The payload; - is standard input.", allow_dash=True)],
    topic: Annotated[str | None, option("--topic", "The topic that it came on, if it is known.")] = None,
    content_type: Annotated[str | None, option("--content-type", "Of the payload, if the sender said it.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Name the formats and cameras that accept a message, best first, and write a source for the best.

    What is printed can be added to a city.toml: the names are comments. The format json takes what
    its configuration says, so it is never guessed. Exit code 1 if nothing accepts the message.
    No value of the message is shown.

    Try:
      citybroker guess message.json
      citybroker guess --topic v3/app@city/devices/dev-1/up uplink.json | tee -a city.toml
      mosquitto_sub -C 1 -t 'zigbee2mqtt/+' | citybroker guess -
    """
    from deploy import guess as guesses
    from deploy.commands import output
    from deploy.commands.decode import payload

    found = guesses.guess(payload(file), topic, content_type)
    if not found:
        typer.echo(
            "citybroker: no format and no camera accepts this message; is it JSON, format json takes the fields "
            "that you name",
            err=True,
        )
        raise typer.Exit(1)
    if as_json:
        for one in found:
            output.emit(guesses.as_row(one))
        return
    for one in found:
        typer.echo(f"# {guesses.tell(one)}")
    typer.echo(f"\n{found[0].source}", nl=False)
