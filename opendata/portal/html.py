"""HTML by functions: text is escaped unless it is Markup.

https://html.spec.whatwg.org/
"""

from collections.abc import Iterable
from html import escape
from typing import TypeAlias


class Markup(str):
    """Text that is HTML already."""

    __slots__ = ()


Content: TypeAlias = str | Iterable["Content"] | None

VOID = frozenset({"br", "hr", "img", "input", "link", "meta"})


def text(*contents: Content) -> Markup:
    """Join contents, escaping what is not Markup; None is nothing."""
    return Markup("".join(_text(one) for one in contents))


def element(name: str, /, *contents: Content, **attributes: str | float | bool | None) -> Markup:
    """Give `<name attributes>contents</name>`.

    `class_` is `class`, `_` in names is `-`; None and False are left out.
    """
    given = "".join(_attribute(key, value) for key, value in attributes.items())
    if name in VOID:
        return Markup(f"<{name}{given}>")
    return Markup(f"<{name}{given}>{text(*contents)}</{name}>")


def _text(content: Content) -> str:
    match content:
        case None:
            return ""
        case Markup():
            return content
        case str():
            return escape(content)
        case _:
            return "".join(_text(one) for one in content)


def _attribute(key: str, value: str | float | bool | None) -> str:
    if value is None or value is False:
        return ""
    name = key.rstrip("_").replace("_", "-")
    return f" {name}" if value is True else f' {name}="{escape(str(value))}"'
