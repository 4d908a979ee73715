"""Child processes: how one is started, recognised again, and ended.

Every child has a session of its own, so that a Ctrl-C in the terminal reaches the supervisor alone,
and gets a signal when the supervisor ends without having stopped it. `deploy.launch` sees to that.
"""

import os
import pwd
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

ASKED = signal.SIGTERM
"""What asks a process to stop, unless its program says otherwise."""

LAUNCH = Path(__file__).with_name("launch.py")


class Account(NamedTuple):
    """The system user of a child that root starts."""

    uid: int
    gid: int


@dataclass(frozen=True)
class Program:
    """What a child runs and how it is told to stop. Secrets go in `environment`, never in `command`."""

    name: str
    command: Sequence[str]
    environment: Mapping[str, str] = field(default_factory=dict)
    account: Account | None = None
    reach: Sequence[Path] = ()
    """What `account` must be able to reach, with a capability if need be."""
    stop: signal.Signals = ASKED
    orphaned: signal.Signals = signal.SIGKILL
    """What it gets when its supervisor is gone. Without the others a role has nothing to finish: what was
    not committed comes again."""
    output: Path | None = None
    """A file for what it prints; None shares ours."""


def account(owned: Path, names: Sequence[str]) -> Account | None:
    """The unprivileged user for files below `owned`: None unless we are root.

    It is who owns `owned` already, so that a second start finds its own files, else the first of
    `names` that exists. No user is ever made.
    """
    if os.geteuid() != 0:
        return None
    if owned.exists() and (found := owned.stat()).st_uid != 0:
        return Account(found.st_uid, found.st_gid)
    for name in names:
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return Account(entry.pw_uid, entry.pw_gid)
    return None


def arguments(program: Program) -> list[str]:
    """The command line of `program` with the launcher in front."""
    options = ["--parent", str(os.getpid()), "--signal", str(int(program.orphaned))]
    if program.account:
        options += ["--user", f"{program.account.uid}:{program.account.gid}"]
    for path in program.reach:
        options += ["--reach", str(path)]
    return [sys.executable, "-I", "-S", str(LAUNCH), *options, "--", *program.command]


def start(program: Program) -> subprocess.Popen[bytes]:
    """Start `program`. The thread that calls must live as long as the child shall."""
    if program.output is None:
        return _spawn(program, None)
    with program.output.open("ab") as output:
        return _spawn(program, output.fileno())


def _spawn(program: Program, output: int | None) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        arguments(program),
        env={**os.environ, **program.environment},
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=output,
        start_new_session=True,
    )


def run(program: Program, text: str = "") -> str:
    """Run `program` to its end with `text` as its input and return what it printed.

    Raises OSError with the last line of what it printed if it fails.
    """
    done = subprocess.run(
        arguments(program),
        env={**os.environ, **program.environment},
        input=text,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        start_new_session=True,
    )
    if done.returncode != 0:
        raise OSError(last_line(done.stdout) or f"{program.name} ended with {done.returncode}")
    return done.stdout


def last_line(text: str) -> str:
    """The last line of `text` that says something."""
    return next((line.strip() for line in reversed(text.splitlines()) if line.strip()), "")


def stop(process: subprocess.Popen[bytes], number: signal.Signals = ASKED) -> int:
    """Ask `process` to stop, wait as long as it takes, and return its exit code."""
    if process.poll() is None:
        process.send_signal(number)
    return process.wait()


def started(pid: int) -> int | None:
    """When `pid` started, in ticks since boot: with its number that names a process. None if it is gone."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    state, *fields = text.rpartition(")")[2].split()
    return None if state in "ZX" else int(fields[18])


def end(pid: int, asked: signal.Signals, *, patience: float = 60.0) -> None:
    """End a process that is not our child: ask, wait, and after `patience` seconds kill."""
    birth = started(pid)
    if birth is None:
        return
    deadline = time.monotonic() + patience
    os.kill(pid, asked)
    while started(pid) == birth:
        if time.monotonic() > deadline:
            os.kill(pid, signal.SIGKILL)
            deadline += patience
        time.sleep(0.02)
