"""What an administrator tells the servers of a cluster, and the figure that sums up who can use it."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace

import pytest

from labsupport.cluster import asking, pods
from labsupport.redis_cluster import admin
from tests.labsupport.fake_time import FakeTime


class Servers:
    """The servers in the pods: each command is kept, and answered by `answer`."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, str]] = []
        self.answer: Callable[[str], str] = lambda command: "cluster_state:ok\r\ncluster_size:3\r\n"

    def run(self, pod: str, command: str, *, timeout: float = 30) -> str:
        self.sent.append((pod, command))
        return self.answer(command)


@pytest.fixture
def servers(monkeypatch: pytest.MonkeyPatch) -> Servers:
    servers = Servers()
    addresses = {"pod/cache-0": "10.0.0.1", "pod/cache-1": "10.0.0.2"}
    monkeypatch.setattr(pods, "run", servers.run)
    monkeypatch.setattr(asking, "time", FakeTime())
    monkeypatch.setattr(
        admin.verbs, "obj", lambda reference: SimpleNamespace(status=SimpleNamespace(podIP=addresses[reference]))
    )
    return servers


def test_a_cluster_is_made_in_the_first_pod_by_all_pods_addresses(servers: Servers) -> None:
    assert admin.create(["cache-0", "cache-1"], timeout=7) is True
    assert servers.sent == [
        ("cache-0", "timeout 7 valkey-cli --cluster create 10.0.0.1:6379 10.0.0.2:6379 --cluster-yes"),
        ("cache-0", "valkey-cli cluster info"),
        ("cache-1", "valkey-cli cluster info"),
    ]


def test_servers_that_never_join_make_no_cluster(servers: Servers) -> None:
    def fail(command: str) -> str:
        raise pods.CommandFailed("exit code 124")

    servers.answer = fail
    assert admin.create(["cache-0", "cache-1"], timeout=1) is False


def test_members_that_never_say_ok_make_no_cluster(servers: Servers) -> None:
    servers.answer = lambda command: "cluster_state:fail"
    assert admin.create(["cache-0", "cache-1"], timeout=1) is False
    assert servers.sent.count(("cache-1", "valkey-cli cluster info")) > 1, "asked again"


def test_announce_names_the_settings_as_the_server_does(servers: Servers) -> None:
    admin.announce("cache-0", ip="", bus_port=30014)
    assert servers.sent == [
        ("cache-0", "valkey-cli config set cluster-announce-ip '' cluster-announce-bus-port 30014 | grep -x OK")
    ]


def test_dissolve_lets_every_server_forget_all(servers: Servers) -> None:
    admin.dissolve(["cache-0", "cache-1"])
    forget = "valkey-cli flushall && valkey-cli cluster reset hard"
    assert servers.sent == [("cache-0", forget), ("cache-1", forget)]
