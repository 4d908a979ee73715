"""Each format and camera has a page that says what its code and samples say."""

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest


def generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("plug_in_pages", Path(__file__).with_name("plug_in_pages.py"))
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


PAGES = generator().pages()


@pytest.mark.parametrize("path", PAGES, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_the_page_is_what_make_docs_writes(path: Path) -> None:
    assert path.is_file(), "run `make docs`"
    assert path.read_text(encoding="utf-8") == PAGES[path], "run `make docs`"


def test_no_page_is_left_of_what_is_gone() -> None:
    folders = {path.parent for path in PAGES}
    assert {page for folder in folders for page in folder.glob("*.md")} == set(PAGES)


@pytest.mark.parametrize("path", PAGES, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_the_index_leads_to_the_page(path: Path) -> None:
    index = path.parents[1] / f"{path.parent.name}.md"
    assert f"({path.parent.name}/{path.name})" in index.read_text(encoding="utf-8")
