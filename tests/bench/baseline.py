"""The plain loop that somebody writes in an afternoon: paho → queue → pydantic → binary COPY → ack, one process.

It stores acknowledged messages once, and nothing else: no units, no plausibility, no vocabulary, no
rejects, no duplicates, no metrics, no second format. python tests/bench/baseline.py MQTT_URL COUNT DATABASE_URL
"""

import json
import queue
import sys
import time
from datetime import datetime

import psycopg
from pydantic import BaseModel
from raw import close, connect

TABLE = "create table if not exists baseline (datastream int8, time timestamptz, value float8, unique (datastream, time))"
BATCH, DELAY = 5000, 0.05


class Device(BaseModel):
    device_id: str
    dev_eui: str


class Uplink(BaseModel):
    decoded_payload: dict[str, float]
    received_at: datetime


class Body(BaseModel):
    end_device_ids: Device
    uplink_message: Uplink


def take(waiting: queue.SimpleQueue) -> list:
    """A batch: what is there, up to BATCH or for DELAY."""
    messages, until = [waiting.get()], time.monotonic() + DELAY
    while len(messages) < BATCH and (left := until - time.monotonic()) > 0:
        try:
            messages.append(waiting.get(timeout=left))
        except queue.Empty:
            break
    return messages


def store(connection: psycopg.Connection, messages: list, streams: dict) -> None:
    """Decode and COPY one batch in one transaction."""
    with (
        connection.transaction(),
        connection.cursor() as cursor,
        cursor.copy("copy baseline from stdin (format binary)") as copy,
    ):
        copy.set_types(["int8", "timestamptz", "float8"])
        for message in messages:
            body = Body.model_validate_json(message.payload)
            device, time_ = body.end_device_ids.dev_eui, body.uplink_message.received_at
            for name, value in body.uplink_message.decoded_payload.items():
                copy.write_row((streams.setdefault((device, name), len(streams)), time_, value))


def main(url: str, count: int, database: str) -> None:
    """Store `count` messages and print how long that took."""
    waiting: queue.SimpleQueue = queue.SimpleQueue()
    client = connect(url, "bench-baseline", lambda _, __, message: waiting.put(message), manual_ack=True)
    stored, began, streams = 0, 0.0, {}
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(TABLE)
        while stored < count:
            messages = take(waiting)
            began = began or messages[0].timestamp
            store(connection, messages, streams)
            for message in messages:
                client.ack(message.mid, message.qos)
            stored += len(messages)
        if count:
            print(json.dumps({"messages": stored, "seconds": time.monotonic() - began}))
    close(client)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), sys.argv[3])
