"""Real servers for tests: started here, on 127.0.0.1, and stopped by whoever started them."""

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

LOOPBACK = "127.0.0.1"

MOSQUITTO = Path(__file__).parents[1] / "deploy" / "mosquitto" / "mosquitto.conf"
OURS = ("listener", "persistence_location", "allow_anonymous", "password_file", "acl_file")
"""What differs in a test: where it listens and keeps its state, and that nobody needs a login."""


def require(found: object, what: str) -> None:
    """Skip the test without `what`; with CI=true fail instead: there it must have been installed."""
    if found:
        return
    if os.environ.get("CI") == "true":
        pytest.fail(f"CI must install {what}", pytrace=False)
    pytest.skip(f"needs {what}")


def free_port() -> int:
    """A TCP port of 127.0.0.1 that nothing listens on right now."""
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        port: int = probe.getsockname()[1]
        return port


def wait_for_port(port: int, process: subprocess.Popen[bytes], seconds: float = 30) -> None:
    """Return once `port` accepts connections; fail if `process` ends first."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if process.poll() is not None:
            pytest.fail(f"{process.args!r} ended with {process.returncode}", pytrace=False)
        try:
            socket.create_connection((LOOPBACK, port), timeout=1).close()
        except OSError:
            time.sleep(0.02)
        else:
            return
    pytest.fail(f"nothing listens on port {port}", pytrace=False)


def which(*names: str) -> str | None:
    """The first of these programs, also where Debian keeps those of root."""
    path = os.environ.get("PATH", os.defpath) + ":/usr/sbin:/sbin:/usr/local/sbin"
    return next((found for name in names if (found := shutil.which(name, path=path))), None)


class Mosquitto:
    """A Mosquitto broker that keeps its port and its data over `stop` and `start`."""

    def __init__(self, directory: Path, settings: str = "") -> None:
        """Write the deployed configuration into `directory`; `settings` are more lines of it."""
        self.program = which("mosquitto")
        require(self.program, "mosquitto")
        self.directory = directory
        self.port = free_port()
        self.process: subprocess.Popen[bytes] | None = None
        lines = [line for line in MOSQUITTO.read_text().splitlines() if not line.startswith(OURS)]
        lines += [f"listener {self.port} {LOOPBACK}", "allow_anonymous true", settings]
        lines += [f"persistence_location {directory}/", f"log_dest file {directory}/mosquitto.log"]
        lines += ["user root"] if os.geteuid() == 0 else []
        (directory / "mosquitto.conf").write_text("\n".join(lines) + "\n")

    @property
    def url(self) -> str:
        """As `--mqtt-url` wants it."""
        return f"mqtt://{LOOPBACK}:{self.port}"

    def start(self) -> None:
        """Start and wait until it accepts connections."""
        command = [str(self.program), "-c", str(self.directory / "mosquitto.conf")]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_for_port(self.port, self.process)

    def stop(self, how: signal.Signals = signal.SIGTERM) -> None:
        """End it and wait: SIGTERM saves its state, SIGKILL does not."""
        if self.process and self.process.poll() is None:
            self.process.send_signal(how)
            self.process.wait(30)

    def restart(self, how: signal.Signals = signal.SIGTERM) -> None:
        """Stop and start on the same port and data."""
        self.stop(how)
        self.start()


@contextmanager
def debian_postgres() -> Iterator[str]:
    """Debian's PostgreSQL without data, on a socket of its own: the folder that `host=` takes; user postgres."""
    binaries = max(Path("/usr/lib/postgresql").glob("*/bin/initdb"), default=None)
    require(binaries, "Debian's postgresql")
    user = "postgres" if os.geteuid() == 0 else pwd.getpwuid(os.geteuid()).pw_name
    # Not below pytest's folder: that is closed to the user postgres.
    with tempfile.TemporaryDirectory(prefix="citybroker-debian-") as folder:
        shutil.chown(folder, user)
        command = [
            str(binaries),
            "-D",
            f"{folder}/data",
            "-U",
            "postgres",
            "--auth=trust",
            "--no-sync",
            "-E",
            "UTF8",
        ]
        subprocess.run(command, user=user, check=True, stdout=subprocess.DEVNULL, cwd=folder)
        options = ["-c", "listen_addresses=", "-c", f"unix_socket_directories={folder}", "-c", "fsync=off"]
        command = [str(binaries).replace("initdb", "postgres"), "-D", f"{folder}/data", *options]
        with Path(folder, "log").open("wb") as log:
            process = subprocess.Popen(command, user=user, stdout=log, stderr=log, cwd=folder)
        try:
            _wait_until_ready(Path(folder, "data", "postmaster.pid"), process)
            yield folder
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(60)


def _wait_until_ready(lock: Path, process: subprocess.Popen[bytes]) -> None:
    """PostgreSQL says in the eighth line of its lock file that it takes connections."""
    while not lock.exists() or "ready" not in lock.read_text():
        if process.poll() is not None:
            pytest.fail(f"{process.args!r} ended with {process.returncode}", pytrace=False)
        time.sleep(0.02)


@contextmanager
def timescale() -> Iterator[str]:
    """TimescaleDB in WebAssembly: the URL. It takes one connection at a time, keeps its state, and no COPY."""
    node, script = which("node"), Path(__file__).parent / "node" / "timescale.mjs"
    require(node and script.with_name("node_modules").is_dir(), "node, and `make node`")
    port = free_port()
    process = subprocess.Popen([str(node), str(script), str(port)])
    try:
        wait_for_port(port, process, 60)
        yield f"postgresql://postgres:postgres@{LOOPBACK}:{port}/postgres?sslmode=disable"
    finally:
        process.terminate()
        process.wait(30)
