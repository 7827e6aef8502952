"""The directory that holds all that a lab keeps. What a lab did not make there is never touched.

LAB_STATE can name any directory, so nothing here removes a directory as a whole: only the entries of ENTRIES.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Collection
from pathlib import Path

from labcluster.launch import host_ports
from labsupport.backends.contract import CommandError

ENTRIES = frozenset(
    {
        *("lock", "cluster.json", "ports.json", "ports.new", "daemon.json", "daemon.json.new"),
        *("daemon.log", "daemon.log.1", "kubeconfig", "kubeconfig.new", "discovery.json", "kubectl-cache", "contexts"),
        *("zones", "code"),
        *("store.db", "store.db-wal", "store.db-shm", "pki", "nodes"),
        *("kind.json", "kind.json.new", "kind.log", "images.tar"),
        *("learner.json", "forwarder.json", "forwarder.lock", "forwarder.log"),
    }
)


def check(state: Path) -> None:
    """Raise CommandError when `state` is not a lab's directory: when it has other entries and no record of ports."""
    try:
        foreign = sorted({entry.name for entry in state.iterdir()} - ENTRIES) if state.exists() else []
    except OSError as error:
        raise CommandError(f"the state directory {state} cannot be used: {error.strerror}. Set LAB_STATE.") from error
    if foreign and host_ports.read_ports(state) is None:
        raise CommandError(
            f"{state} is not a lab's directory (it has {foreign[0]} in it), so it is left as it is. "
            "Set LAB_STATE to a new directory, or unset it."
        )


def prepare(state: Path) -> None:
    """Make the directory, or take the one of an earlier start; only its owner may look into it. Raises CommandError."""
    check(state)
    try:
        state.mkdir(mode=0o700, parents=True, exist_ok=True)
        state.chmod(0o700)  # it may have been made by hand; keys and data are in it
    except OSError as error:
        raise CommandError(f"the state directory {state} cannot be used: {error.strerror}. Set LAB_STATE.") from error


def clear(state: Path, keep: Collection[str] = ()) -> list[str]:
    """Remove what a lab made there, but for the entries to keep; returns the names of what else is there.

    Raises CommandError for a directory that is not a lab's, and for what cannot be removed.
    """
    check(state)
    for name in sorted(ENTRIES.difference(keep)):
        _remove(state / name)
    return sorted({entry.name for entry in state.iterdir()} - ENTRIES)


def _remove(path: Path) -> None:
    """Remove one entry. Pods may have left directories that even their owner may not write to."""
    try:
        if path.is_symlink() or not path.is_dir():
            path.unlink(missing_ok=True)
            return
        for directory, names, _ in os.walk(path):
            for name in names:
                child = Path(directory, name)
                if not child.is_symlink():
                    child.chmod(0o700)
        shutil.rmtree(path)
    except OSError as error:
        where = error.filename or path
        raise CommandError(
            f"{where} could not be removed: {error.strerror}. The cluster is stopped; remove {path} by hand."
        ) from error
