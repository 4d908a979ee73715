"""(d) of `make bench`: the CSV export through HTTP beside `COPY … TO STDOUT` of the same observations."""

import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

import psycopg
import servers

from deploy import embedded

CITYBROKER = (str(Path(sys.executable).with_name("citybroker")),)
ROUNDS = 3
COPY = """
copy (
    select o.phenomenon_start, t.identity, p.key, o.result_number, d.unit, d.id, o.phenomenon_end, o.quality
    from observation o
    join datastream d on d.id = o.datastream_id
    join thing t on t.id = d.thing_id
    join observed_property p on p.id = d.observed_property_id
    order by o.phenomenon_start
) to stdout (format csv, header)
"""


def measure(config: Path, database: embedded.Postgres) -> dict:
    """Publish what is stored, then read it both ways: rows a second of each, and their ratio."""
    port = servers.free_port()
    with (
        role("publish", config, database.publish, servers.free_port()),
        role("serve", config, database.serve, port, "--http-port", str(port)),
    ):
        url = f"http://127.0.0.1:{port}/feeds/all/observations.csv"
        rows = settled(database, url)
        http = min(timed(lambda: download(url)) for _ in range(ROUNDS))
        copied = min(timed(lambda: copy(database.owner)) for _ in range(ROUNDS))
    return {"rows": rows, "http_rows_s": rows / http, "copy_rows_s": rows / copied, "ratio": copied / http}


def settled(database: embedded.Postgres, url: str) -> int:
    """Wait until all that is stored is published: how many rows that is."""
    with psycopg.connect(database.owner, autocommit=True) as connection:
        # What autovacuum does within a minute or two of such a load.
        connection.execute("vacuum (analyze)")
        wanted = connection.execute("select count(*) from observation").fetchone()[0]
    until = time.monotonic() + 90
    while (rows := download(url).count(b"\n") - 1) < wanted:
        if time.monotonic() > until:
            raise SystemExit(f"only {rows} of {wanted} observations are published")
        time.sleep(1)
    return rows


def download(url: str) -> bytes:
    """GET the whole file."""
    with urllib.request.urlopen(url, timeout=120) as answer:
        data: bytes = answer.read()
    return data


def copy(url: str) -> int:
    """COPY the same columns of the same observations: its bytes."""
    with psycopg.connect(url) as connection, connection.cursor() as cursor, cursor.copy(COPY) as data:
        return sum(len(block) for block in data)


def timed(work: Callable[[], object]) -> float:
    """Seconds that it takes."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


class role:  # noqa: N801 - read as a verb: with role(…)
    """One role of citybroker as a process, ready when entered."""

    def __init__(self, name: str, config: Path, database_url: str, port: int, *options: str) -> None:
        options = options or ("--metrics-port", str(port))
        self.port = port
        self.command = [*CITYBROKER, name, "--config", str(config), *options]
        self.environment = os.environ | {"CITYBROKER_DATABASE_URL": database_url}

    def __enter__(self) -> None:
        self.process = subprocess.Popen(self.command, env=self.environment, stderr=subprocess.DEVNULL)
        wait_until(self.process, lambda: answers(self.port))

    def __exit__(self, *_: object) -> None:
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(30)


def wait_until(process: subprocess.Popen, ready: Callable[[], bool], seconds: float = 180) -> None:
    """Return once `ready`; end the bench if the process ends first."""
    until = time.monotonic() + seconds
    while not ready():
        if process.poll() is not None or time.monotonic() > until:
            raise SystemExit(f"{process.args[:2]} did not get ready (exit code {process.returncode})")
        time.sleep(0.01)


def answers(port: int) -> bool:
    """Whether a role says that it is ready."""
    try:
        urllib.request.urlopen(f"http://127.0.0.1:{port}/health/ready", timeout=5).close()
    except (urllib.error.URLError, OSError):
        return False
    return True
