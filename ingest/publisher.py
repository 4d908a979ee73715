"""The push door's way to the MQTT broker: publish with QoS 1, and know when the broker has acknowledged it.

Each connection has a paho client, and thread, of its own: what was not acknowledged when one is lost is said to be
lost, and never sent again behind the back of a sender who was told so.
"""

import ssl
from concurrent.futures import Future
from threading import Event, Lock, Thread
from typing import Any

import structlog
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode

from broker.errors import BrokerError
from broker.metrics import DOOR_CONNECTED
from broker.readiness import Readiness
from ingest.session import Address, address

log = structlog.get_logger()

KEEPALIVE = 15
PATIENCE = 10.0
"""Seconds that a broker has to accept a connection."""
BACK_OFF = (0.1, 0.2, 0.5, 1, 2)
WINDOW = 200
"""Messages that are sent before the first of them is acknowledged."""
MOST_MESSAGES = 2_000
MOST_BYTES = 64 << 20


class BrokerAway(BrokerError):
    """The MQTT broker cannot take the message right now."""


class Publisher:
    """Publishes as long as there is a connection, and looks for one as long as there is none."""

    def __init__(self, url: str, readiness: Readiness) -> None:
        self._where = address(url)
        self._readiness = readiness
        self._stop = Event()
        self._link: _Link | None = None
        self._thread = Thread(target=self._run, name="door", daemon=True)
        readiness.set("door", f"connecting to {self._where.host}:{self._where.port}")

    def start(self) -> None:
        """Begin to connect."""
        self._thread.start()

    def stop(self) -> None:
        """Disconnect; what is not acknowledged by then is lost, and its senders are told so."""
        self._stop.set()
        if self._link:
            self._link.ended.set()
        if self._thread.ident is not None:
            self._thread.join(timeout=PATIENCE)

    @property
    def connected(self) -> bool:
        """There is a broker to publish to."""
        return self._link is not None

    def publish(self, topic: str, payload: bytes) -> Future[None]:
        """Send a message; the future is done when the broker has acknowledged it, fails with BrokerAway if not.

        Raises BrokerAway where there is no connection, or too much waits for its acknowledgement already.
        """
        link = self._link
        if link is None:
            raise BrokerAway
        return link.publish(topic, payload)

    def _run(self) -> None:
        failures = 0
        while not self._stop.is_set():
            link = _Link(self._where)
            fault = link.open()
            if fault is None:
                failures = 0
                self._serve(link)
                fault = "the connection was lost"
            link.close()
            self._say(fault)
            self._stop.wait(BACK_OFF[min(failures, len(BACK_OFF) - 1)])
            failures += 1

    def _serve(self, link: "_Link") -> None:
        """Let messages go over this connection until it ends."""
        self._link = link
        self._readiness.set("door", None)
        DOOR_CONNECTED.set(1)
        log.info("door: connected", at=f"{self._where.host}:{self._where.port}")
        if not self._stop.is_set():
            link.ended.wait()
        self._link = None
        DOOR_CONNECTED.set(0)

    def _say(self, why: str) -> None:
        where = f"{self._where.host}:{self._where.port}"
        if not self._stop.is_set() and not self._readiness.missing().get("door", "").startswith("waiting"):
            log.warning("door: waiting for the broker", at=where, why=why)
        self._readiness.set("door", f"waiting for {where}: {why}")


class _Link:
    """One connection, from its beginning to its end."""

    def __init__(self, where: Address) -> None:
        self.ended = Event()
        self._settled = Event()
        self._fault: str | None = "the broker does not answer"
        self._where = where
        self._lock = Lock()
        self._waiting: dict[int, Future[None] | None] = {}
        """By packet id: who waits, or None for an acknowledgement that came before `publish` knew the id."""
        self._count = self._size = 0
        self.client = Client(CallbackAPIVersion.VERSION2, reconnect_on_failure=False)
        self.client.max_inflight_messages_set(WINDOW)
        if where.username is not None:
            self.client.username_pw_set(where.username, where.password)
        if where.tls:
            self.client.tls_set_context(ssl.create_default_context())
        self.client.on_connect = self._on_connect
        self.client.on_disconnect = self._on_disconnect
        self.client.on_publish = self._on_publish

    def open(self) -> str | None:
        """Connect; return why that cannot be."""
        try:
            self.client.connect(self._where.host, self._where.port, KEEPALIVE)
        except OSError as error:
            return str(error)
        self.client.loop_start()
        self._settled.wait(PATIENCE)
        return self._fault

    def close(self) -> None:
        """End it, and tell all who still wait."""
        self.ended.set()
        self.client.disconnect()
        self.client.loop_stop()
        for packet in list(self._waiting):
            self._finish(self._waiting.pop(packet, None), BrokerAway("the connection to the MQTT broker was lost"))

    def publish(self, topic: str, payload: bytes) -> Future[None]:
        if self.ended.is_set() or self._count >= MOST_MESSAGES or self._size >= MOST_BYTES:
            raise BrokerAway
        future: Future[None] = Future()
        future.set_running_or_notify_cancel()  # who gives up waiting cannot take it back
        self._add(1, len(payload))
        future.add_done_callback(lambda _: self._add(-1, -len(payload)))
        sent = self.client.publish(topic, payload, qos=1)
        if sent.rc != MQTTErrorCode.MQTT_ERR_SUCCESS:
            self._finish(future, BrokerAway())
        elif self._waiting.setdefault(sent.mid, future) is not future:
            del self._waiting[sent.mid]
            self._finish(future)
        elif self.ended.is_set() and self._waiting.pop(sent.mid, None):
            self._finish(future, BrokerAway())
        return future

    def _add(self, count: int, size: int) -> None:
        with self._lock:
            self._count += count
            self._size += size

    @staticmethod
    def _finish(future: "Future[None] | None", error: BrokerAway | None = None) -> None:
        if future is None or future.done():
            return
        if error is None:
            future.set_result(None)
        else:
            future.set_exception(error)

    def _on_connect(self, _client: Client, _data: Any, _flags: Any, code: Any, _properties: Any) -> None:
        self._fault = f"the broker refuses the connection: {code}" if code.is_failure else None
        self._settled.set()

    def _on_disconnect(self, *_: Any) -> None:
        self.ended.set()
        self._settled.set()

    def _on_publish(self, _client: Client, _data: Any, packet: int, *_: Any) -> None:
        # Called under a lock that `client.publish` takes too, so without one of ours: setdefault is atomic.
        if self._waiting.setdefault(packet, None) is not None:
            self._finish(self._waiting.pop(packet, None))
