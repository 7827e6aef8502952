"""Inside a pod: running a command, reading the log; and the way in from the notebook."""

from __future__ import annotations

import shlex
import socket
from collections.abc import Sequence
from typing import Any

import urllib3
import yaml
from kubernetes.stream import stream

from labsupport import paths
from labsupport.cluster import api, scope
from labsupport.errors import LabError, readable


class CommandFailed(LabError):
    """The command in the pod ended with another exit code than 0."""


def run(pod: str, command: str | Sequence[str], *, container: str = "", timeout: float = 30) -> str:
    """Run a command in a pod, as `kubectl exec` does, and return what it printed, without the last newline.

    A text is given to the container's shell. `timeout` is in seconds. Raises CommandFailed with what it wrote to
    stderr, Refused when the pod cannot run it.

    >>> run("web-0", "hostname")
    'web-0'
    """
    argv = ["sh", "-c", command] if isinstance(command, str) else list(command)
    with readable():
        channel = open_exec(pod, argv, container=container)
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


def open_exec(pod: str, argv: Sequence[str], *, container: str = "", stdin: bool = False, binary: bool = False) -> Any:
    """A command that runs in a pod: the open channel (a WSClient) to its stdout, stderr and, with `stdin`, its stdin.

    What comes is text, with `binary` bytes. Raises ApiException when the pod cannot run it.
    """
    return stream(
        # The stream wrapper replaces the client's request method: a client of its own keeps the others whole.
        api.fresh_core().connect_get_namespaced_pod_exec,
        pod,
        scope.namespace(),
        command=argv,
        stdout=True,
        stderr=True,
        stdin=stdin,
        tty=False,
        binary=binary,
        _preload_content=False,
        **({"container": container} if container else {}),
    )


def logs(pod: str, *, container: str = "", tail: int | None = None) -> str:
    """The log of a pod, as `kubectl logs` prints it.

    >>> logs("web-0", tail=1)
    'Ready to accept connections tcp'
    """
    with readable():
        log = api.core().read_namespaced_pod_log(pod, scope.namespace(), container=container or None, tail_lines=tail)
    return str(log).rstrip("\n")


def fetch(node_port: int, path: str = "/", *, timeout: float = 10) -> str:
    """GET a page from a web server behind a NodePort, over a connection of its own each time.

    A port that a moment ago was opened may refuse the first connection: that is tried again, with growing pauses
    and at most five times. `timeout` is in seconds. Raises urllib3's HTTPError.

    >>> fetch(30001)
    'web-4xk2p'
    """
    patience = urllib3.Retry(connect=5, read=0, redirect=0, other=0, backoff_factor=0.2)
    with urllib3.PoolManager(retries=patience, timeout=timeout, headers={"Connection": "close"}) as pool:
        return pool.request("GET", f"http://{address(node_port)}{path}").data.decode().strip()


def reachable(host: str, port: int, *, timeout: float = 1) -> bool:
    """Whether a TCP connection from this notebook comes about within so many seconds.

    An address to which only this machine's default route leads is out of reach, and is not even tried: the
    cluster's networks are private, and packets for them have no business on the way to the internet.

    >>> reachable("10.244.1.7", 6379)
    False
    """
    if _source_for(host) in (None, _source_for(_ELSEWHERE)):
        return False
    try:
        with socket.create_connection((host, port), timeout):
            return True
    except OSError:
        return False


_ELSEWHERE = "192.0.2.1"  # TEST-NET-1 (RFC 5737): nobody's, so only the default route leads there


def _source_for(host: str) -> str | None:
    """The address that this machine would send from; None where no route leads. Connecting UDP sends nothing."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect((host, 9))
        except OSError:
            return None
        return str(probe.getsockname()[0])


def address(node_port: int) -> str:
    """Where a NodePort is reached from this notebook, as host:port.

    >>> address(30000)
    '127.0.0.1:30000'
    """
    return f"127.0.0.1:{paths.host_port(node_port)}"
