"""Whatever dies while 50,000 numbered messages are being published: nothing acknowledged is lost or doubled.

Mosquitto acknowledges before it saves, so a kill -9 of it is not promised: it gets SIGTERM restarts.
"""

import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import psycopg
import pytest
from processes import City, answers, command, until, up

from broker.store import batches
from deploy.simulate import Outcome, run

COUNT = int(os.environ.get("KILL_MESSAGES", "50000"))
"""`make soak` sends more."""
RATE = 6_000
CONFIG = """
[city]
id = "leiestad"
name = "Leiestad"

[[source]]
name = "lorawan"
topic = "v3/+/devices/+/up"
format = "tts_v3"

[[feed]]
id = "all"
title = "Alles"
"""


def load(url: str) -> Outcome:
    start = datetime.now(UTC) - timedelta(hours=1)
    return run(url, count=COUNT, rate=RATE, start=start, patience=60, connections=4)


def publish_while(url: str, disturb: Callable[[], None], times: int = 3) -> Outcome:
    """Publish the load, and disturb it a few times meanwhile."""
    with ThreadPoolExecutor(1) as pool:
        work = pool.submit(load, url)
        for _ in range(times):
            time.sleep(COUNT / RATE / (times + 1))
            disturb()
        return work.result(180 + COUNT / 1000)


def check(database_url: str, outcome: Outcome) -> None:
    """Each acknowledged message is stored once, and the counters agree with what is there."""
    with until(lambda: connected(database_url), "the database is back") as connection:
        acknowledged = set(range(COUNT)) - set(outcome.unacknowledged)
        rows = until(
            lambda: complete(connection, acknowledged, outcome),
            "everything acknowledged is stored",
            90 + COUNT / 1000,
        )
        assert {row[1] for row in rows} == {4}, "each message has four values, each stored once"
        counters = until(lambda: settled(connection), "nothing is in flight")
    done = counters["stored"] + counters["duplicate"] + sum(counters["ignored"].values())
    assert counters["received"] == done + sum(counters["rejected"].values()) + counters["in_flight"]
    assert counters["rejected"] == {}
    assert counters["conflicts"] == 0
    assert counters["stored"] == len(rows)
    assert counters["observations"] == 4 * len(rows)
    assert len(rows) >= outcome.acknowledged


def connected(database_url: str) -> psycopg.Connection | None:
    try:
        return psycopg.connect(database_url, autocommit=True)
    except psycopg.OperationalError:
        return None


def complete(connection: psycopg.Connection, acknowledged: set[int], outcome: Outcome) -> list[tuple] | None:
    if batches.counters(connection)["stored"] < len(acknowledged):
        time.sleep(0.5)
        return None
    rows = connection.execute(
        """select phenomenon_start, count(*) from observation group by phenomenon_start"""
    ).fetchall()
    return rows if {outcome.load.number(row[0]) for row in rows} >= acknowledged else None


def settled(connection: psycopg.Connection) -> dict | None:
    counters = batches.counters(connection)
    return None if counters["in_flight"] else counters


@pytest.fixture
def city(tmp_path, free_port):
    with up(tmp_path, CONFIG, (free_port(), free_port())) as running:
        yield running


@pytest.mark.parametrize("child", ["ingest", "nats", "postgres"])
def test_kill_9_of_a_child_of_up(city: City, child: str) -> None:
    before = city.run["children"][child][0]
    outcome = publish_while(city.mqtt, lambda: city.kill(child))
    assert outcome.acknowledged > COUNT * 0.9
    assert city.run["children"][child][0] != before
    check(city.run["database"]["owner"], outcome)


def test_kill_9_of_up_itself_and_a_new_start(tmp_path, free_port) -> None:
    ports = free_port(), free_port()
    with ThreadPoolExecutor(1) as pool:
        with up(tmp_path, CONFIG, ports) as first:
            work = pool.submit(load, first.mqtt)
            time.sleep(3)
            first.process.kill()
            first.process.wait()
        with up(tmp_path, CONFIG, ports) as second:
            outcome = work.result(180 + COUNT / 1000)
            check(second.run["database"]["owner"], outcome)


@pytest.mark.parametrize("victim", ["mosquitto", "ingest"])
def test_mosquitto_restarts_and_kill_9_of_ingest(mosquitto, database, tmp_path, free_port, victim) -> None:
    (tmp_path / "city.toml").write_text(CONFIG)
    port = str(free_port())
    options = [
        "ingest",
        "--config",
        str(tmp_path / "city.toml"),
        "--mqtt-url",
        mosquitto.url,
        "--metrics-port",
        port,
    ]
    secret = {"CITYBROKER_DATABASE_URL": database.ingest, "XDG_STATE_HOME": str(tmp_path / "state")}
    running = []

    def start() -> None:
        manager = command(*options, log=tmp_path / "ingest.log", **secret)
        running.append((manager, manager.__enter__()))

    def disturb() -> None:
        if victim == "mosquitto":
            mosquitto.restart()
        else:
            running[-1][1].kill()
            start()

    start()
    try:
        wait_for_subscription(port)
        outcome = publish_while(mosquitto.url, disturb)
        check(database.owner, outcome)
    finally:
        for manager, _ in running:
            manager.__exit__(None, None, None)


def wait_for_subscription(port: str) -> None:
    until(lambda: answers(f"http://127.0.0.1:{port}/health/ready"), "ingest is ready")
