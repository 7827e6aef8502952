"""port-forward in a running cluster: into the pod's own network, where even 127.0.0.1 is the pod's."""

from __future__ import annotations

import contextlib
import re
import subprocess
from collections.abc import Iterator

import redis

from tests.running_lab import BIN, SECONDS, Namespace

IMAGE = "valkey/valkey:8.1.8"


def server(name: str, *words: str) -> dict[str, object]:
    """A pod whose server listens where `words` say."""
    probe = {"exec": {"command": ["valkey-cli", "ping"]}, "periodSeconds": 1}
    container = {"name": "main", "image": IMAGE, "command": ["valkey-server", *words], "readinessProbe": probe}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": {"containers": [container]}}


@contextlib.contextmanager
def forwarded(namespace: Namespace, target: str, port: int) -> Iterator[int]:
    """A port on 127.0.0.1 that leads there."""
    command = [str(BIN / "kubectl"), "-n", namespace.name, "port-forward", target, f":{port}"]
    with subprocess.Popen(command, env=namespace.lab.environment, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout
            found = re.search(r"127\.0\.0\.1:(\d+)", process.stdout.readline())
            assert found
            yield int(found[1])
        finally:
            process.terminate()


def test_a_server_that_listens_on_the_pods_loopback_only_is_reached(namespace: Namespace) -> None:
    namespace.apply(server("inner", "--bind", "127.0.0.1"))
    namespace.wait("pod/inner", "condition=Ready")
    with forwarded(namespace, "pod/inner", 6379) as port:
        client = redis.Redis("127.0.0.1", port, decode_responses=True, socket_timeout=SECONDS)
        client.set("greeting", "x" * 100_000)
        assert client.strlen("greeting") == 100_000
        client.close()
    assert namespace.sh("inner", "valkey-cli strlen greeting").strip() == "100000"


def test_two_pods_have_the_same_loopback_port_and_are_kept_apart(namespace: Namespace) -> None:
    for name in ("one", "two"):
        namespace.apply(server(name, "--bind", "127.0.0.1"))
    for name in ("one", "two"):
        namespace.wait(f"pod/{name}", "condition=Ready")
        namespace.sh(name, f"valkey-cli set name {name}")
    for name in ("one", "two"):
        with forwarded(namespace, f"pod/{name}", 6379) as port:
            client = redis.Redis("127.0.0.1", port, decode_responses=True, socket_timeout=SECONDS)
            assert client.get("name") == name
            client.close()
