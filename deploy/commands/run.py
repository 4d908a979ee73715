"""`citybroker up` and `citybroker demo`: the whole broker."""

# ruff: noqa: PLC0415 - a command imports what it runs, so that --help is there at once

from pathlib import Path
from typing import Annotated

import typer

from deploy.commands import options
from deploy.commands.options import (
    DataOption,
    HostOption,
    HttpPortOption,
    KeysOption,
    MqttPortOption,
    option,
)


def up(
    config: options.ConfigOption = options.CONFIG,
    data: DataOption = options.DATA,
    host: HostOption = options.HOST,
    http_port: HttpPortOption = options.HTTP_PORT,
    mqtt_port: MqttPortOption = options.MQTT_PORT,
    keys: KeysOption = None,
) -> None:
    """Run everything for one city: PostgreSQL, MQTT broker, ingest, publisher and API.

    Restarts what dies; Ctrl-C or SIGTERM stops all of it in order and loses nothing.

    Try:
      citybroker check city.toml
      citybroker up --config city.toml --data /srv/citybroker
      citybroker up --host 0.0.0.0 --http-port 80
    """
    _run(config, data, host, http_port, mqtt_port, keys, demo=False)


def demo(
    config: Annotated[
        Path | None, option("--config", "A configuration of yours in place of the demo's.", dir_okay=False)
    ] = None,
    data: DataOption = options.DATA,
    host: HostOption = options.HOST,
    http_port: HttpPortOption = options.HTTP_PORT,
    mqtt_port: MqttPortOption = options.MQTT_PORT,
    keys: KeysOption = None,
) -> None:
    """Run everything with a simulated Flemish city region that publishes over MQTT.

    24 hours of history first, then live. Starts again on the same data where it stopped.

    Try:
      citybroker demo
      citybroker demo --http-port 8081 --mqtt-port 1884 --data /tmp/another
      curl http://127.0.0.1:8080/feeds
    """
    _run(config, data, host, http_port, mqtt_port, keys, demo=True)


def _run(
    config: Path | None,
    data: Path,
    host: str,
    http_port: int,
    mqtt_port: int,
    keys: Path | None,
    *,
    demo: bool,
) -> None:
    from deploy import check
    from deploy import up as runtime

    check.check(config or runtime.DEMO_CONFIG)
    code = runtime.run(
        config, data=data, host=host, http_port=http_port, mqtt_port=mqtt_port, keys=keys, demo=demo
    )
    raise typer.Exit(code)
