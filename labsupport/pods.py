"""Inside a pod: running a command, reading the log; and the way in from the notebook."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

import yaml
from kubernetes import client
from kubernetes.stream import stream

from labsupport import chapter, kube, ports


class CommandFailed(Exception):
    """The command in the pod ended with another exit code than 0."""


def run(pod: str, command: str | Sequence[str], *, container: str = "", timeout: float = 30) -> str:
    """Run a command in a pod, as `kubectl exec` does, and return what it printed, without the last newline.

    A text is given to the container's shell. `timeout` is in seconds. Raises CommandFailed with what it wrote to
    stderr, ApiException when the pod cannot run it.

    >>> run("web-0", "hostname")
    'web-0'
    """
    argv = ["sh", "-c", command] if isinstance(command, str) else list(command)
    channel = stream(
        # The stream wrapper replaces the client's request method: a client of its own keeps the others whole.
        _own_core().connect_get_namespaced_pod_exec,
        pod,
        chapter.namespace(),
        command=argv,
        stdout=True,
        stderr=True,
        stdin=False,
        tty=False,
        _preload_content=False,
        **({"container": container} if container else {}),
    )
    try:
        channel.run_forever(timeout=timeout)
        out, err = channel.read_stdout(timeout=0), channel.read_stderr(timeout=0)
        if channel.is_open():
            raise CommandFailed(f"{shlex.join(argv)} in {pod} was still running after {timeout:g} s")
        outcome = yaml.safe_load(channel.read_channel(3)) or {}
    finally:
        channel.close()
    if outcome.get("status") != "Success":
        raise CommandFailed(f"{shlex.join(argv)} in {pod}: {outcome.get('message', 'failed')}\n{err or out}".rstrip())
    return str(out).rstrip("\n")


def logs(pod: str, *, container: str = "", tail: int | None = None) -> str:
    """The log of a pod, as `kubectl logs` prints it.

    >>> logs("web-0", tail=1)
    'Ready to accept connections tcp'
    """
    found = kube.core().read_namespaced_pod_log(
        pod,
        chapter.namespace(),
        container=container or None,
        tail_lines=tail,
    )
    return str(found).rstrip("\n")


def address(node_port: int) -> str:
    """Where a NodePort is reached from this notebook, as host:port.

    >>> address(30000)
    '127.0.0.1:30000'
    """
    return f"127.0.0.1:{ports.host_port(node_port)}"


def _own_core() -> client.CoreV1Api:
    return client.CoreV1Api(client.ApiClient(configuration=kube.api_client().configuration))
