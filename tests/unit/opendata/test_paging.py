from contextlib import suppress
from datetime import UTC
from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.requests import Request

from opendata import paging
from opendata.problems import Problem


def asked(query):
    return Request(
        {"type": "http", "headers": [], "path": "/feeds/air/observations.json", "query_string": query.encode()}
    )


@given(st.datetimes(timezones=st.just(UTC)), st.integers(min_value=0, max_value=2**63 - 1))
def test_a_cursor_comes_back_as_it_went(time, stream):
    address = paging.following(asked("limit=7&after=old&thing=a%26b"), "http://x", (time, stream))
    query = parse_qs(urlsplit(address).query)
    assert (query["limit"], query["thing"]) == (["7"], ["a&b"])
    assert paging.read(7, query["after"][0]) == (7, (time, stream))
    assert paging.link(address) == f'<{address}>; rel="next"'


def test_the_last_page_leads_nowhere():
    assert paging.following(asked(""), "http://x", None) is None
    assert paging.link(None) == ""


@given(st.text(max_size=30))
def test_no_cursor_is_worse_than_a_400(text):
    found = None
    with suppress(Problem):
        found = paging.read(1, text)
    assert found is None or found.after[0].tzinfo is UTC


def test_without_a_cursor_pages_begin_at_the_start():
    assert paging.read(after=None).after is None
    with pytest.raises(Problem):
        paging.read(1, "MjAyNi0xMS0yNFQxMDowMDowMCswMDowMCAtMQ")
