"""`lab test`: on the lab's cluster or one of its own, told in words, with a report, and nothing left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook, new_output

from tests.running_lab import BIN, RunningLab
from tools import run_chapters
from tools.mutations import scratch_copy

LONG = 300  # seconds; far more than any of these runs takes


def cell(name: str, source: str, printed: str) -> nbformat.NotebookNode:
    outputs = [new_output("stream", name="stdout", text=printed)]
    return new_code_cell(source, id=name, execution_count=1, outputs=outputs)


@pytest.fixture(scope="module")
def course(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the course with notebooks that take no time: 90 passes and says which lab it is on, 91 does not."""
    copy = scratch_copy(tmp_path_factory.mktemp("copy"))
    where = "import os\nprint(os.path.exists(os.environ['LAB_STATE'] + '/kubeconfig'))"
    notebooks = {
        "90_passes": [cell("where", where, "True\n")],
        "91_fails": [cell("good", "print('a < b')", "a < b\n"), cell("bad", "print('new')", "<old>\n")],
        "92_waits": [cell("waits", "open('waits', 'w').close()\nimport time\ntime.sleep(1000)", "")],
    }
    for name, cells in notebooks.items():
        nbformat.write(new_notebook(cells=cells), copy / "notebooks" / f"{name}.ipynb")
    return copy


def environment(course: Path, lab: RunningLab) -> dict[str, str]:
    """That of commands in the copy, with a folder of their own for what is temporary."""
    (course / "tmp").mkdir(exist_ok=True)
    return {**lab.environment, "PYTHONPATH": str(course), "TMPDIR": str(course / "tmp")}


def lab_test(course: Path, lab: RunningLab, *words: str) -> subprocess.CompletedProcess[str]:
    command = [BIN / "lab", "test", *words]
    return subprocess.run(
        command, cwd=course, env=environment(course, lab), capture_output=True, text=True, timeout=LONG
    )


@pytest.fixture
def absent(tmp_path: Path) -> RunningLab:
    """A lab that was never started."""
    return RunningLab(tmp_path / "state")


def test_on_a_cluster_of_its_own_where_the_lab_is_not_up(course: Path, absent: RunningLab) -> None:
    done = lab_test(course, absent, "90")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "starting a cluster for this run" in done.stdout
    assert "90_passes: 1 passed" in done.stdout
    assert not absent.state.exists() and not list((course / "tmp").glob("lab-*")), "nothing is left"


def test_on_the_labs_cluster_with_a_failure_in_words_and_a_report(
    course: Path, cluster: RunningLab, tmp_path: Path
) -> None:
    done = lab_test(course, cluster, "90", "91", "--report", str(tmp_path / "report"))
    assert done.returncode == 1
    assert "On the lab's cluster (embedded)." in done.stdout
    assert "91_fails.ipynb, cell bad [2]: Cell outputs differ" in done.stdout
    assert "expected '<old>', found 'new'" in done.stdout
    assert "  failed: bad [2]" in done.stdout
    assert "\x1b" not in done.stdout, "colour codes, and this is no terminal"
    page = (tmp_path / "report" / "index.html").read_text()
    assert "expected &#x27;&lt;old&gt;&#x27;, found &#x27;new&#x27;" in page
    assert "<old>" not in page
    assert 'name="bad [2]"' in (tmp_path / "report" / "notebooks.xml").read_text()


def test_plain_pytest_has_the_same_verdict(course: Path, cluster: RunningLab) -> None:
    command = [sys.executable, "-m", "pytest", "--nbval", "-q", "notebooks/90_passes.ipynb", "notebooks/91_fails.ipynb"]
    done = subprocess.run(
        command, cwd=course, env=environment(course, cluster), capture_output=True, text=True, timeout=LONG
    )
    assert done.returncode == 1
    assert "91_fails.ipynb::bad [2]" in done.stdout and "1 failed, 2 passed" in done.stdout


def test_an_ended_run_takes_its_cluster_down(course: Path, absent: RunningLab) -> None:
    waits = course / "notebooks" / "waits"
    command = [BIN / "lab", "test", "92"]
    with subprocess.Popen(
        command, cwd=course, env=environment(course, absent), stderr=subprocess.PIPE, text=True
    ) as run:
        deadline = time.monotonic() + LONG
        while not waits.exists():  # nothing tells when another process has made a file
            assert time.monotonic() < deadline and run.poll() is None
            time.sleep(0.05)
        run.send_signal(signal.SIGINT)
        _, errors = run.communicate(timeout=LONG)
    assert run.returncode == run_chapters.INTERRUPTED
    assert "ended before all was run" in errors
    assert not list((course / "tmp").glob("lab-*")), "nothing is left"


def test_a_chapter_that_is_not_there_is_answered_with_those_that_are(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_chapters.main(["99"]) == 1
    assert "lab: there is no chapter 99. There are: 00, 01," in capsys.readouterr().err


def test_an_environment_without_the_tests_packages_says_how_to_get_them(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(run_chapters, "NEEDED", ("pytest", "no_such_package"))
    assert run_chapters.main(["00"]) == 1
    assert (
        capsys.readouterr().err == "lab: no_such_package is not installed. `make env-test` does it; then try again.\n"
    )


def test_a_lab_that_does_not_start_is_told_in_its_own_words(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    lab = tmp_path / "lab"
    lab.write_text("#!/bin/sh\n[ $1 = up ] && echo 'lab: the kernel refused.' >&2 && exit 1\nexit 0\n")
    lab.chmod(0o755)
    monkeypatch.setattr(run_chapters, "LAB", lab)
    monkeypatch.setenv("LAB_STATE", str(tmp_path / "state"))
    assert run_chapters.main(["00"]) == 1
    assert capsys.readouterr().err == "lab: the kernel refused.\n"
    assert not os.path.exists(tmp_path / "state")
