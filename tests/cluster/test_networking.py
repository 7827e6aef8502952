"""Addresses, Services and names in the running cluster, from inside its pods and from the notebook's side."""

from __future__ import annotations

import json
import socket
import urllib.request
from collections.abc import Iterator

import dns.message
import dns.query
import dns.rcode
import pytest

from tests.cluster.requests_from_pods import NoConnection, PodsApi, get
from tests.manifests import pod, service, shell, web, workload
from tests.running_lab import Namespace, RunningLab


@pytest.fixture
def three(namespace: Namespace) -> Namespace:
    """Three web servers behind a headless and a plain Service, and a pod to look from."""
    namespace.apply(
        service("web", clusterIP="None"),
        service("front", "web"),
        workload("StatefulSet", "web", 3, web(), podManagementPolicy="Parallel", volumeClaimTemplates=[]),
        pod("client"),
    )
    namespace.kubectl("rollout", "status", "sts/web", "--timeout=30s")
    namespace.wait("pod/client", "condition=Ready")
    return namespace


def test_pods_are_reached_by_their_addresses_and_names(three: Namespace) -> None:
    address = three.get("pod/web-1")["status"]["podIP"]
    assert get(three, "client", address) == "web-1\n"
    assert get(three, "client", "web-2.web") == "web-2\n"
    assert get(three, "client", f"web-0.web.{three.name}.svc.cluster.local") == "web-0\n"
    assert three.sh("client", "getent hosts web-1.web").split()[0] == address


def test_a_headless_service_answers_with_all_pods(three: Namespace) -> None:
    addresses = {p["status"]["podIP"] for p in three.get("pods")["items"] if p["metadata"]["name"] != "client"}
    found = three.sh("client", "getent ahostsv4 web | cut -d' ' -f1 | sort -u")
    assert set(found.split()) == addresses


def test_a_cluster_address_spreads_connections_over_the_pods(three: Namespace) -> None:
    (address,) = three.sh("client", "getent ahostsv4 front | cut -d' ' -f1 | sort -u").split()
    assert address == three.get("service/front")["spec"]["clusterIP"]
    assert set(get(three, "client", "front", times=30).split()) == {"web-0", "web-1", "web-2"}
    reached = set(get(three, "web-0", "front", times=30).split())
    assert reached == {"web-0", "web-1", "web-2"}, "a pod reaches itself by its Service"


def test_a_pod_that_is_not_ready_gets_no_connections(namespace: Namespace) -> None:
    ready = {"exec": {"command": ["test", "-e", "/tmp/ready"]}, "periodSeconds": 1, "failureThreshold": 1}
    namespace.apply(
        service("web"),
        service("all", "web", clusterIP="None", publishNotReadyAddresses=True),
        pod("web", web(readinessProbe=ready)),
        pod("client"),
    )
    namespace.wait("pod/client", "condition=Ready")
    namespace.wait("pod/web", "jsonpath={.status.phase}=Running")
    with pytest.raises(NoConnection):
        get(namespace, "client", "web")
    assert namespace.sh("client", "getent hosts all").split()[0] == namespace.get("pod/web")["status"]["podIP"]
    namespace.sh("web", "touch /tmp/ready")
    namespace.wait("pod/web", "condition=Ready")
    namespace.wait("endpoints/web", "jsonpath={.subsets[0].addresses[0].targetRef.name}=web")
    assert get(namespace, "client", "web") == "web\n"


def test_a_node_port_leads_from_the_notebook_to_the_pods(three: Namespace, cluster: RunningLab) -> None:
    three.apply(service("out", "web", type="NodePort", nodePort=30000))
    address = f"http://127.0.0.1:{cluster.host_port(30000)}/"
    names = {urllib.request.urlopen(address, timeout=5).read().decode().strip() for _ in range(30)}
    assert names == {"web-0", "web-1", "web-2"}
    node = cluster.core.read_node("lab-worker").status.addresses[0].address
    assert get(three, "client", f"{node}:30000").startswith("web-")
    three.kubectl("delete", "service", "out")
    with pytest.raises(OSError):
        urllib.request.urlopen(address, timeout=5)


def test_a_node_port_that_leads_nowhere_is_still_reached_inside(three: Namespace, cluster: RunningLab) -> None:
    three.apply(service("out", "web", type="NodePort", nodePort=31999))
    node = cluster.core.read_node("lab-worker").status.addresses[0].address
    assert get(three, "client", f"{node}:31999").startswith("web-")


def test_a_pod_on_its_nodes_network_has_the_nodes_address(namespace: Namespace, cluster: RunningLab) -> None:
    namespace.apply(pod("web", web(), hostNetwork=True), pod("client"))
    namespace.wait("pod", "condition=Ready", "--all")
    found = namespace.get("pod/web")
    assert found["status"]["podIP"] == found["status"]["hostIP"]
    assert namespace.sh("web", "hostname").strip() == found["spec"]["nodeName"]
    assert get(namespace, "client", found["status"]["hostIP"]) == found["spec"]["nodeName"] + "\n"


def test_two_pods_cannot_have_the_same_port_of_a_node(namespace: Namespace) -> None:
    ports = [{"containerPort": 8123, "hostPort": 8123}]
    node = {"kubernetes.io/hostname": "lab-worker"}
    namespace.apply(pod("one", shell(ports=ports), hostNetwork=True, nodeSelector=node))
    namespace.wait("pod/one", "condition=Ready")
    namespace.apply(pod("two", shell(ports=ports), hostNetwork=True, nodeSelector=node))
    namespace.wait("pod/two", "condition=PodScheduled=false")
    (scheduled,) = namespace.get("pod/two")["status"]["conditions"]
    assert "didn't have free ports" in scheduled["message"]


def test_the_cluster_is_its_own_service(namespace: Namespace) -> None:
    namespace.apply(pod("client"))
    namespace.wait("pod/client", "condition=Ready")
    api = PodsApi(namespace, "client")
    code, version = api.ask("/version")
    assert code == 200 and json.loads(version)["gitVersion"].startswith("v1.")
    code, status = api.ask("/api/v1/nodes")
    assert code == 403 and json.loads(status)["reason"] == "Forbidden"


class Resolver:
    """The cluster's name server as the notebook reaches it."""

    def __init__(self, port: int) -> None:
        self.port = port

    def ask(self, name: str, kind: str, *, tcp: bool = False) -> tuple[str, set[str]]:
        query = dns.message.make_query(f"{name}.svc.cluster.local.", kind)
        send = dns.query.tcp if tcp else dns.query.udp
        answer = send(query, "127.0.0.1", port=self.port, timeout=5)
        found = {item.to_text() for rrset in answer.answer for item in rrset}
        return dns.rcode.to_text(answer.rcode()), found


@pytest.fixture
def resolver(cluster: RunningLab) -> Iterator[Resolver]:
    yield Resolver(int(cluster.status()["dns"].rpartition(":")[2]))


@pytest.mark.parametrize("tcp", [False, True], ids=["UDP", "TCP"])
def test_the_notebook_asks_the_clusters_dns(three: Namespace, resolver: Resolver, tcp: bool) -> None:
    space = three.name
    addresses = {n: three.get(f"pod/web-{n}")["status"]["podIP"] for n in range(3)}
    assert resolver.ask(f"web.{space}", "A", tcp=tcp) == ("NOERROR", set(addresses.values()))
    assert resolver.ask(f"web-1.web.{space}", "A", tcp=tcp) == ("NOERROR", {addresses[1]})
    front = three.get("service/front")["spec"]["clusterIP"]
    assert resolver.ask(f"front.{space}", "A", tcp=tcp) == ("NOERROR", {front})
    assert resolver.ask(f"web-7.web.{space}", "A", tcp=tcp) == ("NXDOMAIN", set())
    assert resolver.ask(f"web.{space}", "AAAA", tcp=tcp) == ("NOERROR", set())
    code, found = resolver.ask(f"_main._tcp.web.{space}", "SRV", tcp=tcp)
    assert code == "NOERROR"
    assert {f"web-{n}.web.{space}.svc.cluster.local." for n in range(3)} == {srv.split()[3] for srv in found}


@pytest.mark.parametrize("option", ["", "+tcp"], ids=["UDP", "TCP"])
def test_a_pod_asks_the_clusters_dns(three: Namespace, option: str) -> None:
    """Over both transports, by the C library: `use-vc` in RES_OPTIONS makes it take TCP."""
    prefix = "RES_OPTIONS=use-vc " if option else ""
    assert three.sh("client", prefix + "getent hosts web-0.web").split()[0] == three.get("pod/web-0")["status"]["podIP"]
    assert three.sh("client", prefix + "getent hosts kubernetes.default").split()[0] == "10.96.0.1"
    assert three.sh("client", prefix + "getent hosts nobody.web || echo none") == "none\n"


def test_a_member_that_dies_leaves_the_names_and_comes_back(three: Namespace, resolver: Resolver) -> None:
    three.kubectl("scale", "sts/web", "--replicas=2")
    three.wait("pod/web-2", "delete")
    assert resolver.ask(f"web-2.web.{three.name}", "A") == ("NXDOMAIN", set())
    three.kubectl("scale", "sts/web", "--replicas=3")
    three.wait("sts/web", "jsonpath={.status.readyReplicas}=3")
    three.wait("pod/web-2", "condition=Ready")
    code, _ = resolver.ask(f"web-2.web.{three.name}", "A")
    assert code == "NOERROR"


def test_nothing_of_the_lab_listens_but_on_loopback(cluster: RunningLab) -> None:
    status = cluster.status()
    ours = {int(status["server"].rpartition(":")[2]), int(status["dns"].rpartition(":")[2])}
    ours |= set(status["nodePorts"].values())
    with open("/proc/net/tcp") as tcp, open("/proc/net/udp") as udp:
        local = [line.split()[1] for line in [*tcp, *udp] if ":" in line.split()[1]]
    addresses = {
        socket.inet_ntoa(bytes.fromhex(a)[::-1]) for a, p in (x.split(":") for x in local) if int(p, 16) in ours
    }
    assert addresses == {"127.0.0.1"}
