"""Making the course's environment: what an interrupted or outdated `.venv` leads to."""

from __future__ import annotations

import fcntl
import sys
import threading
import venv
from pathlib import Path

import pytest

from labsupport import bootstrap


@pytest.fixture
def done(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What `ensure` does, in a checkout of its own and without a package index."""
    steps: list[str] = []
    monkeypatch.setattr(bootstrap, "ROOT", tmp_path)
    monkeypatch.setattr(bootstrap, "VENV", tmp_path / ".venv")
    monkeypatch.setattr(bootstrap, "PYTHON", tmp_path / ".venv" / "bin" / "python")
    monkeypatch.setattr(bootstrap, "_make_venv", lambda: (steps.append("make"), (tmp_path / ".venv").mkdir()))
    monkeypatch.setattr(bootstrap, "_pip", lambda *_, **__: steps.append("install"))
    monkeypatch.setattr(bootstrap, "_compile", lambda: None)  # there is no Python in this environment
    (tmp_path / "pyproject.toml").write_text("[project]\n")
    return steps


def test_an_environment_is_made_once(done: list[str]) -> None:
    bootstrap.ensure()
    bootstrap.ensure()
    assert done == ["make", "install"]


def test_an_environment_that_was_left_without_pip_is_made_anew(
    done: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    venv.create(bootstrap.VENV, with_pip=False)  # as Ctrl-C leaves it while pip is being put in
    monkeypatch.setattr(bootstrap, "_make_venv", lambda: done.append("make"))
    bootstrap.ensure()
    assert done == ["make", "install"]


def test_an_environment_with_pip_is_gone_on_with(done: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    bootstrap.VENV.mkdir()
    monkeypatch.setattr(bootstrap, "PYTHON", Path(sys.executable))
    bootstrap.ensure()
    assert done == ["install"]


def test_the_environment_of_the_tests_is_enough_for_the_lab(done: list[str]) -> None:
    bootstrap.ensure("test")
    bootstrap.ensure()
    assert done == ["make", "install"]


def test_the_environment_of_the_lab_is_not_enough_for_the_tests(
    done: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    bootstrap.ensure()
    monkeypatch.setattr(bootstrap, "PYTHON", Path(sys.executable))
    bootstrap.ensure("test")
    assert done == ["make", "install", "install"]


def test_changed_pins_are_installed(done: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bootstrap.ensure()
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "x"\n')
    monkeypatch.setattr(bootstrap, "PYTHON", Path(sys.executable))
    bootstrap.ensure()
    assert done == ["make", "install", "install"]


def test_a_second_command_waits_until_the_first_has_made_the_environment(
    done: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    told = threading.Event()
    monkeypatch.setattr("builtins.print", lambda *words, **_: told.set() if "Another command" in words[0] else None)
    with (bootstrap.ROOT / "pyproject.toml").open() as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        second = threading.Thread(target=bootstrap.ensure)
        second.start()
        assert told.wait(10)
        assert done == []
        bootstrap._install("")  # what the first one does
    second.join(10)
    assert not second.is_alive()
    assert done == ["make", "install"]


def test_another_python_than_the_environments_is_told_with_the_way_to_it(
    done: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    bootstrap.VENV.mkdir()
    (bootstrap.VENV / "pyvenv.cfg").write_text("home = /usr/bin\nversion = 3.9.18\n")
    monkeypatch.setattr(bootstrap, "PYTHON", Path(sys.executable))
    bootstrap.ensure()
    assert "has Python 3.9, and keeps it" in capsys.readouterr().out
    bootstrap.ensure()
    assert done == ["install"], "the environment counts as made, whoever calls"
    assert f"`rm -r .venv && make lab PYTHON={sys.executable}`" in capsys.readouterr().out


def test_the_python_of_the_environment_is_not_told(
    done: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    bootstrap.VENV.mkdir()
    (bootstrap.VENV / "pyvenv.cfg").write_text("version = {}.{}.{}\n".format(*sys.version_info))
    monkeypatch.setattr(bootstrap, "PYTHON", Path(sys.executable))
    bootstrap.ensure()
    assert "keeps it" not in capsys.readouterr().out
