"""`citybroker ingest`, `publish`, `serve`: one role of the broker, as a process of its own; and `migrate`."""

# ruff: noqa: PLC0415, PLR0913, PLR0917 - it imports what it runs, so that --help is there at once; options are arguments

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from deploy.commands import options
from deploy.commands.options import (
    ConfigOption,
    DatabaseUrlOption,
    JsonOption,
    KeysOption,
    MetricsHostOption,
    MetricsPortOption,
    MqttUrlOption,
    option,
)

if TYPE_CHECKING:
    from broker.config import Config


def ingest(
    config: ConfigOption = options.CONFIG,
    mqtt_url: MqttUrlOption = None,
    database_url: DatabaseUrlOption = None,
    keys: KeysOption = None,
    number: Annotated[
        int, option("--number", "Of several processes: 0, 1, …; part of the MQTT client id.", min=0)
    ] = 0,
    metrics_port: MetricsPortOption = options.METRICS_PORTS["ingest"],
    metrics_host: MetricsHostOption = options.HOST,
) -> None:
    """Take messages in: subscribe, decode, store, acknowledge after the commit.

    A broker or database that is away is waited for. Passwords are better in the environment or in
    a file: CITYBROKER_MQTT_URL, CITYBROKER_DATABASE_URL, or the same with _FILE.

    Try:
      export CITYBROKER_DATABASE_URL=postgresql://citybroker_ingest@db/city
      citybroker ingest --config city.toml --mqtt-url mqtt://broker:1883
    """
    from deploy import roles

    roles.run_ingest(
        _checked(config),
        mqtt_url=_mqtt(mqtt_url),
        database_url=_database(database_url),
        keys=keys,
        metrics_port=metrics_port,
        metrics_host=metrics_host,
        number=number,
    )


def publish(
    config: ConfigOption = options.CONFIG,
    database_url: DatabaseUrlOption = None,
    metrics_port: MetricsPortOption = options.METRICS_PORTS["publish"],
    metrics_host: MetricsHostOption = options.HOST,
) -> None:
    """Close time buckets, apply the feeds' policies and disclose; one such process per database.

    Try:
      citybroker publish --database-url postgresql://citybroker_publish@db/city
    """
    from deploy import roles

    roles.run_publish(
        _checked(config),
        database_url=_database(database_url),
        metrics_port=metrics_port,
        metrics_host=metrics_host,
    )


def serve(
    config: ConfigOption = options.CONFIG,
    database_url: DatabaseUrlOption = None,
    host: options.HostOption = options.HOST,
    http_port: options.HttpPortOption = options.HTTP_PORT,
    public_url: Annotated[
        str | None, option("--public-url", "How readers reach it: https://data.gent.example")
    ] = None,
    mqtt_url: MqttUrlOption = None,
    metrics_port: MetricsPortOption = options.METRICS_PORTS["serve"],
    metrics_host: MetricsHostOption = options.HOST,
) -> None:
    """Answer HTTP: feeds, catalogue and web page. Sees what is published, and nothing else.

    With --mqtt-url also the push door at /in/SOURCE, for sources whose topic is in/SOURCE/+; or
    leave that to a `citybroker door` of its own.

    Try:
      citybroker serve --database-url postgresql://citybroker_serve@db/city --http-port 8080
    """
    from deploy import roles

    roles.run_serve(
        _checked(config),
        database_url=_database(database_url),
        host=host,
        http_port=http_port,
        public_url=public_url,
        mqtt_url=_given_mqtt(mqtt_url),
        metrics_port=metrics_port,
        metrics_host=metrics_host,
    )


def door(
    config: ConfigOption = options.CONFIG,
    mqtt_url: MqttUrlOption = None,
    host: options.HostOption = options.HOST,
    http_port: options.DoorPortOption = options.DOOR_PORT,
    metrics_port: MetricsPortOption = options.METRICS_PORTS["door"],
    metrics_host: MetricsHostOption = options.HOST,
) -> None:
    """Take in what devices push over HTTP, at /in/SOURCE or /in/SOURCE/DEVICE: on to the MQTT broker.

    For sources whose topic is in/SOURCE/+. Each has a token, in CITYBROKER_TOKEN_SOURCE or in the
    file that CITYBROKER_TOKEN_SOURCE_FILE names. Answers 202 once the broker has acknowledged.

    Try:
      export CITYBROKER_TOKEN_METER=a-long-secret
      citybroker door --config city.toml --mqtt-url mqtt://broker:1883
      curl -H "Authorization: Bearer a-long-secret" -d '{"t": 21.5}' http://127.0.0.1:8081/in/meter
    """
    from deploy import roles

    roles.run_door(
        _checked(config),
        mqtt_url=_mqtt(mqtt_url),
        host=host,
        http_port=http_port,
        metrics_port=metrics_port,
        metrics_host=metrics_host,
    )


def migrate(
    database_url: DatabaseUrlOption = None,
    data: options.DataOption = options.DATA,
    as_json: JsonOption = False,
) -> None:
    """Bring a database to this version's schema; the login must own it. Safe to repeat.

    Try:
      citybroker migrate --database-url postgresql://owner@db/city
    """
    from broker.store import schema
    from deploy.commands import output, running

    applied = schema.migrate(running.database_url(database_url, data, "owner"))
    if as_json:
        output.emit({"applied": applied})
        return
    typer.echo("\n".join(f"applied {name}" for name in applied) or "nothing to do: the schema is this version's")


def _checked(path: Path) -> "Config":
    from deploy import check

    return check.check(path)


def _given_mqtt(given: str | None) -> str | None:
    from broker import settings

    return settings.mqtt_url(given)


def _mqtt(given: str | None) -> str:
    from broker import settings
    from broker.errors import BadConfig

    url = settings.mqtt_url(given)
    if not url:
        raise BadConfig("--mqtt-url: found nothing, expected mqtt://HOST:PORT (or CITYBROKER_MQTT_URL, or …_FILE)")
    return url


def _database(given: str | None) -> str:
    from broker import settings
    from broker.errors import BadConfig

    url = settings.database_url(given)
    if not url:
        raise BadConfig(
            "--database-url: found nothing, expected postgresql://… (or CITYBROKER_DATABASE_URL, or …_FILE)"
        )
    return url
