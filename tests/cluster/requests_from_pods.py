"""HTTP requests that begin in a pod, with nothing in it but bash and coreutils: what a client inside the cluster sees.

bash itself opens the connections, by the pod's DNS. It speaks plain HTTP; of HTTPS it carries the bytes, and TLS is
spoken by the test at the other end of `kubectl exec -i`, with the certificates and the token that the pod has.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import ssl
import subprocess
from collections.abc import Iterator
from typing import Any

from tests.running_lab import BIN, SECONDS, Namespace

CREDENTIALS = "/var/run/secrets/kubernetes.io/serviceaccount"

# The exit codes are those of curl: 7 without a connection, 22 for an answer that is no 200.
_GET = r"""host=$0 port=$1 named=$2 times=$3 patient=$4
get() {
  exec 3<>"/dev/tcp/$host/$port" || return 7
  echo connected >&2
  printf 'GET / HTTP/1.0\r\nHost: %s\r\n\r\n' "$named" >&3
  read -r _ code _ <&3 && [ "$code" = 200 ] || return 22
  sed '1,/^\r$/d' <&3
}
for _ in $(seq "$times"); do
  until get; do failed=$?; [ "$patient" ] || exit $failed; sleep 0.2; done
done"""
_NO_CONNECTION = (7, 124)  # the latter is that of `timeout`

# The program ends when the server ends the connection.
_CARRY = 'exec 3<>"/dev/tcp/$0/$1" 4<&0 || exit 7; cat <&4 >&3 & cat <&3; kill $!; wait'


class NoConnection(Exception):
    """Nobody listens at that address, as far as the pod can tell."""


def get(
    space: Namespace,
    pod: str,
    address: str,
    *,
    named: str = "",
    times: int = 1,
    patient: bool = False,
    seconds: int = 5,
) -> str:
    """The body that a pod gets from http://ADDRESS/, so many times; each answer has to be a 200.

    `named` is the name in the Host header. A `patient` client tries until it gets its answer, for at most `seconds`.
    Raises NoConnection.
    """
    host, _, port = address.partition(":")
    words = [host, port or "80", named or host, str(times), "patient" if patient else ""]
    done = space.lab.run_kubectl(
        "-n", space.name, "exec", pod, "--", "timeout", str(seconds), "bash", "-c", _GET, *words
    )
    if done.returncode in _NO_CONNECTION and "connected" not in done.stderr:
        raise NoConnection(done.stderr)
    assert done.returncode == 0, f"{address} ended with {done.returncode}:\n{done.stdout}{done.stderr}"
    return done.stdout


@contextlib.contextmanager
def connection(space: Namespace, pod: str, host: str, port: int) -> Iterator[socket.socket]:
    """A socket whose other end is a TCP connection from a pod to an address or name."""
    ours, theirs = socket.socketpair()
    command = [BIN / "kubectl", "-n", space.name, "exec", "-i", pod, "--", "bash", "-c", _CARRY, host, str(port)]
    with subprocess.Popen(command, env=space.lab.environment, stdin=theirs, stdout=theirs) as carrier:
        theirs.close()
        ours.settimeout(SECONDS)
        try:
            yield ours
        finally:
            ours.close()
            carrier.terminate()


class PodsApi:
    """The API as a pod reaches it: by the pod's DNS, with the pod's CA and its account's token."""

    def __init__(self, space: Namespace, pod: str) -> None:
        self._space, self._pod = space, pod
        authority, _, self._token = space.sh(pod, f"cat {CREDENTIALS}/ca.crt {CREDENTIALS}/token").rpartition("\n")
        self._tls = ssl.create_default_context(cadata=authority)

    def ask(self, path: str, method: str = "GET", body: Any = None, *, anonymous: bool = False) -> tuple[int, str]:
        """The code and the text of an answer."""
        name = "kubernetes.default.svc"
        headers = {"Connection": "close", "Content-Type": "application/json"}
        if not anonymous:
            headers["Authorization"] = f"Bearer {self._token}"
        client = http.client.HTTPConnection(name)
        with (
            connection(self._space, self._pod, name, 443) as carried,
            self._tls.wrap_socket(carried, server_hostname=name) as client.sock,
        ):
            client.request(method, path, json.dumps(body) if body is not None else None, headers)
            answer = client.getresponse()
            return answer.status, answer.read().decode()
