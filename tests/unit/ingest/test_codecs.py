"""Payload codecs: what they may do, and that nothing they do harms the messages of others."""

import json
from base64 import b64encode
from datetime import UTC, datetime
from threading import Thread
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from broker import vocabulary
from broker.errors import BadMessage
from broker.model import Message, Skipped, Source
from ingest import codecs
from ingest.formats import chirpstack_v4, senml, tts_v3
from ingest.normalise import Normaliser

NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)
BYTES = b64encode(bytes([1, 117, 88])).decode()
DISTANCE = """
function decodeUplink(input) {
  if (input.fPort !== 85) return {errors: ["another port"]};
  return {data: {battery: input.bytes[0], distance: input.bytes[1] * 256 + input.bytes[2]}};
}
"""

BOTH = """
function decodeUplink(i) { return {data: Decoder(i.bytes, i.fPort)}; }
function Decoder(bytes, port) { return {n: bytes.length, port: port}; }
"""


def run(codec: str, port: int | None = 85, data: str | bytes = BYTES) -> Any:
    return codecs.decode(codec, data, port, NOW)


@pytest.mark.parametrize(
    "codec",
    [
        "function decodeUplink(i) { return {data: {n: i.bytes.length, port: i.fPort}}; }",
        "function decodeUplink({bytes, fPort}) { return {data: {n: bytes.length, port: fPort}, warnings: [], errors: []}; }",
        "const decodeUplink = i => ({data: {n: i.bytes.length, port: i.fPort}});",
        "function Decoder(bytes, port) { return {n: bytes.length, port: port}; }",
        "function Decode(fPort, bytes, variables) { return {n: bytes.length, port: fPort}; }",
        "module.exports = {decodeUplink: function (i) { return {data: {n: i.bytes.length, port: i.fPort}}; }};",
        "function decodeUplink(i) { console.log('hello'); return {data: {n: i.bytes.length, port: i.fPort}}; }",
        BOTH,
    ],
)
def test_conventions(codec: str) -> None:
    codecs.check(codec)
    assert run(codec) == {"n": 3, "port": 85}


def test_the_receive_time_is_a_date() -> None:
    assert run("function decodeUplink(i) { return {data: {t: i.recvTime.toISOString()}}; }") == {
        "t": "2026-03-02T12:00:00.000Z"
    }


def test_what_is_no_number_is_null() -> None:
    assert run("function Decoder(b) { return {a: NaN, b: undefined, c: -0.5}; }") == {"a": None, "c": -0.5}


@pytest.mark.parametrize(
    "codec",
    [
        "function decodeUplink(i) { throw new Error('no'); }",
        "function decodeUplink(i) { throw {toString() { while (true); }}; }",
        "function decodeUplink(i) { while (true); }",
        "function decodeUplink(i) { return decodeUplink(i); }",
        "function decodeUplink(i) { const a = []; while (true) a.push(new Array(1000).fill(7)); }",
        "function decodeUplink(i) { return {data: {toJSON() { while (true); }}}; }",
        "function decodeUplink(i) { return /(a+)+$/.test('a'.repeat(50) + 'b'); }",
        "function decodeUplink(i) { return [].indexOf.call({length: 9e15}, 1); }",
        "function decodeUplink(i) { return 1; }",
        "function decodeUplink(i) { return null; }",
        "function decodeUplink(i) { return {data: [1]}; }",
        "function decodeUplink(i) { return {data: 'text'}; }",
        "function decodeUplink(i) { return {}; }",
        "function decodeUplink(i) { return {data: {a: 1}, errors: ['wrong']}; }",
        "function decodeUplink(i) { return {data: {a: 1n}}; }",
        "function decodeUplink(i) { const a = {}; a.a = a; return {data: a}; }",
        "function decodeUplink(i) { return {data: {a: 'x'.repeat(3e6)}}; }",
        "async function decodeUplink(i) { return {data: {a: 1}}; }",
        "function decodeUplink(i) { return require('fs'); }",
        "function decodeUplink(i) { return fetch('http://127.0.0.1'); }",
        "while (true);",
        "x = (",
        "",
    ],
)
def test_nonsense_rejects_the_message_and_no_other(codec: str) -> None:
    for _ in range(2):
        with pytest.raises(BadMessage) as caught:
            run(codec)
        assert caught.value.reason == "codec"
    assert run(DISTANCE) == {"battery": 1, "distance": 30040}


@pytest.mark.parametrize(
    "name",
    [
        "require",
        "process",
        "fetch",
        "std",
        "os",
        "setTimeout",
        "XMLHttpRequest",
        "WebSocket",
        "print",
        "scriptArgs",
        "Worker",
    ],
)
def test_there_is_no_way_out(name: str) -> None:
    assert run(f"function Decoder() {{ return {{found: typeof {name}}}; }}") == {"found": "undefined"}


def test_nothing_of_one_message_is_left_for_the_next() -> None:
    counting = "var own = 0; function Decoder() { own += 1; leak = (typeof leak == 'undefined' ? 0 : leak) + 1; return {own: own, leak: leak}; }"
    assert run(counting) == run(counting) == {"own": 1, "leak": 1}


def test_codecs_do_not_see_each_other() -> None:
    run("function Decoder() { globalThis.shared = 1; Array.prototype.own = 1; return {a: 1}; }")
    assert run("function Decoder() { return {a: typeof shared, b: typeof [].own}; }") == {
        "a": "undefined",
        "b": "undefined",
    }


def test_each_thread_has_its_own() -> None:
    results: list[Any] = []
    threads = [
        Thread(target=lambda: results.extend(run(DISTANCE)["distance"] for _ in range(20))) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [30040] * 80


def test_memory_does_not_grow_with_codecs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(codecs, "MAX_KEPT", 3)
    for number in range(10):
        run(f"function Decoder() {{ return {{n: {number}}}; }}")
    assert len(codecs._contexts()) <= 3


@pytest.mark.parametrize("codec", ["x = (", "", "var a = 1;", "function other() {}", "throw 1;"])
def test_check_finds_what_is_no_codec(codec: str) -> None:
    with pytest.raises(ValueError, match="expected"):
        codecs.check(codec)


@pytest.mark.parametrize("data", ["not base64!", "=", "é"])
def test_bytes_that_are_none(data: str) -> None:
    with pytest.raises(BadMessage) as caught:
        run(DISTANCE, data=data)
    assert caught.value.reason == "syntax"


def test_too_many_bytes() -> None:
    with pytest.raises(BadMessage) as caught:
        run(DISTANCE, data=bytes(5000))
    assert caught.value.reason == "size"


ECHO = "function Decoder(bytes, port) { const d = {}; bytes.forEach((b, i) => { d['b' + i] = b; }); return d; }"


@given(data=st.binary(max_size=60), port=st.none() | st.integers(0, 255))
@settings(deadline=None)
def test_any_bytes(data: bytes, port: int | None) -> None:
    assert list(run(ECHO, port, data).values()) == list(data)


# Through the formats


def uplink(codec: str | None, port: int = 85, **more: Any) -> list[Any]:
    body = {"received_at": "2026-03-02T11:59:59Z", "f_port": port, "frm_payload": BYTES, "rx_metadata": [], **more}
    document = {"end_device_ids": {"dev_eui": "0200000000A00001"}, "uplink_message": body}
    message = Message("v3/app@tenant/devices/one/up", json.dumps(document).encode(), NOW)
    options = {"codec": codec, "units": {"distance": "mm"}} if codec else {}
    source = Source("tts", "v3/+/devices/+/up", format="tts_v3", options=options)
    found = Normaliser(vocabulary.load()).normalise(tts_v3.decode(message, source, {}), message, source)
    return [(row.datastream.property, row.number, row.datastream.unit, row.start) for row in found.observations]


def test_the_things_stack_without_decoded_payload() -> None:
    time = datetime(2026, 3, 2, 11, 59, 59, tzinfo=UTC)
    assert uplink(DISTANCE) == [("batteryLevel", 1, "%", time), ("distance", 30.04, "m", time)]


def test_a_decoded_payload_goes_before_the_codec() -> None:
    assert [row[:2] for row in uplink(DISTANCE, decoded_payload={"battery": 50})] == [("batteryLevel", 50)]


def test_a_codec_that_says_that_the_bytes_are_wrong() -> None:
    with pytest.raises(BadMessage) as caught:
        uplink(DISTANCE, port=2)
    assert caught.value.reason == "codec"


def test_without_a_codec_the_bytes_are_skipped() -> None:
    assert uplink(None) == []


def test_cayenne_needs_no_codec() -> None:
    body = b64encode(bytes.fromhex("03670110")).decode()
    assert [row[:3] for row in uplink("cayenne", frm_payload=body)] == [("temperature", 27.2, "Cel")]


def test_chirpstack_without_object() -> None:
    document = {
        "time": "2026-03-02T11:59:59Z",
        "deviceInfo": {"devEui": "0200000000a00001"},
        "fPort": 85,
        "data": BYTES,
    }
    message = Message("application/1/device/2/event/up", json.dumps(document).encode(), NOW)
    found = chirpstack_v4.decode(message, Source("c", "#", options={"codec": DISTANCE}), {})
    assert [(item.name, item.value) for item in found] == [("battery", 1), ("distance", 30040)]
    assert chirpstack_v4.decode(message, Source("c", "#"), {}) == [Skipped("data", "no codec")]


def test_senml_keeps_its_bytes_skipped() -> None:
    pack = [{"bn": "urn:dev:ow:1:", "n": "payload", "vs": "01757b0a", "bt": 1772434800}]
    found = senml.decode(Message("s", json.dumps(pack).encode(), NOW), Source("s", "#"), {})
    assert [type(item) for item in found] == [Skipped]
