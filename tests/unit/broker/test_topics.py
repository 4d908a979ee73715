"""Topic filters, against brute force over every topic of a small alphabet."""

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.topics import fault, matches, overlap

TOPICS = ["/".join(levels) for n in range(1, 5) for levels in product(["a", "b", "", "$x"], repeat=n)]


def _takes(topic_filter: str, topic: str) -> bool:
    """The rule of the standard, read literally and on its own."""
    levels, names = topic_filter.split("/"), topic.split("/")
    if names[0].startswith("$") and levels[0] in ("+", "#"):
        return False
    if levels[-1] == "#":
        levels.pop()
        if len(names) < len(levels):
            return False
        names = names[: len(levels)]
    return len(levels) == len(names) and all(
        level in ("+", name) for level, name in zip(levels, names, strict=True)
    )


level = st.sampled_from(["a", "b", "", "+", "$x"])
filters = st.builds(
    lambda levels, end: "/".join([*levels, *end]),
    st.lists(level, max_size=3),
    st.sampled_from([[], ["#"]]),
).filter(lambda topic_filter: fault(topic_filter) is None)


@given(filters, st.sampled_from(TOPICS))
def test_matches_is_the_rule_of_the_standard(topic_filter, topic):
    if topic:
        assert matches(topic_filter, topic) == _takes(topic_filter, topic)


@given(filters, filters)
def test_overlap_is_that_some_topic_matches_both(one, other):
    assert overlap(one, other) == any(_takes(one, t) and _takes(other, t) for t in TOPICS if t)


@given(filters, filters)
def test_overlap_is_symmetric(one, other):
    assert overlap(one, other) == overlap(other, one)


@pytest.mark.parametrize(
    ("one", "other", "meet"),
    [
        ("v3/+/devices/+/up", "v3/#", True),
        ("v3/+/devices/+/up", "v3/+/devices/+/join", False),
        ("v3/#", "v3", True),
        ("#", "$SYS/#", False),
        ("+/up", "/up", True),
        ("a/+", "a/b/#", True),
        ("a/+", "a/b/c/#", False),
    ],
)
def test_overlap(one, other, meet):
    assert overlap(one, other) is meet


@pytest.mark.parametrize("good", ["v3/+/devices/+/up", "#", "+", "/", "a b/c", "a//b", "$SYS/#", "é/+"])
def test_valid_filters(good):
    assert fault(good) is None


@pytest.mark.parametrize(
    ("bad", "word"),
    [
        ("", "empty"),
        ("a/#/b", "last"),
        ("a#", "last"),
        ("a/b+", "whole level"),
        ("a\0b", "NUL"),
        ("é" * 40_000, "65,535"),
        ("$share/g/a", "shared"),
    ],
)
def test_invalid_filters(bad, word):
    assert word in str(fault(bad))
