"""Keeps children alive: starts them, restarts with back-off what dies, stops them in order.

One thread does it all: a child is told when the thread that started it ends.
"""

import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from threading import Event

import structlog

from broker.errors import BrokerError
from deploy import children
from deploy.children import Program

log = structlog.get_logger()

FIRST_DELAY = 0.5
LONGEST_DELAY = 30.0
SETTLED = 60.0
"""Seconds of life after which an earlier death is forgotten."""
TICK = 0.1


class Stopped(Exception):
    """Somebody asked to stop before all was up."""


class ChildEnded(BrokerError):
    """A child ended before it was ready."""


@dataclass(eq=False)
class Child:
    """One child over all its lives. `program` is asked again for each of them."""

    name: str
    program: Callable[[], Program]
    ready: Callable[[int], bool]
    """Whether the process with this id does its work."""
    settled: bool = False
    """Whether it was ready once: before that its end is the end of the run, after that it is restarted."""
    process: subprocess.Popen[bytes] | None = None
    born: float = 0.0
    failures: int = 0
    running: Program | None = None
    due: float | None = None
    """When to start it again, on the monotonic clock."""

    @property
    def pid(self) -> int:
        """Its process id; 0 while it is not alive."""
        return self.process.pid if self.process and self.process.poll() is None else 0

    def start(self) -> None:
        """Give it a life."""
        self.running = self.program()
        self.process = children.start(self.running)
        self.born = time.monotonic()
        self.due = None

    def stop(self) -> None:
        """Ask it to stop and wait as long as that takes."""
        if self.process and self.running:
            children.stop(self.process, self.running.stop)


@dataclass
class Family:
    """All children of one run, in the order in which they were started."""

    stop: Event
    changed: Callable[["Family"], None]
    """Called when a process id changed."""
    members: list[Child] = field(default_factory=list)

    def start(self, child: Child) -> None:
        """Start a child and look after it from now on."""
        child.start()
        self.members.append(child)
        self.changed(self)

    def wait(self, child: Child) -> None:
        """Look after all until `child` is ready. Raises ChildEnded if it ends first, Stopped if asked to."""
        self.wait_until(lambda: bool(child.pid) and child.ready(child.pid))
        child.settled = True

    def finish(self, child: Child) -> None:
        """Start a child that ends by itself, and look after the others until then. Raises ChildEnded, Stopped."""
        child.settled = True
        child.start()
        try:
            self.wait_until(lambda: not child.pid)
        finally:
            child.stop()
        if child.process and child.process.returncode != 0:
            raise ChildEnded(f"{child.name} ended with {child.process.returncode}{_last_words(child)}")

    def wait_until(self, condition: Callable[[], bool]) -> None:
        """Look after all until `condition` holds. Raises ChildEnded, Stopped."""
        while not condition():
            self.pause(TICK / 5)

    def pause(self, seconds: float = TICK) -> None:
        """Wait a little, then restart what is due. Raises ChildEnded, Stopped."""
        if self.stop.wait(seconds):
            raise Stopped
        for child in self.members:
            self._look_after(child)

    def end(self, name: str) -> None:
        """Stop one child by name, for good; nothing if there is none."""
        for child in [member for member in self.members if member.name == name]:
            child.stop()
            self.members.remove(child)

    def _look_after(self, child: Child) -> None:
        if child.pid:
            return
        if not child.settled:
            code = child.process.returncode if child.process else None
            raise ChildEnded(f"{child.name} ended with {code}{_last_words(child)}")
        now = time.monotonic()
        if child.due is None:
            child.failures = 0 if now - child.born > SETTLED else child.failures + 1
            delay = min(FIRST_DELAY * 2 ** max(0, child.failures - 1), LONGEST_DELAY)
            child.due = now + delay
            code = child.process.returncode if child.process else None
            log.warning("a child ended and is started again", child=child.name, code=code, seconds=delay)
        elif now >= child.due:
            child.start()
            self.changed(self)


def _last_words(child: Child) -> str:
    output = child.running.output if child.running else None
    if output is None or not output.exists():
        return ""
    return f": {children.last_line(output.read_text(errors='replace'))} (more in {output})"
