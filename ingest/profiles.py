"""Device profiles: what the fields of a model's decoder mean, as data in `profiles/`, one file a vendor.

A profile names for each decoded field the observed property, unit and values that are none, and which ports carry
no events. It is found by what the network server says of the device (`version_ids` of The Things Stack, device
profile or tags of ChirpStack), or by the source's options. How to write one: docs/profiles.md. Models are called
what https://github.com/TheThingsNetwork/lorawan-devices calls them.
"""

import re
import tomllib
from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from functools import lru_cache
from importlib.resources import files
from typing import Annotated, Any, NamedTuple

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from broker.model import Reading, Skipped
from ingest.rules import read_number

MAX_DEPTH = 12
MAX_NAMES = 10_000
"""Names come from outside: memory does not grow with them."""

_PLAIN = re.compile(r"[^a-z0-9]+")
Scalar = bool | float | str


_NOTHING: Mapping[str, str] = {}


class Meaning(BaseModel):
    """What one decoded field is."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(default="", alias="is")
    """Key of the vocabulary, or a name of its own; the field's own if absent."""
    unit: str | None = None
    qualifier: str = ""
    """`#` stands for the number in the field's name, or the numbers, one after the other."""
    none: tuple[Scalar, ...] = ()
    """Values that say that there is none."""
    words: dict[str, Scalar] = {}
    """What the decoder's texts mean."""
    event: bool = False
    """It means what it says only on ports that the profile does not name."""
    skip: str = ""
    """Why it is no measurement."""


def _meaning(value: Any) -> Any:
    """A text alone is the property."""
    return {"is": value} if isinstance(value, str) else value


_NO_MEASUREMENT = Meaning(skip="no measurement")


class Vector(BaseModel):
    """What a decoder made, and what it must become: a test of the profile."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    port: int | None = None
    decoded: dict[str, Any] = {}
    bytes: str = ""
    """In hexadecimal digits, in place of `decoded`, where the profile has a codec."""
    expected: dict[str, list[Any]] = {}
    """By `property` or `property/qualifier`: result, unit."""
    skipped: dict[str, str] = {}
    source: str
    """Where the vendor says so."""


class Model(BaseModel):
    """One device model, or several with the same decoder."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    title: str = ""
    like: str = ""
    """Another profile, whose fields are also this one's."""
    also: list[str] = []
    """Other names that it goes by: The Things Stack's model ids, names of ChirpStack's device profiles."""
    fields: dict[str, Annotated[Meaning, BeforeValidator(_meaning)]] = {}
    skip: list[str] = []
    """Fields that are no measurements: names, `*` for any characters."""
    rename: dict[str, str] = {}
    """Keys that the decoder calls otherwise than everybody: `rename = { date = "time" }`."""
    ports: dict[int, str] = {}
    """Ports that carry no event, and what they carry: `2 = "heartbeat"`."""
    codec: str | None = None
    """`cayenne`, or a file beside `city.toml`."""
    vector: list[Vector] = []


class Vendor(BaseModel):
    """One file of profiles."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    title: str
    brands: list[str] = []
    """The vendor's ids at The Things Stack."""
    source: str
    """Where the vendor publishes its decoders."""
    fields: dict[str, Annotated[Meaning, BeforeValidator(_meaning)]] = {}
    """What its models have in common."""
    skip: list[str] = []
    model: dict[str, Model]


class Rule(NamedTuple):
    """What becomes of one decoded field."""

    name: str
    unit: str | None
    qualifier: str
    none: frozenset[Scalar | None]
    words: Mapping[str, Scalar]
    event: bool
    skip: str


class Profile(dict[str, Rule | None]):
    """What the fields of one model mean: a rule by the decoder's name, None for a field that it does not know."""

    def __init__(self, key: str, whole: Model) -> None:
        super().__init__()
        self.key = key
        self.codec = whole.codec
        self.rename = whole.rename
        self._ports = whole.ports
        self._fields = whole.fields
        self._numbered = [(_pattern(name), what) for name, what in whole.fields.items() if "#" in name]
        self._skip = tuple(whole.skip)

    def __missing__(self, name: str) -> Rule | None:
        if len(self) >= MAX_NAMES:
            self.clear()
        meaning, numbers = self._meant(name)
        rule = self[name] = _rule(name, meaning, numbers) if meaning else None
        return rule

    def _meant(self, name: str) -> tuple[Meaning | None, Iterable[str]]:
        """Return what a field means, and the numbers in its name."""
        if name in self._fields:
            return self._fields[name], ()
        for pattern, meaning in self._numbered:
            if match := pattern.fullmatch(name):
                return meaning, match.groups()
        skipped = any(fnmatchcase(name, pattern) for pattern in self._skip)
        return (_NO_MEASUREMENT if skipped else None), ()

    def renamed(self, decoded: Any, depth: int = 0) -> Any:
        """Return what a decoder made with the keys that everybody uses."""
        if not self.rename or depth > MAX_DEPTH:
            return decoded
        if type(decoded) is list:
            return [self.renamed(item, depth + 1) for item in decoded]
        if type(decoded) is dict:
            return {self.rename.get(key, key): self.renamed(value, depth + 1) for key, value in decoded.items()}
        return decoded

    def apply(self, found: Iterable[Any], port: int | None, units: Mapping[str, str] = _NOTHING) -> list[Any]:
        """Return what a decoder made, in the profile's terms; anything but readings stays as it is.

        `units` are those of the configuration, by the decoder's names.
        """
        quiet = self._ports.get(port, "") if port is not None else ""
        return [self._taken(item, quiet, units) if type(item) is Reading else item for item in found]

    def _taken(self, reading: Reading, quiet: str, units: Mapping[str, str]) -> Reading | Skipped:
        rule = self[reading.name]
        own = units.get(reading.name) if units else None
        if rule is None:
            return reading._replace(unit=own) if own else reading
        value = reading.value
        if rule.skip or (quiet and rule.event):
            return Skipped(reading.name, rule.skip or quiet)
        if rule.words:
            value = rule.words.get(value if type(value) is str else f"{value:g}", value)
        if rule.none and (value in rule.none or (type(value) is str and _said(value) in rule.none)):
            return Skipped(reading.name, "no reading")
        unit = own or rule.unit or reading.unit
        return Reading(
            reading.thing, rule.name, value, reading.time, unit, reading.end, rule.qualifier, reading.quality
        )


def _pattern(name: str) -> re.Pattern[str]:
    """Read `region_#_count`: each # is a number."""
    return re.compile(r"(\d+)".join(re.escape(part) for part in name.split("#")), re.ASCII)


def _said(text: str) -> float | None:
    """Return a text as the number that it is: decoders write `"3276.7"` too."""
    found = read_number(text)
    return found[0] if found else None


def _rule(name: str, meaning: Meaning, numbers: Iterable[str]) -> Rule:
    rest = iter(numbers)
    qualifier = re.sub("#", lambda _: next(rest, ""), meaning.qualifier)
    none = frozenset(meaning.none)
    return Rule(meaning.name or name, meaning.unit, qualifier, none, meaning.words, meaning.event, meaning.skip)


class Book:
    """Profiles by key (`milesight/em310-udl`), and by what network servers call the models."""

    def __init__(self, profiles: Mapping[str, Profile], names: Mapping[str, Profile]) -> None:
        self._profiles = profiles
        self._names = names
        self.model = lru_cache(maxsize=MAX_NAMES)(self._model)
        self.named = lru_cache(maxsize=MAX_NAMES)(self._named)

    def __getitem__(self, key: str) -> Profile:
        return self._profiles[key]

    def get(self, key: str) -> Profile | None:
        """Return the profile with this key."""
        return self._profiles.get(key)

    def keys(self) -> list[str]:
        """List the keys of all profiles."""
        return list(self._profiles)

    def _model(self, brand: str, model: str) -> Profile | None:
        """Return the profile of The Things Stack's brand and model id."""
        return self._names.get(f"{plain(brand)}/{plain(model)}")

    def _named(self, name: str) -> Profile | None:
        """Return the profile that a name of a device profile means: `Milesight EM310-UDL (EU868)`."""
        words = [word for word in re.split(r"[\s_/,;:()]+", name) if word]
        lengths = range(len(words), 0, -1)
        runs = (words[start : start + size] for size in lengths for start in range(len(words) - size + 1))
        return next((self._names[key] for run in runs if (key := plain("".join(run))) in self._names), None)


def plain(name: str) -> str:
    """Return a name as it is compared: small letters and digits."""
    return _PLAIN.sub("", name.casefold())


@lru_cache(maxsize=1)
def vendors() -> Mapping[str, Vendor]:
    """Read the files of `profiles/`, by their names."""
    folder = files("ingest").joinpath("profiles")
    texts = {one.name: one.read_text(encoding="utf-8") for one in folder.iterdir() if one.name.endswith(".toml")}
    return {
        name.removesuffix(".toml"): Vendor.model_validate(tomllib.loads(text))
        for name, text in sorted(texts.items())
    }


@lru_cache(maxsize=1)
def load() -> Book:
    """Give the shipped profiles; the same book every time."""
    return book(vendors())


def book(given: Mapping[str, Vendor]) -> Book:
    """Make a book of vendors by their names. Raises ValueError for a `like` that is no profile."""
    models = {
        f"{file}/{name}": (vendor, model) for file, vendor in given.items() for name, model in vendor.model.items()
    }
    profiles = {key: Profile(key, _whole(key, models)) for key in models}
    names: dict[str, Profile] = {}
    for key, (vendor, model) in models.items():
        for name in (key.partition("/")[2], *model.also):
            _name(names, vendor, name, profiles[key])
    return Book(profiles, names)


def _name(names: dict[str, Profile], vendor: Vendor, name: str, profile: Profile) -> None:
    """Enter a name with its vendor, and alone where it is long enough to mean one thing."""
    own = plain(name)
    for brand in {*vendor.brands, vendor.title}:
        names.setdefault(f"{plain(brand)}/{own}", profile)
        names.setdefault(plain(brand) + own, profile)
    if len(own) >= 5 and any(letter.isdigit() for letter in own):
        names.setdefault(own, profile)


def _whole(key: str, models: Mapping[str, tuple[Vendor, Model]], depth: int = 0) -> Model:
    """Return a model with what it has from its vendor and from the model that it is like."""
    vendor, model = models[key]
    other = Model()
    if model.like:
        if model.like not in models or depth > len(models):
            raise ValueError(f"{key}: like: expected a profile, found none of that name, or itself")
        other = _whole(model.like, models, depth + 1)
    return Model(
        fields={**vendor.fields, **other.fields, **model.fields},
        skip=[*vendor.skip, *other.skip, *model.skip],
        rename={**other.rename, **model.rename},
        ports={**other.ports, **model.ports},
        codec=model.codec or other.codec,
    )
