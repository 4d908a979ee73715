"""Any camera that sends JSON: the configuration says where its fields stand.

Paths have the dots and brackets of https://www.rfc-editor.org/rfc/rfc9535 (`vehicle.plate`, `reads[0].text`). They
begin at the passage: the document, each item of a document that is a list, or each of the list `passages`. One
that begins with `$.` begins at the document. The JSON may be a part of a multipart body. Nothing but the fields
that the configuration names is read.
"""

import re
from collections.abc import Iterable, Mapping
from functools import lru_cache, partial
from typing import Any

from anpr import declared
from anpr.payload import parse_json, parts
from broker.errors import BadMessage
from broker.model import Ignored, Message, PlateRead, Skipped, Source

FIELDS = ()
"""The configured ones alone: `named`."""
MARKS = ()
STEP = re.compile(r"([^.\[\]$]+)|\[(\d{1,4})\]")


class Options(declared.Options):
    """See `anpr.declared.Options`."""

    syntax = re.compile(r"(\$\.)?[^.\[\]$]+(\.[^.\[\]$]+|\[\d{1,4}\])*")
    example = "vehicle.plate"


def decode(message: Message, source: Source, state: Mapping[str, Any]) -> list[PlateRead | Ignored | Skipped]:
    """Take the configured fields of each passage; raise BadMessage where no plate stands at its path."""
    del state
    options = declared.configured(source)
    payload = message.payload
    bodies = [payload]
    if payload.lstrip()[:2] == b"--":
        bodies = [body for body in parts(payload) if body.lstrip()[:1] in {b"{", b"["}]
        if not bodies:
            raise BadMessage("no part of the multipart message is JSON")
    documents = [parse_json(body) for body in bodies]
    return declared.read(
        [partial(_take, one, root) for root in documents for one in _passages(root, options.get("passages"))],
        source,
    )


def named(options: Mapping[str, Any]) -> set[str]:
    """The names that the configured paths go through."""
    return {step for path in declared.paths(options) for step in _steps(path) if isinstance(step, str)}


def _passages(root: Any, where: str | None) -> Iterable[Any]:
    found = root if where is None else _take(root, root, where)
    if found is declared.MISSING:
        raise BadMessage("nothing stands at the path of the passages")
    return found if isinstance(found, list) else [found]


@lru_cache(maxsize=1024)
def _steps(path: str) -> tuple[str | int, ...]:
    return tuple(name or int(index) for name, index in STEP.findall(path.removeprefix("$.")))


def _take(passage: Any, root: Any, path: str) -> Any:
    found = root if path.startswith("$.") else passage
    for step in _steps(path):
        held = step in found if isinstance(found, dict) else isinstance(found, list) and _within(step, found)
        if not held:
            return declared.MISSING
        found = found[step]
    return found


def _within(step: str | int, found: list[Any]) -> bool:
    return isinstance(step, int) and step < len(found)
