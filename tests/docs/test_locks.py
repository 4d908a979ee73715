"""The locks hold every dependency of pyproject.toml, with hashes, and name no registry and no machine."""

import json
import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
RUNTIME = [*PROJECT["project"]["dependencies"], *PROJECT["dependency-groups"]["build"]]
WANTED = {
    "requirements.txt": RUNTIME,
    "requirements-dev.txt": [*RUNTIME, *PROJECT["dependency-groups"]["dev"]],
}
LOCKS = [*WANTED, "tests/node/package-lock.json"]


def pins(lock: str) -> dict[str, str]:
    found = re.findall(r"^([\w.-]+)==(\S+)", (ROOT / lock).read_text(), re.MULTILINE)
    return {canonicalize_name(name): version for name, version in found}


@pytest.mark.parametrize("lock", WANTED)
def test_a_lock_satisfies_pyproject(lock):
    locked = pins(lock)
    wanted = [Requirement(line) for line in WANTED[lock]]
    missing = [
        str(requirement)
        for requirement in wanted
        if not requirement.specifier.contains(locked.get(canonicalize_name(requirement.name), "0"))
        or canonicalize_name(requirement.name) not in locked
    ]
    assert not missing, f"run `make lock`: {lock} lacks {missing}"


def test_what_runs_is_what_is_tested():
    development = pins("requirements-dev.txt")
    assert {name: development.get(name) for name in pins("requirements.txt")} == pins("requirements.txt")


@pytest.mark.parametrize("lock", WANTED)
def test_every_pin_has_a_hash(lock):
    entries = re.split(r"\n(?=[\w.-]+==)", (ROOT / lock).read_text())[1:]
    assert [entry.partition(" ")[0] for entry in entries if "--hash=sha256:" not in entry] == []


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_names_no_registry_and_no_machine(lock):
    text = re.sub(r'"url": "[^"]*"', "", (ROOT / lock).read_text())  # npm: where to fund a package
    assert (
        re.findall(r"(?:https?|file|git\+\w+)://\S+|--\w*(?:index|find)\S*|/(?:root|home|work|opt)/\S+", text)
        == []
    )


def test_npm_pins_every_package_with_a_hash():
    packages = json.loads((ROOT / "tests/node/package-lock.json").read_text())["packages"]
    assert [name for name, entry in packages.items() if name and "integrity" not in entry] == []


def test_python_versions_agree():
    assert PROJECT["project"]["requires-python"] == ">=3.11,<3.14"
    assert "(3, 11) <= sys.version_info < (3, 14)" in (ROOT / "Makefile").read_text()
