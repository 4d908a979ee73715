"""What the README has a reader type, typed."""

import re
import subprocess
import sys
from pathlib import Path

README = (Path(__file__).parents[2] / "README.md").read_text()
BIN = Path(sys.executable).parent


def block(containing: str) -> str:
    """The only code block that has this in it, without its indent."""
    blocks = re.findall(r"^( *)```\w+\n(.*?)^ *```", README, re.MULTILINE | re.DOTALL)
    (found,) = [(indent, text) for indent, text in blocks if containing in text]
    return re.sub(f"^{found[0]}", "", found[1], flags=re.MULTILINE)


def run(shell: str, folder: Path) -> subprocess.CompletedProcess[str]:
    command = shell.replace(".venv/bin/", f"{BIN}/")
    return subprocess.run(
        ["sh", "-c", command], cwd=folder, capture_output=True, text=True, timeout=60, check=False
    )


def test_a_message_is_tried_without_sending_it(tmp_path):
    refused = run(block("citybroker decode"), tmp_path)
    assert (refused.returncode, refused.stdout) == (1, "")
    assert "v: expected a number, found str" in refused.stderr
    message = tmp_path / "message.json"
    message.write_text(message.read_text().replace('"warm"', "21.5"))
    accepted = run(block("citybroker decode").splitlines()[1], tmp_path)
    assert accepted.returncode == 0, accepted.stderr
    assert '"observedProperty":"temperature"' in accepted.stdout


def test_a_city_of_ones_own_is_right(tmp_path):
    (tmp_path / "city.toml").write_text(block("[city]"))
    checked = run(block("citybroker check").splitlines()[0], tmp_path)
    assert (checked.returncode, checked.stderr) == (0, "")
