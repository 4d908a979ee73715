"""The hour that comes twice when the clocks go back: which of the two a live message means.

Read as the first one, the values of the second hour would meet those of the first at the same times, and be lost.
"""

from dataclasses import replace
from datetime import UTC, datetime, timedelta, tzinfo

from broker.model import Source

FAST = timedelta(minutes=5)
"""So far ahead may a device's clock be."""
LIVE = timedelta(hours=1)
"""Older than this is backfill: its hour is the first, as there is no telling."""


class Twice(tzinfo):
    """A zone in which a time that comes twice is the second where a message received at `received` may mean it."""

    def __init__(self, zone: tzinfo, received: datetime) -> None:
        self._zone = zone
        self._received = received.astimezone(UTC).replace(tzinfo=None)

    def utcoffset(self, local: datetime | None) -> timedelta | None:
        """Return the offset of a local time."""
        if local is None:
            return None
        wall = local.replace(tzinfo=None)
        first, second = (self._zone.utcoffset(wall.replace(fold=fold)) for fold in (0, 1))
        if first is None or second is None or second >= first:  # where an hour is left out the second is larger
            return first
        age = self._received - (wall - second)
        return second if -FAST <= age < LIVE else first

    def dst(self, local: datetime | None) -> timedelta | None:
        """Return what the zone says."""
        return self._zone.dst(local)

    def tzname(self, local: datetime | None) -> str | None:
        """Return what the zone says."""
        return self._zone.tzname(local)


class Clocks:
    """Gives sources the zone of the moment; all but three hours of a year this is one comparison."""

    def __init__(self) -> None:
        self._from = self._until = datetime.min.replace(tzinfo=UTC)
        self._back: dict[tzinfo, bool] = {}

    def at(self, source: Source, received: datetime) -> Source:
        """Return the source, its zone aware of the receive time while that matters."""
        if not self._from <= received < self._until:
            self._from = received.replace(minute=0, second=0, microsecond=0)
            self._until = self._from + LIVE
            self._back = {}
        back = self._back.get(source.timezone)
        if back is None:
            back = self._back[source.timezone] = goes_back(source.timezone, self._from, self._until)
        return replace(source, timezone=Twice(source.timezone, received)) if back else source


def goes_back(zone: tzinfo, start: datetime, end: datetime) -> bool:
    """Tell whether a message received in [start, end) can mean a time of an hour that comes twice."""
    before, after = (moment.astimezone(zone).utcoffset() for moment in (start - 2 * LIVE, end + FAST))
    return before is not None and after is not None and after < before
