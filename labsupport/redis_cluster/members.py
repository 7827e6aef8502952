"""The members of a Redis cluster: where they are, what each of them knows, and when they have come to agree.

A member is asked in one of two ways: over a connection from elsewhere (`send`, see `redirects`), or by valkey-cli in
its own pod.
"""

from __future__ import annotations

import operator
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from labsupport.cluster import asking, pods, verbs
from labsupport.redis_cluster.redirects import Send, Unreachable

_ADVICE = "Look at: lab.run(<a member's pod>, 'valkey-cli cluster nodes; valkey-cli cluster info')"


@dataclass(frozen=True)
class Member:
    """One line of CLUSTER NODES: a member as another one (or it itself) knows it."""

    id: str
    host: str  # the address that clients are told; "" when it does not know its own yet
    port: int  # for clients
    bus: int  # the port of the cluster bus
    hostname: str  # "" unless one is announced
    flags: frozenset[str]  # myself, master, slave, handshake, fail, fail? ...
    primary: str  # the id of the member that it copies; "" of a primary
    link: str  # connected or disconnected
    slots: tuple[str, ...]  # "0-5460"; and "[93-<-id]" of a slot that is being moved

    @property
    def address(self) -> str:
        """Where clients are told to connect, "host:port"."""
        return f"{self.host}:{self.port}"

    @property
    def role(self) -> str:
        """primary or replica."""
        return "primary" if "master" in self.flags else "replica"


def parse(text: str) -> list[Member]:
    """Read the reply to CLUSTER NODES (https://valkey.io/commands/cluster-nodes/). Raises ValueError.

    >>> parse("07c3 10.244.1.7:6379@16379 myself,master - 0 0 1 connected 0-5460")[0].bus
    16379
    """
    return [_member(line) for line in text.splitlines() if line.strip()]


def _member(line: str) -> Member:
    try:
        identity, address, flags, primary, _ping, _pong, _epoch, link, *slots = line.split()
        endpoint, _, rest = address.partition("@")
        host, _, port = endpoint.rpartition(":")
        bus, *extras = rest.split(",")
        hostname = extras[0] if extras and "=" not in extras[0] else ""
        return Member(
            identity,
            host,
            int(port),
            int(bus),
            hostname,
            frozenset(flags.split(",")),
            "" if primary == "-" else primary,
            link,
            tuple(slots),
        )
    except ValueError as error:
        raise ValueError(f"not a line of CLUSTER NODES: {line!r}") from error


def addresses(selector: str, port: int = 6379) -> dict[str, str]:
    """The pods with those labels by name, and where each is reached inside the cluster.

    >>> addresses("app=redis")["redis-0"]
    '10.244.1.3:6379'
    """
    return {pod.metadata.name: f"{pod.status.podIP}:{port}" for pod in verbs.objects("pods", selector)}


def view(send: Send, node: str) -> list[Member]:
    """What a member knows about all members, itself included (CLUSTER NODES). Raises Unreachable.

    >>> len(view(send, "10.244.1.3:6379"))
    6
    """
    return parse(str(send(node, "CLUSTER", "NODES")))


def myself(send: Send, node: str) -> Member:
    """What a member knows about itself. Raises Unreachable.

    >>> myself(send, "10.244.1.3:6379").role
    'primary'
    """
    return next(member for member in view(send, node) if "myself" in member.flags)


def known_to(pod: str) -> list[Member]:
    """All members that the one in a pod knows, itself included, by valkey-cli. Raises CommandFailed.

    >>> {member.link for member in known_to("cache-0")}
    {'connected'}
    """
    return parse(pods.run(pod, "valkey-cli cluster nodes"))


def state(pod: str) -> str:
    """Whether the member in a pod thinks that the cluster works: "ok" or "fail". Raises CommandFailed.

    >>> state("cache-0")
    'ok'
    """
    info = dict(line.split(":", 1) for line in pods.run(pod, "valkey-cli cluster info").split() if ":" in line)
    return info["cluster_state"]


def wait_until_ok(names: Sequence[str], *, timeout: float = 30) -> None:
    """Wait until the members in those pods all say that the cluster is ok. Raises NotInTime, CommandFailed.

    `timeout` is in seconds.

    >>> wait_until_ok(["cache-0", "cache-1", "cache-2"])
    """
    asking.until(
        lambda: {name: state(name) for name in names},
        lambda states: set(states.values()) == {"ok"},
        what="every member says ok",
        timeout=timeout,
        advice=_ADVICE,
    )


def settled(send: Send, nodes: Mapping[str, str], *, timeout: float = 60) -> None:
    """Wait until all members say that the cluster is ok, know one another where they are, and agree on the slots.

    `nodes` are the members' addresses by name; `timeout` is in seconds. Gossip takes its time and tells nobody when
    it is done, so this asks again, with growing pauses. Raises NotInTime.

    >>> settled(send, addresses("app=redis"))
    6 members agree, and the cluster is ok
    """
    asking.until(
        lambda: _disagreement(send, nodes),
        operator.not_,
        what="the members agree",
        timeout=timeout,
        longest_pause=1.0,
        advice=_ADVICE,
    )
    print(f"{len(nodes)} members agree, and the cluster is ok")


def _disagreement(send: Send, nodes: Mapping[str, str]) -> str:
    """What keeps the cluster from being settled, or ""."""
    maps = set()
    for name, node in nodes.items():
        try:
            info, members = str(send(node, "CLUSTER", "INFO")), view(send, node)
        except Unreachable as error:
            return f"{name}: {error}"
        if "cluster_state:ok" not in info:
            return f"{name} says {info.split()[0]}"
        if problem := _error_in(members, set(nodes.values())):
            return f"{name} {problem}"
        maps.add(frozenset((m.id, m.primary, m.slots) for m in members if m.slots or m.primary))
    return "" if len(maps) == 1 else "they do not agree on who serves which slot"


def _error_in(members: Sequence[Member], expected: set[str]) -> str:
    """What a member does not know yet about the others, or "". What it believes of its own address is left out."""
    for member in members:
        if "myself" not in member.flags:
            if member.address not in expected:
                return f"looks for {member.id[:8]} at {member.address}"
            if member.link != "connected" or member.flags & {"fail", "fail?", "handshake", "noaddr"}:
                return f"has no connection to {member.address}"
    return "" if len(members) == len(expected) else f"knows {len(members)} of {len(expected)} members"
