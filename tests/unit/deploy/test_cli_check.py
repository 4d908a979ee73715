"""`citybroker check`: what only the plug-ins know, warnings, JSON."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

import deploy
from broker.errors import BadConfig
from deploy.check import check
from deploy.cli import app

CITY = '[city]\nid = "gent"\nname = "Gent"\n'


@pytest.fixture
def run(tmp_path):
    path = tmp_path / "city.toml"

    def checked(text, *options):
        path.write_text(text)
        found = CliRunner().invoke(app, ["check", str(path), *options])
        return found.exit_code, found.stdout, found.stderr.replace(str(path), "city.toml")

    return checked


def source(**keys):
    keys = {"name": "s", "topic": "a/+"} | keys
    return "[[source]]\n" + "".join(f"{key} = {json.dumps(value)}\n" for key, value in keys.items())


def test_a_right_one_says_so(run):
    code, stdout, stderr = run(CITY + source(format="tts_v3"))
    assert (code, stderr) == (0, "")
    assert "right: Gent, sources: 1, feeds: 0" in stdout


def test_the_example_is_right():
    path = Path(deploy.__file__).with_name("city.example.toml")
    assert len(check(path).source) == 5
    found = CliRunner().invoke(app, ["check", str(path)])
    assert (found.exit_code, found.stderr) == (0, "")


@pytest.mark.parametrize(
    ("keys", "line"),
    [
        ({"format": "tts_v33"}, 'city.toml:7: source[0].format: found "tts_v33", expected one of '),
        ({"camera": "milesigth"}, 'city.toml:7: source[0].camera: found "milesigth", expected one of '),
        ({"camera": "tts_v3"}, 'city.toml:7: source[0].camera: found "tts_v3", expected one of '),
    ],
)
def test_a_decoder_that_does_not_exist(run, keys, line):
    code, stdout, stderr = run(CITY + source(**keys))
    assert (code, stdout) == (2, "")
    assert stderr.startswith(f"citybroker: {line}")


def test_the_nearest_decoder_is_named(run):
    assert 'did you mean "milesight"?' in run(CITY + source(camera="milesigth"))[2]


def test_options_of_a_format_without_any(run):
    code, _, stderr = run(CITY + source(camera="milesight") + "[source.options]\nx = 1\n")
    assert code == 2
    assert stderr.startswith("citybroker: city.toml:8: source[0].options: found options, expected none")


def test_options_are_checked_by_the_format(run):
    text = '[source.options]\nfields = [\n{ path = "a", pth = "x" },\n{ path = "[" },\n]\n'
    code, _, stderr = run(CITY + source(format="json") + text)
    assert code == 2
    unknown, path = stderr.splitlines()
    assert 'city.toml:10: source[0].options.fields[0].pth: found an unknown key "pth"' in unknown
    assert 'did you mean "path"?' in unknown
    assert 'city.toml:11: source[0].options.fields[1].path: found "[", expected' in path


def test_a_field_that_is_a_number_plate(run):
    text = '[source.options]\nfields = [{ path = "data[*].plate", property = "x" }]\n'
    code, _, stderr = run(CITY + source(format="json") + text)
    assert code == 2
    assert 'fields[0].path: found "data[*].plate", expected no number plate' in stderr


def test_problems_of_the_plug_ins_come_with_the_others(run):
    _, _, stderr = run('[city]\nid = 1\nname = "x"\n' + source(format="nope"))
    assert [line.split(":")[2] for line in stderr.splitlines()] == ["2", "7"]


def test_warnings_do_not_count(run):
    text = CITY + source(format="tts_v3", topic="zigbee/my lamp")
    text += '[[feed]]\nid = "f"\ntitle = "F"\nproperty = ["airTemprature", "*", "airTemperature"]\n'
    code, stdout, stderr = run(text)
    assert code == 0
    assert "right" in stdout
    blank, unknown = stderr.splitlines()
    assert blank.startswith('warning: city.toml:6: source[0].topic: "zigbee/my lamp" has a blank')
    assert "NATS" in blank
    assert unknown.startswith(
        'warning: city.toml:11: feed[0].property[0]: "airTemprature" is not in the vocabulary'
    )
    assert 'did you mean "airTemperature"?' in unknown


def test_settings_of_the_push_door_on_another_topic_are_odd(run):
    door = {"identity": "header:X-Sensor", "part": "path", "rate": 5}
    assert run(CITY + source(format="tts_v3", **door | {"topic": "in/s/#"}))[2] == ""
    lines = run(CITY + source(format="tts_v3", **door))[2].splitlines()
    assert [line.split(": ")[2] for line in lines] == [f"source[0].{key}" for key in door]
    assert all(line.endswith('is for the push door, which has the topic "in/s/+"') for line in lines)


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("allow", False, 'true for all things, "registry", or a list'),
        ("allow", "all", "registry"),
        ("allow", [], "a list"),
        ("identity", "X-Sensor", "header:X-Sensor"),
        ("part", "cookie:a", "query:id"),
        ("rate", 0, "more than 0"),
    ],
)
def test_who_is_taken_and_what_names_it(run, key, value, words):
    code, _, stderr = run(CITY + source(format="tts_v3", **{key: value}))
    assert code == 2
    assert words in stderr


def test_json(run):
    code, stdout, stderr = run(CITY + source(format="nope", topic="a b"), "--json")
    assert (code, stderr) == (2, "")
    found = json.loads(stdout)
    assert found["valid"] is False
    assert [(one["line"], one["key"]) for one in found["problems"]] == [(7, "source[0].format")]
    assert [(one["line"], one["key"]) for one in found["warnings"]] == [(6, "source[0].topic")]


def test_json_of_a_right_one(run):
    code, stdout, _ = run(CITY, "--json")
    assert code == 0
    assert json.loads(stdout) == {"valid": True, "problems": [], "warnings": []}


def test_check_raises_all_at_once(tmp_path):
    path = tmp_path / "city.toml"
    path.write_text("[city]\n" + source(format="nope"))
    with pytest.raises(BadConfig) as caught:
        check(path)
    assert len(str(caught.value).splitlines()) == 3
