"""How pods end and start again, and what they find inside (facts 33, 37)."""

from __future__ import annotations

import datetime as dt
import re
import time
from collections.abc import Iterator

import pytest

from tests.facts.api_port import JSON, ApiPort, Space
from tests.facts.conftest import Aside
from tests.manifests import pod, service, shell
from tests.running_lab import Namespace, RunningLab

STUBBORN = "trap 'echo told to end' TERM; echo up; while :; do sleep 0.05; done"


def followed(space: Space, name: str) -> Iterator[str]:
    """The lines of a pod's log as they come, to its end."""
    space.until("pods", lambda found: found.get(name, {}).get("status", {}).get("phase") == "Running")
    for line in space.api.stream(space.path("pods", name, "log"), accept="*/*", follow="true"):
        yield line.decode().rstrip("\n")


def test_fact_33_a_pod_without_node_or_without_life_goes_at_once(space: Space) -> None:
    """Grace 0 for a pod that was not scheduled and for one that has ended, whatever it asks for itself."""
    long = {"terminationGracePeriodSeconds": 60}
    space.create(pod("unscheduled", schedulerName="nobody", **long))
    space.create(pod("ended", shell("true"), restartPolicy="Never", **long))
    space.until("pods", lambda found: found["ended"]["status"].get("phase") == "Succeeded")
    for name in ("unscheduled", "ended"):
        assert space.delete("pods", name)["metadata"].get("deletionGracePeriodSeconds", 0) == 0
        assert space.api("GET", space.path("pods", name)).status == 404
    space.create(pod("running", shell(STUBBORN), **long))
    space.until("pods", lambda found: found["running"]["status"].get("phase") == "Running")
    assert space.delete("pods", "running")["metadata"]["deletionGracePeriodSeconds"] == 60
    space.delete("pods", "running", gracePeriodSeconds=0)


def test_fact_33_a_second_delete_may_only_shorten_the_grace(space: Space) -> None:
    """60 s stay 60 when 90 are asked for, and become 1 when asked for: the pod's end is moved, and comes."""
    space.create(pod("one", shell(STUBBORN), terminationGracePeriodSeconds=60))
    lines = followed(space, "one")
    assert next(lines) == "up"
    with space.watched("pods") as pods:
        ends = []
        for asked, wanted in ((None, 60), (90, 60), (1, 1)):
            options: JSON = {} if asked is None else {"gracePeriodSeconds": asked}
            found = space.delete("pods", "one", **options)["metadata"]
            assert found["deletionGracePeriodSeconds"] == wanted
            ends.append(dt.datetime.fromisoformat(found["deletionTimestamp"]))
        assert [(end - ends[0]).total_seconds() for end in ends] == [0, 0, -59]
        pods.until(lambda found: not found)


def test_fact_33_term_comes_first_and_kill_after_the_grace(space: Space) -> None:
    """A container is told to end, and when it does not it is killed: exit code 137."""
    space.create(pod("one", shell(STUBBORN), terminationGracePeriodSeconds=1))
    lines = followed(space, "one")
    assert next(lines) == "up"
    with space.watched("pods") as pods:
        start = time.monotonic()
        space.delete("pods", "one")
        assert next(lines) == "told to end"
        assert list(lines) == []
        pods.until(lambda found: not found)
        assert time.monotonic() - start >= 1
        states = [c["state"] for _, o in pods.events for c in o["status"].get("containerStatuses", ())]
    assert [s["terminated"]["exitCode"] for s in states if "terminated" in s][-1] == 137


def test_fact_33_the_pre_stop_hook_comes_before_term_and_counts_inside_the_grace(space: Space) -> None:
    """TERM waits for the hook; a hook that takes longer than the grace is not waited for."""
    quick = {"preStop": {"exec": {"command": ["sh", "-c", "sleep 0.1; touch /tmp/hook"]}}}
    slow = {"preStop": {"exec": {"command": ["sleep", "600"]}}}
    script = "trap 'ls /tmp; exit 0' TERM; echo up; while :; do sleep 0.05; done"
    space.create(pod("one", shell(script, lifecycle=quick), terminationGracePeriodSeconds=60))
    space.create(pod("two", shell(script, lifecycle=slow), terminationGracePeriodSeconds=1))
    one, two = followed(space, "one"), followed(space, "two")
    assert (next(one), next(two)) == ("up", "up")
    with space.watched("pods") as pods:
        for name in ("one", "two"):
            space.delete("pods", name)
        assert list(one) == ["hook"]
        pods.until(lambda found: not found)


def test_fact_33_the_back_off_of_a_crash_loop_doubles(crash_loop: Aside) -> None:
    """10 s, 20 s, 40 s: each new failure in a row is waited for twice as long."""
    told: list[str] = []
    for event in crash_loop.wait():
        for status in event["object"]["status"].get("containerStatuses", ()):
            waiting = status["state"].get("waiting", {})
            found = re.match(r"back-off (\S+) restarting failed container=main", waiting.get("message", ""))
            if found and waiting["reason"] == "CrashLoopBackOff" and found[1] not in told:
                told.append(found[1])
    assert told == ["10s", "20s", "40s"]
    assert crash_loop.seconds >= 30


ZONE = "cluster.local"


@pytest.fixture(scope="module")
def inside(cluster: RunningLab, api: ApiPort) -> Iterator[Namespace]:
    """A namespace with services of each type, and then pods: one with a subdomain, one without."""
    mine = Namespace(cluster, "test-inside")
    cluster.core.create_namespace({"metadata": {"name": mine.name}})
    space = Space(api, mine.name)
    space.create(
        service("early-bird", port=6379),
        service("none", clusterIP="None"),
        service("outside", type="ExternalName", externalName="example.com"),
        pod("one", hostname="host", subdomain="none"),
        pod("two"),
    )
    space.until("pods", lambda found: all(found[n]["status"].get("phase") == "Running" for n in ("one", "two")))
    yield mine
    cluster.core.delete_namespace(mine.name)


def test_fact_37_resolv_conf_searches_the_pods_namespace_first(inside: Namespace) -> None:
    """search <ns>.svc.<zone> svc.<zone> <zone>, the cluster's name server, and ndots:5."""
    dns = inside.lab.core.read_namespaced_service("kube-dns", "kube-system").spec.cluster_ip
    assert inside.sh("two", "cat /etc/resolv.conf").splitlines() == [
        f"search {inside.name}.svc.{ZONE} svc.{ZONE} {ZONE}",
        f"nameserver {dns}",
        "options ndots:5",
    ]


def test_fact_37_etc_hosts_has_the_full_name_of_a_pod_with_a_subdomain(inside: Namespace) -> None:
    """<ip> <hostname>.<subdomain>.<ns>.svc.<zone> <hostname>; without subdomain only the hostname."""
    address = {name: inside.get(f"pod/{name}")["status"]["podIP"] for name in ("one", "two")}
    for name, names in (("one", [f"host.none.{inside.name}.svc.{ZONE}", "host"]), ("two", ["two"])):
        lines = [line.split() for line in inside.sh(name, "cat /etc/hosts").splitlines()]
        assert [line[1:] for line in lines if line[:1] == [address[name]]] == [names]


def test_fact_37_the_environment_names_the_services_with_a_cluster_ip(inside: Namespace) -> None:
    """*_SERVICE_HOST and *_SERVICE_PORT of a ClusterIP service; none of a headless one or of an ExternalName."""
    found = dict(line.split("=", 1) for line in inside.sh("two", "env").splitlines() if "_SERVICE_" in line)
    address = inside.get("service/early-bird")["spec"]["clusterIP"]
    assert (found["EARLY_BIRD_SERVICE_HOST"], found["EARLY_BIRD_SERVICE_PORT"]) == (address, "6379")
    hosts = {name for name in found if name.endswith("_SERVICE_HOST")}
    assert hosts == {"EARLY_BIRD_SERVICE_HOST", "KUBERNETES_SERVICE_HOST"}
