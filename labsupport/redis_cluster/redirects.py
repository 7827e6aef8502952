"""A client that follows redirects: MOVED, ASK and TRYAGAIN, as the cluster specification asks of clients.

Pure logic: how a command reaches a node is the caller's matter. Source: https://valkey.io/topics/cluster-spec/,
"Redirection and resharding".
"""

from __future__ import annotations

import contextlib
import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, Literal

from labsupport.errors import LabError
from labsupport.redis_cluster.slots import owners, slot_of
from labsupport.redis_cluster.wire_format import ErrorReply

MOST_HOPS = 5  # redirects one after another; more than two happen only while slots move

# Sends a command to a node, "host:port", over one connection for each, and returns its reply. Raises Unreachable.
Send = Callable[..., Any]
Learning = Literal["nothing", "slot", "map"]


class Unreachable(LabError):
    """No connection to a node, or it ended."""


class ClusterDown(LabError):
    """The cluster does not serve the slot: it is not assigned, or its node has failed."""


class TooManyRedirects(LabError):
    """The nodes send the client round in circles."""


class CommandRefused(LabError):
    """An error that is no redirect."""


class Follower:
    """A client that finds the node for each key by following redirects, and counts them.

    `seeds` are the nodes it knows at the beginning. `learn` says what it makes of a MOVED: "nothing", so that each
    command starts at the first seed; "slot", it remembers that slot; "map", it asks for the whole map.
    `patience` is how long TRYAGAIN may last, in seconds.

    >>> client = Follower(send, ["10.244.1.3:6379"])
    >>> client.run("SET", "colour", "blue")
    'OK'
    >>> client.counts["MOVED"]
    1
    """

    def __init__(
        self,
        send: Send,
        seeds: Sequence[str],
        *,
        learn: Learning = "map",
        patience: float = 10,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        self.send = send
        self.seeds = list(seeds)
        self.learn = learn
        self.patience = patience
        self.pause = pause
        self.map: dict[int, str] = {}
        self.counts: Counter[str] = Counter()

    def run(self, *command: str | int) -> Any:
        """Run a command whose first key is its second word, and return the reply of the node that served it.

        After a lost connection the command is sent once more, by a new map: it may have been run twice then.
        Raises ClusterDown, TooManyRedirects, CommandRefused, and Unreachable when a new map does not help either.
        """
        slot = slot_of(str(command[1]))
        lost = 0
        waited, wait = 0.0, 0.01
        while True:
            try:
                reply = self._follow(slot, command)
            except Unreachable:
                lost += 1
                if lost == 2:  # with a new map, too
                    raise
                self.counts["unreachable"] += 1
                self.load_map()
                continue
            if not _is(reply, "TRYAGAIN"):
                return reply
            self.counts["TRYAGAIN"] += 1
            if waited >= self.patience:
                raise ClusterDown(f"slot {slot} was still on its way after {waited:.1f} s; {reply}")
            self.pause(wait)
            waited, wait = waited + wait, min(2 * wait, 0.5)

    def load_map(self) -> None:
        """Ask the first seed that answers which node serves which slot. Raises Unreachable when none answers."""
        self.map = {}
        for seed in self.seeds:
            try:
                self.map = owners(self.send(seed, "CLUSTER", "SLOTS"), seed)
                return
            except Unreachable:
                continue
        raise Unreachable(f"none of {', '.join(self.seeds)} answers")

    def _follow(self, slot: int, command: tuple[str | int, ...]) -> Any:
        """Follow redirects from the node of the map to an answer, which may be TRYAGAIN."""
        node, asking = self.map.get(slot, self.seeds[0]), False
        for _ in range(MOST_HOPS + 1):
            if asking:
                self.send(node, "ASKING")
            reply = self.send(node, *command)
            if _is(reply, "MOVED"):
                node, asking = _target(reply, node), False
                self._moved(slot, node)
            elif _is(reply, "ASK"):  # for this one command: the map stays
                node, asking = _target(reply, node), True
            elif _is(reply, "TRYAGAIN") or not isinstance(reply, ErrorReply):
                return reply
            elif _is(reply, "CLUSTERDOWN"):
                raise ClusterDown(f"{reply}. Look at it with: valkey-cli cluster info")
            else:
                raise CommandRefused(f"{' '.join(map(str, command))}: {reply}")
            self.counts[reply.kind] += 1
        raise TooManyRedirects(
            f"{MOST_HOPS + 1} redirects for slot {slot}, the last one to {node}: do all nodes have the same map?"
        )

    def _moved(self, slot: int, node: str) -> None:
        if self.learn == "map":
            with contextlib.suppress(Unreachable):  # the redirect itself is enough to go on
                self.load_map()
        if self.learn != "nothing":
            self.map[slot] = node


def _is(reply: Any, kind: str) -> bool:
    return isinstance(reply, ErrorReply) and reply.kind == kind


def _target(reply: ErrorReply, asked: str) -> str:
    """Where a redirect leads: "MOVED 3999 host:port". Without a host, it is the one that was asked."""
    host, _, port = reply.words[2].rpartition(":")
    return f"{host or asked.rpartition(':')[0]}:{port}"
