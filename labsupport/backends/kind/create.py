"""Making and removing the cluster, and the record of it that tells a whole cluster from one left half made."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from labsupport.backends.contract import CommandError, Progress
from labsupport.backends.kind import troubles
from labsupport.backends.kind.config import Config
from labsupport.backends.kind.engine import CommandFailed, Engine

RECORD = "kind.json"
LOG = "kind.log"


@dataclass(frozen=True)
class Record:
    """The cluster that this lab has made, or has begun to make. Another cluster of the same name is not ours."""

    name: str
    engine: str
    complete: bool

    def write(self, state: Path) -> None:
        """Keep it, in place of an earlier one."""
        new = state / f"{RECORD}.new"
        new.write_text(json.dumps(asdict(self)) + "\n")
        new.replace(state / RECORD)


def read_record(state: Path) -> Record | None:
    """The record, or None when this lab has made no cluster."""
    try:
        return Record(**json.loads((state / RECORD).read_text()))
    except (OSError, ValueError, TypeError):
        return None


def create(engine: Engine, config: Config, state: Path, progress: Progress) -> None:
    """Make the cluster, its kubeconfig only in the state directory. Raises CommandError; nothing is left behind then.

    An interrupt leaves the record incomplete: the next start removes what there is and begins again.
    """
    Record(config.name, engine.name, complete=False).write(state)
    kubeconfig = state / "kubeconfig"

    def line(text: str) -> None:
        if "•" in text:  # kind announces a step with a bullet, and ticks it off on a line of its own
            progress(text.partition("•")[2].strip(" ."))
        elif "Ensuring node image" in text:
            progress(text.strip(" ."))

    arguments = ("--name", config.name, "--config", str(config.path), "--kubeconfig", str(kubeconfig))
    try:
        engine.kind("create", "cluster", *arguments, line=line, log=state / LOG)
    except CommandFailed as error:
        if error.trouble is not troubles.NAME_TAKEN:
            remove(engine, config.name, state)
        (state / RECORD).unlink(missing_ok=True)
        raise CommandError(f"{error}\nAll of it: {state / LOG}. `lab doctor` examines this machine.") from error
    kubeconfig.chmod(0o600)
    Record(config.name, engine.name, complete=True).write(state)


def remove(engine: Engine, name: str, state: Path) -> None:
    """Remove the cluster, or what there is of it. Raises CommandFailed."""
    engine.kind("delete", "cluster", "--name", name, "--kubeconfig", str(state / "kubeconfig"), log=state / LOG)


def revive(engine: Engine, config: Config, state: Path) -> None:
    """Start the nodes of a cluster that may have been stopped, and find its kubeconfig again. Raises CommandFailed."""
    engine.run("start", *config.nodes)
    kubeconfig = state / "kubeconfig"
    if not kubeconfig.exists():
        engine.kind("export", "kubeconfig", "--name", config.name, "--kubeconfig", str(kubeconfig))
        kubeconfig.chmod(0o600)
