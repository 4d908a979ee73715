"""The apikey in the topics of FIWARE's agents: nobody sees it behind the door of the pipeline."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from anpr.keys import KeyStore
from broker.config import Config, examine
from broker.errors import BadMessage
from broker.model import Message
from ingest import run
from ingest.fiware import Address, address, position, redact
from ingest.pipeline import Taker

KEY = "4jggokgpepnvsb2uv4s40d59ov"
RECEIVED = datetime(2026, 3, 2, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("topic", "expected", "shown"),
    [
        (f"/json/{KEY}/mast/attrs", Address("mast", "attrs", ""), "/json/***/mast/attrs"),
        (f"json/{KEY}/mast/attrs/t", Address("mast", "attrs", "t"), "json/***/mast/attrs/t"),
        (f"/{KEY}/mast/attrs", Address("mast", "attrs", ""), "/***/mast/attrs"),
        (f"/ul/{KEY}/mast/cmdexe", Address("mast", "cmdexe", ""), "/ul/***/mast/cmdexe"),
        (
            f"/json/{KEY}/mast/configuration/commands",
            Address("mast", "configuration", "commands"),
            "/json/***/mast/configuration/commands",
        ),
        ("/ul/mast/attrs", Address("mast", "attrs", ""), "/ul/mast/attrs"),
        ("in/fiware/mast", Address("", "attrs", ""), "in/fiware/mast"),
    ],
)
def test_topics(topic: str, expected: Address, shown: str) -> None:
    assert address(topic) == expected
    assert redact(topic) == shown
    assert redact(shown) == shown


def test_a_topic_without_a_device() -> None:
    assert redact(f"/json/{KEY}") == "/json/***"
    with pytest.raises(BadMessage) as caught:
        address(redact(f"/json/{KEY}"))
    assert caught.value.reason == "identity"


@pytest.mark.parametrize("text", ["50.8269,3.2675", " 50.8269 / 3.2675", "50.8269;3.2675"])
def test_position(text: str) -> None:
    assert position(text) == ("50.8269", "3.2675")


def test_no_position() -> None:
    assert position("Grote Markt") is None


@pytest.fixture(params=["/json/+/+/attrs", f"/json/{KEY}/+/attrs"])
def taker(request: pytest.FixtureRequest, tmp_path: Path) -> Taker:
    source = {"name": "masten", "topic": request.param, "format": "fiware_iota_json"}
    config, problems = examine({"city": {"id": "leiestad", "name": "Leiestad"}, "source": [source]})
    assert not problems
    assert isinstance(config, Config)
    return run.make_taker(config, KeyStore(tmp_path / "keys", "leiestad", config.zone), {})


def test_a_reject_has_no_apikey_and_can_be_replayed(taker: Taker) -> None:
    taken = taker.take(Message(f"/json/{KEY}/mast/attrs", b'{"TimeInstant": "gisteren", "no2": 1}', RECEIVED))
    reject = taken.reject
    assert reject is not None
    assert KEY not in repr(taken._replace(source=None))
    assert reject.topic == "/json/***/mast/attrs"
    again = taker.take(Message(reject.topic, b'{"no2": 1}', RECEIVED), reject.source)
    (observation,) = again.observations
    assert observation.datastream.thing == "mast"


def test_what_is_taken_has_no_apikey(taker: Taker) -> None:
    taken = taker.take(Message(f"/json/{KEY}/mast/attrs", b'{"no2": 1}', RECEIVED))
    assert taken.observations
    assert KEY not in repr(taken._replace(source=None))
