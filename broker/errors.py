"""The error tree. The docstring of a class is its default message.

Only `ingest.pipeline`, `opendata.publish`, `opendata.app` and `deploy.cli` catch these.
"""


class BrokerError(Exception):
    """Something in the broker went wrong."""

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message or type(self).__doc__)


class BadMessage(BrokerError):
    """The message cannot be understood.

    Permanent: the message is rejected and counted, and the next one goes on. `reason` is a short
    word for the counter (`syntax`, `time`, …); the text names the field and its type, never a value
    of a camera.
    """

    def __init__(self, message: str | None = None, *, reason: str = "syntax") -> None:
        super().__init__(message or "the message cannot be understood")
        self.reason = reason


class StoreUnavailable(BrokerError):
    """The database cannot be reached right now."""


class StoreRefused(BrokerError):
    """The database refuses these values."""


class AlreadyStored(StoreRefused):
    """A row that should be new is there already."""


class BadConfig(BrokerError):
    """The configuration is wrong."""


class NotMigrated(BadConfig):
    """The database has an older schema: run `citybroker migrate` with a login that owns it."""
