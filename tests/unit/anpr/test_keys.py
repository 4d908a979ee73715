"""Rotating keys: days, overlap, files, several processes."""

import itertools
import json
import stat
import subprocess
import sys
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from anpr.keys import KeyStore, day_of, day_start
from broker.errors import BadConfig, StoreUnavailable

BRUSSELS = ZoneInfo("Europe/Brussels")
NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
ROTATION = datetime(2026, 3, 3, 2, tzinfo=UTC)
"""03:00 in Brussels, in winter."""
SECOND = timedelta(seconds=1)
HOUR = timedelta(hours=1)


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "keys"


@pytest.fixture
def keys(directory: Path) -> KeyStore:
    return KeyStore(directory, "gent", BRUSSELS)


def files(directory: Path) -> bytes:
    return b"".join(path.read_bytes() for path in sorted(directory.iterdir()))


def test_keys_are_random_and_differ_by_purpose_and_city(keys, directory):
    token, identity = keys.key("token", NOON), keys.key("identity", NOON)
    other = KeyStore(directory, "leuven", BRUSSELS).key("token", NOON)
    assert len({token, identity, other}) == 3
    assert {len(token), len(identity), len(other)} == {32}


def test_a_key_lives_for_its_day_and_over_a_restart(keys, directory):
    first = keys.key("token", ROTATION)
    again = KeyStore(directory, "gent", BRUSSELS)
    assert again.key("token", ROTATION + timedelta(hours=24) - SECOND) == first
    assert again.key("token", ROTATION + timedelta(hours=24)) != first


def test_the_old_key_is_nowhere_after_the_rotation(keys, directory):
    old = keys.key("token", ROTATION - SECOND)
    assert old.hex().encode() in files(directory)
    keys.key("token", ROTATION)
    assert old.hex().encode() not in files(directory)
    assert old not in files(directory)
    assert keys.key("token", ROTATION - SECOND) == keys.key("token", ROTATION)


def test_the_replaced_file_is_overwritten(keys, directory):
    old = keys.key("token", NOON)
    with (directory / "gent.keys").open("rb") as before:  # as a snapshot of the disk would see it
        keys.rotate(ROTATION)
        assert set(before.read()) == {0}
    assert old != keys.key("token", ROTATION)


@pytest.mark.parametrize(
    ("day", "start", "hours"),
    [
        (date(2026, 3, 28), datetime(2026, 3, 28, 2, tzinfo=UTC), 23),
        (date(2026, 3, 29), datetime(2026, 3, 29, 1, tzinfo=UTC), 24),
        (date(2026, 10, 24), datetime(2026, 10, 24, 1, tzinfo=UTC), 25),
        (date(2026, 10, 25), datetime(2026, 10, 25, 2, tzinfo=UTC), 24),
    ],
)
def test_days_of_both_clock_changes(keys, day, start, hours):
    end = start + timedelta(hours=hours)
    assert day_start(day, BRUSSELS) == start
    assert [day_of(moment, BRUSSELS) for moment in (start, end - SECOND, end)] == [
        day,
        day,
        day + timedelta(days=1),
    ]
    first = keys.key("token", start)
    assert keys.key("token", end - SECOND) == first
    assert keys.key("token", end) != first


@pytest.mark.parametrize("zone", ["Europe/Helsinki", "America/New_York", "Asia/Kolkata", "UTC"])
def test_days_of_other_zones_join_without_a_gap(zone):
    moment = datetime(2026, 1, 1, tzinfo=UTC)
    days = [day_of(moment + HOUR * n / 2, ZoneInfo(zone)) for n in range(2 * 24 * 365)]
    assert days == sorted(days)
    assert {(b - a).days for a, b in itertools.pairwise(days)} == {0, 1}


@pytest.mark.parametrize("minutes", [-59, -1, 0, 1, 59])
def test_an_identity_survives_redelivery_after_the_rotation(directory, minutes):
    passage = ROTATION - 30 * SECOND
    first = KeyStore(directory, "gent", BRUSSELS).identity_key(passage, ROTATION - SECOND)
    assert (
        KeyStore(directory, "gent", BRUSSELS).identity_key(passage, ROTATION + timedelta(minutes=minutes)) == first
    )


def test_a_camera_clock_that_is_ahead_gives_the_same_identity_on_both_sides(keys):
    passage = ROTATION + 5 * SECOND
    first = keys.identity_key(passage, ROTATION - HOUR)
    assert keys.identity_key(passage, ROTATION - SECOND) == first
    assert keys.identity_key(passage, ROTATION + SECOND) == first
    assert keys.identity_key(passage - 10 * SECOND, ROTATION) != first


def test_a_passage_of_another_day_gets_the_key_of_its_receipt(keys):
    current = keys.key("identity", NOON)
    assert keys.identity_key(NOON - timedelta(days=3), NOON) == current
    assert keys.identity_key(NOON - timedelta(days=1), NOON) == current


def test_an_identity_key_is_destroyed_an_hour_after_its_day(keys, directory):
    old = keys.key("identity", ROTATION - SECOND)
    keys.rotate(ROTATION + HOUR - SECOND)
    assert old.hex().encode() in files(directory)
    keys.rotate(ROTATION + HOUR)
    assert old.hex().encode() not in files(directory)
    assert keys.identity_key(ROTATION - SECOND, ROTATION + HOUR) == keys.key("identity", ROTATION + HOUR)


def test_no_key_is_made_for_a_day_gone_by(keys, directory):
    keys.key("identity", ROTATION + timedelta(minutes=10))
    content = json.loads((directory / "gent.keys").read_text())
    assert list(content["keys"]["identity"]) == ["2026-03-03"]


def test_rotate_destroys_without_traffic_and_makes_nothing_where_nothing_is(keys, directory):
    keys.rotate(NOON)
    assert not (directory / "gent.keys").exists()
    old = keys.key("token", NOON)
    keys.rotate(NOON + SECOND)
    assert keys.key("token", NOON) == old
    keys.rotate(ROTATION)
    assert old.hex().encode() not in files(directory)


def test_a_slow_clock_does_not_bring_back_the_day_before(keys, directory):
    new = keys.key("token", ROTATION)
    slow = KeyStore(directory, "gent", BRUSSELS)
    assert slow.key("token", ROTATION - 10 * SECOND) == new
    assert slow.key("token", ROTATION) == new


def test_keys_made_by_a_clock_far_ahead_are_replaced(keys, directory):
    wrong = keys.key("token", NOON + timedelta(days=4000))
    assert keys.key("token", NOON) != wrong
    assert KeyStore(directory, "gent", BRUSSELS).key("token", NOON) != wrong
    assert wrong.hex().encode() not in files(directory)


def test_the_hot_path_opens_no_file(keys, directory):
    key = keys.key("token", NOON), keys.identity_key(NOON, NOON)
    for path in directory.iterdir():
        path.unlink()
    directory.rmdir()
    assert (keys.key("token", NOON + HOUR), keys.identity_key(NOON, NOON + HOUR)) == key


def test_directory_and_files_are_for_their_owner_alone(keys, directory):
    keys.key("token", NOON)
    keys.broker_key()
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in directory.iterdir()}
    assert modes == dict.fromkeys(["gent.keys", "gent.broker", "gent.lock"], 0o600)


def test_what_others_may_open_is_refused(keys, directory):
    keys.key("token", NOON)
    (directory / "gent.keys").chmod(0o640)
    with pytest.raises(BadConfig, match=r"chmod 600 .*gent\.keys"):
        KeyStore(directory, "gent", BRUSSELS).key("token", NOON)
    directory.chmod(0o755)
    with pytest.raises(BadConfig, match="chmod 700"):
        KeyStore(directory, "gent", BRUSSELS)


def test_a_directory_that_cannot_be_is_bad_configuration(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(BadConfig, match="key directory"):
        KeyStore(tmp_path / "file" / "keys", "gent", BRUSSELS)


@pytest.mark.parametrize(
    "content", ["", "{}", "[]", "null", '{"day": "x", "keys": {}}', '{"day": "2026-03-02", "keys": {"token": 1}}']
)
def test_a_damaged_file_is_named_and_left_alone(keys, directory, content):
    path = directory / "gent.keys"
    path.touch(0o600)
    path.write_text(content)
    with pytest.raises(BadConfig, match=r"gent\.keys: damaged") as caught:
        keys.key("token", NOON)
    assert caught.value.__context__ is None
    assert path.read_text() == content


def test_a_store_that_is_away_can_be_tried_again(keys, directory):
    moved = directory.rename(directory.with_name("away"))
    with pytest.raises(StoreUnavailable, match="key store"):
        keys.key("token", NOON)
    moved.rename(directory)
    assert keys.key("token", NOON)


def test_the_broker_key_stays_for_ever(keys, directory):
    key = keys.broker_key()
    keys.rotate(NOON + timedelta(days=500))
    assert KeyStore(directory, "gent", BRUSSELS).broker_key() == key
    assert len(bytes.fromhex(key)) == 32


PROCESS = """
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo
from anpr.keys import KeyStore

keys = KeyStore(Path(sys.argv[1]), "gent", ZoneInfo("Europe/Brussels"))
moment = datetime(2026, 3, 2, 12, tzinfo=UTC)
for day in range(20):
    print(keys.key("token", moment + timedelta(days=day)).hex(), keys.broker_key())
    sys.stdin.readline()
"""


def test_processes_that_rotate_at_once_agree(directory):
    command = [sys.executable, "-c", PROCESS, str(directory)]
    started = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(4)
    ]
    days = []
    for _ in range(20):
        days.append({process.stdout.readline() for process in started})
        for process in started:
            process.stdin.write("\n")
            process.stdin.flush()
    for process in started:
        process.stdin.close()
        process.stdout.close()
        assert process.wait() == 0
    assert [len(day) for day in days] == [1] * 20
    assert len(set.union(*days)) == 20
