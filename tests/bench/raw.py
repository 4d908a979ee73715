"""What a paho client receives at QoS 1 when it does nothing with it: the ceiling of anything written in Python.

python tests/bench/raw.py MQTT_URL COUNT    (COUNT 0: only make the durable session)
"""

import json
import sys
import threading
import time
from urllib.parse import unquote, urlsplit

from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion

FILTER = "v3/+/devices/+/up"


def connect(url: str, name: str, on_message, *, manual_ack: bool = False) -> Client:
    """A durable MQTT 3.1.1 session that is subscribed, its network thread running."""
    parts, ready = urlsplit(url), threading.Event()
    client = Client(CallbackAPIVersion.VERSION2, client_id=name, clean_session=False, manual_ack=manual_ack)
    if parts.username:
        client.username_pw_set(unquote(parts.username), unquote(parts.password or ""))
    client.on_message = on_message
    client.on_connect = lambda client, *_: client.subscribe(FILTER, qos=1)
    client.on_subscribe = lambda *_: ready.set()
    client.connect(parts.hostname or "127.0.0.1", parts.port or 1883)
    client.loop_start()
    ready.wait()
    return client


def close(client: Client) -> None:
    """Leave after the last acknowledgement is out."""
    client.disconnect()
    client.loop_stop()


def main(url: str, count: int) -> None:
    """Receive `count` messages and print how long that took."""
    received, began, done = 0, 0.0, threading.Event()

    def on_message(*_) -> None:
        nonlocal received, began
        received += 1
        began = began or time.monotonic()
        if received == count:
            done.set()

    client = connect(url, "bench-raw", on_message)
    if count:
        done.wait()
        print(json.dumps({"messages": count, "seconds": time.monotonic() - began}))
    close(client)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
