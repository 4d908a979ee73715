"""MQTT 3.1.1 publishing at QoS 1 on a plain socket: CONNECT, PUBLISH, PUBACK and nothing else.

The load generator, the demo and the tests publish through this, because it costs a tenth of what
paho costs and knows at every moment which messages are acknowledged.
https://docs.oasis-open.org/mqtt/mqtt/v3.1.1/os/mqtt-v3.1.1-os.html
"""

import socket
import ssl
import struct
import threading
import time
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

PUBACK = 0x4002
"""First two bytes of every PUBACK; with no keep-alive nothing else comes in."""
CONNECT_TIMEOUT = 10.0
ACK_TIMEOUT = 20.0
"""Seconds without an acknowledgement after which a connection counts as lost."""
STOP_TIMEOUT = 2.0
"""The same once it is to stop."""
LOOK = 0.5
"""Seconds at most until it notices that it is to stop."""
RETRY = 0.2
"""Seconds between two tries to connect."""


class Outgoing(NamedTuple):
    """One message to publish. `number` is the caller's own, and tells what is acknowledged."""

    number: int
    topic: bytes
    payload: bytes


def publish(topic: bytes, payload: bytes, packet: int) -> bytes:
    """Return the PUBLISH frame, QoS 1 (3.3)."""
    size = len(topic) + len(payload) + 4
    return b"".join(
        (b"\x32", _length(size), len(topic).to_bytes(2, "big"), topic, packet.to_bytes(2, "big"), payload)
    )


def again(frame: bytes) -> bytes:
    """Return a PUBLISH frame with its DUP flag set."""
    return bytes((frame[0] | 0x08,)) + frame[1:]


def connect(url: str, client: str) -> socket.socket:
    """Open `mqtt[s]://[user[:password]@]host[:port]` with a clean session and no keep-alive.

    Raises OSError where the broker is away or refuses.
    """
    parts = urlsplit(url)
    tls = parts.scheme == "mqtts"
    host = parts.hostname or "127.0.0.1"
    line = socket.create_connection((host, parts.port or (8883 if tls else 1883)), timeout=CONNECT_TIMEOUT)
    try:
        line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if tls:
            line = ssl.create_default_context().wrap_socket(line, server_hostname=host)
        line.sendall(_connect(client, parts.username, parts.password))
        _accepted(line)
    except OSError:
        line.close()
        raise
    return line


class Line:
    """One connection that publishes at QoS 1 until everything it was given is acknowledged.

    A lost connection is opened again, and what was not acknowledged is sent again with DUP, first.
    """

    def __init__(self, url: str, client: str, *, window: int = 512, stop: threading.Event | None = None) -> None:
        """Connect at the first `deliver`. `window` is how many may be unacknowledged."""
        self.acknowledged = 0
        self.resent = 0
        self.connects = 0
        self._url, self._client, self._window = url, client, window
        self._stop = stop or threading.Event()
        self._socket: socket.socket | None = None
        self._pending: dict[int, tuple[int, bytes]] = {}
        self._packet = 0
        self._rest = b""
        self._heard = 0.0

    @property
    def unacknowledged(self) -> list[int]:
        """The numbers of what was sent and not acknowledged, in order."""
        return [number for number, _ in self._pending.values()]

    def deliver(
        self, messages: Iterable[Outgoing], *, rate: float | None = None, patience: float | None = 60.0
    ) -> bool:
        """Publish all; True once all are acknowledged, False when stopped before.

        `rate` is messages a second, as fast as acknowledged without. Raises OSError after `patience`
        seconds without any connection or acknowledgement (None: never).
        """
        paced = _Paced(iter(messages), rate)
        heard = time.monotonic()
        while True:
            count = self.acknowledged
            try:
                self._exchange(paced)
            except OSError:
                self.close()
                heard = time.monotonic() if self.acknowledged > count else heard
                if patience is not None and time.monotonic() - heard > patience:
                    raise
                if self._stop.wait(RETRY):
                    return False
            else:
                return not self._pending and not self._stop.is_set()

    def close(self) -> None:
        """Close the connection; what is unacknowledged stays known."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _exchange(self, messages: "_Paced") -> None:
        """Keep the window full until the messages end, then wait for the last acknowledgement."""
        line = self._socket or self._open()
        while not (self._stop.is_set() and not self._pending):
            frames = [] if self._stop.is_set() else self._take(messages)
            if frames:
                self._heard = self._heard if len(self._pending) > len(frames) else time.monotonic()
                line.sendall(b"".join(frames))
            elif not self._pending:
                if messages.ended:
                    return
                self._stop.wait(messages.wait())
                continue
            self._receive(line, messages)

    def _open(self) -> socket.socket:
        self._rest = b""
        self._heard = time.monotonic()
        self._socket = line = connect(self._url, self._client)
        self.connects += 1
        if self._pending:
            self._pending = {packet: (n, again(frame)) for packet, (n, frame) in self._pending.items()}
            self.resent += len(self._pending)
            line.sendall(b"".join(frame for _, frame in self._pending.values()))
        return line

    def _take(self, messages: "_Paced") -> list[bytes]:
        frames = []
        for number, topic, payload in messages.take(self._window - len(self._pending)):
            packet = self._next()
            frame = publish(topic, payload, packet)
            self._pending[packet] = (number, frame)
            frames.append(frame)
        return frames

    def _next(self) -> int:
        self._packet = self._packet % 0xFFFF + 1
        while self._packet in self._pending:
            self._packet = self._packet % 0xFFFF + 1
        return self._packet

    def _receive(self, line: socket.socket, messages: "_Paced") -> None:
        """Wait for acknowledgements, no longer than the next message may be due."""
        full = len(self._pending) >= self._window
        line.settimeout(LOOK if full else min(messages.wait(), LOOK))
        try:
            data = line.recv(1 << 16)
        except TimeoutError:
            limit = STOP_TIMEOUT if self._stop.is_set() else ACK_TIMEOUT
            if time.monotonic() - self._heard > limit:
                raise
            return
        if not data:
            raise ConnectionResetError("the broker closed the connection")
        self._acknowledge(self._rest + data)
        self._heard = time.monotonic()

    def _acknowledge(self, data: bytes) -> None:
        whole = len(data) & ~3
        self._rest = data[whole:]
        for kind, packet in struct.iter_unpack(">HH", data[:whole]):
            if kind != PUBACK:
                raise ConnectionError("the broker sent something other than an acknowledgement")
            if self._pending.pop(packet, None) is not None:
                self.acknowledged += 1


class _Paced:
    """Messages, no more of them than are due."""

    def __init__(self, messages: Iterator[Outgoing], rate: float | None) -> None:
        self.ended = False
        self._messages, self._rate = messages, rate
        self._began, self._taken = time.monotonic(), 0

    def take(self, room: int) -> list[Outgoing]:
        """Take what is due, up to `room`."""
        if self._rate is not None:
            room = min(room, int((time.monotonic() - self._began) * self._rate) + 1 - self._taken)
        if room <= 0 or self.ended:
            return []
        taken = list(islice(self._messages, room))
        self.ended = len(taken) < room
        self._taken += len(taken)
        return taken

    def wait(self) -> float:
        """Seconds until the next message is due."""
        if self._rate is None or self.ended:
            return ACK_TIMEOUT
        due = self._began + self._taken / self._rate
        return min(max(due - time.monotonic(), 0.0005), ACK_TIMEOUT)


def _length(size: int) -> bytes:
    """Return the remaining length, 1 to 4 bytes (2.2.3)."""
    encoded = bytearray()
    while True:
        size, digit = divmod(size, 128)
        encoded.append(digit | (0x80 if size else 0))
        if not size:
            return bytes(encoded)


def _text(value: str) -> bytes:
    data = value.encode()
    return len(data).to_bytes(2, "big") + data


def _connect(client: str, user: str | None, password: str | None) -> bytes:
    """Return the CONNECT frame (3.1)."""
    flags = 0x02 | (0x80 if user is not None else 0) | (0x40 if password is not None else 0)
    body = _text("MQTT") + bytes((4, flags, 0, 0)) + _text(client)
    body += b"".join(_text(unquote(value)) for value in (user, password) if value is not None)
    return b"\x10" + _length(len(body)) + body


def _accepted(line: socket.socket) -> None:
    """Read the CONNACK (3.2)."""
    answer = b""
    while len(answer) < 4:
        data = line.recv(4 - len(answer))
        if not data:
            raise ConnectionResetError("the broker closed the connection before it answered")
        answer += data
    if answer[0] != 0x20 or answer[3] != 0:
        raise ConnectionRefusedError(f"the broker refuses the connection (CONNACK {answer[3]})")
