"""Times as payloads write them → aware datetimes in UTC."""

import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from typing import Any

from broker.errors import BadMessage
from broker.model import Quality

_EARLIEST = 631_152_000.0
"""1990 in epoch seconds; less is the uptime of a device without a clock."""
_UNITS = ((1e11, 1.0), (1e14, 1e3), (1e17, 1e6), (1e20, 1e9))
"""An epoch below the first number counts 1 / the second: s, ms, µs, ns."""
_MICRO = 1e6
_EXACT = 2.0**32
"""Seconds; a float has the microseconds of all before."""
_OF_ONE_CLOCK = timedelta(seconds=1)
"""Times so near each other are one, rounded."""
_EPOCH = re.compile(r"\+?\d{1,20}(?:\.\d*)?(?:E\+?\d{1,2})?", re.ASCII)
_COMPACT = {len("20260302"), len("20260302071500")}
_UNUSUAL = re.compile(
    r"(\d{4})[-/]?(\d\d)[-/]?(\d\d)(?:[T ]?(\d\d):?(\d\d)(?::?(\d\d)(?:[.,](\d*))?)?)?"
    r"(?: ?(?:(Z|UTC|GMT)|([+-]\d\d(?::?\d\d)?)(?: UTC)?)(?:\[[\w/+-]+\])?)?",
    re.ASCII,
)


def moment(value: Any, zone: tzinfo, field: str = "time") -> datetime:
    """Read an ISO 8601 / RFC 3339 time (https://www.rfc-editor.org/rfc/rfc3339) or an epoch in s, ms, µs or ns.

    A time without a zone is in `zone`: one that comes twice when the clocks go back is the first. Digits
    beyond microseconds are cut. Raises BadMessage (`time`) that names `field`.
    """
    if type(value) is str:
        if value[4:5] != "-":  # `fromisoformat` takes some epochs for dates without separators
            return _unusual(value, zone, field)
        try:
            parsed = datetime.fromisoformat(value)
        except ValueError:
            return _unusual(value, zone, field)
        return parsed if parsed.tzinfo is UTC else _utc(parsed, zone, field)
    if isinstance(value, int | float) and not isinstance(value, bool):
        return epoch(value, field)
    raise _unusable(value, field)


def epoch(value: float, field: str = "time") -> datetime:
    """Read seconds, ms, µs or ns since 1970, told apart by their size. Raises BadMessage (`time`)."""
    if _EARLIEST <= value < _EXACT:  # nearly all of them
        return datetime.fromtimestamp(value, UTC)
    for bound, per_second in _UNITS:
        if _EARLIEST * per_second <= value < bound:
            return _seconds(value, per_second)
    raise _unusable(value, field)


def interval(value: Any, zone: tzinfo, field: str = "time") -> tuple[datetime, datetime | None]:
    """Read `start/end` (ISO 8601) or a single time, whose end is None. Raises BadMessage (`time`)."""
    if isinstance(value, str) and "/" in value:
        start, _, end = value.partition("/")
        return moment(start.strip(), zone, field), moment(end.strip(), zone, field)
    return moment(value, zone, field), None


def is_epoch(value: Any) -> bool:
    """Tell whether a time is written as a number, be it in a text; 8 and 14 digits are a date."""
    if type(value) is not str:
        return True
    text = value.strip().upper()
    return _EPOCH.fullmatch(text) is not None and not (len(text) in _COMPACT and text.isdecimal())


def agreed(epochs: Sequence[datetime], texts: Sequence[datetime]) -> tuple[datetime | None, int]:
    """Return the time that an object gives, and its quality.

    Where an epoch contradicts a text (a local time without its zone, a clock that was never set), the epoch
    wins and it is flagged.
    """
    if not epochs:
        return (texts[0] if texts else None), 0
    contradicts = texts and abs(texts[0] - epochs[0]) > _OF_ONE_CLOCK
    return epochs[0], int(Quality.CLOCK) if contradicts else 0


def _seconds(value: float, per_second: float) -> datetime:
    if isinstance(value, int) and (per_second > _MICRO or value >= _EXACT * per_second):
        # In whole numbers: a float has no microseconds left at this size, and nanoseconds are cut.
        whole, rest = divmod(value, int(per_second))
        return datetime.fromtimestamp(whole, UTC).replace(microsecond=rest * 1_000_000 // int(per_second))
    return datetime.fromtimestamp(value / per_second, UTC)


def _utc(parsed: datetime, zone: tzinfo, field: str) -> datetime:
    try:
        return (parsed if parsed.tzinfo else parsed.replace(tzinfo=zone)).astimezone(UTC)
    except OverflowError:
        raise _unusable(parsed, field) from None


def _unusual(value: str, zone: tzinfo, field: str) -> datetime:
    """Read what `fromisoformat` does not: epochs in texts, slashes, other words for UTC, leap seconds, 24:00."""
    text = value.strip().upper()
    if is_epoch(text):
        return epoch(int(text) if text.isdecimal() else float(text), field)
    found = _UNUSUAL.fullmatch(text)
    if not found:
        raise _unusable(value, field)
    year, month, day, hour, minute, second = (int(digits or 0) for digits in found.groups()[:6])
    if (hour, minute, second) > (24, 0, 0) or minute > 59 or second > 60:
        raise _unusable(value, field)
    fraction, utc, offset = found.groups()[6:]
    try:
        # A second that clocks do not have is the next one, midnight at the end of a day that of the next day.
        wall = datetime(year, month, day) + timedelta(hours=hour, minutes=minute, seconds=second)  # noqa: DTZ001
        wall = wall.replace(microsecond=int(f"{fraction or '0':0<6.6}"))
        return _utc(wall.replace(tzinfo=UTC if utc else _offset(offset)), zone, field)
    except (ValueError, OverflowError):
        raise _unusable(value, field) from None


def _offset(written: str | None) -> tzinfo | None:
    if written is None:
        return None
    digits = written[1:].replace(":", "")
    minutes = int(digits[:2]) * 60 + int(digits[2:] or 0)
    return timezone(timedelta(minutes=-minutes if written[0] == "-" else minutes))


def _unusable(value: Any, field: str) -> BadMessage:
    kind = type(value).__name__
    return BadMessage(f"{field}: expected an RFC 3339 time or an epoch since 1990, found {kind}", reason="time")
