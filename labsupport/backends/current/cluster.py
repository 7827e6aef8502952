"""The cluster of the current kubeconfig context, as `lab` drives it: it is used, never made or removed."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from kubernetes.client.exceptions import ApiException
from urllib3.exceptions import HTTPError

from labsupport import paths
from labsupport.backends import contract, readiness
from labsupport.backends.contract import CommandError, Finding, Progress, Status
from labsupport.backends.current import context, forwarder, own, preflight
from labsupport.backends.state_directory import StateDirectory
from labsupport.cluster import scope

YES = "LAB_YES"
FILES = frozenset({scope.RECORD, forwarder.LOCK, forwarder.LOG})
_START_SECONDS = 30.0


class CurrentBackend:
    """A lab in namespaces of the learner's own, on a cluster that belongs to somebody else."""

    name = "current"

    def __init__(self, state: Path) -> None:
        self.state = state
        self._directory = StateDirectory(state, FILES)

    @property
    def _kubeconfig(self) -> Path:
        return self.state / "kubeconfig"

    def up(self, progress: Progress) -> str:
        """Look at the cluster, ask, and make what the lab needs there. Raises CommandError with the remedy."""
        self._directory.prepare()
        again = (self.state / scope.RECORD).exists() and self._kubeconfig.exists()
        with _told():
            if not again:
                self._adopt(progress)
            prefix = self._prefix()
            api = readiness.connect(self._kubeconfig)
            own.make_namespace(api, prefix)
            for finding in preflight.host_network(api, prefix):
                if finding.level != "ok":
                    progress(f"{finding.level}: {finding.subject}: {finding.detail}. {finding.remedy}")
            progress("a relay for DNS ...")
            own.make_relay(api, prefix)
            if not again:
                own.pull_images(api, prefix, progress)
        self._start_forwarder(progress)
        ports = json.loads((self.state / "ports.json").read_text())
        if wrong := readiness.ask_dns(int(ports["dns"])):
            raise CommandError(
                f"the cluster's DNS does not answer through the relay: {wrong}. Look at {self.state / forwarder.LOG} "
                f"and at `kubectl -n {prefix}-lab logs dns-relay`, then `lab up` again."
            )
        if again:
            return f"The lab is on {api.configuration.host}, as before."
        return f"The lab is ready on {api.configuration.host}; your namespaces begin with `{prefix}-`."

    def _adopt(self, progress: Progress) -> None:
        """Take the current context after a look at the cluster and the learner's yes. Raises CommandError."""
        prefix = context.learner_prefix()
        found = context.read_current()
        with _kubeconfig_file(found) as file:
            findings = list(preflight.examine(readiness.connect(file, patient=False), prefix))
        for finding in findings:
            if finding.level != "ok":
                progress(f"{finding.level}: {finding.subject}: {finding.detail}")
        failed = [f for f in findings if f.level == "fail"]
        if failed:
            told = "\n".join(f"- {f.subject}: {f.detail}\n  -> {f.remedy}" for f in failed)
            raise CommandError(f"this cluster lacks what the course needs:\n{told}")
        _ask(found, prefix)
        with open(os.open(self._kubeconfig, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file_:
            json.dump(found, file_)
        (self.state / scope.RECORD).write_text(json.dumps({"prefix": prefix}) + "\n")
        contract.record(self.name, self.state)

    def down(self, progress: Progress) -> str:
        """Remove the learner's namespaces, end the forwarder, and remove the state. Raises CommandError."""
        if not self.state.exists():
            return "There was no lab."
        self._directory.check()
        removed = self._clean(progress)
        if stays := self._directory.remove():
            return f"The lab is removed. {stays}"
        return f"Removed from the cluster: {', '.join(removed) or 'nothing'}. The cluster itself stays."

    def reset(self, progress: Progress) -> str:
        """Remove the learner's namespaces, and make what the lab needs anew. Raises CommandError."""
        if not (self.state / scope.RECORD).exists():
            return self.up(progress)
        self._clean(progress)
        self.up(progress)
        return "Your part of the cluster is as new."

    def _clean(self, progress: Progress) -> list[str]:
        self._stop_forwarder()
        if not (self.state / scope.RECORD).exists() or not self._kubeconfig.exists():
            return []
        progress("removing your namespaces ...")
        with _told():
            return own.remove_namespaces(readiness.connect(self._kubeconfig), self._prefix())

    def status(self) -> Status:
        """Where the lab is, by what `up` has written down."""
        details: dict[str, str | int | dict[str, int]] = {"state": str(self.state)}
        running = self._forwarder_pid() is not None
        if running:
            ports = json.loads((self.state / "ports.json").read_text())
            details |= {
                "server": str(readiness.connect(self._kubeconfig).configuration.host),
                "namespaces": f"{self._prefix()}-*",
                "kubeconfig": str(self._kubeconfig),
                "dns": f"127.0.0.1:{ports['dns']}",
                "nodePorts": ports["nodePorts"],
                "log": str(self.state / forwarder.LOG),
            }
        return Status(self.name, running, details)

    def doctor(self) -> list[Finding]:
        """What the course needs of the cluster."""
        try:
            if (self.state / scope.RECORD).exists():
                api = readiness.connect(self._kubeconfig, patient=False)
                return list(preflight.examine(api, self._prefix()))
            with _kubeconfig_file(context.read_current()) as file:
                return list(preflight.examine(readiness.connect(file, patient=False), context.learner_prefix()))
        except CommandError as error:
            return [Finding("context", "fail", str(error))]
        except (ApiException, HTTPError, OSError) as error:
            return [Finding("cluster", "fail", f"it does not answer: {error}", "`kubectl version` asks it, too")]

    def preload(self, progress: Progress) -> str:
        """Let every node pull the course's images. Raises CommandError."""
        if not (self.state / scope.RECORD).exists():
            raise CommandError("there is no lab yet. `lab up` makes it, and loads the images.")
        with _told():
            count = own.pull_images(readiness.connect(self._kubeconfig), self._prefix(), progress)
        return f"The nodes have the images ({count} pods have run for that)."

    def _prefix(self) -> str:
        return str(json.loads((self.state / scope.RECORD).read_text())["prefix"])

    # ---------------------------------------------------------------- the forwarder

    def _start_forwarder(self, progress: Progress) -> None:
        """Start it unless it runs, and wait until its ports are open. Raises CommandError."""
        command = [sys.executable, "-m", "labsupport.backends.current.forwarder", str(self.state)]
        process = subprocess.Popen(
            command,
            cwd=paths.course_root(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,  # Ctrl-C in the terminal is not meant for it
        )
        assert process.stdout and process.stderr
        timer = threading.Timer(_START_SECONDS, process.kill)
        timer.start()
        try:
            line = process.stdout.readline().strip()
        finally:
            timer.cancel()
        if line != forwarder.READY:
            said = process.stderr.read().strip().splitlines() or ["nothing"]
            raise CommandError(f"the port forwarder did not start. It said: {said[-1]}")
        progress("port-forwards stand in for the NodePorts")

    def _forwarder_pid(self) -> int | None:
        if not (self.state / forwarder.LOCK).exists():
            return None
        lock = forwarder.take_lock(self.state)
        if lock is not None:
            lock.close()
            return None
        return int((self.state / forwarder.LOCK).read_text() or 0) or None

    def _stop_forwarder(self) -> None:
        pid = self._forwarder_pid()
        if pid is None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)
        with (self.state / forwarder.LOCK).open() as file:  # free once it has ended
            waiter = threading.Thread(target=fcntl.flock, args=(file, fcntl.LOCK_EX), daemon=True)
            waiter.start()
            waiter.join(10)
            if waiter.is_alive():
                raise CommandError(f"the port forwarder (process {pid}) does not end. `kill -9 {pid}`, and again.")


@contextlib.contextmanager
def _told() -> Iterator[None]:
    """Tell what the cluster refused, or that it does not answer, as a CommandError."""
    try:
        yield
    except ApiException as error:
        try:
            text = json.loads(error.body)["message"]
        except (TypeError, ValueError, KeyError):
            text = str(error.body or error.reason)
        raise CommandError(f"the cluster refused: {text}. `lab doctor` says what the course needs.") from error
    except (HTTPError, OSError) as error:
        raise CommandError(f"the cluster does not answer: {error}. Try `kubectl version` with your context.") from error


@contextlib.contextmanager
def _kubeconfig_file(content: dict[str, Any]) -> Iterator[Path]:
    """The kubeconfig in a file that only its owner can read and that goes away."""
    with tempfile.TemporaryDirectory(prefix="lab-") as directory:  # mode 0700
        file = Path(directory) / "kubeconfig"
        file.write_text(json.dumps(content))
        yield file


def _ask(found: dict[str, Any], prefix: str) -> None:
    """List what the lab will touch, and have the learner's yes. Raises CommandError without it."""
    server = found["clusters"][0]["cluster"]["server"]
    print(f"This lab works on the cluster of the context `{found.get('current-context')}`, {server},")
    print(f"in namespaces that begin with `{prefix}-`. Outside of them it touches:")
    for item in preflight.CLUSTER_WIDE:
        print(f"  - {item.format(prefix=prefix)}")
    if os.environ.get(YES):
        return
    if not sys.stdin.isatty():
        raise CommandError(f"nobody is there to agree. Say it beforehand: `{YES}=1 make lab CLUSTER=current`.")
    if input("Go on? [y/N] ").strip().lower() not in ("y", "yes"):
        raise CommandError("nothing was made.")
