"""The MQTT side: subscribe, hand over, acknowledge.

One network thread owns the connections, one session a topic filter. Its callback only enqueues;
acknowledgements come back to it through a queue, so that an ack can only leave on the connection that
delivered the message: after a broker restart the same packet id may belong to another message.

    broker ──► network thread ──► deliveries ──► writer (take … commit … ack)
                    ▲                                            │
                    └──────────────── acks, wake ◄───────────────┘
"""

import hmac
import select
import socket
import time
from collections import Counter, deque
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from threading import Condition, Thread
from typing import Any, NamedTuple

import structlog
from paho.mqtt.client import MQTTMessage

from broker.config import IngestTable
from broker.metrics import BYTES_IN_FLIGHT, MQTT_CONNECTED, MQTT_CONNECTS, messages
from broker.model import Message
from broker.readiness import Readiness
from ingest.session import Session, address, discard

log = structlog.get_logger()

MICROSECOND = timedelta(microseconds=1)
BACK_OFF = (0.1, 0.2, 0.5, 1, 2, 5)


class Delivery(NamedTuple):
    """A message and what its acknowledgement needs: packet id (0: none) and the connection's number."""

    message: Message
    packet: int
    connection: int


def session_id(process: str, topic: str, secret: str = "") -> str:
    """The client id of a process's session for a filter; it stays when its source is renamed.

    Who knows a client id can take its session over, so that it has a secret part where there is a key
    store to take one from.
    """
    return f"{process}-{hmac.digest(secret.encode(), topic.encode(), 'sha256').hex()[:16]}"


class Subscriber:
    """Durable QoS 1 sessions that are acknowledged after the commit.

    Every delivery is handed over exactly once per connection; one that the broker sends again while
    it is still in flight is counted as a duplicate and not queued. Reading pauses while more than
    `limits.max_in_flight` messages or `max_in_flight_bytes` bytes wait.
    """

    def __init__(
        self,
        url: str,
        process: str,
        filters: Iterable[str],
        limits: IngestTable,
        readiness: Readiness,
        secret: str = "",
    ) -> None:
        self.cleared: Counter[str] = Counter()
        """Topics whose retained message we cleared: the empty message that comes back is ours."""
        self.again = 0
        """Redeliveries of what was in flight, since `take_again`."""
        self._where = address(url)
        self._limits = limits
        self._readiness = readiness
        self._changed = Condition()
        self._queue: deque[Delivery] = deque()
        self._acks: deque[Delivery] = deque()
        self._publishes: deque[tuple[str, bytes, bool]] = deque()
        self._size = 0
        self._count = 0
        self._arrived: list[Delivery] = []
        self._arrived_again = 0
        self._arrived_size = 0
        self._connections = 0
        self._latest = datetime.min.replace(tzinfo=UTC)
        self._reading = True
        self._running = True
        self._failures = 0
        self._retry_at = 0.0
        self._obsolete: list[str] = []
        self._wake_in, self._wake_out = _wake_pair()
        named = {topic: session_id(process, topic, secret) for topic in sorted(set(filters))}
        self._sessions = [Session(self._where, name, topic, self._receive) for topic, name in named.items()]
        self._by_connection: Mapping[int, Session] = {}
        self._thread = Thread(target=self._run, name="mqtt", daemon=True)
        readiness.set("mqtt", f"connecting to {self._where.host}:{self._where.port}")

    # The writer's side

    def start(self, obsolete: Iterable[str] = ()) -> None:
        """Connect; the sessions with these client ids, of filters that are gone, are deleted first."""
        self._obsolete = sorted(obsolete)
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
        self.publish(topic, b"", retain=True)

    def publish(self, topic: str, payload: bytes, *, retain: bool = False) -> None:
        """Send a message through the first session that is subscribed."""
        self._publishes.append((topic, payload, retain))
        self._wake()

    @property
    def idle(self) -> bool:
        """Nothing received waits for its commit."""
        return self._count == 0

    @property
    def subscribed(self) -> bool:
        """All filters are subscribed, and the broker has acknowledged it."""
        return all(session.subscribed for session in self._sessions)

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

    def _run(self) -> None:
        while self._running:
            self._connect()
            self._send()
            self._move()
            self._look()
        self._send()
        for session in self._sessions:
            while session.connected and session.client.want_write():
                session.client.loop_write()
            session.client.disconnect()
            session.client.loop_write()
        MQTT_CONNECTED.set(0)

    def _connect(self) -> None:
        """Open the connections that are missing; after a failure all wait a little longer."""
        missing = [session for session in self._sessions if not session.connected]
        if not (missing or self._obsolete) or time.monotonic() < self._retry_at:
            return
        try:
            while self._obsolete:
                discard(self._where, self._obsolete[-1])
                self._obsolete.pop()
            for session in missing:
                self._connections += 1
                session.connect(self._connections)
                MQTT_CONNECTS.inc()
        except OSError as error:
            self._wait(str(error))
        self._by_connection = {session.connection: session for session in self._sessions if session.connected}

    def _wait(self, why: str) -> None:
        """Try again later, and say what is waited for."""
        where = f"{self._where.host}:{self._where.port}"
        if not self._readiness.missing().get("mqtt", "").startswith("waiting"):
            log.warning("mqtt: waiting for the broker", at=where, why=why)
        self._readiness.set("mqtt", f"waiting for {where}: {why}")
        MQTT_CONNECTED.set(0)
        self._retry_at = time.monotonic() + BACK_OFF[min(self._failures, len(BACK_OFF) - 1)]
        self._failures += 1

    def _look(self) -> None:
        """See which connections were lost, and whether all filters are subscribed."""
        for session in self._sessions:
            session.client.loop_misc()
            if not session.connected and session.connection:
                why = session.fault if session.fault.startswith("the broker") else "the connection was lost"
                session.lose(why)
                self._wait(why)
        refused = [session.fault for session in self._sessions if session.fault.startswith("the broker")]
        if refused and not self.subscribed:
            self._readiness.set("mqtt", refused[0])
        elif self.subscribed and not self._obsolete and "mqtt" in self._readiness.missing():
            self._failures = 0
            MQTT_CONNECTED.set(1)
            self._readiness.set("mqtt", None)
            log.info("mqtt: subscribed", filters=len(self._sessions))

    def _move(self) -> None:
        """Wait for something to read, to write or to do, half a second at most, and do it."""
        more = self._wants_more()
        sockets: dict[Any, Session] = {
            session.client.socket(): session for session in self._sessions if session.connected
        }
        wanted = [link for link, session in sockets.items() if more or not session.subscribed]
        writing = [link for link, session in sockets.items() if session.client.want_write()]
        pending = [link for link in wanted if sockets[link].client.pending]
        ready, writable, _ = select.select(
            [*wanted, self._wake_out], writing, [], 0 if pending else self._patience()
        )
        if self._wake_out in ready:
            self._wake_out.recv(4096)
        for link in {*ready, *pending} - {self._wake_out}:
            sockets[link].read(self._wants_more)
            self._hand_over()
        for link in writable:
            sockets[link].client.loop_write()

    def _patience(self) -> float:
        """How long to sleep: no longer than until the next attempt to connect."""
        return min(0.5, max(0.01, self._retry_at - time.monotonic())) if self._failures else 0.5

    def _wants_more(self) -> bool:
        limits = self._limits
        count, size = self._count + len(self._arrived), self._size + self._arrived_size
        return self._reading and count < limits.max_in_flight and size < limits.max_in_flight_bytes

    def _send(self) -> None:
        while self._acks:
            delivery = self._acks.popleft()
            session = self._by_connection.get(delivery.connection)
            if delivery.packet and session and session.connection == delivery.connection:
                session.ack(delivery.packet)
        while self._publishes and (links := [session for session in self._sessions if session.subscribed]):
            topic, payload, retain = self._publishes.popleft()
            links[0].client.publish(topic, payload, qos=1, retain=retain)

    def _receive(self, session: Session, packet: MQTTMessage) -> None:
        """Take one delivery; `_hand_over` shows it to the writer with the others that came along."""
        if packet.mid and packet.mid in session.flying:
            self._arrived_again += 1
            return
        if packet.mid:
            session.flying.add(packet.mid)
        # Strictly increasing, so that two messages without a time of their own never share one.
        self._latest = max(datetime.now(UTC), self._latest + MICROSECOND)
        payload = bytes(packet.payload)
        message = Message(_topic(packet), payload, self._latest, packet.retain, packet.dup)
        self._arrived.append(Delivery(message, packet.mid, session.connection))
        self._arrived_size += len(payload)

    def _hand_over(self) -> None:
        """One lock for all that came with one read, not one a message."""
        arrived, again = self._arrived, self._arrived_again
        if not arrived and not again:
            return
        messages.receive(len(arrived) + again)
        with self._changed:
            self._queue.extend(arrived)
            self._count += len(arrived)
            self._size += self._arrived_size
            self.again += again
            self._changed.notify()
        BYTES_IN_FLIGHT.set(self._size)
        self._arrived, self._arrived_again, self._arrived_size = [], 0, 0


def _wake_pair() -> tuple[socket.socket, socket.socket]:
    """What a byte is written into, and what `select` then sees."""
    ends = socket.socketpair()
    for end in ends:
        end.setblocking(False)
    return ends


def _topic(packet: MQTTMessage) -> str:
    try:
        return packet.topic
    except UnicodeDecodeError:
        return "(not UTF-8)"
