"""Which things a source takes: all, those of its list, those of the registry; of others nothing is stored."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from broker import config as configuration
from broker import modules, vocabulary
from broker.model import Message, Source
from ingest.envelope import seal
from ingest.normalise import Normaliser
from ingest.pipeline import Taker
from ingest.register import ASK_AGAIN, KEEP, Register

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
CITY = """
[city]
id = "c"
name = "C"
[[source]]
name = "air"
topic = "in/air/+"
format = "senml"
"""
A, B = "urn:dev:os:a", "urn:dev:os:b"
OF_TWO = b'[{"n":"urn:dev:os:a:temperature","u":"Cel","v":4},{"n":"urn:dev:os:b:temperature","u":"Cel","v":5}]'


def take(payload: bytes, allow: str = "", register: Register | None = None):
    config = configuration.read(CITY + allow, "city.toml")
    taker = Taker(config, modules.load("ingest.formats"), Normaliser(vocabulary.load()), None, {}, register)
    return taker.take(Message("in/air/x", payload, NOW))


def test_all_things_unless_told():
    assert [one.datastream.thing for one in take(OF_TWO).observations] == [A, B]


@pytest.mark.parametrize("allow", [f'allow = ["{A}"]', 'allow = ["z", "*:a"]', 'allow = "registry"'])
def test_what_is_of_others_is_left_out(allow):
    found = take(OF_TWO, allow, Register(lambda: frozenset({A, "c"})))
    assert [one.datastream.thing for one in found.observations] == [A]
    assert [(one.name, one.reason) for one in found.skipped] == [("temperature", "unknown thing")]


def test_a_message_of_nothing_else_is_refused_and_kept():
    found = take(OF_TWO, 'allow = ["A", "?", "[ab]"]')
    assert found.reject is not None
    assert (found.reject.reason, found.reject.payload) == ("unknown thing", OF_TWO)


def test_the_store_is_asked_seldom(monkeypatch):
    clock, asked = [100.0], []
    monkeypatch.setattr("time.monotonic", lambda: clock[0])
    register = Register(lambda: asked.append(clock[0]) or frozenset({"a"} if clock[0] < 120 else {"a", "b"}))
    source = replace(Source(name="air", topic="air/+"), allow="registry")

    def at(moment: float) -> list[bool]:
        clock[0] = moment
        return [register.allows(source, thing) for thing in ("a", "b", "b")]

    assert at(100) == [True, False, False]
    assert at(100 + ASK_AGAIN) == [True, False, False]
    assert at(121) == [True, True, True]
    assert at(120 + KEEP) == [True, True, True]
    assert at(122 + KEEP) == [True, True, True]
    assert asked == [100.0, 121.0, 122.0 + KEEP]


def test_of_a_door_the_envelope_is_opened_once_and_kept_by_a_reject():
    sealed = seal(b'[{"n":"temperature","u":"Cel","v":4}]', identity="gate/7", part="11")
    found = take(sealed)
    (one,) = found.observations
    assert (one.datastream.thing, one.datastream.qualifier, found.message.payload) == ("gate/7", "11", sealed)
    broken = take(seal(b"[", identity="gate/7"))
    assert broken.reject is not None
    assert (broken.reject.length, broken.reject.payload) == (1, seal(b"[", identity="gate/7"))
    unknown = take(b"\0citybroker/9\n{}\n[]")
    assert unknown.reject is not None
    assert unknown.reject.reason == "envelope"
