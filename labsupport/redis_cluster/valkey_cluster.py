"""A Valkey cluster in pods of the chapter: make it, set what its members announce, ask them what they know."""

from __future__ import annotations

import shlex
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from labsupport.cluster import pods, verbs
from labsupport.errors import LabError


class NotSettled(LabError):
    """The members of the cluster did not come to the state that was waited for."""


@dataclass(frozen=True)
class Member:
    """One line of CLUSTER NODES: a member as another one (or it itself) knows it."""

    id: str
    host: str  # the address that clients are told; "" when it does not know its own yet
    port: int  # for clients
    bus: int  # the port of the cluster bus
    hostname: str  # "" unless one is announced
    flags: frozenset[str]  # myself, master, handshake, fail, fail? ...
    link: str  # connected or disconnected
    slots: tuple[str, ...]


def parse(text: str) -> list[Member]:
    """Read the reply of CLUSTER NODES (https://valkey.io/commands/cluster-nodes/). Raises ValueError.

    >>> parse("07c3 10.244.1.7:6379@16379 myself,master - 0 0 1 connected 0-5460")[0].bus
    16379
    """
    return [_member(line) for line in text.splitlines() if line.strip()]


def _member(line: str) -> Member:
    try:
        node_id, address, flags, _primary, _ping, _pong, _epoch, link, *slots = line.split()
        where, _, rest = address.partition("@")
        bus, *names = rest.split(",")
        host, _, port = where.rpartition(":")
        hostname = names[0] if names and "=" not in names[0] else ""
        return Member(node_id, host, int(port), int(bus), hostname, frozenset(flags.split(",")), link, tuple(slots))
    except ValueError as error:
        raise ValueError(f"not a line of CLUSTER NODES: {line!r}") from error


def nodes(pod: str) -> list[Member]:
    """What the server in a pod knows of the cluster. Raises CommandFailed.

    >>> {member.link for member in nodes("cache-0")}
    {'connected'}
    """
    return parse(pods.run(pod, "valkey-cli cluster nodes"))


def state(pod: str) -> str:
    """Whether the server in a pod thinks that the cluster works: "ok" or "fail".

    >>> state("cache-0")
    'ok'
    """
    found = dict(line.split(":", 1) for line in pods.run(pod, "valkey-cli cluster info").split() if ":" in line)
    return found["cluster_state"]


def announce(pod: str, **settings: object) -> None:
    """Set what the server in a pod announces, by CONFIG SET: `ip` stands for cluster-announce-ip, and so on.

    "" takes an address or a name back, 0 a port. Raises CommandFailed.

    >>> announce("cache-0", ip="172.18.0.3", port=30011, bus_port=30014)
    """
    words = [w for key, value in settings.items() for w in (f"cluster-announce-{key.replace('_', '-')}", str(value))]
    pods.run(pod, f"valkey-cli config set {shlex.join(words)} | grep -x OK")


def create(members: Sequence[str], *, timeout: int = 30) -> bool:
    """Make a cluster of primaries of empty servers, by their pods' addresses; whether they have joined in time.

    `timeout` is in seconds. valkey-cli itself would wait for ever for servers that never join.

    >>> create(["cache-0", "cache-1", "cache-2"])
    True
    """
    addresses = " ".join(f"{verbs.obj(f'pod/{pod}').status.podIP}:6379" for pod in members)
    command = f"timeout {timeout} valkey-cli --cluster create {addresses} --cluster-yes"
    try:
        pods.run(members[0], command, timeout=timeout + 10)
        wait_until(lambda: all(state(pod) == "ok" for pod in members), "every member says ok", timeout=timeout)
    except (pods.CommandFailed, NotSettled):
        return False
    return True


def dissolve(members: Sequence[str]) -> None:
    """Let every server forget its data, the others and its own identity. Raises CommandFailed."""
    for pod in members:
        pods.run(pod, "valkey-cli flushall && valkey-cli cluster reset hard")


def wait_until(test: Callable[[], bool], what: str, *, timeout: float = 30) -> None:
    """Ask until a test holds, at growing distances: a server tells nobody when its view changes.

    `timeout` is in seconds. Raises NotSettled, which says `what` did not come.

    >>> wait_until(lambda: state("cache-0") == "ok", "cache-0 says ok")
    """
    deadline, pause = time.monotonic() + timeout, 0.05
    while not test():
        if time.monotonic() + pause > deadline:
            raise NotSettled(
                f"still waiting after {timeout:g} s until {what}. "
                "Look with: lab.run(<a pod>, 'valkey-cli cluster nodes; valkey-cli cluster info')"
            )
        time.sleep(pause)
        pause = min(1.5 * pause, 0.5)


def seen(pod: str, test: Callable[[list[Member]], bool], what: str, *, timeout: float = 30) -> list[Member]:
    """What the server in a pod knows, as soon as it passes a test. Raises NotSettled, which says `what` did not come.

    >>> len(seen("cache-0", lambda members: len(members) == 3, "cache-0 knows all three"))
    3
    """
    found: list[Member] = []

    def look() -> bool:
        found[:] = nodes(pod)
        return test(found)

    wait_until(look, what, timeout=timeout)
    return found
