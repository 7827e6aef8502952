"""What the chapters on Redis from outside read of CLUSTER NODES."""

from __future__ import annotations

import pytest

from labsupport.cluster import pods
from labsupport.redis_cluster import valkey_cluster

NODES = """\
aa 10.244.1.7:6379@16379 myself,master - 0 0 1 connected 0-5460
bb 172.18.0.3:30012@16379,cache-1.lab.example handshake - 0 0 0 disconnected
cc 10.244.2.7:6379@16379,,tls-port=0,shard-id=12 master,fail? - 0 0 3 connected 10923-16383 [5->-aa]
dd :0@0 master,noaddr - 0 0 3 disconnected
"""


def test_each_line_is_a_member() -> None:
    a, b, c, d = valkey_cluster.parse(NODES)
    assert (a.host, a.port, a.bus, a.link, a.slots) == ("10.244.1.7", 6379, 16379, "connected", ("0-5460",))
    assert a.flags == {"myself", "master"}
    assert (b.port, b.hostname, b.link, b.slots) == (30012, "cache-1.lab.example", "disconnected", ())
    assert (c.hostname, c.slots) == ("", ("10923-16383", "[5->-aa]"))
    assert (d.host, d.port, d.bus) == ("", 0, 0)


def test_an_ipv6_address_keeps_its_colons() -> None:
    (member,) = valkey_cluster.parse("aa fd00::7:6379@16379 master - 0 0 1 connected")
    assert (member.host, member.port) == ("fd00::7", 6379)


def test_another_text_is_refused_with_the_line() -> None:
    with pytest.raises(ValueError, match="CLUSTERDOWN"):
        valkey_cluster.parse("CLUSTERDOWN The cluster is down")


def test_announce_names_the_settings_as_the_server_does(monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[str] = []
    monkeypatch.setattr(pods, "run", lambda pod, command, **_: sent.append(f"{pod}: {command}") or "OK")
    valkey_cluster.announce("cache-0", ip="", bus_port=30014)
    assert sent == [
        "cache-0: valkey-cli config set cluster-announce-ip '' cluster-announce-bus-port 30014 | grep -x OK"
    ]


def test_waiting_is_bounded_and_says_for_what() -> None:
    with pytest.raises(valkey_cluster.NotSettled, match="until the moon is full"):
        valkey_cluster.wait_until(lambda: False, "the moon is full", timeout=0.1)


def test_servers_that_never_join_make_no_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    def run(pod: str, command: str, **_: object) -> str:
        raise pods.CommandFailed("exit code 124")

    monkeypatch.setattr(pods, "run", run)
    monkeypatch.setattr(valkey_cluster.verbs, "obj", lambda reference: _Anything())
    assert valkey_cluster.create(["cache-0"], timeout=1) is False


class _Anything:
    def __getattr__(self, name: str) -> _Anything:
        return self
