"""Microseconds of decode + normalise for each format, beside a plain `json.loads` of the same bytes.

python tests/bench/formats.py [--worst]

Over the samples of `tests/samples`, and of `../shared` where that is, of which something is stored. What counts are
ratios: no JSON format above 6 of them for messages of 300 bytes and more; below that at most 4 µs an observation more.
"""

import gc
import json
import sys
from collections.abc import Callable, Iterator, Mapping
from itertools import groupby
from pathlib import Path
from time import process_time
from types import ModuleType
from typing import Any, NamedTuple

from rich.console import Console
from rich.table import Column, Table

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE.parent / "contracts"), str(HERE.parent / "soak")]

import corpus  # noqa: E402 - after the path is set
import samples  # noqa: E402

from broker import modules, vocabulary  # noqa: E402
from broker.errors import BadMessage  # noqa: E402
from broker.model import Message, Source  # noqa: E402
from ingest.normalise import Normalised, Normaliser  # noqa: E402

LARGE = 300
"""Bytes from which on the ratio counts."""
RATIO = 6.0
EXTRA = 4.0
"""µs an observation that a small message may take beside its `json.loads`."""
ROUNDS = 9
LONG = 0.002
"""Seconds that one round lasts."""


class Figure(NamedTuple):
    """What one sample takes, in µs; `plain` is None where it is no JSON."""

    format: str
    sample: str
    size: int
    observations: int
    taken: float
    plain: float | None

    @property
    def large(self) -> bool:
        """Whether the ratio counts."""
        return self.size >= LARGE

    @property
    def over(self) -> float:
        """How much of its bound it takes: more than 1 is too much; 0 without a bound."""
        if self.plain is None:
            return 0.0
        return self.taken / (RATIO * self.plain if self.large else self.plain + EXTRA * self.observations)


class Work(NamedTuple):
    """A sample, and what is done with it."""

    format: str
    sample: str
    message: Message
    source: Source
    state: Mapping[str, Any]
    decode: Callable[..., list[Any]]
    normaliser: Normaliser

    def __call__(self) -> Normalised:
        """Decode and normalise."""
        message, source = self.message, self.source
        return self.normaliser.normalise(self.decode(message, source, self.state), message, source)


def measure() -> list[Figure]:
    """Measure every sample of every format of which something is stored."""
    counted = [(work, _count(work)) for work in _works(modules.load("ingest.formats"))]
    return [_figure(work, count) for work, count in counted if count]


def _works(formats: Mapping[str, ModuleType]) -> Iterator[Work]:
    words = vocabulary.load()
    for name, module in formats.items():
        for case in samples.cases(name):
            sample = samples.read(case)
            title = case.name.removesuffix(samples.SUFFIX)
            yield Work(name, title, sample.message, sample.source, sample.state, module.decode, Normaliser(words))
    for seed in corpus.load(formats, {}):
        source, folder = seed.sources[0], seed.name.split("/")[1]
        if seed.name.startswith("shared/") and corpus.is_own(source.name, folder):
            decode = formats[source.name].decode
            yield Work(source.name, seed.name, seed.message, source, {}, decode, Normaliser(words))


def _count(work: Work) -> int:
    try:
        return len(work().observations)
    except BadMessage:
        return 0


def _figure(work: Work, count: int) -> Figure:
    payload = work.message.payload
    try:
        json.loads(payload)
    except ValueError:
        plain = None
    else:
        plain = best(lambda: json.loads(payload))
    return Figure(work.format, work.sample, len(payload), count, best(work), plain)


def best(work: Callable[[], object]) -> float:
    """CPU µs of one call, the best of some rounds: what else the machine does only adds."""
    times = 1
    while (took := _round(work, times)) < LONG:
        times = max(times + 1, int(times * 1.2 * LONG / max(took, 1e-6)))
    return min(took, *(_round(work, times) for _ in range(ROUNDS))) / times * 1e6


def _round(work: Callable[[], object], times: int) -> float:
    gc.disable()
    try:
        began = process_time()
        for _ in range(times):
            work()
        return process_time() - began
    finally:
        gc.enable()


def show(figures: list[Figure], console: Console, *, worst: bool = False) -> None:
    """Print a row for each format, its large and its small messages apart: means, times in µs of CPU."""
    table = Table(
        Column("format", no_wrap=True),
        "bytes",
        "messages",
        "mean bytes",
        "values",
        "µs",
        "json.loads µs",
        "ratio",
        "more a value",
        "of its bound",
    )
    for (name, is_json, large), group in groupby(sorted(figures, key=_kind), _kind):
        sizes = f"{'≥' if large else '<'} {LARGE}" if is_json else "no JSON"
        table.add_row(name, sizes, *_cells(list(group), is_json=is_json))
    console.print(table)
    if worst:
        for one in sorted(figures, key=lambda one: -one.over)[:40]:
            console.print(
                f"{one.over:5.2f} {one.format} {one.sample}: {one.size} bytes, {one.observations} values, "
                f"{one.taken:.1f} µs, json.loads {one.plain or 0:.1f} µs"
            )


def _kind(one: Figure) -> tuple[str, bool, bool]:
    is_json = one.plain is not None
    return one.format, is_json, is_json and one.large


def _cells(group: list[Figure], *, is_json: bool) -> list[str]:
    count, values = len(group), sum(one.observations for one in group)
    taken, plain = sum(one.taken for one in group), sum(one.plain or 0 for one in group)
    mean = [
        f"{count}",
        f"{sum(one.size for one in group) / count:.0f}",
        f"{values / count:.1f}",
        f"{taken / count:.1f}",
    ]
    if not is_json:
        return [*mean, "", "", "", ""]
    bound = RATIO * plain if group[0].large else plain + EXTRA * values
    return [
        *mean,
        f"{plain / count:.1f}",
        f"{taken / plain:.1f}",
        f"{(taken - plain) / values:.1f}",
        f"{taken / bound:.0%}",
    ]


def main() -> int:
    """Measure and print."""
    show(measure(), Console(width=130), worst="--worst" in sys.argv[1:])
    return 0


if __name__ == "__main__":
    sys.exit(main())
