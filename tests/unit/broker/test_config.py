"""Every mistake in a `city.toml` is told with its line, its key, what was found and what is expected."""

from datetime import timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.config import examine, load, read, report
from broker.errors import BadConfig

CITY = '[city]\nid = "gent"\nname = "Gent"\n'
SOURCE = '[[source]]\nname = "tts"\ntopic = "v3/+/devices/+/up"\nformat = "tts_v3"\n'
CAMERA = '[[source]]\nname = "gate"\ntopic = "anpr/+"\ncamera = "milesight"\n'
FEED = '[[feed]]\nid = "all"\ntitle = "All"\n'


def problems(text):
    with pytest.raises(BadConfig) as caught:
        read(text, "city.toml")
    return str(caught.value).splitlines()


def problem(text):
    (line,) = problems(text)
    return line


def test_the_smallest_city_is_valid_without_sources_and_feeds():
    config = read(CITY, "city.toml")
    assert config.city.timezone == "Europe/Brussels"
    assert config.sources() == []
    assert config.feed == []


def test_sources_carry_what_the_pipeline_needs():
    text = CITY + SOURCE + 'timezone = "UTC"\nmax_future = "PT5M"\nmax_age = 60\nthing = "x-{2}"\n' + CAMERA
    sensor, camera = read(text, "city.toml").sources()
    assert (sensor.name, sensor.topic, sensor.format) == ("tts", "v3/+/devices/+/up", "tts_v3")
    assert (sensor.max_future, sensor.max_age, sensor.max_bytes) == (300, 60, 1 << 20)
    assert sensor.timezone == ZoneInfo("UTC")
    assert not sensor.personal
    assert (camera.camera, camera.personal, camera.max_bytes) == ("milesight", True, 8 << 20)
    assert camera.timezone == ZoneInfo("Europe/Brussels")


def test_observations_are_kept_for_ever_unless_it_says_otherwise():
    assert read(CITY, "c").publish.retention is None
    assert read(CITY + '[publish]\nretention = "P30D"\n', "c").publish.retention == timedelta(days=30)
    assert "at least P1D" in problem(CITY + '[publish]\nretention = "PT12H"\n')


def test_a_feed_takes_one_word_for_a_list_and_titles_by_language():
    feed = read(CITY + '[[feed]]\nid = "a"\ntitle = { nl = "Lucht", en = "Air" }\nproperty = "no2"\n', "c").feed[0]
    assert feed.property == ["no2"]
    assert feed.title == {"nl": "Lucht", "en": "Air"}
    assert feed.source == ["*"]


def test_an_aggregate_feed_has_hours_and_means_unless_it_says_otherwise():
    feeds = read(
        CITY
        + FEED
        + 'policy = "aggregate"\n'
        + '[[feed]]\nid = "b"\ntitle = "b"\npolicy = "aggregate"\nwindow = "PT60M"\n'
        + 'statistics = ["p85", "count"]\nminimum = 3\n',
        "city.toml",
    ).feed
    assert (feeds[0].window, feeds[0].statistics) == ("PT1H", ["mean"])
    assert (feeds[1].window, feeds[1].statistics, feeds[1].minimum) == ("PT1H", ["p85", "count"], 3)


def test_a_personal_aggregate_takes_window_and_statistics_of_the_lattice():
    feed = read(CITY + FEED + 'policy = "aggregate"\nproperty = ["vehiclePassageCount"]\n', "c").feed[0]
    assert (feed.window, feed.statistics, feed.minimum) == ("PT15M", ["count"], None)


def test_anpr_may_be_stricter():
    config = read(CITY + '[anpr]\ntoken_lifetime = "PT30M"\npassage_lifetime = "P1D"\nminimum = 10\n', "c")
    assert config.anpr.token_lifetime == timedelta(minutes=30)
    assert config.anpr.minimum == 10


@pytest.mark.parametrize(
    ("text", "start", "words"),
    [
        ("", "city.toml:1: city: found nothing", ["[city]", "id and name"]),
        ('[city]\nid = "gent"\n', "city.toml:1: city.name: found nothing", ["required"]),
        ('[city]\nid = "Gent"\nname = "G"', 'city.toml:2: city.id: found "Gent"', ["small letters"]),
        (CITY + "timezone = 1", "city.toml:4: city.timezone: found 1", ["a text"]),
        (CITY + 'timezone = "Europe/Brusels"', "city.toml:4: city.timezone:", ['did you mean "Europe/Brussels"?']),
        (CITY + 'timezone = "../etc/passwd"', "city.toml:4: city.timezone:", ["IANA"]),
        (CITY + 'timezone = "Europe"', "city.toml:4: city.timezone:", ["IANA"]),
        (CITY + 'language = "vls"', "city.toml:4: city.language:", ['"nl", "fr", "de" or "en"']),
        (CITY + "[[anpr]]\nminimum = 5", "city.toml:4: anpr: found [a table]", ["expected a table"]),
        (CITY + "[source]\nname = 'x'", "city.toml:4: source: found a table", ["[[source]]"]),
        (CITY.replace("[city]", "[[city]]"), "city.toml:1: city: found [a table]", ["expected a table"]),
        (CITY + "[sources]", "city.toml:4: sources: found an unknown key", ["[[source]]"]),
        (CITY + "[ingset]", "city.toml:4: ingset: found an unknown key", ['did you mean "ingest"?']),
        (CITY + "[mqtt]\nurl = 'mqtt://x'", "city.toml:4: mqtt:", ["--mqtt-url", "CITYBROKER_MQTT_URL"]),
        (SOURCE + 'formt = "x"\n' + CITY, "city.toml:5: source[0].formt: found", ['did you mean "format"?']),
        (CITY + SOURCE + CAMERA + "max_bytes = 0", "city.toml:12: source[1].max_bytes: found 0", ["at least 1"]),
        (CITY + SOURCE + 'personal = "no"', 'city.toml:8: source[0].personal: found "no"', ["true or false"]),
        (CITY + SOURCE + "max_age = -1", "city.toml:8: source[0].max_age: found -1", ["a duration"]),
        (CITY + SOURCE + 'max_age = "P1Y"', 'city.toml:8: source[0].max_age: found "P1Y"', ["a duration"]),
        (CITY + SOURCE + "options = 3", "city.toml:8: source[0].options: found 3", ["a table"]),
        (CITY + SOURCE + 'camera = "x"', "city.toml:8: source[0].camera: found", ["exactly one"]),
        (
            CITY + SOURCE.replace('format = "tts_v3"', ""),
            "city.toml:4: source[0]: found neither format nor camera",
            ["one of them"],
        ),
        (CITY + SOURCE.replace("/up", "/#/up"), "city.toml:6: source[0].topic:", ["# must be the whole last"]),
        (CITY + SOURCE.replace("tts", "t/s", 1), "city.toml:5: source[0].name:", ["without blanks"]),
        (CITY + SOURCE + 'thing = "{5}"', "city.toml:8: source[0].thing: found {5}", ["0 to 4"]),
        (CITY + SOURCE + 'thing = "{dev}"', "city.toml:8: source[0].thing:", ["{device}"]),
        (CITY + SOURCE + 'thing = "{"', "city.toml:8: source[0].thing:", ["{device}"]),
        (CITY + SOURCE + 'thing = "same"', "city.toml:8: source[0].thing:", ["{device}"]),
        (CITY + FEED + 'policy = "rwa"', 'city.toml:7: feed[0].policy: found "rwa"', ['did you mean "raw"?']),
        (CITY + FEED + 'tier = "closed"', 'city.toml:7: feed[0].tier: found "closed"', ['expected "open"']),
        (CITY + FEED + "property = []", "city.toml:7: feed[0].property: found []", ["at least one"]),
        (CITY + FEED + 'property = ["a", 1]', "city.toml:7: feed[0].property[1]: found 1", ["a text"]),
        (CITY + FEED + 'area = [""]', 'city.toml:7: feed[0].area[0]: found ""', ["not empty"]),
        (CITY + FEED.replace('"All"', "{}"), "city.toml:6: feed[0].title: found a table", ["nl ="]),
        (CITY + FEED.replace('"All"', '{ xx = "a" }'), "city.toml:6: feed[0].title:", ['not "xx"']),
        (CITY + FEED.replace('"All"', '""'), "city.toml:6: feed[0].title:", ["a text"]),
        (CITY + FEED + 'window = "PT1H"', "city.toml:7: feed[0].window:", ['policy "raw"', '"aggregate"']),
        (CITY + FEED + 'statistics = ["mean"]', "city.toml:7: feed[0].statistics:", ['"aggregate"']),
        (CITY + FEED + "minimum = 3", "city.toml:7: feed[0].minimum:", ['"aggregate"']),
        (
            CITY + FEED + 'policy = "aggregate"\nwindow = "PT7M"',
            'city.toml:8: feed[0].window: found "PT7M"',
            ["divides a day"],
        ),
        (CITY + FEED + 'policy = "aggregate"\nwindow = "P2D"', "city.toml:8: feed[0].window:", ["divides a day"]),
        (CITY + FEED + 'policy = "aggregate"\nwindow = "PT0S"', "city.toml:8: feed[0].window:", ["ISO 8601"]),
        (CITY + FEED + 'policy = "aggregate"\nwindow = "1h"', "city.toml:8: feed[0].window:", ["ISO 8601"]),
        (
            CITY + FEED + 'policy = "aggregate"\nstatistics = ["maen"]',
            "city.toml:8: feed[0].statistics:",
            ['did you mean "mean"?'],
        ),
        (
            CITY + FEED + 'policy = "aggregate"\nstatistics = ["min", "min"]',
            "city.toml:8: feed[0].statistics:",
            ["once"],
        ),
        (CITY + FEED + 'source = ["tts", "*"]', "city.toml:7: feed[0].source[0]:", ["name of a source"]),
        (CITY + '[anpr]\ntoken_lifetime = "PT25H"', "city.toml:5: anpr.token_lifetime:", ["PT24H"]),
        (CITY + '[anpr]\npassage_lifetime = "P2D"', "city.toml:5: anpr.passage_lifetime:", ["PT24H"]),
        (CITY + "[anpr]\nminimum = 4", "city.toml:5: anpr.minimum: found 4", ["at least 5"]),
        (CITY + "[ingest]\nbatch_delay = 99.0", "city.toml:5: ingest.batch_delay: found 99.0", ["at most 10"]),
        (CITY + "[ingest]\nmax_in_flight = 1.5", "city.toml:5: ingest.max_in_flight: found 1.5", ["whole number"]),
    ],
)
def test_one_problem(text, start, words):
    line = problem(text)
    assert line.startswith(start)
    for word in words:
        assert word in line


def test_names_are_used_once_and_both_lines_are_told():
    again = SOURCE.replace("v3", "v4")
    assert problem(CITY + SOURCE + again) == (
        'city.toml:9: source[1].name: found "tts" again, expected a name of its own: it is already on line 5'
    )
    assert 'feed[1].id: found "all" again' in problem(CITY + FEED + FEED)


def test_overlapping_topics_name_both_lines():
    line = problem(CITY + SOURCE + SOURCE.replace("tts", "all", 1).replace("v3/+/devices/+/up", "v3/#"))
    assert line.startswith('city.toml:10: source[1].topic: found "v3/#"')
    assert '"v3/+/devices/+/up" of source "tts" on line 6' in line


@pytest.mark.parametrize(
    "selection",
    ['property = ["no2", "vehiclePassageCount"]', 'kind = ["camera"]', 'source = ["gate"]', 'source = ["doors"]'],
)
def test_raw_never_names_something_personal(selection):
    doors = '[[source]]\nname = "doors"\ntopic = "doors/+"\nformat = "senml"\npersonal = true\n'
    line = problem(CITY + CAMERA + doors + FEED + selection)
    assert line.startswith("city.toml:16: feed[0].")
    assert "personal" in line
    assert 'expected policy "aggregate"' in line


def test_raw_may_say_all_beside_a_camera():
    assert read(CITY + CAMERA + FEED, "city.toml").feed[0].policy == "raw"


@pytest.mark.parametrize(
    ("setting", "key"),
    [
        ('window = "PT5M"', "window"),
        ('window = "PT1H"', "window"),
        ('statistics = ["mean"]', "statistics"),
        ('statistics = ["count", "mean"]', "statistics"),
        ("minimum = 1", "minimum"),
        ("minimum = 5", "minimum"),
    ],
)
def test_the_lattice_sets_window_statistics_and_minimum_of_what_is_personal(setting, key):
    line = problem(CITY + FEED + f'policy = "aggregate"\nproperty = ["vehiclePassageCount"]\n{setting}\n')
    assert line.startswith(f"city.toml:9: feed[0].{key}: found")
    assert "lattice" in line


@pytest.mark.parametrize(
    "key", ["password", "mqtt_password", "api_key", "apikey", "access-token", "secret", "key"]
)
def test_a_secret_is_sent_elsewhere_and_never_shown(key):
    line = problem(CITY + f'{key} = "hunter2"\n')
    assert "hunter2" not in line
    assert "CITYBROKER_MQTT_PASSWORD" in line
    assert f"city.toml:4: city.{key}:" in line


def test_a_misspelt_setting_is_no_secret():
    assert 'did you mean "token_lifetime"?' in problem(CITY + '[anpr]\ntoken_lifetim = "PT1H"\n')


def test_all_problems_are_told_together_in_the_order_of_the_file():
    text = (
        "[city]\nid = 1\n"
        + FEED
        + 'policy = "x"\n'
        + SOURCE
        + "max_bytes = 'a'\n"
        + SOURCE
        + "[anpr]\nminimum = 1\n"
    )
    lines = problems(text)
    assert [int(line.split(":")[1]) for line in lines] == [1, 2, 6, 11, 17]
    assert [line.split(": ")[1] for line in lines] == [
        "city.name", "city.id", "feed[0].policy", "source[0].max_bytes", "anpr.minimum",
    ]  # fmt: skip


def test_a_feed_of_a_source_with_a_mistake_is_not_blamed():
    assert "max_bytes" in problem(CITY + SOURCE + "max_bytes = 'a'\n" + FEED + 'source = ["tts"]\n')


@pytest.mark.parametrize(
    ("text", "start"),
    [
        (CITY + "x = ", "city.toml:4: not valid TOML: Invalid value at"),
        (CITY + "= 3\n", "city.toml:4: not valid TOML: Invalid statement at column 1"),
        (CITY + 'id = "again"\n', "city.toml:4: not valid TOML: Cannot overwrite"),
        (CITY + 'publisher = "open\n', "city.toml:4: not valid TOML: Illegal character"),
        (CITY + "x = " + "[" * 5000, "city.toml:"),
    ],
)
def test_syntax_errors_have_a_line(text, start):
    assert problem(text).startswith(start)


def test_load_reads_a_file_also_with_a_byte_order_mark(tmp_path):
    path = tmp_path / "city.toml"
    path.write_bytes(b"\xef\xbb\xbf" + CITY.encode())
    assert load(path).city.id == "gent"


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda path: None, "No such file"),
        (lambda path: path.mkdir(), "directory"),
        (lambda path: path.write_bytes(b"# caf\xe9"), "byte 5 is not UTF-8"),
    ],
)
def test_a_file_that_cannot_be_read(tmp_path, make, words):
    path = tmp_path / "city.toml"
    make(path)
    with pytest.raises(BadConfig, match=words) as caught:
        load(path)
    assert str(caught.value).startswith(str(path))


toml_values = st.recursive(
    st.one_of(
        st.sampled_from(["", "x", "PT1H", "*", "v3/#", "{1}"]), st.integers(-5, 10**12), st.booleans(), st.floats()
    ),
    lambda value: st.one_of(st.lists(value, max_size=2), st.dictionaries(st.just("nl"), value)),
    max_leaves=3,
)
KEYS = {
    "city": ["id", "name", "timezone", "language"],
    "source": ["name", "topic", "format", "camera", "thing", "max_bytes", "max_age", "personal", "options"],
    "feed": ["id", "title", "property", "source", "policy", "window", "statistics", "minimum"],
    "anpr": ["token_lifetime", "minimum"],
    "ingest": ["batch_delay"],
}
tables = {key: st.dictionaries(st.sampled_from(names), toml_values, max_size=5) for key, names in KEYS.items()}


@given(
    st.fixed_dictionaries(
        {},
        optional={
            "city": st.one_of(tables["city"], toml_values),
            "source": st.one_of(st.lists(tables["source"], max_size=3), toml_values),
            "feed": st.one_of(st.lists(tables["feed"], max_size=3), toml_values),
            "anpr": st.one_of(tables["anpr"], toml_values),
            "ingest": tables["ingest"],
            "other": toml_values,
        },
    )
)
def test_any_document_is_a_configuration_or_a_list_of_problems(document):
    config, found = examine(document)
    assert (config is None) == bool(found)
    assert len(report("", "city.toml", [one._replace(other=None) for one in found]).splitlines()) == len(found)


@given(st.text())
def test_no_text_gives_another_error(text):
    with pytest.raises(BadConfig, match=r"^city\.toml:\d+: "):
        read("[city]\n" + text, "city.toml")
