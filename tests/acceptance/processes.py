"""Processes of ours for acceptance tests: started as a user starts them, ended by whoever started them."""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]


def until(condition: Callable[[], Any], what: str, seconds: float = 60) -> Any:
    """Wait until `condition()` is true, and return what it gave."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, f"{what}: not after {seconds} s"
        time.sleep(0.05)
    return found


def answers(url: str) -> bool:
    """Whether GET gives 200."""
    try:
        with urllib.request.urlopen(url, timeout=5) as response:
            return bool(response.status == 200)
    except OSError:
        return False


def read(url: str, **headers: str) -> bytes:
    """The body of a GET."""
    request = urllib.request.Request(url, headers={key.replace("_", "-"): value for key, value in headers.items()})
    with urllib.request.urlopen(request, timeout=60) as response:
        body: bytes = response.read()
        return body


@contextmanager
def command(
    *arguments: str, log: Path, stop: signal.Signals = signal.SIGTERM, **environment: str
) -> Iterator[Any]:
    """Run `citybroker ARGUMENTS` meanwhile, its output in `log`."""
    with log.open("ab") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "deploy.cli", *arguments],
            stdout=output,
            stderr=output,
            cwd=ROOT,
            env=os.environ | environment,
        )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.send_signal(stop)
        process.wait(60)


class City:
    """A running `citybroker up`: addresses, children, and its database as the owner sees it."""

    def __init__(self, process: subprocess.Popen[bytes], data: Path, http: int, mqtt: int) -> None:
        self.process, self.data = process, data
        self.http, self.mqtt = f"http://127.0.0.1:{http}", f"mqtt://127.0.0.1:{mqtt}"

    @property
    def run(self) -> dict[str, Any]:
        """What it says of itself."""
        found: dict[str, Any] = json.loads((self.data / "run.json").read_text())
        return found

    def kill(self, child: str) -> None:
        """End a child with kill -9."""
        self.signal(child, signal.SIGKILL)

    def signal(self, child: str, number: signal.Signals) -> None:
        """Send a child a signal."""
        os.kill(self.run["children"][child][0], number)

    def ready(self) -> bool:
        """Whether all roles are ready."""
        return answers(f"{self.http}/health/ready")

    @contextmanager
    def renewed(self, child: str) -> Iterator[None]:
        """End a child with kill -9; after the block wait for another in its place, and for all to be ready."""
        before = self.run["children"][child][0]
        self.kill(child)
        yield
        until(lambda: self.run["children"].get(child, [before])[0] != before, f"another {child}")
        until(self.ready, "ready again")

    def command(self, *words: str, code: int = 0) -> str:
        """What `citybroker WORDS --data DATA` prints: its standard output, its errors where it fails."""
        done = subprocess.run(
            [sys.executable, "-m", "deploy.cli", *words, "--data", str(self.data)],
            capture_output=True,
            text=True,
            check=False,
            cwd=ROOT,
            timeout=120,
        )
        assert done.returncode == code, done.stderr
        return done.stderr if code else done.stdout


@contextmanager
def up(folder: Path, config: str, ports: tuple[int, int], verb: str = "up", **environment: str) -> Iterator[City]:
    """Run `citybroker up` on DATA in `folder` meanwhile, ready to be published to."""
    path = folder / "city.toml"
    path.write_text(config)
    http, mqtt = ports
    options = ["--data", str(folder / "data"), "--http-port", str(http), "--mqtt-port", str(mqtt)]
    if verb == "up":
        options += ["--config", str(path)]
    environment |= {"XDG_STATE_HOME": str(folder / "state")}
    with command(verb, *options, log=folder / "up.log", **environment) as process:
        city = City(process, folder / "data", http, mqtt)
        until(lambda: process.poll() is not None or city.ready(), "ready", 120)
        assert process.poll() is None, (folder / "up.log").read_text()[-3000:]
        yield city
