"""The things of the demo, and what each measures at a time: pure functions of thing and time."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import lru_cache
from importlib.resources import files
from math import cos, log10, pi

from deploy.demo import rhythm
from deploy.demo.chance import count, drift, unit
from deploy.demo.weather import rain, rainfall, weather

Values = dict[str, float]
MINUTE = timedelta(minutes=1)
TIDE = 12.4206 * 3600
"""Seconds between two high waters."""


@dataclass(frozen=True, slots=True)
class Thing:
    """One sensor or camera, as `things.geojson` lists it."""

    identity: str
    name: str
    kind: str
    """sensor or camera."""
    town: str
    subject: str
    """air, noise, weather, water, parking, traffic, bicycle or camera."""
    format: str
    """Of `ingest.formats`, or of `anpr.cameras`."""
    longitude: float
    latitude: float
    traits: Mapping[str, float] = field(default_factory=dict, hash=False)
    """What its rhythm depends on; `flow` is vehicles an hour at the peak."""
    follows: str | None = None
    """The camera that some of its vehicles passed before."""
    seed: int = 0


@lru_cache
def things(seed: int = 0) -> tuple[Thing, ...]:
    """Return all things of `things.geojson`."""
    text = files("deploy.demo").joinpath("things.geojson").read_text(encoding="utf-8")
    return tuple(_thing(feature, seed) for feature in json.loads(text)["features"])


def rename(thing: Thing, name: str) -> Thing:
    """Return the same thing under another identity, for loads that must not disturb the demo."""
    kept = thing.identity.split(":")[:-1][:3]  # urn:ngsi-ld:Type
    return replace(thing, identity=":".join([*kept, name]), name=name)


def measure(thing: Thing, start: datetime, end: datetime) -> Values:
    """Return what a sensor sends at `end`; counts and sums are those of [start, end).

    Keys are the vocabulary's, with `/qualifier` where a thing measures the same twice. Values are in
    the vocabulary's units, rounded as the sensor rounds them.
    """
    return _SUBJECTS[thing.subject](thing, start, end)


def _thing(feature: Mapping[str, dict[str, object]], seed: int) -> Thing:
    coordinates = feature["geometry"]["coordinates"]
    longitude, latitude = coordinates if isinstance(coordinates, list) else (0.0, 0.0)
    return Thing(longitude=longitude, latitude=latitude, seed=seed, **feature["properties"])  # type: ignore[arg-type]  # things.geojson is our own


def _air(thing: Thing, _: datetime, end: datetime) -> Values:
    seconds, at = end.timestamp(), rhythm.clock(end)
    sky = weather(end, thing.longitude, thing.seed)
    stagnant = 1.7 / (1 + 0.3 * sky.wind)
    street = thing.traits["traffic"] * rhythm.cars(at)
    haze = drift(seconds, 9 * 3600, thing.seed, "haze") + 0.3 * _own(thing, end, 1200, "dust")
    pm10 = max(3.0, (16 + 7 * haze + 11 * street) * stagnant - 2.5 * min(sky.rain, 3))
    return {
        "no2": round((9 + 46 * street) * stagnant * (1 + 0.12 * _own(thing, end, 900, "no2")), 1),
        "pm10": round(pm10, 1),
        "pm25": round(pm10 * (0.58 + 0.06 * haze), 1),
        "temperature": round(sky.temperature + 0.8 * thing.traits["traffic"], 1),
        "relativeHumidity": round(min(sky.humidity + 2 * _own(thing, end, 3600, "humidity"), 100.0), 1),
    }


def _water(thing: Thing, _: datetime, end: datetime) -> Values:
    seconds = end.timestamp()
    wet = rainfall(end - timedelta(hours=12), end, thing.longitude, thing.seed) / 10
    slow = drift(seconds, 5 * 86400, thing.seed, thing.town, "river")
    tide = thing.traits["tide"] * cos(2 * pi * seconds / TIDE)
    level = thing.traits["level"] + thing.traits["swing"] * (0.4 * slow + min(wet, 1.5)) + tide
    sky = weather(end - timedelta(hours=6), thing.longitude, thing.seed)
    return {
        "waterLevel": round(level + 0.01 * _own(thing, end, 600, "ripple"), 3),
        "waterTemperature": round(max(0.5, 4 + 0.7 * sky.temperature), 1),
    }


def _noise(thing: Thing, _: datetime, end: datetime) -> Values:
    at = rhythm.clock(end)
    drops = min(rain(end, thing.longitude, thing.seed), 4)
    power = 10**4.1 + 10**6.7 * thing.traits["traffic"] * rhythm.cars(at)
    power += 10**7.1 * thing.traits["nightlife"] * rhythm.nightlife(at) ** 2
    level = 10 * log10(power) + 0.6 * drops + 1.6 * _own(thing, end, 240, "noise")
    peak = level + 6 + 9 * unit(thing.seed, thing.identity, int(end.timestamp()), "peak")
    battery = round(98 - 30 * unit(thing.seed, thing.identity, "battery"))
    return {"LAeq": round(level, 1), "LAmax": round(peak, 1), "batteryLevel": battery}


def _weather(thing: Thing, start: datetime, end: datetime) -> Values:
    sky = weather(end, thing.longitude, thing.seed)
    return {
        "temperature": round(sky.temperature + 0.3 * _own(thing, end, 1800, "air"), 1),
        "relativeHumidity": round(sky.humidity, 1),
        "atmosphericPressure": round(sky.pressure, 1),
        "windSpeed": round(sky.wind, 1),
        "windDirection": round(sky.direction),
        "precipitation": round(rainfall(start, end, thing.longitude, thing.seed), 2),
        "solarRadiation": round(sky.radiation),
    }


def _parking(thing: Thing, _: datetime, end: datetime) -> Values:
    capacity = int(thing.traits["capacity"])
    share = rhythm.parked(rhythm.clock(end), thing.traits["commuters"]) + 0.04 * _own(thing, end, 900, "cars")
    occupied = round(capacity * min(max(share, 0.0), 1.0))
    return {
        "parkingCapacity": capacity,
        "occupiedParkingSpaces": occupied,
        "availableParkingSpaces": capacity - occupied,
        "parkingOccupancy": round(100 * occupied / capacity),
    }


def _traffic(thing: Thing, start: datetime, end: datetime) -> Values:
    load = rhythm.cars(rhythm.clock(end))
    speed = thing.traits["speed"] * (1.05 - 0.4 * load**3) + 2 * _own(thing, end, 300, "speed")
    vehicles = sum(
        count(thing.traits["flow"] / 60 * rhythm.cars(rhythm.clock(minute)), *_key(thing, minute))
        for minute in minutes(start, end)
    )
    return {"vehicleCount": vehicles, "vehicleSpeed": round(speed, 1)}


def _bicycle(thing: Thing, start: datetime, end: datetime) -> Values:
    inward = outward = 0
    for minute in minutes(start, end):
        at = rhythm.clock(minute)
        dry = 1 / (1 + 0.7 * rain(minute, thing.longitude, thing.seed))
        flow = thing.traits["flow"] / 60 * rhythm.bicycles(at, thing.traits["commuters"]) * dry
        share = 0.65 if at.hour < 12 else 0.38
        inward += count(flow * share, *_key(thing, minute), "in")
        outward += count(flow * (1 - share), *_key(thing, minute), "out")
    return {"bicycleCount/in": inward, "bicycleCount/out": outward}


def minutes(start: datetime, end: datetime) -> list[datetime]:
    """List the minutes that begin in [start, end)."""
    first = start.replace(second=0, microsecond=0)
    first = first if first == start else first + MINUTE
    return [first + step * MINUTE for step in range(max(0, -((first - end) // MINUTE)))]


def _own(thing: Thing, moment: datetime, period: float, what: str) -> float:
    """Return what makes one thing differ from its neighbour, -1 to 1."""
    return drift(moment.timestamp(), period, thing.seed, thing.identity, what)


def _key(thing: Thing, minute: datetime) -> tuple[int, str, int]:
    return thing.seed, thing.identity, int(minute.timestamp())


_SUBJECTS: Mapping[str, Callable[[Thing, datetime, datetime], Values]] = {
    "air": _air,
    "water": _water,
    "noise": _noise,
    "weather": _weather,
    "parking": _parking,
    "traffic": _traffic,
    "bicycle": _bicycle,
}
