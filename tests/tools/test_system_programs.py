"""The list of programs that the tests may start from outside of the environment."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests import system_programs


def test_a_program_counts_when_it_is_not_of_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(system_programs, "_started", set())
    own = tmp_path / "kind"
    own.symlink_to("/bin/true")
    for program in ("sleep", "/bin/sleep", own, sys.executable):
        subprocess.run([program, "--version"], check=True, capture_output=True)
    subprocess.run(["python", "--version"], env={"PATH": str(Path(sys.executable).parent)}, check=True)
    assert system_programs.outside(tmp_path) == {"sleep"} <= system_programs.NEEDED
