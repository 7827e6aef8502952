"""A lab of the tests' own: the real command, the real daemon, in a state directory that is thrown away."""

from __future__ import annotations

import functools
import json
import os
import random
import ssl
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode
from urllib.request import Request, urlopen

import kubernetes
import pytest

from labcluster.launch import host_ports
from labsupport import settings
from tools.run_all import NO_LAB

BIN = Path(sys.executable).parent
SECONDS = 30  # the longest that a test waits for anything


def kubectl_environment(kubeconfig: Path | str, cache: Path | str) -> dict[str, str]:
    """The environment of a kubectl that reads and writes nothing of the user's own: no file of `~/.kube`."""
    return {**os.environ, "KUBECONFIG": str(kubeconfig), "KUBECACHEDIR": str(cache), "KUBERC": "off"}


def ports_far_from_others() -> host_ports.Ports:
    """Ports far from those that a lab takes when it starts, so that none takes them while they are not used."""
    while True:
        down = 100 * random.randrange(20, 90)
        chosen = host_ports.Ports(
            settings.API_PORT + down, settings.DNS_NODE_PORT - down, {port: port - down for port in settings.NODE_PORTS}
        )
        if host_ports.taken(chosen) is None:
            return chosen


class RunningLab:
    """One lab in `state`, driven by the commands that a learner types."""

    def __init__(self, state: Path) -> None:
        if reason := os.environ.get(NO_LAB):
            pytest.skip(f"no lab can start here: {reason}")
        self.state = state
        self.kubeconfig = state / "kubeconfig"

    @property
    def environment(self) -> dict[str, str]:
        """The environment of this lab's commands: nothing of the user's own cluster in it."""
        own = {"LAB_STATE": str(self.state), "CLUSTER": "embedded"}
        return {**kubectl_environment(self.kubeconfig, self.state / "kubectl-cache"), **own}

    def keep_ports(self) -> None:
        """Before the first start: have ports that are still free when the lab was killed and is started again."""
        self.state.mkdir(mode=0o700)
        (self.state / host_ports.RECORD).write_text(json.dumps(ports_far_from_others().to_json()))

    def lab(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run `lab`; the caller looks at the exit code."""
        return subprocess.run(
            [BIN / "lab", *arguments],
            env={**self.environment, **environment},
            capture_output=True,
            text=True,
            timeout=90,
        )

    def up(self) -> str:
        """`lab up`; returns what it said."""
        return self._ok(self.lab("up"))

    def down(self) -> str:
        """`lab down`; returns what it said."""
        return self._ok(self.lab("down"))

    def status(self) -> dict[str, Any]:
        """`lab status --json`."""
        told: dict[str, Any] = json.loads(self._ok(self.lab("status", "--json")))
        return told

    def host_port(self, node_port: int) -> int:
        """The port on 127.0.0.1 that leads to a NodePort."""
        return int(self.status()["nodePorts"][str(node_port)])

    def kubectl(self, *arguments: str, stdin: str | None = None) -> str:
        """The output of a kubectl command that has to succeed."""
        return self._ok(self.run_kubectl(*arguments, stdin=stdin))

    def run_kubectl(self, *arguments: str, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
        """Run the wheel's kubectl; the caller looks at the exit code."""
        return subprocess.run(
            [BIN / "kubectl", *arguments],
            env=self.environment,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=2 * SECONDS,
        )

    def request(self, path: str, *, body: dict[str, Any] | None = None, **query: Any) -> Any:
        """GET /api/v1/PATH, or POST a body there: as it comes, without a client that retries or checks."""
        context = ssl.create_default_context(cafile=str(self.state / "pki" / "ca.crt"))
        context.load_cert_chain(self.state / "pki" / "admin.crt", self.state / "pki" / "admin.key")
        url = f"{self.client.configuration.host}/api/v1/{path}?{urlencode(query)}"
        request = Request(url, json.dumps(body).encode() if body else None, {"Content-Type": "application/json"})
        return urlopen(request, context=context, timeout=SECONDS)

    @functools.cached_property
    def client(self) -> kubernetes.client.ApiClient:
        """The official client, for this lab."""
        return kubernetes.config.new_client_from_config(config_file=str(self.kubeconfig))

    @functools.cached_property
    def core(self) -> kubernetes.client.CoreV1Api:
        """The client's core API."""
        return kubernetes.client.CoreV1Api(self.client)

    @functools.cached_property
    def apps(self) -> kubernetes.client.AppsV1Api:
        """The client's apps API."""
        return kubernetes.client.AppsV1Api(self.client)

    @staticmethod
    def _ok(done: subprocess.CompletedProcess[str]) -> str:
        assert done.returncode == 0, f"{done.args} ended with {done.returncode}:\n{done.stdout}{done.stderr}"
        return done.stdout


@dataclass(frozen=True)
class Namespace:
    """A namespace of one test."""

    lab: RunningLab
    name: str

    def kubectl(self, *arguments: str, stdin: str | None = None) -> str:
        """The output of a kubectl command in this namespace that has to succeed."""
        return self.lab.kubectl("-n", self.name, *arguments, stdin=stdin)

    def refused(self, *arguments: str, stdin: str | None = None) -> str:
        """What kubectl says on its standard error when a command in this namespace fails, as it has to."""
        done = self.lab.run_kubectl("-n", self.name, *arguments, stdin=stdin)
        assert done.returncode != 0, f"{arguments} succeeded: {done.stdout}"
        return done.stderr

    def apply(self, *objects: dict[str, Any]) -> None:
        """Apply manifests."""
        items = {"apiVersion": "v1", "kind": "List", "items": list(objects)}
        self.kubectl("apply", "-f", "-", stdin=json.dumps(items))

    def get(self, reference: str) -> dict[str, Any]:
        """One object (`pod/web-0`), or the list of a kind (`pods`)."""
        found: dict[str, Any] = json.loads(self.kubectl("get", reference, "-o", "json"))
        return found

    def wait(self, reference: str, condition: str, *options: str, seconds: int = 30) -> None:
        """`kubectl wait` for `condition=Ready`, `jsonpath=...=...`, `delete`, ..."""
        self.kubectl("wait", reference, f"--for={condition}", f"--timeout={seconds}s", *options)

    def sh(self, pod: str, script: str) -> str:
        """What a shell script prints in a pod."""
        return self.kubectl("exec", pod, "--", "sh", "-c", script)
