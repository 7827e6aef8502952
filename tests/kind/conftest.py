"""The fixture `machine`."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from kind_machine import Machine


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Machine]:
    made = Machine(tmp_path)
    monkeypatch.setenv("STAND_IN", str(tmp_path))
    monkeypatch.setenv("STAND_IN_PATH", os.environ["PATH"])
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    for name in ("KIND_EXPERIMENTAL_PROVIDER", "KUBECONFIG", "CLUSTER", "LAB_STATE"):
        monkeypatch.delenv(name, raising=False)
    yield made
    if (made.home / "cluster" / "daemon.json").exists():
        made.act()
        subprocess.run([made.home / "bin" / "kind", "delete", "cluster"], check=True)
