"""Registers of things as CSV and GeoJSON, and what is wrong with them."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.errors import BadConfig
from deploy.registry import Entry, read, read_csv, read_geojson


def faults(reader, text):
    with pytest.raises(BadConfig) as caught:
        reader(text, "r")
    return str(caught.value).splitlines()


def test_csv():
    text = (
        "identity,name,description,kind,longitude,latitude,owner\n"
        'a,"Air, park","line one\nline two",sensor,3.72,51.05,city\n'
        "b,,,,,,\n"
    )
    assert read_csv(text, "r") == [
        Entry(
            "a",
            {"name": "Air, park", "description": "line one\nline two", "kind": "sensor"},
            {"type": "Point", "coordinates": [3.72, 51.05]},
            {"owner": "city"},
        ),
        Entry("b", {}, None, {}),
    ]


def test_csv_with_semicolons_decimal_commas_and_short_names():
    text = "Thing;Lon;Lat\r\na;3,72;51,05\r\n"
    assert read_csv(text, "r") == [Entry("a", {}, {"type": "Point", "coordinates": [3.72, 51.05]}, {})]


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("", ["r:1: found the columns none, expected one named identity or thing"]),
        ("name,x\na,b\n", ["r:1: found the columns name, x, expected one named identity or thing"]),
        ("thing,lon\na,3\n", ["r:1: found one of longitude and latitude, expected both or neither"]),
        (
            "thing,lon,lat\na,x,51\nb,3,91\nc,3,\n",
            [
                'r:2: column "lon": found "x", expected degrees from -180 to 180',
                'r:3: column "lat": found "91", expected degrees from -90 to 90',
                'r:4: column "lat": found "", expected degrees from -90 to 90',
            ],
        ),
        ("thing,lon,lat\na,nan,51\n", ['r:2: column "lon": found "nan", expected degrees from -180 to 180']),
        ("thing,name\n,x\n", ['r:2: column "thing": found nothing, expected an identity']),
        ("thing,name\na\n", ["r:2: found another number of columns than the 2 of the header"]),
        ("thing,name\na,b,c\n", ["r:2: found another number of columns than the 2 of the header"]),
        ("thing\na\na\n", ["r: found a twice, expected each thing once"]),
        ('thing\nb\n"a\n', ["r:2: unexpected end of data"]),
    ],
)
def test_csv_faults(text, wanted):
    assert faults(read_csv, text) == wanted


def feature(**members):
    return {"type": "Feature", "geometry": None, "properties": {}} | members


def collection(*features):
    return json.dumps({"type": "FeatureCollection", "features": features})


def test_geojson():
    line = {"type": "LineString", "coordinates": [[3.7, 51.0], [3.8, 51.1, 7]]}
    text = collection(
        feature(id=7, geometry=line, properties={"name": "Road", "kind": "section", "lanes": 2, "x": None}),
        feature(id="other", properties={"identity": "b"}),
    )
    assert read_geojson(text, "r") == [
        Entry("7", {"name": "Road", "kind": "section"}, line, {"lanes": 2}),
        Entry("b", {}, None, {}),
    ]


def test_a_single_feature_is_a_register():
    assert read_geojson(json.dumps(feature(id="a")), "r") == [Entry("a", {}, None, {})]


@pytest.mark.parametrize(
    ("member", "words"),
    [
        ({}, "found no id, no properties.identity"),
        ({"id": "a", "properties": []}, None),
        ({"id": "a", "properties": [1]}, "properties: expected an object"),
        ({"id": "a", "properties": {"name": 3}}, "properties.name: expected a text"),
        ({"id": "a", "geometry": 3}, "geometry: expected one of Point"),
        ({"id": "a", "geometry": {"type": "Circle"}}, "geometry: expected one of Point"),
        ({"id": "a", "geometry": {"type": "Point"}}, "geometry.coordinates: expected lists"),
        ({"id": "a", "geometry": {"type": "Point", "coordinates": [51.05, 93.7]}}, "[longitude, latitude]"),
        ({"id": "a", "geometry": {"type": "Point", "coordinates": [True, 3]}}, "[longitude, latitude]"),
        ({"id": "a", "geometry": {"type": "Point", "coordinates": [3]}}, "[longitude, latitude]"),
        ({"id": "a", "geometry": {"type": "Polygon", "coordinates": [[3, 4]]}}, "geometry.coordinates: expected"),
    ],
)
def test_geojson_faults_name_the_feature(member, words):
    text = collection(feature(id="fine"), feature(**member))
    if words is None:
        assert len(read_geojson(text, "r")) == 2
        return
    (fault,) = faults(read_geojson, text)
    assert fault.startswith("r: features[1]: ")
    assert words in fault


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{\n"type": }', "r:2: not valid JSON"),
        ("[" * 100_000, "r:1: not "),
        ("[]", "expected a FeatureCollection"),
        ('{"type": "FeatureCollection"}', "expected a FeatureCollection"),
        ('{"features": [3]}', "features[0]: expected an object"),
    ],
)
def test_not_geojson(text, words):
    assert words in faults(read_geojson, text)[0]


@given(st.text())
def test_any_text_is_a_register_or_a_bad_one(text):
    for reader in (read_csv, read_geojson):
        try:
            assert all(entry.identity for entry in reader(text, "r"))
        except BadConfig as error:
            assert str(error).startswith("r")  # noqa: PT017 - both outcomes are right


def test_read_goes_by_the_ending(tmp_path):
    (tmp_path / "a.csv").write_bytes(b"\xef\xbb\xbfthing\na\n")
    (tmp_path / "b.geojson").write_text(json.dumps(feature(id="b")))
    (tmp_path / "c.csv").write_bytes(b"thing\n\xe9\n")
    assert read(tmp_path / "a.csv")[0].identity == "a"
    assert read(tmp_path / "b.geojson")[0].identity == "b"
    for name, words in {"c.csv": "byte 6 is not UTF-8", "d.csv": "No such file", "e.xlsx": "named .csv"}.items():
        with pytest.raises(BadConfig, match=words):
            read(tmp_path / name)
