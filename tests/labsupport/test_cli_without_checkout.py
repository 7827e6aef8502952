"""The command `lab` where the package is installed from a wheel, without the course."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tools.mutations import scratch_copy

BUILD = "import sys; from setuptools import build_meta; print(build_meta.build_wheel(sys.argv[1]))"


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what the wheel holds."""
    folder = tmp_path_factory.mktemp("wheel")
    copy = scratch_copy(folder)
    done = subprocess.run([sys.executable, "-c", BUILD, str(folder)], cwd=copy, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    with zipfile.ZipFile(folder / done.stdout.split()[-1]) as wheel:
        wheel.extractall(folder / "site")
    return folder / "site"


def lab(installed: Path, *words: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(installed), "LAB_STATE": str(installed / "state")}
    command = [sys.executable, "-m", "labsupport.cli", *words]
    return subprocess.run(command, cwd=installed, env=environment, capture_output=True, text=True, timeout=120)


@pytest.mark.parametrize("command", ["up", "open", "status", "down", "test"])
def test_every_command_says_in_a_sentence_that_it_needs_a_checkout(installed: Path, command: str) -> None:
    done = lab(installed, command)
    assert done.returncode == 1 and done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert line.startswith("lab: this needs a checkout of the course, and ") and str(installed) in line
    assert "type `make lab` there" in line
    assert not (installed / "state").exists()


def test_help_needs_none(installed: Path) -> None:
    done = lab(installed, "--help")
    assert done.returncode == 0 and "start the cluster" in done.stdout
