"""`up` and `demo`: the whole broker as child processes of one supervisor.

    postgres → migrate → serve (503 so far) → nats, closed → ingest ready → devices admitted → publish

and back: the demo's devices, all devices out, ingest drains and acknowledges, publish, serve, nats,
postgres last.
"""

import json
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import NamedTuple

import structlog

from anpr.keys import KeyStore
from broker import config as configuration
from broker.config import Config
from broker.errors import BadConfig
from broker.readiness import Readiness
from broker.store import schema
from broker.store.database import Database
from deploy import children, health, logs, nats, ports, postgres, registry, signals
from deploy import data as directory
from deploy.children import Program
from deploy.demo import welcome
from deploy.supervisor import Child, Family, Stopped

log = structlog.get_logger()

DEMO_CONFIG = Path(__file__).parent / "demo" / "city.toml"
DEMO_THINGS = DEMO_CONFIG.with_name("things.geojson")


class Options(NamedTuple):
    """What was asked for."""

    config_path: Path
    host: str
    http_port: int
    mqtt_port: int
    demo: bool


@dataclass
class Run:
    """One run: what was asked for, the folders and servers that are prepared, and what was decided since."""

    options: Options
    config: Config
    data: Path
    keys: Path
    database: postgres.Postgres
    broker: nats.Nats
    endpoints: Mapping[str, int]
    """Ports of the operations endpoints on 127.0.0.1, by role."""
    readiness: Readiness = field(default_factory=lambda: Readiness(publishers="not admitted yet"))
    admitted: bool = False

    @property
    def http_url(self) -> str:
        """Where a reader on this machine finds it."""
        return f"http://{nats.bracketed(nats.reachable(self.options.host))}:{self.options.http_port}"

    @property
    def device_url(self) -> str:
        """Where a device on this machine publishes, without a login."""
        return f"mqtt://{nats.bracketed(self.broker.address)}:{self.broker.port}"


def run(
    config_path: Path | None,
    *,
    data: Path,
    host: str,
    http_port: int,
    mqtt_port: int,
    keys: Path | None = None,
    demo: bool = False,
) -> int:
    """Run it all until SIGINT or SIGTERM and return the exit code.

    Raises BadConfig in one line for a configuration, directory or port that cannot be used, and
    ChildEnded if something ends before it was ready.
    """
    options = Options((config_path or DEMO_CONFIG).resolve(), host, http_port, mqtt_port, demo)
    config = configuration.load(options.config_path)
    logs.configure("up", quiet=demo)
    stop = signals.stop_event("up")
    with directory.opened(data, schema.version()) as folder:
        prepared = _prepare(options, config, folder, directory.keys(folder, keys))
        family = Family(stop, partial(_write_run, prepared))
        if demo:
            _say(f"Starting; the first time takes some seconds. Logs are in {folder / 'log'}.")
        with health.endpoint(prepared.endpoints["up"], prepared.readiness), _stopping(prepared, family):
            _start(prepared, family)
            while True:
                family.pause()
    if demo:
        _say("Stopped. The next start goes on from here.")
    return 0


def _prepare(options: Options, config: Config, data: Path, keys: Path) -> Run:
    """Take over what an earlier run left, and test all that can be tested before anything starts."""
    directory.end_leftovers(data)
    directory.trim_logs(data)
    if options.http_port == options.mqtt_port:
        raise BadConfig(f"--http-port and --mqtt-port are both {options.http_port}: choose another for one")
    store = KeyStore(keys, config.city.id, config.zone)
    broker = nats.prepare(
        data / "nats",
        host=options.host,
        port=options.mqtt_port,
        key=store.broker_key(),
        in_flight=nats.in_flight([source.topic for source in config.source], config.ingest.max_in_flight),
    )
    ports.check(options.host, options.mqtt_port, "--mqtt-port")
    ports.check(options.host, options.http_port, "--http-port")
    database = postgres.prepare(data)
    endpoints = dict(zip(("up", "ingest", "publish", "serve"), ports.free(4), strict=True))
    return Run(options, config, data, keys, database, broker, endpoints)


def _start(run: Run, family: Family) -> None:
    """Start the children in order; returns once devices are admitted. Raises ChildEnded, Stopped."""
    database = Child("postgres", lambda: _postgres(run), partial(postgres.is_ready, run.database))
    family.start(database)
    family.wait(database)
    schema.migrate(run.database.url(postgres.OWNER))
    directory.mark_version(run.data, schema.version())
    if run.options.demo:
        _introduce(run)
    serve = Child("serve", lambda: _serve(run), lambda _: _lives(run, "serve"))
    family.start(serve)
    broker = Child("nats", lambda: _nats(run), lambda _: nats.is_ready(run.broker))
    family.start(broker)
    family.wait(broker)
    ingest = Child("ingest", lambda: _ingest(run), lambda _: _is_ready(run, "ingest"))
    family.start(ingest)
    family.wait(ingest)
    run.admitted = True
    nats.admit(run.broker, broker.pid)
    family.wait_until(lambda: nats.is_admitting(run.broker))
    if run.options.demo:
        _catch_up(run, family)
    publish = Child("publish", lambda: _publish(run), lambda _: _lives(run, "publish"))
    family.start(publish)
    family.wait(publish)
    family.wait(serve)
    run.readiness.set("publishers", None)
    log.info("ready", http=run.http_url, mqtt=run.device_url, data=str(run.data))
    if run.options.demo:
        family.start(Child("live", lambda: _devices(run, "live"), lambda _: True, settled=True))
        _say(welcome(run.http_url, run.device_url, python=_shown(sys.executable)))


def _catch_up(run: Run, family: Family) -> None:
    """Let the demo's devices tell what they measured since the last time, before any bucket of it closes."""
    family.finish(Child("history", lambda: _devices(run, "history"), lambda _: True))
    family.wait_until(lambda: nats.waiting(run.broker, _broker(family).pid) == 0)


def _broker(family: Family) -> Child:
    return next(child for child in family.members if child.name == "nats")


def _say(text: str) -> None:
    print(text, flush=True)  # noqa: T201 - the demo speaks to a person


def _shown(program: str) -> str:
    """The path of `program` as it is short to type from here."""
    path, here = Path(program), Path.cwd()
    return str(path.relative_to(here)) if path.is_relative_to(here) else program


def _introduce(run: Run) -> None:
    """Give the demo's things their names and places, as `citybroker things import` does."""
    store = Database(run.database.url("citybroker_ingest"), size=1)
    with closing(store), store.transaction() as connection:
        entries = [
            entry._replace(properties={"area": entry.properties["town"]}) for entry in registry.read(DEMO_THINGS)
        ]
        registry.enter(connection, entries, datetime.now(UTC))


@contextmanager
def _stopping(run: Run, family: Family) -> Iterator[None]:
    """Whatever ends the block, stop the children in order. Being asked to stop is no error."""
    try:
        with suppress(Stopped):
            yield
    finally:
        run.readiness.set("publishers", "stopping")
        family.end("live")
        _shut_out(run, family)
        for name in ("ingest", "publish", "serve", "nats", "postgres"):
            family.end(name)
            log.info("stopped", child=name)
        postgres.clean_up(run.database)
        directory.forget_run(run.data)


def _shut_out(run: Run, family: Family) -> None:
    """Refuse devices from now on, so that what ingest drains is all there is."""
    run.admitted = False
    broker = next((child for child in family.members if child.name == "nats"), None)
    while broker and broker.pid and nats.is_admitting(run.broker):
        nats.admit(run.broker, broker.pid, admitted=False)
        family.stop.wait(0.02)


def _postgres(run: Run) -> Program:
    return postgres.program(run.database, run.data / "log" / "postgres.log")


def _nats(run: Run) -> Program:
    """After a crash the sessions are still there, so that devices may come back at once."""
    return nats.program(run.broker, admitted=run.admitted, output=run.data / "log" / "nats.log")


def _ingest(run: Run) -> Program:
    url = run.database.url("citybroker_ingest")
    return _role(run, "ingest", DATABASE_URL=url, MQTT_URL=run.broker.url, KEYS=str(run.keys))


def _publish(run: Run) -> Program:
    return _role(run, "publish", DATABASE_URL=run.database.url("citybroker_publish"))


def _serve(run: Run) -> Program:
    peers = {role: run.endpoints[role] for role in ("up", "ingest", "publish")}
    return _role(
        run,
        "serve",
        DATABASE_URL=run.database.url("citybroker_serve"),
        HOST=run.options.host,
        HTTP_PORT=str(run.options.http_port),
        MQTT_URL=run.device_url,
        PEERS=json.dumps(peers),
    )


def _role(run: Run, role: str, **settings: str) -> Program:
    """A role of ours; all its options by environment, where other users of the machine cannot read them."""
    settings |= {"CONFIG": str(run.options.config_path), "METRICS_PORT": str(run.endpoints[role])}
    return _python(run, role, "deploy.cli", role, **settings)


def _devices(run: Run, part: str) -> Program:
    mark = str(run.data / "demo")
    program = _python(run, part, "deploy.devices", part, MQTT_URL=run.device_url, DEMO_MARK=mark)
    return replace(program, output=None) if part == "history" else program  # its progress bar is for the terminal


def _python(run: Run, name: str, module: str, *arguments: str, **settings: str) -> Program:
    return Program(
        name,
        # -P: a folder named deploy where the user happens to be is not ours.
        [sys.executable, "-P", "-m", module, *arguments],
        environment={f"CITYBROKER_{key}": value for key, value in settings.items()},
        output=run.data / "log" / f"{name}.log" if run.options.demo else None,
    )


def _lives(run: Run, role: str) -> bool:
    return health.status(run.endpoints[role], "/health/live") == 200


def _is_ready(run: Run, role: str) -> bool:
    return health.status(run.endpoints[role], "/health/ready") == 200


def _write_run(run: Run, family: Family) -> None:
    """Tell other commands what runs, and a later start what to end."""
    alive = {child.name: (child.pid, children.started(child.pid)) for child in family.members if child.pid}
    content = {
        "pid": os.getpid(),
        "instance": directory.instance(run.data),
        "config": str(run.options.config_path),
        "keys": str(run.keys),
        "http_url": run.http_url,
        "mqtt_url": run.broker.url,
        "device_url": run.device_url,
        "database": {
            "owner": run.database.url("citybroker"),
            "ingest": run.database.url("citybroker_ingest"),
            "publish": run.database.url("citybroker_publish"),
            "serve": run.database.url("citybroker_serve"),
        },
        "metrics": dict(run.endpoints),
        "children": alive,
    }
    directory.write_run(run.data, content)
