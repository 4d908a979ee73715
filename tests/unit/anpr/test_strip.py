"""What the push door lets through of a camera's message: its decoder's fields, in its own form, and nothing else."""

import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anpr.strip import LONGEST, strip
from broker.errors import BadMessage
from broker.model import Message, Source
from broker.modules import load

CAMERAS = load("anpr.cameras")
SAMPLES = Path(__file__).parents[2] / "samples"
FOLDERS = {name: folder if (folder := SAMPLES / "cameras" / name).is_dir() else SAMPLES / name for name in CAMERAS}
CASES = [
    (name, path)
    for name in sorted(CAMERAS)
    for path in sorted(FOLDERS[name].glob("*"))
    if ".expected." not in path.name
]
SOURCE = Source("cameras", "in/cameras/+", timezone=ZoneInfo("Europe/Brussels"))
NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
PICTURE = b"\xff\xd8" + bytes(range(256)) * 40_000


def decoded(camera: ModuleType, payload: bytes, source: Source = SOURCE) -> object:
    try:
        return camera.decode(Message("in/cameras/x", payload, NOON), source, {})
    except BadMessage as error:
        return error.reason


def attempt(payload: bytes, camera: ModuleType, options: dict) -> bytes | BadMessage:
    try:
        return strip(payload, camera, options)
    except BadMessage as error:
        return error


def options_of(path: Path) -> dict:
    told = json.loads((path.parent / f"{path.stem}.expected.json").read_text())
    return told["source"].get("options", {})


@pytest.mark.parametrize(("name", "path"), CASES, ids=lambda one: getattr(one, "stem", one))
def test_the_decoder_reads_the_same(name, path):
    payload, camera = path.read_bytes(), CAMERAS[name]
    source = replace(SOURCE, options=options_of(path))
    read = decoded(camera, payload, source)
    stripped = attempt(payload, camera, source.options)
    if isinstance(stripped, BadMessage):
        assert read == stripped.reason
        return
    assert decoded(camera, stripped, source) == read
    assert strip(stripped, camera, source.options) == stripped
    assert len(stripped) <= len(payload) + 100


def test_pictures_and_strange_fields_stay_out_of_json():
    car = {
        "plate": "1-ABC-000",
        "full_image": "x" * 10_000_000,
        "owner": "somebody",
        "region": "y" * (LONGEST + 1),
        "nested": {"plate": "hidden"},
        "speed": [{"owner": "somebody", "plate": "a"}, 3],
    }
    found = strip(json.dumps([car]).encode(), CAMERAS["milesight"])
    assert json.loads(found) == [{"plate": "1-ABC-000", "region": None, "speed": [{"plate": "a"}, 3]}]


def test_pictures_and_strange_fields_stay_out_of_xml():
    xml = (
        '<a:EventNotificationAlert version="2.0" eventType="ANPR" UUID="{}" xmlns:a="urn:a">'
        "text<a:eventType>ANPR</a:eventType><owner>somebody</owner><a:ANPR><a:licensePlate>1ABC000</a:licensePlate>"
        "<pictures><licensePlate>hidden</licensePlate></pictures><a:country>{}</a:country></a:ANPR>"
        "</a:EventNotificationAlert>"
    ).format("y" * (LONGEST + 1), "x" * (LONGEST + 1))
    assert strip(xml.encode(), CAMERAS["hikvision"]).decode() == (
        '<a:EventNotificationAlert xmlns:a="urn:a" eventType="ANPR">'
        "text<a:eventType>ANPR</a:eventType><a:ANPR><a:licensePlate>1ABC000</a:licensePlate><a:country/></a:ANPR>"
        "</a:EventNotificationAlert>"
    )


def test_pictures_stay_out_of_multipart_bodies():
    event = (SAMPLES / "hikvision" / "full.xml").read_bytes()
    body = b"".join(
        b"--edge\r\nContent-Type: %s\r\n\r\n%s\r\n" % part
        for part in ((b"image/jpeg", PICTURE), (b"text/xml", event), (b"image/jpeg", PICTURE))
    )
    found = strip(body + b"--edge--\r\n", CAMERAS["hikvision"])
    assert len(found) < len(event)
    assert decoded(CAMERAS["hikvision"], found) == decoded(CAMERAS["hikvision"], event)


def test_lines_of_no_field_stay_out():
    lines = b"plate_0=1ABC000\r\nowner_0=somebody\r\nspeed_0=%s\r\ntime_0=2026-03-02 12:00:00\r\nnonsense" % (
        b"9" * 1001
    )
    assert strip(lines, CAMERAS["milesight"]) == b"plate_0=1ABC000\r\ntime_0=2026-03-02 12:00:00\r\n"


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"21.5",
        b"owner_0=somebody",
        b"{",
        b"<a>",
        b"--edge\r\n\r\n\xff\xd8\r\n--edge--",
    ],
)
@pytest.mark.parametrize("camera", CAMERAS.values(), ids=CAMERAS)
def test_what_fits_no_camera_is_refused(payload, camera):
    with pytest.raises(BadMessage):
        strip(payload, camera)


@pytest.mark.parametrize("payload", [b'{"a":' * 10 + b"1" + b"}" * 10, b"<a>" * 10 + b"</a>" * 10])
def test_what_is_nested_too_deep_is_refused(payload):
    camera = ModuleType("camera")
    camera.FIELDS = ("a",)
    with pytest.raises(BadMessage, match="deeper"):
        strip(payload, camera)


@given(st.data())
def test_mutated_samples_are_stripped_or_refused(data):
    name, path = data.draw(st.sampled_from(CASES))
    payload = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 8))):
        at = data.draw(st.integers(0, len(payload)))
        payload[at : at + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=3))
    stripped = attempt(bytes(payload), CAMERAS[name], options_of(path))
    if isinstance(stripped, BadMessage):
        assert stripped.__context__ is None
    else:
        assert strip(stripped, CAMERAS[name], options_of(path)) == stripped
