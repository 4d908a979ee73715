"""The wire format: what generated code of ChirpStack's own schema wrote, and what is no protobuf."""

from contextlib import suppress
from struct import pack

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.errors import BadMessage
from ingest.protobuf import Field, read, signed, single, struct, time, wired

FIELDS = {
    1: Field("name", "text"),
    2: Field("count", "int"),
    3: Field("ratio", "float"),
    4: Field("exact", "double"),
    5: Field("on", "bool"),
    6: Field("parts", "message", {1: Field("rssi", "int")}, many=True),
}


def test_read() -> None:
    data = (
        b"\x0a\x04mast"
         b"\x10\xf9\xff\xff\xff\xff\xff\xff\xff\xff\x01"
         b"\x1d" + pack("<f", 75.590551)
        + b"\x21" + pack("<d", 51.05432)
        + b"\x28\x01"
        + b"\x32\x02\x08\x07" + b"\x32\x02\x08\x08"
        + b"\x7a\x02zz"
    )  # fmt: skip
    assert read(data, FIELDS) == {
        "name": "mast",
        "count": -7,
        "ratio": 75.59055,
        "exact": 51.05432,
        "on": True,
        "parts": [{"rssi": 7}, {"rssi": 8}],
    }


@pytest.mark.parametrize(
    "data",
    [
        b"\x0a",
        b"\x0a\x7f",
        b"\x08",
        b"\x08" + b"\xff" * 11,
        b"\x0b",
        b"\x00\x01",
        b"\x1d\x00",
        b"\x10" + b"\x80" * 10,
    ],
)
def test_what_is_no_protobuf(data: bytes) -> None:
    with pytest.raises(BadMessage):
        wired(data)


def test_a_field_of_another_type() -> None:
    with pytest.raises(BadMessage, match="count: expected a protobuf int"):
        read(b"\x12\x01a", FIELDS)


def test_text_that_is_not_utf8() -> None:
    with pytest.raises(BadMessage) as caught:
        read(b"\x0a\x01\xff", FIELDS)
    assert caught.value.reason == "encoding"


def test_times() -> None:
    assert (
        time(b"\x08\xf0\xea\x94\xcd\x06\x10\xff\x93\xeb\xdc\x03").isoformat() == "2026-03-02T07:00:00.999999+00:00"
    )
    with pytest.raises(BadMessage) as caught:
        time(b"\x08" + b"\xff" * 8 + b"\x7f")
    assert caught.value.reason == "time"


def test_numbers() -> None:
    assert signed((1 << 64) - 5) == -5
    assert single(pack("<f", 9.8)) == 9.8


def test_struct() -> None:
    number = b"\x11" + pack("<d", 4.5)
    inner = b"\x0a\x01t\x12" + bytes([len(number)]) + number
    nested = b"\x2a" + bytes([len(inner) + 2]) + b"\x0a" + bytes([len(inner)]) + inner
    assert struct(b"\x0a" + bytes([len(inner)]) + inner) == {"t": 4.5}
    entry = b"\x0a\x01p\x12" + bytes([len(nested)]) + nested
    assert struct(b"\x0a" + bytes([len(entry)]) + entry) == {"p": {"t": 4.5}}


def framed(tag: bytes, body: bytes) -> bytes:
    size = len(body)
    return tag + (bytes([size]) if size < 128 else bytes([size & 127 | 128, size >> 7])) + body


def test_what_is_too_deep() -> None:
    objects = lists = b""
    for _ in range(15):
        objects = framed(b"\x2a", framed(b"\x0a", framed(b"\x12", objects)))
        lists = framed(b"\x32", framed(b"\x0a", lists))
    for value in (objects, lists):
        with pytest.raises(BadMessage) as caught:
            struct(framed(b"\x0a", framed(b"\x12", value)))
        assert caught.value.reason == "size"


@given(st.binary(max_size=200))
def test_arbitrary_bytes(data: bytes) -> None:
    with suppress(BadMessage):
        found = read(data, FIELDS | {7: Field("object", "struct"), 8: Field("time", "time")})
        assert set(found) <= {"name", "count", "ratio", "exact", "on", "parts", "object", "time"}
