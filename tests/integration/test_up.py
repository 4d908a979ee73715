"""`citybroker up` as a user runs it: real processes, from the first start to every way of ending."""

import json
import os
import signal
import stat
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import httpx
import psycopg
import pytest
import servers
from paho.mqtt import publish
from prometheus_client.parser import text_string_to_metric_families

from broker.store import schema
from deploy import children
from deploy import data as directory

CONFIG = """\
[city]
id = "gent"
name = "Gent"

[[source]]
name = "senml"
topic = "senml/#"
format = "senml"
"""
BASE = {"bn": "urn:dev:mac:0024befffe804ff1:", "n": "temperature", "u": "Cel"}
NOBODY = (65534, 65534)


def senml(number: int) -> str:
    """One observation with a time of its own."""
    return json.dumps([{**BASE, "t": 1_790_000_000 + number, "v": 20 + number / 10}])


class Up:
    """One `citybroker up` on `folder`/data, as the user `account`."""

    def __init__(self, folder: Path, account: tuple[int, int] | None = None, name: str = "up") -> None:
        self.folder = folder
        self.data = folder / "data"
        self.http_port, self.mqtt_port = servers.free_port(), servers.free_port()
        self.log = folder / "up.log"
        (folder / "city.toml").write_text(CONFIG)
        self.account = account
        self.name = name
        self.process: subprocess.Popen[bytes] | None = None

    def command(self, **changed: object) -> list[str]:
        options = {
            "config": self.folder / "city.toml",
            "data": self.data,
            "http-port": self.http_port,
            "mqtt-port": self.mqtt_port,
            "keys": self.folder / "keys",
        } | {name.replace("_", "-"): value for name, value in changed.items()}
        if self.name == "demo":
            del options["config"]
        words = [word for name, value in options.items() for word in (f"--{name}", str(value))]
        command = [sys.executable, "-P", "-m", "deploy.cli", self.name, *words]
        if self.account:
            program = children.Program(
                "up", command, account=children.Account(*self.account), reach=(Path(sys.executable), self.folder)
            )
            return children.arguments(program)
        return command

    def start(self) -> "Up":
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(self.command(), stdout=log, stderr=log, start_new_session=True)
        return self

    def refused(self, **changed: object) -> str:
        """Run it where it cannot start, and return its one line."""
        done = subprocess.run(self.command(**changed), capture_output=True, text=True, check=False, timeout=120)
        lines = done.stderr.strip().splitlines()
        assert (done.returncode, len(lines)) == (2, 1), done.stderr
        return lines[0]

    def get(self, path: str) -> httpx.Response:
        return httpx.get(f"http://127.0.0.1:{self.http_port}{path}", timeout=30)

    def wait_ready(self) -> "Up":
        self.wait(lambda: self.get("/health/ready").status_code == 200)
        return self

    def wait(self, condition: Callable[[], bool], seconds: float = 120) -> None:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            assert self.process is not None
            assert self.process.poll() is None, self.log.read_text()
            try:
                if condition():
                    return
            except (httpx.HTTPError, OSError, KeyError, psycopg.OperationalError):
                pass
            time.sleep(0.05)
        pytest.fail(self.log.read_text())

    def publish(self, number: int) -> None:
        publish.single("senml/room", senml(number), 1, hostname="127.0.0.1", port=self.mqtt_port)

    def stored(self) -> int:
        url = directory.read_run(self.data)["database"]["owner"]
        with psycopg.connect(url) as connection:
            row = connection.execute("select count(*) from observation").fetchone()
        assert row
        return int(row[0])

    @property
    def children(self) -> dict[str, int]:
        return {name: pid for name, (pid, _) in directory.read_run(self.data)["children"].items()}

    def stop(self, how: signal.Signals = signal.SIGTERM) -> int:
        assert self.process is not None
        self.process.send_signal(how)
        return self.process.wait(120)

    def events(self, **wanted: str) -> list[dict[str, Any]]:
        lines = (json.loads(line) for line in self.log.read_text().splitlines() if line.startswith("{"))
        return [line for line in lines if wanted.items() <= line.items()]


@pytest.fixture
def made() -> Iterator[list[Up]]:
    """Whatever a test started is stopped after it."""
    found: list[Up] = []
    yield found
    for one in found:
        if one.process and one.process.poll() is None:
            one.stop()


@pytest.fixture
def up(tmp_path: Path, made: list[Up]) -> Up:
    """An instance that runs and is ready."""
    one = Up(tmp_path)
    made.append(one)
    return one.start().wait_ready()


@pytest.fixture
def idle(tmp_path: Path) -> Up:
    """An instance that has not been started."""
    return Up(tmp_path)


def samples(text: str) -> Counter[tuple[str, tuple[tuple[str, str], ...]]]:
    families = text_string_to_metric_families(text)
    return Counter((s.name, tuple(sorted(s.labels.items()))) for family in families for s in family.samples)


def value(text: str, name: str) -> float:
    families = text_string_to_metric_families(text)
    return sum(s.value for family in families for s in family.samples if s.name == name)


def test_a_message_goes_in_and_is_counted_once_for_all_roles(up: Up) -> None:
    up.publish(1)
    up.publish(1)
    up.wait(lambda: value(up.get("/metrics").text, "citybroker_messages_received_total") == 2)
    up.wait(lambda: value(up.get("/metrics").text, "citybroker_messages_in_flight") == 0)
    text = up.get("/metrics").text
    assert value(text, "citybroker_messages_stored_total") == 1
    assert value(text, "citybroker_messages_duplicate_total") == 1
    found = samples(text)
    assert [name for name, count in found.items() if count > 1] == []
    assert ("citybroker_messages_stored_total", ()) in found
    roles = {dict(labels)["role"] for name, labels in found if name == "process_cpu_seconds_total"}
    assert roles == {"up", "ingest", "publish", "serve"}


def test_what_other_commands_need_is_private(up: Up) -> None:
    for name in ("run.json", "passwords.json"):
        assert stat.S_IMODE((up.data / name).stat().st_mode) == 0o600
    for name in ("log", "nats", "postgres"):
        assert stat.S_IMODE((up.data / name).stat().st_mode) == 0o700
    secrets = [url.split("@")[0].rsplit(":", 1)[1] for url in directory.read_run(up.data)["database"].values()]
    for pid in up.children.values():
        command = Path(f"/proc/{pid}/cmdline").read_text()
        assert not [secret for secret in secrets if secret in command]
    for path in (up.folder / "keys").iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_it_stops_in_order_and_a_second_signal_changes_nothing(up: Up) -> None:
    pids = up.children
    for number in range(50):
        up.publish(number)
    assert up.process is not None
    up.process.send_signal(signal.SIGTERM)
    up.process.send_signal(signal.SIGINT)
    assert up.stop(signal.SIGTERM) == 0
    assert [line["child"] for line in up.events(role="up", event="stopped")] == [
        "ingest",
        "publish",
        "serve",
        "nats",
        "postgres",
    ]
    assert not [pid for pid in pids.values() if children.started(pid)]
    assert not (up.data / "run.json").exists()
    assert (up.data / "version").read_text().strip() == str(schema.version())
    up.start().wait_ready()
    assert up.stored() == 50


def test_another_instance_on_the_same_data_is_refused(up: Up) -> None:
    assert up.process is not None
    line = up.refused(http_port=servers.free_port(), mqtt_port=servers.free_port())
    assert f"another citybroker runs on {up.data} (pid {up.process.pid})" in line
    assert "--data" in line


@pytest.mark.parametrize("option", ["http_port", "mqtt_port"])
def test_a_taken_port_is_named_with_its_option(idle: Up, option: str, mosquitto: servers.Mosquitto) -> None:
    line = idle.refused(**{option: mosquitto.port})
    assert f"port {mosquitto.port} is taken" in line
    assert f"--{option.replace('_', '-')}" in line
    assert not (idle.data / "postgres").exists()


def test_data_of_a_newer_version_are_left_alone(idle: Up) -> None:
    idle.data.mkdir()
    (idle.data / "version").write_text("9999\n")
    line = idle.refused()
    assert "newer citybroker (version 9999" in line
    assert "upgrade" in line


def test_keys_under_the_data_are_refused(idle: Up) -> None:
    assert "must not lie under the data directory" in idle.refused(keys=idle.data / "keys")


def test_an_address_of_another_machine_is_refused(idle: Up) -> None:
    assert "choose another --host" in idle.refused(host="192.0.2.1")


def test_a_kill_takes_the_children_along_and_a_later_start_goes_on(up: Up) -> None:
    up.publish(1)
    up.wait(lambda: up.stored() == 1)
    left = up.children
    up.stop(signal.SIGKILL)
    deadline = time.monotonic() + 60
    while [pid for pid in left.values() if children.started(pid)] and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not [name for name, pid in left.items() if children.started(pid)]
    up.start().wait_ready()
    up.publish(2)
    up.wait(lambda: up.stored() == 2)


def test_a_start_right_after_a_kill_takes_over_what_still_runs(up: Up) -> None:
    for number in range(20):
        up.publish(number)
    up.stop(signal.SIGKILL)
    up.start().wait_ready()
    up.wait(lambda: up.stored() == 20)


def test_children_that_are_killed_come_back_and_nothing_is_lost(up: Up) -> None:
    for number, name in enumerate(("postgres", "nats", "ingest", "publish", "serve"), 1):
        up.publish(number)
        up.wait(lambda expected=number: up.stored() == expected)
        killed = up.children[name]
        os.kill(killed, signal.SIGKILL)
        up.wait(lambda name=name, killed=killed: up.children[name] != killed)
        up.wait_ready()
    up.publish(6)
    up.wait(lambda: up.stored() == 6)


def test_a_demo_has_a_past_goes_on_living_and_continues_later(tmp_path: Path, made: list[Up]) -> None:
    demo = Up(tmp_path, name="demo")
    made.append(demo)
    demo.start().wait_ready()
    past = demo.stored()
    assert past > 15_000
    demo.wait(lambda: demo.stored() > past)
    assert "The city is live." in demo.log.read_text()
    assert demo.stop(signal.SIGINT) == 0
    demo.start().wait_ready()
    demo.wait(lambda: demo.stored() > past)
    text = demo.get("/metrics").text
    assert value(text, "citybroker_messages_received_total") < past / 10
    assert value(text, "citybroker_observations_conflict_total") == 0


@pytest.fixture
def theirs() -> Iterator[Path]:
    """A folder of another user, which that user reaches without help."""
    with TemporaryDirectory(prefix="citybroker-test-") as name:
        yield Path(name)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_it_runs_as_another_user_than_root(theirs: Path, made: list[Up]) -> None:
    one = Up(theirs, NOBODY)
    for path in (theirs, theirs / "city.toml"):
        os.chown(path, *NOBODY)
    made.append(one)
    one.start().wait_ready()
    one.publish(1)
    one.wait(lambda: one.stored() == 1)
    owners = {Path(f"/proc/{pid}").stat().st_uid for pid in one.children.values()}
    assert owners == {NOBODY[0]}
    assert one.stop() == 0
    assert f"belongs to user {NOBODY[0]}" in Up(theirs).refused()
