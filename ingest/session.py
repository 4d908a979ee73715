"""One durable MQTT session for one topic filter, moved by the subscriber's thread.

One filter a session, since NATS bounds the un-acknowledged messages of a whole session by the number
that it allows to each of its filters, and silently holds back what goes over it until `ack_wait`.
"""

import ssl
from collections.abc import Callable
from typing import Any, NamedTuple
from urllib.parse import unquote, urlsplit

from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion

from broker.errors import BadConfig

KEEPALIVE = 60
MOST_AT_ONCE = 1000
"""Packets that are read before the writer gets to see them."""


class Address(NamedTuple):
    """Where the broker is."""

    host: str
    port: int
    tls: bool
    username: str | None
    password: str | None


def address(url: str) -> Address:
    """Take `mqtt[s]://user:password@host:port` apart. Raises BadConfig."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        parts, port = urlsplit(""), None
    if parts.scheme not in {"mqtt", "mqtts"} or not parts.hostname:
        raise BadConfig("the MQTT URL should be mqtt://host:port or mqtts://host:port")
    tls = parts.scheme == "mqtts"
    username, password = (None if part is None else unquote(part) for part in (parts.username, parts.password))
    return Address(parts.hostname, port or (8883 if tls else 1883), tls, username, password)


class Buffered(Client):
    """paho reads a packet in four system calls; here they read from a buffer that one call fills."""

    def __init__(self, **options: Any) -> None:
        super().__init__(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv311, **options)
        self.receive: Callable[[MQTTMessage], None] | None = None
        self._buffer = bytearray()

    def _sock_recv(self, size: int) -> bytes:
        if not self._buffer:
            self._buffer += super()._sock_recv(1 << 16)
        data = bytes(self._buffer[:size])
        del self._buffer[:size]
        return data

    def _handle_on_message(self, message: MQTTMessage) -> None:
        """Straight to the one callback: there are no filtered ones to look for, and nothing to lock."""
        if self.receive is None:
            super()._handle_on_message(message)
        else:
            self.receive(message)

    @property
    def pending(self) -> bool:
        """There is something to read that select does not see: in the buffer, or inside TLS."""
        return bool(self._buffer) or bool(getattr(self.socket(), "pending", int)())

    def reconnect(self) -> MQTTErrorCode:
        """Connect anew; what the old connection left half read is gone."""
        self._buffer.clear()
        return super().reconnect()


class Session:
    """A QoS 1 subscription that outlives connections; every method is called by one thread only."""

    def __init__(
        self, where: Address, client_id: str, topic: str, receive: Callable[["Session", MQTTMessage], None]
    ) -> None:
        self.topic = topic
        self.connection = 0
        """The number of the present connection; no two of a process are the same."""
        self.subscribed = False
        self.fault = "connecting"
        """Why it is not subscribed."""
        self.flying: set[int] = set()
        """Packet ids that were handed over and are not acknowledged."""
        self.client = make_client(where, client_id, clean_session=False)
        self._where = where
        self._receive = receive
        self.client.on_connect = self._on_connect
        self.client.on_subscribe = self._on_subscribe
        self.client.receive = self._on_message

    @property
    def connected(self) -> bool:
        """There is a connection, subscribed or not."""
        return self.client.socket() is not None

    def connect(self, number: int) -> None:
        """Open connection `number`. Raises OSError."""
        self.lose("connecting")
        self.client.connect(self._where.host, self._where.port, KEEPALIVE)
        self.connection = number

    def lose(self, why: str) -> None:
        """The connection is gone, and with it the right to acknowledge what it brought."""
        self.connection = 0
        self.subscribed = False
        self.fault = why
        self.flying.clear()

    def ack(self, packet: int) -> None:
        """Acknowledge a packet of the present connection."""
        self.flying.discard(packet)
        self.client.ack(packet, 1)

    def read(self, more: Callable[[], bool]) -> None:
        """Handle what has arrived, as long as more is wanted."""
        self.client.loop_read()
        for _ in range(MOST_AT_ONCE):
            if not (self.client.pending and more()):
                return
            self.client.loop_read()

    def _on_connect(self, client: Client, _data: Any, _flags: Any, code: Any, _properties: Any) -> None:
        if code.is_failure:
            self.fault = f"the broker refuses the connection: {code}"
            return
        client.subscribe(self.topic, 1)

    def _on_subscribe(self, _client: Client, _data: Any, _packet: int, codes: list[Any], _properties: Any) -> None:
        self.subscribed = not codes[0].is_failure
        if not self.subscribed:
            self.fault = f"the broker refuses to subscribe {self.topic}"

    def _on_message(self, packet: MQTTMessage) -> None:
        self._receive(self, packet)


def make_client(where: Address, client_id: str, *, clean_session: bool) -> Buffered:
    """A client that acknowledges by hand and leaves the moving of packets to us."""
    client = Buffered(client_id=client_id, clean_session=clean_session, manual_ack=True)
    if where.username is not None:
        client.username_pw_set(where.username, where.password)
    if where.tls:
        client.tls_set_context(ssl.create_default_context())
    client.on_socket_register_write = lambda *_: None  # paho then only queues what it has to write
    return client


def discard(where: Address, client_id: str) -> None:
    """Delete a session of a filter that is no longer wanted, with what waits in it. Raises OSError."""
    client = make_client(where, client_id, clean_session=True)
    done = False

    def on_connect(client: Client, *_: Any) -> None:
        nonlocal done
        done = True
        client.disconnect()

    client.on_connect = on_connect
    client.connect(where.host, where.port, KEEPALIVE)
    while not done and client.loop(timeout=1) == MQTTErrorCode.MQTT_ERR_SUCCESS:
        continue
