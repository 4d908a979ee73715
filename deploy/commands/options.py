"""Options that several commands share. Each can also be given as CITYBROKER_ + its name in capitals."""

from pathlib import Path
from typing import Annotated, Any

import typer


def option(flag: str, text: str, **more: Any) -> Any:
    """Make an option with its environment variable: `--http-port` is also CITYBROKER_HTTP_PORT."""
    variable = "CITYBROKER_" + flag.removeprefix("--").upper().replace("-", "_")
    return typer.Option(flag, envvar=variable, help=text, **more)


DataOption = Annotated[Path, option("--data", "Directory of a run: database, MQTT store, logs.", file_okay=False)]
ConfigOption = Annotated[Path, option("--config", "The city's configuration.", dir_okay=False)]
HostOption = Annotated[str, option("--host", "Address to listen on; 0.0.0.0 or :: for all networks.")]
HttpPortOption = Annotated[int, option("--http-port", "Port of the feeds and the web page.", min=1, max=65_535)]
DoorPortOption = Annotated[int, option("--http-port", "Port that devices push to.", min=1, max=65_535)]
MqttPortOption = Annotated[int, option("--mqtt-port", "Port that devices publish to.", min=1, max=65_535)]
KeysOption = Annotated[
    Path | None, option("--keys", "Directory of the secret keys; never inside --data.", file_okay=False)
]
MqttUrlOption = Annotated[
    str | None,
    option("--mqtt-url", "MQTT broker, mqtt://HOST:PORT or mqtts://…; user and password as in any URL."),
]
DatabaseUrlOption = Annotated[
    str | None,
    option("--database-url", "PostgreSQL, all that libpq takes: postgresql://… or 'host=/run/postgresql …'."),
]
MetricsPortOption = Annotated[
    int, option("--metrics-port", "Port of /metrics and /health; answers while the role waits.", min=0, max=65_535)
]
MetricsHostOption = Annotated[str, option("--metrics-host", "Address of /metrics and /health.")]
JsonOption = Annotated[bool, option("--json", "Print JSON, for scripts.")]

DATA = Path(".citybroker")
CONFIG = Path("city.toml")
HOST = "127.0.0.1"
HTTP_PORT = 8080
MQTT_PORT = 1883
DOOR_PORT = 8081
METRICS_PORTS = {"ingest": 9101, "publish": 9102, "serve": 9103, "door": 9104}
