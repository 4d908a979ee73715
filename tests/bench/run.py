"""`make bench`: this ingest beside raw paho and a plain loop, the CSV export beside COPY, each format beside json.loads.

Each consumer is a process of its own that finds a backlog: it makes its durable session, leaves, the
load is published, it comes back. Its rate is counted from its first message to its last
acknowledgement (ingest: to its last commit); its CPU is what the second run took more than the first.
Rounds alternate, and the best of each are compared; ratios count, absolute figures are those of the machine.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
from rich.console import Console
from rich.table import Table

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

import export  # noqa: E402 - beside this file
import formats  # noqa: E402 - beside this file
import servers  # noqa: E402 - beside this folder

from deploy import embedded, simulate  # noqa: E402 - after the path is set

FILTER = "v3/+/devices/+/up"
CONFIG = f"""\
[city]
id = "bench"
name = "Bench"

[[source]]
name = "load"
topic = "{FILTER}"
format = "tts_v3"

[[feed]]
id = "all"
title = "All"
"""
CONSUMERS = ("raw", "baseline", "ingest")
console = Console(width=110)


def main() -> int:
    """Run everything, print the table, write build/bench.json."""
    options = arguments()
    until = time.monotonic() + options.budget
    build = HERE.parents[1] / "build"
    build.mkdir(exist_ok=True)
    with (
        tempfile.TemporaryDirectory(prefix="bench") as name,
        embedded.postgres(Path(name) / "database") as database,
    ):
        folder = Path(name)
        (folder / "city.toml").write_text(CONFIG)
        runs = ingest_runs(folder, database, options, until)
        exported = export.measure(folder / "city.toml", database) if options.export else None
    figures = formats.measure() if options.formats else []
    ceiling = simulate.ceiling(simulate.Load(count=options.count))
    report = {
        "count": options.count,
        "runs": runs,
        "export": exported,
        "generator": ceiling,
        "formats": [one._asdict() for one in figures],
    }
    (build / "bench.json").write_text(json.dumps(report, indent=1))
    show(runs, exported)
    if figures:
        formats.show(figures, Console(width=130))
    console.print(
        f"The load generator builds {ceiling:,.0f} messages/s on one core; see published_rate for what it got rid of."
    )
    return 0


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=60_000, help="messages of one measurement")
    parser.add_argument("--rounds", type=int, default=3, help="measurements of each consumer on each broker")
    parser.add_argument("--budget", type=float, default=240, help="seconds after which no new round begins")
    parser.add_argument("--no-export", dest="export", action="store_false", help="leave the CSV export out")
    parser.add_argument("--no-formats", dest="formats", action="store_false", help="leave the formats out")
    return parser.parse_args()


def ingest_runs(
    folder: Path, database: embedded.Postgres, options: argparse.Namespace, until: float
) -> list[dict]:
    """Measure every consumer on every broker, round by round."""
    brokers = {"nats": nats}
    if servers.which("mosquitto"):
        brokers["mosquitto"] = mosquitto
    else:
        console.print("mosquitto is not installed: NATS only")
    runs, start = [], datetime.now(UTC) - timedelta(minutes=50)
    for turn in range(options.rounds):
        for broker, open_broker in brokers.items():
            for consumer in CONSUMERS:
                if turn and time.monotonic() > until:
                    return runs
                load = {"count": options.count, "connections": 2, "start": start}
                start += timedelta(microseconds=options.count * simulate.STEP)
                with open_broker(folder / f"{broker}-{consumer}-{turn}") as (url, device):
                    figures = measure(consumer, url, device, load, database, folder)
                runs.append({"round": turn, "broker": broker, "consumer": consumer, **figures})
                console.print(
                    f"  {broker:9} {consumer:8} {figures['rate']:8,.0f} msg/s {figures['cpu_us']:6.1f} µs CPU"
                )
    return runs


@contextmanager
def nats(folder: Path) -> Iterator[tuple[str, str]]:
    """The embedded broker, empty: (URL of ingest, URL of devices)."""
    with embedded.nats(folder, topics=[FILTER]) as broker:
        yield broker.url, f"mqtt://{broker.host}:{broker.port}"


@contextmanager
def mosquitto(folder: Path) -> Iterator[tuple[str, str]]:
    """Mosquitto, empty."""
    folder.mkdir()
    broker = servers.Mosquitto(folder)
    broker.start()
    try:
        yield broker.url, broker.url
    finally:
        broker.stop()


def measure(consumer: str, url: str, device: str, load: dict, database: embedded.Postgres, folder: Path) -> dict:
    """Let one consumer empty a backlog: messages and CPU microseconds a message."""
    run: Callable[[int], tuple[float, float]]
    if consumer == "ingest":
        run = Ingest(url, database, folder / "city.toml")
    else:
        command = [sys.executable, str(HERE / f"{consumer}.py"), url]

        def run(count: int) -> tuple[float, float]:
            return script([*command, str(count), database.owner])

    _, idle = run(0)
    outcome = simulate.run(device, **load)
    count = outcome.acknowledged
    if count != load["count"]:
        raise SystemExit(f"the broker acknowledged {count} of {load['count']} messages")
    seconds, cpu = run(count)
    return {
        "rate": count / seconds,
        "cpu_us": max(cpu - idle, 0.0) / count * 1e6,
        "published_rate": outcome.rate,
    }


def script(command: list[str]) -> tuple[float, float]:
    """Run raw.py or baseline.py: (seconds it says, CPU seconds of the process)."""
    process = subprocess.Popen(command, stdout=subprocess.PIPE, cwd=HERE)
    output = process.stdout.read() if process.stdout else b""
    cpu = ended(process)
    return (json.loads(output)["seconds"] if output else 0.0), cpu


def ended(process: subprocess.Popen) -> float:
    """Wait for a process: its CPU seconds."""
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{process.args[1:3]} ended with {process.returncode}")
    return usage.ru_utime + usage.ru_stime


class Ingest:
    """`citybroker ingest` as a process; what it stored is read from its batches."""

    def __init__(self, url: str, database: embedded.Postgres, config: Path) -> None:
        self.port = servers.free_port()
        self.owner = database.owner
        self.command = [*export.CITYBROKER, "ingest", "--config", str(config), "--metrics-port", str(self.port)]
        self.environment = os.environ | {
            "CITYBROKER_MQTT_URL": url,
            "CITYBROKER_DATABASE_URL": database.ingest,
        }

    def __call__(self, count: int) -> tuple[float, float]:
        """Run until `count` messages are stored: (seconds, CPU seconds of the process)."""
        with psycopg.connect(self.owner, autocommit=True) as connection:
            (last,) = connection.execute("select coalesce(max(id), 0) from batch").fetchone()
            process = subprocess.Popen(self.command, env=self.environment, stderr=subprocess.DEVNULL)
            ready = (lambda: stored(connection, last) >= count) if count else (lambda: export.answers(self.port))
            try:
                export.wait_until(process, ready)
                seconds = since_first(connection, last) if count else 0.0
            finally:
                process.send_signal(signal.SIGTERM)
                cpu = ended(process)
        return seconds, cpu


def since_first(connection: psycopg.Connection, last: int) -> float:
    """Seconds since the first message of the batches after `last` was received."""
    query = "select extract(epoch from clock_timestamp() - min(received_first)) from batch where id > %s"
    return float(connection.execute(query, [last]).fetchone()[0])


def stored(connection: psycopg.Connection, last: int) -> int:
    """Messages of the batches since `last`."""
    return connection.execute("select coalesce(sum(stored), 0) from batch where id > %s", [last]).fetchone()[0]


def show(runs: list[dict], exported: dict | None) -> None:
    """Print the best rounds and their ratios to the plain loop."""
    table = Table("broker", "consumer", "messages/s", "ratio to the plain loop", "CPU µs a message")
    for broker in dict.fromkeys(run["broker"] for run in runs):
        plain = best(runs, broker, "baseline", "rate")
        for consumer in CONSUMERS:
            rate = best(runs, broker, consumer, "rate")
            cpu = best(runs, broker, consumer, "cpu_us")
            table.add_row(broker, consumer, f"{rate:,.0f}", f"{rate / plain:.2f}", f"{cpu:.0f}")
    console.print(table)
    if exported:
        console.print(
            f"CSV export of {exported['rows']:,} observations over HTTP: {exported['http_rows_s']:,.0f} rows/s, "
            f"{exported['ratio']:.2f} of COPY … TO STDOUT ({exported['copy_rows_s']:,.0f} rows/s)"
        )


def best(runs: list[dict], broker: str, consumer: str, figure: str) -> float:
    """The best of the rounds: what else the machine does can only slow one down."""
    found = [run[figure] for run in runs if run["broker"] == broker and run["consumer"] == consumer]
    return min(found) if figure == "cpu_us" else max(found)


if __name__ == "__main__":
    sys.exit(main())
