"""`citybroker decode --explain`: each field, what it becomes, and why; never a plate."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from broker import modules
from deploy.cli import app
from deploy.explain import MOST

SAMPLES = Path(__file__).parents[2] / "samples"
CLEAN = {f"CITYBROKER_{name}": None for name in ("CONFIG", "SOURCE", "FORMAT", "CAMERA", "TOPIC", "EXPLAIN")}
TOPIC = "v3/app@city/devices/dev-1/up"
UPLINK = {
    "end_device_ids": {"device_id": "dev-1", "dev_eui": "02000000000F0001"},
    "uplink_message": {
        "f_port": 2,
        "decoded_payload": {
            "temp_f": 70.7,
            "humidity": "45%",
            "co2": 50_000,
            "mode": "eco",
            "pm10": None,
            "lux": "-",
        },
        "rx_metadata": [{"rssi": -90, "snr": 7, "gateway_ids": {"gateway_id": "roof"}}],
        "received_at": "2026-11-24T10:00:00.25Z",
    },
}


@pytest.fixture
def explained(tmp_path):
    """Run it; exit code, and {field: what was found, becomes, why} of the lines."""

    def run(payload, *options):
        path = tmp_path / "payload"
        path.write_bytes(payload if isinstance(payload, bytes) else json.dumps(payload).encode())
        found = CliRunner(env=CLEAN).invoke(app, ["decode", "--explain", *options, str(path)])
        lines = [line.split("\t") for line in found.stdout.splitlines()]
        assert lines[0] == ["field", "found", "becomes", "why"]
        return found.exit_code, {line[0]: line[1:] for line in lines[1:]}

    return run


def test_every_field_of_an_uplink(explained):
    code, lines = explained(UPLINK, "--format", "tts_v3", "--topic", TOPIC)
    assert code == 0
    assert lines["(thing)"] == ["02000000000f0001", "02000000000f0001", "the message names it"]
    assert lines["temp_f"][:2] == ["70.7", "temperature = 21.5 Cel"]
    assert "converted to Cel: × 0.555556 - 17.7778" in lines["temp_f"][2]
    assert lines["humidity"] == ["45%", "relativeHumidity = 45 %", "the vocabulary's relativeHumidity"]
    assert lines["co2"][1:] == ["co2 = 50000 [ppm]", "taken for [ppm]; flagged range: plausible is 250 to 10000"]
    assert lines["mode"][1:] == ["mode = eco", "not in the vocabulary: kept under its own name"]
    assert lines["pm10"] == ["", "", "skipped: null"]
    assert lines["lux"] == ["-", "", "skipped: unavailable"]
    assert lines["rssi"] == ["-90", "", "radio signal: kept on the thing, no observation"]
    assert lines["uplink_message.received_at"][1:] == [
        "time = 2026-11-24T10:00:00.250000+00:00",
        "the time of values",
    ]
    assert lines["uplink_message.f_port"] == ["number", "", "not taken: the format does not look for it"]
    gateway = lines["uplink_message.rx_metadata.0.gateway_ids.gateway_id"]
    assert gateway == ["text", "", "not taken: names something; not a measurement"]


def test_what_is_missing_is_said(explained):
    body = {"pairs": [{"t": 1}, {"t": 2}], "t": 3}
    code, lines = explained(body, "--format", "json", "--topic", "bins/7")
    assert code == 0
    assert lines["(thing)"][1:] == ["7", "the topic"]
    assert "flagged received: no time of its own: the receive time" in lines["t"][2]


def test_a_whole_message_that_is_ignored_or_refused(explained):
    join = {"end_device_ids": UPLINK["end_device_ids"], "join_accept": {}}
    code, lines = explained(join, "--format", "tts_v3", "--topic", TOPIC)
    assert (code, lines["(message)"][2]) == (0, "ignored: join accept")
    code, lines = explained(b"{", "--format", "tts_v3", "--topic", TOPIC)
    assert (code, lines["(message)"][2].startswith("refused, syntax: ")) == (1, True)
    old = json.loads(json.dumps(UPLINK).replace("2026-", "1986-"))
    code, lines = explained(old, "--format", "tts_v3", "--topic", TOPIC)
    assert (code, lines["(message)"][2].startswith("refused, time: ")) == (1, True)


def test_of_a_camera_names_and_types_but_no_plate(explained, capsys):
    payload = (SAMPLES / "milesight" / "full.json").read_bytes()
    code, lines = explained(payload, "--camera", "milesight", "--topic", "anpr/gate-7")
    plate = json.loads(payload)["plate"]
    assert (code, lines["plate"]) == (0, ["text", "", "one of the fields that are read"])
    assert plate not in str(lines)
    code, lines = explained(payload[:-5], "--camera", "milesight", "--topic", "anpr/gate-7")
    assert (code, plate in str(lines)) == (1, False)


def test_many_fields_that_nobody_took_are_counted(explained):
    body = UPLINK | {"correlation_ids": [f"gs:{n}" for n in range(2 * MOST)]}
    _, lines = explained(body, "--format", "tts_v3", "--topic", TOPIC)
    assert lines["(more)"][2].startswith("not taken: ")
    assert len(lines) < MOST + 30


DECODERS = [
    *(("--format", name) for name in modules.load("ingest.formats")),
    *(
        ("--camera", name) for name in modules.load("anpr.cameras") if name not in {"json", "xml"}
    ),  # need a city.toml
]


@pytest.mark.parametrize(("kind", "name"), DECODERS)
def test_every_sample_is_explained(explained, kind, name):
    for path in sorted((SAMPLES / name).glob("*.expected.json")):
        told = json.loads(path.read_text())
        if told.get("source", {}).get("options"):
            continue
        payload = next(one for one in path.parent.glob(path.name.replace(".expected.json", ".*")) if one != path)
        code, lines = explained(
            payload.read_bytes(), kind, name, "--topic", told["topic"], "--received", "2026-11-24T12:00:00Z"
        )
        assert lines
        assert code in {0, 1}
