"""Any camera that sends XML: the configuration says where its fields stand.

Paths are the simplest of https://www.w3.org/TR/xpath-10/ (`vehicle/plate`, `plate/@country`): names without
namespace, of which the first counts, and an attribute at the end. They begin below the root, or below each element
`passages`; one that begins with `/` begins below the root. The XML may be a part of a multipart body, or several
documents one behind the other. Nothing but the fields that the configuration names is read.
"""

import re
from collections.abc import Mapping
from functools import partial
from typing import Any

from lxml import etree

from anpr import declared
from anpr.payload import documents, local, parts
from broker.errors import BadMessage
from broker.model import Ignored, Message, PlateRead, Skipped, Source

FIELDS = ()
"""The configured ones alone: `named`."""
MARKS = ()


class Options(declared.Options):
    """See `anpr.declared.Options`."""

    syntax = re.compile(r"/?([^/@\[\]{}:*]+/)*@?[^/@\[\]{}:*]+")
    example = "vehicle/plate"


def decode(message: Message, source: Source, state: Mapping[str, Any]) -> list[PlateRead | Ignored | Skipped]:
    """Take the configured fields of each passage; raise BadMessage where no plate stands at its path."""
    del state
    where = declared.configured(source).get("passages")
    payload = message.payload
    bodies = [payload]
    if payload.lstrip()[:2] == b"--":
        bodies = [body for body in parts(payload) if body.lstrip()[:1] == b"<"]
        if not bodies:
            raise BadMessage("no part of the multipart message is XML")
    roots = [root for body in bodies for root in documents(body)]
    return declared.read(
        [partial(_take, one, root) for root in roots for one in _passages(root, where)],
        source,
    )


def named(options: Mapping[str, Any]) -> set[str]:
    """The names that the configured paths go through."""
    return {step.lstrip("@") for path in declared.paths(options) for step in path.split("/") if step}


def _passages(root: etree._Element, where: str | None) -> list[etree._Element]:
    if where is None:
        return [root]
    if not _elements(root, where.rpartition("/")[0]):
        raise BadMessage("nothing stands at the path of the passages")
    return _elements(root, where)


def _take(passage: etree._Element, root: etree._Element, path: str) -> Any:
    """The text of the first element there, None for one that is empty."""
    above, _, attribute = path.partition("@")
    found = _elements(root if path.startswith("/") else passage, above)
    if not found:
        return declared.MISSING
    if not attribute:
        return found[0].text
    values = (str(value) for key, value in found[0].attrib.items() if local(str(key)) == attribute)
    return next(values, declared.MISSING)


def _elements(start: etree._Element, path: str) -> list[etree._Element]:
    found = [start]
    for step in filter(None, path.split("/")):
        found = [child for element in found for child in element if local(str(child.tag)) == step]
    return found
