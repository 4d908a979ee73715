"""What this process still waits for, in words that `/health/ready` shows."""

from threading import Lock


class Readiness:
    """Named conditions; each is met, or not met and says why. Safe between threads."""

    def __init__(self, **missing: str) -> None:
        self._missing = dict(missing)
        self._lock = Lock()

    def set(self, name: str, why_not: str | None) -> None:
        """Say that `name` is met (None), or what it lacks."""
        with self._lock:
            if why_not is None:
                self._missing.pop(name, None)
            else:
                self._missing[name] = why_not

    def missing(self) -> dict[str, str]:
        """{name: what it lacks}; empty when ready."""
        with self._lock:
            return dict(self._missing)
