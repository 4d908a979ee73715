"""What a reject keeps of a message, and what it never keeps."""

from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType
from zoneinfo import ZoneInfo

import pytest

from anpr.keys import KeyStore
from anpr.plate import Reader
from broker import modules, vocabulary
from broker.config import City, Config, SourceTable
from broker.model import Message
from ingest.normalise import Normaliser
from ingest.pipeline import Taker

RECEIVED = datetime(2026, 3, 2, 12, tzinfo=UTC)
CONFIG = Config(
    city=City(id="leiestad", name="Leiestad"),
    source=[
        SourceTable(name="ul", topic="/ul/+/+/attrs", format="fiware_ultralight"),
        SourceTable(name="new", topic="new/+", camera="new"),
    ],
)


def taker(path: Path, cameras: dict[str, ModuleType]) -> Taker:
    reader = Reader(cameras, KeyStore(path / "keys", "leiestad", ZoneInfo("Europe/Brussels")))
    return Taker(CONFIG, modules.load("ingest.formats"), Normaliser(vocabulary.load()), reader, {})


def test_no_error_quotes_a_message_that_may_hold_a_plate(tmp_path: Path) -> None:
    payload = b'{"device":"ksw","plate":"1ABC000","type":"Visitor"}|'
    reject = taker(tmp_path, modules.load("anpr.cameras")).take(Message("/ul/k/a/attrs", payload, RECEIVED)).reject
    assert reject is not None
    assert (reject.reason, reject.payload) == ("syntax", None)
    assert "1ABC000" not in repr(reject)


def test_an_error_is_storable(tmp_path: Path) -> None:
    reject = taker(tmp_path, {}).take(Message("/ul/k/a/attrs", b"t|", RECEIVED)).reject
    assert reject is not None
    assert reject.detail == "t: expected a value, found none"
    assert reject.payload == b"t|"


BROKEN = """
MARKS = ()
FIELDS = frozenset()


def decode(message, source, state):
    raise TypeError("1ABC000")


def unwrap(payload):
    raise TypeError("1ABC000")
"""


def test_a_defect_of_a_camera_stops_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    module = ModuleType("new")
    exec(BROKEN, module.__dict__)  # noqa: S102 - a plug-in that fails wherever it is asked
    reject = taker(tmp_path, {"new": module}).take(Message("new/1", b"{}", RECEIVED)).reject
    assert reject is not None
    assert (reject.reason, reject.payload, reject.fields) == ("decoder", None, {})
    assert "1ABC000" not in repr(reject) + "".join(capsys.readouterr())
