"""What the members of a cluster know of one another: read, asked for, and waited for. The servers are played."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from labsupport.cluster import asking, pods
from labsupport.redis_cluster import members
from labsupport.redis_cluster.redirects import Unreachable
from tests.labsupport.fake_time import FakeTime

NODES = {"redis-0": "10.0.0.1:6379", "redis-1": "10.0.0.2:6379"}
LINES = """\
aa 10.244.1.7:6379@16379 myself,master - 0 0 1 connected 0-5460
bb 172.18.0.3:30012@16379,cache-1.lab.example handshake - 0 0 0 disconnected
cc 10.244.2.7:6379@16379,,tls-port=0,shard-id=12 master,fail? - 0 0 3 connected 10923-16383 [5->-aa]
dd :0@0 slave,noaddr aa 0 0 3 disconnected
"""


@pytest.fixture
def time(monkeypatch: pytest.MonkeyPatch) -> FakeTime:
    fake = FakeTime()
    monkeypatch.setattr(asking, "time", fake)
    return fake


def known(by: str, a: str = "10.0.0.1:6379", b: str = "10.0.0.2:6379", link: str = "connected") -> str:
    """What the primary aa or its replica bb answers to CLUSTER NODES."""
    first = f"aa {a}@16379 {'myself,' if by == 'aa' else ''}master - 0 0 1 connected 0-5"
    second = f"bb {b}@16379,name,shard-id=x {'myself,' if by == 'bb' else ''}slave aa 0 0 1 {link}"
    return f"{first}\n{second}\n"


def cluster(*views: str, state: str = "ok") -> Any:
    texts = dict(zip(NODES.values(), views, strict=True))

    def send(node: str, *command: str) -> str:
        return texts[node] if command[1] == "NODES" else f"cluster_state:{state}\r\ncluster_size:1"

    return send


def test_each_line_is_a_member() -> None:
    a, b, c, d = members.parse(LINES)
    assert (a.id, a.host, a.port, a.bus, a.link, a.slots) == (
        "aa",
        "10.244.1.7",
        6379,
        16379,
        "connected",
        ("0-5460",),
    )
    assert (a.address, a.role, a.primary, a.hostname) == ("10.244.1.7:6379", "primary", "", "")
    assert a.flags == {"myself", "master"}
    assert (b.port, b.hostname, b.link, b.slots) == (30012, "cache-1.lab.example", "disconnected", ())
    assert (c.hostname, c.slots) == ("", ("10923-16383", "[5->-aa]"))
    assert (d.host, d.port, d.bus, d.role, d.primary) == ("", 0, 0, "replica", "aa")


def test_an_ipv6_address_keeps_its_colons() -> None:
    (member,) = members.parse("aa fd00::7:6379@16379 master - 0 0 1 connected")
    assert (member.host, member.port, member.address) == ("fd00::7", 6379, "fd00::7:6379")


@pytest.mark.parametrize(
    "line",
    [
        "CLUSTERDOWN The cluster is down",
        "aa 10.0.0.1:6379@16379 master - 0 0 1",
        "aa 10.0.0.1@16379 master - 0 0 1 connected",
        "aa 10.0.0.1:6379 master - 0 0 1 connected",
    ],
)
def test_another_text_is_refused_with_the_line(line: str) -> None:
    with pytest.raises(ValueError, match=f"not a line of CLUSTER NODES: '{line}'"):
        members.parse(f"{LINES}{line}\n")


def test_a_member_is_asked_over_a_connection() -> None:
    send = cluster(known("aa"), known("bb"))
    assert [member.id for member in members.view(send, NODES["redis-1"])] == ["aa", "bb"]
    assert (members.myself(send, NODES["redis-0"]).id, members.myself(send, NODES["redis-1"]).id) == ("aa", "bb")


def test_a_member_is_asked_by_valkey_cli_in_its_pod(monkeypatch: pytest.MonkeyPatch) -> None:
    replies = {"valkey-cli cluster nodes": LINES, "valkey-cli cluster info": "cluster_state:fail\r\ncluster_size:3\r\n"}
    monkeypatch.setattr(pods, "run", lambda pod, command: replies[command])
    assert members.known_to("cache-0") == members.parse(LINES)
    assert members.state("cache-0") == "fail"


def test_the_addresses_are_those_of_the_pods_with_the_port(monkeypatch: pytest.MonkeyPatch) -> None:
    pod = SimpleNamespace(metadata=SimpleNamespace(name="redis-0"), status=SimpleNamespace(podIP="10.0.0.1"))
    monkeypatch.setattr(members.verbs, "objects", lambda kind, selector: [pod])
    assert members.addresses("app=redis") == {"redis-0": "10.0.0.1:6379"}
    assert members.addresses("app=redis", port=7000) == {"redis-0": "10.0.0.1:7000"}


def test_all_members_have_to_say_ok(monkeypatch: pytest.MonkeyPatch, time: FakeTime) -> None:
    states = iter(["ok", "fail", "ok", "ok"])
    monkeypatch.setattr(members, "state", lambda name: next(states))
    members.wait_until_ok(["cache-0", "cache-1"])
    assert len(time.pauses) == 1
    monkeypatch.setattr(members, "state", {"cache-0": "ok", "cache-1": "fail"}.get)
    with pytest.raises(asking.NotInTime, match=r"'cache-1': 'fail'.*Look at: lab.run.*cluster nodes"):
        members.wait_until_ok(["cache-0", "cache-1"])


def test_members_that_agree_are_settled(capsys: pytest.CaptureFixture[str]) -> None:
    members.settled(cluster(known("aa"), known("bb")), NODES, timeout=0)
    assert capsys.readouterr().out == "2 members agree, and the cluster is ok\n"


def test_what_a_member_believes_of_itself_does_not_count() -> None:
    members.settled(cluster(known("aa", a="10.0.0.99:6379"), known("bb")), NODES, timeout=0)


def test_members_are_asked_until_they_agree(time: FakeTime) -> None:
    answers = [cluster(known("aa"), known("bb"), state="fail")] * 2 + [cluster(known("aa"), known("bb"))]

    def send(node: str, *command: str) -> Any:
        return answers[len(time.pauses)](node, *command)

    members.settled(send, NODES)
    assert len(time.pauses) == 2


def unreachable(node: str, *command: str) -> Any:
    raise Unreachable("the connection has ended")


@pytest.mark.parametrize(
    ("send", "why"),
    [
        (cluster(known("aa"), known("bb"), state="fail"), "redis-0 says cluster_state:fail"),
        (cluster(known("aa"), known("bb", a="10.0.0.99:6379")), "redis-1 looks for aa at 10.0.0.99:6379"),
        (cluster(known("aa", link="disconnected"), known("bb")), "redis-0 has no connection to 10.0.0.2:6379"),
        (cluster(known("aa").replace("slave", "slave,fail?"), known("bb")), "redis-0 has no connection to 10.0.0.2"),
        (cluster(known("aa").splitlines()[0], known("bb")), "redis-0 knows 1 of 2 members"),
        (cluster(known("aa"), known("bb").replace("0-5", "0-4")), "do not agree on who serves which slot"),
        (unreachable, "redis-0: the connection has ended"),
    ],
)
def test_what_is_missing_is_told(send: Any, why: str) -> None:
    with pytest.raises(asking.NotInTime, match=f"until the members agree.*{why}.*Look at: lab.run"):
        members.settled(send, NODES, timeout=0)
