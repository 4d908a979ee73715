"""What is wrong in `city.toml`: where, what was found, and what is expected."""

import json
import re
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import Any, NamedTuple, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails, PydanticCustomError

from broker.lines import Path

_EXPECTED = {
    "string_type": "a text",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false",
    "list_type": "a list",
    "dict_type": "a table",
    "model_type": "a table",
    "none_required": "nothing",
    "finite_number": "a finite number",
    "greater_than": "more than {gt}",
    "greater_than_equal": "at least {ge}",
    "less_than": "less than {lt}",
    "less_than_equal": "at most {le}",
    "literal_error": "{expected}",
    "string_too_short": "a text that is not empty",
    "too_short": "at least one",
}
_SECRET = re.compile(
    r"passw|passphrase|token|secret|credential|private|(^|[_-])(api)?key($|[_-])|apikey", re.IGNORECASE
)
SECRETS = (
    "it belongs in the environment (CITYBROKER_MQTT_URL, CITYBROKER_MQTT_PASSWORD, CITYBROKER_DATABASE_URL) "
    "or in a file that CITYBROKER_…_FILE names"
)


class Problem(NamedTuple):
    """One fault of the configuration at `path`."""

    path: Path
    text: str
    other: Path | None = None
    """What it collides with; its line is told too."""

    def say(self, lines: Mapping[Path, int]) -> str:
        """Give the text, with the line of the other place if there is one."""
        return self.text if self.other is None else f"{self.text} on line {lines[self.other]}"

    @property
    def key(self) -> str:
        """The path as people write it: source[2].format."""
        parts = (f"[{part}]" if isinstance(part, int) else f".{part}" for part in self.path)
        return "".join(parts).removeprefix(".")


def expected(text: str) -> PydanticCustomError:
    """Make the error that a validator of a model raises; `text` completes "expected …"."""
    return PydanticCustomError("expected", "{text}", {"text": text})


def wrong(text: str, key: str | None = None) -> PydanticCustomError:
    """Make the error of a whole table that is told as it stands, at one key of the table."""
    return PydanticCustomError("wrong", "{text}", {"text": text, "key": key})


def explain(error: ValidationError, path: Path, model: type[BaseModel]) -> list[Problem]:
    """Turn what pydantic found in the table at `path`, which should be a `model`, into problems."""
    return [_problem(detail, path, model) for detail in error.errors(include_url=False)]


def _problem(detail: ErrorDetails, path: Path, model: type[BaseModel]) -> Problem:
    where = (*path, *detail["loc"])
    match detail["type"]:
        case "missing":
            return Problem(where, "found nothing, expected a value: it is required")
        case "wrong":
            key = detail["ctx"]["key"]
            return Problem((*where, key) if key else where, detail["msg"])
        case "extra_forbidden":
            return Problem(where, unknown(str(where[-1]), _known(model, detail["loc"][:-1])))
        case _:
            return Problem(where, f"found {show(detail['input'])}, {_wanted(detail)}")


def _known(model: type[BaseModel], steps: Path) -> list[str]:
    """List the keys of the table that is `steps` below a model; none where that is not a plain model."""
    for step in steps:
        if isinstance(step, str) and step in model.model_fields:
            inner = _models(model.model_fields[step].annotation)
            if len(inner) != 1:
                return []
            model = inner[0]
    return [field.alias or name for name, field in model.model_fields.items()]


def _models(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for part in get_args(annotation) for model in _models(part)]


def _wanted(detail: ErrorDetails) -> str:
    if detail["type"] == "expected":
        return f"expected {detail['msg']}"
    text = _EXPECTED.get(detail["type"])
    context = detail.get("ctx", {})
    if detail["type"] == "value_error":
        return str(context["error"])
    if text is None:
        return detail["msg"][:1].lower() + detail["msg"][1:]
    hint = did_you_mean(str(detail["input"]), re.findall(r"'([^']+)'", str(context.get("expected", ""))))
    return f"expected {text.format(**context)}{hint}".replace("'", '"')


def unknown(name: str, known: Iterable[str]) -> str:
    """Say that a key does not exist, and what was probably meant. Never shows its value."""
    names = sorted(known)
    hint = did_you_mean(name, names, cutoff=0.8)
    if not hint and _SECRET.search(name):
        return f"found what looks like a secret, expected none here: {SECRETS}"
    hint = hint or did_you_mean(name, names)
    wanted = f"one of {', '.join(names)}" if names else "none"
    return f'found an unknown key "{name}", expected {wanted}{hint}'


def did_you_mean(name: str, known: Iterable[str], *, cutoff: float = 0.5) -> str:
    """Give `; did you mean "…"?` with the nearest of the known names, or nothing."""
    lower = {one.lower(): one for one in known}
    close = get_close_matches(name.lower(), lower, n=1, cutoff=cutoff)
    return f'; did you mean "{lower[close[0]]}"?' if close else ""


def show(value: Any) -> str:
    """Give a value as TOML has it, short."""
    if isinstance(value, Mapping):
        return "a table"
    if isinstance(value, list | tuple):
        return _cut(f"[{', '.join(show(item) for item in value)}]")
    if isinstance(value, str | bool | int | float):
        return _cut(json.dumps(value, ensure_ascii=False))
    return str(value)


def _cut(text: str) -> str:
    return text if len(text) <= 80 else text[:77] + "…"
