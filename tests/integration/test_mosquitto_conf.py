"""deploy/mosquitto/mosquitto.conf, as it is handed out: Mosquitto takes it, and devices hear nothing."""

import subprocess
from collections.abc import Iterator
from pathlib import Path
from queue import Queue

import pytest
import servers
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion

HANDED_OUT = Path(__file__).parents[2] / "deploy" / "mosquitto" / "mosquitto.conf"


def rules() -> str:
    """The lines of `acl` that the file's comment shows."""
    text = HANDED_OUT.read_text().partition("# The file acl:\n")[2].partition("\n\n")[0]
    return "\n".join(line.removeprefix("#").strip() for line in text.splitlines()) + "\n"


@pytest.fixture
def port(tmp_path: Path) -> Iterator[int]:
    """Mosquitto with the file that we hand out: only its folders and its port are the test's."""
    program, passwords = servers.which("mosquitto"), servers.which("mosquitto_passwd")
    servers.require(program and passwords, "mosquitto")
    port = servers.free_port()
    text = HANDED_OUT.read_text().replace("/var/lib/mosquitto/", f"{tmp_path}/")
    text = text.replace("/etc/mosquitto/", f"{tmp_path}/").replace("listener 1883", f"listener {port}")
    (tmp_path / "mosquitto.conf").write_text(f"user root\n{text}")
    (tmp_path / "acl").write_text(rules())
    (tmp_path / "passwords").touch()
    for name in ("ingest", "device"):
        subprocess.run([str(passwords), "-b", str(tmp_path / "passwords"), name, name], check=True)
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen([str(program), "-c", str(tmp_path / "mosquitto.conf")], stdout=log, stderr=log)
        servers.wait_for_port(port, process)
        yield port
        process.terminate()
        process.wait()


def connect(port: int, name: str, heard: "Queue[bytes]") -> Client:
    granted: Queue[object] = Queue()
    client = Client(CallbackAPIVersion.VERSION2, client_id=name)
    client.username_pw_set(name, name)
    client.on_message = lambda _c, _u, message: heard.put(message.payload)
    client.on_subscribe = lambda *found: granted.put(found)
    client.connect("127.0.0.1", port)
    client.loop_start()
    client.subscribe("#", 1)
    granted.get(timeout=30)
    return client


def test_devices_publish_and_only_ingest_hears_them(port: int) -> None:
    for_ingest: Queue[bytes] = Queue()
    for_device: Queue[bytes] = Queue()
    ingest, device = connect(port, "ingest", for_ingest), connect(port, "device", for_device)
    device.publish("v3/a", b"from a device", 1).wait_for_publish(30)
    assert for_ingest.get(timeout=30) == b"from a device"
    ingest.publish("v3/b", b"from ingest", 1).wait_for_publish(30)
    assert for_ingest.get(timeout=30) == b"from ingest"
    device.publish("v3/c", b"again", 1).wait_for_publish(30)
    assert for_device.empty()
    for client in (ingest, device):
        client.disconnect()
        client.loop_stop()
