"""What `make test` runs: a run that is ended cleans up, and where no lab can start the reason is said once."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from tools import run_all
from tools.durations import slowest
from tools.run_all import Run, Stage

ROOT = Path(__file__).resolve().parents[2]
# Says that it runs, waits for a Ctrl-C, and writes that it has cleaned up.
CLEANS_UP = """
import sys, time
from pathlib import Path
try:
    Path(sys.argv[1]).touch()
    time.sleep(60)
except KeyboardInterrupt:
    Path(sys.argv[2]).touch()
"""
SEVERAL = """
import sys
from pathlib import Path
from tools import run_all
from tools.run_all import Stage
run_all.why_no_lab = lambda: ""
sleeper = lambda n: [sys.executable, "-c", {code!r}, f"{folder}/runs-{{n}}", f"{folder}/cleaned-{{n}}"]
run_all.stages = lambda words: [Stage(f"s{{n}}", sleeper(n)) for n in range(5)]
sys.exit(run_all.main([]))
"""


def appears(file: Path, seconds: float = 60) -> bool:
    deadline = time.monotonic() + seconds
    while not file.exists() and time.monotonic() < deadline:
        time.sleep(0.02)  # nothing tells when another process has made a file
    return file.exists()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_ended_run_lets_every_part_clean_up(tmp_path: Path, number: signal.Signals) -> None:
    code = SEVERAL.format(code=CLEANS_UP, folder=tmp_path)
    with subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE, text=True) as run:
        at_once = (os.cpu_count() or 1) + 1
        assert all(appears(tmp_path / f"runs-{n}") for n in range(at_once))
        run.send_signal(number)
        output, _ = run.communicate(timeout=60)
    assert run.returncode == 130
    assert "ended before all was run" in output
    runs, cleaned = (len(list(tmp_path.glob(f"{what}-*"))) for what in ("runs", "cleaned"))
    assert runs == cleaned == at_once, "no further part is begun, and each that ran has cleaned up"


def test_a_part_that_does_not_end_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_all, "PATIENCE", 0.2)
    stubborn = "import signal, sys, time; signal.signal(2, signal.SIG_IGN); open(sys.argv[1], 'w'); time.sleep(60)"
    run = Run(tmp_path)
    results = []
    stage = Stage("stubborn", [sys.executable, "-c", stubborn, str(tmp_path / "runs")])
    thread = threading.Thread(target=lambda: results.append(run.command(stage)))
    thread.start()
    assert appears(tmp_path / "runs")
    run.end()
    thread.join(60)
    assert results[0].code == -signal.SIGKILL


def test_without_a_lab_the_notebooks_are_not_run_and_the_reason_is_said_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(run_all, "why_no_lab", lambda: "The kernel refused.")
    monkeypatch.setenv("CLUSTER", "auto")
    says = Stage("reading", [sys.executable, "-c", "import os; print('told', os.environ['LAB_CANNOT_START'])"])
    monkeypatch.setattr(run_all, "stages", lambda words: [says, Stage("notebooks", ["false"], on_a_lab=True)])
    assert run_all._run(run_all.stages([]), tmp_path) == 1
    output = capsys.readouterr().out
    assert "no lab can start here, so what needs one is not run:\nThe kernel refused." in output
    assert "ok reading: told The kernel refused." in output
    assert "1 passed, 1 failed" in output


def test_a_test_that_needs_a_lab_is_skipped_with_the_reason(tmp_path: Path) -> None:
    file = tmp_path / "test_needs.py"
    file.write_text("def test_needs(cluster): pass\n\ndef test_needs_none(): pass\n")
    (tmp_path / "conftest.py").write_text("from tests.conftest import cluster\n")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-rs", "--rootdir", str(tmp_path), "-c", os.devnull, str(file)],
        env={**os.environ, run_all.NO_LAB: "The kernel refused.", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert "1 passed, 1 skipped" in done.stdout
    assert "no lab can start here: The kernel refused." in done.stdout


def test_the_slowest_are_told_over_all_parts(tmp_path: Path) -> None:
    for part, times in {"a": (1.5, 0.1), "b": (3.0,)}.items():
        cases = "".join(f'<testcase classname="{part}" name="t{n}" time="{t}"/>' for n, t in enumerate(times))
        (tmp_path / f"{part}.xml").write_text(f"<testsuites><testsuite>{cases}</testsuite></testsuites>")
    assert slowest(tmp_path, 2) == [("b::t0", 3.0), ("a::t0", 1.5)]
