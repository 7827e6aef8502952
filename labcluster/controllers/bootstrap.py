"""The objects that every cluster starts with: namespaces, storage class, default roles, the cluster's own Services.

The API server and kubeadm make the first (pkg/controlplane/controller), kind the storage class. Safe to repeat:
what exists is left as it is, except for endpoints that have moved and default roles that were made smaller.
"""

from __future__ import annotations

from labcluster import settings
from labcluster.api.json_values import clone
from labcluster.api.objects import JSON, name_of, namespace_of
from labcluster.api.resources import ENDPOINT_SLICES, ENDPOINTS, NAMESPACES, SERVICES, STORAGE_CLASSES, Resource
from labcluster.auth.rbac import reconciliation
from labcluster.controllers.volumes.matching import DEFAULT_CLASS
from labcluster.controllers.volumes.provisioning import PROVISIONER
from labcluster.settings import DNS_NODE_PORT
from labcluster.storage.registry import Registry

SYSTEM_NAMESPACES = ("default", "kube-system", "kube-public", "kube-node-lease")
STORAGE_CLASS_NAME = "standard"
SYSTEM = "kube-system"


def bootstrap(registry: Registry) -> None:
    """Create what is missing. Call it before the controllers start. Raises ApiError if the registry refuses."""
    for name in SYSTEM_NAMESPACES:
        _ensure(registry, NAMESPACES, {"metadata": {"name": name}})
    _ensure(registry, STORAGE_CLASSES, storage_class())
    reconciliation.reconcile(registry)
    for resource, obj in (*api_service(), *dns_services()):
        _ensure(registry, resource, obj)


def _ensure(registry: Registry, resource: Resource, obj: JSON) -> None:
    existing = registry.find(resource, namespace_of(obj), name_of(obj))
    if existing is None:
        registry.create(resource, obj)
    elif resource in (ENDPOINTS, ENDPOINT_SLICES):
        content = {k: v for k, v in obj.items() if k != "metadata"}
        registry.modify(resource, namespace_of(obj), name_of(obj), lambda new: new.update(clone(content)))


def storage_class() -> JSON:
    """The default class, as in kind: local directories, bound when the first pod that uses them is scheduled."""
    return {
        "metadata": {"name": STORAGE_CLASS_NAME, "annotations": {DEFAULT_CLASS: "true"}},
        "provisioner": PROVISIONER,
        "reclaimPolicy": "Delete",
        "volumeBindingMode": "WaitForFirstConsumer",
    }


def api_service() -> list[tuple[Resource, JSON]]:
    """Service default/kubernetes, with Endpoints and a slice that name the API server's address."""
    name, namespace = "kubernetes", "default"
    port = {"name": "https", "port": settings.API_PORT_ON_NODE, "protocol": "TCP"}
    address = str(settings.CONTROL_PLANE.address)
    service = {
        "metadata": {
            "name": name,
            "namespace": namespace,
            "labels": {"component": "apiserver", "provider": "kubernetes"},
        },
        "spec": {
            "type": "ClusterIP",
            "clusterIP": str(settings.API_SERVICE_IP),
            "clusterIPs": [str(settings.API_SERVICE_IP)],
            "ports": [{"name": "https", "port": 443, "protocol": "TCP", "targetPort": settings.API_PORT_ON_NODE}],
        },
    }
    endpoints = {
        "metadata": {
            "name": name,
            "namespace": namespace,
            "labels": {"endpointslice.kubernetes.io/skip-mirror": "true"},
        },
        "subsets": [{"addresses": [{"ip": address}], "ports": [port]}],
    }
    return [
        (SERVICES, service),
        (ENDPOINTS, endpoints),
        (ENDPOINT_SLICES, _slice(name, namespace, name, [port], node=None)),
    ]


def dns_services() -> list[tuple[Resource, JSON]]:
    """Services kube-system/kube-dns (for pods) and kube-system/lab-dns (for the notebook), both without selector.

    DNS is answered by the control plane itself, so the slices name its address instead of pods.
    """
    ports = [
        {"name": "dns", "port": settings.DNS_PORT_ON_NODE, "protocol": "UDP"},
        {"name": "dns-tcp", "port": settings.DNS_PORT_ON_NODE, "protocol": "TCP"},
    ]
    targets = [{**port, "port": 53, "targetPort": settings.DNS_PORT_ON_NODE} for port in ports]
    labels = {"k8s-app": "kube-dns", "kubernetes.io/cluster-service": "true", "kubernetes.io/name": "CoreDNS"}
    cluster = {
        "metadata": {"name": "kube-dns", "namespace": SYSTEM, "labels": labels},
        "spec": {
            "type": "ClusterIP",
            "clusterIP": str(settings.DNS_SERVICE_IP),
            "clusterIPs": [str(settings.DNS_SERVICE_IP)],
            "ports": targets,
        },
    }
    outside = {
        "metadata": {"name": "lab-dns", "namespace": SYSTEM, "labels": {"k8s-app": "kube-dns"}},
        "spec": {"type": "NodePort", "ports": [{**target, "nodePort": DNS_NODE_PORT} for target in targets]},
    }
    node = settings.CONTROL_PLANE.name
    return [
        (SERVICES, cluster),
        (ENDPOINT_SLICES, _slice("kube-dns", SYSTEM, "kube-dns", ports, node)),
        (SERVICES, outside),
        (ENDPOINT_SLICES, _slice("lab-dns", SYSTEM, "lab-dns", ports, node)),
    ]


def _slice(name: str, namespace: str, service: str, ports: list[JSON], node: str | None) -> JSON:
    """A slice with one ready endpoint: the control plane's address."""
    endpoint: JSON = {
        "addresses": [str(settings.CONTROL_PLANE.address)],
        "conditions": {"ready": True, "serving": True, "terminating": False},
    }
    if node is not None:
        endpoint["nodeName"] = node
    return {
        "metadata": {"name": name, "namespace": namespace, "labels": {"kubernetes.io/service-name": service}},
        "addressType": "IPv4",
        "endpoints": [endpoint],
        "ports": ports,
    }
