"""The operations endpoint, and many of them shown as one."""

import http.client
import json
from collections.abc import Iterator

import pytest

from broker import metrics
from broker.readiness import Readiness
from deploy import health, ports


def ask(port: int, path: str) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    connection.request("GET", path)
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    return answer.status, body


@pytest.fixture
def readiness() -> Readiness:
    return Readiness(database="not connected yet")


@pytest.fixture
def port(readiness: Readiness) -> Iterator[int]:
    with health.endpoint(0, readiness) as port:
        yield port


def test_it_answers_while_the_role_waits(port: int, readiness: Readiness) -> None:
    assert ask(port, "/health/live")[0] == 200
    status, body = ask(port, "/health/ready")
    assert (status, json.loads(body)["missing"]) == (503, {"database": "not connected yet"})
    readiness.set("database", None)
    status, body = ask(port, "/health/ready?verbose")
    assert (status, json.loads(body)) == (200, {"status": "ready", "missing": {}})


def test_other_addresses_are_not_found(port: int) -> None:
    assert ask(port, "/")[0] == 404


def test_metrics_are_those_of_the_process(port: int) -> None:
    status, body = ask(port, "/metrics")
    assert status == 200
    assert b"citybroker_mqtt_connected" in body
    assert b"_created" not in body


def test_readiness_is_that_of_all(port: int, readiness: Readiness) -> None:
    gone = ports.free(1)[0]
    together = health.Together({"ingest": port, "publish": gone}, Readiness(own="not yet"))
    assert together.missing() == {
        "own": "not yet",
        "ingest: database": "not connected yet",
        "publish": "does not answer",
    }
    readiness.set("database", None)
    together.set("own", None)
    assert together.missing() == {"publish": "does not answer"}


def test_families_appear_once_and_those_of_a_process_by_role(port: int) -> None:
    metrics.STORE_RETRIES.inc(2)
    before = health.values(port)["citybroker_store_retries_total"]
    text = health.render_together("serve", {"ingest": port, "publish": ports.free(1)[0]}).decode()
    lines = text.splitlines()
    # The peer is this process, too: its part counts twice.
    assert f"citybroker_store_retries_total {2 * before}" in lines
    assert len([line for line in lines if line.startswith("# TYPE citybroker_store_retries_total")]) == 1
    named = [line.split("{")[1].split("}")[0] for line in lines if line.startswith("process_cpu_seconds_total")]
    assert named == ['role="serve"', 'role="ingest"']


def test_nobody_there_has_no_values_and_no_status() -> None:
    gone = ports.free(1)[0]
    assert health.values(gone) == {}
    assert health.status(gone, "/health/live") is None
