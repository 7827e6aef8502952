"""The cluster's DNS as the notebook reaches it: UDP on 127.0.0.1."""

from __future__ import annotations

import socket
import struct
import time
from collections.abc import Iterator

import dns.message
import dns.rcode

from tools.bench.cluster import Cluster
from tools.bench.figures import Figure

NAME = "kubernetes.default.svc.cluster.local."
_SECONDS = 1.0
_IN_FLIGHT = 16


def measure(cluster: Cluster, runs: int) -> Iterator[Figure]:
    """Answers a second with one query at a time, and with 16 on the way."""
    assert cluster.lab, "only a lab's DNS is reached from here"
    port = int(cluster.lab.status()["dns"].rpartition(":")[2])
    for in_flight, text in ((1, "one at a time"), (_IN_FLIGHT, f"{_IN_FLIGHT} in flight")):
        yield Figure(f"DNS answers over UDP, {text}", "1/s", [_rate(port, in_flight) for _ in range(runs)])


def _rate(port: int, in_flight: int) -> float:
    query = dns.message.make_query(NAME, "A").to_wire()[2:]
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.connect(("127.0.0.1", port))
        client.settimeout(5)
        answers = 0
        started = time.perf_counter()
        while time.perf_counter() - started < _SECONDS:
            for _ in range(in_flight):
                client.send(struct.pack("!H", answers % 65536) + query)
            for _ in range(in_flight):
                answer = client.recv(4096)
                answers += 1
        seconds = time.perf_counter() - started
    last = dns.message.from_wire(answer)
    if last.rcode() != dns.rcode.NOERROR or not last.answer:
        raise RuntimeError(f"{NAME} was answered with {dns.rcode.to_text(last.rcode())}")
    return answers / seconds
