"""`citybroker simulate`: the load generator."""

# ruff: noqa: PLC0415, PLR0913, PLR0917 - it imports what it runs, so that --help is there at once; options are arguments

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from deploy.commands import options
from deploy.commands.options import DataOption, JsonOption, MqttUrlOption, option

if TYPE_CHECKING:
    from deploy.simulate import Outcome


def simulate(
    mqtt_url: MqttUrlOption = None,
    count: Annotated[int, option("--count", "Messages to publish.", min=1)] = 10_000,
    rate: Annotated[
        float | None, option("--rate", "Messages a second; else as fast as acknowledged.", min=0.001)
    ] = None,
    formats: Annotated[
        list[str] | None, option("--formats", "tts_v3 if none; several by commas or repeated.")
    ] = None,
    things: Annotated[int, option("--things", "Devices that publish.", min=1)] = 100,
    connections: Annotated[int, option("--connections", "MQTT connections.", min=1)] = 4,
    times: Annotated[
        Literal["numbered", "now"],
        option("--times", "Phenomenon times: one millisecond apart up to now, or the clock."),
    ] = "numbered",
    seed: Annotated[int, option("--seed", "Another seed gives other values.")] = 0,
    patience: Annotated[
        float, option("--patience", "Seconds that a broker that is away is waited for.", min=0)
    ] = 60,
    data: DataOption = options.DATA,
    as_json: JsonOption = False,
) -> None:
    """Publish numbered messages over MQTT, QoS 1, and count what was acknowledged; exit code 1 if not all.

    Without --mqtt-url it goes to the instance that runs on --data.

    Try:
      citybroker simulate --rate 200 --count 12000 --formats tts_v3,senml,ngsi_ld
      citybroker simulate --mqtt-url mqtt://127.0.0.1:1883 --count 50000 --json
    """
    load: dict[str, Any] = {"count": count, "rate": rate, "formats": _formats(formats), "things": things}
    load |= {"seed": seed, "times": times, "connections": connections, "patience": patience}
    outcome = _publish(mqtt_url, data, load, shown=not as_json)
    _tell(outcome, as_json=as_json)
    raise typer.Exit(0 if outcome.acknowledged == count else 1)


def _publish(given: str | None, data: Path, load: dict[str, Any], *, shown: bool) -> "Outcome":
    from broker.errors import BrokerError
    from deploy.commands import running
    from deploy.simulate import run

    with _progress(load["count"], shown=shown) as progress:
        try:
            return run(running.mqtt_url(given, data), progress=progress, **load)
        except OSError as error:
            raise BrokerError(f"the MQTT broker cannot be reached: {error.strerror or error}") from None


def _tell(outcome: "Outcome", *, as_json: bool) -> None:
    from deploy.commands import output

    if as_json:
        output.emit(outcome.summary())
        return
    typer.echo(
        f"acknowledged {outcome.acknowledged} of {outcome.load.count} in {outcome.seconds} s, "
        f"{outcome.rate:.0f} a second; sent again {outcome.resent}, reconnects {outcome.reconnects}"
    )


def _formats(given: list[str] | None) -> list[str]:
    from broker.errors import BadConfig
    from broker.problems import did_you_mean
    from deploy.simulate import FORMATS

    names = [name.strip() for part in given or ["tts_v3"] for name in part.split(",") if name.strip()]
    for name in names:
        if name not in FORMATS:
            hint = did_you_mean(name, FORMATS)
            raise BadConfig(f'--formats: found "{name}", expected some of {", ".join(FORMATS)}{hint}')
    return names


@contextmanager
def _progress(total: int, *, shown: bool) -> Iterator[Callable[[int], None] | None]:
    """Show a progress bar on standard error, if that is a terminal."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

    console = Console(stderr=True)
    if not shown or not console.is_terminal:
        yield None
        return
    with Progress(BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), console=console) as bar:
        task = bar.add_task("", total=total)
        yield lambda done: bar.update(task, completed=done)
