"""Times as payloads write them → aware datetimes in UTC."""

from datetime import UTC, datetime, tzinfo
from typing import Any

from broker.errors import BadMessage

_EARLIEST = 631_152_000.0
"""1990 in epoch seconds; less is the uptime of a device without a clock."""
_UNITS = ((1e11, 1.0), (1e14, 1e3), (1e17, 1e6), (1e20, 1e9))
"""An epoch below the first number counts 1 / the second: s, ms, µs, ns."""


def moment(value: Any, zone: tzinfo, field: str = "time") -> datetime:
    """Read an ISO 8601 / RFC 3339 time (https://www.rfc-editor.org/rfc/rfc3339) or an epoch in s, ms, µs or ns.

    A time without a zone is in `zone`: one that comes twice when the clocks go back is the first. Digits
    beyond microseconds are cut. Raises BadMessage (`time`) that names `field`.
    """
    if type(value) is str:
        try:
            parsed = datetime.fromisoformat(value)
        except ValueError:
            return _unusual(value, zone, field)
        return _utc(parsed, zone, field)
    if isinstance(value, int | float) and not isinstance(value, bool):
        return epoch(value, field)
    raise _unusable(value, field)


def epoch(value: float, field: str = "time") -> datetime:
    """Read seconds, ms, µs or ns since 1970, told apart by their size. Raises BadMessage (`time`)."""
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


def _seconds(value: float, per_second: float) -> datetime:
    if isinstance(value, int):
        # In whole numbers: a float has no microseconds left at this size.
        whole, rest = divmod(value, int(per_second))
        return datetime.fromtimestamp(whole, UTC).replace(microsecond=rest * 1_000_000 // int(per_second))
    return datetime.fromtimestamp(value / per_second, UTC)


def _utc(parsed: datetime, zone: tzinfo, field: str) -> datetime:
    if parsed.tzinfo is UTC:
        return parsed
    try:
        return (parsed if parsed.tzinfo else parsed.replace(tzinfo=zone)).astimezone(UTC)
    except OverflowError:
        raise _unusable(parsed, field) from None


def _unusual(value: str, zone: tzinfo, field: str) -> datetime:
    text = value.strip().upper().replace(" UTC", "Z").replace(" GMT", "Z")
    try:
        return epoch(float(text), field)
    except ValueError:
        pass
    try:
        return _utc(datetime.fromisoformat(text), zone, field)
    except ValueError:
        raise _unusable(value, field) from None


def _unusable(value: Any, field: str) -> BadMessage:
    kind = type(value).__name__
    return BadMessage(f"{field}: expected an RFC 3339 time or an epoch since 1990, found {kind}", reason="time")
