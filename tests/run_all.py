"""What `make test` runs: every check, every test and every notebook, with a summary at the end.

The checks that only read files run beside the tests. Words after the command go to pytest, as in
`python tests/run_all.py -k dns`.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from concurrent.futures import Future, ThreadPoolExecutor
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
PYTEST = [sys.executable, "-m", "pytest", "-q"]
NBVAL = [
    *PYTEST,
    "--nbval",
    "--nbval-current-env",
    "--nbval-cell-timeout=180",
    "--nbval-sanitize-with=tests/sanitize.cfg",
    "notebooks",
]


def run(stage: Stage, *, show: bool) -> Result:
    """Run one stage to its end."""
    started = time.monotonic()
    environment = {**os.environ, "PYTHONHASHSEED": "0"}
    done = subprocess.run(
        stage.command,
        cwd=ROOT,
        env=environment,
        stdout=None if show else subprocess.PIPE,
        stderr=None if show else subprocess.STDOUT,
        text=True,
    )
    return Result(stage, done.returncode, time.monotonic() - started, "" if show else done.stdout)


def main(arguments: list[str]) -> int:
    """Run all stages; returns 0 when every one of them passed."""
    testing = [Stage("tests", [*PYTEST, *arguments]), Stage("notebooks", [*NBVAL, *arguments])]
    with ThreadPoolExecutor(max_workers=1) as beside:
        reading: list[Future[Result]] = [beside.submit(run, stage, show=False) for stage in READING]
        results = []
        for stage in testing:
            print(f"== {stage.name}", flush=True)
            results.append(run(stage, show=True))
        results = [future.result() for future in reading] + results
    for result in results:
        if result.code and result.output:
            print(f"== {result.stage.name}\n{result.output}")
    print("== summary")
    for result in results:
        print(f"{'ok    ' if result.code == 0 else 'FAILED'}  {result.stage.name:14} {result.seconds:6.1f} s")
    failed = [r.stage.name for r in results if r.code]
    print(f"{len(results) - len(failed)} passed, {len(failed)} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
