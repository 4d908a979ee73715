"""On which line of a TOML text a key stands; `tomllib` does not say.

Only for texts that `tomllib` has accepted: what is invalid is not noticed here.
Syntax: https://toml.io/en/v1.0.0
"""

import re
import tomllib
from bisect import bisect_right

Path = tuple[str | int, ...]
"""Keys and list positions from the top: ("source", 2, "format")."""

_BLANK = re.compile(r"(?:[ \t\r\n]+|#[^\n]*)*+")
_STRING = re.compile(
    r'"""(?:[^"\\]|\\.|"{1,2}(?!"))*"{3,5}'
    r"|'''(?:[^']|'{1,2}(?!'))*'{3,5}"
    r'|"(?:[^"\\\n]|\\.)*"'
    r"|'[^'\n]*'",
    re.DOTALL,
)
_SCALAR = re.compile(r"[^,\]}#\n]+")
_KEY = re.compile(r"""[ \t]*([A-Za-z0-9_-]+|"(?:[^"\\\n]|\\.)*"|'[^'\n]*')[ \t]*(\.)?""")


def locate(text: str) -> dict[Path, int]:
    """Map the path of every table, list element and key of a valid TOML text to its line, from 1."""
    scan = _Scan(text)
    at = scan.skip(0)
    table: Path = ()
    while at < len(text):
        if text[at] == "[":
            table, at = scan.header(at)
        else:
            at = scan.pair(at, table)
        at = scan.skip(at)
    return scan.lines


def nearest(lines: dict[Path, int], path: Path) -> int:
    """Give the line of `path`, or of the closest table around it that has one; the first line if none has."""
    while path and path not in lines:
        path = path[:-1]
    return lines.get(path, 1)


class _Scan:
    """One pass over a text: every method takes a position and gives the one behind what it read."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.lines: dict[Path, int] = {}
        self._lengths: dict[Path, int] = {}
        self._starts = [0, *(found.end() for found in re.finditer("\n", text))]

    def skip(self, at: int) -> int:
        found = _BLANK.match(self.text, at)
        return found.end() if found else at

    def header(self, at: int) -> tuple[Path, int]:
        many = self.text.startswith("[[", at)
        keys, end = self._keys(at + 1 + many)
        path = self._inside(keys[:-1], at)
        path = (*path, keys[-1])
        if many:
            self._note(path, at)
            self._lengths[path] = self._lengths.get(path, 0) + 1
        path = self._last(path)
        self._note(path, at)
        return path, end + 1 + many

    def pair(self, at: int, table: Path) -> int:
        keys, end = self._keys(at)
        path = table
        for key in keys:
            path = (*path, key)
            self._note(path, at)
        return self._value(self.skip(end + 1), path)

    def _value(self, at: int, path: Path) -> int:
        if self.text[at] == "[":
            return self._list(at + 1, path)
        if self.text[at] == "{":
            return self._inline(at + 1, path)
        found = _STRING.match(self.text, at) or _SCALAR.match(self.text, at)
        return found.end() if found else at + 1

    def _list(self, at: int, path: Path) -> int:
        position = 0
        at = self.skip(at)
        while self.text[at] != "]":
            self._note((*path, position), at)
            at = self._comma(self._value(at, (*path, position)))
            position += 1
        return at + 1

    def _inline(self, at: int, path: Path) -> int:
        at = self.skip(at)
        while self.text[at] != "}":
            at = self._comma(self.pair(at, path))
        return at + 1

    def _comma(self, at: int) -> int:
        at = self.skip(at)
        return self.skip(at + 1) if self.text[at] == "," else at

    def _keys(self, at: int) -> tuple[list[str], int]:
        keys = []
        while found := _KEY.match(self.text, at):
            keys.append(_unquote(found[1]))
            at = found.end()
            if not found[2]:
                break
        return keys, at

    def _inside(self, keys: list[str], at: int) -> Path:
        path: Path = ()
        for key in keys:
            path = self._last((*path, key))
            self._note(path, at)
        return path

    def _last(self, path: Path) -> Path:
        """Of a list of tables the last one is meant."""
        length = self._lengths.get(path)
        return (*path, length - 1) if length else path

    def _note(self, path: Path, at: int) -> None:
        self.lines.setdefault(path, bisect_right(self._starts, at))


def _unquote(key: str) -> str:
    return next(iter(tomllib.loads(f"{key} = 0"))) if key[0] in "\"'" else key
