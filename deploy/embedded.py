"""The embedded servers for a while: what tests and tools start around a piece of work.

with embedded.postgres(folder) as database, embedded.nats(folder) as broker:
    run(mqtt_url=broker.url, database_url=database.ingest)
"""

import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from broker.store import schema
from deploy import children
from deploy import nats as broker
from deploy import postgres as database
from deploy.children import Program


@dataclass(frozen=True)
class Postgres:
    """A running database: the URL of each login, and the process (its `pid` is PostgreSQL's own)."""

    owner: str
    ingest: str
    publish: str
    serve: str
    process: subprocess.Popen[bytes]


@dataclass(frozen=True)
class Nats:
    """A running broker: `url` is ingest's login; devices connect to `host` and `port` without any."""

    url: str
    host: str
    port: int
    server: broker.Nats
    process: subprocess.Popen[bytes]

    def admit(self, *, admitted: bool = True) -> None:
        """Let devices in or shut them out, and wait until that is so."""
        broker.admit(self.server, self.process.pid, admitted=admitted)
        _wait(self.process, lambda: broker.is_admitting(self.server) is admitted)


@contextmanager
def postgres(directory: Path, *, migrate: bool = True) -> Iterator[Postgres]:
    """PostgreSQL with its data in `directory`, migrated unless told otherwise; what was there goes on."""
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    server = database.prepare(directory)
    with _running(database.program(server, directory / "postgres.log")) as process:
        _wait(process, lambda: database.is_ready(server, process.pid))
        if migrate:
            schema.migrate(server.url("citybroker"))
        owner, ingest, publish, serve = (server.url(role) for role in database.ROLES)
        yield Postgres(owner, ingest, publish, serve, process)
    database.clean_up(server)


@contextmanager
def nats(
    directory: Path,
    *,
    topics: Sequence[str] = ("#",),
    admitted: bool = True,
    port: int = -1,
    ack_wait: int = 10,
    key: str = "kept-outside-of-the-directory",
) -> Iterator[Nats]:
    """The MQTT broker with its messages in `directory`, for one session with the filters `topics`.

    Give the `port` of the one before where a restart on the same directory should keep it.
    """
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    limit = broker.in_flight(topics)
    server = broker.prepare(
        directory / "nats", host="127.0.0.1", port=port, key=key, in_flight=limit, ack_wait=ack_wait
    )
    with _running(broker.program(server, admitted=admitted, output=directory / "nats.log")) as process:
        _wait(process, lambda: broker.mqtt_port(server, process.pid) is not None)
        found = replace(server, port=broker.mqtt_port(server, process.pid) or port)
        yield Nats(found.url, found.host, found.port, found, process)


@contextmanager
def _running(program: Program) -> Iterator[subprocess.Popen[bytes]]:
    process = children.start(program)
    try:
        yield process
    finally:
        children.stop(process, signal.Signals(program.stop))


def _wait(process: subprocess.Popen[bytes], ready: Callable[[], bool]) -> None:
    """Wait without limit until `ready`, or raise ChildProcessError if the process ends first."""
    while not ready():
        if process.poll() is not None:
            raise ChildProcessError(f"{process.args!r} ended with {process.returncode}: see its log")
        time.sleep(0.01)
