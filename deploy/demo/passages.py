"""Vehicles past the cameras. Every plate has the Belgian form and ends in 000, which is never issued."""

from datetime import datetime, timedelta
from functools import lru_cache
from operator import attrgetter
from typing import NamedTuple

from deploy.demo import city, rhythm
from deploy.demo.chance import count, drift, units
from deploy.demo.city import MINUTE, Thing

LETTERS = "ABCDEFGHJKLMNPRSTUVWXYZ"
REPEAT = 0.35
"""The share of vehicles that come from the camera before."""

UNREAD = 0.03
"""The share of plates that nobody can read."""


class Vehicle(NamedTuple):
    """One vehicle as one camera sees it. `plate` None: seen, not read."""

    time: datetime
    plate: str | None
    lane: int
    direction: str
    """forward or reverse."""
    lorry: bool
    confidence: float
    """0-1."""
    speed: int
    """km/h."""


def passages(camera: Thing, start: datetime, end: datetime) -> list[Vehicle]:
    """List the vehicles that pass a camera in [start, end), by time."""
    first = start.replace(second=0, microsecond=0)
    found = [
        vehicle
        for minute in city.minutes(first, end)
        for vehicle in _minute(camera, minute)
        if start <= vehicle.time < end
    ]
    return sorted(found, key=attrgetter("time"))


@lru_cache(maxsize=4096)
def _minute(camera: Thing, minute: datetime) -> tuple[Vehicle, ...]:
    rush = rhythm.cars(rhythm.clock(minute))
    busy = 1 + 0.25 * drift(minute.timestamp(), 600, camera.seed, camera.identity)
    number = count(camera.traits["flow"] / 60 * rush * busy, *_key(camera, minute))
    return tuple(_vehicle(camera, minute, index, rush) for index in range(number))


def _vehicle(camera: Thing, minute: datetime, index: int, rush: float) -> Vehicle:
    when, look, lane, way, size, pace, trip, plate = units(*_key(camera, minute), index)
    return Vehicle(
        time=minute + timedelta(milliseconds=int(60_000 * when)),
        plate=None if look < UNREAD else _before(camera, minute, index, trip) or _plate(plate),
        lane=1 + (lane < 0.3),
        direction="forward" if way < 0.85 else "reverse",
        lorry=size < 0.08,
        confidence=round(0.3 if look < UNREAD else 0.82 + 0.17 * look, 2),
        speed=max(8, round(52 - 22 * rush**3 + 14 * (pace - 0.5))),
    )


def _before(camera: Thing, minute: datetime, index: int, trip: float) -> str | None:
    """Return the plate of a vehicle that passed the camera before this one, if this is such a trip."""
    if camera.follows is None or trip > REPEAT:
        return None
    first = next(thing for thing in city.things(camera.seed) if thing.identity == camera.follows)
    earlier = _minute(first, minute - camera.traits["minutes"] * MINUTE)
    return earlier[index].plate if index < len(earlier) else None


def _plate(share: float) -> str:
    number = int(share * 2 * len(LETTERS) ** 3)
    series, number = divmod(number, len(LETTERS) ** 3)
    first, rest = divmod(number, len(LETTERS) ** 2)
    second, third = divmod(rest, len(LETTERS))
    return f"{series + 1}{LETTERS[first]}{LETTERS[second]}{LETTERS[third]}000"


def _key(camera: Thing, minute: datetime) -> tuple[int, str, int]:
    return camera.seed, camera.identity, int(minute.timestamp())
