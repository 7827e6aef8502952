"""Endpoints and EndpointSlices say which pods are behind a service."""

from __future__ import annotations

from typing import Any

import pytest

from labcluster.api.objects import JSON, labels_of, name_of, uid_of
from labcluster.api.resources import ENDPOINT_SLICES, ENDPOINTS, PODS, SERVICES
from labcluster.controllers.services.endpoint_slice import EndpointSliceController
from labcluster.controllers.services.endpoints import EndpointsController
from tests.labcluster.control_plane import NAMESPACE, WORKER, ControlPlane

LABELS = {"app": "web"}


@pytest.fixture
def plane() -> ControlPlane:
    return ControlPlane(EndpointsController, EndpointSliceController)


def pod(plane: ControlPlane, name: str, ip: str, *, ready: bool = True, **spec: Any) -> None:
    plane.pod(name, labels=LABELS, **spec)
    plane.run(name, ip, ready=ready)


def slices(plane: ControlPlane) -> list[JSON]:
    plane.settle()
    return plane.registry.list(ENDPOINT_SLICES, NAMESPACE)


def subsets(plane: ControlPlane, name: str = "web") -> list[JSON]:
    plane.settle()
    found: list[JSON] = plane.registry.get(ENDPOINTS, NAMESPACE, name).get("subsets", [])
    return found


def addresses(plane: ControlPlane) -> list[str]:
    return [e["addresses"][0] for s in slices(plane) for e in s["endpoints"] or ()]


def ready(plane: ControlPlane) -> dict[str, bool]:
    return {e["targetRef"]["name"]: e["conditions"]["ready"] for s in slices(plane) for e in s["endpoints"]}


def test_a_new_service_has_an_empty_slice_and_empty_endpoints(plane: ControlPlane) -> None:
    service = plane.service()
    (found,) = slices(plane)
    assert found["metadata"]["name"].startswith("web-") and len(found["metadata"]["name"]) == len("web-") + 5
    assert labels_of(found) == {
        "app": "web",
        "kubernetes.io/service-name": "web",
        "endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io",
    }
    owner = found["metadata"]["ownerReferences"][0]
    assert (owner["kind"], owner["uid"], owner["controller"]) == ("Service", uid_of(service), True)
    assert (found["addressType"], found["endpoints"], found["ports"]) == ("IPv4", None, None)
    assert subsets(plane) == []
    endpoints = plane.registry.get(ENDPOINTS, NAMESPACE, "web")
    assert labels_of(endpoints)["endpoints.kubernetes.io/managed-by"] == "endpoint-controller"


def test_an_endpoint_tells_its_pod_node_port_and_state(plane: ControlPlane) -> None:
    plane.service()
    pod(plane, "a", "10.244.1.2")
    (found,) = slices(plane)
    reference = {"kind": "Pod", "namespace": NAMESPACE, "name": "a", "uid": uid_of(plane.get_pod("a"))}
    assert found["endpoints"] == [
        {
            "addresses": ["10.244.1.2"],
            "conditions": {"ready": True, "serving": True, "terminating": False},
            "nodeName": WORKER,
            "targetRef": reference,
        }
    ]
    assert found["ports"] == [{"name": "http", "port": 8080, "protocol": "TCP"}]
    assert subsets(plane) == [
        {
            "addresses": [{"ip": "10.244.1.2", "nodeName": WORKER, "targetRef": reference}],
            "ports": [{"name": "http", "port": 8080, "protocol": "TCP"}],
        }
    ]


def test_pods_without_ip_and_finished_pods_are_left_out(plane: ControlPlane) -> None:
    plane.service()
    plane.pod("young", labels=LABELS)
    pod(plane, "done", "10.244.1.2")
    plane.registry.modify(
        PODS, NAMESPACE, "done", lambda new: new["status"].update(phase="Succeeded"), subresource="status"
    )
    assert addresses(plane) == [] and subsets(plane) == []


def test_a_pod_that_is_not_ready_is_listed_apart(plane: ControlPlane) -> None:
    plane.service()
    pod(plane, "a", "10.244.1.2", ready=False)
    assert ready(plane) == {"a": False}
    (subset,) = subsets(plane)
    assert "addresses" not in subset and subset["notReadyAddresses"][0]["ip"] == "10.244.1.2"


def test_a_terminating_pod_leaves_endpoints_and_stays_in_the_slice(plane: ControlPlane) -> None:
    plane.service()
    pod(plane, "a", "10.244.1.2")
    plane.settle()
    plane.registry.delete(PODS, NAMESPACE, "a")
    (found,) = slices(plane)
    assert found["endpoints"][0]["conditions"] == {"ready": False, "serving": True, "terminating": True}
    assert subsets(plane) == []


def test_publish_not_ready_addresses_makes_all_ready(plane: ControlPlane) -> None:
    plane.service(publishNotReadyAddresses=True)
    pod(plane, "a", "10.244.1.2", ready=False)
    pod(plane, "b", "10.244.1.3")
    plane.settle()
    plane.registry.delete(PODS, NAMESPACE, "b")
    assert ready(plane) == {"a": True, "b": True}
    assert [a["ip"] for a in subsets(plane)[0]["addresses"]] == ["10.244.1.2", "10.244.1.3"]


def test_hostname_needs_the_subdomain_of_this_service(plane: ControlPlane) -> None:
    plane.service(clusterIP="None")
    pod(plane, "web-0", "10.244.1.2", hostname="web-0", subdomain="web")
    pod(plane, "web-1", "10.244.1.3", hostname="web-1", subdomain="other")
    pod(plane, "web-2", "10.244.1.4", subdomain="web")
    (found,) = slices(plane)
    assert [e.get("hostname") for e in found["endpoints"]] == ["web-0", None, None]
    assert [a.get("hostname") for a in subsets(plane)[0]["addresses"]] == ["web-0", None, None]
    assert labels_of(found)["service.kubernetes.io/headless"] == ""


def test_a_headless_service_needs_no_ports(plane: ControlPlane) -> None:
    plane.service(clusterIP="None", ports=[])
    pod(plane, "a", "10.244.1.2")
    assert addresses(plane) == ["10.244.1.2"]
    assert list(subsets(plane)[0]) == ["addresses"]


def test_a_named_target_port_is_resolved_on_each_pod(plane: ControlPlane) -> None:
    plane.service(ports=[{"name": "http", "port": 80, "targetPort": "web"}])
    pod(plane, "a", "10.244.1.2", ports=[{"name": "web", "containerPort": 8080}])
    pod(plane, "b", "10.244.1.3", ports=[{"name": "web", "containerPort": 9090}])
    assert sorted((s["ports"][0]["port"], s["endpoints"][0]["targetRef"]["name"]) for s in slices(plane)) == [
        (8080, "a"),
        (9090, "b"),
    ]
    assert [s["ports"][0]["port"] for s in subsets(plane)] == [8080, 9090]


def test_services_without_selector_and_external_names_are_left_alone(plane: ControlPlane) -> None:
    plane.service("bare", selector=None)
    plane.service("far", type="ExternalName", externalName="example.com", ports=[])
    assert slices(plane) == [] and plane.names(ENDPOINTS) == []


def test_a_pod_that_changes_its_label_leaves_and_comes_back_in_its_place(plane: ControlPlane) -> None:
    plane.service()
    for number in range(12):
        pod(plane, f"web-{number}", f"10.244.1.{number + 2}")
    order = addresses(plane)
    assert order == [f"10.244.1.{n + 2}" for n in range(12)], "web-2 comes before web-10"

    def label(value: str) -> None:
        plane.registry.modify(PODS, NAMESPACE, "web-3", lambda new: new["metadata"].update(labels={"app": value}))

    label("debug")
    assert len(addresses(plane)) == 11
    label("web")
    assert addresses(plane) == order


def test_at_zero_pods_the_same_slice_stays_empty(plane: ControlPlane) -> None:
    plane.service()
    pod(plane, "a", "10.244.1.2")
    name = name_of(slices(plane)[0])
    plane.registry.modify(PODS, NAMESPACE, "a", lambda new: new["status"].update(phase="Failed"), subresource="status")
    (found,) = slices(plane)
    assert (name_of(found), found["endpoints"]) == (name, None)


def test_more_than_a_hundred_endpoints_take_another_slice(plane: ControlPlane) -> None:
    plane.service()
    for number in range(101):
        pod(plane, f"web-{number}", f"10.244.1.{number}")
    assert sorted(len(s["endpoints"]) for s in slices(plane)) == [1, 100]


def test_a_status_that_changes_nothing_here_writes_nothing(plane: ControlPlane) -> None:
    plane.service()
    pod(plane, "a", "10.244.1.2")
    plane.settle()
    plane.changes.clear()
    plane.registry.modify(PODS, NAMESPACE, "a", lambda new: new["status"].update(message="busy"), subresource="status")
    plane.settle()
    assert [c.resource for c in plane.changes] == [PODS]


def test_both_go_with_their_service(plane: ControlPlane) -> None:
    plane.service()
    plane.settle()
    plane.registry.delete(SERVICES, NAMESPACE, "web")
    assert slices(plane) == [] and plane.names(ENDPOINTS) == []
