"""Each device profile makes of its vectors what they say, whichever network server brings them."""

import json
from base64 import b64encode
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from pydantic import ValidationError

from broker import vocabulary
from broker.model import Message, Reading, Skipped, Source
from ingest import profiles, units
from ingest.formats import chirpstack_v4, tts_v3
from ingest.normalise import Normalised, Normaliser
from ingest.profiles import Model, Vector, Vendor

WORDS = vocabulary.load()
NORMALISER = Normaliser(WORDS)
RECEIVED = datetime(2026, 3, 2, 12, tzinfo=UTC)
TIME = "2026-03-02T11:59:59Z"
GASES = {"ug/m3", "mg/m3", "[ppm]", "[ppb]"}
"""One is not converted to another without a temperature and a pressure."""


def models() -> Iterator[tuple[str, Vendor, str, Model]]:
    for file, vendor in profiles.vendors().items():
        for name, model in vendor.model.items():
            yield file, vendor, name, model


def vectors() -> list[Any]:
    return [
        pytest.param(vendor, name, vector, id=f"{file}/{name}/{number}")
        for file, vendor, name, model in models()
        for number, vector in enumerate(model.vector)
    ]


def uplink(vendor: Vendor, name: str, vector: Vector) -> Normalised:
    """The vector as The Things Stack sends it."""
    carried: dict[str, Any] = {"decoded_payload": vector.decoded} if vector.decoded else {}
    if vector.bytes:
        carried["frm_payload"] = b64encode(bytes.fromhex(vector.bytes)).decode()
    ids = {"brand_id": vendor.brands[0] if vendor.brands else vendor.title, "model_id": name}
    body = {"received_at": TIME, "version_ids": ids, "rx_metadata": [], **carried}
    if vector.port is not None:
        body["f_port"] = vector.port
    document = {"end_device_ids": {"dev_eui": "0200000000A00001"}, "uplink_message": body}
    message = Message("v3/app@tenant/devices/one/up", json.dumps(document).encode(), RECEIVED)
    source = Source("tts", "v3/+/devices/+/up", format="tts_v3")
    return NORMALISER.normalise(tts_v3.decode(message, source, {}), message, source)


def event(vendor: Vendor, name: str, vector: Vector) -> Normalised:
    """The vector as ChirpStack sends it."""
    carried: dict[str, Any] = {"object": vector.decoded} if vector.decoded else {}
    if vector.bytes:
        carried["data"] = b64encode(bytes.fromhex(vector.bytes)).decode()
    info = {"devEui": "0200000000a00001", "deviceProfileName": f"{vendor.title} {name.upper()} (EU868)"}
    document = {"time": TIME, "deviceInfo": info, "fPort": vector.port or 1, **carried}
    message = Message("application/1/device/02/event/up", json.dumps(document).encode(), RECEIVED)
    source = Source("chirpstack", "application/+/device/+/event/+", format="chirpstack_v4")
    return NORMALISER.normalise(chirpstack_v4.decode(message, source, {}), message, source)


def told(found: Normalised) -> dict[str, list[Any]]:
    results: dict[str, list[Any]] = {}
    for row in found.observations:
        stream = row.datastream
        key = f"{stream.property}/{stream.qualifier}".rstrip("/")
        result = row.number if row.result is None else row.result
        results[key] = [[*results[key][0], result], stream.unit] if key in results else [[result], stream.unit]
    return {key: [values[0] if len(values) == 1 else values, unit] for key, (values, unit) in results.items()}


@pytest.mark.parametrize(("vendor", "name", "vector"), vectors())
def test_vector(vendor: Vendor, name: str, vector: Vector) -> None:
    found = uplink(vendor, name, vector)
    assert told(found) == vector.expected
    assert {item.name: item.reason for item in found.skipped} == vector.skipped
    assert told(event(vendor, name, vector)) == vector.expected


def test_there_are_many_models() -> None:
    assert len(profiles.load().keys()) >= 40


@pytest.mark.parametrize(
    ("file", "vendor", "name", "model"), [pytest.param(*one, id=f"{one[0]}/{one[2]}") for one in models()]
)
def test_profile_is_complete(file: str, vendor: Vendor, name: str, model: Model) -> None:
    assert model.vector
    assert model.title
    assert all(vector.source.startswith("https://") for vector in model.vector)
    assert vendor.source.startswith("https://")
    assert profiles.load().get(f"{file}/{name}") is not None


@pytest.mark.parametrize(
    ("file", "vendor", "name", "model"), [pytest.param(*one, id=f"{one[0]}/{one[2]}") for one in models()]
)
def test_fields_speak_the_vocabulary(file: str, vendor: Vendor, name: str, model: Model) -> None:
    for field, meaning in {**vendor.fields, **model.fields}.items():
        known = WORDS.find(meaning.name) if meaning.name else None
        assert known is None or known.key == meaning.name, f"{field}: {meaning.name} is an alias"
        code = units.code(meaning.unit) if meaning.unit else None
        assert code or not meaning.unit or known is None, f"{field}: {meaning.unit}"
        if known and code and known.unit and not {code, known.unit} <= GASES:
            assert units.conversion(code, known.unit) is not None, field


def test_other_names_mean_one_profile() -> None:
    book = profiles.load()
    for file, vendor, name, model in models():
        for other in (name, *model.also):
            for brand in vendor.brands:
                found = book.model(brand, other)
                assert found is not None
                assert found.key == f"{file}/{name}", other


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("EM310-UDL", "milesight/em310-udl"),
        ("Milesight EM310-UDL EU868 v1.1 (OTAA)", "milesight/em310-udl"),
        ("milesight_em310_udl", "milesight/em310-udl"),
        ("My own device", None),
        ("", None),
        ("ERS", None),
        ("ELSYS ERS CO2", "elsys/ers-co2"),
    ],
)
def test_named(name: str, key: str | None) -> None:
    found = profiles.load().named(name)
    assert (None if found is None else found.key) == key


def test_a_port_without_events() -> None:
    tps = profiles.load()["bosch/tps110"]
    occupied = Reading("x", "occupied", True, None)
    assert tps.apply([occupied], 2) == [Skipped("occupied", "heartbeat")]
    assert [item.name for item in tps.apply([occupied], 1)] == ["parkingOccupied"]
    assert [item.name for item in tps.apply([occupied], None)] == ["parkingOccupied"]


def test_numbers_in_names_become_qualifiers() -> None:
    found = profiles.load()["milesight/vs135"].apply([Reading("x", "line_12_child_period_in", 3, None)], 85)
    assert (found[0].name, found[0].qualifier) == ("peopleCount", "children.line.12.in")


def test_memory_does_not_grow_with_names(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(profiles, "MAX_NAMES", 100)
    profile = profiles.load()["milesight/vs135"]
    for number in range(1000):
        profile.apply([Reading("x", f"name {number}", 3, None)], 85)
    assert len(profile) <= 100


def test_like_must_be_a_profile() -> None:
    vendor = Vendor(
        title="Own", source="https://example.org", model={"a": Model(like="own/a"), "b": Model(like="none")}
    )
    with pytest.raises(ValueError, match="like"):
        profiles.book({"own": vendor})


def test_unknown_keys_are_refused() -> None:
    with pytest.raises(ValidationError):
        Model.model_validate({"field": {}})
