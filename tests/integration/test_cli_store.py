"""Commands that look into the database and repair it: rejects, things, status, migrate."""

import json
from datetime import UTC, datetime, timedelta
from functools import partial

import pytest
from typer.testing import CliRunner

from broker.readiness import Readiness
from broker.store import batches, rejects, things
from broker.store.database import Database
from broker.store.rejects import Reject
from broker.store.things import Sighting
from deploy import health
from deploy.cli import app
from deploy.data import write_run

RECEIVED = datetime(2026, 11, 24, 10, 0, tzinfo=UTC)
CITY = """
[city]
id = "gent"
name = "Gent"
[[source]]
name = "air"
topic = "air/+"
format = "senml"
"""
CLEAN = {f"CITYBROKER_{name}": None for name in ("CONFIG", "JSON", "DATA", "MQTT_URL", "DATABASE_URL", "KEYS")}


@pytest.fixture
def invoke(tmp_path):
    """Run a command on the database of an URL; nothing runs on its --data."""

    def command(url, *arguments):
        environment = CLEAN | {"CITYBROKER_DATABASE_URL": url, "CITYBROKER_DATA": str(tmp_path)}
        found = CliRunner(env=environment).invoke(app, list(arguments))
        return found.exit_code, found.stdout, found.stderr

    return command


@pytest.fixture
def run(database, invoke):
    """Run a command on the test's database, under the login of ingest."""
    return partial(invoke, database.ingest)


@pytest.fixture
def refused(database):
    """Two rejects: 1 of a sensor, whose payload is now understood, and 2 of a camera."""
    sensor = Reject("air", "air/7", "syntax", "why", RECEIVED, False, 30, b'[{"n":"temp","u":"Cel","v":4}]')
    camera = Reject("gate", "anpr/1", "syntax", "why", RECEIVED, False, 99, None, {"direction": "text"})
    store = Database(database.ingest)
    with store.transaction() as connection:
        rejects.add(connection, [sensor, camera], batches.number(connection))
    store.close()


@pytest.fixture
def city(tmp_path):
    path = tmp_path / "city.toml"
    path.write_text(CITY)
    return str(path)


def _lines(text):
    return [json.loads(line) for line in text.splitlines()]


def test_rejects_are_listed_newest_first(run, refused):
    code, stdout, _ = run("rejects", "list", "--json")
    camera, sensor = _lines(stdout)
    assert code == 0
    assert (camera["id"], camera["topic"], camera["replayable"]) == (2, "anpr/1", False)
    assert (sensor["received"], sensor["reason"], sensor["replayable"]) == ("2026-11-24T10:00:00Z", "syntax", True)
    assert len(_lines(run("rejects", "list", "--json", "--limit", "1")[1])) == 1


def test_rejects_for_a_pipe_are_lines_with_tabs(run, refused):
    rows = [line.split("\t") for line in run("rejects", "list")[1].splitlines()]
    assert rows[0] == ["id", "received", "source", "topic", "reason", "detail", "bytes", "replay"]
    assert rows[1] == ["2", "2026-11-24T10:00:00Z", "gate", "anpr/1", "syntax", "why", "99", "no: camera"]
    assert rows[2][-1] == "possible"


def test_a_reject_is_shown_with_its_payload(run, refused):
    (line,) = _lines(run("rejects", "show", "1")[1])
    assert line["payload"] == '[{"n":"temp","u":"Cel","v":4}]'
    assert run("rejects", "show", "1", "--payload")[1] == line["payload"]


def test_of_a_camera_only_names_and_types_are_shown(run, refused):
    (line,) = _lines(run("rejects", "show", "2")[1])
    assert line["fields"] == {"direction": "text"}
    assert "payload" not in line
    code, stdout, stderr = run("rejects", "show", "2", "--payload")
    assert (code, stdout) == (2, "")
    assert "its payload was not kept" in stderr


def test_a_reject_that_is_not_there(run):
    code, _, stderr = run("rejects", "show", "17")
    assert code == 2
    assert stderr == "citybroker: there is no reject 17: see `citybroker rejects list`\n"


def test_replay_stores_with_the_original_receive_time(run, refused, city, database):
    code, stdout, _ = run("rejects", "replay", "--config", city, "--json")
    assert code == 0
    assert json.loads(stdout) == {"stored": 1, "duplicate": 0, "ignored": {}, "rejected": {}}
    store = Database(database.ingest)
    with store.transaction() as connection:
        times = connection.execute("select phenomenon_start from observation").fetchall()
    store.close()
    assert times == [(RECEIVED,)]
    assert run("rejects", "list")[1].splitlines()[2].endswith("\tdone")
    assert run("rejects", "replay", "--config", city)[1].startswith("stored 0, ")


def test_a_camera_is_not_replayed(run, refused, city):
    code, _, stderr = run("rejects", "replay", "2", "--config", city)
    assert code == 2
    assert "it cannot be replayed" in stderr


def test_an_import_makes_things_and_repeats_without_a_trace(run, tmp_path, database):
    register = tmp_path / "things.csv"
    register.write_text("identity,name,kind,lon,lat,owner\na,Air,sensor,3.72,51.05,city\nb,,,,,\n")
    for _ in range(2):
        assert run("things", "import", str(register), "--json") == (0, '{"things":2,"placed":1}\n', "")
    a, b = _lines(run("things", "list", "--json")[1])
    assert (a["identity"], a["name"], a["properties"]) == ("a", "Air", {"owner": "city"})
    assert a["location"] == {"type": "Point", "coordinates": [3.72, 51.05]}
    assert (b["identity"], b["name"], b["location"]) == ("b", "b", None)
    store = Database(database.ingest)
    with store.transaction() as connection:
        assert connection.execute("select count(*) from historical_location").fetchone() == (1,)
    store.close()


def test_a_wrong_register_changes_nothing(run, tmp_path):
    register = tmp_path / "things.csv"
    register.write_text("identity,lon,lat\na,3.72,51.05\nb,3.72,151\n")
    code, _, stderr = run("things", "import", str(register))
    assert code == 2
    assert stderr == f'citybroker: {register}:3: column "lat": found "151", expected degrees from -90 to 90\n'
    assert run("things", "list", "--json")[1] == ""


def test_things_for_a_pipe(run, tmp_path):
    register = tmp_path / "things.geojson"
    line = {"type": "LineString", "coordinates": [[3, 51], [4, 51]]}
    features = [
        {"type": "Feature", "id": "a", "properties": {}, "geometry": {"type": "Point", "coordinates": [3, 51]}},
        {"type": "Feature", "id": "b", "properties": {"kind": "section"}, "geometry": line},
        {"type": "Feature", "id": "c", "properties": {}, "geometry": None},
    ]
    register.write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    assert run("things", "import", str(register))[1] == f"{register}: things: 3, with a place: 2\n"
    rows = [row.split("\t") for row in run("things", "list")[1].splitlines()]
    assert [(row[0], row[2], row[4]) for row in rows[1:]] == [
        ("a", "sensor", "3.00000 51.00000"), ("b", "section", "LineString"), ("c", "sensor", "-"),
    ]  # fmt: skip


def test_counters_add_up(run, refused, city):
    code, stdout, _ = run("status", "--counters", "--json")
    found = json.loads(stdout)
    assert code == 0
    assert found["adds_up"] is True
    assert (found["received"], found["stored"], found["ignored"], found["rejected"]) == (0, 0, {}, {})


def test_counters_that_do_not_add_up_are_exit_code_1(run, database):
    store = Database(database.ingest)
    with store.transaction() as connection:
        connection.execute(
            """insert into batch (process, received, stored, duplicate, ignored, rejected)
               values ('p', 9, 3, 1, '{"join": 2}', '{"time": 1, "syntax": 1}')"""
        )
    store.close()
    code, stdout, _ = run("status", "--counters")
    assert code == 1
    words = [line.split() for line in stdout.splitlines()]
    for wanted in (["received", "9"], ["ignored", "2"], ["join", "2"], ["rejected", "2"], ["adds", "up", "no"]):
        assert wanted in words


@pytest.fixture
def instance(database, nats, city, tmp_path):
    """What `up` writes about itself, about this test's database and MQTT broker."""
    data = tmp_path / "data"
    data.mkdir()
    with health.endpoint(0, Readiness(publishers="not yet")) as port:
        run = {
            "pid": 1,
            "config": city,
            "keys": str(tmp_path / "keys"),
            "http_url": "http://127.0.0.1:8080",
            "device_url": f"mqtt://{nats.host}:{nats.port}",
            "database": {"owner": database.owner, "ingest": database.ingest},
            "metrics": {"up": port},
        }
        write_run(data, run)
        yield lambda *arguments: CliRunner(env=CLEAN).invoke(app, [*arguments, "--data", str(data)])


def test_commands_find_a_running_instance(instance, refused):
    assert len(instance("rejects", "list").stdout.splitlines()) == 3
    assert instance("things", "list").exit_code == 0
    assert "adds up                      yes" in instance("status", "--counters").stdout
    assert instance("migrate").exit_code == 0
    assert instance("rejects", "replay").stdout.startswith("stored 1, ")


def test_status_says_what_is_not_ready(instance):
    found = instance("status", "--json")
    assert found.exit_code == 1
    assert json.loads(found.stdout)["missing"] == {"publishers": "not yet"}


def test_simulate_publishes_to_the_instance(instance):
    found = instance("simulate", "--count", "20", "--json")
    assert found.exit_code == 0
    assert json.loads(found.stdout)["acknowledged"] == 20
    assert instance("simulate", "--count", "5").stdout.startswith("acknowledged 5 of 5 in ")


def test_migrate_says_what_it_did(invoke, empty_database):
    code, stdout, _ = invoke(empty_database.owner, "migrate", "--json")
    assert code == 0
    assert "0001_model" in " ".join(json.loads(stdout)["applied"])
    assert invoke(empty_database.owner, "migrate")[1] == "nothing to do: the schema is this version's\n"


def test_an_older_database_names_the_command(invoke, empty_database):
    code, _, stderr = invoke(empty_database.owner, "things", "list")
    assert code == 2
    assert "citybroker migrate" in stderr


def test_a_database_that_is_away_is_one_line_and_exit_code_1(invoke, tmp_path):
    code, stdout, stderr = invoke(f"host={tmp_path} connect_timeout=1", "things", "list")
    assert (code, stdout) == (1, "")
    assert len(stderr.splitlines()) == 1
    assert stderr.startswith("citybroker: ")
    assert "No such file or directory" in stderr


def test_things_tell_when_and_how_often_they_were_heard_of(run, tmp_path, database):
    register = tmp_path / "things.csv"
    register.write_text("identity\nquiet\n")
    run("things", "import", str(register))
    store = Database(database.ingest)
    now = datetime.now(UTC)
    with store.transaction() as connection:
        numbers = things.number(connection, ["busy", "old", "once"], "sensor", "air")
        for minute in range(120, 0, -1):
            moment = now - timedelta(minutes=minute)
            things.see(connection, {numbers["busy"]: Sighting(moment, 1, {"rssi": -90 - minute % 2, "snr": 7})})
        things.see(connection, {numbers["old"]: Sighting(now - timedelta(hours=3), 5, {"battery": 80})})
        things.see(connection, {numbers["once"]: Sighting(now, 1, {})})
    store.close()
    found = {row["identity"]: row for row in _lines(run("things", "list", "--json")[1])}
    assert found["busy"]["messages_per_hour"] == pytest.approx(60, rel=0.03)
    assert (found["busy"]["signal"], found["once"]["messages_per_hour"]) == ({"rssi": -91, "snr": 7}, None)
    assert [one["registered"] is None for one in found.values()] == [True, True, True, False]
    for silent in ("1h", "60m", "PT1H", "3600s"):
        rows = _lines(run("things", "list", "--silent", silent, "--json")[1])
        assert [row["identity"] for row in rows] == ["old", "quiet"]
    assert run("things", "list", "--silent", "1d", "--json")[1].count("\n") == 1
    table = {row.split("\t")[0]: row.split("\t")[7:] for row in run("things", "list")[1].splitlines()}
    assert table["busy"][1:] == ["-", "rssi -91, snr 7"]
    assert table["old"][1:] == ["80", "battery 80"]
    assert table["quiet"] == ["-", "-", "-"]


def test_a_length_of_time_is_told(run):
    code, _, stderr = run("things", "list", "--silent", "soon")
    assert (code, stderr) == (
        2,
        'citybroker: --silent: found "soon", expected a length of time such as 30m, 1h, 2d or PT90M\n',
    )
