"""SIGINT, SIGTERM and SIGHUP as an event that says to stop."""

import signal
from threading import Event, Thread

import structlog

log = structlog.get_logger()

STOPPING = frozenset({signal.SIGINT, signal.SIGTERM, signal.SIGHUP})
"""SIGHUP: the terminal was closed."""


def stop_event(name: str) -> Event:
    """An event that the first of these signals sets; later ones change nothing.

    A thread waits for the signals, blocked everywhere else, since an event that is set in a handler can
    meet its own lock. Call it before any other thread starts.
    """
    stop = Event()
    signal.pthread_sigmask(signal.SIG_BLOCK, STOPPING)

    def wait() -> None:
        while True:
            number = signal.sigwait(STOPPING)
            if not stop.is_set():
                log.info("stopping", role=name, signal=signal.Signals(number).name)
            stop.set()

    Thread(target=wait, name="signals", daemon=True).start()
    return stop
