"""`lab store`: what it stores of a notebook, what it leaves alone, and what it refuses."""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_notebook, new_output

from tools import store_outputs

FIGURE = """
class Figure:
    def _repr_mimebundle_(self, **_):
        return {"text/plain": "figure: two bars"}, {"drawn": ["bar 0 to 2"]}
Figure()
"""


def cell(name: str, source: str, *tags: str, printed: str = "") -> NotebookNode:
    outputs = [new_output("stream", name="stdout", text=printed)] if printed else []
    return new_code_cell(source, id=name, metadata={"tags": list(tags)} if tags else {}, outputs=outputs)


def written(file: Path, *cells: NotebookNode) -> Path:
    nbformat.write(new_notebook(cells=list(cells)), file)
    return file


def test_what_cells_say_is_stored_in_a_form_that_stays(tmp_path: Path) -> None:
    file = written(
        tmp_path / "90_good.ipynb",
        cell("prints", "print('a')\nprint('b')"),
        cell("certain", FIGURE),
        cell("varies", FIGURE, "figure-varies"),
        cell("ignored", FIGURE, "nbval-ignore-output"),
        cell("fails", "!false", "command-fails"),
        cell("raises", "1 / 0", "raises-exception"),
    )
    assert store_outputs.store(file)
    stored = nbformat.read(file, as_version=4)
    assert [cell.execution_count for cell in stored.cells] == [1, 2, 3, 4, 5, 6]
    assert stored.cells[0].outputs == [{"name": "stdout", "output_type": "stream", "text": "a\nb\n"}]
    drawn = [cell.outputs[0].metadata.get("drawn") for cell in stored.cells[1:4]]
    assert drawn == [["bar 0 to 2"], None, None]
    assert stored.cells[5].outputs[0].ename == "ZeroDivisionError"
    assert all(cell.metadata.get("jupyter") == {"outputs_hidden": True} for cell in stored.cells if cell.outputs)
    before = file.read_text()
    assert store_outputs.store(file)
    assert file.read_text() == before, "a second run gives the same file"


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        (cell("bad", "raise ValueError('no')"), "a cell failed, nothing is stored: ValueError: no"),
        (cell("bad", "!exit 3", "nbval-ignore-output"), "a cell failed, nothing is stored: CalledProcessError"),
        (cell("bad", "print('ann-chapter-07')"), "nothing is stored: the outputs hold ann-chapter-07"),
    ],
    ids=["raised", "command", "learner"],
)
def test_nothing_is_stored_where_something_is_wrong(
    bad: NotebookNode, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = written(tmp_path / "90_bad.ipynb", cell("good", "print('new')", printed="old\n"), bad)
    before = file.read_text()
    assert not store_outputs.store(file)
    assert said in capsys.readouterr().err
    assert file.read_text() == before


def test_a_chapter_that_is_not_there_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert store_outputs.main(["99"]) == 1
    assert "there is no chapter 99" in capsys.readouterr().err
