"""The members of a Redis cluster: where they are, what each of them knows, and when they have come to agree."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass

from labsupport.cluster import verbs
from labsupport.errors import LabError
from labsupport.redis_cluster.redirects import Send, Unreachable


class NotSettled(LabError):
    """The members have not come to agree in time."""


@dataclass(frozen=True)
class Member:
    """One line of CLUSTER NODES: a member as another one (or itself) knows it."""

    id: str
    address: str  # "host:port"
    flags: frozenset[str]  # myself, master, slave, fail ...
    primary: str  # the id of the member that it copies; "" of a primary
    connected: bool
    slots: tuple[str, ...]  # "0-5460"; and "[93-<-id]" of a slot that is on its way

    @property
    def role(self) -> str:
        """primary or replica."""
        return "primary" if "master" in self.flags else "replica"


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


def parse(text: str) -> list[Member]:
    """Read the answer to CLUSTER NODES."""
    found = []
    for line in text.splitlines():
        identity, address, flags, primary, _, _, _, link, *slots = line.split()
        where = address.partition("@")[0]
        of = "" if primary == "-" else primary
        found.append(Member(identity, where, frozenset(flags.split(",")), of, link == "connected", tuple(slots)))
    return found


def myself(send: Send, node: str) -> Member:
    """What a member knows about itself.

    >>> myself(send, "10.244.1.3:6379").role
    'primary'
    """
    return next(member for member in view(send, node) if "myself" in member.flags)


def settled(send: Send, nodes: Mapping[str, str], *, timeout: float = 60) -> None:
    """Wait until all members say that the cluster is ok, know one another where they are, and agree on the slots.

    `nodes` are the members' addresses by name; `timeout` is in seconds. Gossip takes its time and tells nobody when
    it is done, so this asks again, at growing distances. Raises NotSettled.

    >>> settled(send, addresses("app=redis"))
    6 members agree, and the cluster is ok
    """
    deadline, pause = time.monotonic() + timeout, 0.1
    while why := _unsettled(send, nodes):
        if time.monotonic() + pause > deadline:
            raise NotSettled(f"the members did not come to agree within {timeout:g} s: {why}")
        time.sleep(pause)
        pause = min(1.5 * pause, 1.0)
    print(f"{len(nodes)} members agree, and the cluster is ok")


def _unsettled(send: Send, nodes: Mapping[str, str]) -> str:
    """What is still missing, or ""."""
    opinions = set()
    for name, node in nodes.items():
        try:
            info, members = str(send(node, "CLUSTER", "INFO")), view(send, node)
        except Unreachable as error:
            return f"{name}: {error}"
        if "cluster_state:ok" not in info:
            return f"{name} says {info.split()[0]}"
        if problem := _misjudged(members, set(nodes.values())):
            return f"{name} {problem}"
        opinions.add(frozenset((m.id, m.primary, m.slots) for m in members if m.slots or m.primary))
    return "" if len(opinions) == 1 else "they do not agree on who serves which slot"


def _misjudged(members: list[Member], expected: set[str]) -> str:
    """What a member does not know yet about the others, or ""."""
    for member in members:
        if "myself" not in member.flags:
            if member.address not in expected:
                return f"looks for {member.id[:8]} at {member.address}"
            if not member.connected or member.flags & {"fail", "fail?", "handshake", "noaddr"}:
                return f"has no connection to {member.address}"
    return "" if len(members) == len(expected) else f"knows {len(members)} of {len(expected)} members"
