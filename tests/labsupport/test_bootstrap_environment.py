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
    monkeypatch.setattr(bootstrap, "_has_uv", lambda: True)
    monkeypatch.setattr(
        bootstrap, "_uv", lambda *words: steps.append("install") if "--require-hashes" in words else None
    )
    monkeypatch.setattr(bootstrap, "_compile", lambda: None)  # there is no Python in this environment
    (tmp_path / "pyproject.toml").write_text("[project]\n")
    (tmp_path / "requirements").mkdir()
    for purpose in bootstrap.PURPOSES:
        (tmp_path / "requirements" / f"{purpose}.txt").write_text(f"# {purpose}\n")
    return steps


def test_an_environment_is_made_once(done: list[str]) -> None:
    bootstrap.ensure("lab")
    bootstrap.ensure("lab")
    assert done == ["make", "install"]


def test_an_environment_that_was_left_without_pip_is_made_anew(
    done: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    venv.create(bootstrap.VENV, with_pip=False)  # as Ctrl-C leaves it while pip is being put in
    monkeypatch.setattr(bootstrap, "_make_venv", lambda: done.append("make"))
    bootstrap.ensure("lab")
    assert done == ["make", "install"]


def test_an_environment_with_pip_is_gone_on_with(done: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    bootstrap.VENV.mkdir()
    monkeypatch.setattr(bootstrap, "PYTHON", Path(sys.executable))
    bootstrap.ensure("lab")
    assert done == ["install"]


def test_the_environment_of_the_tests_is_enough_for_the_lab(done: list[str]) -> None:
    bootstrap.ensure("test")
    bootstrap.ensure("lab")
    assert done == ["make", "install"]


def test_the_environment_of_the_lab_is_not_enough_for_the_tests(
    done: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    bootstrap.ensure("lab")
    monkeypatch.setattr(bootstrap, "PYTHON", Path(sys.executable))
    bootstrap.ensure("test")
    assert done == ["make", "install", "install"]


def test_changed_pins_are_installed(done: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bootstrap.ensure("lab")
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "x"\n')
    monkeypatch.setattr(bootstrap, "PYTHON", Path(sys.executable))
    bootstrap.ensure("lab")
    assert done == ["make", "install", "install"]


def test_a_changed_lock_is_installed(done: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bootstrap.ensure("lab")
    (tmp_path / "requirements" / "lab.txt").write_text("# another\n")
    monkeypatch.setattr(bootstrap, "PYTHON", Path(sys.executable))
    bootstrap.ensure("lab")
    assert done == ["make", "install", "install"]


@pytest.mark.parametrize(
    ("cluster", "platform", "wanted"),
    [
        (None, "linux", "embedded"),
        ("", "linux", "embedded"),
        ("embedded", "linux", "embedded"),
        ("kind", "linux", "lab"),
        ("current", "linux", "lab"),
        ("auto", "darwin", "lab"),
    ],
)
def test_the_embedded_cluster_is_installed_where_it_may_be_wanted(
    monkeypatch: pytest.MonkeyPatch, cluster: str | None, platform: str, wanted: str
) -> None:
    monkeypatch.delenv("CLUSTER", raising=False)
    if cluster is not None:
        monkeypatch.setenv("CLUSTER", cluster)
    monkeypatch.setattr(sys, "platform", platform)
    assert bootstrap.purpose() == wanted


def test_pip_installs_the_same_lock_where_uv_does_not_run(done: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bootstrap, "_has_uv", lambda: False)
    monkeypatch.setattr(bootstrap, "_pip", lambda *words, **_: done.append(" ".join(words)))
    bootstrap.ensure("embedded")
    locked, course = done[1:]
    assert "--no-deps --require-hashes --requirement requirements/embedded.txt" in locked
    assert course.endswith("--editable .")


def test_uv_hears_of_what_pip_is_set_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = tmp_path / "pip.conf"
    config.write_text(
        "[global]\nindex-url = https://index.example/simple\nextra-index-url =\n  file:///a\n  file:///b\n"
    )
    monkeypatch.setattr(bootstrap, "PYTHON", Path(sys.executable))
    monkeypatch.setenv("PIP_CONFIG_FILE", str(config))
    monkeypatch.setenv("PIP_CERT", "/etc/ssl/own.crt")
    monkeypatch.delenv("PIP_EXTRA_INDEX_URL", raising=False)
    settings = bootstrap._uv_settings()
    assert settings["UV_DEFAULT_INDEX"] == "https://index.example/simple"
    assert settings["UV_INDEX"] == "file:///a file:///b"
    assert settings["SSL_CERT_FILE"] == "/etc/ssl/own.crt"


def test_uv_copies_without_a_warning_where_its_cache_is_on_another_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(bootstrap.ROOT))
    assert "UV_LINK_MODE" not in bootstrap._uv_settings()
    for elsewhere in ("/proc", "/nowhere"):
        monkeypatch.setenv("HOME", elsewhere)
        assert bootstrap._uv_settings()["UV_LINK_MODE"] == "copy"


@pytest.mark.parametrize("forbidden", [True, False])
def test_packages_are_compiled_at_once_where_no_process_may_do_it_later(
    monkeypatch: pytest.MonkeyPatch, forbidden: bool
) -> None:
    monkeypatch.setattr(bootstrap, "PYTHON", Path(sys.executable))
    monkeypatch.setattr(sys, "dont_write_bytecode", forbidden)
    assert ("UV_COMPILE_BYTECODE" in bootstrap._uv_settings()) == forbidden


def test_uv_counts_as_there_only_in_the_version_that_is_locked(done: list[str], tmp_path: Path) -> None:
    (tmp_path / "requirements" / "uv.txt").write_text("# from uv\nuv==1.2.3 \\\n    --hash=sha256:00\n")
    program = tmp_path / ".venv" / "bin" / "uv"
    program.parent.mkdir(parents=True)
    assert not bootstrap._runs_uv()
    for version, is_locked in (("1.2.3", True), ("1.2.4", False)):
        program.write_text(f"#!/bin/sh\necho uv {version} '(x86_64)'\n")
        program.chmod(0o755)
        assert bootstrap._runs_uv() == is_locked


def test_a_second_command_waits_until_the_first_has_made_the_environment(
    done: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    told = threading.Event()
    monkeypatch.setattr("builtins.print", lambda *words, **_: told.set() if "Another command" in words[0] else None)
    with (bootstrap.ROOT / "pyproject.toml").open() as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        second = threading.Thread(target=bootstrap.ensure, args=("lab",))
        second.start()
        assert told.wait(10)
        assert done == []
        bootstrap._install("lab")  # what the first one does
    second.join(10)
    assert not second.is_alive()
    assert done == ["make", "install"]


def test_another_python_than_the_environments_is_told_with_the_way_to_it(
    done: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    bootstrap.VENV.mkdir()
    (bootstrap.VENV / "pyvenv.cfg").write_text("home = /usr/bin\nversion = 3.9.18\n")
    monkeypatch.setattr(bootstrap, "PYTHON", Path(sys.executable))
    bootstrap.ensure("lab")
    assert "has Python 3.9, and keeps it" in capsys.readouterr().out
    bootstrap.ensure("lab")
    assert done == ["install"], "the environment counts as made, whoever calls"
    assert f"`rm -r .venv && make lab PYTHON={sys.executable}`" in capsys.readouterr().out


def test_the_python_of_the_environment_is_not_told(
    done: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    bootstrap.VENV.mkdir()
    (bootstrap.VENV / "pyvenv.cfg").write_text("version = {}.{}.{}\n".format(*sys.version_info))
    monkeypatch.setattr(bootstrap, "PYTHON", Path(sys.executable))
    bootstrap.ensure("lab")
    assert "keeps it" not in capsys.readouterr().out
