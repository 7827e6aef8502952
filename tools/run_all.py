"""What `make test` runs: every check, every test and every notebook, with a summary at the end.

The tests come in parts, since most of them wait for a cluster: one part more than there are cores runs at a time,
the longest first. Each part has a lab of its own, and the notebooks have one of the kind that CLUSTER names; the lab
that you work with is left alone. Words after the command go to pytest, as in `python tools/run_all.py -k dns`.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BIN = Path(sys.executable).parent


@dataclass(frozen=True)
class Stage:
    """One command of the run."""

    name: str
    command: list[str]
    on_a_lab: bool = False  # whether a lab is started for it, and taken down behind it


@dataclass(frozen=True)
class Result:
    """How a stage ended."""

    stage: Stage
    code: int
    seconds: float
    output: str


NOTHING_SELECTED = 5  # pytest's exit code when -k leaves no test
PYTEST = [sys.executable, "-m", "pytest", "-q"]
NBVAL = [
    *PYTEST,
    "--nbval",
    "--nbval-current-env",
    "--nbval-cell-timeout=180",
    "--nbval-sanitize-with=tests/sanitize.cfg",
    "notebooks",
]
READING = [
    Stage("style", [f"{BIN}/ruff", "check", "."]),
    Stage("format", [f"{BIN}/ruff", "format", "--check", "."]),
    Stage("types", [f"{BIN}/mypy"]),
    Stage("import layers", [f"{BIN}/lint-imports"]),
]
PARTS = ["cluster", "current", "labcluster", "facts", "kind"]  # folders of tests/; what is beside them is a part, too


def stages(arguments: list[str]) -> list[Stage]:
    """All stages, the longest first, and early those that say soon what is wrong; `arguments` go to pytest."""
    parts = [Stage(f"tests/{part}", [*PYTEST, f"tests/{part}", *arguments]) for part in PARTS]
    others = [*PYTEST, "tests", *(f"--ignore=tests/{part}" for part in PARTS), *arguments]
    notebooks = Stage("notebooks", [*NBVAL, *arguments], on_a_lab=True)
    cluster, *rest = parts
    return [cluster, notebooks, *READING, *rest, Stage("tests, others", others)]


def run(stage: Stage, state: Path | None = None) -> Result:
    """Run one stage to its end; `state` is the state directory of the lab that it works on."""
    started = time.monotonic()
    environment = {**os.environ, "PYTHONHASHSEED": "0", **({"LAB_STATE": str(state)} if state else {})}
    done = subprocess.run(
        stage.command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    code = 0 if done.returncode == NOTHING_SELECTED and "-k" in stage.command else done.returncode
    return Result(stage, code, time.monotonic() - started, done.stdout)


def run_with_its_lab(stage: Stage) -> list[Result]:
    """Run a stage; where it wants a lab, start one in a directory that is thrown away, and take it down."""
    if not stage.on_a_lab:
        return [run(stage)]
    with tempfile.TemporaryDirectory(prefix="lab-test-") as directory:
        state = Path(directory, "state")
        results = [run(Stage("lab up", [f"{BIN}/lab", "up"]), state)]
        try:
            if results[0].code == 0:
                results.append(run(stage, state))
        finally:
            results.append(run(Stage("lab down", [f"{BIN}/lab", "down"]), state))
    return results


def finished(begun: list[Future[list[Result]]]) -> list[Result]:
    """The results of all stages, each told when it is there: what a stage that failed has said, or its last line."""
    results = []
    for future in as_completed(begun):
        for result in future.result():
            results.append(result)
            said = result.output.rstrip()
            last = said.rpartition("\n")[2]
            if result.code:
                print(f"== FAILED {result.stage.name}\n{said}", flush=True)
            elif not result.stage.name.startswith("lab "):
                print(f"== ok {result.stage.name}: {last}", flush=True)
    return results


def main(arguments: list[str]) -> int:
    """Run all stages; returns 0 when every one of them passed."""
    at_once = (os.cpu_count() or 1) + 1
    planned = stages(arguments)
    names = ", ".join(stage.name for stage in planned)
    print(f"== {names}: {at_once} at a time, each is told when it ends", flush=True)
    with ThreadPoolExecutor(at_once) as pool:
        try:
            results = finished([pool.submit(run_with_its_lab, stage) for stage in planned])
        except BaseException:  # Ctrl-C has reached what runs, too; nothing more is begun
            pool.shutdown(cancel_futures=True)
            raise
    print("== summary")
    for result in results:
        print(f"{'FAILED' if result.code else 'ok    '}  {result.stage.name:14} {result.seconds:6.1f} s")
    failed = [r.stage.name for r in results if r.code]
    print(f"{len(results) - len(failed)} passed, {len(failed)} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
