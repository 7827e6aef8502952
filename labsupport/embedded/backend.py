"""The embedded cluster as `lab` drives it: up, down, reset, status, doctor."""

from __future__ import annotations

import json
import os
import platform
import shutil
import sys
from pathlib import Path

from labsupport import backends
from labsupport.backends import CommandError, Finding, Progress, Status
from labsupport.embedded import launch
from labsupport.embedded.launch_errors import LaunchError
from labsupport.embedded.node import images

# What a reset keeps: addresses and keys, so that open notebooks and terminals go on working.
_KEPT = ("ports.json", "pki", "kubeconfig", "lock", "cluster.json", "daemon.log")


class EmbeddedBackend:
    """The cluster in one process that lives in a state directory."""

    name = "embedded"

    def __init__(self, state: Path) -> None:
        self.state = state

    def up(self, progress: Progress) -> str:
        """Start the daemon and wait until nodes are Ready and DNS answers. Raises CommandError with the remedy."""
        if sys.platform != "linux":
            raise CommandError(f"the embedded cluster needs Linux, this is {sys.platform}. Elsewhere use CLUSTER=kind.")
        try:
            launched = launch.start(self.state, progress=progress)
        except LaunchError as error:
            raise CommandError(f"{error}\n`lab doctor` examines this machine.") from error
        backends.record(self.name, self.state)
        if launched.already:
            return "The cluster was up already."
        return "The cluster is up: 3 nodes are Ready and DNS answers."

    def down(self, progress: Progress) -> str:
        """Stop the daemon, and with it every pod; then remove the state. Raises CommandError."""
        if not self.state.exists():
            return "There was no cluster."
        ran = self._stop()
        shutil.rmtree(self.state)
        return "The cluster is removed, with all its data." if ran else "It was not running; its data is removed."

    def reset(self, progress: Progress) -> str:
        """Remove all objects and all data, and start anew with the same addresses and keys. Raises CommandError."""
        if not self.state.exists():
            return self.up(progress)
        self._stop()
        for entry in self.state.iterdir():
            if entry.name in _KEPT:
                continue
            if entry.is_dir() and not entry.is_symlink():
                shutil.rmtree(entry)
            else:
                entry.unlink()
        self.up(progress)
        return "The cluster is as new."

    def status(self) -> Status:
        """What is running, from the records that the daemon's start left."""
        details: dict[str, str | int | dict[str, int]] = {"state": str(self.state)}
        running = launch.is_running(self.state)
        if running:
            ports = json.loads((self.state / "ports.json").read_text())
            record = json.loads((self.state / "daemon.json").read_text())
            details |= {
                "server": f"https://127.0.0.1:{ports['api']}",
                "kubeconfig": str(self.state / "kubeconfig"),
                "dns": f"127.0.0.1:{ports['dns']}",
                "nodePorts": ports["nodePorts"],
                "pid": int(record["pid"]),
                "log": str(self.state / launch.LOG),
            }
        return Status(self.name, running, details)

    def doctor(self) -> list[Finding]:
        """Try what the cluster needs of this machine."""
        return [_system(), _namespaces(), self._room(), *_images()]

    def _stop(self) -> bool:
        try:
            return launch.stop(self.state)
        except LaunchError as error:
            raise CommandError(str(error)) from error

    def _room(self) -> Finding:
        place = next(p for p in (self.state, *self.state.parents) if p.exists())
        usage = os.statvfs(place)
        free = usage.f_bavail * usage.f_frsize // 2**20
        if free < 200:
            return Finding("disk", "fail", f"{free} MiB free at {place}", "free some space: the lab needs 200 MiB")
        return Finding("disk", "ok", f"{free} MiB free at {place}")


def _system() -> Finding:
    text = f"{platform.system()} {platform.release()} {platform.machine()}, Python {platform.python_version()}"
    if sys.platform != "linux":
        return Finding("system", "fail", text, "use kind on macOS and Windows")
    return Finding("system", "ok", text)


def _namespaces() -> Finding:
    try:
        launch.check_namespaces()
    except LaunchError as error:
        return Finding("namespaces", "fail", error.message, error.remedy)
    return Finding("namespaces", "ok", "user, network, mount and pid namespaces work for this user")


def _images() -> list[Finding]:
    return [Finding("image", "ok", str(image)) for image in images.available()]
