"""What `make test` runs: every check, every test and every notebook, with a summary at the end.

The tests come in parts, since most of them wait for a cluster: one part more than there are cores runs at a time,
the longest first. Each part has a lab of its own, and the notebooks have one of the kind that CLUSTER names; the lab
that you work with is left alone. Where no lab can start here, the reason is told once, and what needs none is run.
Ended by Ctrl-C or SIGTERM, it ends what it has begun.

    python -m tools.run_all [--report DIR] [words for pytest, as in: -k dns]

--report keeps each part's output and its JUnit file in DIR.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import NoReturn

from tools.durations import slowest

ROOT = Path(__file__).resolve().parent.parent
BIN = Path(sys.executable).parent


@dataclass(frozen=True)
class Stage:
    """One command of the run."""

    name: str
    command: list[str]
    on_a_lab: bool = False  # whether a lab is started for it, and taken down behind it
    is_pytest: bool = False


@dataclass(frozen=True)
class Result:
    """How a stage ended."""

    stage: Stage
    code: int
    seconds: float
    output: str


NOTHING_SELECTED = 5  # pytest's exit code when -k leaves no test
NO_LAB = "LAB_CANNOT_START"  # environment variable: why; tests that start a lab are skipped then
PROGRAMS = "programs.txt"  # among the reports: the programs of the system that tests have started
PATIENCE = 60.0  # seconds that a command has to clean up when the run is ended
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


def stages(arguments: Sequence[str]) -> list[Stage]:
    """All stages, the longest first, and early those that say soon what is wrong; `arguments` go to pytest."""
    parts = [Stage(f"tests/{part}", [*PYTEST, f"tests/{part}", *arguments], is_pytest=True) for part in PARTS]
    others = [*PYTEST, "tests", *(f"--ignore=tests/{part}" for part in PARTS), *arguments]
    notebooks = Stage("notebooks", [*NBVAL, *arguments], on_a_lab=True, is_pytest=True)
    cluster, *rest = parts
    return [cluster, notebooks, *READING, *rest, Stage("tests, others", others, is_pytest=True)]


@dataclass
class Run:
    """A whole run: its reports, the processes that it has begun, and why no lab can start, if so."""

    reports: Path
    no_lab: str = ""
    _running: set[subprocess.Popen[str]] = field(default_factory=set)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _ending: bool = False

    def command(self, stage: Stage, state: Path | None = None) -> Result:
        """Run one stage to its end; `state` is the state directory of the lab that it works on."""
        started = time.monotonic()
        environment = {**os.environ, "PYTHONHASHSEED": "0", "SYSTEM_PROGRAMS": str(self.reports / PROGRAMS)}
        environment |= {"LAB_STATE": str(state)} if state else {}
        environment |= {NO_LAB: self.no_lab} if self.no_lab else {}
        name = stage.name.replace("/", "-").replace(", ", "-").replace(" ", "-")
        junit = [f"--junitxml={self.reports / name}.xml"] if stage.is_pytest else []
        with self._lock:
            if self._ending and stage.name != "lab down":
                return Result(stage, 130, 0.0, "not begun: the run was ended")
            process = subprocess.Popen(
                [*stage.command, *junit],
                cwd=ROOT,
                env=environment,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                start_new_session=True,  # a Ctrl-C comes to it from here, once, and not from the terminal as well
            )
            self._running.add(process)
        try:
            output, _ = process.communicate()
        finally:
            with self._lock:
                self._running.discard(process)
        (self.reports / f"{name}.txt").write_text(output)
        code = 0 if process.returncode == NOTHING_SELECTED and "-k" in stage.command else process.returncode
        return Result(stage, code, time.monotonic() - started, output)

    def stage(self, stage: Stage) -> list[Result]:
        """Run a stage; where it wants a lab, start one in a directory that is thrown away, and take it down."""
        if not stage.on_a_lab:
            return [self.command(stage)]
        if self.no_lab and os.environ.get("CLUSTER", "auto") in ("", "auto", "embedded"):
            return [Result(stage, 1, 0.0, f"not run, since no lab can start here: {self.no_lab}")]
        with tempfile.TemporaryDirectory(prefix="lab-test-") as directory:
            state = Path(directory, "state")
            results = [self.command(Stage("lab up", [f"{BIN}/lab", "up"]), state)]
            try:
                if results[0].code == 0:
                    results.append(self.command(stage, state))
            finally:
                results.append(self.command(Stage("lab down", [f"{BIN}/lab", "down"]), state))
        return results

    def end(self) -> None:
        """Let everything that runs clean up and end: a Ctrl-C for each, and after `PATIENCE` seconds SIGKILL."""
        with self._lock:
            self._ending = True
            running = list(self._running)
        for process in running:
            _signal_group(process, signal.SIGINT)
        deadline = time.monotonic() + PATIENCE
        for process in running:
            try:
                process.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                _signal_group(process, signal.SIGKILL)


def _signal_group(process: subprocess.Popen[str], number: int) -> None:
    """Send a signal to a process and to those of its children that have not left its group."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, number)


def why_no_lab() -> str:
    """Start an embedded lab, as the tests do, and take it down; returns why that failed, or ""."""
    with tempfile.TemporaryDirectory(prefix="lab-test-") as directory:
        environment = {**os.environ, "LAB_STATE": str(Path(directory, "state")), "CLUSTER": "embedded"}
        up = subprocess.run([f"{BIN}/lab", "up"], cwd=ROOT, env=environment, capture_output=True, text=True)
        subprocess.run([f"{BIN}/lab", "down"], cwd=ROOT, env=environment, capture_output=True)
    return "" if up.returncode == 0 else up.stderr.strip().removeprefix("lab: ")


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


def summary(results: list[Result], reports: Path) -> None:
    """Print what of the system was used, the slowest tests and cells, and how each stage ended."""
    names = (reports / PROGRAMS).read_text().split() if (reports / PROGRAMS).exists() else []
    print(f"== programs of the system that tests have started: {', '.join(sorted(set(names))) or 'none'}")
    print("== the slowest")
    for name, seconds in slowest(reports, 10):
        print(f"{seconds:7.1f} s  {name}")
    print("== summary")
    for result in results:
        print(f"{'FAILED' if result.code else 'ok    '}  {result.stage.name:14} {result.seconds:6.1f} s")


def main(arguments: list[str]) -> int:
    """Run all stages; returns 0 when every one of them passed."""
    parser = argparse.ArgumentParser(prog="python -m tools.run_all", description="Run every check, test and notebook.")
    parser.add_argument("--report", type=Path, help="a directory for each part's output and JUnit file")
    options, words = parser.parse_known_args(arguments)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell has its background jobs ignore it
    signal.signal(signal.SIGTERM, _as_ctrl_c)
    with tempfile.TemporaryDirectory(prefix="lab-reports-") as scratch:
        reports = options.report.absolute() if options.report else Path(scratch)
        reports.mkdir(parents=True, exist_ok=True)
        return _run(stages(words), reports)


def _run(planned: list[Stage], reports: Path) -> int:
    run = Run(reports, why_no_lab())
    if run.no_lab:
        print(f"== no lab can start here, so what needs one is not run:\n{run.no_lab}", flush=True)
    at_once = (os.cpu_count() or 1) + 1
    names = ", ".join(stage.name for stage in planned)
    print(f"== {names}: {at_once} at a time, each is told when it ends", flush=True)
    with ThreadPoolExecutor(at_once) as pool:
        try:
            results = finished([pool.submit(run.stage, stage) for stage in planned])
        except KeyboardInterrupt:
            print("\n== ending what runs ...", flush=True)
            pool.shutdown(wait=False, cancel_futures=True)
            run.end()
            pool.shutdown()
            print("== ended before all was run")
            return 130
    summary(results, reports)
    failed = [r.stage.name for r in results if r.code]
    print(f"{len(results) - len(failed)} passed, {len(failed)} failed")
    return 1 if failed or run.no_lab else 0


def _as_ctrl_c(number: int, frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
