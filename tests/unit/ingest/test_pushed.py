"""Messages through the push door's envelope become what they become without it."""

from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from anpr.keys import KeyStore
from anpr.strip import strip
from broker import config as configuration
from broker import modules
from broker.model import Message
from ingest.envelope import seal
from ingest.run import make_taker

SAMPLES = Path(__file__).parents[2] / "samples"
CAMERAS = modules.load("anpr.cameras")
NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)
CITY = """
[city]
id = "c"
name = "C"
[[source]]
name = "air"
topic = "in/air/+"
format = "json"
thing = "station-{{device}}"
[[source]]
name = "gates"
topic = "in/gates/+"
camera = "{camera}"
max_age = "P9999D"
"""
FILES = [
    pytest.param(name, path, id=f"{name}-{path.stem}")
    for name in sorted(CAMERAS)
    for path in sorted((SAMPLES / name).glob("*"))
    if ".expected." not in path.name
]


@pytest.fixture(scope="module")
def keys(tmp_path_factory):
    return KeyStore(tmp_path_factory.mktemp("keys") / "k", "c", ZoneInfo("Europe/Brussels"))


@pytest.fixture
def take(keys):
    def become(topic: str, payload: bytes, camera: str = "milesight"):
        config = configuration.read(CITY.format(camera=camera), "city.toml")
        return make_taker(config, keys, {}).take(Message(topic, payload, NOW))

    return become


@pytest.mark.parametrize(("name", "path"), FILES)
def test_passages_of_a_camera(take, name, path):
    payload = path.read_bytes()
    direct = take("in/gates/zuid", payload, name)
    if direct.reject is not None:
        return
    pushed = take("in/gates/zuid", seal(strip(payload, CAMERAS[name]), identity="zuid"), name)
    assert pushed.ignored == direct.ignored
    strange = b"0" * 16  # made of the message where the vendor gives no id of its own
    assert [one._replace(identity=strange) for one in pushed.passages] == [
        one._replace(identity=strange) for one in direct.passages
    ]


def test_a_camera_without_a_name_is_called_what_the_door_was_told(take):
    payload = (SAMPLES / "milesight" / "nothing-known.json").read_bytes()
    (one,) = take("in/gates/gate%207", seal(payload, identity="gate 7")).passages
    assert one.camera == "gate 7"


def test_a_reject_of_a_pushed_camera_keeps_no_payload(take):
    taken = take("in/gates/zuid", seal(b'{"plate": "1ABC000', identity="zuid"))
    assert taken.reject is not None
    assert (taken.reject.reason, taken.reject.payload) == ("syntax", None)


def test_the_identity_that_the_door_was_told_fills_a_template(take):
    (one,) = take("in/air/7", seal(b'{"temperature": 4}', identity="7")).observations
    assert one.datastream.thing == "station-7"
