"""Lengths of time as `city.toml` writes them: ISO 8601 durations of fixed length.

https://en.wikipedia.org/wiki/ISO_8601#Durations; months and years have no fixed length and are not taken.
"""

import re
from datetime import timedelta
from typing import Any

from broker.problems import expected

_DURATION = re.compile(r"P(?=.)(?:(\d+)D)?(?:T(?=.)(?:(\d+)H)?(?:(\d+)M)?(?:(\d+)S)?)?")
DAY = timedelta(days=1)


def parse(text: str) -> timedelta | None:
    """Read PT15M, PT1H30M, P1D, …; None if it is none."""
    found = _DURATION.fullmatch(text)
    if not found or any(len(digits or "") > 9 for digits in found.groups()):
        return None
    days, hours, minutes, seconds = (int(digits or 0) for digits in found.groups())
    try:
        return timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds)
    except OverflowError:
        return None


def write(length: timedelta) -> str:
    """Give the shortest ISO 8601 duration of whole seconds: PT15M, PT1H, P1D."""
    minutes, seconds = divmod(int(length.total_seconds()), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    day = f"{days}D" if days else ""
    time = "".join(f"{n}{unit}" for n, unit in ((hours, "H"), (minutes, "M"), (seconds, "S")) if n)
    return f"P{day}{'T' + time if time or not day else ''}" + ("" if time or day else "0S")


def period(value: Any) -> Any:
    """Take a duration or a number of seconds; a pydantic validator."""
    length = parse(value) if isinstance(value, str) else _seconds(value)
    if length is None:
        raise expected('a duration such as "PT15M", "PT1H", "P1D", or seconds')
    return length


def _seconds(value: Any) -> timedelta | None:
    if isinstance(value, timedelta):
        return value
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return timedelta(seconds=value) if number and 0 <= value < 1e9 else None


def window(value: str) -> str:
    """Take a duration that divides a day, and write it the shortest way; a pydantic validator."""
    length = parse(value)
    if not length or DAY % length:
        raise expected('an ISO 8601 duration that divides a day, such as "PT15M", "PT1H" or "P1D"')
    return write(length)
