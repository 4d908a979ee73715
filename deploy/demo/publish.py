"""The demo's devices at work: a day of history at once, then live."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from operator import itemgetter
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from deploy.demo import city, messages
from deploy.demo.chance import unit
from deploy.demo.city import Thing
from deploy.demo.passages import passages
from deploy.wire import Line, Outgoing

HISTORY = {"air": 900, "noise": 300, "weather": 600, "water": 600, "parking": 300, "traffic": 900, "bicycle": 900}
"""Seconds between two messages of a thing in the history."""
LIVE = {"air": 30, "noise": 10, "weather": 30, "water": 60, "parking": 20, "traffic": 60, "bicycle": 60}
"""Seconds between two messages of a thing, live: more often than in life, so that a page lives."""
QUARTER = timedelta(minutes=15)
CHUNK = timedelta(hours=1)
RATE = 5000
"""Messages a second of the history. What a session of several filters has not acknowledged beyond NATS's
`max_ack_pending` comes only after its `ack_wait`; at this pace ingest keeps up."""
MARK_EVERY = 2.0
"""Seconds between two notes of how far the demo is."""

Timed = tuple[datetime, str, bytes]


def history(
    mqtt_url: str,
    *,
    hours: float = 24,
    mark: Path | None = None,
    console: Console | None = None,
    stop: threading.Event | None = None,
    seed: int = 0,
) -> datetime:
    """Publish what the things measured during the last `hours`, and return until when.

    QoS 1, and back only when all is acknowledged. `mark` is a file that keeps how far an earlier demo
    came: it goes on from there. `console` shows a progress bar. Until `stop` it waits for the broker.
    """
    stop = stop or threading.Event()
    now = datetime.now(UTC)
    since = max(quarter(now - timedelta(hours=hours)), marked(mark))
    line = Line(mqtt_url, f"demo-history-{seed}", window=1000, stop=stop)
    line.deliver(_outgoing(_places(since, seed)), patience=None)
    with _bar(console) as advance:
        for start, end, periods in chunks(since, now):
            batch = due(start, end, periods, seed)
            if not line.deliver(_outgoing(batch), rate=RATE, patience=None):
                break
            since = end
            note(mark, since)
            advance((end - start) / CHUNK, (now - end) / CHUNK)
    line.close()
    return since


def live(
    mqtt_url: str,
    stop: threading.Event,
    *,
    since: datetime | None = None,
    mark: Path | None = None,
    seed: int = 0,
) -> None:
    """Publish in real time until `stop`, beginning with what is due `since` (else now)."""
    done = since or datetime.now(UTC)
    noted = time.monotonic()
    line = Line(mqtt_url, f"demo-live-{seed}", stop=stop)
    while not stop.wait(0.5):
        now = datetime.now(UTC)
        # After a laptop's sleep there is no flood of what nobody waited for.
        done = max(done, now - QUARTER)
        if not line.deliver(_outgoing(due(done, now, LIVE, seed)), patience=None):
            break
        done = now
        if time.monotonic() - noted > MARK_EVERY:
            note(mark, done)
            noted = time.monotonic()
    line.close()


def due(start: datetime, end: datetime, periods: dict[str, int], seed: int = 0) -> list[Timed]:
    """Return what all things publish in (start, end], by time: when, topic, payload."""
    found: list[Timed] = []
    for thing in city.things(seed):
        if thing.kind == "camera":
            found += [(v.time, *messages.passage(thing, v)) for v in passages(thing, start, end)]
        else:
            found += [
                (tick, *messages.message(thing, before, tick))
                for before, tick in ticks(thing, start, end, periods[thing.subject])
            ]
    return sorted(found, key=itemgetter(0))


def _places(moment: datetime, seed: int) -> list[Timed]:
    """Return what tells where those are whose measurements do not."""
    told = [messages.place(thing, moment) for thing in city.things(seed)]
    return [(moment, *payload) for payload in told if payload]


def ticks(thing: Thing, start: datetime, end: datetime, period: int) -> Iterator[tuple[datetime, datetime]]:
    """Yield (tick before, tick); a thing has its own second, so that not all speak at once.

    The quarter hours of the history are ticks of everything: there counts go over from one rhythm to the other.
    """
    offset = 0 if period >= 300 else int(unit(thing.identity, "offset") * period)
    length = timedelta(seconds=period)
    first = start.timestamp() - (start.timestamp() - offset) % period
    before, tick = start, datetime.fromtimestamp(first, UTC) + length
    while tick <= end:
        yield max(before, tick - length), tick
        before, tick = tick, tick + length


def chunks(since: datetime, now: datetime) -> Iterator[tuple[datetime, datetime, dict[str, int]]]:
    """Yield (start, end, periods): hour by hour in the rhythm of the history, the rest in the live one."""
    last = max(quarter(now), since)
    while since < last:
        end = min(quarter(since + CHUNK), last)
        yield since, end, HISTORY
        since = end
    if since < now:
        yield since, now, LIVE


def quarter(moment: datetime) -> datetime:
    """Return the last quarter of an hour."""
    return moment - (moment - datetime(1970, 1, 1, tzinfo=UTC)) % QUARTER


@contextmanager
def _bar(console: Console | None) -> Iterator[Callable[[float, float], None]]:
    """Show how many hours of history are in; the function takes hours done and hours left."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f} %"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console, disable=console is None, transient=False) as progress:
        task = progress.add_task("A day of history", total=None)

        def advance(done: float, left: float) -> None:
            progress.advance(task, done)
            progress.update(task, total=progress.tasks[task].completed + left)

        yield advance


def _outgoing(batch: list[Timed]) -> list[Outgoing]:
    return [Outgoing(number, topic.encode(), payload) for number, (_, topic, payload) in enumerate(batch)]


def marked(mark: Path | None) -> datetime:
    """Read how far an earlier demo came; the beginning of time if there was none."""
    try:
        return datetime.fromisoformat(mark.read_text()) if mark else datetime.min.replace(tzinfo=UTC)
    except (OSError, ValueError):
        return datetime.min.replace(tzinfo=UTC)


def note(mark: Path | None, moment: datetime) -> None:
    """Keep how far the demo is."""
    if mark:
        new = mark.with_suffix(".new")
        new.write_text(moment.isoformat())
        new.replace(mark)
