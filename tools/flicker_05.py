"""Shows that chapter 05 does not flicker: `python -m tools.flicker_05 [--runs 20]`. Not a part of `make test`.

Runs the chapter under nbval again and again on a lab of its own, every second time with all cores kept busy by other
processes. Each run that fails leaves its report beside `--log`. Ends with how many passed, and with 0 if all did.
"""

from __future__ import annotations

import argparse
import contextlib
import multiprocessing
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from tests.running_lab import RunningLab
from tools.run_all import NBVAL, ROOT

NOTEBOOK = "notebooks/05_primary_secondary_arbiter.ipynb"


def burn() -> None:
    """Keep a core busy until the process is ended."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    while True:
        sum(range(10_000))


@contextlib.contextmanager
def busy_cores(number: int) -> Iterator[None]:
    """So many processes that do nothing but compute, for the length of the block."""
    hogs = [multiprocessing.Process(target=burn, daemon=True) for _ in range(number)]
    for hog in hogs:
        hog.start()
    try:
        yield
    finally:
        for hog in hogs:
            hog.kill()
            hog.join()


def run(lab: RunningLab, report: Path) -> bool:
    """One run of the chapter; a failed one leaves its output in `report`."""
    done = subprocess.run(
        [*NBVAL[:-1], "-p", "no:cacheprovider", NOTEBOOK],
        cwd=ROOT,
        env={**lab.environment, "PYTHONHASHSEED": "0"},
        capture_output=True,
        text=True,
    )
    if done.returncode:
        report.write_text(done.stdout + done.stderr)
    return done.returncode == 0


def main() -> int:
    """Run it as often as asked; returns 0 when every run passed."""
    options = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    options.add_argument("--runs", type=int, default=20)
    options.add_argument("--log", type=Path, default=Path("."), help="a directory for the reports of failed runs")
    chosen = options.parse_args()
    chosen.log.mkdir(parents=True, exist_ok=True)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that the lab and the busy processes end with it
    passed: Counter[str] = Counter()
    total: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as directory:
        lab = RunningLab(Path(directory) / "state")
        lab.up()
        try:
            for number in range(1, chosen.runs + 1):
                kind = "loaded" if number % 2 == 0 else "quiet"
                started = time.monotonic()
                with busy_cores(os.cpu_count() or 1) if kind == "loaded" else contextlib.nullcontext():
                    ok = run(lab, chosen.log / f"flicker-{number}.txt")
                total[kind] += 1
                passed[kind] += ok
                seconds = time.monotonic() - started
                print(f"{number:3} {kind:6} {'passed' if ok else 'FAILED'} {seconds:6.1f} s", flush=True)
        finally:
            lab.down()
    for kind in sorted(total):
        print(f"{kind}: {passed[kind]} of {total[kind]} passed")
    return 0 if passed == total else 1


if __name__ == "__main__":
    sys.exit(main())
