"""The MQTT session: subscribe, hand over, acknowledge.

One network thread owns the connection. Its callback only enqueues; acknowledgements come back to it
through a queue, so that an ack can only leave on the connection that delivered the message: after a
broker restart the same packet id may belong to another message.

    broker ──► network thread ──► deliveries ──► writer (take … commit … ack)
                    ▲                                            │
                    └──────────────── acks, wake ◄───────────────┘
"""

import select
import socket
import ssl
import time
from collections import Counter, deque
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from threading import Condition, Thread
from typing import Any, NamedTuple
from urllib.parse import unquote, urlsplit

import structlog
from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion

from broker.config import IngestTable
from broker.errors import BadConfig
from broker.metrics import BYTES_IN_FLIGHT, MQTT_CONNECTED, MQTT_CONNECTS, messages
from broker.model import Message
from broker.readiness import Readiness

log = structlog.get_logger()

MICROSECOND = timedelta(microseconds=1)
KEEPALIVE = 60
BACK_OFF = (0.1, 0.2, 0.5, 1, 2, 5)


class Delivery(NamedTuple):
    """A message and what its acknowledgement needs: packet id (0: none) and the connection's number."""

    message: Message
    packet: int
    connection: int


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
        super().__init__(CallbackAPIVersion.VERSION2, **options)
        self._buffer = bytearray()

    def _sock_recv(self, size: int) -> bytes:
        if not self._buffer:
            self._buffer += super()._sock_recv(1 << 16)
        data = bytes(self._buffer[:size])
        del self._buffer[:size]
        return data

    @property
    def pending(self) -> bool:
        """There is something to read that select does not see: in the buffer, or inside TLS."""
        return bool(self._buffer) or bool(getattr(self.socket(), "pending", int)())

    def reconnect(self) -> MQTTErrorCode:
        """Connect anew; what the old connection left half read is gone."""
        self._buffer.clear()
        return super().reconnect()


class Subscriber:
    """A durable QoS 1 session that is acknowledged after the commit.

    Every delivery is handed over exactly once per connection; one that the broker sends again while
    it is still in flight is counted as a duplicate and not queued. Reading pauses while more than
    `limits.max_in_flight` messages or `max_in_flight_bytes` bytes wait.
    """

    def __init__(
        self, url: str, client_id: str, filters: Iterable[str], limits: IngestTable, readiness: Readiness
    ) -> None:
        self.cleared: Counter[str] = Counter()
        """Topics whose retained message we cleared: the empty message that comes back is ours."""
        self.again = 0
        """Redeliveries of what was in flight, since `take_again`."""
        self._address = address(url)
        self._filters = sorted(set(filters))
        self._limits = limits
        self._readiness = readiness
        self._changed = Condition()
        self._queue: deque[Delivery] = deque()
        self._acks: deque[Delivery] = deque()
        self._publishes: deque[tuple[str, bytes, bool]] = deque()
        self._flying: set[int] = set()
        self._size = 0
        self._count = 0
        self._connection = 0
        self._subscribed_on = 0
        self._latest = datetime.min.replace(tzinfo=UTC)
        self._reading = True
        self._running = True
        self._obsolete: list[str] = []
        self._wake_in, self._wake_out = socket.socketpair()
        self._wake_in.setblocking(False)
        self._wake_out.setblocking(False)
        self._client = self._make(client_id)
        self._thread = Thread(target=self._run, name="mqtt", daemon=True)
        readiness.set("mqtt", f"connecting to {self._address.host}:{self._address.port}")

    # The writer's side

    def start(self, obsolete: Iterable[str] = ()) -> None:
        """Connect, and unsubscribe the filters of sources that are gone."""
        self._obsolete = sorted(set(obsolete) - set(self._filters))
        self._thread.start()

    def take(self, limit: int, delay: float) -> list[Delivery]:
        """Up to `limit` deliveries: at once when that many wait, else after `delay` seconds from the first."""
        with self._changed:
            if not self._queue:
                self._changed.wait(0.25)
            deadline = time.monotonic() + delay
            while self._reading and 0 < len(self._queue) < limit:
                left = deadline - time.monotonic()
                if left <= 0:
                    break
                self._changed.wait(left)
            return [self._queue.popleft() for _ in range(min(limit, len(self._queue)))]

    def take_again(self) -> int:
        """How many redeliveries of in-flight messages there were since the last call."""
        with self._changed:
            count, self.again = self.again, 0
            return count

    def ack(self, deliveries: list[Delivery]) -> None:
        """These are committed: acknowledge them on the connection that brought them."""
        with self._changed:
            self._acks.extend(deliveries)
            self._count -= len(deliveries)
            self._size -= sum(len(delivery.message.payload) for delivery in deliveries)
        BYTES_IN_FLIGHT.set(self._size)
        self._wake()

    def clear_retained(self, topic: str) -> None:
        """Remove a retained message from the broker."""
        self.cleared[topic] += 1
        self._publishes.append((topic, b"", True))
        self._wake()

    @property
    def idle(self) -> bool:
        """Nothing received waits for its commit."""
        return self._count == 0

    @property
    def subscribed(self) -> bool:
        """The present connection's subscriptions have been acknowledged."""
        return self._subscribed_on == self._connection

    def pause(self) -> None:
        """Take nothing more from the broker; what is here can still be acknowledged."""
        with self._changed:
            self._reading = False
            self._changed.notify_all()
        self._wake()

    def stop(self) -> None:
        """Send what is left to send, disconnect, end the thread."""
        if not self._running:
            return
        self._reading = self._running = False
        self._wake()
        if self._thread.ident is not None:
            self._thread.join(timeout=10)
        self._wake_in.close()
        self._wake_out.close()

    def _wake(self) -> None:
        try:
            self._wake_in.send(b"\0")
        except BlockingIOError:
            return  # it has been woken often enough

    # The network thread's side

    def _make(self, client_id: str) -> Buffered:
        client = Buffered(
            client_id=client_id,
            clean_session=False,
            protocol=MQTTProtocolVersion.MQTTv311,
            manual_ack=True,
        )
        where = self._address
        if where.username is not None:
            client.username_pw_set(where.username, where.password)
        if where.tls:
            client.tls_set_context(ssl.create_default_context())
        client.on_connect = self._on_connect
        client.on_subscribe = self._on_subscribe
        client.on_message = self._on_message
        client.on_socket_register_write = lambda *_: None  # paho then only queues what it has to write
        return client

    def _run(self) -> None:
        failures = 0
        while self._running:
            try:
                self._connect()
                failures = 0 if self._serve() else failures + 1
            except OSError as error:
                self._wait_for_broker(str(error))
                failures += 1
            MQTT_CONNECTED.set(0)
            if self._running:
                time.sleep(BACK_OFF[min(failures, len(BACK_OFF) - 1)])

    def _wait_for_broker(self, why: str) -> None:
        if not self._readiness.missing().get("mqtt", "").startswith("waiting"):
            log.warning("mqtt: waiting for the broker", host=self._address.host, port=self._address.port, why=why)
        self._readiness.set("mqtt", f"waiting for {self._address.host}:{self._address.port}: {why}")

    def _connect(self) -> None:
        with self._changed:
            self._connection += 1
            self._flying.clear()
            self._acks.clear()  # they belong to the connection that is gone
        self._client.connect(self._address.host, self._address.port, KEEPALIVE)
        MQTT_CONNECTS.inc()

    def _serve(self) -> bool:
        """Move packets until the connection ends; true if it had been subscribed, so that no back-off is due."""
        subscribed = False
        while (connection := self._client.socket()) is not None:
            self._send()
            if not self._running and not self._client.want_write():
                self._client.disconnect()
                self._client.loop_write()
                return True
            self._move(connection)
            self._client.loop_misc()
            subscribed = subscribed or self.subscribed
        self._wait_for_broker("the connection was lost")
        return subscribed

    def _move(self, connection: Any) -> None:
        """Wait for something to read, to write or to do, a second at most, and do it."""
        more = self._wants_more()
        reading = [connection, self._wake_out] if more else [self._wake_out]
        writing = [connection] if self._client.want_write() else []
        ready, writable, _ = select.select(reading, writing, [], 0 if more and self._client.pending else 1)
        if self._wake_out in ready:
            self._wake_out.recv(4096)
        if connection in ready or (more and self._client.pending):
            self._client.loop_read()
            while self._client.pending and self._wants_more():
                self._client.loop_read()
        if writable:
            self._client.loop_write()

    def _wants_more(self) -> bool:
        if not self.subscribed:
            return True  # or the answer to our own CONNECT would wait
        limits = self._limits
        return self._reading and self._count < limits.max_in_flight and self._size < limits.max_in_flight_bytes

    def _send(self) -> None:
        while self._acks:
            delivery = self._acks.popleft()
            if delivery.packet and delivery.connection == self._connection:
                self._flying.discard(delivery.packet)
                self._client.ack(delivery.packet, 1)
        while self._publishes:
            topic, payload, retain = self._publishes.popleft()
            self._client.publish(topic, payload, qos=1, retain=retain)

    def _on_connect(self, client: Client, _data: Any, _flags: Any, code: Any, _properties: Any) -> None:
        if code.is_failure:
            self._wait_for_broker(f"the broker refuses the connection: {code}")
            return
        if self._obsolete:
            client.unsubscribe(self._obsolete)
        if self._filters:
            client.subscribe([(topic, 1) for topic in self._filters])
        else:
            self._subscribed()

    def _on_subscribe(self, _client: Client, _data: Any, _packet: int, codes: list[Any], _properties: Any) -> None:
        refused = [topic for topic, code in zip(self._filters, codes, strict=False) if code.is_failure]
        if refused:
            log.error("mqtt: the broker refuses subscriptions", filters=refused)
            self._readiness.set("mqtt", f"the broker refuses to subscribe {', '.join(refused)}")
            return
        self._subscribed()

    def _subscribed(self) -> None:
        self._subscribed_on = self._connection
        MQTT_CONNECTED.set(1)
        self._readiness.set("mqtt", None)
        log.info("mqtt: subscribed", filters=len(self._filters), connection=self._connection)

    def _on_message(self, _client: Client, _data: Any, packet: MQTTMessage) -> None:
        messages.receive()
        if packet.mid and packet.mid in self._flying:
            with self._changed:
                self.again += 1
            return
        if packet.mid:
            self._flying.add(packet.mid)
        # Strictly increasing, so that two messages without a time of their own never share one.
        self._latest = max(datetime.now(UTC), self._latest + MICROSECOND)
        delivery = Delivery(
            Message(_topic(packet), bytes(packet.payload), self._latest, packet.retain, packet.dup),
            packet.mid,
            self._connection,
        )
        with self._changed:
            self._queue.append(delivery)
            self._count += 1
            self._size += len(packet.payload)
            self._changed.notify()


def _topic(packet: MQTTMessage) -> str:
    try:
        return packet.topic
    except UnicodeDecodeError:
        return "(not UTF-8)"
