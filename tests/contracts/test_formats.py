"""What every plug-in must keep to, whoever wrote it: formats, cameras and outputs."""

import inspect
import random
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import samples
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

import ingest.formats
from anpr.keys import KeyStore
from anpr.plate import Reader
from broker import modules, vocabulary
from broker.errors import BadMessage
from broker.model import Message, PlateRead, Source
from ingest.normalise import Normaliser

FORMATS = modules.load("ingest.formats")
CAMERAS = {samples.of_camera(name): module for name, module in modules.load("anpr.cameras").items()}
OUTPUTS = modules.load("opendata.outputs")
DECODERS = {**FORMATS, **CAMERAS}
RECEIVED = datetime(2026, 3, 2, 12, tzinfo=UTC)

decoders = pytest.mark.parametrize("name", DECODERS)


def each(plugins: dict[str, ModuleType]) -> list[Any]:
    return [pytest.param(name, case, id=f"{name}/{case.name}") for name in plugins for case in samples.cases(name)]


def module_of(name: str) -> ModuleType:
    return DECODERS[name]


def source_for(name: str, topic: str = "city/+/device") -> Source:
    return Source("contract", topic, **{"camera" if name in CAMERAS else "format": named(name)})


def named(folder: str) -> str:
    """The format or camera that a folder of samples is of."""
    return folder.rpartition("/")[2]


@pytest.mark.parametrize(
    "plugin", [*FORMATS.values(), *CAMERAS.values(), *OUTPUTS.values()], ids=lambda m: m.__name__
)
def test_docstring_links_to_the_specification(plugin: ModuleType) -> None:
    assert "https://" in (plugin.__doc__ or "")


def test_no_camera_has_the_samples_of_a_format() -> None:
    assert not set(FORMATS) & set(CAMERAS)


@decoders
def test_signature(name: str) -> None:
    signature = inspect.signature(module_of(name).decode)
    assert list(signature.parameters) == ["message", "source", "state"]
    assert "list[" in str(signature.return_annotation)


@decoders
def test_options_refuse_unknown_keys(name: str) -> None:
    options = getattr(module_of(name), "Options", None)
    if options is not None:
        assert issubclass(options, BaseModel)
        assert options.model_config["extra"] == "forbid"


def test_outputs_offer_a_router_and_have_samples() -> None:
    for name, output in OUTPUTS.items():
        assert list(inspect.signature(output.router).parameters) == ["catalogue", "submit"], name
        assert list((samples.ROOT / "outputs" / name).glob("*.request.json")), name


@decoders
def test_has_a_sample(name: str) -> None:
    assert samples.cases(name)


@pytest.mark.parametrize(("name", "case"), each(FORMATS))
def test_format_sample(name: str, case: Path) -> None:
    sample = samples.read(case)
    found, skipped = samples.outcome(FORMATS[name], sample)
    assert samples.shown(sample.spec["expected"], found) == sample.spec["expected"]
    assert skipped == sample.spec.get("skipped", skipped)


@pytest.mark.parametrize(("name", "case"), each(DECODERS))
def test_sample_has_valid_options(name: str, case: Path) -> None:
    options = samples.read(case).source.options
    if options:
        DECODERS[name].Options.model_validate(options)


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Reader:
    return Reader(
        modules.load("anpr.cameras"), KeyStore(tmp_path_factory.mktemp("keys") / "keys", "leiestad", UTC)
    )


@pytest.mark.parametrize(("name", "case"), each(CAMERAS))
def test_camera_sample(name: str, case: Path, reader: Reader) -> None:
    sample = samples.read(case)
    sample.spec.setdefault("source", {}).setdefault("camera", named(name))
    found = samples.camera_outcome(CAMERAS[name], sample, reader)
    assert samples.shown(sample.spec["expected"], found) == sample.spec["expected"]


def survives(name: str, payload: bytes, topic: str, source: Source) -> None:
    """The payload decodes, or BadMessage is raised; nothing else happens."""
    message = Message(topic, payload, RECEIVED)
    try:
        found = module_of(name).decode(message, source, {})
        assert isinstance(found, list)
        assert all(isinstance(item, tuple) for item in found)
        if name in FORMATS:
            assert not any(isinstance(item, PlateRead) for item in found)
            Normaliser(vocabulary.load()).normalise(found, message, source)
    except BadMessage as refusal:
        error: BadMessage | None = refusal
    else:
        error = None
    assert error is None or (error.reason and str(error))


@decoders
@given(payload=st.binary(max_size=400))
def test_arbitrary_bytes(name: str, payload: bytes) -> None:
    survives(name, payload, "city/one/device", source_for(name))


KEYS = st.sampled_from(
    [
        "id",
        "type",
        "value",
        "time",
        "timestamp",
        "n",
        "v",
        "u",
        "bn",
        "bt",
        "t",
        "data",
        "object",
        "entities",
        "end_device_ids",
        "uplink_message",
        "decoded_payload",
        "received_at",
        "rx_metadata",
        "locations",
        "user",
        "latitude",
        "longitude",
        "deviceInfo",
        "devEui",
        "rxInfo",
        "rssi",
        "unitCode",
        "metadata",
        "dateObserved",
        "coordinates",
        "location",
        "temperature",
        "vs",
        "plate",
        "margin",
        "e",
    ]
)
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=12)
    | st.sampled_from(["2026-03-02T07:00:00Z", "2026-03-02T07:00:00/", "9999-12-31T23:59:59", "45%", "-", "Point"])
)
DOCUMENTS = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS | st.text(max_size=4), inner, max_size=6),
    max_leaves=20,
)


@decoders
@given(document=DOCUMENTS)
@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
def test_arbitrary_json(name: str, document: Any) -> None:
    payload = samples.json.dumps(document, ensure_ascii=False).encode("utf-8", "surrogatepass")
    survives(name, payload, "city/one/device", source_for(name))


def mutated(payload: bytes, chance: random.Random) -> bytes:
    """The payload with some bytes changed, cut out or doubled."""
    body = bytearray(payload)
    for _ in range(chance.randint(1, 4)):
        at = chance.randrange(len(body) + 1)
        change = chance.choice(["cut", "drop", "double", "flip", "junk"])
        if change == "cut":
            del body[at:]
        elif change == "drop":
            del body[at : at + chance.randint(1, 20)]
        elif change == "double":
            body[at:at] = body[at : at + chance.randint(1, 40)]
        elif change == "flip" and at < len(body):
            body[at] ^= 1 << chance.randrange(8)
        else:
            body[at:at] = chance.choice(
                [b"\x00", b"\xff", b"{", b"]", b"null", b"NaN", b"1e999", b'"', b"-", b"<", b"\xef\xbb\xbf"]
            )
    return bytes(body)


@pytest.mark.parametrize(("name", "case"), each(DECODERS))
def test_mutated_samples(name: str, case: Path) -> None:
    sample, chance = samples.read(case), random.Random(case.name)
    for _ in range(60):
        survives(name, mutated(sample.payload, chance), sample.topic, sample.source)


VALUES = [
    None,
    True,
    -1,
    0,
    2**63,
    1e308,
    float("nan"),
    "",
    "x",
    "\x00",
    "45%",
    "2026",
    [],
    [[]],
    {},
    {"value": {}},
]


def replaced(node: Any, replace: Callable[[Any], Any]) -> list[Any]:
    """The document with each of its values replaced by another, one at a time."""
    found = [replace(node)]
    pairs = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for key, value in pairs:
        for changed in replaced(value, replace):
            copy = node.copy()
            copy[key] = changed
            found.append(copy)
    return found


@pytest.mark.parametrize(("name", "case"), [p for p in each(DECODERS) if samples.is_json(p.values[1])])
def test_samples_with_values_of_other_types(name: str, case: Path) -> None:
    sample, chance = samples.read(case), random.Random(case.name)
    for document in replaced(samples.json.loads(sample.payload), lambda _: chance.choice(VALUES)):
        survives(name, samples.json.dumps(document).encode(), sample.topic, sample.source)


NEW = '''"""Kastje: `name=value` lines. Specification: https://example.org/kastje"""

from broker.errors import BadMessage
from broker.model import Reading


def decode(message, source, state):
    try:
        pairs = [line.split("=") for line in message.payload.decode().splitlines()]
        return [Reading("", name, float(value), None) for name, value in pairs]
    except ValueError:
        raise BadMessage("payload: expected name=value") from None
'''


def test_a_new_format_is_one_file_and_one_folder_of_samples(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plugins, folder = tmp_path / "formats", tmp_path / "samples" / "kastje"
    plugins.mkdir()
    folder.mkdir(parents=True)
    (plugins / "kastje.py").write_text(NEW)
    (folder / "two.txt").write_bytes(b"temp=21.5\nhum=40\n")
    (folder / "two.expected.json").write_text(
        """{"topic": "kastje/zolder", "source": {"topic": "kastje/+"}, "expected": [
            {"thing": "zolder", "observedProperty": "temperature", "result": 21.5, "unit": "Cel"},
            {"thing": "zolder", "observedProperty": "relativeHumidity", "result": 40, "unit": "%"}]}"""
    )
    monkeypatch.setattr(ingest.formats, "__path__", [*ingest.formats.__path__, str(plugins)])
    monkeypatch.setattr(samples, "ROOT", tmp_path / "samples")
    try:
        loaded = modules.load("ingest.formats")
        assert set(loaded) == {*FORMATS, "kastje"}
        (case,) = samples.cases("kastje")
        sample = samples.read(case)
        found, _ = samples.outcome(loaded["kastje"], sample)
        assert samples.shown(sample.spec["expected"], found) == sample.spec["expected"]
    finally:
        sys.modules.pop("ingest.formats.kastje", None)
        vars(ingest.formats).pop("kastje", None)
