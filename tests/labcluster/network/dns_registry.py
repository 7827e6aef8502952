"""The services that the tests of cluster DNS ask for."""

from __future__ import annotations

from labcluster.storage.registry import Registry
from tests.labcluster.service_objects import add, endpoint, endpoint_slice, plain_registry, port, service

REDIS = [port(6379, "redis"), port(16379, "bus")]


def dns_registry() -> Registry:
    """A headless `redis` of two ready pods and one that is not; a ClusterIP `web`; an ExternalName or two."""
    registry = plain_registry("db", "empty")
    add(
        registry,
        service("redis", "None", *REDIS),
        endpoint_slice(
            "redis",
            endpoint("10.244.1.2", "redis-0"),
            endpoint("10.244.2.3", "redis-1"),
            endpoint("10.244.1.4", "redis-2", ready=False),
            ports=REDIS,
        ),
        service("web", "10.96.7.7", port(80, "http"), port(53, "dns", "UDP")),
        endpoint_slice("web", endpoint("10.244.1.9"), ports=[port(8080, "http"), port(5353, "dns", "UDP")]),
        {
            "metadata": {"name": "outside", "namespace": "db"},
            "spec": {"type": "ExternalName", "externalName": "www.example.org"},
        },
        {
            "metadata": {"name": "alias", "namespace": "db"},
            "spec": {"type": "ExternalName", "externalName": "web.db.svc.cluster.local"},
        },
    )
    return registry
