"""The simulated city: every message decodes, with the real decoders, into what the city meant."""

import itertools
import re
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

import deploy.demo
from broker import config, modules, topics, vocabulary
from broker.model import Ignored, Message, PlateRead, Source
from deploy.demo import chance, city, messages, passages, publish, rhythm, weather, welcome
from deploy.demo.city import Thing
from ingest.normalise import Normaliser

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
TIMES = [NOON, datetime(2026, 3, 28, 23, 40, tzinfo=UTC), datetime(2026, 10, 25, 1, 15, tzinfo=UTC)]
"""A working day, and both nights in which the clocks change."""
SENSORS = [thing for thing in city.things() if thing.kind == "sensor"]
CAMERAS = [thing for thing in city.things() if thing.kind == "camera"]
CONFIG = config.load(Path(deploy.demo.__file__).parent / "city.toml")
FORMATS, DECODERS = modules.load("ingest.formats"), modules.load("anpr.cameras")
QUARTER = timedelta(minutes=15)


def by_name(thing: Thing) -> str:
    return thing.identity


def source_of(topic: str) -> Source:
    """The one source of city.toml that takes this topic."""
    (found,) = [source for source in CONFIG.sources() if topics.matches(source.topic, topic)]
    return found


def test_sixty_things_in_five_cities_and_all_subjects() -> None:
    things = city.things()
    assert len({thing.identity for thing in things}) == len(things) == 60
    assert set(Counter(thing.town for thing in things)) == {"Gent", "Leuven", "Mechelen", "Turnhout", "Kortrijk"}
    assert {thing.subject for thing in things} == {
        "air", "noise", "weather", "water", "parking", "traffic", "bicycle", "camera"
    }  # fmt: skip
    assert {thing.format for thing in things} == set(messages.FORMATS)
    assert all(2.9 < thing.longitude < 5.2 and 50.7 < thing.latitude < 51.5 for thing in things)


@pytest.mark.parametrize("thing", SENSORS, ids=by_name)
@pytest.mark.parametrize("moment", TIMES)
def test_a_sensor_decodes_into_what_it_measured(thing: Thing, moment: datetime) -> None:
    topic, payload = messages.message(thing, moment - QUARTER, moment)
    source = source_of(topic)
    message = Message(topic, payload, moment + timedelta(seconds=1))
    decoded = FORMATS[source.format or ""].decode(message, source, {})
    normalised = Normaliser(vocabulary.load()).normalise(decoded, message, source)
    found = {
        "/".join(filter(None, (seen.datastream.property, seen.datastream.qualifier))): seen.number
        for seen in normalised.observations
    }
    assert found == pytest.approx(city.measure(thing, moment - QUARTER, moment))
    assert {seen.datastream.thing for seen in normalised.observations} == {thing.identity}
    assert {seen.end or seen.start for seen in normalised.observations} == {moment}
    assert not normalised.skipped
    assert not any(seen.quality for seen in normalised.observations)
    units = {key: vocabulary.load()[key.partition("/")[0]].unit for key in found}
    assert {seen.datastream.unit for seen in normalised.observations} == set(units.values())


@pytest.mark.parametrize("thing", [thing for thing in SENSORS if thing.format != "json"], ids=by_name)
def test_a_sensor_tells_its_place(thing: Thing) -> None:
    (topic, payload) = messages.place(thing, NOON) or messages.message(thing, NOON - QUARTER, NOON)
    source = source_of(topic)
    message = Message(topic, payload, NOON)
    decoded = FORMATS[source.format or ""].decode(message, source, {})
    places = Normaliser(vocabulary.load()).normalise(decoded, message, source).places
    assert [(place.thing, place.geometry["coordinates"]) for place in places] == [
        (thing.identity, [thing.longitude, thing.latitude])
    ]


@pytest.mark.parametrize("camera", CAMERAS, ids=by_name)
@pytest.mark.parametrize("moment", TIMES)
def test_a_camera_decodes_into_what_passed(camera: Thing, moment: datetime) -> None:
    seen = passages.passages(camera, moment - timedelta(hours=3), moment)
    assert len(seen) > 2
    for vehicle in seen:
        topic, payload = messages.passage(camera, vehicle)
        source = source_of(topic)
        (read,) = DECODERS[source.camera or ""].decode(Message(topic, payload, moment), source, {})
        assert isinstance(read, PlateRead)
        if not (camera.format == "milesight" and ambiguous(vehicle.time)):
            assert read.time == vehicle.time
        assert (read.direction, read.lane) == (vehicle.direction, str(vehicle.lane))
        assert read.vehicle_class == ("vrachtwagen" if vehicle.lorry else "auto")
        assert read.confidence == pytest.approx(vehicle.confidence)
        assert read.speed == vehicle.speed
        assert read.country == "BE"
        assert vehicle.plate is None or read.plate == vehicle.plate


def ambiguous(moment: datetime) -> bool:
    """In the hour that comes twice a camera without a zone cannot say which it means."""
    local = moment.astimezone(ZoneInfo("Europe/Brussels"))
    return local.replace(fold=0).utcoffset() != local.replace(fold=1).utcoffset()


def test_no_plate_is_one_that_is_issued() -> None:
    seen = [
        vehicle.plate
        for camera in CAMERAS
        for vehicle in passages.passages(camera, NOON - timedelta(hours=6), NOON)
    ]
    assert 0 < seen.count(None) < len(seen) / 10
    assert all(re.fullmatch(r"[12][A-Z]{3}000", plate) for plate in seen if plate)


def test_some_vehicles_pass_two_cameras() -> None:
    first = next(camera for camera in CAMERAS if camera.identity == "cam-kortrijk-gentsesteenweg")
    second = next(camera for camera in CAMERAS if camera.follows == first.identity)
    seen = [
        {vehicle.plate for vehicle in passages.passages(camera, NOON - timedelta(hours=4), NOON)} - {None}
        for camera in (first, second)
    ]
    assert len(seen[0] & seen[1]) > 20


def test_the_same_seed_says_the_same_and_another_another() -> None:
    hour = (NOON, NOON + timedelta(hours=1), publish.HISTORY)
    assert publish.due(*hour, seed=7) == publish.due(*hour, seed=7)
    assert publish.due(*hour, seed=7) != publish.due(*hour, seed=8)


def test_days_have_a_rhythm() -> None:
    traffic = next(thing for thing in SENSORS if thing.subject == "traffic")
    night, rush = (
        city.measure(traffic, start, start + QUARTER)["vehicleCount"]
        for start in (datetime(2026, 3, 2, 2, tzinfo=UTC), datetime(2026, 3, 2, 7, tzinfo=UTC))
    )
    assert rush > 3 * night
    assert rhythm.parked(rhythm.clock(NOON), 0.9) > 3 * rhythm.parked(
        rhythm.clock(NOON + timedelta(hours=12)), 0.9
    )
    friday, monday = datetime(2026, 3, 6, 23, tzinfo=UTC), datetime(2026, 3, 2, 23, tzinfo=UTC)
    assert rhythm.nightlife(rhythm.clock(friday)) > 2 * rhythm.nightlife(rhythm.clock(monday))


def test_rain_comes_from_the_west_an_hour_a_degree() -> None:
    times = [NOON + timedelta(hours=hour) for hour in range(200)]
    west = [weather.rain(time, 3.2, 0) for time in times]
    assert sum(west) > 0
    east = [weather.rain(time + timedelta(hours=1), 4.2, 0) for time in times]
    assert east == pytest.approx(west)


def test_a_tide_twice_a_day() -> None:
    gauge = next(thing for thing in SENSORS if thing.identity == "peil-zennegat")
    levels = [city.measure(gauge, time, time)["waterLevel"] for time in (NOON + n * QUARTER for n in range(100))]
    crossings = sum((a < 3.1) != (b < 3.1) for a, b in itertools.pairwise(levels))
    assert max(levels) - min(levels) > 2
    assert crossings in {3, 4, 5}


def test_counts_do_not_depend_on_how_often_one_looks() -> None:
    for thing in SENSORS:
        if thing.subject not in {"traffic", "bicycle"}:
            continue
        whole = city.measure(thing, NOON, NOON + QUARTER)
        parts = [city.measure(thing, NOON + n * city.MINUTE, NOON + (n + 1) * city.MINUTE) for n in range(15)]
        for key in whole:
            if key.endswith(("Count", "in", "out")):
                assert whole[key] == sum(part[key] for part in parts)


@pytest.mark.parametrize("periods", [publish.HISTORY, publish.LIVE])
def test_what_is_due_does_not_depend_on_how_often_one_asks(periods: dict[str, int]) -> None:
    end = NOON + timedelta(minutes=30)
    whole = publish.due(NOON, end, periods)
    parts = [
        timed
        for n in range(30)
        for timed in publish.due(NOON + n * city.MINUTE, NOON + (n + 1) * city.MINUTE, periods)
    ]
    assert sorted((when, topic) for when, topic, _ in whole) == sorted((when, topic) for when, topic, _ in parts)


def test_history_goes_over_into_live_without_a_gap_or_an_overlap() -> None:
    now = NOON + timedelta(minutes=7, seconds=13)
    chunks = list(publish.chunks(NOON - timedelta(hours=3), now))
    assert chunks[0][0] == NOON - timedelta(hours=3)
    assert chunks[-1][1:] == (now, publish.LIVE)
    assert all(one[1] == other[0] for one, other in itertools.pairwise(chunks))
    post = next(thing for thing in SENSORS if thing.subject == "bicycle")
    ticks = [tick for start, end, p in chunks for tick in publish.ticks(post, start, end, p["bicycle"])]
    assert all(one[1] == other[0] for one, other in itertools.pairwise(ticks))


def test_a_mark_is_where_the_next_start_goes_on(tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    assert publish.marked(mark) == publish.marked(None) == datetime.min.replace(tzinfo=UTC)
    publish.note(mark, NOON)
    assert publish.marked(mark) == NOON
    mark.write_text("nonsense")
    assert publish.marked(mark) == datetime.min.replace(tzinfo=UTC)


def test_a_readers_own_sensor_appears() -> None:
    source = source_of("sensors/my-balcony")
    message = Message("sensors/my-balcony", b'{"temperature": 21.4, "glimworms": 3}', NOON)
    decoded = FORMATS[source.format or ""].decode(message, source, {})
    seen = Normaliser(vocabulary.load()).normalise(decoded, message, source).observations
    assert {(o.datastream.thing, o.datastream.property, o.number) for o in seen} == {
        ("my-balcony", "temperature", 21.4),
        ("my-balcony", "glimworms", 3),
    }


def test_a_sample_of_every_format_has_the_time_that_was_asked_for() -> None:
    for thing in {thing.format: thing for thing in city.things()}.values():
        topic, payload = messages.sample(city.rename(thing, "02000000000000aa"), NOON)
        source = source_of(topic)
        module = DECODERS[source.camera] if source.camera else FORMATS[source.format or ""]
        decoded = module.decode(Message(topic, payload, NOON), source, {})
        times = {item.time for item in decoded if getattr(item, "time", None)}
        ends = {item.end for item in decoded if getattr(item, "end", None)}
        assert NOON in times | ends
        assert not any(isinstance(item, Ignored) for item in decoded)


def test_the_configuration_is_as_the_text_says() -> None:
    feeds = {feed.id: feed for feed in CONFIG.feed}
    text = welcome("http://127.0.0.1:8080/", "mqtt://127.0.0.1:1883", python="py")
    named = set(re.findall(r"/feeds/([a-z-]+)", text))
    assert named
    assert named <= set(feeds)
    assert feeds["everything"].property == ["*"]
    assert feeds["passages"].policy == "aggregate"
    assert sum(feed.policy == "aggregate" for feed in feeds.values()) >= 3
    assert "-h 127.0.0.1 -p 1883" in text
    assert "//feeds" not in text.replace("http://", "")


def test_counts_by_chance_have_the_mean_that_is_asked_for() -> None:
    drawn = [chance.count(4.0, "test", n) for n in range(2000)]
    assert 3.8 < sum(drawn) / len(drawn) < 4.2
    assert chance.count(0.0, "none") == 0
