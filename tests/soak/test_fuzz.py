"""A shrunken form of `make soak`: the seed is another one every day, and is printed."""

import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

FUZZ = Path(__file__).parent / "fuzz.py"


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, str(FUZZ), *arguments], capture_output=True, text=True, check=False)


def test_mutated_messages_leave_nothing_wrong() -> None:
    seed = datetime.now(UTC).strftime("%Y%m%d")
    ended = run("--count", "20000", "--seed", seed, "--any-speed")
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert f"--seed {seed}" in ended.stdout


def test_a_seed_replays_its_run() -> None:
    runs = [run("--count", "1500", "--seed", "7", "--any-speed").stdout for _ in range(2)]
    assert runs[0] == runs[1]
