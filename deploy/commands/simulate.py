"""`citybroker simulate`: the load generator."""

# ruff: noqa: PLC0415, PLR0913, PLR0917 - it imports what it runs, so that --help is there at once; options are arguments

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated, Literal

import typer

from deploy.commands import options
from deploy.commands.options import DataOption, JsonOption, MqttUrlOption, option


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
    """Publish numbered messages over MQTT, QoS 1, and count what was acknowledged.

    Each message has a phenomenon time of its own, so that the store can tell which it holds. Without
    --mqtt-url it goes to the instance that runs on --data. Exit code 1 if something was not
    acknowledged.

    Try:
      citybroker simulate --count 50000
      citybroker simulate --rate 200 --count 12000 --formats tts_v3,senml,ngsi_ld
      citybroker simulate --mqtt-url mqtt://127.0.0.1:1883 --json
    """
    from deploy import simulate as load
    from deploy.commands import output, running

    chosen = _formats(formats or ["tts_v3"], load.FORMATS)
    url = running.mqtt_url(mqtt_url, data)
    with _progress(count, shown=not as_json) as progress:
        try:
            outcome = load.run(
                url,
                count=count,
                rate=rate,
                formats=chosen,
                connections=connections,
                things=things,
                seed=seed,
                times=times,
                patience=patience,
                progress=progress,
            )
        except OSError as error:
            raise _unreachable(error) from None
    if as_json:
        output.emit(outcome.summary())
    else:
        typer.echo(
            f"acknowledged {outcome.acknowledged} of {count} in {outcome.seconds} s, {outcome.rate:.0f} a second; "
            f"sent again {outcome.resent}, reconnects {outcome.reconnects}"
        )
    raise typer.Exit(0 if outcome.acknowledged == count else 1)


def _formats(given: list[str], known: tuple[str, ...]) -> list[str]:
    from broker.errors import BadConfig
    from broker.problems import did_you_mean

    names = [name.strip() for part in given for name in part.split(",") if name.strip()]
    for name in names:
        if name not in known:
            raise BadConfig(
                f'--formats: found "{name}", expected some of {", ".join(known)}{did_you_mean(name, known)}'
            )
    return names


def _unreachable(error: OSError) -> Exception:
    from broker.errors import BrokerError

    return BrokerError(f"the MQTT broker cannot be reached: {error.strerror or error}")


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
