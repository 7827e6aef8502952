"""The lab's map, from plain objects in place of a cluster's."""

from __future__ import annotations

from types import SimpleNamespace as Object

import pytest

from labsupport import paths
from labsupport.cluster import api, scope
from labsupport.figures import lab_map
from labsupport.figures.diagram import Diagram
from labsupport.figures.lab_map import Ports
from tests.labsupport.figures.readable import assert_clear, assert_readable

PORTS = Ports(16443, 30053, (30000, 30029))


def node(name: str, control_plane: bool = False) -> Object:
    labels = {"node-role.kubernetes.io/control-plane": ""} if control_plane else None
    return Object(metadata=Object(name=name, labels=labels))


def pod(name: str, on: str | None) -> Object:
    return Object(metadata=Object(name=name), spec=Object(node_name=on))


NODES = [node("worker-b"), node("worker-a"), node("zentral", control_plane=True)]
PODS = [pod("redis-1", "worker-a"), pod("redis-0", "worker-a"), pod("waiting", None)]


def texts(page: Diagram) -> dict[str, str]:
    return {box.title: box.text for box in page.boxes}


def targets(page: Diagram, way: str) -> set[str]:
    """The boxes to which arrows from the box of that title lead."""
    (source,) = (box for box in page.boxes if box.title == way)
    ends = {arrow.end for arrow in page.arrows if arrow.begin == source.right}
    return {box.title for box in page.boxes if box.left in ends}


def test_pods_are_on_their_nodes_in_the_order_of_their_names() -> None:
    page = lab_map.diagram(NODES, PODS, PORTS)
    assert texts(page) | {"this notebook": "", "the cluster": ""} == {
        "this notebook": "",
        "the cluster": "",
        "API server": "port 16443",
        "DNS": "port 30053",
        "NodePorts": "30000 to 30029",
        "zentral": "takes orders and decides",
        "worker-a": "pod redis-0\npod redis-1",
        "worker-b": "no pods of this chapter",
    }
    assert_clear(page)


def test_the_control_plane_is_beside_the_api_server_and_node_ports_lead_to_the_workers() -> None:
    page = lab_map.diagram(NODES, PODS, PORTS)
    assert targets(page, "API server") == {"zentral"}
    assert targets(page, "NodePorts") == {"worker-a", "worker-b"}
    assert targets(page, "DNS") == set()
    boxes = {box.title: box for box in page.boxes}
    assert boxes["API server"].left[1] == pytest.approx(boxes["zentral"].left[1])


def test_a_node_that_is_all_the_cluster_takes_orders_and_pods() -> None:
    page = lab_map.diagram([node("one", control_plane=True)], [pod("redis-0", "one")], PORTS)
    assert texts(page)["one"] == "pod redis-0"
    assert targets(page, "API server") == targets(page, "NodePorts") == {"one"}
    assert_clear(page)


def test_a_cluster_that_shows_no_control_plane_has_workers_only() -> None:
    page = lab_map.diagram([node("a"), node("b")], [], PORTS)
    assert (targets(page, "API server"), targets(page, "NodePorts")) == (set(), {"a", "b"})


def test_more_pods_than_there_is_room_for_are_counted() -> None:
    names = [f"web-{number}" for number in range(7)]
    page = lab_map.diagram([node("a")], [pod(name, "a") for name in names[:4]], PORTS)
    assert texts(page)["a"].split("\n") == ["pod web-0", "pod web-1", "pod web-2", "pod web-3"]
    page = lab_map.diagram([node("a")], [pod(name, "a") for name in names], PORTS)
    assert texts(page)["a"].split("\n") == ["pod web-0", "pod web-1", "pod web-2", "and 4 more"]


def test_the_page_grows_with_the_cluster_and_long_names_fit() -> None:
    nodes = [node(f"ip-10-0-{number}-117.eu-central-1.compute.internal") for number in range(6)]
    pods = [pod(f"a-deployment-of-a-long-name-6d4cf56db6-x{number}k2p", nodes[0].metadata.name) for number in range(9)]
    page = lab_map.diagram(nodes, pods, PORTS)
    assert_clear(page)
    assert_readable(page.picture(lab_map.alt_text(nodes, pods)))


def test_the_map_is_drawn_from_the_live_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    core = Object(list_node=lambda: Object(items=NODES), list_namespaced_pod=lambda space: Object(items=PODS))
    monkeypatch.setattr(api, "core", lambda: core)
    monkeypatch.setattr(api, "api_client", lambda: Object(configuration=Object(host="https://127.0.0.1:16443")))
    monkeypatch.setattr(scope, "namespace", lambda: "chapter-00")
    monkeypatch.setattr(paths, "host_port", lambda node_port: node_port)
    picture = lab_map.draw()
    assert picture.alt == (
        "Map of the lab. On the left this notebook, on the right a cluster of 3 nodes with 2 pods of this chapter. "
        "Three ways lead in: the API server, DNS and the NodePorts. None leads to a pod's own address."
    )
    assert_readable(picture)
