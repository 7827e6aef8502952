"""What the members of a cluster know of one another."""

from __future__ import annotations

from typing import Any

import pytest

from labsupport.redis_cluster import members

NODES = {"redis-0": "10.0.0.1:6379", "redis-1": "10.0.0.2:6379"}


def told(by: str, a: str = "10.0.0.1:6379", b: str = "10.0.0.2:6379", link: str = "connected") -> str:
    first = f"aa {a}@16379 {'myself,' if by == 'aa' else ''}master - 0 0 1 connected 0-5"
    second = f"bb {b}@16379,name,shard-id=x {'myself,' if by == 'bb' else ''}slave aa 0 0 1 {link}"
    return f"{first}\n{second}\n"


def cluster(*views: str, state: str = "ok") -> Any:
    texts = dict(zip(NODES.values(), views, strict=True))

    def send(node: str, *command: str) -> str:
        return texts[node] if command[1] == "NODES" else f"cluster_state:{state}\r\ncluster_size:1"

    return send


def test_a_line_is_read() -> None:
    first, second = members.parse(told("aa"))
    assert (first.id, first.address, first.role, first.primary, first.slots) == (
        "aa",
        NODES["redis-0"],
        "primary",
        "",
        ("0-5",),
    )
    assert (second.role, second.primary, second.connected, second.slots) == ("replica", "aa", True, ())


def test_members_that_agree_are_settled(capsys: pytest.CaptureFixture[str]) -> None:
    members.settled(cluster(told("aa"), told("bb")), NODES, timeout=0)
    assert capsys.readouterr().out == "2 members agree, and the cluster is ok\n"


def test_what_a_member_believes_of_itself_does_not_count() -> None:
    members.settled(cluster(told("aa", a="10.0.0.99:6379"), told("bb")), NODES, timeout=0)


@pytest.mark.parametrize(
    ("send", "why"),
    [
        (cluster(told("aa"), told("bb"), state="fail"), "redis-0 says cluster_state:fail"),
        (cluster(told("aa"), told("bb", a="10.0.0.99:6379")), "redis-1 looks for aa at 10.0.0.99:6379"),
        (cluster(told("aa", link="disconnected"), told("bb")), "redis-0 has no connection to 10.0.0.2:6379"),
        (cluster(told("aa").splitlines()[0], told("bb")), "redis-0 knows 1 of 2 members"),
        (cluster(told("aa"), told("bb").replace("0-5", "0-4")), "do not agree on who serves which slot"),
    ],
)
def test_what_is_missing_is_told(send: Any, why: str) -> None:
    with pytest.raises(members.NotSettled, match=why):
        members.settled(send, NODES, timeout=0)
