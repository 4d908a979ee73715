"""What LoRaWAN network servers have in common: one uplink through several gateways, bytes, no units."""

import tomllib
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, ValidationError, ValidationInfo, field_validator, model_validator

from broker.model import Reading, Signal, Skipped, Source
from broker.problems import did_you_mean, expected, wrong
from ingest import codecs, profiles
from ingest.payload import Scope, values
from ingest.profiles import Book, Profile, Vendor


class Options(BaseModel):
    """`[source.options]`: what a device's payload formatter leaves open, or the codec where there is none."""

    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True)

    units: dict[str, str] = {}
    """By the payload's own name: `units = { distance = "mm" }`."""
    profile: str | None = None
    """Of all devices of the source: `milesight/em310-udl`; else each device's, as the network server names it."""
    profiles: Any = None
    """A file of profiles beside `city.toml`; once it is read, the book of these and the shipped ones."""
    codec: str | None = None
    """For uplinks of bytes alone: `cayenne`, or a JavaScript file beside `city.toml`; once read, its text."""

    @field_validator("codec")
    @classmethod
    def _read_codec(cls, value: str | None, info: ValidationInfo) -> str | None:
        return value if value is None else _codec(value, _directory(info))

    @field_validator("profiles")
    @classmethod
    def _read_profiles(cls, value: Any, info: ValidationInfo) -> Any:
        directory = _directory(info)
        return _book(value, directory) if directory and value is not None else value

    @model_validator(mode="after")
    def _check(self) -> Self:
        book = self.profiles if isinstance(self.profiles, Book) else profiles.load()
        if self.profile and self.profile not in book.keys() and not isinstance(self.profiles, str):  # noqa: SIM118
            raise wrong(f"found no profile {self.profile}{did_you_mean(self.profile, book.keys())}", "profile")
        return self


def _directory(info: ValidationInfo) -> Path | None:
    directory: Path | None = (info.context or {}).get("directory")
    return directory


def _codec(value: str, directory: Path | None) -> str:
    """Read a codec's text; without a directory the value is the text itself."""
    if value == codecs.CAYENNE:
        return value
    text = _content(value, directory) if directory else value
    try:
        codecs.check(text)
    except ValueError as error:
        raise expected(f"a codec: {error}") from None
    return text


def _book(value: Any, directory: Path) -> Book:
    """Read profiles of one's own; they go before the shipped ones."""
    if not isinstance(value, str):
        raise expected('a file of profiles beside city.toml, such as "profiles.toml"')
    try:
        own = Vendor.model_validate(tomllib.loads(_content(value, directory)))
    except (tomllib.TOMLDecodeError, ValidationError) as error:
        why = error.errors()[0] if isinstance(error, ValidationError) else {"msg": str(error), "loc": ()}
        where = ".".join(str(step) for step in why["loc"])
        raise expected(f"profiles: {where} {why['msg']}".replace(":  ", ": ")) from None
    models = {
        name: model.model_copy(update={"codec": _codec(model.codec, directory)}) if model.codec else model
        for name, model in own.model.items()
    }
    try:
        return profiles.book({Path(value).stem: own.model_copy(update={"model": models}), **profiles.vendors()})
    except ValueError as error:
        raise expected(f"profiles: {error}") from None


def _content(name: str, directory: Path) -> str:
    try:
        return (directory / name).read_text(encoding="utf-8-sig")
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise expected(f"a file beside city.toml: {why}") from None


def profile_of(source: Source, *, brand: Any = None, model: Any = None, names: Any = ()) -> Profile | None:
    """Return the profile that the source's options name, else that of the server's brand and model, or names."""
    options = source.options
    own = options.get("profiles")
    book = own if type(own) is Book else profiles.load()
    chosen = options.get("profile")
    if chosen:
        return book.get(chosen)
    if type(brand) is str and type(model) is str:
        return book.model(brand[:200], model[:200])
    texts = [name[:200] for name in names if type(name) is str]
    found = (profile for name in texts for profile in (book.get(name), book.named(name)))
    return next((profile for profile in found if profile is not None), None)


def understood(found: list[Any], profile: Profile | None, port: Any, units: Mapping[str, str] | None) -> list[Any]:
    """Return the readings as the profile says, with the units that the configuration gives."""
    if profile is not None:
        return profile.apply(found, port if type(port) is int else None, units or {})
    if not units:
        return found
    return [
        item._replace(unit=units[item.name]) if isinstance(item, Reading) and item.name in units else item
        for item in found
    ]


def from_bytes(
    data: Any, port: Any, profile: Profile | None, source: Source, scope: Scope, received: datetime
) -> list[Any] | None:
    """Decode an uplink that carries only bytes; None without a codec. Raises BadMessage (`codec`)."""
    codec = source.options.get("codec") or (None if profile is None else profile.codec)
    if not codec or type(data) not in {str, bytes}:
        return None
    decoded = codecs.decode(codec, data, port if type(port) is int else None, scope.time or received)
    return taken(decoded, profile, scope) or [Skipped("data", "no value")]


def taken(decoded: Mapping[str, Any], profile: Profile | None, scope: Scope) -> list[Any]:
    """Take the values of a decoded payload, by its own names."""
    return values(decoded if profile is None else profile.renamed(decoded), scope)


def signal(thing: str, count: Any, gateways: Any) -> Signal:
    """Return frame count, and rssi (dBm) and snr (dB) at the gateway that heard the device best."""
    values: dict[str, float | str] = {"f_cnt": count} if type(count) in {int, float} else {}
    heard = [gateway for gateway in gateways if _heard(gateway)] if type(gateways) is list else []
    if heard:
        best = max(heard, key=lambda gateway: gateway["rssi"]) if len(heard) > 1 else heard[0]
        values["rssi"] = best["rssi"]
        values["snr"] = best["snr"] if type(best.get("snr")) in {int, float} else 0
    return Signal(thing, values)


def _heard(gateway: Any) -> bool:
    return type(gateway) is dict and type(gateway.get("rssi")) in {int, float}
