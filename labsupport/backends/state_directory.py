"""The directory that holds all that a lab keeps. What a lab did not make there is never touched.

LAB_STATE can name any directory, so nothing here removes a directory as a whole: only what the lab makes on every kind
of cluster (SHARED), and what this kind of cluster says that it makes.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Collection
from pathlib import Path

from labsupport.backends.contract import CommandError

SHARED = frozenset({"cluster.json", "ports.json", "kubeconfig", "discovery.json", "kubectl-cache", "contexts", "zones"})


class StateDirectory:
    """The directory of one lab; `own` are the names of the files and folders that its kind of cluster makes there."""

    def __init__(self, path: Path, own: Collection[str]) -> None:
        self.path = path
        self._entries = SHARED.union(own)

    def check(self) -> None:
        """Raise CommandError when it is not a lab's: when it has other entries and no record of ports."""
        try:
            foreign = self._foreign() if self.path.exists() else []
        except OSError as error:
            raise self._unusable(error) from error
        if foreign and not self._has_ports():
            raise CommandError(
                f"{self.path} is not a lab's directory (it has {foreign[0]} in it), so it is left as it is. "
                "Set LAB_STATE to a new directory, or unset it."
            )

    def prepare(self) -> None:
        """Make it, or take the one of an earlier start; only its owner may look into it. Raises CommandError."""
        self.check()
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            self.path.chmod(0o700)  # it may have been made by hand; keys and data are in it
        except OSError as error:
            raise self._unusable(error) from error

    def clear(self, keep: Collection[str] = ()) -> None:
        """Remove what a lab made there, but for the entries to keep.

        Raises CommandError for a directory that is not a lab's, and for what cannot be removed.
        """
        self.check()
        for name in sorted(self._entries.difference(keep)):
            _remove(self.path / name)

    def remove(self) -> str:
        """Clear it and remove it; returns a sentence where it stays, because it has files that are not the lab's.

        Raises CommandError as `clear` does.
        """
        self.clear()
        if foreign := self._foreign():
            return f"{self.path} stays: it has files that are not the lab's ({foreign[0]})."
        try:
            self.path.rmdir()
        except OSError as error:
            raise CommandError(f"the cluster is removed, {self.path} stays: {error.strerror}.") from error
        return ""

    def _foreign(self) -> list[str]:
        return sorted({entry.name for entry in self.path.iterdir()} - self._entries)

    def _has_ports(self) -> bool:
        try:
            return "nodePorts" in json.loads((self.path / "ports.json").read_text())
        except (OSError, ValueError, TypeError):
            return False

    def _unusable(self, error: OSError) -> CommandError:
        return CommandError(f"the state directory {self.path} cannot be used: {error.strerror}. Set LAB_STATE.")


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
