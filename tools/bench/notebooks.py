"""The wall time of each notebook, run from its first cell to its last."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import nbformat
from nbclient import NotebookClient

from tests.running_lab import BIN
from tools.bench.cluster import Cluster
from tools.bench.figures import Failure, Figure

NOTEBOOKS = Path(__file__).resolve().parents[2] / "notebooks"
_AIM = 30  # seconds for a chapter
_AIMS = {"05": 60}  # and for one whose failovers take seconds each


def measure(cluster: Cluster, runs: int) -> Iterator[Figure | Failure]:
    """Seconds with the start of the kernel, three runs at most: they are long. Nothing is written."""
    assert cluster.lab, "notebooks run on a lab"
    environment = {**os.environ, **cluster.lab.environment, "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}"}
    for file in sorted(NOTEBOOKS.glob("*.ipynb")):
        try:
            with ThreadPoolExecutor(max_workers=1) as beside:  # in the main thread nbclient takes Ctrl-C for itself
                samples = [beside.submit(_run, file, environment).result() for _ in range(min(runs, 3))]
            yield Figure(f"notebook {file.stem}", "s", samples, at_most=_AIMS.get(file.stem[:2], _AIM))
        except Exception as error:  # a cell that fails; the other notebooks have their turn
            yield Failure(f"notebook {file.stem}", error)


def _run(file: Path, environment: dict[str, str]) -> float:
    notebook = nbformat.read(file, as_version=4)
    client = NotebookClient(notebook, timeout=180, resources={"metadata": {"path": str(NOTEBOOKS)}})
    started = time.perf_counter()
    client.execute(env=environment, stderr=subprocess.DEVNULL)  # what the kernel itself says on its terminal
    return time.perf_counter() - started
