"""One weather for the whole region; it comes from the west."""

from datetime import datetime, timedelta
from math import cos, pi
from typing import NamedTuple

from deploy.demo import rhythm
from deploy.demo.chance import drift

HOUR = 3600.0
WEST = 3.2
"""Longitude that the weather reaches first; an hour for each degree from there."""

DRY = 0.3
"""Below this it does not rain."""


class Weather(NamedTuple):
    """°C, %, hPa, m/s, degrees from north, mm/h, W/m²."""

    temperature: float
    humidity: float
    pressure: float
    wind: float
    direction: float
    rain: float
    radiation: float


def weather(moment: datetime, longitude: float, seed: int) -> Weather:
    """Return the weather at a time and a longitude."""
    at = rhythm.clock(moment)
    seconds = moment.timestamp() - (longitude - WEST) * HOUR
    front = drift(seconds, 30 * HOUR, seed, "front")
    cloud = min(max(0.55 + 0.6 * front, 0.0), 1.0)
    summer = (1 - cos(2 * pi * (at.yearday - 20) / 365)) / 2
    day = (1.2 + 3.5 * summer) * (1.2 - cloud) * cos(2 * pi * (at.hour - 15) / 24)
    wet = rain(moment, longitude, seed)
    return Weather(
        temperature=3.0 + 15 * summer + day + 3.5 * drift(seconds, 60 * HOUR, seed, "air") - 0.4 * min(wet, 3),
        humidity=min(max(80 - 5 * day + 10 * front + 6 * min(wet, 2), 35.0), 100.0),
        pressure=1014 - 13 * front + 4 * drift(seconds, 12 * HOUR, seed, "pressure"),
        wind=max(3.6 + 2.6 * front + 1.1 * drift(seconds, 900, seed, "gust"), 0.2),
        direction=(225 + 80 * drift(seconds, 20 * HOUR, seed, "wind")) % 360,
        rain=wet,
        radiation=_radiation(at, summer, cloud),
    )


def rain(moment: datetime, longitude: float, seed: int) -> float:
    """Return how hard it rains, mm/h: showers, where the front is."""
    seconds = moment.timestamp() - (longitude - WEST) * HOUR
    wet = 0.7 * drift(seconds, 30 * HOUR, seed, "front") + 0.6 * drift(seconds, 2 * HOUR, seed, "shower")
    if wet <= DRY:
        return 0.0
    return (wet - DRY) * 4 * (1 + 0.6 * drift(seconds, 600, seed, "drops"))


def rainfall(start: datetime, end: datetime, longitude: float, seed: int) -> float:
    """Return the rain that fell between two times, mm; seen every five minutes, at most 24 times."""
    seconds = (end - start).total_seconds()
    steps = min(max(1, round(seconds / 300)), 24)
    middle = [start + timedelta(seconds=seconds * (step + 0.5) / steps) for step in range(steps)]
    return sum(rain(moment, longitude, seed) for moment in middle) / steps * seconds / HOUR


def _radiation(at: rhythm.Clock, summer: float, cloud: float) -> float:
    half = 4.0 + 4.3 * summer
    height = cos(pi / 2 * (at.hour - 13) / half) if abs(at.hour - 13) < half else 0.0
    return max(0.0, height) * (280 + 570 * summer) * (1 - 0.75 * cloud)
