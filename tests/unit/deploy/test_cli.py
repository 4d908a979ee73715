"""The command line as a whole: help, options in the environment, errors in one line."""

import json
import os
import subprocess
import sys

import pytest
from typer.main import get_command
from typer.testing import CliRunner

from deploy.cli import app, flow

COMMANDS = [
    "up",
    "demo",
    "ingest",
    "publish",
    "serve",
    "door",
    "check",
    "guess",
    "decode",
    "simulate",
    "migrate",
    "status",
]
GROUPS = {"rejects": ["list", "show", "replay"], "things": ["list", "import"]}
PATHS = [[name] for name in COMMANDS] + [[group, name] for group, names in GROUPS.items() for name in names]
CLEAN = {f"CITYBROKER_{name}": None for name in ("CONFIG", "JSON", "DATA", "MQTT_URL", "DATABASE_URL")}
CITY = '[city]\nid = "gent"\nname = "Gent"\n'


def citybroker(*arguments, **environment):
    """Run it as a user does, with nothing of CITYBROKER_… around."""
    clean = {key: value for key, value in os.environ.items() if not key.startswith("CITYBROKER_")}
    return subprocess.run(
        [sys.executable, "-m", "deploy.cli", *arguments],
        env=clean | environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def invoke(*arguments, **environment):
    return CliRunner(env=CLEAN | environment).invoke(app, list(arguments))


def _commands(command, path=()):
    """Walk to all commands below this one."""
    children = getattr(command, "commands", {})
    return [found for name, child in children.items() for found in _commands(child, (*path, name))] or [
        (path, command)
    ]


def test_all_commands_are_there():
    assert sorted(path for path, _ in _commands(get_command(app))) == sorted(map(tuple, PATHS))


@pytest.mark.parametrize("path", PATHS, ids=" ".join)
def test_help_teaches_by_examples(path):
    found = invoke(*path, "--help")
    assert found.exit_code == 0
    assert "Try:" in found.stdout
    assert f"citybroker {' '.join(path)}" in found.stdout


@pytest.mark.parametrize("group", GROUPS)
def test_a_group_alone_shows_its_commands(group):
    found = invoke(group)
    assert found.exit_code == 2
    for name in GROUPS[group]:
        assert name in found.output


def test_every_option_is_also_a_variable():
    options = [
        (path, parameter)
        for path, command in _commands(get_command(app))
        for parameter in command.params
        if parameter.param_type_name == "option" and parameter.name != "help"
    ]
    assert len(options) > 40
    for path, parameter in options:
        (flag,) = parameter.opts
        wanted = "CITYBROKER_" + flag.removeprefix("--").upper().replace("-", "_")
        assert parameter.envvar == wanted, (path, flag)


@pytest.mark.parametrize("command", ["up", "demo"])
def test_up_and_demo_have_the_agreed_options(command):
    text = get_command(app).commands[command].params
    flags = {flag for parameter in text for flag in parameter.opts}
    assert {"--data", "--host", "--http-port", "--mqtt-port", "--config"} <= flags


@pytest.mark.parametrize(
    ("command", "flags"),
    [
        ("ingest", {"--mqtt-url", "--database-url", "--config", "--metrics-port"}),
        ("publish", {"--database-url", "--config", "--metrics-port"}),
        ("serve", {"--database-url", "--config", "--metrics-port", "--host", "--http-port"}),
    ],
)
def test_roles_have_the_agreed_options(command, flags):
    found = {flag for parameter in get_command(app).commands[command].params for flag in parameter.opts}
    assert flags <= found


def test_version():
    found = citybroker("--version")
    assert (found.returncode, found.stderr) == (0, "")
    assert found.stdout.startswith("citybroker ")


def test_help_loads_nothing_of_what_the_commands_run():
    code = (
        "import sys, deploy.cli\n"
        "heavy = {'pydantic', 'psycopg', 'fastapi', 'paho', 'lxml', 'uvicorn', 'pyoxigraph', 'structlog'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout == "[]\n"


def test_shells_complete_commands():
    found = citybroker(
        _CITYBROKER_COMPLETE="complete_bash", COMP_WORDS="citybroker re", COMP_CWORD="1", SHELL="bash"
    )
    assert found.stdout.split() == ["rejects"]


def test_a_bad_configuration_is_lines_on_standard_error_and_exit_code_2(tmp_path):
    path = tmp_path / "city.toml"
    path.write_text(CITY + "x = 1\n[y]\n")
    for command in (["check", str(path)], ["up", "--config", str(path)]):
        found = citybroker(*command)
        assert (found.returncode, found.stdout) == (2, "")
        lines = found.stderr.splitlines()
        assert [line.split(": found")[0] for line in lines] == [
            f"citybroker: {path}:4: city.x",
            f"citybroker: {path}:5: y",
        ]


@pytest.mark.parametrize("command", ["up", "demo", "ingest", "publish", "serve"])
def test_a_configuration_that_is_not_there(tmp_path, command):
    found = invoke(command, CITYBROKER_CONFIG=str(tmp_path / "none.toml"))
    assert found.exit_code == 2
    assert found.stderr == f"citybroker: {tmp_path / 'none.toml'}: cannot be read: No such file or directory\n"


@pytest.mark.parametrize(
    ("command", "flag"),
    [("ingest", "--mqtt-url"), ("door", "--mqtt-url"), ("publish", "--database-url"), ("serve", "--database-url")],
)
def test_a_role_says_which_address_is_missing(tmp_path, command, flag):
    path = tmp_path / "city.toml"
    path.write_text(CITY)
    found = invoke(command, "--config", str(path))
    assert found.exit_code == 2
    assert found.stderr.startswith(f"citybroker: {flag}: found nothing, expected ")
    assert len(found.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    "command",
    [["rejects", "list"], ["rejects", "show", "1"], ["things", "list"], ["status"], ["simulate"], ["migrate"]],
)
def test_without_an_instance_the_error_says_what_to_do(tmp_path, command):
    found = invoke(*command, "--data", str(tmp_path))
    assert found.exit_code == 2
    assert found.stderr.startswith(f"citybroker: nothing runs on {tmp_path}: start `citybroker up`")


def test_an_option_can_stand_in_the_environment(tmp_path):
    path = tmp_path / "city.toml"
    path.write_text(CITY)
    found = invoke("check", CITYBROKER_CONFIG=str(path), CITYBROKER_JSON="1")
    assert json.loads(found.stdout)["valid"] is True


def test_an_unknown_option_or_command_is_exit_code_2():
    assert invoke("up", "--prot", "1").exit_code == 2
    assert invoke("chekc").exit_code == 2
    assert invoke("up", "--http-port", "70000").exit_code == 2


def test_a_broker_that_is_away_is_one_line_and_exit_code_1(free_port):
    url = f"mqtt://127.0.0.1:{free_port()}"
    found = invoke("simulate", "--count", "1", "--mqtt-url", url, "--patience", "0")
    assert (found.exit_code, found.stdout) == (1, "")
    assert found.stderr.startswith("citybroker: the MQTT broker cannot be reached: ")


def test_simulate_names_the_formats():
    found = invoke("simulate", "--formats", "tts_v3,snml")
    assert found.exit_code == 2
    assert '--formats: found "snml"' in found.stderr
    assert 'did you mean "senml"?' in found.stderr


def test_paragraphs_flow_and_examples_stay():
    text = """One.

    Two
    three.

    Try:
      a b
      c [d]
    """
    assert flow(text) == "One.\n\nTwo three.\n\nTry:\n  a b\n  c \\[d]"
