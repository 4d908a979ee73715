"""Which thing a message is about: the source's template, else what the payload names, else a topic level."""

from functools import lru_cache

from broker.errors import BadMessage
from broker.model import Source

# What devices call themselves before anybody has given them a name.
FACTORY_DEFAULTS = frozenset(
    {
        "network camera", "ip camera", "ipcamera", "ip dome", "camera", "ipc", "embedded net dvr", "anpr",
        "axis", "device", "sensor", "default", "unknown", "none", "null", "n/a", "undefined", "0",
        "localhost", "0000000000000000", "00:00:00:00:00:00", "ffffffffffffffff",
    }
)  # fmt: skip
MAX_LENGTH = 256


def identify(source: Source, device: str, topic: str) -> str:
    """Return the identity of the thing that a message on `topic` is about.

    `device` is the decoder's stable id ("" if it has none). A template such as `gent-{device}` or
    `{1}-{3}` (topic levels, counted from 0) wins. Raises BadMessage (`identity`) where nothing names it.
    """
    name = named(device)
    if source.thing is not None:
        return _checked(_fill(source.thing, name, topic))
    return _checked(name or _level(source.topic, topic))


def named(device: str) -> str:
    """Return the name that somebody gave a device; "" for one that it left the factory with."""
    device = device.strip()
    return "" if device.lower() in FACTORY_DEFAULTS else device


def _fill(template: str, name: str, topic: str) -> str:
    if not name and "{device}" in template:
        raise BadMessage("the payload names no device, and the source's template asks for it", reason="identity")
    try:
        return template.format(*topic.split("/"), device=name)
    except (LookupError, ValueError, AttributeError):
        raise BadMessage("the topic has no level that the source's template asks for", reason="identity") from None


def _level(topic_filter: str, topic: str) -> str:
    levels = topic.split("/")
    index = _wildcard(topic_filter)
    if index is not None and index < len(levels) and levels[index]:
        return levels[index]
    return next((level for level in reversed(levels) if level), "")


@lru_cache(maxsize=4096)
def _wildcard(topic_filter: str) -> int | None:
    levels = topic_filter.split("/")
    return next((index for index, level in enumerate(levels) if level in {"+", "#"}), None)


def _checked(identity: str) -> str:
    if not identity or len(identity) > MAX_LENGTH or not identity.isprintable():
        raise BadMessage(
            f"identity: expected 1 to {MAX_LENGTH} printable characters, found {len(identity)}",
            reason="identity",
        )
    return identity
