"""The data directory of `up` and `demo`: whose it is, of which version, and who is at work on it."""

import fcntl
import json
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from broker.errors import BadConfig
from deploy import children
from deploy.postgres import write_private

SERVERS = ("postgres", "nats")


@contextmanager
def opened(data: Path, version: int) -> Iterator[Path]:
    """Make `data` if it is missing, and hold it for this process alone.

    Raises BadConfig if another citybroker runs on it, if it is of a newer version, if it belongs to
    another user, or if it cannot be made.
    """
    # Nobody lists it. As root, PostgreSQL's user may pass through it; every part has rights of its own.
    try:
        data.mkdir(mode=0o711 if os.geteuid() == 0 else 0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise BadConfig(f"{data} cannot be made ({error.strerror}): choose another --data") from None
    data = data.resolve()
    _check_owner(data)
    with _locked(data):
        _check_version(data, version)
        (data / "log").mkdir(mode=0o700, exist_ok=True)
        yield data


def _check_owner(data: Path) -> None:
    owner = data.stat().st_uid
    if owner != os.geteuid() and (os.geteuid() != 0 or (data / "version").exists()):
        raise BadConfig(f"{data} belongs to user {owner}: run as that user, or choose another --data")


@contextmanager
def _locked(data: Path) -> Iterator[None]:
    with (data / "lock").open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            pid = lock.read().strip()
            raise BadConfig(
                f"another citybroker runs on {data} (pid {pid}): stop it, or choose another --data"
            ) from None
        lock.truncate(0)
        lock.write(f"{os.getpid()}\n")
        lock.flush()
        yield


def _check_version(data: Path, version: int) -> None:
    path = data / "version"
    found = path.read_text().strip() if path.exists() else "0"
    if not found.isdecimal() or int(found) > version:
        raise BadConfig(
            f"{data} was made by a newer citybroker (version {found}, this one knows {version}): "
            "upgrade citybroker, or choose another --data"
        )


def mark_version(data: Path, version: int) -> None:
    """Note that the database in `data` has been migrated to `version`."""
    write_private(data / "version", f"{version}\n")


def instance(data: Path) -> str:
    """The random name of this data directory, made once."""
    path = data / "instance"
    if not path.exists():
        write_private(path, secrets.token_hex(8) + "\n")
    return path.read_text().strip()


def keys(data: Path, chosen: Path | None) -> Path:
    """Where the keys lie: `chosen`, else below the user's state folder. Never under `data`.

    Who gets hold of a copy or a backup of the data must not get the keys with it. The folder is made if
    it is missing. Raises BadConfig.
    """
    state = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    folder = (chosen or Path(state) / "citybroker" / instance(data)).expanduser().resolve()
    if folder.is_relative_to(data):
        raise BadConfig(f"the keys must not lie under the data directory {data}: choose another --keys")
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise BadConfig(f"the keys cannot be kept in {folder} ({error.strerror}): choose another --keys") from None
    return folder


def read_run(data: Path) -> dict[str, Any]:
    """What runs on `data`: URLs, ports and processes as `up` wrote them; empty if nothing does."""
    try:
        found: dict[str, Any] = json.loads((data / "run.json").read_text())
    except (OSError, ValueError):
        return {}
    return found


def write_run(data: Path, run: dict[str, Any]) -> None:
    """Tell the other commands what runs; only this user can read it."""
    write_private(data / "run.json", json.dumps(run, indent=2))


def forget_run(data: Path) -> None:
    """Say that nothing runs any more."""
    (data / "run.json").unlink(missing_ok=True)


def end_leftovers(data: Path) -> None:
    """End the roles of a run that was killed, if they still live; the servers look for theirs by themselves."""
    for name, (pid, birth) in read_run(data).get("children", {}).items():
        if name not in SERVERS and children.started(pid) == birth:
            with suppress(ProcessLookupError):
                children.end(pid, children.ASKED, patience=5)


def trim_logs(data: Path, limit: int = 10 << 20) -> None:
    """Start logs anew that have grown beyond `limit` bytes; the last one is kept beside."""
    for path in (data / "log").glob("*.log"):
        if path.stat().st_size > limit:
            path.replace(path.with_suffix(".log.1"))
