"""What a pod cannot see and cannot reach."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from tests.cluster.requests_from_pods import NoConnection, PodsApi, get
from tests.manifests import claim, pod, shell
from tests.running_lab import Namespace


@pytest.fixture
def inside(namespace: Namespace) -> Namespace:
    """A pod to try from."""
    namespace.apply(pod("one"))
    namespace.wait("pod/one", "condition=Ready")
    return namespace


def test_a_pod_sees_no_file_of_the_user_or_the_lab(inside: Namespace) -> None:
    own = [Path.home(), inside.lab.state, inside.lab.state / "pki", inside.lab.kubeconfig, Path(__file__)]
    for path in own:
        assert inside.sh("one", f"ls -A '{path}' 2>/dev/null | head -1") == "", f"{path} is visible"
    assert inside.sh("one", "cat /etc/shadow 2>/dev/null || echo none") == "none\n"
    assert inside.sh("one", "ls /home /root /tmp /srv /mnt | grep -v : | grep . || echo none") == "none\n"


def test_a_pod_does_not_see_processes_of_others(inside: Namespace) -> None:
    commands = inside.sh("one", "cat /proc/[0-9]*/cmdline | tr '\\0' ' '")
    assert "labcluster.daemon" not in commands
    assert "pytest" not in commands


def test_a_pod_cannot_leave_by_the_daemons_or_its_own_links(inside: Namespace) -> None:
    for path in ("/proc/1/root/home", "/proc/self/root/root"):
        assert inside.sh("one", f"ls {path} | grep . || echo none") == "none\n"
    assert inside.sh("one", "mount -t tmpfs none /mnt 2>/dev/null && mount -o remount,rw /usr/bin || echo no") == "no\n"
    assert inside.sh("one", "touch /usr/bin/x 2>/dev/null || echo no") == "no\n"


@pytest.mark.parametrize("link", ["/data/absolute", "/data/climbing"])
def test_an_exec_in_a_directory_that_is_a_link_stays_in_the_container(namespace: Namespace, link: str) -> None:
    home = Path.home()  # the container has an empty directory of that name, too
    data, own = {"name": "data", "mountPath": "/data"}, {"name": "own", "mountPath": str(home)}
    links = f"ln -s {home} /data/absolute; ln -s ../../../..{home} /data/climbing"
    first = {**shell(links, volumeMounts=[data]), "name": "first"}
    main = shell("sleep infinity", workingDir=link, volumeMounts=[data, own])
    volumes = [{"name": name, "emptyDir": {}} for name in ("data", "own")]
    namespace.apply(pod("one", main, initContainers=[first], volumes=volumes))
    namespace.wait("pod/one", "condition=Ready")
    assert namespace.sh("one", "pwd -P; ls -A") == f"{home}\n"


def test_a_program_gets_no_descriptor_but_its_streams(inside: Namespace) -> None:
    assert inside.sh("one", "ls /proc/1/fd | tr '\\n' ' '") == "0 1 2 "
    assert inside.sh("one", "sh -c 'ls /proc/$$/fd; :' | tr '\\n' ' '") == "0 1 2 "


def test_a_pod_does_not_see_another_pods_volume(namespace: Namespace) -> None:
    data = {"volumeMounts": [{"name": "data", "mountPath": "/data"}]}
    volume = [{"name": "data", "persistentVolumeClaim": {"claimName": "data"}}]
    namespace.apply(claim("data"), pod("one", shell(**data), volumes=volume))
    namespace.wait("pod/one", "condition=Ready")
    node = namespace.get("pod/one")["spec"]["nodeName"]
    namespace.apply(pod("two", nodeName=node))
    namespace.wait("pod/two", "condition=Ready")
    namespace.sh("one", "echo secret > /data/only-mine; echo secret > /tmp/only-mine")
    assert namespace.sh("two", "find / -name only-mine 2>/dev/null || true") == ""


def test_a_pod_does_not_reach_the_hosts_loopback(inside: Namespace) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        for address in ("127.0.0.1", "localhost", "10.244.0.1", "172.18.0.1", "172.18.0.2"):
            with pytest.raises(NoConnection):
                get(inside, "one", f"{address}:{port}", seconds=1)
        listening.settimeout(0)
        with pytest.raises(BlockingIOError):
            listening.accept()


def test_a_pod_on_its_nodes_network_does_not_reach_the_hosts_loopback(namespace: Namespace) -> None:
    namespace.apply(pod("one", hostNetwork=True))
    namespace.wait("pod/one", "condition=Ready")
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        with pytest.raises(NoConnection):
            get(namespace, "one", f"127.0.0.1:{port}", seconds=1)
        listening.settimeout(0)
        with pytest.raises(BlockingIOError):
            listening.accept()


def test_pod_and_cluster_addresses_have_no_route_in_the_notebooks_network() -> None:
    """Looked up in the table, not tried: a machine may have a network of that range of its own."""
    networks = {"0000F40A", "0000600A"}  # 10.244.0.0/16 and 10.96.0.0/16, as /proc writes them
    routes = [line.split() for line in Path("/proc/net/route").read_text().splitlines()[1:]]
    assert not {route[1] for route in routes} & networks


def test_a_pods_account_may_not_read_the_cluster(inside: Namespace) -> None:
    api = PodsApi(inside, "one")
    assert api.ask(f"/api/v1/namespaces/{inside.name}/secrets")[0] == 403
    assert api.ask("/api/v1/nodes", anonymous=True)[0] in (401, 403)
