"""The embedded cluster as `lab` drives it: up, down, reset, status, doctor."""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import json
import sys
from pathlib import Path

import labcluster
from labcluster.launch import control, host_ports, search
from labcluster.launch.errors import LaunchError
from labsupport.backends import contract
from labsupport.backends.contract import CommandError, Finding, Progress, Status
from labsupport.backends.embedded import doctor
from labsupport.backends.state_directory import StateDirectory

_CODE = "code"  # the file that says which code the daemon was started from
FILES = frozenset(
    {
        *("lock", control.RECORD, f"{control.RECORD}.new", control.LOG, f"{control.LOG}.1", "ports.new"),
        *("kubeconfig.new", "store.db", "store.db-wal", "store.db-shm", "pki", "nodes", _CODE),
    }
)
# What a reset keeps: addresses and keys, so that open notebooks and terminals go on working.
_KEPT = ("ports.json", "pki", "kubeconfig", "lock", "cluster.json", "daemon.log")


class EmbeddedBackend:
    """The cluster in one process that lives in a state directory."""

    name = "embedded"

    def __init__(self, state: Path) -> None:
        self.state = state
        self._directory = StateDirectory(state, FILES)

    def up(self, progress: Progress) -> str:
        """Start the daemon and wait until nodes are Ready and DNS answers. Raises CommandError with the remedy."""
        if sys.platform != "linux":
            raise CommandError(f"the embedded cluster needs Linux, this is {sys.platform}. Elsewhere use CLUSTER=kind.")
        if not is_installed():
            raise CommandError(
                "this environment was made for another kind of cluster: it lacks the packages of the embedded one. "
                "`make lab CLUSTER=embedded` installs them."
            )
        self._directory.prepare()
        if not control.is_running(self.state):
            with contextlib.suppress(OSError):  # a full disk: the start says so, with its remedy
                (self.state / _CODE).write_text(_code())
        try:
            launched = control.start(self.state, progress=progress)
        except LaunchError as error:
            raise CommandError(f"{error}\n`lab doctor` examines this machine.") from error
        contract.record(self.name, self.state)
        if not launched.already:
            return "The cluster is up: 3 nodes are Ready and DNS answers."
        if self._runs_this_code():
            return "The cluster was up already."
        progress("the running cluster is of another version of the course; starting it anew")
        self._stop()
        self.up(progress)
        return "The cluster runs this version of the course now; its objects and data are all there."

    def _runs_this_code(self) -> bool:
        try:
            return (self.state / _CODE).read_text() == _code()
        except OSError:
            return False

    def down(self, progress: Progress) -> str:
        """Stop the daemon, and with it every pod; then remove the state. Raises CommandError."""
        if not self.state.exists():
            if not search.is_daemon_running(self.state):
                return "There was no cluster."
            self._directory.prepare()  # removed by hand under a running cluster
        self._directory.check()
        ran = self._stop()
        if stays := self._directory.remove():
            return f"The cluster is removed. {stays}"
        return "The cluster is removed, with all its data." if ran else "It was not running; its data is removed."

    def reset(self, progress: Progress) -> str:
        """Remove all objects and all data, and start anew with the same addresses and keys. Raises CommandError."""
        if not self.state.exists():
            return self.up(progress)
        self._directory.check()
        self._stop()
        self._directory.clear(keep=_KEPT)
        self.up(progress)
        return "The cluster is as new."

    def status(self) -> Status:
        """What is running, from the records that the daemon's start left."""
        details: dict[str, str | int | dict[str, int]] = {"state": str(self.state)}
        running = control.is_running(self.state)
        ports = host_ports.read_ports(self.state)
        if running and ports:
            record = json.loads((self.state / control.RECORD).read_text())
            details |= {
                "server": f"https://127.0.0.1:{ports.api}",
                "kubeconfig": str(self.state / "kubeconfig"),
                "dns": f"127.0.0.1:{ports.dns}",
                "nodePorts": {str(node_port): port for node_port, port in ports.node_ports.items()},
                "pid": int(record["pid"]),
                "log": str(self.state / control.LOG),
            }
        return Status(self.name, running, details)

    def doctor(self) -> list[Finding]:
        """Try what the cluster needs of this machine."""
        return list(doctor.examine(self.state))

    def preload(self, progress: Progress) -> str:
        """There is nothing to load: an image stands for programs that are on this machine already."""
        return "The embedded cluster's images are programs of this machine: there is nothing to load."

    def _stop(self) -> bool:
        try:
            return control.stop(self.state)
        except LaunchError as error:
            raise CommandError(str(error)) from error


def is_installed() -> bool:
    """Whether the packages that only the embedded cluster needs are installed. They come together: one tells."""
    return importlib.util.find_spec("orjson") is not None


def _code() -> str:
    """A digest of the embedded cluster's code: after an update of the checkout it is another one."""
    digest = hashlib.sha256()
    here = Path(labcluster.__file__).parent
    for file in sorted(here.rglob("*.py")):
        digest.update(file.relative_to(here).as_posix().encode() + file.read_bytes())
    return digest.hexdigest()
