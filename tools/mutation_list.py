"""The mutations, and the checks that have to catch them. tools/mutations.py runs them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_notebook, new_output

Change = Callable[[Path], None]

SPECIMEN, FORM, LINKS = "cells are run and compared", "the notebooks' form", "links and names"
CHECKS = {
    SPECIMEN: ["--nbval", "notebooks/90_specimen.ipynb"],
    FORM: ["tests/notebooks/test_notebooks.py"],
    LINKS: ["tests/notebooks/test_links.py"],
}

IGNORED = "nbval-ignore-output"
# Cells of the course that need no cluster, by chapter: tables, figures, a cell tagged command-fails.
_CELLS = {
    "06": ("zone-show", "serve", "a", "aaaa", "many", "cname", "chain"),
    "08": ("zone", "draws", "draws-figure"),
    "04": ("adopt-diff",),
}


@dataclass(frozen=True)
class Mutation:
    """A change of a copy of the repository, and the check that has to catch it."""

    name: str
    check: str
    change: Change


def make_specimen(course: Path) -> None:
    """Write notebooks/90_specimen.ipynb: cells that stand for all, with their stored outputs."""
    cells = [_cell("import labsupport as lab", "specimen-import")]
    for chapter, names in _CELLS.items():
        found = {cell.id: cell for cell in _read(_notebook(course, chapter)).cells}
        cells += [NotebookNode({**found[name], "id": f"specimen-{name}"}) for name in names]
    cells.append(_cell("!kubectl version --client", "specimen-command", IGNORED))
    cells.append(_cell("1 / 0", "specimen-raises", IGNORED, "raises-exception"))
    nbformat.write(new_notebook(cells=cells), course / "notebooks" / "90_specimen.ipynb")


def _cell(source: str, name: str, *tags: str) -> NotebookNode:
    return new_code_cell(source, id=name, execution_count=1, metadata={"tags": list(tags)} if tags else {})


def _notebook(course: Path, chapter: str) -> Path:
    (file,) = (course / "notebooks").glob(f"{chapter}_*.ipynb")
    return file


def _read(file: Path) -> NotebookNode:
    return nbformat.read(file, as_version=4)


def _in_cell(chapter: str, name: str, change: Callable[[Any], object]) -> Change:
    """A change of one cell of a chapter's notebook."""

    def apply(course: Path) -> None:
        file = _notebook(course, chapter)
        notebook = _read(file)
        (cell,) = [cell for cell in notebook.cells if cell.id == name]
        change(cell)
        nbformat.write(notebook, file)

    return apply


def _specimen(name: str, change: Callable[[Any], object]) -> Change:
    return _in_cell("90", f"specimen-{name}", change)


def _source(text: str) -> Callable[[Any], object]:
    return lambda cell: cell.update(source=text)


def _print(old: str, new: str) -> Callable[[Any], object]:
    """Another text in what the cell printed."""

    def change(cell: Any) -> None:
        (output,) = [output for output in cell.outputs if old in output.get("text", "")]
        output.text = output.text.replace(old, new)

    return change


def _text(file: str, old: str, new: str) -> Change:
    """Another text in a file, which has the old one."""

    def apply(course: Path) -> None:
        text = (course / file).read_text()
        assert old in text, f"{file} has no {old!r}"
        (course / file).write_text(text.replace(old, new, 1))

    return apply


def _figure(statement: str) -> Change:
    """Figures of the same alt text that show something else."""

    def apply(course: Path) -> None:
        with (course / "labsupport" / "figures" / "drawing.py").open("a") as code:
            code.write("\n\n_init = Picture.__init__\n\n\ndef _other(self, figure, alt):\n    ax = figure.axes[0]\n")
            code.write(f"    {statement}\n    _init(self, figure, alt)\n\n\nPicture.__init__ = _other\n")

    return apply


def _rename(folder: str, old: str, new: str) -> Change:
    def apply(course: Path) -> None:
        (file,) = (course / folder).glob(old)
        file.rename(file.with_name(new))

    return apply


def _no_outputs(cell: Any) -> None:
    cell.outputs = []


def _stripped(cell: Any) -> None:
    cell.outputs, cell.execution_count = [], None


def _no_drawn(cell: Any) -> None:
    for output in cell.outputs:
        output.get("metadata", {}).pop("drawn", None)


def _drawn_is_other(cell: Any) -> None:
    cell.outputs[-1].metadata.drawn[0] += " and more"


def _tag(tag: str) -> Callable[[Any], object]:
    return lambda cell: cell.metadata.setdefault("tags", []).append(tag)


def _adds(*args: Any, **kwargs: Any) -> Callable[[Any], object]:
    return lambda cell: cell.outputs.append(new_output(*args, **kwargs))


def _no_alt(cell: Any) -> None:
    data = cell.outputs[-1].data
    data["text/html"] = data["text/html"].replace("alt=", "title=")


MUTATIONS = (
    Mutation("a wrong output is stored", SPECIMEN, _specimen("a", _print("NODATA", "NXDOMAIN"))),
    Mutation("an output is missing", SPECIMEN, _specimen("many", _no_outputs)),
    Mutation("a cell is stripped", SPECIMEN, _specimen("many", _stripped)),
    Mutation("a verb says something else", SPECIMEN, _text("labsupport/cluster/tables.py", ".upper()", ".lower()")),
    Mutation(
        "a zone has another address", SPECIMEN, _text("notebooks/zones/06_first.zone", "192.0.2.10", "192.0.2.11")
    ),
    Mutation("a figure has another title, and its alt text", SPECIMEN, _figure("ax.set_title('another')")),
    Mutation("a figure lacks a bar or a box", SPECIMEN, _figure("ax.patches[0].set_visible(False)")),
    Mutation("a figure has a line more", SPECIMEN, _figure("ax.plot([0, 1], [0, 1])")),
    Mutation("another figure is stored", SPECIMEN, _specimen("draws-figure", _drawn_is_other)),
    Mutation("a command fails in an ignored cell", SPECIMEN, _specimen("command", _source("!kubectl no-such-verb"))),
    Mutation("a command fails before one that does not", SPECIMEN, _specimen("command", _source("!false\n!true"))),
    Mutation("a script fails in an ignored cell", SPECIMEN, _specimen("command", _source("%%bash\nfalse"))),
    Mutation("a command that has to fail succeeds", SPECIMEN, _specimen("adopt-diff", _source("!true"))),
    Mutation("a cell raises", SPECIMEN, _specimen("serve", _source("raise ValueError"))),
    Mutation("an ignored cell raises", SPECIMEN, _specimen("command", _source("raise ValueError"))),
    Mutation("an unknown magic in an ignored cell", SPECIMEN, _specimen("command", _source("%no_such_magic"))),
    Mutation("an unknown cell magic in an ignored cell", SPECIMEN, _specimen("command", _source("%%no_such\nmagic"))),
    Mutation("a cell that has to raise does not", SPECIMEN, _specimen("raises", _source("1 / 1"))),
    Mutation("a cell ends the kernel", SPECIMEN, _specimen("command", _source("exit()"))),
    Mutation("a cell kills the kernel", SPECIMEN, _specimen("command", _source("import os\nos._exit(0)"))),
    Mutation("a rule of the sanitizer is ignored", SPECIMEN, _text("tests/sanitize.cfg", "regex: ", "regex:")),
    Mutation(
        "an output of another learner's run is stored",
        FORM,
        _in_cell("01", "begin", _print("chapter-01", "ann-chapter-01")),
    ),
    Mutation("a notebook is stripped", FORM, _in_cell("02", "begin", _stripped)),
    Mutation("what a figure draws is not stored", FORM, _in_cell("09", "talk-figure", _no_drawn)),
    Mutation("a figure has no alt text", FORM, _in_cell("09", "talk-figure", _no_alt)),
    Mutation("an output is stored unfolded", FORM, _in_cell("02", "begin", lambda cell: cell.metadata.pop("jupyter"))),
    Mutation("an unknown tag", FORM, _in_cell("02", "begin", _tag("nbval-skip"))),
    Mutation(
        "a pipeline hides a failure", FORM, _in_cell("00", "nodes-kubectl", _source("!kubectl get nodes | tail -n 3"))
    ),
    Mutation(
        "an error is stored unasked", FORM, _in_cell("02", "begin", _adds("error", ename="E", evalue="", traceback=[]))
    ),
    Mutation("a warning is stored", FORM, _in_cell("02", "begin", _adds("stream", name="stderr", text="Warning: old"))),
    Mutation(
        "an exercise is solved in the notebook",
        FORM,
        _in_cell("01", "check-1", _source('answer = 1\nlab.check("1.1", answer)')),
    ),
    Mutation("an exercise has another number", FORM, _text("notebooks/exercises/03.toml", '["3.1"]', '["3.9"]')),
    Mutation("a manifest is renamed", FORM, _rename("notebooks/manifests", "04_budget.yaml", "04_limit.yaml")),
    Mutation("a notebook is renamed", LINKS, _rename("notebooks", "05_*.ipynb", "05_roles.ipynb")),
    Mutation("a link of the README is broken", LINKS, _text("README.md", "](docs/", "](doc/")),
    Mutation(
        "a link leads to no heading",
        LINKS,
        _text("CONTRIBUTING.md", "](docs/architecture.md", "](docs/architecture.md#nowhere"),
    ),
    Mutation(
        "a script names a notebook that is not there",
        LINKS,
        _text("tools/flicker_05.py", "05_primary_", "05_primaries_"),
    ),
)
