"""What is wrong with messages: each is refused for its reason, kept, and delays nobody; and the counters add up."""

import json
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from devices import Device, listener, samples
from processes import City, until
from reader import Reader, moment

from deploy import simulate

PLATE = samples("milesight", "full")[0].payload
LATER = (datetime.now(UTC) + timedelta(hours=3)).isoformat()
BAD = [
    ("sensors/cut", b'{"temperature": 21.', "syntax", ["payload", "line 1 column"]),
    ("sensors/list", b'[{"temperature": 3}, 4]', "syntax", ["an item", "a number"]),
    (
        "leiestad/senml",
        b'[{"bn": "urn:dev:mac:02000000000b:", "n": "temperature", "v": "21"}]',
        "syntax",
        ["v", "str"],
    ),
    ("short/big", b'{"temperature": 1, "about": "' + b"x" * 100 + b'"}', "size", ["131 bytes", "100"]),
    ("sensors/big", b'{"temperature": 1, "about": "' + b"x" * (1 << 20) + b'"}', "size", ["1048576"]),
    ("sensors/latin", '{"temperature": 1, "room": "café"}'.encode("latin-1"), "encoding", ["UTF-8", "byte 31"]),
    ("sensors/later", json.dumps({"temperature": 1, "time": LATER}).encode(), "time", ["time", "3600 s"]),
    ("sensors/undated", b'{"temperature": 1, "time": "yesterday"}', "time", ["time", "str"]),
    ("sensors/gate", PLATE, "personal", ["plate"]),
    ("camera/ring-1/milesight", PLATE[:150], "syntax", ["JSON"]),
    ("camera/ring-1/hikvision", b"<EventNotificationAlert/>", "syntax", ["ANPR"]),
]


@pytest.mark.parametrize(("topic", "payload", "reason", "words"), BAD, ids=[f"{one[0]} {one[2]}" for one in BAD])
def test_a_bad_message(
    sensor: Device, read: Reader, topic: str, payload: bytes, reason: str, words: list[str]
) -> None:
    before = read.count("messages_rejected", reason)
    thing = f"after-{topic.replace('/', '-')}"
    sensor.publish(topic, payload)
    sensor.tell(f"sensors/{thing}", {"temperature": 3})
    assert until(lambda: read.of("all", thing), "the next message", 20)
    assert read.count("messages_rejected", reason) == before + 1
    newest = read.rejects()[0]
    assert (newest["topic"], newest["reason"], newest["length"]) == (topic, reason, len(payload))
    assert all(word in newest["detail"] for word in words), newest["detail"]
    assert newest["replayable"] == (b"plate" not in payload and "camera" not in topic)


def test_an_implausible_value_is_stored_with_a_flag(sensor: Device, read: Reader) -> None:
    sensor.tell("sensors/sun", {"temperature": 400})
    (row,) = until(lambda: read.of("all", "sun"), "the value")
    assert (row["result"], row["quality"]) == ("400", "range received")


def test_replay_after_a_repair_keeps_the_receive_time(
    city: City, sensor: Device, read: Reader, tmp_path: Path
) -> None:
    sensor.tell("mistaken/attic", {"temperature": 18.5, "n": 7})
    reject = until(
        lambda: next((one for one in read.rejects() if one["topic"] == "mistaken/attic"), None), "a reject"
    )
    number = str(reject["id"])
    assert json.loads(city.command("rejects", "show", number))["payload"] == '{"temperature": 18.5, "n": 7}'
    assert json.loads(city.command("rejects", "replay", number, "--json"))["rejected"] == {"syntax": 1}
    text = Path(city.run["config"]).read_text()
    repaired = tmp_path / "city.toml"
    repaired.write_text(
        text.replace('topic = "mistaken/+"\nformat = "senml"', 'topic = "mistaken/+"\nformat = "json"')
    )
    done = json.loads(city.command("rejects", "replay", number, "--config", str(repaired), "--json"))
    assert done == {"stored": 1, "duplicate": 0, "ignored": {}, "rejected": {}}
    row = until(lambda: read.rows("all", "thing=attic&property=temperature"), "the observation")[0]
    assert (row["result"], moment(row["phenomenonTime"])) == ("18.5", moment(reject["received"]))


def test_a_camera_message_cannot_be_replayed(city: City, read: Reader) -> None:
    number = next(one["id"] for one in read.rejects() if one["topic"] == "camera/ring-1/milesight")
    assert "camera" in city.command("rejects", "replay", str(number), code=2)
    shown = json.loads(city.command("rejects", "show", str(number)))
    assert "payload" not in shown
    assert "payloadBase64" not in shown


def test_retained_messages(city: City, sensor: Device, read: Reader) -> None:
    sensor.publish("sensors/state", b'{"temperature": 20}', retain=True)
    sensor.publish("sensors/dated", b'{"temperature": 20, "time": "2026-03-02T07:00:00Z"}', retain=True)
    sensor.publish("camera/ring-1/milesight", PLATE, retain=True)
    until(lambda: read.of("all", "dated"), "what was live")
    live = read.of("all", "state")
    with city.renewed("ingest"):
        pass
    until(lambda: read.count("retained_camera_cleared"), "a camera's retained message is cleared")
    assert read.settled() == Counter(received=4, duplicate=1, ignored=3)
    assert read.count("messages_ignored", "retained") == 2
    assert read.count("messages_ignored", "retained message cleared") == 1
    assert read.of("all", "state") == live
    with listener(city.run["mqtt_url"], "camera/#") as heard:
        sensor.publish("camera/ring-1/milesight", b"")
        until(lambda: heard, "what the broker still has")
        assert heard == [("camera/ring-1/milesight", b"")]


def test_every_scrape_adds_up_under_load(city: City, sensor: Device, read: Reader) -> None:
    count = 10_000

    def load() -> Any:
        return simulate.run(city.mqtt, count=count, rate=4_000, patience=60)

    def spoil() -> None:
        for number in range(200):
            sensor.publish(*(("sensors/bad", b"{") if number % 2 else ("sensors/nothing", b"{}")))

    with ThreadPoolExecutor(2) as pool:
        before = read.messages()["received"]
        work, bad = pool.submit(load), pool.submit(spoil)
        scrapes = []
        while len(scrapes) < 50 or not work.done():
            scrapes.append(read.messages())
            time.sleep(0.02)
        assert work.result(120).acknowledged == count
        bad.result(120)
    for one in [*scrapes, read.settled()]:
        done = one["stored"] + one["duplicate"] + one["ignored"] + one["rejected"]
        assert one["received"] == done + one["in_flight"], one
    assert len({one["received"] for one in scrapes}) > 3  # some of them while it was at work
    assert read.settled()["received"] == before + count + 200
    kept = json.loads(city.command("status", "--counters", "--json"))
    assert kept["adds_up"]
    assert kept["stored"] >= count
