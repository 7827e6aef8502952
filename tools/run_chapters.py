"""Run chapters as tests: `lab test 05 [11 ...]`; without numbers, all.

Each cell is run, and what it says is compared with what is stored. The chapters run on the lab's cluster where it is
up, or on one of their own, which is taken down behind them. --report keeps DIR/notebooks.xml (JUnit), index.html.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path
from types import FrameType
from typing import NoReturn

from labsupport.backends import choice
from labsupport.backends.contract import CommandError
from tools import cell_results, report_page
from tools.chapters import ROOT, NoSuchChapter, files

LAB = Path(sys.executable).with_name("lab")
PATIENCE = 60.0  # seconds that a run has to clean up when it is ended
SLOW = 1.0  # seconds; slower cells are named, up to five
NEEDED = ("pytest", "nbval")
INTERRUPTED = 130


def main(arguments: list[str]) -> int:
    """Test the chapters; returns 0 when every cell passed, 1 when not or when they could not be run."""
    parser = argparse.ArgumentParser(prog="lab test", description="Run chapters, and compare what their cells say.")
    parser.add_argument("chapter", nargs="*", help="a number, as in 05; without one, all chapters")
    parser.add_argument("--report", type=Path, metavar="DIR", help="write DIR/notebooks.xml and DIR/index.html")
    options = parser.parse_args(arguments)
    try:
        if missing := [name for name in NEEDED if find_spec(name) is None]:
            raise CommandError(f"{' and '.join(missing)} is not installed. `make env-test` does it; then try again.")
        chosen = files(options.chapter)
        with tempfile.TemporaryDirectory(prefix="lab-report-") as scratch, a_lab() as environment:
            reports = options.report.absolute() if options.report else Path(scratch)
            reports.mkdir(parents=True, exist_ok=True)
            code = test(chosen, environment, reports / "notebooks.xml")
            told(reports)
            if options.report:
                print(f"The report: {reports / 'index.html'}")
            return code
    except (CommandError, NoSuchChapter) as error:
        print(f"lab: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nlab: ended before all was run.", file=sys.stderr)
        return INTERRUPTED


@contextlib.contextmanager
def a_lab() -> Iterator[Mapping[str, str]]:
    """The environment of commands on the lab's cluster where it is up, or of one that goes away again."""
    status = choice.choose(os.environ.get("CLUSTER") or "auto").status()
    if status.running:
        print(f"On the lab's cluster ({status.cluster}).", flush=True)
        yield os.environ
        return
    with tempfile.TemporaryDirectory(prefix="lab-test-") as directory:
        own = {**os.environ, "LAB_STATE": str(Path(directory, "state"))}
        print("The lab is not up: starting a cluster for this run ...", flush=True)
        try:
            up = subprocess.run([LAB, "up"], env=own, capture_output=True, text=True)
            if up.returncode:
                raise CommandError(up.stderr.strip().removeprefix("lab: "))
            yield own
        finally:
            subprocess.run([LAB, "down"], env=own, capture_output=True)


def test(notebooks: list[Path], environment: Mapping[str, str], junit: Path) -> int:
    """Run pytest on the notebooks, which tells how far it is; returns 0 when all passed, else 1.

    It has a session of its own, so that a Ctrl-C reaches it from here, once, and it can end its kernels.
    """
    command = [sys.executable, "-m", "pytest", "--nbval", "--no-header", "-rN", "-p", "no:cacheprovider"]
    with subprocess.Popen(
        [*command, f"--junitxml={junit}", *map(str, notebooks)], cwd=ROOT, env=environment, start_new_session=True
    ) as process:
        try:
            return 1 if process.wait() else 0
        except KeyboardInterrupt:
            process.send_signal(signal.SIGINT)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(PATIENCE)
            process.kill()
            raise


def told(reports: Path) -> None:
    """Write the page beside the JUnit file; print a line for each chapter, for what failed, and for what was slow."""
    results = cell_results.read(reports / "notebooks.xml")
    (reports / "index.html").write_text(report_page.page(results))
    for notebook, cells in cell_results.by_notebook(results).items():
        print(f"{notebook}: {cell_results.summary(cells)}")
        for cell in cells:
            if cell.state == "failed":
                print(f"  failed: {cell.name}")
    slowest = sorted(results, key=lambda cell: cell.seconds, reverse=True)[:5]
    for cell in (cell for cell in slowest if cell.seconds > SLOW):
        print(f"  {cell.seconds:.1f} s: {cell.notebook}, {cell.name}")


def _as_ctrl_c(number: int, frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt


if __name__ == "__main__":
    signal.signal(signal.SIGINT, _as_ctrl_c)  # a shell has its background jobs ignore it
    signal.signal(signal.SIGTERM, _as_ctrl_c)
    sys.exit(main(sys.argv[1:]))
