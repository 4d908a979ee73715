"""What of a bucket may be shown: pure, and the only place that decides it.

A value that rests on fewer than `minimum` vehicles or observations is suppressed: value None, status
`suppressed`. Nothing and almost nothing look alike, so what is listed never says which of the two it
was; therefore whoever calls must list every datastream that it knows, also where n is 0.
"""

from collections.abc import Collection, Iterable
from datetime import datetime
from typing import NamedTuple

from broker.model import Cell, Datastream, Flow

PUBLISHED = "published"
SUPPRESSED = "suppressed"


class Bucket(NamedTuple):
    """One value of one datastream in [start, end) before anybody may see it; it rests on `n`."""

    datastream: Datastream
    start: datetime
    end: datetime
    value: float | None
    n: int


def disclose(bucket: Bucket, minimum: int) -> Cell:
    """Decide one cell. Without a value there is nothing to publish, whatever it rests on."""
    shown = bucket.value is not None and bucket.n >= minimum
    return Cell(
        datastream=bucket.datastream,
        start=bucket.start,
        end=bucket.end,
        value=bucket.value if shown else None,
        status=PUBLISHED if shown else SUPPRESSED,
    )


def begin(cells: Iterable[Cell], listed: Collection[Datastream]) -> list[Cell]:
    """List a datastream from its first published cell on, or from wherever it is `listed` already.

    A camera is first known by a vehicle: a suppressed cell at its beginning would tell that there was one.
    """
    known, found = set(listed), []
    for cell in sorted(cells, key=lambda one: one.start):
        if cell.status == PUBLISHED:
            known.add(cell.datastream)
        if cell.datastream in known:
            found.append(cell)
    return found


def disclose_flows(flows: Iterable[Flow], minimum: int) -> list[Cell]:
    """Decide the cells of flows: what would count a vehicle, or tell that there was none, is suppressed.

    Raises ValueError for a minimum that protects nobody.
    """
    if minimum < 2:
        raise ValueError(f"a minimum of {minimum} shows single vehicles")
    return [disclose(Bucket(flow.datastream, flow.start, flow.end, flow.value, flow.n), minimum) for flow in flows]
