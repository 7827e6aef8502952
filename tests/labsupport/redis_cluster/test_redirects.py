"""The follower of redirects, against a cluster that is played."""

from __future__ import annotations

from typing import Any

import pytest

from labsupport.redis_cluster.redirects import ClusterDown, CommandRefused, Follower, TooManyRedirects, Unreachable
from labsupport.redis_cluster.slots import SLOTS, slot_of
from labsupport.redis_cluster.wire_format import ErrorReply

A, B, DEAD = "10.0.0.1:6379", "10.0.0.2:6379", "10.0.0.3:6379"
SLOT = slot_of("k")


class Cluster:
    """Two nodes. `answers` are given in turn for GET by each node; without one, the owner answers "value"."""

    def __init__(self, owner: str = B, **answers: list[str]) -> None:
        self.owner = owner
        self.answers = {A: answers.get("a", []), B: answers.get("b", [])}
        self.sent: list[tuple[str, str]] = []
        self.dead = {DEAD}

    def send(self, node: str, *command: str | int) -> Any:
        if node in self.dead:
            raise Unreachable(node)
        word = str(command[0])
        self.sent.append((node, word))
        if word == "CLUSTER":
            host, _, port = self.owner.partition(":")
            return [[0, SLOTS - 1, [host, int(port), "id"]]]
        if word == "ASKING":
            return "OK"
        if self.answers[node]:
            text = self.answers[node].pop(0)
            return ErrorReply(text) if " " in text else text
        return "value" if node == self.owner else ErrorReply(f"MOVED {SLOT} {self.owner}")


def test_moved_is_followed_and_the_whole_map_is_learned_once() -> None:
    cluster = Cluster()
    client = Follower(cluster.send, [A])
    assert [client.run("GET", "k"), client.run("GET", "other")] == ["value", "value"]
    assert client.counts == {"MOVED": 1}
    assert cluster.sent == [(A, "GET"), (A, "CLUSTER"), (B, "GET"), (B, "GET")]


def test_a_client_that_learns_slot_by_slot_is_sent_on_once_for_each() -> None:
    client = Follower(Cluster().send, [A], learn="slot")
    for key in ("k", "k", "other", "k", "other"):
        client.run("GET", key)
    assert client.counts == {"MOVED": 2}


def test_a_client_that_learns_nothing_is_sent_on_every_time() -> None:
    client = Follower(Cluster().send, [A], learn="nothing")
    for _ in range(3):
        client.run("GET", "k")
    assert client.counts == {"MOVED": 3} and not client.map


def test_ask_is_followed_with_asking_for_one_command_and_leaves_the_map() -> None:
    cluster = Cluster(owner=A, a=[f"ASK {SLOT} {B}"], b=["moved-value"])
    client = Follower(cluster.send, [A])
    client.load_map()
    cluster.sent.clear()
    assert client.run("GET", "k") == "moved-value"
    assert cluster.sent == [(A, "GET"), (B, "ASKING"), (B, "GET")]
    assert client.map[SLOT] == A
    assert client.run("GET", "k") == "value" and cluster.sent[-1] == (A, "GET")


def test_moved_after_ask_is_followed_without_asking() -> None:
    cluster = Cluster(owner=A, a=[f"ASK {SLOT} {B}"], b=[f"MOVED {SLOT} {A}"])
    client = Follower(cluster.send, [A], learn="slot")
    assert client.run("GET", "k") == "value"
    assert [word for _, word in cluster.sent] == ["GET", "ASKING", "GET", "GET"]


def test_tryagain_waits_longer_and_longer_and_begins_again_at_the_owner() -> None:
    again = "TRYAGAIN Multiple keys request during rehashing of slot"
    cluster = Cluster(owner=A, a=[again, f"ASK {SLOT} {B}", again], b=[again])
    pauses: list[float] = []
    client = Follower(cluster.send, [A], pause=pauses.append)
    assert client.run("MGET", "k", "{k}2") == "value"
    assert pauses == [0.01, 0.02, 0.04]
    assert client.counts == {"TRYAGAIN": 3, "ASK": 1}


def test_tryagain_ends_when_patience_does() -> None:
    cluster = Cluster(owner=A, a=["TRYAGAIN later"] * 100)
    pauses: list[float] = []
    with pytest.raises(ClusterDown, match=f"slot {SLOT} was still on its way"):
        Follower(cluster.send, [A], pause=pauses.append, patience=1).run("MGET", "k")
    assert 1 <= sum(pauses) < 2


def test_two_nodes_that_point_at_each_other_end_in_an_error() -> None:
    cluster = Cluster(a=[f"MOVED {SLOT} {B}"] * 9, b=[f"MOVED {SLOT} {A}"] * 9)
    with pytest.raises(TooManyRedirects, match=f"slot {SLOT}"):
        Follower(cluster.send, [A], learn="slot").run("GET", "k")
    assert len(cluster.sent) == 6


def test_clusterdown_and_other_errors_are_told() -> None:
    with pytest.raises(ClusterDown, match="Hash slot not served"):
        Follower(Cluster(a=["CLUSTERDOWN Hash slot not served"]).send, [A]).run("GET", "k")
    with pytest.raises(CommandRefused, match="GET k: WRONGTYPE"):
        Follower(Cluster(a=["WRONGTYPE not a string"]).send, [A]).run("GET", "k")


def test_a_node_that_is_gone_costs_a_new_map_from_another() -> None:
    cluster = Cluster()
    client = Follower(cluster.send, [DEAD, A])
    client.map = dict.fromkeys(range(SLOTS), DEAD)
    assert client.run("GET", "k") == "value"
    assert client.counts == {"unreachable": 1} and client.map[SLOT] == B


def test_a_map_that_leads_nowhere_again_is_an_error() -> None:
    with pytest.raises(Unreachable):
        Follower(Cluster(owner=DEAD).send, [A], learn="map").run("GET", "k")


def test_nobody_answers() -> None:
    with pytest.raises(Unreachable, match="none of"):
        Follower(Cluster().send, [DEAD]).run("GET", "k")


def test_a_redirect_without_a_host_means_the_one_that_was_asked() -> None:
    cluster = Cluster(owner="10.0.0.1:7000", a=[f"MOVED {SLOT} :7000"])
    cluster.answers["10.0.0.1:7000"] = ["found"]
    assert Follower(cluster.send, [A], learn="slot").run("GET", "k") == "found"
