"""How long a GET takes on a way to a server, and how many of them a second the way carries."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from labsupport.cluster import pods

# Each batch is one valkey-cli with one connection, which sends the next command when it has the last answer.
_BATCHES = """for i in $(seq {batches}); do
a=$EPOCHREALTIME; valkey-cli -h {host} -p {port} -r {size} get {key} >/tmp/replies; b=$EPOCHREALTIME
echo $(( ${{b/./}} - ${{a/./}} )) $(grep -cvE '^(MOVED|ASK|ERR|NOAUTH|Error|$)' /tmp/replies)
done"""
_AT_ONCE = """a=$EPOCHREALTIME
for i in $(seq {clients}); do valkey-cli -h {host} -p {port} -r {size} get {key} >/dev/null & done; wait
b=$EPOCHREALTIME; echo $(( ${{b/./}} - ${{a/./}} ))"""


def from_pod(pod: str, host: str, port: int, key: str, *, batches: int = 20, size: int = 100) -> list[float]:
    """Milliseconds for a GET by valkey-cli in a pod, the mean of each batch of `size` GETs on one connection.

    Each value has the start of valkey-cli in it, shared by its batch. Raises CommandFailed, ValueError where a GET
    was not answered with the value.

    >>> min(from_pod("client", "10.244.1.7", 6379, "a")) > 0
    True
    """
    script = _BATCHES.format(host=host, port=port, key=key, batches=batches, size=size)
    printed = pods.run(pod, ["bash", "-c", script], timeout=60)
    rows = [[int(word) for word in line.split()] for line in printed.splitlines()]
    if wrong := [answered for _, answered in rows if answered != size]:
        raise ValueError(f"{host}:{port} answered only {wrong[0]} of {size} times GET {key} with a value")
    return [microseconds / size / 1000 for microseconds, _ in rows]


def per_second(pod: str, host: str, port: int, key: str, *, clients: int = 8, size: int = 500) -> float:
    """GETs a second over that many connections at once, each by a valkey-cli in the pod. Raises CommandFailed.

    >>> per_second("client", "10.244.1.7", 6379, "a") > 0
    True
    """
    script = _AT_ONCE.format(host=host, port=port, key=key, clients=clients, size=size)
    return clients * size / int(pods.run(pod, ["bash", "-c", script], timeout=60)) * 1e6


def from_here(act: Callable[[], Any], *, times: int = 300) -> list[float]:
    """Milliseconds for each of so many calls of `act` in this notebook, one after another, ten more to begin with.

    >>> from_here(lambda: client.get("a"))
    """
    for _ in range(10):
        act()
    milliseconds = []
    for _ in range(times):
        started = time.perf_counter()
        act()
        milliseconds.append(1000 * (time.perf_counter() - started))
    return milliseconds
