import pytest

from broker.errors import BadMessage
from broker.identity import identify
from broker.model import Source


@pytest.mark.parametrize(
    ("topic_filter", "thing", "device", "topic", "expected"),
    [
        ("sensors/+", None, "kast-7", "sensors/a", "kast-7"),
        ("sensors/+", None, "", "sensors/a", "a"),
        ("sensors/+/temp", None, "Network Camera", "sensors/a/temp", "a"),
        ("sensors/#", None, "", "sensors/a/temp", "a"),
        ("sensors/fixed", None, "", "sensors/fixed", "fixed"),
        ("sensors/+", "gent-{device}", "7", "sensors/a", "gent-7"),
        ("+/x/+", "{0}:{2}", "7", "a/x/b", "a:b"),
    ],
)
def test_identity(topic_filter: str, thing: str | None, device: str, topic: str, expected: str) -> None:
    assert identify(Source("s", topic_filter, thing=thing), device, topic) == expected


@pytest.mark.parametrize(
    ("thing", "device", "topic"),
    [
        ("{device}", "", "a/b"),
        ("{5}", "x", "a/b"),
        (None, "", "///"),
        (None, "x" * 300, "a/b"),
        (None, "a\nb", "a/b"),
    ],
)
def test_no_identity(thing: str | None, device: str, topic: str) -> None:
    with pytest.raises(BadMessage) as caught:
        identify(Source("s", "#", thing=thing), device, topic)
    assert caught.value.reason == "identity"
