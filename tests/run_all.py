"""What `make test` runs: every check, every test and every notebook, with a summary at the end.

The notebooks run on a cluster of their own, of the kind that CLUSTER names; the lab that you work with is left
alone. They mostly wait, so they and the checks that only read files run beside the tests. Words after the command
go to pytest, as in `python tests/run_all.py -k dns`.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BIN = Path(sys.executable).parent


@dataclass(frozen=True)
class Stage:
    """One command of the run."""

    name: str
    command: list[str]


@dataclass(frozen=True)
class Result:
    """How a stage ended."""

    stage: Stage
    code: int
    seconds: float
    output: str  # empty when it was shown as it came


READING = [
    Stage("style", [f"{BIN}/ruff", "check", "."]),
    Stage("format", [f"{BIN}/ruff", "format", "--check", "."]),
    Stage("types", [f"{BIN}/mypy"]),
    Stage("import layers", [f"{BIN}/lint-imports"]),
]
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


def run(stage: Stage, *, show: bool, state: Path | None = None) -> Result:
    """Run one stage to its end; `state` is the state directory of the lab that it works on."""
    started = time.monotonic()
    environment = {**os.environ, "PYTHONHASHSEED": "0", **({"LAB_STATE": str(state)} if state else {})}
    done = subprocess.run(
        stage.command,
        cwd=ROOT,
        env=environment,
        stdout=None if show else subprocess.PIPE,
        stderr=None if show else subprocess.STDOUT,
        text=True,
    )
    code = 0 if done.returncode == NOTHING_SELECTED and "-k" in stage.command else done.returncode
    return Result(stage, code, time.monotonic() - started, "" if show else done.stdout)


def on_a_lab(stage: Stage) -> list[Result]:
    """Start a lab in a directory that is thrown away, run the stage on it, and take it down."""
    with tempfile.TemporaryDirectory(prefix="lab-test-") as directory:
        state = Path(directory, "state")
        results = [run(Stage("lab up", [f"{BIN}/lab", "up"]), show=False, state=state)]
        try:
            if results[0].code == 0:
                results.append(run(stage, show=False, state=state))
        finally:
            results.append(run(Stage("lab down", [f"{BIN}/lab", "down"]), show=False, state=state))
    return results


def main(arguments: list[str]) -> int:
    """Run all stages; returns 0 when every one of them passed."""
    tests, notebooks = Stage("tests", [*PYTEST, *arguments]), Stage("notebooks", [*NBVAL, *arguments])
    with ThreadPoolExecutor(max_workers=1) as beside:
        on_cluster = beside.submit(on_a_lab, notebooks)
        reading = [beside.submit(run, stage, show=False) for stage in READING]
        print("== tests (the notebooks run beside them, and are told afterwards)", flush=True)
        results = [run(tests, show=True)]
        results += on_cluster.result()
        results = [future.result() for future in reading] + results
    for result in results:
        if result.output and (result.code or result.stage is notebooks):
            print(f"== {result.stage.name}\n{result.output}")
    print("== summary")
    for result in results:
        print(f"{'ok    ' if result.code == 0 else 'FAILED'}  {result.stage.name:14} {result.seconds:6.1f} s")
    failed = [r.stage.name for r in results if r.code]
    print(f"{len(results) - len(failed)} passed, {len(failed)} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
