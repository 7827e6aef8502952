"""nbval with this project's conftest: each trap, as a notebook of its own, has to fail; a good notebook passes."""

from __future__ import annotations

import shutil
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook, new_output

CONFTEST = Path(__file__).resolve().parents[2] / "conftest.py"
NEVER = 60  # seconds; far more than what any of these cells takes
CELL_TIMEOUT = 5

IGNORED, RAISES = "nbval-ignore-output", "raises-exception"


def cell(source: str, printed: str = "", *, result: str = "", tags: tuple[str, ...] = (), run: bool = True):
    """A stored code cell that printed a text, or whose last expression was shown as `result`."""
    outputs = [new_output("stream", name="stdout", text=printed)] if printed else []
    if result:
        outputs.append(new_output("execute_result", data={"text/plain": result}, execution_count=1))
    metadata = {"tags": list(tags)} if tags else {}
    return new_code_cell(source, outputs=outputs, metadata=metadata, execution_count=1 if run else None)


NOTEBOOKS = {
    "good": [cell("print('hello')", "hello\n"), cell("1 + 1", result="2"), cell("1 / 0", tags=(RAISES, IGNORED))],
    "history": [cell("6 * 7", result="42"), cell("print(Out[1], _1)", "42 42\n")],
    "subprocess": [cell("import subprocess\n_ = subprocess.run(['echo', 'below'])", "below\n")],
    "subprocess_unseen": [cell("import subprocess\n_ = subprocess.run(['echo', 'below'])")],
    "stripped": [cell("print('whatever')", run=False)],
    "unknown_magic": [cell("%nosuchmagic\nprint('not reached')", tags=(IGNORED,))],
    "unknown_cell_magic": [cell("%%nosuchmagic\nprint('not reached')", tags=(IGNORED,))],
    "not_raised": [cell("print('all is well')", tags=(RAISES, IGNORED))],
    "dead_kernel": [cell("import os\nos._exit(1)"), cell("print('after')", "after\n")],
    "endless": [cell("import time\ntime.sleep(1000)"), cell("print('after')", "after\n")],
    "other_output": [cell("print('new')", "old\n")],
}


def run(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """Run nbval on the notebooks of a folder, as `make test` does."""
    return subprocess.run(
        [
            sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", str(folder), "--nbval",
            "--nbval-current-env", f"--nbval-cell-timeout={CELL_TIMEOUT}", *options, str(folder),
        ],
        cwd=folder, capture_output=True, text=True, timeout=3 * NEVER,
    )  # fmt: skip


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[tuple[str, str]]]:
    """For each notebook its cells' outcomes ("passed", "failed", "skipped") with the message, from one run."""
    folder = tmp_path_factory.mktemp("traps")
    shutil.copy(CONFTEST, folder)
    for name, cells in NOTEBOOKS.items():
        nbformat.write(new_notebook(cells=cells), folder / f"{name}.ipynb")
    done = run(folder, "--junitxml=report.xml")
    report = folder / "report.xml"
    assert report.exists(), done.stdout + done.stderr
    found: dict[str, list[tuple[str, str]]] = {name: [] for name in NOTEBOOKS}
    for case in ElementTree.parse(report).iter("testcase"):
        name = case.get("classname", "").removesuffix(".ipynb").rpartition(".")[2]
        worst = next((child for child in case if child.tag in ("failure", "error", "skipped")), None)
        state = {None: "passed", "failure": "failed", "error": "failed", "skipped": "skipped"}
        text = f"{worst.get('message')} {worst.text}" if worst is not None else ""
        found[name].append((state[worst.tag if worst is not None else None], text))
    return found


@pytest.mark.parametrize("name", ["good", "history", "subprocess"])
def test_what_works_in_jupyterlab_passes(name: str, outcomes: dict[str, list[tuple[str, str]]]) -> None:
    assert [state for state, _ in outcomes[name]] == ["passed"] * len(NOTEBOOKS[name]), outcomes[name]


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("subprocess_unseen", "Unexpected output fields"),
        ("stripped", "nothing is stored for this cell"),
        ("unknown_magic", "nosuchmagic"),
        ("unknown_cell_magic", "nosuchmagic"),
        ("not_raised", "nothing was raised"),
        ("dead_kernel", "the kernel died"),
        ("endless", "Timeout of 5 seconds exceeded"),
        ("other_output", "Cell outputs differ"),
    ],
)
def test_a_trap_fails_and_says_why(name: str, said: str, outcomes: dict[str, list[tuple[str, str]]]) -> None:
    state, text = outcomes[name][0]
    assert state == "failed" and said in text, outcomes[name]


def test_after_a_cell_without_end_nothing_of_the_notebook_runs(outcomes: dict[str, list[tuple[str, str]]]) -> None:
    assert outcomes["endless"][1][0] == "skipped"


def test_after_a_dead_kernel_every_cell_fails(outcomes: dict[str, list[tuple[str, str]]]) -> None:
    assert outcomes["dead_kernel"][1][0] == "failed"


@pytest.mark.parametrize(
    "rule", ["regex:[0-9]+\nreplace: N\n", "regex: [0-9]+\nreplace:N\n", "regex: [0-9]+\n# why\nreplace: N\n"]
)
def test_a_sanitize_rule_that_would_be_ignored_stops_the_run(rule: str, tmp_path: Path) -> None:
    shutil.copy(CONFTEST, tmp_path)
    (tmp_path / "sanitize.cfg").write_text("[numbers]\n" + rule)
    done = run(tmp_path, "--nbval-sanitize-with=sanitize.cfg")
    assert done.returncode == 4 and "nbval reads 0 of its 1 rules" in done.stderr, done.stdout + done.stderr
