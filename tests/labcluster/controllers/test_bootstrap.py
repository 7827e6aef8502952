"""What is there before anyone asks."""

from __future__ import annotations

import pytest

from labcluster import settings
from labcluster.api.objects import annotations_of, labels_of
from labcluster.api.resources import ENDPOINT_SLICES, ENDPOINTS, NAMESPACES, SERVICES, STORAGE_CLASSES
from labcluster.controllers.bootstrap import bootstrap
from labcluster.storage.registry import Registry
from labcluster.storage.store import Store
from labsupport.settings import DNS_NODE_PORT


@pytest.fixture
def registry() -> Registry:
    registry = Registry(Store(":memory:"))
    bootstrap(registry)
    return registry


def test_the_four_namespaces_are_there(registry: Registry) -> None:
    names = [n["metadata"]["name"] for n in registry.list(NAMESPACES)]
    assert names == ["default", "kube-node-lease", "kube-public", "kube-system"]


def test_the_storage_class_is_kinds(registry: Registry) -> None:
    found = registry.get(STORAGE_CLASSES, "", "standard")
    assert (found["provisioner"], found["volumeBindingMode"], found["reclaimPolicy"]) == (
        "rancher.io/local-path",
        "WaitForFirstConsumer",
        "Delete",
    )
    assert annotations_of(found)["storageclass.kubernetes.io/is-default-class"] == "true"


def test_the_api_server_is_a_service_with_its_nodes_address(registry: Registry) -> None:
    service = registry.get(SERVICES, "default", "kubernetes")
    assert service["spec"]["clusterIP"] == "10.96.0.1" and service["spec"]["ports"][0]["port"] == 443
    found = registry.get(ENDPOINT_SLICES, "default", "kubernetes")
    assert labels_of(found)["kubernetes.io/service-name"] == "kubernetes"
    assert found["endpoints"][0]["addresses"] == ["172.18.0.2"] and found["ports"][0]["port"] == 6443
    subset = registry.get(ENDPOINTS, "default", "kubernetes")["subsets"][0]
    assert (subset["addresses"], subset["ports"][0]["port"]) == ([{"ip": "172.18.0.2"}], 6443)


@pytest.mark.parametrize("name", ["kube-dns", "lab-dns"])
def test_dns_has_both_protocols_and_the_control_plane_behind_it(registry: Registry, name: str) -> None:
    service = registry.get(SERVICES, "kube-system", name)
    assert [(p["name"], p["protocol"], p["port"]) for p in service["spec"]["ports"]] == [
        ("dns", "UDP", 53),
        ("dns-tcp", "TCP", 53),
    ]
    assert labels_of(service)["k8s-app"] == "kube-dns" and "selector" not in service["spec"]
    found = registry.get(ENDPOINT_SLICES, "kube-system", name)
    assert found["endpoints"][0]["addresses"] == [str(settings.CONTROL_PLANE.address)]
    assert [(p["name"], p["port"]) for p in found["ports"]] == [("dns", 53), ("dns-tcp", 53)]


def test_dns_has_its_fixed_address_and_node_port(registry: Registry) -> None:
    assert registry.get(SERVICES, "kube-system", "kube-dns")["spec"]["clusterIP"] == "10.96.0.10"
    ports = registry.get(SERVICES, "kube-system", "lab-dns")["spec"]["ports"]
    assert [p["nodePort"] for p in ports] == [DNS_NODE_PORT, DNS_NODE_PORT]


def test_a_second_time_writes_nothing(registry: Registry) -> None:
    revision = registry.revision
    bootstrap(registry)
    assert registry.revision == revision
