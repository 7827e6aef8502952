"""nbval with this project's conftest: each trap, as a notebook of its own, has to fail; a good notebook passes."""

from __future__ import annotations

import shutil
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import nbformat
import pytest
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_notebook, new_output

CONFTEST = Path(__file__).resolve().parents[2] / "conftest.py"
NEVER = 300  # seconds; far more than what a run takes
CELL_TIMEOUT = 5

IGNORED, RAISES, COMMAND_FAILS = "nbval-ignore-output", "raises-exception", "command-fails"

# A figure as the course's own: its alt text is compared by nbval, what it draws only by the metadata.
FIGURE = """
class Figure:
    def _repr_mimebundle_(self, **_):
        return {{"text/plain": "figure: two bars"}}, {{"drawn": ["bar 0 to {length}"]}}
Figure()
"""


def cell(
    name: str,
    source: str,
    printed: str = "",
    *,
    result: str = "",
    drawn: tuple[str, ...] = (),
    tags: tuple[str, ...] = (),
    run: bool = True,
) -> NotebookNode:
    """A stored code cell that printed a text, or whose last expression was shown as `result`."""
    outputs = [new_output("stream", name="stdout", text=printed)] if printed else []
    if result:
        data, told = {"text/plain": result}, {"drawn": list(drawn)} if drawn else {}
        outputs.append(new_output("execute_result", data=data, execution_count=1, metadata=told))
    metadata = {"tags": list(tags)} if tags else {}
    return new_code_cell(source, id=name, outputs=outputs, metadata=metadata, execution_count=1 if run else None)


SUBPROCESS = "import subprocess\n_ = subprocess.run(['echo', 'below'])"
GOOD = [
    cell("result", "6 * 7", result="42"),
    cell("history", "print(Out[1], _1)", "42 42\n"),
    cell("printed", "print('hello')", "hello\n"),
    cell("raised", "1 / 0", tags=(RAISES, IGNORED)),
    cell("subprocess", SUBPROCESS, "below\n"),
    cell("command", "word = 'heard'\n!echo {word}", "heard\r\n"),
    cell("command-fails", "!false", tags=(COMMAND_FAILS,)),
    cell("command-again", "!true"),
    cell("figure", FIGURE.format(length=2), result="figure: two bars", drawn=("bar 0 to 2",)),
]
BAD = {
    "expected nothing more, found 'below'": cell("subprocess-unseen", SUBPROCESS),
    "nothing is stored for this cell": cell("stripped", "print('whatever')", run=False),
    "`%nosuchmagic` not found": cell("unknown-magic", "%nosuchmagic\nprint('not reached')", tags=(IGNORED,)),
    "`%%nosuchmagic` not found": cell("unknown-cell-magic", "%%nosuchmagic\nprint('not reached')", tags=(IGNORED,)),
    "nothing was raised": cell("not-raised", "print('all is well')", tags=(RAISES, IGNORED)),
    "NameError: name 'missing' is not defined": cell("raised-unasked", "missing", tags=(IGNORED,)),
    "expected 'old', found 'new'": cell("other-output", "print('new')", "old\n"),
    "Command 'exit 3' returned non-zero exit status 3": cell("failing-command", "!exit 3", tags=(IGNORED,)),
    "Command 'exit 4' returned non-zero exit status 4": cell("failing-first", "!exit 4\n!true", tags=(IGNORED,)),
    "returned non-zero exit status 5": cell("failing-script", "%%bash\nexit 5", tags=(IGNORED,)),
    "its last command succeeded": cell("not-failing", "!true", tags=(COMMAND_FAILS,)),
    "expected 'bar 0 to 2', found 'bar 0 to 3'": cell(
        "other-figure", FIGURE.format(length=3), result="figure: two bars", drawn=("bar 0 to 2",)
    ),
    "the cell ends the kernel": cell("exit", "exit()", tags=(IGNORED,)),  # the last: the kernel is gone
}
ENDLESS = [cell("endless", "import time\ntime.sleep(1000)"), cell("after-endless", "print('after')", "after\n")]
DEAD = [cell("dead-kernel", "import os\nos._exit(1)"), cell("after-dead", "print('after')", "after\n")]
NOTEBOOKS = {"cells": [*GOOD, *BAD.values()], "endless": ENDLESS, "dead": DEAD}

Outcomes = dict[str, tuple[str, str]]


def run(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """Run nbval on the notebooks of a folder, as `make test` does."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", str(folder), "--nbval"]
    return subprocess.run([*command, *options, str(folder)], cwd=folder, capture_output=True, text=True, timeout=NEVER)


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> Outcomes:
    """For each cell its outcome ("passed", "failed", "skipped") with the message, from one run."""
    folder = tmp_path_factory.mktemp("traps")
    shutil.copy(CONFTEST, folder)
    for name, cells in NOTEBOOKS.items():
        nbformat.write(new_notebook(cells=cells), folder / f"{name}.ipynb")
    done = run(folder, f"--nbval-cell-timeout={CELL_TIMEOUT}", "--junitxml=report.xml")
    report = folder / "report.xml"
    assert report.exists(), done.stdout + done.stderr
    ended = {}
    for case in ElementTree.parse(report).iter("testcase"):
        worst = next((child for child in case if child.tag in ("failure", "error", "skipped")), None)
        state = {None: "passed", "failure": "failed", "error": "failed", "skipped": "skipped"}
        text = f"{worst.get('message')} {worst.text}" if worst is not None else ""
        ended[case.get("name", "").partition(" ")[0]] = state[worst.tag if worst is not None else None], text
    return ended


@pytest.mark.parametrize("name", [good.id for good in GOOD])
def test_what_works_in_jupyterlab_passes(name: str, outcomes: Outcomes) -> None:
    assert outcomes[name] == ("passed", "")


TRAPS = {"the kernel died": DEAD[0], "Kernel dead": DEAD[1], f"Timeout of {CELL_TIMEOUT} seconds": ENDLESS[0], **BAD}


@pytest.mark.parametrize(("said", "trap"), TRAPS.items(), ids=[trap.id for trap in TRAPS.values()])
def test_a_trap_fails_and_says_why(said: str, trap: NotebookNode, outcomes: Outcomes) -> None:
    state, text = outcomes[trap.id]
    assert state == "failed" and said in text, text
    assert "\x1b" not in text and "#x1B" not in text, "colour codes"


def test_a_failure_names_the_cell_by_its_id_and_as_jupyterlab_counts_it(outcomes: Outcomes) -> None:
    number = NOTEBOOKS["cells"].index(BAD["expected 'old', found 'new'"]) + 1
    assert f"cells.ipynb, cell other-output [{number}]: " in outcomes["other-output"][1]


def test_after_a_cell_without_end_nothing_of_the_notebook_runs(outcomes: Outcomes) -> None:
    assert outcomes["after-endless"][0] == "skipped"


@pytest.mark.parametrize(
    "rule", ["regex:[0-9]+\nreplace: N\n", "regex: [0-9]+\nreplace:N\n", "regex: [0-9]+\n# why\nreplace: N\n"]
)
def test_a_sanitize_rule_that_would_be_ignored_stops_the_run(rule: str, tmp_path: Path) -> None:
    shutil.copy(CONFTEST, tmp_path)
    (tmp_path / "sanitize.cfg").write_text("[numbers]\n" + rule)
    done = run(tmp_path, "--nbval-sanitize-with=sanitize.cfg")
    assert done.returncode == 4 and "nbval reads 0 of its 1 rules" in done.stderr, done.stdout + done.stderr


def test_without_options_nbval_takes_the_courses(tmp_path: Path) -> None:
    shutil.copy(CONFTEST, tmp_path)
    (tmp_path / "tests").mkdir()
    shutil.copy(CONFTEST.parent / "tests" / "sanitize.cfg", tmp_path / "tests")
    source = "import os, sys\nprint(sys.executable, os.environ['PYTHONHASHSEED'], 'ann-chapter-01')"
    notebook = new_notebook(cells=[cell("plain", source, f"{sys.executable} 0 chapter-01\n")])
    notebook.metadata["kernelspec"] = {"name": "no-such-kernel", "display_name": "none"}
    nbformat.write(notebook, tmp_path / "plain.ipynb")
    command = [sys.executable, "-m", "pytest", "-q", "--rootdir", str(tmp_path), "--nbval", "plain.ipynb"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=NEVER)
    assert done.returncode == 0, done.stdout + done.stderr
