"""`citybroker decode`: the lines that it prints, and the plate that it never does."""

import json
import subprocess
import sys

import pytest
from typer.testing import CliRunner

from deploy.cli import app

CLEAN = {f"CITYBROKER_{name}": None for name in ("CONFIG", "SOURCE", "FORMAT", "CAMERA", "TOPIC")}
PLATE = "1XYZ987"
TOPIC = "v3/app@city/devices/dev-1/up"
UPLINK = {
    "end_device_ids": {"device_id": "dev-1", "dev_eui": "02000000000F0001"},
    "uplink_message": {
        "f_port": 2,
        "decoded_payload": {"temperature": 21.5, "humidity": 61},
        "received_at": "2026-11-24T10:00:00.25Z",
    },
}
CAR = {
    "device": "Gate 7",
    "time_msec": "2026-11-24 11:00:00.000",
    "plate": PLATE,
    "plate_color": "White",
    "confidence": "0.91",
    "direction": "Approach",
    "region": "BEL",
    "speed": "31",
}


@pytest.fixture
def run(tmp_path):
    def decoded(payload, *options):
        path = tmp_path / "payload"
        path.write_bytes(payload if isinstance(payload, bytes) else json.dumps(payload).encode())
        found = CliRunner(env=CLEAN).invoke(app, ["decode", *options, str(path)])
        return found.exit_code, found.stdout, found.stderr

    return decoded


def _lines(text):
    return [json.loads(line) for line in text.splitlines()]


def test_an_uplink_is_a_line_for_each_observation(run):
    code, stdout, _ = run(UPLINK, "--format", "tts_v3", "--topic", TOPIC, "--received", "2026-11-24T10:00:01Z")
    assert code == 0
    assert _lines(stdout) == [
        {
            "thing": "02000000000f0001",
            "observedProperty": name,
            "phenomenonTime": "2026-11-24T10:00:00.250000Z",
            "result": result,
            "unit": unit,
        }
        for name, result, unit in [("temperature", 21.5, "Cel"), ("relativeHumidity", 61, "%")]
    ]


def test_standard_input():
    found = subprocess.run(
        [sys.executable, "-m", "deploy.cli", "decode", "--format", "tts_v3", "--topic", TOPIC, "-"],
        input=json.dumps(UPLINK).encode(),
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert (found.returncode, len(found.stdout.splitlines())) == (0, 2)


def test_a_join_is_ignored(run):
    code, stdout, _ = run(
        {"end_device_ids": UPLINK["end_device_ids"], "join_accept": {}},
        *("--format", "tts_v3", "--topic", TOPIC.replace("/up", "/join")),
    )
    (line,) = _lines(stdout)
    assert code == 0
    assert list(line) == ["ignored"]


def test_what_is_refused_says_why_on_standard_error(run):
    code, stdout, stderr = run(b'{"a": ', "--format", "tts_v3", "--topic", TOPIC)
    assert (code, stdout) == (1, "")
    (line,) = _lines(stderr)
    assert line["refused"] == "syntax"
    assert line["detail"]


def test_a_message_from_the_future_is_refused(run):
    code, _, stderr = run(
        UPLINK, "--format", "tts_v3", "--topic", TOPIC, "--received", "2026-11-23T10:00:00+01:00"
    )
    assert code == 1
    assert json.loads(stderr)["refused"] == "time"


def test_a_camera_gives_passages_without_the_plate(run):
    code, stdout, stderr = run(CAR, "--camera", "milesight", "--topic", "anpr/gate-7")
    assert code == 0
    assert _lines(stdout) == [
        {
            "thing": "Gate 7",
            "phenomenonTime": "2026-11-24T10:00:00Z",
            "readStatus": "read",
            "confidence": 0.91,
            "direction": "forward",
            "vehicleClass": "unknown",
            "country": "BE",
            "lane": None,
            "speed": 31.0,
        }
    ]
    assert PLATE not in stdout + stderr


@pytest.mark.parametrize(
    "payload",
    [
        json.dumps(CAR).encode()[:-1],
        json.dumps(CAR | {"time_msec": PLATE}).encode(),
        json.dumps(CAR | {"speed": PLATE, "confidence": PLATE}).encode(),
        json.dumps([CAR, PLATE]).encode(),
        PLATE.encode(),
    ],
)
def test_a_plate_is_never_shown_whatever_is_wrong(run, payload):
    for topic in ("anpr/gate-7", "a"):
        _, stdout, stderr = run(payload, "--camera", "milesight", "--topic", topic)
        assert PLATE not in stdout + stderr


@pytest.fixture
def city(tmp_path):
    path = tmp_path / "city.toml"
    path.write_text(
        '[city]\nid = "gent"\nname = "Gent"\n'
        '[[source]]\nname = "bins"\ntopic = "bins/+/state"\nformat = "json"\nthing = "bin-{1}"\n'
        '[source.options]\ntime = "at"\nfields = [{ path = "t", property = "airTemperature", unit = "Cel" }]\n'
        '[[source]]\nname = "other"\ntopic = "other/+"\nformat = "json"\nmax_bytes = 10\n'
    )
    return str(path)


def test_a_configuration_gives_the_source_of_the_topic_with_its_settings(run, city):
    payload = {"at": "2026-11-24T10:00:00Z", "t": 4}
    code, stdout, _ = run(payload, "--config", city, "--topic", "bins/7/state")
    assert code == 0
    (line,) = _lines(stdout)
    assert (line["thing"], line["observedProperty"], line["result"]) == ("bin-7", "airTemperature", 4)


def test_a_source_by_name_and_its_limits(run, city):
    code, _, stderr = run(b"x" * 11, "--config", city, "--source", "other", "--topic", "other/1")
    assert code == 1
    assert json.loads(stderr)["refused"] == "size"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--format", "tts"], '--format: found "tts", expected one of'),
        (["--camera", "milesigt"], 'did you mean "milesight"?'),
        ([], "--format or --camera"),
        (["--format", "senml", "--camera", "milesight"], "--camera: found a camera beside a format"),
        (["--format", "senml", "--timezone", "Mars"], "--timezone: found"),
        (
            ["--format", "senml", "--received", "yesterday"],
            '--received: found "yesterday", expected a time with a zone',
        ),
        (["--format", "senml", "--received", "2026-11-24T10:00:00"], "expected a time with a zone"),
    ],
)
def test_wrong_options(run, options, words):
    code, stdout, stderr = run(b"[]", "--topic", "a/b", *options)
    assert (code, stdout) == (2, "")
    assert stderr.startswith("citybroker: ")
    assert words in stderr


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--topic", "nowhere"], '"nowhere" is not taken by any source of'),
        (["--topic", "bins/1/state", "--source", "othr"], 'did you mean "other"?'),
        (["--topic", "bins/1/state", "--source", "other"], "is not taken by source other"),
    ],
)
def test_wrong_sources(run, city, options, words):
    code, _, stderr = run(b"[]", "--config", city, *options)
    assert code == 2
    assert words in stderr


def test_a_file_that_is_not_there():
    found = CliRunner(env=CLEAN).invoke(app, ["decode", "--format", "senml", "--topic", "a", "no/such/file"])
    assert found.exit_code == 2
    assert found.stderr == "citybroker: no/such/file: cannot be read: No such file or directory\n"
