"""The envelope of the push door: sealed, opened once, and nothing else is one."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.errors import BadMessage
from broker.model import Message
from ingest.envelope import MARK, opened, seal

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)


def message(payload: bytes) -> Message:
    return Message("in/air/7", payload, NOW)


@given(
    st.binary(),
    st.none() | st.text(min_size=1),
    st.none() | st.text(min_size=1),
    st.none() | st.text(min_size=1),
)
def test_what_is_sealed_comes_out(payload, content_type, identity, part):
    sealed = seal(payload, content_type=content_type, identity=identity, part=part)
    assert opened(message(sealed)) == Message(
        "in/air/7", payload, NOW, content_type=content_type, identity=identity, part=part
    )


def test_an_envelope_inside_of_one_stays_closed():
    inner = seal(b"1", identity="of somebody else")
    assert opened(message(seal(inner))).payload == inner


@pytest.mark.parametrize("payload", [b"", b"{}", b"\0", b"21.5", b"\0\0citybroker/1\n{}\n", b"citybroker/1\n{}\n"])
def test_a_payload_without_one_stays_as_it_is(payload):
    assert opened(message(payload)) == message(payload)


@pytest.mark.parametrize(
    "payload",
    [MARK, MARK + b"[]\n1", MARK + b"{\n1", b"\0citybroker/2\n{}\n1", b"\0citybroker/", MARK + b"\xff\n1"],
)
def test_a_broken_one_is_refused(payload):
    with pytest.raises(BadMessage) as caught:
        opened(message(payload))
    assert caught.value.reason == "envelope"


def test_members_of_another_type_or_name_are_passed_over():
    found = opened(message(MARK + b'{"identity": 7, "part": null, "content_type": "text/csv", "topic": "x"}\na;b'))
    assert found == message(b"a;b")._replace(content_type="text/csv")
