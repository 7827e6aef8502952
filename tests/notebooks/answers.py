"""What the tests of the exercises' answers share: the answers, the questions, and what notebooks say."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import nbformat
from nbformat import NotebookNode

from labsupport.chapter.checks import exercises

FOLDER = Path(__file__).resolve().parents[2] / "notebooks"


def expect(number: str, derived: object) -> None:
    """The answer to an exercise has to be what was derived, of the same type; lists in any order where it says so."""
    exercise = exercises()[number]
    answer = exercise["answer"]
    if exercise.get("any_order"):
        assert isinstance(derived, list)
        answer, derived = sorted(answer), sorted(derived)
    assert (type(answer), answer) == (type(derived), derived), f"exercise {number}"


@cache
def notebook(chapter: str) -> NotebookNode:
    """A chapter's notebook."""
    (file,) = FOLDER.glob(f"{chapter}_*.ipynb")
    return nbformat.read(file, as_version=4)


def question(number: str) -> str:
    """What the notebook asks, with the options to choose from."""
    chapter = number.partition(".")[0].zfill(2)
    prose = "\n".join(cell.source for cell in notebook(chapter).cells if cell.cell_type == "markdown")
    found = re.search(rf"\*\*Exercise {re.escape(number)}\*\* (.*?)(?=\n\*\*Exercise|\n<details>|\Z)", prose, re.DOTALL)
    assert found, number
    return found[1]


def said(chapter: str, cell_id: str) -> str:
    """The stored output of a cell as text. That it is what the cluster says is checked by `pytest --nbval`."""
    (cell,) = [cell for cell in notebook(chapter).cells if cell.id == cell_id]
    assert "nbval-ignore-output" not in cell.metadata.get("tags", []), "nothing compares this output"
    texts = [output.get("text") or output.get("data", {}).get("text/plain", "") for output in cell.outputs]
    return "".join(texts).replace("\r\n", "\n")
