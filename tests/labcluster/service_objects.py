"""Services and EndpointSlices for the tests of DNS and of the proxy, in a registry without admission."""

from __future__ import annotations

from labcluster.api.objects import JSON
from labcluster.api.resources import ENDPOINT_SLICES, NAMESPACES, RESOURCES, SERVICES
from labcluster.kinds.kind import Kind
from labcluster.storage.registry import Registry
from labcluster.storage.store import Store


def plain_registry(*namespaces: str) -> Registry:
    """A registry that takes objects as they are (no defaults, no allocation), with these namespaces."""
    kinds = {resource: type("PlainKind", (Kind,), {"resource": resource})() for resource in RESOURCES}
    registry = Registry(Store(":memory:"), kinds)
    for name in namespaces:
        registry.create(NAMESPACES, {"metadata": {"name": name}})
    return registry


def port(number: int, name: str = "", protocol: str = "TCP", **more: object) -> JSON:
    return {"port": number, "name": name, "protocol": protocol, **more}


def service(name: str, ip: str, *ports: JSON, namespace: str = "db", **spec: object) -> JSON:
    metadata = {"name": name, "namespace": namespace}
    return {"metadata": metadata, "spec": {"clusterIP": ip, "clusterIPs": [ip], "ports": list(ports), **spec}}


def endpoint(address: str, hostname: str = "", node: str = "", **conditions: bool) -> JSON:
    entry: JSON = {"addresses": [address], "conditions": {"ready": True, **conditions}}
    return entry | ({"hostname": hostname} if hostname else {}) | ({"nodeName": node} if node else {})


def endpoint_slice(service_name: str, *endpoints: JSON, ports: list[JSON], namespace: str = "db", n: int = 1) -> JSON:
    labels = {"kubernetes.io/service-name": service_name}
    return {
        "metadata": {"name": f"{service_name}-{n}", "namespace": namespace, "labels": labels},
        "addressType": "IPv4",
        "endpoints": list(endpoints),
        "ports": ports,
    }


def add(registry: Registry, *objects: JSON) -> None:
    for obj in objects:
        registry.create(ENDPOINT_SLICES if "endpoints" in obj else SERVICES, obj)
