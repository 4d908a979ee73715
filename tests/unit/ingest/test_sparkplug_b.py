"""Sparkplug B over several messages: births remembered, sequences followed, rebirths asked for."""

import random
import struct
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.errors import BadMessage
from broker.model import Ignored, Inventory, Message, Reading, Reply, Skipped, Source
from ingest.formats.sparkplug_b import Options, decode
from ingest.sparkplug import read, rebirth

SAMPLES = Path(__file__).parents[2] / "samples" / "sparkplug_b"
RECEIVED = datetime(2026, 3, 2, 12, tzinfo=UTC)
EDGE = "spBv1.0/Leiestad/{}/pompstation-3"
DEVICE = EDGE + "/put-1"


def varint(number: int) -> bytes:
    written = b""
    while number > 127:
        written, number = written + bytes([number & 127 | 128]), number >> 7
    return written + bytes([number])


def field(number: int, value: int | bytes) -> bytes:
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    return varint(number << 3 | 2) + varint(len(value)) + value


def metric(name: str = "", *, alias: int | None = None, **fields: Any) -> bytes:
    numbers = {"time": 3, "kind": 4, "whole": 10, "long": 11, "truth": 14, "text": 15}
    body = field(1, name.encode()) if name else b""
    body += b"" if alias is None else field(2, alias)
    for key, value in fields.items():
        if key == "double":
            body += varint(13 << 3 | 1) + struct.pack("<d", value)
        elif key == "single":
            body += varint(12 << 3 | 5) + struct.pack("<f", value)
        else:
            body += field(numbers[key], value.encode() if isinstance(value, str) else value)
    return field(2, body)


def payload(*metrics: bytes, seq: int | None = None) -> bytes:
    return field(1, 1_772_434_800_000) + b"".join(metrics) + (b"" if seq is None else field(3, seq))


class Host:
    """Takes messages one after the other, and keeps what the decoder wants remembered."""

    def __init__(self, **options: Any) -> None:
        self.state: dict[str, Any] = {}
        self.source = Source("plant", "spBv1.0/#", format="sparkplug_b", options=options)

    def take(self, topic: str, data: bytes, *, duplicate: bool = False) -> list[Any]:
        found = decode(Message(topic, data, RECEIVED, duplicate=duplicate), self.source, self.state)
        self.state |= {item.key: item.value for item in found if isinstance(item, Inventory)}
        return [item for item in found if not isinstance(item, Inventory)]


def born(host: Host) -> Host:
    host.take(EDGE.format("NBIRTH"), payload(metric("bdSeq", kind=4, long=3), seq=0))
    host.take(DEVICE.format("DBIRTH"), payload(metric("Level", alias=5, kind=10, double=1.5), seq=1))
    return host


def test_alias_after_birth() -> None:
    (reading,) = born(Host()).take(DEVICE.format("DDATA"), payload(metric(alias=5, double=1.75), seq=2))
    assert (reading.thing, reading.name, reading.value) == ("Leiestad/pompstation-3/put-1", "Level", 1.75)


def test_sequence_wraps_from_255_to_0() -> None:
    host = born(Host())
    host.state["seq Leiestad/pompstation-3"] = 255
    found = host.take(DEVICE.format("DDATA"), payload(metric(alias=5, double=1.75), seq=0))
    assert [type(item) for item in found] == [Reading]


def test_gap_is_counted_and_asks_for_a_rebirth() -> None:
    found = born(Host()).take(DEVICE.format("DDATA"), payload(metric(alias=5, double=1.75), seq=9))
    assert Skipped("seq", "sequence gap") in found
    (reply,) = [item for item in found if isinstance(item, Reply)]
    assert reply.topic == "spBv1.0/Leiestad/NCMD/pompstation-3"


@pytest.mark.parametrize("seq", [1, 2])
def test_what_the_broker_sends_again_is_no_gap(seq: int) -> None:
    host = born(Host())
    found = host.take(DEVICE.format("DDATA"), payload(metric(alias=5, double=2.0), seq=seq), duplicate=seq == 2)
    assert [type(item) for item in found] == [Reading]


def test_rebirth_request_is_a_command() -> None:
    (asked,) = read(rebirth(RECEIVED)).metrics
    assert (asked.name, asked.kind, asked.value) == ("Node Control/Rebirth", 11, True)


def test_rebirth_is_not_asked_for_where_that_is_switched_off() -> None:
    data = payload(metric(alias=5, double=1.75), seq=2)
    assert any(isinstance(item, Reply) for item in Host().take(DEVICE.format("DDATA"), data))
    assert not any(isinstance(item, Reply) for item in Host(rebirth=False).take(DEVICE.format("DDATA"), data))
    assert Options().rebirth


def test_death_of_a_node_forgets_its_devices() -> None:
    host = born(Host())
    host.take(EDGE.format("NDEATH"), payload(metric("bdSeq", kind=4, long=3)))
    found = host.take(DEVICE.format("DDATA"), payload(metric(alias=5, double=1.75), seq=2))
    assert Skipped("alias 5", "unknown alias") in found


def test_will_of_an_earlier_session_forgets_nothing() -> None:
    host = born(Host())
    assert host.take(EDGE.format("NDEATH"), payload(metric("bdSeq", kind=4, long=2))) == [Ignored("death")]
    (reading,) = host.take(DEVICE.format("DDATA"), payload(metric(alias=5, double=1.75), seq=2))
    assert reading.name == "Level"


def test_birth_of_a_node_forgets_its_devices() -> None:
    host = born(Host())
    host.take(EDGE.format("NBIRTH"), payload(metric("bdSeq", kind=4, long=4), seq=0))
    assert host.state["birth Leiestad/pompstation-3/put-1"] is None


def test_death_of_a_device_leaves_its_node() -> None:
    host = born(Host())
    host.take(DEVICE.format("DDEATH"), payload(seq=2))
    assert host.state["birth Leiestad/pompstation-3/put-1"] is None
    assert host.state["birth Leiestad/pompstation-3"]


@pytest.mark.parametrize(
    ("kind", "fields", "value"),
    [
        (1, {"whole": 0xFFFFFFFD}, -3), (1, {"whole": 0xFD}, -3), (2, {"whole": 0xFFF4}, -12),
        (3, {"whole": 0xFFFFFFFF}, -1), (3, {"long": 2**64 - 1}, -1), (4, {"long": 2**64 - 9}, -9),
        (7, {"whole": 4294967295}, 4294967295), (8, {"long": 2**63}, 2**63), (9, {"single": 8.1}, 8.1),
        (9, {"single": 16777216.0}, 16777216.0), (10, {"double": 8.1}, 8.1), (11, {"truth": 0}, False),
        (11, {"whole": 1}, True), (12, {"text": "auto"}, "auto"), (13, {"long": 0}, "1970-01-01T00:00:00Z"),
    ],
)  # fmt: skip
def test_data_types(kind: int, fields: dict[str, Any], value: Any) -> None:
    data = payload(metric("Name", kind=kind, **fields), seq=1)
    (reading,) = [item for item in Host().take(DEVICE.format("DBIRTH"), data) if isinstance(item, Reading)]
    assert reading.value == value
    assert type(reading.value) is type(value)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_what_is_no_number_is_skipped(value: float) -> None:
    (found,) = Host().take(DEVICE.format("DBIRTH"), payload(metric("Name", kind=10, double=value), seq=1))
    assert found == Skipped("Name", "not a number")


def test_names_that_cannot_be_one_are_skipped() -> None:
    metrics = [metric("n" * 200, kind=3, whole=1), metric("a\nb", kind=3, whole=1)]
    found = Host().take(DEVICE.format("DBIRTH"), payload(*metrics, seq=1))
    assert [item.reason for item in found] == ["name", "name"]


def test_a_bridge_may_put_levels_before_the_namespace() -> None:
    (reading,) = Host().take(
        "plant/" + DEVICE.format("DBIRTH"), payload(metric("Level", kind=10, double=1.0), seq=1)
    )
    assert reading.thing == "Leiestad/pompstation-3/put-1"


@pytest.mark.parametrize(
    "topic",
    ["spBv1.0/a/NDATA", "spBv1.0/a/NDATA/b/c", "spBv1.0/a/DDATA/b", "spBv1.0/a/DDATA//c", "spAv1.0/a/NDATA/b"],
)
def test_other_topics_are_refused(topic: str) -> None:
    with pytest.raises(BadMessage) as caught:
        Host().take(topic, b"")
    assert caught.value.reason == "topic"


@given(data=st.binary(max_size=200))
def test_arbitrary_bytes_of_a_sparkplug_topic(data: bytes) -> None:
    for kind in ("NBIRTH", "NDATA", "NDEATH", "NCMD"):
        try:
            born(Host()).take(EDGE.format(kind), data)
        except BadMessage as error:
            assert error.reason  # noqa: PT017  refusing is one of two right answers


def test_mutated_samples_on_their_topic() -> None:
    chance, whole = random.Random(7), (SAMPLES / "device-birth.bin").read_bytes()
    outcomes = set()
    for _ in range(2000):
        data = bytearray(whole)
        for _ in range(3):
            data[chance.randrange(len(data))] = chance.randrange(256)
        try:
            outcomes.add(type(born(Host()).take(DEVICE.format("DBIRTH"), bytes(data))))
        except BadMessage as error:
            outcomes.add(error.reason)
    assert {list, "syntax"} <= outcomes <= {list, "syntax", "encoding", "size"}
