"""Buckets of time: where they begin and end. All moments are aware; results are in UTC."""

from datetime import UTC, datetime, timedelta, tzinfo

DAY = timedelta(days=1)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def bucket_start(moment: datetime, window: timedelta, zone: tzinfo) -> datetime:
    """The start of the bucket that holds `moment`: days follow the city's clock, shorter windows UTC."""
    if window < DAY:
        return moment.astimezone(UTC) - (moment - EPOCH) % window
    return _midnight(moment.astimezone(zone), zone)


def bucket_end(start: datetime, window: timedelta, zone: tzinfo) -> datetime:
    """The end of the bucket that starts at `start`; a day of the city has 23, 24 or 25 hours."""
    if window < DAY:
        return start + window
    return _midnight(start.astimezone(zone).replace(tzinfo=None) + DAY, zone)


def _midnight(local: datetime, zone: tzinfo) -> datetime:
    return datetime(local.year, local.month, local.day, tzinfo=zone).astimezone(UTC)
