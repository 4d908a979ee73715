"""Cameras that the configuration describes: what may be written, and that nothing else is read."""

import pytest
from pydantic import ValidationError

from anpr.cameras import json as of_json
from anpr.cameras import xml as of_xml
from anpr.fields import describe, whitelist
from anpr.strip import strip


@pytest.mark.parametrize("path", ["plate", "a.b", "$.a.b", "reads[0].text", "Vehicle Brand", "a[0][1]"])
def test_paths_of_json(path):
    assert of_json.Options(plate=path).plate == path


@pytest.mark.parametrize("path", ["", "$", ".a", "a.", "a..b", "a[x]", "a[*]", "$.$.a", "[0]"])
def test_what_is_no_path_of_json(path):
    with pytest.raises(ValidationError, match=r"such as vehicle\.plate"):
        of_json.Options(plate="a", time=["b", path])


@pytest.mark.parametrize("path", ["plate", "a/b", "/a/b", "a/@b", "@b", "/@b"])
def test_paths_of_xml(path):
    assert of_xml.Options(plate=path).plate == path


@pytest.mark.parametrize("path", ["", "/", "//a", "a/", "a//b", "a@b", "@a/b", "ns:a", "a[1]", "*"])
def test_what_is_no_path_of_xml(path):
    with pytest.raises(ValidationError, match="such as vehicle/plate"):
        of_xml.Options(plate=path)


def test_the_path_of_the_plate_is_required():
    with pytest.raises(ValidationError, match="plate"):
        of_json.Options()


def test_a_word_means_one_of_ours():
    with pytest.raises(ValidationError, match="directions"):
        of_xml.Options(plate="a", directions={"in": "inwards"})
    with pytest.raises(ValidationError, match="vehicle_classes"):
        of_xml.Options(plate="a", vehicle_classes={"BUS": "bus"})


OPTIONS = {"plate": "car.plate", "passages": "$.reads", "time": ["day", "hour"], "camera": "$.site.id"}


def test_only_what_is_configured_is_let_through():
    assert whitelist(of_json, OPTIONS) == {"car", "plate", "reads", "day", "hour", "site", "id"}
    payload = (
        b'{"site":{"id":"w","owner":"J"},"reads":[{"car":{"plate":"1ABC000","owner":"J"},"day":1,"picture":"x"}]}'
    )
    assert strip(payload, of_json, OPTIONS) == (
        b'{"site":{"id":"w"},"reads":[{"car":{"plate":"1ABC000"},"day":1}]}'
    )
    assert whitelist(of_xml, {"plate": "/car/plate/@text", "time": "seen"}) == {"car", "plate", "text", "seen"}
    assert whitelist(of_json, {}) == set()


def test_of_a_refused_message_names_and_types_are_kept():
    payload = b'{"reads": [{"car": {"plate": 7, "owner": "J"}}]}'
    assert describe(payload, whitelist(of_json, OPTIONS)) == {"reads": "array", "car": "object", "plate": "number"}
