"""Plausibility with memory: jumps and values that stand still become flags of the observation, never a gap.

Two of the usual tests of observations, step and persistence: WMO-No. 8, Guide to Instruments and Methods of
Observation, https://library.wmo.int/idurl/4/68695. What is believable stands in `broker/vocabulary.toml`.
"""

from datetime import UTC, datetime, timedelta
from math import nan

from broker.model import Quality

CONFIRMED = 3
"""So many values in a row at another level are no spike: the last of them is the new level."""
FEWEST = 6
"""Fewer equal values say nothing, however long they take: a device may report twice a day."""

_SPIKE, _STUCK = int(Quality.SPIKE), int(Quality.STUCK)
_HOUR = timedelta(hours=1)
_NEVER = datetime.min.replace(tzinfo=UTC)


class Memory:
    """What was last accepted of one datastream, and since when it has not changed."""

    __slots__ = ("_accepted", "_level", "_newest", "_run", "_same", "_since", "_step", "_stuck", "_value")

    def __init__(self, step: float, stuck: timedelta) -> None:
        self._step = step
        self._stuck = stuck
        self._newest = self._accepted = self._since = _NEVER
        self._value = self._level = nan
        self._same = self._run = 0

    def judge(self, number: float, time: datetime) -> int:
        """Return the flags of a value inside its plausible range: SPIKE, STUCK or 0.

        A value that is not newer than the newest is late: it is neither judged nor remembered.
        """
        if time <= self._newest:
            return 0
        change = number - self._value
        if not change:
            self._newest = time
            self._run = 0
            self._same += 1
            return _STUCK if self._same >= FEWEST and time - self._since > self._stuck else 0
        if -self._step <= change <= self._step:
            self._value = number
            self._newest = self._since = time
            self._run, self._same = 0, 1
            return 0
        return self._jumped(number, time)

    def _jumped(self, number: float, time: datetime) -> int:
        """Accept the first value, what may have changed this much since the last, and a level that stays."""
        if not self._run:
            self._accepted = self._newest
        self._newest = time
        believable = self._step * ((time - self._accepted) / _HOUR)
        if not abs(number - self._value) > believable:
            self._run = 0
        elif abs(number - self._level) <= self._step:
            self._run += 1
        else:
            self._run = 1
        self._level = number
        if 0 < self._run < CONFIRMED:
            return _SPIKE
        self._value, self._since, self._same, self._run = number, time, 1, 0
        return 0
