"""The numbered load of the kill tests, and what must be true afterwards."""

import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import psycopg
from processes import until

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
