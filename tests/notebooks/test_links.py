"""Every link to a file of the repository leads to it, and to its heading; notebooks that scripts name are there."""

from __future__ import annotations

import re
import unicodedata
from functools import cache
from pathlib import Path
from urllib.parse import unquote

import nbformat
import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("lab*/**/*.md")])
NOTEBOOKS = sorted(ROOT.glob("notebooks/*.ipynb"))
TEXTS = {".py", ".md", ".ipynb", ".toml", ".cfg", ".json", ".yaml", ".yml", ".txt", ".sh", ".svg", ""}
# Tests name notebooks of their own making, and fail by themselves where one of the course's is missing.
UNREAD = {
    "tests",
    ".git",
    ".venv",
    ".lab",
    ".mypy_cache",
    ".ruff_cache",
    ".pytest_cache",
    "__pycache__",
    "node_modules",
}

LINK = re.compile(
    r"\[[^\]]*\]\(([^)\s]+)(?:\s+\"[^\"]*\")?\)|(?:href|src)=\"([^\"]+)\"|^\[[^\]]+\]:\s+(\S+)", re.MULTILINE
)
CODE = re.compile(r"^```.*?^```|`[^`\n]*`", re.MULTILINE | re.DOTALL)
NOTEBOOK = re.compile(r"\b\d\d_[a-z0-9_]+\.ipynb\b")
NOT_THERE = {"90_specimen.ipynb", "05_roles.ipynb"}  # tools/mutations.py makes them in a copy


@cache
def prose(page: Path) -> str:
    """What a page says, in Markdown."""
    if page.suffix != ".ipynb":
        return page.read_text()
    cells = nbformat.read(page, as_version=4).cells
    return "\n\n".join(cell.source for cell in cells if cell.cell_type == "markdown")


@cache
def anchors(page: Path) -> set[str]:
    """The names by which GitHub links to a page's headings: lower case, blanks as hyphens, no punctuation; the second
    of the same name ends in -1."""
    found: dict[str, int] = {}
    names = set()
    for heading in re.findall(r"^#{1,6} +(.+?) *#*$", re.sub(r"^```.*?^```", "", prose(page), flags=re.M | re.S), re.M):
        text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).lower()
        kept = "".join(c for c in text if c in " -_" or unicodedata.category(c)[0] in "LN")
        name = kept.strip().replace(" ", "-")
        times = found[name] = found.get(name, -1) + 1
        names.add(f"{name}-{times}" if times else name)
    return names | set(re.findall(r"<a (?:id|name)=\"([^\"]+)\"", prose(page)))


def links(page: Path) -> list[str]:
    """The targets of a page's links to this repository."""
    targets = [a or b or c for a, b, c in LINK.findall(CODE.sub("", prose(page)))]
    return [target for target in targets if not re.match(r"[a-z][a-z0-9+.-]*:", target)]


@pytest.mark.parametrize("page", [*PAGES, *NOTEBOOKS], ids=lambda page: str(page.relative_to(ROOT)))
def test_every_relative_link_leads_to_a_file_and_a_heading(page: Path) -> None:
    for target in links(page):
        path, _, anchor = unquote(target).partition("#")
        file = (page.parent / path).resolve() if path else page
        assert file.exists() and file.is_relative_to(ROOT), f"{target}: there is no such file"
        if anchor:
            assert anchor in anchors(file), f"{target}: there is no such heading, but {sorted(anchors(file))}"


def test_the_pages_have_links_to_follow() -> None:
    assert sum(len(links(page)) for page in PAGES) > 20, "the links are not found any more"


def test_every_notebook_that_a_script_or_a_page_names_is_there() -> None:
    there = {file.name for file in NOTEBOOKS} | NOT_THERE
    named = 0
    for file in ROOT.rglob("*"):
        if file.suffix in TEXTS and file.is_file() and not UNREAD & set(file.relative_to(ROOT).parts):
            names = set(NOTEBOOK.findall(file.read_text(errors="replace")))
            named += len(names)
            assert names <= there, f"{file.relative_to(ROOT)}: {names - there}"
    assert named > len(there)


def test_the_readme_lists_every_notebook() -> None:
    listed = set(links(ROOT / "README.md"))
    assert {f"notebooks/{file.name}" for file in NOTEBOOKS} <= listed
