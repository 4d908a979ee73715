"""Writes a page for each format and camera from its docstring, its options and its samples: `make docs`.

`tests/docs/test_plug_in_pages.py` fails where a page is not what this would write.
"""

import inspect
import json
import re
import sys
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "contracts")]

import samples  # noqa: E402 - beside the contracts

from broker import modules  # noqa: E402 - after the path is set

LONGEST = 1500
"""Bytes of a sample that a page shows."""


class Kind(NamedTuple):
    """A folder of plug-ins, and where their pages stand."""

    package: str
    folder: str
    key: str
    index: str


KINDS = (
    Kind("ingest.formats", "formats", "format", "../formats.md"),
    Kind("anpr.cameras", "cameras", "camera", "../cameras.md"),
)


def pages() -> dict[Path, str]:
    """{path: text} of all pages."""
    return {
        ROOT / "docs" / kind.folder / f"{name}.md": page(kind, name, module)
        for kind in KINDS
        for name, module in modules.load(kind.package).items()
    }


def page(kind: Kind, name: str, module: ModuleType) -> str:
    """The page of one plug-in."""
    parts = [f"# `{name}`", *about(module), source(kind, name, module), *options(kind, module)]
    parts += shown(samples.of_camera(name) if kind.key == "camera" else name)
    parts.append(f"All {kind.folder}: [{kind.folder}]({kind.index}). This page is made by `make docs`.")
    return "\n\n".join(parts) + "\n"


def about(module: ModuleType) -> list[str]:
    """The docstring, its bare addresses as links."""
    text = inspect.getdoc(module) or ""
    linked = re.sub(r"(?<![(<])(https://[^\s,;)]+[^\s,;).:])", r"<\1>", text)
    return [linked]


def source(kind: Kind, name: str, module: ModuleType) -> str:
    """A `[[source]]` to begin with."""
    topic = next(iter(getattr(module, "TOPICS", ())), f"{name}/#")
    lines = [f'name = "{name.replace("_", "-")}"', f'topic = "{topic}"', f'{kind.key} = "{name}"']
    return "\n".join(["## In `city.toml`", "", "```toml", "[[source]]", *lines, "```"])


def options(kind: Kind, module: ModuleType) -> list[str]:
    """The keys of `[source.options]`, if there are any."""
    model = getattr(module, "Options", None)
    if model is None:
        return []
    fields = ", ".join(f"`{field}`" for field in model.model_fields)
    return [f"## Options\n\n`[source.options]` may have {fields}: see [the index]({kind.index}#options)."]


def shown(name: str) -> list[str]:
    """Samples: what arrives, and what becomes of it."""
    parts = ["## What becomes of a message"]
    for case in chosen(name):
        sample = samples.read(case)
        title = case.name.removesuffix(samples.SUFFIX).replace("-", " ")
        text = f"### {title[:1].upper()}{title[1:]}\n\nOn `{sample.topic}`:\n\n```\n{payload(sample.payload)}\n```\n\n"
        parts.append(text + outcome(sample.spec["expected"]))
    parts.append(f"These and more are in [tests/samples/{name}](../../tests/samples/{name}/).")
    return parts


def chosen(name: str) -> list[Path]:
    """One sample that is stored, one that is ignored, one that is refused: the shortest of each."""
    by_outcome: dict[str, Path] = {}
    for case in sorted(samples.cases(name), key=lambda case: (len(samples.read(case).payload), case.name)):
        expected = samples.read(case).spec["expected"]
        by_outcome.setdefault("stored" if isinstance(expected, list) else next(iter(expected)), case)
    return [by_outcome[key] for key in ("stored", "ignored", "refused") if key in by_outcome]


def payload(data: bytes) -> str:
    """The message as text; what is not text as hexadecimal."""
    try:
        text = data.decode().strip()
    except UnicodeDecodeError:
        text = "hexadecimal: " + data.hex(" ")
    clipped = text if len(text) <= LONGEST else text[:LONGEST] + " …"
    return "\n".join(line.rstrip() for line in clipped.replace("\r", "").replace("```", "'''").split("\n"))


def outcome(expected: Any) -> str:
    """A table of observations or passages, or why there is none."""
    if not isinstance(expected, list):
        ((word, reason),) = expected.items()
        return f"It is {word}: `{reason}`."
    columns = list(dict.fromkeys(key for row in expected for key in row))
    rows = ["| " + " | ".join(cell(row.get(key)) for key in columns) + " |" for row in expected]
    return "\n".join(["| " + " | ".join(columns) + " |", "|---" * len(columns) + "|", *rows])


def cell(value: Any) -> str:
    """A value in a table."""
    text = value if isinstance(value, str) else "" if value is None else json.dumps(value, ensure_ascii=False)
    return text.replace("|", "\\|").replace("\n", " ")


def main() -> None:
    """Write all pages, and remove those of plug-ins that are gone."""
    written = pages()
    for kind in KINDS:
        (ROOT / "docs" / kind.folder).mkdir(exist_ok=True)
        for old in (ROOT / "docs" / kind.folder).glob("*.md"):
            if old not in written:
                old.unlink()
    for path, text in written.items():
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
