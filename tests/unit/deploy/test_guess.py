"""`citybroker guess`: every sample is known again, what means nothing is not, and no value is shown."""

import json
import tomllib
from pathlib import Path

import pytest
from typer.testing import CliRunner

from broker import config, modules
from broker.topics import fault, matches
from deploy import guess as guesses
from deploy.cli import app

SAMPLES = Path(__file__).parents[2] / "samples"
FORMATS, CAMERAS = modules.load("ingest.formats"), modules.load("anpr.cameras")
CLEAN = {f"CITYBROKER_{name}": None for name in ("TOPIC", "JSON", "CONTENT_TYPE")}


def cases():
    for name in sorted({*FORMATS, *CAMERAS} - guesses.CONFIGURED):
        for path in sorted((SAMPLES / name).glob("*.expected.json")):
            told = json.loads(path.read_text())
            payload = next(
                one for one in path.parent.glob(path.name.replace(".expected.json", ".*")) if one != path
            )
            if name in {"plain", "weewx"} and "ignored" in told["expected"]:
                continue  # a single value that is none tells nothing
            plainly = not told.get("state") and not told.get("source", {}).get("options")
            if plainly and "refused" not in told["expected"] and not told.get("retained"):
                yield pytest.param(name, payload, told, id=f"{name}-{payload.stem}")


@pytest.mark.parametrize(("name", "payload", "told"), list(cases()))
def test_every_sample_is_known_again(name, payload, told):
    found = guesses.guess(payload.read_bytes(), told["topic"], told.get("content_type"))
    names = [one.name for one in found]
    if name != "plain":  # a single value may always be plain's as well
        names = [one for one in names if one != "plain"]
    assert names[:1] == [name]
    pushed = told["topic"].startswith("in/") and told["topic"].count("/") == 1
    assert matches(found[0].topic, told["topic"] + ("/x" if pushed else ""))


@pytest.mark.parametrize("name", sorted({*FORMATS, *CAMERAS}))
def test_usual_topics_are_topic_filters(name):
    module = {**FORMATS, **CAMERAS}[name]
    for topic in getattr(module, "TOPICS", ()):
        assert fault(topic) is None
        assert set(topic.split("/")) - {"+", "#"}


@pytest.mark.parametrize("topic", [None, "a/b", "in/x/y"])
@pytest.mark.parametrize("payload", [*guesses.MEANINGLESS, b"", b'{"a": 1}', b"\0\xff\xfe", b"[1, 2]", b"<a/>"])
def test_what_means_nothing_is_nobodys(payload, topic):
    assert guesses.guess(payload, topic) == []


def run(payload: bytes, *options: str, folder: Path):
    (folder / "message").write_bytes(payload)
    return CliRunner(env=CLEAN).invoke(app, ["guess", *options, str(folder / "message")])


def sample(name: str) -> bytes:
    return (SAMPLES / name).read_bytes()


def test_what_is_printed_goes_into_a_city(tmp_path):
    payload = sample("tts_v3/uplink.json") if (SAMPLES / "tts_v3/uplink.json").exists() else uplink()
    found = run(payload, "--topic", "v3/app@city/devices/dev-1/up", folder=tmp_path)
    assert found.exit_code == 0
    (source,) = tomllib.loads(found.stdout)["source"]
    assert source == {"name": "tts-v3", "topic": "v3/+/devices/+/up", "format": "tts_v3"}
    assert found.stdout.startswith("# tts_v3 (format): observations: ")
    config.read('[city]\nid = "c"\nname = "C"\n' + found.stdout, "city.toml")


def uplink() -> bytes:
    return json.dumps(
        {
            "end_device_ids": {"device_id": "dev-1", "dev_eui": "02000000000F0001"},
            "uplink_message": {"f_port": 2, "decoded_payload": {"temperature": 21.5, "humidity": 61}},
        }
    ).encode()


def test_without_a_topic_the_usual_one_is_written(tmp_path):
    (row,) = [json.loads(line) for line in run(uplink(), "--json", folder=tmp_path).stdout.splitlines()]
    assert row["format"] == "tts_v3"
    assert (row["observations"], row["known"], row["properties"]) == (2, 2, ["relativeHumidity", "temperature"])
    assert (row["identity"], row["time"], row["usual"], row["topic"]) == (True, False, False, "v3/+/devices/+/up")


def test_of_a_topic_of_ones_own_the_level_that_names_the_thing_becomes_a_wildcard(tmp_path):
    found = run(uplink(), "--topic", "city/water/02000000000f0001/up", folder=tmp_path)
    assert 'topic = "city/water/+/up"' in found.stdout


def test_a_camera_comes_first_and_nothing_of_the_message_is_shown(tmp_path):
    found = run(sample("milesight/full.json"), folder=tmp_path)
    assert found.exit_code == 0
    (source,) = tomllib.loads(found.stdout)["source"]
    assert source == {"name": "milesight", "topic": "milesight/+", "camera": "milesight"}
    assert json.loads(sample("milesight/full.json"))["plate"] not in found.stdout


def test_nobody_takes_it(tmp_path):
    found = run(b'{"a": 1}', folder=tmp_path)
    assert (found.exit_code, found.stdout) == (1, "")
    assert found.stderr.startswith("citybroker: no format and no camera accepts this message")
    assert run(b"", folder=tmp_path).exit_code == 1


def test_what_is_plausible_tells_two_formats_apart_that_take_anything():
    message = b'{"battery": 91, "humidity": 61.42, "linkquality": 87, "temperature": 18.66, "voltage": 2985}'
    found = guesses.guess(message)
    assert found[0].name == "zigbee2mqtt"
    assert not found[0].telling
    assert "but it takes nearly anything" in guesses.tell(found[0])
