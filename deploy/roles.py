"""The single roles, put together: ingest, publish, serve.

Each runs in the foreground until SIGTERM or SIGINT, shows metrics and health on `metrics_port` from the
first moment, and waits for a database or a broker that is away, saying so.
"""

# ruff: noqa: PLC0415 - a process imports the role that it runs, and no other

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from functools import partial
from pathlib import Path
from threading import Event, Thread
from typing import TYPE_CHECKING, Any

import structlog

from broker import metrics
from broker.config import Config
from broker.errors import BrokerError, StoreUnavailable
from broker.readiness import Readiness
from broker.store import schema
from broker.store.database import Connection, reach
from deploy import health, logs, ports, signals

if TYPE_CHECKING:
    from fastapi import FastAPI

log = structlog.get_logger()

SERVER: dict[str, Any] = {
    "loop": "uvloop",
    "http": "httptools",
    "log_config": None,
    "access_log": False,
    "server_header": False,
    "timeout_graceful_shutdown": 5,
}
"""Settings of uvicorn."""
NOT_YET = "not connected yet"
LOOK_EVERY = 5
"""Seconds between looks whether the database of a role that only answers requests is still there."""
RETRY = (0.2, 0.5, 1, 2, 5)
"""Seconds between attempts to reach a database that is away; the last one goes on."""


def run_ingest(
    config: Config,
    *,
    mqtt_url: str,
    database_url: str,
    keys: Path | None,
    metrics_port: int,
    metrics_host: str = "127.0.0.1",
    number: int = 0,
) -> None:
    """Subscribe, store and acknowledge. Raises BadConfig, NotMigrated."""
    import ingest.run
    from anpr.keys import KeyStore

    readiness = Readiness(database=NOT_YET, mqtt=NOT_YET)
    store = KeyStore(keys, config.city.id, config.zone) if keys else None
    with _role("ingest", readiness, metrics_port, metrics_host) as stop:
        ingest.run.run(
            config,
            mqtt_url=mqtt_url,
            database_url=database_url,
            keys=store,
            stop=stop,
            readiness=readiness,
            number=number,
        )


def run_publish(config: Config, *, database_url: str, metrics_port: int, metrics_host: str = "127.0.0.1") -> None:
    """Close buckets and disclose, until told to stop. Raises BadConfig, NotMigrated."""
    import opendata.publish
    from anpr import flows

    def expire(connection: Connection, now: datetime) -> None:
        flows.expire(connection, config.anpr, now)

    readiness = Readiness(database=NOT_YET)
    with _role("publish", readiness, metrics_port, metrics_host) as stop:
        if wait_for_database(database_url, "publish", readiness, stop):
            opendata.publish.run(
                config,
                database_url=database_url,
                flows=flows.compute,
                expire=expire,
                stop=stop,
                readiness=readiness,
            )


def run_serve(  # noqa: PLR0913 - what the command has as options
    config: Config,
    *,
    database_url: str,
    host: str,
    http_port: int,
    metrics_port: int,
    metrics_host: str = "127.0.0.1",
    public_url: str | None = None,
    mqtt_url: str | None = None,
) -> None:
    """Answer HTTP, until told to stop; with an MQTT broker also the push door, if a source is its.

    Roles of the same run, which `up` names in CITYBROKER_PEERS, are shown and waited for too.

    Raises BadConfig (a taken port, too), NotMigrated.
    """
    import opendata.app

    ports.check(host, http_port, "--http-port")
    peers: health.Peers = json.loads(os.environ.get("CITYBROKER_PEERS", "{}"))
    own = Readiness(database=NOT_YET)
    readiness = health.Together(peers, own)
    app = opendata.app.create(
        config,
        database_url=database_url,
        readiness=readiness,
        submit=None,
        metrics=partial(health.render_together, "serve", peers) if peers else metrics.render,
        public_url=public_url,
    )
    with _role("serve", own, metrics_port, metrics_host) as stop, _door(app, config, mqtt_url, readiness):
        _serve(app, host, http_port, partial(_mind_database, database_url, "serve", readiness, stop))


def run_door(
    config: Config,
    *,
    mqtt_url: str,
    host: str,
    http_port: int,
    metrics_port: int,
    metrics_host: str = "127.0.0.1",
) -> None:
    """Take pushed messages over HTTP to the MQTT broker, until told to stop. Raises BadConfig."""
    from deploy import door

    ports.check(host, http_port, "--http-port")
    app = door.alone(config)
    readiness = Readiness()
    with (
        _role("door", readiness, metrics_port, metrics_host) as stop,
        door.mounted(app, config, mqtt_url, readiness),
    ):
        _serve(app, host, http_port, stop.wait)


@contextmanager
def _door(app: "FastAPI", config: Config, mqtt_url: str | None, readiness: Readiness) -> Iterator[None]:
    """Have the push door beside the API, where there is a broker and a source that it serves."""
    if not mqtt_url or not any(source.topic.startswith("in/") for source in config.source):
        yield
        return
    import ingest.http
    from deploy import door

    if not ingest.http.sources(config):
        yield
        return
    with door.mounted(app, config, mqtt_url, readiness):
        yield


def _serve(app: object, host: str, port: int, mind: Callable[[], object]) -> None:
    """Run uvicorn until `mind` returns: it waits for the database and the end; its refusal ends the role."""
    import uvicorn

    server = uvicorn.Server(uvicorn.Config(app, host=host, port=port, **SERVER))  # type: ignore[arg-type]
    refused: list[BrokerError] = []

    def watch() -> None:
        try:
            mind()
        except BrokerError as error:
            refused.append(error)
        server.should_exit = True

    Thread(target=watch, name="watch", daemon=True).start()
    server.run()
    if refused:
        raise refused[0]


@contextmanager
def _role(name: str, readiness: Readiness, port: int, host: str) -> Iterator[Event]:
    """Logs, signals and the operations endpoint of a role; yields the event that says to stop."""
    logs.configure(name)
    ports.check(host, port, "--metrics-port")
    stop = signals.stop_event(name)
    with health.endpoint(port, readiness, host):
        log.info("started")
        yield stop
    log.info("stopped")


def wait_for_database(url: str, role: str, readiness: Readiness, stop: Event) -> bool:
    """Wait until the database is there, migrated and open to `role`; False if told to stop before.

    Raises BadConfig or NotMigrated, which no waiting helps.
    """
    attempt = 0
    while not stop.is_set():
        try:
            schema.ensure(url, role)
        except StoreUnavailable as error:
            if attempt == 0:
                log.warning("waiting for the database", why=str(error))
            readiness.set("database", f"waiting: {error}")
            stop.wait(RETRY[min(attempt, len(RETRY) - 1)])
            attempt += 1
        else:
            readiness.set("database", None)
            return True
    return False


def _mind_database(url: str, role: str, readiness: Readiness, stop: Event) -> None:
    """Wait for the database, then keep `readiness` true to it until told to stop."""
    if not wait_for_database(url, role, readiness, stop):
        return
    while not stop.wait(LOOK_EVERY):
        try:
            reach(url)
        except BrokerError as error:
            readiness.set("database", f"waiting: {error}")
        else:
            readiness.set("database", None)
