"""The tutorial, typed: its shell blocks run in order, in one shell, on free ports."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

PAGE = (Path(__file__).parents[2] / "docs/tutorial.md").read_text()
BIN = Path(sys.executable).parent


def test_the_tutorial(tmp_path, free_port, require):
    require(shutil.which("curl"), "curl")
    blocks = re.findall(r"^```sh\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    http_port = free_port()
    script = "set -em\ntrap 'kill $(jobs -p) 2> /dev/null || true' EXIT\n" + "".join(
        f"echo '== {number}'\n{block}" for number, block in enumerate(blocks)
    )
    environment = {name: text for name, text in os.environ.items() if not name.startswith("CITYBROKER_")}
    environment |= {
        "PATH": f"{BIN}:{os.environ['PATH']}",
        "CITYBROKER_HTTP_PORT": str(http_port),
        "CITYBROKER_MQTT_PORT": str(free_port()),
        "CITYBROKER_KEYS": str(tmp_path / "keys"),
    }
    folder = tmp_path / "work"
    folder.mkdir()
    done = subprocess.run(
        ["bash", "-c", script.replace("127.0.0.1:8080", f"127.0.0.1:{http_port}")],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr + (folder / "broker.log").read_text()
    printed = [part.partition("\n")[2] for part in done.stdout.split("== ")[1:]]
    guessed, explained, read, listed = printed[1], printed[3], printed[7], printed[8]
    assert "# tts_v3 (format): observations: 3" in guessed
    assert 'topic = "in/park/+"' in guessed
    assert "temperature = 21.5 Cel" in explained
    assert ",temperature,21.5,Cel," in read
    assert "Weather station in the park" in listed
    assert "3.26480 50.82780" in listed
    assert "97 %" in listed
    assert "rssi -97" in listed
    assert "unknown thing" in printed[-1]
