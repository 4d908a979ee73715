"""The day and the week of a Flemish city: how much of its peak everything reaches at a local time."""

from datetime import datetime
from math import exp
from typing import NamedTuple
from zoneinfo import ZoneInfo

ZONE = ZoneInfo("Europe/Brussels")


class Clock(NamedTuple):
    """A local time: hours since midnight (0-24), day of the week (Monday 0), day of the year."""

    hour: float
    weekday: int
    yearday: int

    @property
    def weekend(self) -> bool:
        """Saturday and Sunday."""
        return self.weekday > 4


def clock(moment: datetime) -> Clock:
    """Return the local time in Flanders."""
    local = moment.astimezone(ZONE)
    hour = local.hour + local.minute / 60 + local.second / 3600
    return Clock(hour, local.weekday(), local.timetuple().tm_yday)


def cars(at: Clock) -> float:
    """Return motor traffic, 0-1: two rush hours on working days, one broad afternoon in the weekend."""
    if at.weekend:
        return 0.05 + 0.55 * _hump(at.hour, 15, 3.6) + 0.08 * _hump(at.hour, 1, 1.5)
    rush = 0.85 * _hump(at.hour, 8, 0.9) + 0.8 * _hump(at.hour, 17.3, 1.3)
    return min(0.04 + rush + 0.5 * _hump(at.hour, 13, 3.2), 1.0)


def bicycles(at: Clock, commuters: float) -> float:
    """Return cycling, 0-1; `commuters` is the share that goes to school and work."""
    leisure = 0.7 * _hump(at.hour, 15, 2.6)
    if at.weekend:
        return 0.02 + (1 - 0.6 * commuters) * leisure
    school = _hump(at.hour, 8.1, 0.5) + 0.6 * _hump(at.hour, 16, 0.8) + 0.6 * _hump(at.hour, 17.6, 0.8)
    return min(0.02 + commuters * school + (1 - commuters) * leisure + 0.08, 1.0)


def nightlife(at: Clock) -> float:
    """Return the noise of people out, 0-1: Thursday is the students' night, Friday and Saturday everybody's."""
    night = at.weekday if at.hour > 12 else (at.weekday - 1) % 7
    crowd = (0.25, 0.3, 0.45, 1.0, 0.8, 0.9, 0.3)[night]
    return crowd * (_hump(at.hour, 23.5, 2.2) + 0.7 * _hump(at.hour, 1.5, 1.3)) + 0.15 * _hump(at.hour, 18, 4)


def parked(at: Clock, commuters: float) -> float:
    """Return how full a car park is, 0-1: those who work stay all day, the others shop and dine."""
    shop = 0.75 * _hump(at.hour, 14.5, 2.8) + 0.35 * _hump(at.hour, 20, 1.8)
    if at.weekend:
        return 0.1 + (1 - commuters) * (shop * 1.1 if at.weekday == 5 else shop * 0.5) + 0.1 * commuters
    work = _rise(at.hour, 8.2) * (1 - _rise(at.hour, 17.5))
    return 0.1 + 0.85 * (commuters * work + (1 - commuters) * shop)


def _hump(hour: float, centre: float, width: float) -> float:
    """Return a bell over the day; midnight is no edge."""
    distance = abs(hour - centre)
    distance = min(distance, 24 - distance)
    return exp(-0.5 * (distance / width) ** 2)


def _rise(hour: float, centre: float) -> float:
    return 1 / (1 + exp(-(hour - centre) * 2))
