"""A lab removes what it made, and nothing else."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest

from labcluster.launch.host_ports import Ports
from labsupport.backends.contract import CommandError
from labsupport.backends.embedded.cluster import FILES, EmbeddedBackend
from labsupport.backends.state_directory import StateDirectory


@pytest.fixture
def foreign(tmp_path: Path) -> Path:
    """Somebody's directory, with names in it that a lab has too."""
    for name in ("thesis.txt", "lock", "nodes/work/a", "pki/key", "daemon.json"):
        file = tmp_path / "home" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("mine")
    (tmp_path / "home").chmod(0o755)
    return tmp_path / "home"


def everything(directory: Path) -> dict[str, int]:
    return {str(p): p.stat().st_mode for p in [directory, *directory.rglob("*")]}


@pytest.mark.parametrize("command", ["up", "down", "reset"])
def test_a_directory_of_somebody_else_is_left_as_it_is(foreign: Path, command: str) -> None:
    before = everything(foreign)
    with pytest.raises(CommandError, match=r"not a lab's directory \(it has thesis.txt in it\)"):
        getattr(EmbeddedBackend(foreign), command)(lambda text: None)
    assert everything(foreign) == before


def make_state(state: Path) -> None:
    StateDirectory(state, FILES).prepare()
    (state / "ports.json").write_text(json.dumps(Ports(1, 2, {3: 4}).to_json()))
    (state / "nodes" / "worker").mkdir(parents=True)
    (state / "store.db").write_text("")
    (state / "lock").write_text("")


def test_the_state_is_for_its_owner_only(tmp_path: Path) -> None:
    (tmp_path / "state").mkdir(mode=0o755)
    StateDirectory(tmp_path / "state", FILES).prepare()
    assert stat.S_IMODE((tmp_path / "state").stat().st_mode) == 0o700


def test_down_removes_the_state_completely(tmp_path: Path) -> None:
    make_state(tmp_path / "state")
    EmbeddedBackend(tmp_path / "state").down(lambda text: None)
    assert not (tmp_path / "state").exists()


def test_what_somebody_put_beside_the_state_stays(tmp_path: Path) -> None:
    state = tmp_path / "state"
    make_state(state)
    (state / "notes.txt").write_text("mine")
    assert "notes.txt" in EmbeddedBackend(state).down(lambda text: None)
    assert [p.name for p in state.iterdir()] == ["notes.txt"]


def test_directories_that_pods_closed_are_removed_and_links_are_not_followed(tmp_path: Path) -> None:
    state, outside = tmp_path / "state", tmp_path / "outside"
    make_state(state)
    (outside / "deep").mkdir(parents=True)
    outside.chmod(0o755)
    closed = state / "nodes" / "worker" / "closed"
    (closed / "inner").mkdir(parents=True)
    (closed / "link").symlink_to(outside)
    closed.chmod(0)
    StateDirectory(state, FILES).clear()
    assert list(state.iterdir()) == []
    assert (outside / "deep").is_dir()
    assert stat.S_IMODE(outside.stat().st_mode) == 0o755


def test_what_is_kept_is_kept(tmp_path: Path) -> None:
    make_state(tmp_path / "state")
    StateDirectory(tmp_path / "state", FILES).clear(keep=("ports.json", "lock"))
    assert {p.name for p in (tmp_path / "state").iterdir()} == {"ports.json", "lock"}
