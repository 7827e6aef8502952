"""Is the suite as sharp as it looks? Break the course in many small ways, and see whether a test catches each.

    python -m tools.mutations [words that a mutation's name has]

Each mutation is made in a copy of the repository, and the check that has to catch it is run there. At the end comes a
table; the exit code is 1 when something was not caught, or when a check fails without any mutation.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from tools import mutated_answers
from tools.chapters import ROOT
from tools.mutation_list import CHECKS, MUTATIONS, SPECIMEN, Mutation, make_specimen

LEFT_OUT = shutil.ignore_patterns(".git", ".venv", ".lab", ".*_cache", "__pycache__", "*.egg-info")
PYTEST = [sys.executable, "-m", "pytest", "-q", "-x", "--color=no", "-p", "no:cacheprovider", "-p", "no:schemathesis"]


@dataclass(frozen=True)
class Outcome:
    """What became of a mutation: what has caught it, or nothing."""

    name: str
    caught_by: str

    @property
    def row(self) -> str:
        """A line of the table."""
        return f"{'yes' if self.caught_by else 'NO ':3}  {self.name:58}  {self.caught_by or 'nothing'}"


def scratch_copy(folder: Path) -> Path:
    """A copy of the repository in a folder."""
    return Path(shutil.copytree(ROOT, folder / "course", ignore=LEFT_OUT))


def run_pytest(course: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Run pytest in a copy, on the copy's own packages and with a state of its own."""
    environment = {**os.environ, "PYTHONPATH": str(course), "LAB_STATE": str(course / ".lab")}
    return subprocess.run([*PYTEST, *words], cwd=course, env=environment, capture_output=True, text=True)


def outcome(mutation: Mutation) -> Outcome:
    """Make a mutation in a copy, and run its check there."""
    with tempfile.TemporaryDirectory(prefix="mutation-") as folder:
        course = scratch_copy(Path(folder))
        if mutation.check == SPECIMEN:
            make_specimen(course)
        mutation.change(course)
        done = run_pytest(course, *CHECKS[mutation.check])
    return Outcome(mutation.name, _first_failure(done) if done.returncode else "")


def baseline(check: str) -> str:
    """What a check says where nothing is mutated, as far as it fails: then it catches nothing."""
    with tempfile.TemporaryDirectory(prefix="mutation-") as folder:
        course = scratch_copy(Path(folder))
        if check == SPECIMEN:
            make_specimen(course)
        done = run_pytest(course, *CHECKS[check])
    return done.stdout + done.stderr if done.returncode else ""


def _first_failure(done: subprocess.CompletedProcess[str]) -> str:
    """The test that has failed, or the error that has ended the run."""
    lines = (done.stdout + done.stderr).splitlines()
    marked = [line for line in lines if line.startswith(("FAILED ", "ERROR ", "ERROR: "))]
    return marked[0].removeprefix("FAILED ").partition(" - ")[0] if marked else f"exit code {done.returncode}"


def main(words: Sequence[str]) -> int:
    """Run all mutations, or those whose names have the words in them; returns 0 when all were caught."""
    chosen = [m for m in MUTATIONS if all(word in m.name for word in words)]
    checks = sorted({mutation.check for mutation in chosen})
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for check, failure in zip(checks, pool.map(baseline, checks), strict=True):
            if failure:
                print(f"the check {check!r} fails without any mutation:\n{failure}")
                return 1
        outcomes = []
        for done in pool.map(outcome, chosen):
            print(done.row, flush=True)
            outcomes.append(done)
    if all(word in mutated_answers.NAME for word in words):
        with tempfile.TemporaryDirectory(prefix="mutation-") as folder:
            course = scratch_copy(Path(folder))
            survivors = mutated_answers.survivors(course, lambda *more: run_pytest(course, *more))
        for number, caught_by in survivors.items():
            outcomes.append(Outcome(f"{mutated_answers.NAME} {number}", caught_by))
            print(outcomes[-1].row, flush=True)
    missed = [done for done in outcomes if not done.caught_by]
    print(f"{len(outcomes) - len(missed)} of {len(outcomes)} mutations are caught")
    return 1 if missed or not outcomes else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
