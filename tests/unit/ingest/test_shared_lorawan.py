"""Vectors of decoders are no messages; what they decode to is what the profiles expect."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from conftest import SHARED

from broker import vocabulary
from broker.errors import BadMessage
from broker.model import Message, Source
from ingest.formats import chirpstack_v4, tts_v3
from ingest.normalise import Normaliser

NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)
FILES = ["milesight-lorawan/1.json", "ttn-codec-vectors/1.txt", "ttn-codec-vectors/2.txt"]
EXPECTED: dict[str, list[tuple[str, str, Any, str]]] = {
    "0175580382e204040000": [("batteryLevel", "", 88, "%"), ("distance", "", 1.25, "m"), ("tilted", "", False, "")],
    "01750003820000040001": [("batteryLevel", "", 0, "%"), ("distance", "", 0, "m"), ("tilted", "", True, "")],
    "0175630382100e": [("batteryLevel", "", 99, "%"), ("distance", "", 3.6, "m")],
    "01755a0367d3ff04826801050000": [
        ("batteryLevel", "", 90, "%"), ("temperature", "", -4.5, "Cel"), ("distance", "", 0.36, "m"), ("tilted", "", False, ""),
    ],
    "05cc07000400": [("peopleCount", "in", 7, "1"), ("peopleCount", "out", 4, "1")],
    "20ce30c8a4690003000200": [("peopleCount", "in", 3, "1"), ("peopleCount", "out", 2, "1")],
    "017564055b05c801a4012b02": [
        ("batteryLevel", "", 100, "%"), ("soundLevel", "AF", 45.6, "dB"), ("LAeq", "", 42.0, "dB"), ("LAmax", "F", 55.5, "dB"),
    ],
    "0584c20706737e270792190008ec6400000003": [
        ("windDirection", "", 198.6, "deg"), ("atmosphericPressure", "", 1011.0, "hPa"), ("windSpeed", "", 2.5, "m/s"),
        ("precipitationTotal", "", 1.0, "mm"),
    ],
}  # fmt: skip


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("module", [tts_v3, chirpstack_v4], ids=["tts_v3", "chirpstack_v4"])
def test_vectors_are_refused(name: str, module: Any) -> None:
    message = Message("leiestad/device", Path(SHARED, "samples", name).read_bytes(), NOW)
    with pytest.raises(BadMessage):
        module.decode(message, Source("shared", "leiestad/device"), {})


def test_milesight_vectors_through_their_profiles() -> None:
    rows = json.loads(Path(SHARED, "samples", FILES[0]).read_bytes())
    assert {row["hex"] for row in rows} >= set(EXPECTED)
    for row in rows:
        found = through(row["model"], row["fPort"], row["decoded"])
        wanted = EXPECTED.get(row["hex"])
        assert found
        assert wanted is None or found == wanted, row["hex"]


def test_history_belongs_to_its_own_time() -> None:
    (row,) = [
        row for row in json.loads(Path(SHARED, "samples", FILES[0]).read_bytes()) if "history" in row["decoded"]
    ]
    starts = {one.start for one in normalised(row["model"], row["fPort"], row["decoded"])}
    assert starts == {datetime(2026, 3, 1, 23, 13, 52, tzinfo=UTC)}


def normalised(model: str, port: int, decoded: Any) -> list[Any]:
    body = {
        "received_at": "2026-03-02T11:59:59Z",
        "f_port": port,
        "decoded_payload": decoded,
        "version_ids": {"brand_id": "milesight-iot", "model_id": model},
    }
    document = {"end_device_ids": {"dev_eui": "0200000000A00001"}, "uplink_message": body}
    message = Message("v3/app@tenant/devices/one/up", json.dumps(document).encode(), NOW)
    source = Source("tts", "v3/+/devices/+/up")
    return (
        Normaliser(vocabulary.load()).normalise(tts_v3.decode(message, source, {}), message, source).observations
    )


def through(model: str, port: int, decoded: Any) -> list[tuple[str, str, Any, str]]:
    return [
        (
            one.datastream.property,
            one.datastream.qualifier,
            one.number if one.result is None else one.result,
            one.datastream.unit,
        )
        for one in normalised(model, port, decoded)
    ]
