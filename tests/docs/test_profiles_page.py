"""docs/profiles.md: its profile, its codec and its tables are what the code has."""

import re
import tomllib
from datetime import UTC, datetime
from pathlib import Path

import pytest
from pydantic import BaseModel

from broker import vocabulary
from broker.model import Message, Reading, Skipped, Source
from deploy import check
from ingest import codecs, profiles
from ingest.normalise import Normaliser
from ingest.profiles import Meaning, Model, Vector, Vendor

PAGE = (Path(__file__).parents[2] / "docs" / "profiles.md").read_text(encoding="utf-8")
NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


def keys(heading: str) -> set[str]:
    table = PAGE.partition(f"| {heading} | Meaning |")[2].partition("\n\n")[0]
    return set(re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE))


@pytest.mark.parametrize(
    ("heading", "model"),
    [("Of a vendor", Vendor), ("Of a model", Model), ("Of a field", Meaning), ("Of a vector", Vector)],
)
def test_tables_name_every_key(heading: str, model: type[BaseModel]) -> None:
    assert keys(heading) == {field.alias or name for name, field in model.model_fields.items()}


def test_every_profile_is_listed() -> None:
    assert re.findall(r"^\| `([\w-]+/[\w-]+)` \|", PAGE, re.MULTILINE) == profiles.load().keys()


def test_the_profile_does_what_it_says() -> None:
    vendor = Vendor.model_validate(tomllib.loads(blocks("toml profile")[0]))
    profile = profiles.book({"leie": vendor})["leie/float-1"]
    for vector in vendor.model["float-1"].vector:
        taken = profile.apply(
            [Reading("x", name, value, NOW) for name, value in vector.decoded.items()], vector.port
        )
        assert {item.name: item.reason for item in taken if isinstance(item, Skipped)} == vector.skipped
        found = Normaliser(vocabulary.load()).normalise(taken, Message("x", b"", NOW), Source("x", "x"))
        assert {
            f"{row.datastream.property}/{row.datastream.qualifier}".rstrip("/"): [
                row.number if row.result is None else row.result,
                row.datastream.unit,
            ]
            for row in found.observations
        } == vector.expected


def test_the_codec_does_what_it_says() -> None:
    (codec,) = blocks("js")
    codecs.check(codec)
    assert codecs.decode(codec, bytes([90, 1, 0]), 1, NOW) == {"battery": 90, "level": 256}


def test_the_configuration_is_right(tmp_path: Path) -> None:
    (tmp_path / "profiles.toml").write_text(blocks("toml profile")[0])
    (tmp_path / "codecs").mkdir()
    (tmp_path / "codecs" / "float-1.js").write_text(blocks("js")[0])
    city = '[city]\nid = "leiestad"\nname = "Leiestad"\n'
    (tmp_path / "city.toml").write_text(city + "".join(blocks("toml")))
    first, second = check.check(tmp_path / "city.toml").source
    assert first.options["profile"] == "profiles/float-1"
    assert second.options["codec"] == blocks("js")[0]
