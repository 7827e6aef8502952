"""How cells ended: read from a JUnit file, in a line, and as a page."""

from __future__ import annotations

from html.parser import HTMLParser
from pathlib import Path

import pytest

from tools import cell_results, report_page
from tools.cell_results import CellResult

JUNIT = """<testsuites><testsuite>
<testcase classname="notebooks.01_sets.ipynb" name="begin [1]" time="1.25"/>
<testcase classname="notebooks.01_sets.ipynb" name="look [2]" time="0.5">
  <failure message="short">expected 'a', found '&lt;b&gt;'</failure></testcase>
<testcase classname="notebooks.02_more.ipynb" name="begin [1]" time="0">
  <skipped message="a cell ran out of time"/></testcase>
<testcase classname="notebooks.02_more.ipynb" name="end [2]" time="0"><error message="nothing is stored"/></testcase>
</testsuite></testsuites>"""


@pytest.fixture
def results(tmp_path: Path) -> list[CellResult]:
    (tmp_path / "junit.xml").write_text(JUNIT)
    return cell_results.read(tmp_path / "junit.xml")


def test_cells_are_read_with_their_ends(results: list[CellResult]) -> None:
    assert results == [
        CellResult("01_sets", "begin [1]", 1.25, "passed", ""),
        CellResult("01_sets", "look [2]", 0.5, "failed", "expected 'a', found '<b>'"),
        CellResult("02_more", "begin [1]", 0.0, "skipped", "a cell ran out of time"),
        CellResult("02_more", "end [2]", 0.0, "failed", "nothing is stored"),
    ]


def test_a_line_says_how_many_ended_how(results: list[CellResult]) -> None:
    assert cell_results.summary(results) == "1 passed, 2 failed, 1 skipped, 1.8 s"
    assert cell_results.summary(results[:1]) == "1 passed, 1.2 s"


class _Page(HTMLParser):
    """The texts of a page by the tag around them; every tag has to be closed in its turn."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.texts: dict[str, list[str]] = {}
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: object) -> None:
        if tag != "meta":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if data.strip():
            self.texts.setdefault(self.open[-1], []).append(data.strip())


def test_the_page_has_a_table_for_each_chapter_with_the_failures(results: list[CellResult]) -> None:
    page = _Page(report_page.page(results))
    assert page.open == []
    assert page.texts["h2"] == ["01_sets", "02_more"]
    assert page.texts["pre"] == ["expected 'a', found '<b>'", "a cell ran out of time", "nothing is stored"]
    assert page.texts["td"] == [
        *("begin [1]", "passed", "1.25"),
        *("look [2]", "failed", "0.50"),
        *("begin [1]", "skipped", "0.00"),
        *("end [2]", "failed", "0.00"),
    ]


def test_the_page_is_whole_without_any_cell() -> None:
    page = _Page(report_page.page([]))
    assert page.open == [] and page.texts["p"] == ["0 passed, 0.0 s"]
