"""`citybroker`: the command line. Every option can also be given as CITYBROKER_ + its name in capitals."""

import re
from collections.abc import Callable
from inspect import cleandoc
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from broker.errors import BadConfig, BrokerError
from deploy.commands import check, decode, guess, rejects, roles, run, simulate, status, things


class Commands(TyperGroup):
    """The root of all commands: an expected error is a line on standard error, never a traceback."""

    def invoke(self, ctx: Any) -> Any:
        """Run a command; exit code 2 for a bad configuration or option, 1 for other errors."""
        try:
            return super().invoke(ctx)
        except BrokerError as error:
            for line in str(error).splitlines():
                typer.echo(f"citybroker: {line}", err=True)
            raise typer.Exit(2 if isinstance(error, BadConfig) else 1) from None


def _show_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version  # noqa: PLC0415 - --help does without

        typer.echo(f"citybroker {version('citybroker')}")
        raise typer.Exit


def root(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_show_version, is_eager=True)
    ] = False,
) -> None:
    """The IoT data broker of a city: MQTT in, one standard form, anonymised open feeds out.

    Try:
      citybroker demo                  a simulated city, nothing else needed
      citybroker check city.toml       is my configuration right?
      citybroker up --config city.toml the whole broker for my city
      citybroker COMMAND --help        what a command does, with examples

    Options can stand in the environment: --http-port 8080 is CITYBROKER_HTTP_PORT=8080. Secrets can
    stand in files: CITYBROKER_DATABASE_URL_FILE, CITYBROKER_MQTT_URL_FILE, CITYBROKER_MQTT_PASSWORD_FILE.
    """


def flow(text: str | None) -> str:
    """Make help of a docstring: lines of a paragraph flow, indented lines stay as they are."""
    text = cleandoc(text or "").replace("[", r"\[")
    return re.sub(r"(?<=\S)\n(?=\S)", " ", text)


def _group(text: str, **commands: Any) -> typer.Typer:
    group = typer.Typer(no_args_is_help=True, help=text)
    for name, function in commands.items():
        group.command(name, help=flow(function.__doc__))(function)
    return group


def _build() -> typer.Typer:
    built = typer.Typer(
        cls=Commands, no_args_is_help=True, rich_markup_mode="rich", pretty_exceptions_enable=False
    )
    built.callback(help=flow(root.__doc__))(root)
    for panel, functions in PANELS.items():
        for function in functions:
            built.command(function.__name__, rich_help_panel=panel, help=flow(function.__doc__))(function)
    built.add_typer(REJECTS, name="rejects", rich_help_panel="Look and repair")
    built.add_typer(THINGS, name="things", rich_help_panel="Look and repair")
    return built


PANELS: dict[str, list[Callable[..., None]]] = {
    "Run": [run.demo, run.up, roles.ingest, roles.publish, roles.serve, roles.door],
    "Configure": [check.check, guess.guess, decode.decode, roles.migrate],
    "Look and repair": [status.status],
    "Test": [simulate.simulate],
}
REJECTS = _group(
    "What was refused: list it, look at it, and replay it after a repair.",
    list=rejects.show_list,
    show=rejects.show,
    replay=rejects.replay,
)
THINGS = _group(
    "Things: list them, or import a register of them.",
    list=things.show_list,
    **{"import": things.import_},
)
app = _build()


def main() -> None:
    """Run the command line; the entry point `citybroker`."""
    app(prog_name="citybroker")


if __name__ == "__main__":
    main()
