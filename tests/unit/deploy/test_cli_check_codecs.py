"""`[source.options]` of LoRaWAN: files beside city.toml are read once, and what is wrong with them is told."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from broker.errors import BadConfig
from broker.model import Message
from deploy import check
from ingest.lorawan import Options
from ingest.profiles import Book
from ingest.run import make_taker

CITY = """
[city]
id = "leiestad"
name = "Leiestad"
[[source]]
name = "lorawan"
topic = "v3/+/devices/+/up"
format = "tts_v3"
[source.options]
"""
CODEC = "function decodeUplink(i) { return {data: {level: i.bytes[0]}}; }"
PROFILES = """
title = "Own"
brands = ["own"]
source = "https://example.org/own"
[model.float]
title = "Float"
codec = "codecs/float.js"
[model.float.fields]
level = { is = "waterLevel", unit = "cm" }
[model.udl-roof]
like = "milesight/em310-udl"
[model.udl-roof.fields]
distance = { is = "snowHeight", unit = "mm" }
"""


@pytest.fixture
def city(tmp_path: Path) -> Path:
    (tmp_path / "codecs").mkdir()
    (tmp_path / "codecs" / "float.js").write_text(CODEC)
    (tmp_path / "own.toml").write_text(PROFILES)
    return tmp_path / "city.toml"


def options(city: Path, text: str) -> dict[str, object]:
    city.write_text(CITY + text)
    return check.check(city).source[0].options


def test_a_codec_is_read_when_the_configuration_is(city: Path) -> None:
    assert options(city, 'codec = "codecs/float.js"') == {"codec": CODEC}
    assert options(city, 'codec = "cayenne"\nunits = { a = "mm" }') == {"codec": "cayenne", "units": {"a": "mm"}}


def test_profiles_of_ones_own_go_with_the_shipped_ones(city: Path) -> None:
    book = options(city, 'profiles = "own.toml"\nprofile = "own/float"')["profiles"]
    assert isinstance(book, Book)
    assert book["own/float"].codec == CODEC
    assert book["milesight/em310-udl"]["distance"]
    roof = book["own/udl-roof"]["distance"]
    assert roof is not None
    assert roof.name == "snowHeight"
    assert book.model("own", "float") is book["own/float"]


def test_a_source_decodes_with_a_profile_of_its_own(city: Path) -> None:
    city.write_text(CITY + 'profiles = "own.toml"\nprofile = "own/float"')
    taker = make_taker(check.check(city), None, {})
    body = b'{"end_device_ids": {"dev_eui": "02"}, "uplink_message": {"f_port": 1, "frm_payload": "ew=="}}'
    taken = taker.take(Message("v3/a@b/devices/c/up", body, datetime(2026, 3, 2, tzinfo=UTC)))
    (row,) = taken.observations
    assert (row.datastream.property, row.number, row.datastream.unit) == ("waterLevel", 1.23, "m")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('codec = "codecs/none.js"', "beside city.toml: No such file"),
        ('codec = "own.toml"', "expected a codec"),
        ('profile = "milesight/em310-uld"', 'did you mean "milesight/em310-udl"'),
        ('profiles = "none.toml"', "beside city.toml: No such file"),
        ('profiles = "codecs/float.js"', "profiles"),
        ("profiles = 3", "a file of profiles"),
        ('codecs = "x"', 'did you mean "codec"'),
    ],
)
def test_what_is_wrong_is_told(city: Path, text: str, told: str) -> None:
    city.write_text(CITY + text)
    with pytest.raises(BadConfig, match=told):
        check.check(city)


def test_a_profile_like_none_is_told(city: Path) -> None:
    (city.parent / "own.toml").write_text(PROFILES.replace("milesight/em310-udl", "milesight/none"))
    city.write_text(CITY + 'profiles = "own.toml"')
    with pytest.raises(BadConfig, match="like"):
        check.check(city)


def test_a_bad_codec_of_a_profile_is_told(city: Path) -> None:
    (city.parent / "codecs" / "float.js").write_text("var x = 1;")
    city.write_text(CITY + 'profiles = "own.toml"')
    with pytest.raises(BadConfig, match="found none"):
        check.check(city)


def test_without_a_directory_a_codec_is_its_text() -> None:
    assert Options.model_validate({"codec": CODEC}).codec == CODEC
