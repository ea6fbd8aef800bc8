"""Links between pages lead somewhere, and pages name files and commands that exist."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.architecture import sources

LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
PATH_IN_CODE = re.compile(r"`((?:services|agent|shared|deploy|tests|docs)/[\w./-]+\.(?:py|md|sql|json|yml))`")
MAKE_TARGET = re.compile(r"`make ([a-z][a-z-]*)[^`]*`")

each_page = pytest.mark.parametrize("page", list(sources.pages()), ids=sources.name_of)


def anchors(page: Path) -> set[str]:
    """Give the anchors of a page's headings, as forges make them."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(), flags=re.MULTILINE)
    plain = (re.sub(r"[^\w\- ]", "", heading.lower()) for heading in headings)
    return {heading.strip().replace(" ", "-") for heading in plain}


def broken(page: Path) -> Iterator[str]:
    for link in LINK.findall(page.read_text()):
        if re.match(r"[a-z]+:", link):
            continue
        name, _, anchor = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        is_there = target.is_relative_to(sources.ROOT) and target.exists()
        has_anchor = is_there and (not anchor or target.suffix != ".md" or anchor in anchors(target))
        if not has_anchor:
            yield link


@each_page
def test_links_between_pages_resolve(page: Path) -> None:
    assert list(broken(page)) == []


@each_page
def test_files_that_a_page_names_exist(page: Path) -> None:
    named = PATH_IN_CODE.findall(page.read_text())
    assert [name for name in named if not (sources.ROOT / name).exists()] == []


@each_page
def test_make_targets_that_a_page_names_exist(page: Path) -> None:
    makefile = (sources.ROOT / "Makefile").read_text()
    targets = set(re.findall(r"^([a-z][a-z-]*):", makefile, flags=re.MULTILINE))
    assert set(MAKE_TARGET.findall(page.read_text())) <= targets
