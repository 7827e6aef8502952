"""Administration of a Valkey cluster in the chapter's pods: create it, set what its members announce, dissolve it."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from labsupport.cluster import pods, verbs
from labsupport.cluster.asking import NotInTime
from labsupport.redis_cluster import members


def create(names: Sequence[str], *, timeout: int = 30) -> bool:
    """Make a cluster of primaries of the empty servers in those pods; whether they have joined in time.

    They join by their pods' addresses. `timeout` is in seconds: valkey-cli itself would wait for ever for servers
    that never join.

    >>> create(["cache-0", "cache-1", "cache-2"])
    True
    """
    addresses = " ".join(f"{verbs.obj(f'pod/{name}').status.podIP}:6379" for name in names)
    command = f"timeout {timeout} valkey-cli --cluster create {addresses} --cluster-yes"
    try:
        pods.run(names[0], command, timeout=timeout + 10)
        members.wait_until_ok(names, timeout=timeout)
    except (pods.CommandFailed, NotInTime):
        return False
    return True


def announce(pod: str, **settings: object) -> None:
    """Set what the server in a pod announces, by CONFIG SET: `ip` stands for cluster-announce-ip, and so on.

    "" unsets an address or a name, 0 a port. Raises CommandFailed.

    >>> announce("cache-0", ip="172.18.0.3", port=30011, bus_port=30014)
    """
    words = [w for key, value in settings.items() for w in (f"cluster-announce-{key.replace('_', '-')}", str(value))]
    pods.run(pod, f"valkey-cli config set {shlex.join(words)} | grep -x OK")


def dissolve(names: Sequence[str]) -> None:
    """Let the server in each of those pods forget its data, the others and its own identity. Raises CommandFailed."""
    for name in names:
        pods.run(name, "valkey-cli flushall && valkey-cli cluster reset hard")
