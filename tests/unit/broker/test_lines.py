"""Every leaf of a generated document is the number of its own line: the locator must agree."""

import tomllib
from itertools import count

from hypothesis import given
from hypothesis import strategies as st

from broker.lines import locate, nearest


def _leaves(value, path=()):
    if isinstance(value, dict):
        return [leaf for key, item in value.items() for leaf in _leaves(item, (*path, key))]
    if isinstance(value, list):
        return [leaf for i, item in enumerate(value) for leaf in _leaves(item, (*path, i))]
    return [(path, value)]


names = st.sampled_from(["a", "b-c", "d_9", '"e.f"', "'g h'", '"i\\"j"', '"#"', "1"])
gaps = st.sampled_from(["", " ", "\t", "  "])
ends = st.sampled_from(["", ",", ",\n"])
after = st.sampled_from(["\n", " # comment\n", " \n\n", "\r\n"])
breaks = st.sampled_from(["", "\n", " # ] } \n", "\n\n  "])
strings = st.sampled_from(
    ['""', "''", '"# [x]"', "'\"'", '"""a\n"b" ""c\n"""', "'''\n[q]\n''''", '"\\""', '"""x""""', '"""\\"""""']
)
scalars = st.one_of(
    st.just("@"), st.just("@"), strings, st.sampled_from(["1979-05-27 07:32:00Z", "true", "-1.5e3", "0x1F"])
)


@st.composite
def inline(draw, value):
    keys = draw(st.lists(names, max_size=3, unique_by=str.strip))
    return "{" + ", ".join(f"{key}{draw(gaps)}= {draw(value)}" for key in keys) + "}"


@st.composite
def lists(draw, value):
    items = draw(st.lists(value, max_size=3))
    body = ",".join(f"{draw(breaks)}{item}{draw(breaks)}" for item in items)
    return f"[{body}{draw(ends if items else breaks)}]"


values = st.recursive(scalars, lambda value: st.one_of(inline(value), lists(value)), max_leaves=6)


@st.composite
def pairs(draw, prefix=""):
    keys = draw(st.lists(names, max_size=4, unique=True))
    return "".join(
        f"{draw(gaps)}{key}{draw(st.sampled_from(['', ' . z', '.y.x']))} ={draw(gaps)}{draw(values)}{draw(after)}"
        for key in keys
    )


@st.composite
def documents(draw):
    text = draw(pairs())
    for number in range(draw(st.integers(0, 2))):
        text += f"[ t{number} . 'u v' ]\n" + draw(pairs())
    for _ in range(draw(st.integers(0, 3))):
        text += draw(gaps) + "[[source]]# one\n" + draw(pairs())
        if draw(st.booleans()):
            text += "[source.options]\n" + draw(pairs())
        for _ in range(draw(st.integers(0, 2))):
            text += "[[source.'deep er'.list]]\n" + draw(pairs())
    return _numbered(text)


def _numbered(text):
    """Put the number of its line in place of each mark."""
    return "\n".join(
        line.replace("@", str(number)) for line, number in zip(text.split("\n"), count(1), strict=False)
    )


def _numbers(document):
    return [(p, v) for p, v in _leaves(document) if type(v) is int and v != 0x1F]


@given(documents())
def test_every_number_stands_on_its_own_line(text):
    document = tomllib.loads(text)
    lines = locate(text)
    for path, value in _numbers(document):
        assert lines[path] == value, path


@given(documents())
def test_every_path_of_the_document_has_a_line_and_no_other(text):
    lines = locate(text)
    paths = {path[:n] for path, _ in _leaves(tomllib.loads(text)) for n in range(1, len(path) + 1)}
    assert paths <= set(lines)


CITY = """\
[city]  # "x"
id = "gent"

[[source]]
name = "one"
options = { a = 1, b = [
  2,
  { c = 3 } ] }
[[source]]
name = "two"
[source.options]
d.e = 4
"""


def test_lines_of_a_city():
    lines = locate(CITY)
    assert lines[("city",)] == 1
    assert lines[("source", 0)] == 4
    assert lines[("source", 0, "options", "b", 0)] == 7
    assert lines[("source", 0, "options", "b", 1, "c")] == 8
    assert lines[("source", 1)] == 9
    assert lines[("source", 1, "options")] == 11
    assert lines[("source", 1, "options", "d", "e")] == 12


def test_nearest_climbs_to_what_has_a_line():
    lines = {("source",): 3, ("source", 0): 3, ("source", 1): 7}
    assert nearest(lines, ("source", 1, "format")) == 7
    assert nearest(lines, ("city", "id")) == 1
