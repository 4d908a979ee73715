"""MQTT topic filters: are they valid, what do they match, do two of them meet.

Rules: MQTT 3.1.1, section 4.7, https://docs.oasis-open.org/mqtt/mqtt/v3.1.1/os/mqtt-v3.1.1-os.html#_Toc398718106
"""

MAX_BYTES = 65_535


def fault(topic_filter: str) -> str | None:
    """Say what is wrong with a topic filter; None if nothing is."""
    levels = topic_filter.split("/")
    if not topic_filter:
        return "it is empty"
    if "\0" in topic_filter or len(topic_filter.encode()) > MAX_BYTES:
        return "it has a NUL character or more than 65,535 bytes"
    if levels[0] == "$share":
        return "it is a shared subscription"
    if any("#" in level for level in levels[:-1]) or ("#" in levels[-1] and levels[-1] != "#"):
        return "# must be the whole last level"
    if any("+" in level and level != "+" for level in levels):
        return "+ must be a whole level"
    return None


def matches(topic_filter: str, topic: str) -> bool:
    """Tell whether a topic filter takes a topic; `#` takes its parent too, no wildcard takes `$SYS`."""
    return overlap(topic_filter, topic)


def overlap(one: str, other: str) -> bool:
    """Tell whether some topic matches both of two valid filters."""
    first, second = one.split("/"), other.split("/")
    if _hidden(first, second) or _hidden(second, first):
        return False
    return _meet(first, second)


def _hidden(levels: list[str], others: list[str]) -> bool:
    return levels[0].startswith("$") and others[0] in {"+", "#"}


def _meet(first: list[str], second: list[str]) -> bool:
    for one, other in zip(first, second, strict=False):
        if "#" in {one, other}:
            return True
        if one != other and "+" not in {one, other}:
            return False
    longer = max(first, second, key=len)
    rest = longer[min(len(first), len(second)) :]
    return rest in ([], ["#"])
