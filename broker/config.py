"""`city.toml` → one model. Secrets never stand in it: they come from the environment or files."""

from datetime import timedelta
from typing import Any, Literal
from zoneinfo import ZoneInfo

from pydantic import BaseModel, ConfigDict, Field

from broker.model import Source


class Table(BaseModel):
    """A table of `city.toml`: frozen, and an unknown key is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class City(Table):
    """`[city]`: who publishes."""

    id: str = Field(pattern=r"^[a-z0-9][a-z0-9-]*$")
    name: str
    timezone: str = "Europe/Brussels"
    language: Literal["nl", "fr", "de", "en"] = "nl"
    publisher: str | None = None
    contact: str | None = None
    """A mail address or web page for reusers."""


class SourceTable(Table):
    """`[[source]]`: a topic filter and the format or camera that decodes it."""

    name: str
    topic: str
    format: str | None = None
    camera: str | None = None
    timezone: str | None = None
    thing: str | None = None
    personal: bool = False
    max_bytes: int | None = None
    max_future: timedelta = timedelta(hours=1)
    max_age: timedelta | None = None
    options: dict[str, Any] = {}


class FeedTable(Table):
    """`[[feed]]`: what is offered."""

    id: str = Field(pattern=r"^[a-z0-9][a-z0-9-]*$")
    title: str | dict[str, str]
    description: str | dict[str, str] = ""
    property: list[str] = ["*"]
    kind: list[str] = ["*"]
    area: list[str] = ["*"]
    source: list[str] = ["*"]
    policy: Literal["raw", "aggregate"] = "raw"
    window: str | None = None
    """ISO 8601 duration: PT15M, PT1H, P1D."""
    statistics: list[str] | None = None
    minimum: int | None = None
    tier: Literal["open"] = "open"


class IngestTable(Table):
    """`[ingest]`: bounds of the pipeline."""

    max_in_flight: int = 20_000
    max_in_flight_bytes: int = 256 << 20
    batch_messages: int = 5_000
    batch_delay: float = 0.05


class AnprTable(Table):
    """`[anpr]`: may be stricter than the defaults, never looser than the hard caps."""

    token_lifetime: timedelta = timedelta(minutes=60)
    passage_lifetime: timedelta = timedelta(hours=24)
    minimum: int = Field(default=5, ge=5)


class PublishTable(Table):
    """`[publish]`: how buckets close."""

    lateness: timedelta = timedelta(minutes=5)


class RejectsTable(Table):
    """`[rejects]`: how much of what was refused is kept."""

    max_age: timedelta = timedelta(days=14)
    max_bytes: int = 256 << 20


class Config(Table):
    """All of `city.toml`."""

    city: City
    source: list[SourceTable] = []
    feed: list[FeedTable] = []
    ingest: IngestTable = IngestTable()
    anpr: AnprTable = AnprTable()
    publish: PublishTable = PublishTable()
    rejects: RejectsTable = RejectsTable()

    @property
    def zone(self) -> ZoneInfo:
        """The city's time zone: days and files follow it."""
        return ZoneInfo(self.city.timezone)

    def sources(self) -> list[Source]:
        """The sources as the pipeline wants them."""
        return [self._source(table) for table in self.source]

    def _source(self, table: SourceTable) -> Source:
        limit = table.max_bytes or ((8 << 20) if table.camera else (1 << 20))
        age = table.max_age.total_seconds() if table.max_age else None
        return Source(
            name=table.name,
            topic=table.topic,
            format=table.format,
            camera=table.camera,
            timezone=ZoneInfo(table.timezone or self.city.timezone),
            thing=table.thing,
            personal=table.personal or table.camera is not None,
            max_bytes=limit,
            max_future=table.max_future.total_seconds(),
            max_age=age,
            options=table.options,
        )
