"""The tables of `city.toml`, each valid in itself; whether they agree is for `broker.consistency`."""

import re
from datetime import timedelta
from string import Formatter
from typing import Annotated, Any, Literal, Self
from zoneinfo import ZoneInfo, available_timezones

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from broker import topics
from broker.periods import DAY, period, window
from broker.problems import did_you_mean, expected, wrong

LANGUAGES = ("nl", "en", "fr", "de")
STATISTICS = ("mean", "min", "max", "sum", "count", "median", "p85", "last")


def _id(value: str) -> str:
    if not re.fullmatch(r"[a-z0-9][a-z0-9-]*", value):
        raise expected('small letters, digits and hyphens, such as "air-quality"')
    return value


def _zone(value: str) -> str:
    try:
        ZoneInfo(value)
    except (KeyError, ValueError, OSError):
        hint = did_you_mean(value, available_timezones())
        raise expected(f'an IANA time zone such as "Europe/Brussels"{hint}') from None
    return value


def _topic(value: str) -> str:
    if fault := topics.fault(value):
        raise expected(f"an MQTT topic filter: {fault}")
    return value


def _source_name(value: str) -> str:
    if not re.fullmatch(r"[^/+#$\s\0]+", value):
        raise expected("a name without blanks, /, +, # or $: it is a part of topics and addresses")
    return value


def _template(value: str) -> str:
    try:
        fields = [name for _, name, _, _ in Formatter().parse(value) if name is not None]
    except ValueError:
        fields = [""]
    if not fields or any(name != "device" and not name.isdecimal() for name in fields):
        raise expected('a template of {device} and topic levels {0}, {1}, …, such as "gent-{2}"')
    return value


def _allow(value: Any) -> Any:
    listed = isinstance(value, list) and value and all(isinstance(one, str) and one for one in value)
    if not (value is True or value == "registry" or listed):
        raise expected('true for all things, "registry", or a list of identities such as ["gate-1", "70b3d5*"]')
    return value


def _where(value: str) -> str:
    if value != "path" and not re.fullmatch(r"(header|query):[A-Za-z0-9_.~-]+", value):
        raise expected('where it stands: "header:X-Sensor", "query:id" or "path"')
    return value


def _words(value: Any) -> Any:
    """One word may stand for a list of one."""
    value = [value] if isinstance(value, str) else value
    if value == []:
        raise expected('at least one, or "*" for all')
    return value


def _text(value: Any) -> Any:
    return value if value == "" else _texts(value)


def _texts(value: Any) -> Any:
    if isinstance(value, str) and value:
        return value
    if not isinstance(value, dict) or not value or any(not isinstance(t, str) or not t for t in value.values()):
        raise expected('a text, or texts by language: { nl = "…", en = "…", fr = "…" }')
    if strange := sorted(set(value) - set(LANGUAGES)):
        raise expected(f'texts in the languages {", ".join(LANGUAGES)}, not "{strange[0]}"')
    return value


def _statistics(value: list[str]) -> list[str]:
    for name in value:
        if name not in STATISTICS:
            raise expected(f"some of {', '.join(STATISTICS)}{did_you_mean(name, STATISTICS)}")
    if len(set(value)) < len(value):
        raise expected("each statistic once")
    return value


def _lifetime(value: timedelta) -> timedelta:
    if not timedelta(0) < value <= DAY:
        raise expected("more than zero and at most PT24H, the hard cap")
    return value


def _kept(value: timedelta) -> timedelta:
    if value < DAY:
        raise expected("at least P1D, or no retention at all: then observations are kept for ever")
    return value


Id = Annotated[str, AfterValidator(_id)]
Zone = Annotated[str, AfterValidator(_zone)]
Text = Annotated[str, Field(min_length=1)]
Texts = Annotated[str | dict[str, str], BeforeValidator(_texts)]
Description = Annotated[str | dict[str, str], BeforeValidator(_text)]
Words = Annotated[list[Text], BeforeValidator(_words)]
Period = Annotated[timedelta, BeforeValidator(period)]
Kept = Annotated[Period, AfterValidator(_kept)]
Lifetime = Annotated[Period, AfterValidator(_lifetime)]
Window = Annotated[str, AfterValidator(window)]
Statistics = Annotated[list[str], BeforeValidator(_words), AfterValidator(_statistics)]
Count = Annotated[int, Field(ge=1)]


class Table(BaseModel):
    """A table of `city.toml`: frozen, strict, and an unknown key is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class City(Table):
    """`[city]`: who publishes."""

    id: Id
    name: Text
    timezone: Zone = "Europe/Brussels"
    language: Literal["nl", "fr", "de", "en"] = "nl"
    publisher: str | None = None
    contact: str | None = None
    """A mail address or web page for reusers."""


class SourceTable(Table):
    """`[[source]]`: a topic filter and the format or camera that decodes it."""

    name: Annotated[str, AfterValidator(_source_name)]
    topic: Annotated[str, AfterValidator(_topic)]
    format: Text | None = None
    camera: Text | None = None
    timezone: Zone | None = None
    """Of local times that carry no zone; the city's if absent."""
    thing: Annotated[str, AfterValidator(_template)] | None = None
    personal: bool = False
    max_bytes: Count | None = None
    """Larger messages are rejected; 1 MiB if absent, 8 MiB for a camera (pictures at the push door on top)."""
    max_future: Period = timedelta(hours=1)
    max_age: Period | None = None
    allow: Annotated[list[str] | str | bool, BeforeValidator(_allow)] = True
    """Which things are taken: all, those of a list, or those of the registry."""
    identity: Annotated[str, AfterValidator(_where)] | None = None
    """Of the push door: where the request names the thing."""
    part: Annotated[str, AfterValidator(_where)] | None = None
    """Of the push door: where the request names a part of the thing."""
    rate: float = Field(default=200, gt=0, le=100_000)
    """Of the push door: messages a second; ten seconds of it at once."""
    options: dict[str, Any] = {}

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.format is None and self.camera is None:
            raise wrong("found neither format nor camera, expected one of them")
        if self.format is not None and self.camera is not None:
            raise wrong("found a camera beside a format, expected exactly one of them", "camera")
        levels = self.topic.split("/")
        for _, name, _, _ in Formatter().parse(self.thing or ""):
            if name and name.isdecimal() and int(name) >= len(levels) and levels[-1] != "#":
                raise wrong(f"found {{{name}}}, expected topic levels 0 to {len(levels) - 1}", "thing")
        return self


class FeedTable(Table):
    """`[[feed]]`: what is offered."""

    id: Id
    title: Texts
    description: Description = ""
    property: Words = ["*"]
    kind: Words = ["*"]
    area: Words = ["*"]
    source: Words = ["*"]
    policy: Literal["raw", "aggregate"] = "raw"
    window: Window | None = None
    """ISO 8601 duration that divides a day: PT15M, PT1H, P1D. Of policy aggregate, PT1H if absent."""
    statistics: Statistics | None = None
    """Of policy aggregate, mean if absent."""
    minimum: Count | None = None
    """Cells that rest on fewer observations are suppressed."""
    tier: Literal["open"] = "open"

    @model_validator(mode="after")
    def _check(self) -> Self:
        given = [name for name in ("window", "statistics", "minimum") if getattr(self, name) is not None]
        if self.policy == "raw" and given:
            raise wrong(
                f'found {given[0]} with policy "raw", expected policy "aggregate" or no {given[0]}', given[0]
            )
        return self


class IngestTable(Table):
    """`[ingest]`: bounds of the pipeline."""

    max_in_flight: Count = 20_000
    max_in_flight_bytes: Count = 256 << 20
    batch_messages: Count = 5_000
    batch_delay: float = Field(default=0.05, ge=0, le=10)
    """Seconds that a batch waits for more."""


class AnprTable(Table):
    """`[anpr]`: may be stricter than the defaults, never looser than the hard caps."""

    token_lifetime: Lifetime = timedelta(minutes=60)
    """The matching window: tokens are erased after it."""
    passage_lifetime: Lifetime = timedelta(hours=24)
    minimum: int = Field(default=5, ge=5)


class PublishTable(Table):
    """`[publish]`: how buckets close, and how long observations are kept."""

    lateness: Period = timedelta(minutes=5)
    retention: Kept | None = None
    """Older observations are dropped by whole weeks; None keeps them for ever. Cells stay."""


class RejectsTable(Table):
    """`[rejects]`: how much of what was refused is kept."""

    max_age: Period = timedelta(days=14)
    max_bytes: Count = 256 << 20
