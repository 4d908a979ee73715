"""`make soak`: mutated real messages through what ingest does with each, without MQTT and without a database.

python tests/soak/fuzz.py [--count N] [--seed S] [--first I] [--any-speed]

Whatever comes, a message becomes exactly one of: something stored, ignored, rejected. No decoder fails, none takes
longer than 50 ms of CPU, what is taken can be stored, memory does not grow, and no plate stands in a reject. Each
message is made from the seed and its number alone: `--seed S --first I --count 1` makes message I of a run again.
"""

import argparse
import gc
import json
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from math import isfinite
from pathlib import Path
from random import Random
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import orjson
import structlog

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent / "contracts")]

import corpus  # noqa: E402 - beside this file
import mutations  # noqa: E402 - beside this file

from anpr.keys import KeyStore  # noqa: E402 - after the path is set
from anpr.plate import Reader, clean  # noqa: E402
from broker import modules, remembered, vocabulary  # noqa: E402
from broker.config import City, Config  # noqa: E402
from broker.metrics import Messages, Outcomes  # noqa: E402
from broker.model import Message, Observation, Source  # noqa: E402
from ingest import normalise, rules  # noqa: E402
from ingest.normalise import Normaliser  # noqa: E402
from ingest.pipeline import Taker  # noqa: E402
from ingest.writer import Taken, _count_rest  # noqa: E402

SLOW = 0.05
"""Seconds of CPU for one message."""
ROUND = 10_000
"""Messages between two looks at memory."""
GROWTH = 24 << 20
"""Bytes by which memory may differ between the second quarter of a run and its end."""
REASONS = 400
"""Distinct reasons of each kind: they are labels of metrics."""
MOST_FAILURES = 20
MOMENTS = (datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC))


class Case(NamedTuple):
    """One message of the run."""

    number: int
    name: str
    message: Message
    source: Source
    plates: frozenset[str]
    """Those of the seed: none of them may be seen."""


class Failure(NamedTuple):
    """What went wrong with which message."""

    case: Case
    what: str


class Fuzz:
    """A run: its corpus, what the broker remembers, what was counted."""

    def __init__(self, seed: int, keys: Path) -> None:
        # Small, so that all that is bounded is full long before the end.
        normalise.MAX_STREAMS, rules.MAX_RULES = 5000, 2000
        remembered.MOST, remembered.ALL = 2000, 200_000
        self.seed = seed
        formats, cameras = modules.load("ingest.formats"), modules.load("anpr.cameras")
        self.seeds = corpus.load(formats, cameras)
        zone = ZoneInfo("Europe/Brussels")
        self.sources = [source for seed_ in self.seeds for source in seed_.sources]
        self.state: dict[str, dict[str, Any]] = {}
        config = Config(city=City(id="leiestad", name="Leiestad", timezone=zone.key))
        reader = Reader(cameras, KeyStore(keys, "leiestad", zone))
        self.taker = Taker(config, formats, Normaliser(vocabulary.load()), reader, self.state)
        self.messages, self.outcomes = Messages(), Outcomes()
        self.failures: dict[tuple[str, str], Failure] = {}
        self.failed = 0

    def case(self, number: int) -> Case:
        """Make message `number`: of the first ones each is a sample as it is, before all sources in turn."""
        chance = Random(self.seed * 1_000_003 + number)
        if number < len(self.seeds):
            seed = self.seeds[number]
            return Case(number, seed.name, seed.message, seed.sources[0], seed.plates)
        seed, other = chance.choice(self.seeds), chance.choice(self.seeds)
        source = chance.choice(seed.sources if chance.random() < 0.85 else self.sources)
        message = seed.message._replace(
            payload=mutations.mutated(seed.message.payload, chance, other.message.payload)
        )
        return Case(number, seed.name, _delivered(message, chance), source, seed.plates | other.plates)

    def run(self, case: Case, slow: float | None) -> None:
        """Take one message and judge what became of it."""
        self.taker.source = lambda _topic: case.source  # type: ignore[assignment]  # as its filter would find it
        self.messages.receive()
        began = time.thread_time()
        try:
            taken = self.taker.take(case.message)
        except Exception as error:  # noqa: BLE001 - this is what is looked for
            self.fail(case, f"crash: {type(error).__name__}")
            taken = Taken(case.message, case.source, ignored="crash")
        if slow and time.thread_time() - began > slow and self._is_slow(case, slow):
            self.fail(case, f"slow: more than {slow * 1000:g} ms")
        for what in wrong(taken, case):
            self.fail(case, what)
        outcomes = Outcomes()
        _count_rest(outcomes, taken)
        outcomes.stored += taken.ignored is None and taken.reject is None
        outcomes.observations += len(taken.observations)
        outcomes.passages += len(taken.passages)
        self.outcomes.add(outcomes)
        self.messages.settle(outcomes)

    def fail(self, case: Case, what: str) -> None:
        """Note that something went wrong; the first of each kind is shown."""
        self.failed += 1
        self.failures.setdefault((case.source.name, what), Failure(case, what))

    def _is_slow(self, case: Case, slow: float) -> bool:
        """Once more, twice: a collection of garbage may have come between."""
        taken = []
        for _ in range(2):
            began = time.thread_time()
            self.taker.take(case.message)
            taken.append(time.thread_time() - began)
        return min(taken) > slow

    def finish(self) -> Iterator[str]:
        """Say what is wrong with the counters."""
        if self.messages.in_flight:
            yield f"{self.messages.in_flight} messages have no outcome, or more than one"
        for name in ("ignored", "rejected", "skipped"):
            tally = getattr(self.outcomes, name)
            if len(tally) > REASONS:
                yield f"{len(tally)} reasons of {name}: {sorted(tally)[:REASONS:40]}"


def _delivered(message: Message, chance: Random) -> Message:
    """The message as a broker may hand it over: on another topic, retained, early, of the push door."""
    if chance.random() < 0.15:
        message = message._replace(topic=mutations.topic(message.topic, chance))
    if chance.random() < 0.3:
        message = message._replace(
            received=message.received
            + timedelta(seconds=chance.choice((-400_000, -3600, 1, 60, 86_400, 8_000_000)))
        )
    if chance.random() < 0.1:
        message = message._replace(
            retained=chance.random() < 0.5,
            duplicate=chance.random() < 0.5,
            content_type=chance.choice(
                (None, "", "application/json", "text/plain; charset=utf-16", "application/senml+cbor")
            ),
            identity=chance.choice((None, "", "esp8266-1", "x" * 300, "\u202e")),
            part=chance.choice((None, "", "11", "\u202e", "x" * 300)),
        )
    return message


def wrong(taken: Taken, case: Case) -> Iterator[str]:
    """Say what is wrong with what a message became."""
    if taken.reject and taken.reject.reason == "decoder":
        yield f"crash: {taken.reject.detail}"
    kinds = [bool(taken.observations or taken.passages), taken.ignored is not None, taken.reject is not None]
    if sum(kinds) != 1:
        yield f"outcomes: stored, ignored, rejected are {kinds}"
    if taken.reject and case.plates and _shows(taken, case):
        yield "plate: it stands in the reject"
    yield from (f"unstorable: {what}" for what in _unstorable(taken))


def _shows(taken: Taken, case: Case) -> bool:
    """Whether a reject names a plate of the seed. Bytes that are no camera's and name no plate are kept as they came."""
    reject = taken.reject
    assert reject is not None
    kept = [reject.topic, reject.detail, *(reject.fields or {}), *(reject.fields or {}).values()]
    if reject.payload is not None and (case.source.camera or case.message.payload in PRISTINE):
        kept.append(reject.payload.decode("latin-1"))
    text = " ".join(kept)
    return any(plate in text or clean(plate) in clean(text) for plate in case.plates)


PRISTINE: set[bytes] = set()
"""Samples of cameras as they are: whatever source they reach, no plate is kept."""


def _unstorable(taken: Taken) -> Iterator[str]:
    """Name what the database would refuse."""
    for row in taken.observations:
        yield from _unstorable_observation(row)
    if not all(_text(place.thing) and _json(place.geometry) and _text(place.name or "") for place in taken.places):
        yield "a place"
    if not all(_text(signal.thing) and _json(dict(signal.values)) for signal in taken.signals):
        yield "a signal"
    if not all(_text(inventory.key) and _json(inventory.value) for inventory in taken.inventories):
        yield "what is to be remembered"
    if not all(_text(part) for passage in taken.passages for part in passage if isinstance(part, str)):
        yield "a passage"
    reject = taken.reject
    if reject and not all(_text(part) for part in (reject.topic, reject.detail, *(reject.fields or {}))):
        yield "a reject"


def _unstorable_observation(row: Observation) -> Iterator[str]:
    stream, start, end, number, result, quality = row
    if not all(_text(part) for part in stream) or not (stream.thing and stream.property):
        yield "a datastream's names"
    if not MOMENTS[0] < start < MOMENTS[1] or (end is not None and end < start):
        yield "times"
    if (number is None) == (result is None) or (number is not None and not isfinite(number)):
        yield "a result"
    if not _json(result) or not 0 <= quality < 256:
        yield "a result or its quality"


def _text(text: str) -> bool:
    """Whether PostgreSQL takes it."""
    return "\0" not in text and (text.isascii() or _encodes(text))


def _encodes(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _json(value: Any) -> bool:
    """Whether it is JSON that PostgreSQL takes: no NUL, nothing infinite."""
    if value is None or isinstance(value, bool):
        return True
    try:
        return b"\\u0000" not in orjson.dumps(value).replace(b"\\\\", b"") and _finite(value)
    except (TypeError, ValueError, RecursionError):
        return False


def _finite(value: Any) -> bool:
    if isinstance(value, float):
        return isfinite(value)
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list | tuple) else ()
    return all(_finite(item) for item in inner)


def crossing(fuzz: Fuzz) -> None:
    """Put every camera sample, as it is, before every source: nothing of what becomes of it shows a plate."""
    every = list({source.name: source for source in fuzz.sources}.values())
    for seed in fuzz.seeds:
        if not seed.plates:
            continue
        PRISTINE.add(seed.message.payload)
        for source in every:
            case = Case(-1, seed.name, seed.message, source, seed.plates)
            fuzz.run(case, None)
            seen = repr(fuzz.taker.take(seed.message)._replace(message=None))  # type: ignore[arg-type]
            if any(plate in seen for plate in seed.plates):
                fuzz.fail(case, f"plate: it gets past the source {source.name}")


def resident() -> int:
    """Bytes of memory of this process."""
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * 4096


def main() -> int:
    """Run, print what was found, return 1 for any failure."""
    options = arguments()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    print(f"seed {options.seed}: replay with --seed {options.seed}", flush=True)
    with tempfile.TemporaryDirectory(prefix="fuzz") as folder:
        fuzz = Fuzz(options.seed, Path(folder) / "keys")
        if options.first == 0:
            crossing(fuzz)
        # As ingest does: what stays is not looked through for garbage again and again.
        gc.collect()
        gc.freeze()
        gc.set_threshold(100_000, 20, 20)
        memory = work(fuzz, options)
        return report(fuzz, memory, options)


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=2_000_000)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--first", type=int, default=0, help="the number of the first message")
    parser.add_argument("--any-speed", action="store_true", help="do not measure time and memory")
    return parser.parse_args()


def work(fuzz: Fuzz, options: argparse.Namespace) -> list[int]:
    """Take all messages: bytes of memory after each round."""
    slow = None if options.any_speed else SLOW
    memory, began = [], time.monotonic()
    for number in range(options.first, options.first + options.count):
        fuzz.run(fuzz.case(number), slow)
        done = number - options.first + 1
        if done % ROUND == 0:
            memory.append(resident())
        if done % (ROUND * 10) == 0:
            rate = done / (time.monotonic() - began)
            print(
                f"{done:>10,} messages, {rate:,.0f}/s, {memory[-1] >> 20} MiB, {fuzz.failed} failures", flush=True
            )
        if len(fuzz.failures) > MOST_FAILURES:
            break
    return memory


def report(fuzz: Fuzz, memory: list[int], options: argparse.Namespace) -> int:
    """Print counters and failures; the messages of these go to build/fuzz."""
    outcomes, problems = fuzz.outcomes, list(fuzz.finish())
    quarter = len(memory) // 4
    if quarter and not options.any_speed and (grown := memory[-1] - max(memory[quarter : 2 * quarter])) > GROWTH:
        problems.append(
            f"memory grew by {grown >> 20} MiB after the warm-up: {[m >> 20 for m in memory[:: max(1, quarter // 4)]]}"
        )
    print(
        f"{outcomes.messages:,} messages of {len(fuzz.seeds)} samples: {outcomes.stored:,} stored "
        f"({outcomes.observations:,} observations, {outcomes.passages:,} passages), {outcomes.ignored.total():,} ignored, "
        f"{outcomes.rejected.total():,} rejected: {dict(outcomes.rejected.most_common(12))}"
    )
    build = HERE.parents[1] / "build" / "fuzz"
    for case, what in fuzz.failures.values():
        build.mkdir(parents=True, exist_ok=True)
        (build / f"{fuzz.seed}-{case.number}.bin").write_bytes(case.message.payload)
        told = {**case.message._asdict(), "payload": None, "source": case.source.name, "what": what}
        (build / f"{fuzz.seed}-{case.number}.json").write_text(json.dumps(told, default=str))
        print(
            f"message {case.number} ({case.name} → {case.source.name}): {what}; --seed {fuzz.seed} --first {case.number} --count 1"
        )
    for problem in problems:
        print(problem)
    return 1 if fuzz.failures or problems else 0


if __name__ == "__main__":
    sys.exit(main())
