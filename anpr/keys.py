"""The rotating keys of a city, in files that several processes and hosts share.

    02:00        03:00        04:00                    02:00        03:00
    ──┬────────────┬────────────┬──── … ──────────────────┬────────────┬──
      │            │ token of day D                                    │
      │ identity of day D ───────────────────────────────────────────── … ─┬ 04:00
    identity of day D−1 ────────┤                         │ identity of day D+1 …

Each key is 256 random bits; nothing derives one from another. A day begins at 03:00 in the city's
zone. The identity key lives an hour longer at both ends, so that a message gets the same passage identity
before and after 03:00: its key goes by the passage's own time. What is not listed for a moment
is destroyed: the file is replaced by one without it, and the old one overwritten. A file system with
snapshots keeps copies all the same: put the directory on a plain, encrypted or memory file system.
"""

import fcntl
import json
import os
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import NamedTuple
from zoneinfo import ZoneInfo

from broker.errors import BadConfig, StoreUnavailable

ROTATION = time(3)
OVERLAP = timedelta(hours=1)
"""How much longer than its day an identity key lives, at both ends."""
CLOCK_ERROR = timedelta(days=1)
"""Keys dated further ahead than this were made by a wrong clock, and are replaced."""
DAY = timedelta(days=1)

Keys = Mapping[str, Mapping[date, bytes]]
"""By purpose and day."""


class Ring(NamedTuple):
    """What the file holds: the day it stands at, and the keys."""

    day: date
    keys: Keys


class View(NamedTuple):
    """A ring as one process remembers it: nothing to look up in the file for moments in [since, until)."""

    since: datetime
    until: datetime
    ring: Ring
    start: datetime
    end: datetime
    """Of the ring's day."""


class KeyStore:
    """The keys of one city. `directory` must not lie in the data directory, nor in what is backed up.

    Raises BadConfig where the directory or a file is open to others or damaged, and StoreUnavailable
    where the file system fails: a retry may help.
    """

    def __init__(self, directory: Path, city: str, zone: ZoneInfo) -> None:
        _prepare(directory)
        self._directory = directory
        self._city = city
        self._zone = zone
        self._view: View | None = None

    def key(self, purpose: str, moment: datetime) -> bytes:
        """The key of `purpose` on the day of `moment`, a receive time; of a day gone by, today's."""
        ring = self._look(purpose, moment).ring
        return ring.keys[purpose][ring.day]

    def identity_key(self, passage: datetime, received: datetime) -> bytes:
        """The key for the identity of a passage that happened at `passage`: the key of that day.

        Where that key does not exist (a replay of yesterday, a wrong clock) it is the key of the day of
        `received`.
        """
        view = self._look("identity", received)
        keys = view.ring.keys["identity"]
        if view.start <= passage < view.end:
            return keys[view.ring.day]
        return keys.get(day_of(passage, self._zone)) or keys[view.ring.day]

    def rotate(self, moment: datetime) -> None:
        """Destroy what has had its day at `moment`. Call it every minute: at night no message may come."""
        view = self._view
        if view and view.since <= moment < view.until:
            return
        if self._path("keys").exists():
            self._turn(None, moment)

    def broker_key(self) -> str:
        """The encryption key of the embedded MQTT broker's store: made once, never rotated."""
        with self._locked():
            path = self._path("broker")
            if not path.exists():
                _write(path, secrets.token_hex(32).encode())
            return _read(path).decode()

    def _path(self, suffix: str) -> Path:
        return self._directory / f"{self._city}.{suffix}"

    def _look(self, purpose: str, moment: datetime) -> View:
        view = self._view
        if view and view.since <= moment < view.until and purpose in view.ring.keys:
            return view
        return self._turn(purpose, moment)

    def _turn(self, purpose: str | None, moment: datetime) -> View:
        """Bring file and memory to `moment`."""
        with self._locked():
            path = self._path("keys")
            old = _parse(path, _read(path)) if path.exists() else None
            now = self._clamp(old, moment)
            new = self._advance(old, purpose, now)
            if new != old:
                _write(path, _dump(new))
        self._view = self._remember(new, now)
        return self._view

    def _clamp(self, ring: Ring | None, moment: datetime) -> datetime:
        """A moment before the ring's day (a late message, a slow clock) counts as its first."""
        start = day_start(ring.day, self._zone) if ring else moment
        return max(moment, start) if start - moment <= CLOCK_ERROR else moment

    def _advance(self, ring: Ring | None, purpose: str | None, now: datetime) -> Ring:
        """The ring of `now`: what lives on, and new keys for what is due."""
        day = day_of(now, self._zone)
        old = ring.keys if ring else {}
        purposes = dict.fromkeys([*old, purpose] if purpose else old)
        return Ring(day, {name: self._days(old.get(name, {}), name, day, now) for name in purposes})

    def _days(self, old: Mapping[date, bytes], purpose: str, day: date, now: datetime) -> dict[date, bytes]:
        keys = {day: old.get(day) or secrets.token_bytes(32)}
        if purpose != "identity":
            return keys
        start, end = self._span(day)
        before, after = day - DAY, day + DAY
        if now < start + OVERLAP and before in old:
            keys[before] = old[before]
        if now >= end - OVERLAP:
            keys[after] = old.get(after) or secrets.token_bytes(32)
        return keys

    def _remember(self, ring: Ring, now: datetime) -> View:
        start, end = self._span(ring.day)
        until = next(edge for edge in (start + OVERLAP, end - OVERLAP, end) if now < edge)
        return View(start - CLOCK_ERROR, until, ring, start, end)

    def _span(self, day: date) -> tuple[datetime, datetime]:
        return day_start(day, self._zone), day_start(day + DAY, self._zone)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        try:
            lock = os.open(self._path("lock"), os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX)
                yield
            finally:
                os.close(lock)
        except OSError as error:
            raise StoreUnavailable(f"the key store cannot be used: {error.strerror}") from error


def day_start(day: date, zone: ZoneInfo) -> datetime:
    """03:00 of `day` in UTC; of an hour that comes twice the first, of one that is left out its end."""
    return datetime.combine(day, ROTATION, zone).astimezone(UTC)


def day_of(moment: datetime, zone: ZoneInfo) -> date:
    """The day, from 03:00 to 03:00, that `moment` lies in."""
    day = moment.astimezone(zone).date()
    return day if moment >= day_start(day, zone) else day - DAY


def _prepare(directory: Path) -> None:
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        mode = directory.stat().st_mode
    except OSError as error:
        raise BadConfig(f"key directory {directory}: {error.strerror}") from error
    if mode & 0o077:
        raise BadConfig(f"key directory {directory}: others may open it; run: chmod 700 {directory}")


def _read(path: Path) -> bytes:
    with path.open("rb") as file:
        if os.fstat(file.fileno()).st_mode & 0o077:
            raise BadConfig(f"key file {path}: others may open it; run: chmod 600 {path}")
        return file.read()


def _write(path: Path, content: bytes) -> None:
    """Replace a file atomically; then overwrite what it held before."""
    new = path.with_suffix(f"{path.suffix}.new")
    with os.fdopen(os.open(new, os.O_CREAT | os.O_TRUNC | os.O_WRONLY | os.O_CLOEXEC, 0o600), "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    old = path.open("r+b") if path.exists() else None
    new.replace(path)
    folder = os.open(path.parent, os.O_RDONLY | os.O_CLOEXEC)
    os.fsync(folder)
    os.close(folder)
    if old:
        with old:
            old.write(bytes(os.fstat(old.fileno()).st_size))
            old.flush()
            os.fsync(old.fileno())


def _dump(ring: Ring) -> bytes:
    keys = {p: {str(day): key.hex() for day, key in days.items()} for p, days in ring.keys.items()}
    return json.dumps({"day": str(ring.day), "keys": keys}, indent=1).encode()


def _parse(path: Path, content: bytes) -> Ring:
    try:
        found = json.loads(content)
        keys = {
            purpose: {date.fromisoformat(day): bytes.fromhex(key) for day, key in days.items()}
            for purpose, days in found["keys"].items()
        }
        return Ring(date.fromisoformat(found["day"]), keys)
    except (ValueError, KeyError, TypeError, AttributeError):
        pass
    raise BadConfig(f"key file {path}: damaged; remove it to begin the day with new keys")
