"""`citybroker simulate`: numbered messages over MQTT, as fast as they are acknowledged.

The load of the benchmarks and of the kill tests. Each message has a number and a phenomenon time of
its own, so that (thing, time) is unique and a table of observations says which numbers it holds.
"""

import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any, Literal

from deploy.demo import city, messages
from deploy.wire import Line, Outgoing

Times = Literal["numbered", "now"]
STEP = 1000
"""Microseconds between the times of two consecutive numbers."""
FORMATS = messages.FORMATS
TOPIC = "v3/app@citybroker/devices/{device}/up"
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
HEAD = (
    b'{"end_device_ids":{"device_id":"dev-%05d","application_ids":{"application_id":"app"},'
    b'"dev_eui":"02000000FE0%05d"},"uplink_message":{"f_port":2,"f_cnt":'
)
BODY = b'%d,"decoded_payload":{"temperature":%d.%02d,"humidity":%d,"pressure":%d,"pm25":%d.4},"received_at":"%s"}}'


@dataclass(frozen=True, slots=True)
class Load:
    """What to publish, and how hard."""

    count: int = 10_000
    rate: float | None = None
    """Messages a second over all connections; without one, as fast as acknowledged."""
    formats: Sequence[str] = ("tts_v3",)
    """Some of FORMATS, in turn. `tts_v3` alone is the uplink of the benchmarks: 288 bytes, four values."""
    connections: int = 4
    things: int = 100
    window: int = 1000
    """How many messages of one connection may be unacknowledged."""
    seed: int = 0
    times: Times = "numbered"
    """numbered: `start` and a millisecond for each number; now: when it is built."""
    start: datetime = field(default_factory=lambda: datetime.now(UTC))
    patience: float | None = 60.0
    """Seconds that a broker that is away is waited for; None: for ever."""

    def time(self, number: int) -> datetime:
        """The phenomenon time of a number, where times are numbered."""
        return self.start + timedelta(microseconds=number * STEP)

    def number(self, moment: datetime) -> int:
        """The number of a phenomenon time, where times are numbered."""
        return (moment - self.start) // timedelta(microseconds=STEP)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a load. `unacknowledged` holds the numbers that nobody promised to keep."""

    load: Load
    published: int
    acknowledged: int
    resent: int
    reconnects: int
    seconds: float
    unacknowledged: tuple[int, ...]

    @property
    def rate(self) -> float:
        """Acknowledged messages a second."""
        return self.acknowledged / self.seconds if self.seconds else 0.0

    def summary(self) -> dict[str, Any]:
        """What `--json` prints."""
        values = {key: value for key, value in asdict(self).items() if key != "load"}
        return {**values, "rate": round(self.rate, 1), "start": self.load.start.isoformat(), "step": STEP}


def run(
    mqtt_url: str,
    *,
    stop: threading.Event | None = None,
    progress: Callable[[int], None] | None = None,
    **options: Any,
) -> Outcome:
    """Publish a load and return what was acknowledged; `options` are the fields of `Load`.

    Numbered times end now unless `start` is given. A broker that dies gets again what it has not
    acknowledged, once it is back. `progress` is told how many are acknowledged. Raises OSError where
    no connection was ever made.
    """
    load = Load(**options)
    if "start" not in options:
        load = replace(load, start=load.start - timedelta(microseconds=load.count * STEP))
    stop = stop or threading.Event()
    connections = min(load.connections, load.things)
    prefix = f"simulate-{os.getpid()}"
    lines = [Line(mqtt_url, f"{prefix}-{n}", window=load.window, stop=stop) for n in range(connections)]
    rate = load.rate / connections if load.rate else None
    began = time.monotonic()
    with ThreadPoolExecutor(connections) as pool:
        work = [
            pool.submit(line.deliver, generate(load, n, connections), rate=rate, patience=load.patience)
            for n, line in enumerate(lines)
        ]
        _watch(work, lines, stop, progress or _silent)
    return _outcome(load, lines, work, time.monotonic() - began)


def ceiling(load: Load) -> float:
    """Messages a second that one connection builds when nobody has to take them: its own limit."""
    began = time.perf_counter()
    built = sum(1 for _ in generate(load, 0, 1))
    return built / (time.perf_counter() - began)


def generate(load: Load, share: int, shares: int) -> Iterator[Outgoing]:
    """Build one connection's share of the load; a thing stays with one connection."""
    if list(load.formats) == ["tts_v3"]:
        return _uplinks(load, share, shares)
    return _city(load, share, shares)


def _silent(_: int) -> None:
    """Progress that nobody watches."""


def _watch(
    work: Sequence[Future[bool]],
    lines: Sequence[Line],
    stop: threading.Event,
    progress: Callable[[int], None],
) -> None:
    """Tell the progress until all is done; an interrupt stops the lines, which then say what is known."""
    try:
        while wait(work, timeout=0.1).not_done:
            progress(sum(line.acknowledged for line in lines))
    except KeyboardInterrupt:
        stop.set()
    wait(work)
    progress(sum(line.acknowledged for line in lines))


def _outcome(load: Load, lines: Sequence[Line], work: Sequence[Future[bool]], seconds: float) -> Outcome:
    """Sum up. Raises OSError where no connection was ever made."""
    for line in lines:
        line.close()
    if not any(line.connects for line in lines):
        work[0].result()
    acknowledged = sum(line.acknowledged for line in lines)
    unknown = tuple(sorted(number for line in lines for number in line.unacknowledged))
    return Outcome(
        load=load,
        published=acknowledged + len(unknown),
        acknowledged=acknowledged,
        resent=sum(line.resent for line in lines),
        reconnects=sum(max(line.connects - 1, 0) for line in lines),
        seconds=round(seconds, 3),
        unacknowledged=unknown,
    )


def _numbers(load: Load, share: int, shares: int) -> Iterator[tuple[int, int]]:
    """Yield (number, thing) of one share, ascending."""
    mine = range(share, load.things, shares)
    for first in range(0, load.count, load.things):
        for thing in mine:
            if first + thing < load.count:
                yield first + thing, thing


def _clock(load: Load) -> Callable[[int], int]:
    """Return the function that gives a number its time, in microseconds since 1970."""
    begin = _micros(load.start)
    if load.times == "numbered":
        return lambda number: begin + number * STEP
    last = 0

    def now(_: int) -> int:
        nonlocal last
        last = max(last + 1, time.time_ns() // 1000)
        return last

    return now


def _uplinks(load: Load, share: int, shares: int) -> Iterator[Outgoing]:
    """Build uplinks of The Things Stack, 288 bytes and four values each, from ready-made pieces."""
    clock = _clock(load)
    topics = [TOPIC.format(device=f"dev-{n:05}").encode() for n in range(load.things)]
    heads = [HEAD % (n, n) for n in range(load.things)]
    for number, thing in _numbers(load, share, shares):
        seconds, micros = divmod(clock(number), 1_000_000)
        at = b"%s.%06dZ" % (_second(seconds), micros)
        mix = number * 7919 + load.seed
        values = (10 + mix % 15, mix % 97, 10 + mix % 83, 1000 + mix % 31, 10 + mix % 79)
        yield Outgoing(number, topics[thing], heads[thing] + BODY % (1_000_000 + number, *values, at))


def _city(load: Load, share: int, shares: int) -> Iterator[Outgoing]:
    """Build messages of the demo's formats from copies of the demo's things, for the eye."""
    clock = _clock(load)
    things = [_copy(load, n) for n in range(load.things)]
    for number, thing in _numbers(load, share, shares):
        moment = EPOCH + timedelta(microseconds=clock(number))
        topic, payload = messages.sample(things[thing], moment)
        yield Outgoing(number, topic.encode(), payload)


def _copy(load: Load, number: int) -> city.Thing:
    """Return a thing of the number's format, under a name that no thing of the demo has."""
    wanted = load.formats[number % len(load.formats)]
    models = [thing for thing in city.things(load.seed) if thing.format == wanted]
    model = models[number // len(load.formats) % len(models)]
    return city.rename(model, f"02000000{number:08x}" if wanted == "chirpstack_v4" else f"simulated-{number}")


def _micros(moment: datetime) -> int:
    return (moment - EPOCH) // timedelta(microseconds=1)


@lru_cache(maxsize=8)
def _second(seconds: int) -> bytes:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds)).encode()
