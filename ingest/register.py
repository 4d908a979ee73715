"""Which things a source takes messages from: all, those on its list, or those that were registered."""

import time
from collections.abc import Callable, Sequence
from fnmatch import fnmatchcase
from typing import TypeVar

from broker.errors import BadMessage
from broker.model import Passage, Skipped, Source
from ingest.normalise import Normalised

REASON = "unknown thing"
ASK_AGAIN = 5.0
"""Seconds between two looks into the store for things that were not there."""
KEEP = 60.0
"""Seconds after which what was known is asked again."""

One = TypeVar("One")


class Register:
    """The registered things, as the store had them a moment ago. Without `load` every thing is one."""

    def __init__(self, load: Callable[[], frozenset[str]] | None = None) -> None:
        self._load = load
        self._known: frozenset[str] = frozenset()
        self._asked = float("-inf")

    def allows(self, source: Source, thing: str) -> bool:
        """Tell whether the source takes messages of a thing. Raises StoreUnavailable."""
        if source.allow is None:
            return True
        if source.allow == "registry":
            return self._load is None or self._registered(thing)
        return thing in source.allow or any(fnmatchcase(thing, one) for one in source.allow if "*" in one)

    def _registered(self, thing: str) -> bool:
        age = time.monotonic() - self._asked
        if self._load and age > (KEEP if thing in self._known else ASK_AGAIN):
            self._known = self._load()
            self._asked = time.monotonic()
        return thing in self._known

    def observed(self, found: Normalised, source: Source) -> Normalised:
        """Leave out what is of unknown things. Raises BadMessage (`unknown thing`) where nothing else is there."""
        if source.allow is None:
            return found
        named = {row.datastream.thing for row in found.observations} | {row.thing for row in found.places}
        unknown = {thing for thing in named if not self.allows(source, thing)}
        if not unknown:
            return found
        if unknown == named:
            raise _unknown()
        refused = [row.datastream.property for row in found.observations if row.datastream.thing in unknown]
        return found._replace(
            observations=[row for row in found.observations if row.datastream.thing not in unknown],
            places=[row for row in found.places if row.thing not in unknown],
            signals=[row for row in found.signals if row.thing not in unknown],
            skipped=[*found.skipped, *(Skipped(name, REASON) for name in refused)],
        )

    def passed(self, found: Sequence[One], source: Source) -> list[One | Skipped]:
        """Leave out passages of unknown cameras. Raises BadMessage (`unknown thing`) where no other is there."""
        kept = [row for row in found if not isinstance(row, Passage) or self.allows(source, row.camera)]
        refused = len(found) - len(kept)
        if refused and not any(isinstance(row, Passage) for row in kept):
            raise _unknown()
        return [*kept, *(Skipped("passage", REASON) for _ in range(refused))]


def _unknown() -> BadMessage:
    return BadMessage("the thing is not among those that the source takes (allow)", reason=REASON)
