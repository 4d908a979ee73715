"""What becomes of a message on its way: bytes that turn, pieces lost or doubled, values of other types and sizes."""

import json
from collections.abc import Callable, Iterator
from random import Random
from typing import Any

MOST = 60_000
"""Bytes of a mutated payload: larger ones are the source's `max_bytes` to refuse."""
JUNK = [
    b"\x00", b"\xff", b"\xef\xbb\xbf", b"{", b"}", b"]", b"[[[[[[[[", b'"', b"\\", b"\\ud800", b"null", b"NaN", b"-Infinity",
    b"1e999", b"-", b"<", b"</", b"<!DOCTYPE a [<!ENTITY b 'c'>]>", b"&b;", b"\r\n\r\n", b"--", b"|", b"#", b";", b",", b"\t",
    b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80", b"\xff\xff\xff\xff\x0f", b"\x9f\x9f\x9f",
    b"\xbf\xff", b"\x1b\xff\xff\xff\xff\xff\xff\xff\xff", b"\0citybroker/1\n{}\n", b"\0citybroker/2\n", "ＡＢ\u202e\u0000é".encode(),
]  # fmt: skip
TEXTS = [
    "", " ", "-", "unavailable", "NaN", "inf", "45%", "12,5 °C", "0x1F", "1e400", "9" * 400, "x" * 20_000, "\0", "a\0b", "\ud800",
    "\u202e\u2066", "🌡️" * 50, "é\u0301", "٣٤", "\r\n", "true", "null", "2026-10-25T02:30:00", "9999-12-31T23:59:59-14:00",
    "0001-01-01T00:00:00+14:00", "2026-03-02T07:15:00.123456789Z", "24:00", "1772434800", "Point", "urn:ngsi-ld:A:b", "../../etc/passwd",
    "/m3", "K·m²·kg⁻¹", "{device}", "${jndi}", "%s%n", "'; drop table observation; --", "AAAA////", "====",
]  # fmt: skip
NUMBERS: list[float] = [
    0, -0.0, -1, 1, 255, 256, 2**31, 2**53 + 1, 2**63, 2**64, -(2**63) - 1, 10**30, 10**300, 1e308, -1e308, 5e-324,
    float("nan"), float("inf"), float("-inf"), 1772434800, 1772434800123, 1772434800123456789, 253402300800, 0.1 + 0.2,
]  # fmt: skip
KEYS = [
    "", "id", "time", "ts", "value", "v", "n", "bn", "bt", "u", "unit", "lat", "lon", "location", "coordinates", "type", "data", "name",
    "temperature", "temperature_2", "a.b.c", "a" * 300, "é", "\0", "\ud83d", "__proto__", "constructor", "0", "[*]", "$ref", "Time", "units",
]  # fmt: skip
LEVELS = [
    "",
    "+",
    "#",
    "$SYS",
    "a b",
    "é",
    "\u202e",
    "x" * 2000,
    "..",
    "0",
    "devices",
    "up",
    "DDATA",
    "NBIRTH",
    "attrs",
    "{device}",
]


def mutated(payload: bytes, chance: Random, other: bytes) -> bytes:
    """Return the payload, changed in one to four places; `other` is another message, to splice with."""
    document = _parsed(payload) if chance.random() < 0.8 else None
    if document is not None:
        for _ in range(chance.randint(1, 3)):
            document = _changed(document, chance)
        payload = _written(document, chance)
        if chance.random() < 0.9:
            return payload[:MOST]
    body = bytearray(payload)
    for _ in range(chance.randint(1, 4)):
        chance.choice(BYTEWISE)(body, chance, other)
        del body[MOST:]
    return bytes(body)


def topic(written: str, chance: Random) -> str:
    """Return the topic with a level changed, added or lost. A topic has no NUL and is UTF-8: the broker sees to that."""
    levels = written.split("/")
    at = chance.randrange(len(levels))
    levels[at : at + chance.randint(0, 1)] = chance.sample(LEVELS, chance.randint(0, 2))
    return "/".join(levels)[:60_000] or "a"


# ── bytes ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def _flip(body: bytearray, chance: Random, other: bytes) -> None:
    for _ in range(min(len(body), chance.choice((1, 1, 2, 8, 40)))):
        body[chance.randrange(len(body))] ^= 1 << chance.randrange(8)


def _cut(body: bytearray, chance: Random, other: bytes) -> None:
    del body[chance.randrange(len(body) + 1) :]


def _behead(body: bytearray, chance: Random, other: bytes) -> None:
    del body[: chance.randrange(len(body) + 1)]


def _drop(body: bytearray, chance: Random, other: bytes) -> None:
    at = chance.randrange(len(body) + 1)
    del body[at : at + chance.randint(1, 30)]


def _double(body: bytearray, chance: Random, other: bytes) -> None:
    at = chance.randrange(len(body) + 1)
    body[at:at] = body[at : at + chance.randint(1, 60)] * chance.choice((1, 1, 1, 2, 30))


def _junk(body: bytearray, chance: Random, other: bytes) -> None:
    at = chance.randrange(len(body) + 1)
    body[at:at] = chance.choice(JUNK) * chance.choice((1, 1, 1, 1, 3, 200))


def _splice(body: bytearray, chance: Random, other: bytes) -> None:
    body[chance.randrange(len(body) + 1) :] = other[chance.randrange(len(other) + 1) :]


def _repeat(body: bytearray, chance: Random, other: bytes) -> None:
    body *= chance.choice((2, 2, 2, 3, 20))


BYTEWISE: list[Callable[[bytearray, Random, bytes], None]] = [
    _flip, _flip, _cut, _behead, _drop, _double, _junk, _junk, _splice, _repeat,
]  # fmt: skip


# ── JSON ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


def _parsed(payload: bytes) -> Any:
    """The document that a payload is; None where it is none, a bare value, or so large that it slows the run."""
    if len(payload) > 20_000 or payload[:1] not in {b"{", b"["}:
        return None
    try:
        return json.loads(payload)
    except (ValueError, RecursionError):
        return None


def _written(document: Any, chance: Random) -> bytes:
    try:
        text = json.dumps(document, ensure_ascii=chance.random() < 0.5, separators=(",", ":"))
    except RecursionError:
        return b"[" * 100_000
    return text.encode("utf-8", "surrogatepass")


def _changed(document: Any, chance: Random) -> Any:
    """The document with one of its nodes changed in place."""
    spots = list(_spots(document))
    if not spots:
        return _value(chance, document)
    holder, key = chance.choice(spots)
    if isinstance(holder, dict):
        _change_member(holder, key, chance)
    else:
        _change_item(holder, key, chance)
    return document


def _spots(node: Any) -> Iterator[tuple[Any, Any]]:
    """Each (object, key) and (array, index) of a document, without recursion."""
    rest = [node]
    while rest:
        holder = rest.pop()
        pairs = (
            holder.items() if isinstance(holder, dict) else enumerate(holder) if isinstance(holder, list) else ()
        )
        for key, value in pairs:
            yield holder, key
            if isinstance(value, dict | list):
                rest.append(value)


def _change_member(holder: dict[str, Any], key: str, chance: Random) -> None:
    what = chance.randrange(10)
    if what < 5:
        holder[key] = _value(chance, holder[key])
    elif what < 7:
        value = holder.pop(key)
        holder[chance.choice(KEYS) if chance.random() < 0.95 else _long(chance)] = value
    elif what == 7:
        del holder[key]
    elif what == 8:
        holder[chance.choice(KEYS)] = _value(chance, holder[key])
    else:
        holder[key] = [holder[key]] * chance.choice((0, 1, 2, 50))


def _change_item(holder: list[Any], index: int, chance: Random) -> None:
    what = chance.randrange(6)
    if what < 3:
        holder[index] = _value(chance, holder[index])
    elif what == 3:
        del holder[index]
    elif what == 4:
        holder[index:index] = [holder[index]] * chance.choice((1, 1, 5, 60))
    else:
        chance.shuffle(holder)


def _value(chance: Random, old: Any) -> Any:
    """A value of another type or size in place of the old one."""
    make = chance.choice(MAKERS)
    return make(chance, old)


def _deep(chance: Random, old: Any) -> Any:
    for _ in range(chance.choice((3, 13, 40, 400))):
        old = [old] if chance.random() < 0.3 else {"a": old}
    return old


def _text_of(chance: Random, old: Any) -> Any:
    return {"value": old} if isinstance(old, dict | list) else str(old)[:500]


def _scaled(chance: Random, old: Any) -> Any:
    return old * chance.uniform(-3, 3) if isinstance(old, float) else [old, old]


def _wide(chance: Random, old: Any) -> Any:
    return {f"k{number}": number for number in range(chance.choice((1, 30, 800)))}


def _empty(chance: Random, old: Any) -> Any:
    return chance.choice([None, True, False, [], {}, [[]], {"value": {}}, [None], {"": None}])


def _any_number(chance: Random, old: Any) -> Any:
    return chance.choice(NUMBERS)


def _any_text(chance: Random, old: Any) -> Any:
    return chance.choice(TEXTS) if chance.random() < 0.95 else _long(chance)


def _long(chance: Random) -> str:
    """A name like no other, of a length that nobody should remember."""
    return f"{chance.getrandbits(40):x}" + "x" * 20_000


MAKERS: list[Callable[[Random, Any], Any]] = [
    _any_number, _any_number, _any_number, _any_text, _any_text, _any_text, _empty, _empty, _text_of, _scaled, _deep, _wide,
]  # fmt: skip
