"""`make bench`: what it prints and writes. The figures themselves are not looked at."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
NOBODY_THERE = """
apiVersion: v1
kind: Config
current-context: none
contexts: [{name: none, context: {cluster: none, user: none}}]
clusters: [{name: none, cluster: {server: "http://127.0.0.1:1"}}]
users: [{name: none, user: {}}]
"""


def bench(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tools.bench", "--runs", "1", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)


def test_a_cluster_that_does_not_answer_is_said_and_the_rest_is_measured(tmp_path: Path) -> None:
    kubeconfig, output = tmp_path / "kubeconfig", tmp_path / "bench.json"
    kubeconfig.write_text(NOBODY_THERE)
    done = bench("--only", "dns,nodeport", "--kubeconfig", str(kubeconfig), "--output", str(output))
    assert done.returncode == 1, done.stdout + done.stderr
    written = json.loads(output.read_text())
    assert {figure["group"] for figure in written["figures"]} == {"dns", "nodeport"}
    assert all(figure["min"] <= figure["median"] <= figure["max"] for figure in written["figures"])
    assert [failure.partition(":")[0] for failure in written["failed"]] == ["nodeport"]
    assert "on the given cluster" in done.stdout
    assert "DNS answers over UDP, one at a time" in done.stdout


def test_a_file_that_is_no_kubeconfig_is_refused(tmp_path: Path) -> None:
    (tmp_path / "config").write_text("no: config")
    done = bench("--kubeconfig", str(tmp_path / "config"))
    assert done.returncode == 2
    assert "not a kubeconfig that can be used" in done.stderr
