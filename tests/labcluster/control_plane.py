"""A control plane that runs one reconcile at a time, on a registry with three nodes: for tests of the controllers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from labcluster import settings
from labcluster.api.objects import JSON, name_of
from labcluster.api.resources import (
    EVENTS,
    EVERYTHING,
    NAMESPACES,
    NODES,
    PERSISTENT_VOLUME_CLAIMS,
    PERSISTENT_VOLUMES,
    PODS,
    SERVICE_ACCOUNTS,
    SERVICES,
    STORAGE_CLASSES,
)
from labcluster.api.times import now
from labcluster.controllers.bootstrap import bootstrap
from labcluster.controllers.controller import Controller
from labcluster.storage.registry import Change, Registry
from labcluster.storage.store import Store

NAMESPACE = "test"
CONTROL_PLANE, WORKER, WORKER2 = (node.name for node in settings.NODES)
CONTROL_PLANE_TAINT = {"key": "node-role.kubernetes.io/control-plane", "effect": "NoSchedule"}


class ControlPlane:
    """A registry and controllers whose queues are worked off by `settle`."""

    def __init__(self, *factories: Callable[[Registry], Controller], nodes: bool = True) -> None:
        self.registry = Registry(Store(":memory:"))
        bootstrap(self.registry)
        self.registry.create(NAMESPACES, {"metadata": {"name": NAMESPACE}})
        self.registry.create(SERVICE_ACCOUNTS, {"metadata": {"name": "default", "namespace": NAMESPACE}})
        if nodes:
            for each in settings.NODES:
                self.node(each.name, taints=[CONTROL_PLANE_TAINT] if each.control_plane else [])
        self.changes: list[Change] = []
        self.later: dict[str, float] = {}  # keys that ask to be looked at again -> seconds
        self._waiting: dict[tuple[int, str], None] = {}
        self.controllers = [factory(self.registry) for factory in factories]
        for number, controller in enumerate(self.controllers):
            for resource, mapper in controller.sources().items():
                self.registry.subscribe(resource, lambda c, f=mapper, n=number: self._enqueue(n, f(c)))  # type: ignore[misc]
        self.registry.follow(EVERYTHING, self.changes.append)

    def _enqueue(self, number: int, keys: Any) -> None:
        for key in keys:
            self._waiting[number, key] = None

    def settle(self, limit: int = 2000) -> None:
        """Reconcile until nothing is queued; errors go to the caller. Fails when it does not come to rest."""
        for _ in range(limit):
            for number, controller in enumerate(self.controllers):
                while not controller.queue._ready.empty():
                    key = controller.queue._ready.get_nowait()
                    controller.queue._queued.discard(key)
                    self._waiting[number, key] = None
            if not self._waiting:
                return
            number, key = next(iter(self._waiting))
            del self._waiting[number, key]
            after = self.controllers[number].reconcile(key)
            if after == 0:
                self._waiting[number, key] = None
            elif after is not None:
                self.later[key] = after
        raise AssertionError(f"the controllers do not come to rest; still waiting: {list(self._waiting)[:5]}")

    # ------------------------------------------------------------------ making

    def node(self, name: str, *, taints: list[JSON] | None = None, ready: bool = True, **allocatable: str) -> JSON:
        offer = {"cpu": "2", "memory": "4Gi", "pods": "110", **allocatable}
        status = {
            "capacity": offer,
            "allocatable": offer,
            "conditions": [{"type": "Ready", "status": "True" if ready else "False", "lastTransitionTime": now()}],
        }
        metadata = {"name": name, "labels": {"kubernetes.io/hostname": name}}
        spec = {"taints": taints} if taints else {}
        return self.registry.create(NODES, {"metadata": metadata, "spec": spec, "status": status})

    def pod(self, name: str, *, claim: str = "", labels: dict[str, str] | None = None, **spec: Any) -> JSON:
        container: JSON = {"name": "c", "image": "valkey/valkey"}
        for key in ("resources", "ports"):
            if key in spec:
                container[key] = spec.pop(key)
        volumes = [{"name": "data", "persistentVolumeClaim": {"claimName": claim}}] if claim else []
        owners = spec.pop("owners", None)
        metadata: JSON = {"name": name, "namespace": NAMESPACE, "labels": labels or {}}
        if owners:
            metadata["ownerReferences"] = owners
        return self.registry.create(
            PODS, {"metadata": metadata, "spec": {"containers": [container], "volumes": volumes, **spec}}
        )

    def claim(self, name: str = "data", size: str = "1Gi", **spec: Any) -> JSON:
        wanted = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": size}}, **spec}
        metadata = {"name": name, "namespace": NAMESPACE}
        return self.registry.create(PERSISTENT_VOLUME_CLAIMS, {"metadata": metadata, "spec": wanted})

    def volume(self, name: str, size: str = "1Gi", *, node: str = "", labels: Any = None, **spec: Any) -> JSON:
        wanted: JSON = {
            "capacity": {"storage": size},
            "accessModes": ["ReadWriteOnce"],
            "hostPath": {"path": f"/data/{name}"},
            "persistentVolumeReclaimPolicy": "Retain",
            **spec,
        }
        if node:
            term = {"matchExpressions": [{"key": "kubernetes.io/hostname", "operator": "In", "values": [node]}]}
            wanted["nodeAffinity"] = {"required": {"nodeSelectorTerms": [term]}}
        return self.registry.create(
            PERSISTENT_VOLUMES, {"metadata": {"name": name, "labels": labels or {}}, "spec": wanted}
        )

    def storage_class(self, name: str, provisioner: str, mode: str = "Immediate") -> JSON:
        made = {"metadata": {"name": name}, "provisioner": provisioner, "reclaimPolicy": "Delete"}
        return self.registry.create(STORAGE_CLASSES, {**made, "volumeBindingMode": mode})

    def service(self, name: str = "web", **spec: Any) -> JSON:
        metadata = {"name": name, "namespace": NAMESPACE, "labels": {"app": name}}
        wanted = {"selector": {"app": name}, "ports": [{"name": "http", "port": 80, "targetPort": 8080}], **spec}
        return self.registry.create(SERVICES, {"metadata": metadata, "spec": wanted})

    # ----------------------------------------------------------------- looking

    def get_pod(self, name: str) -> JSON:
        return self.registry.get(PODS, NAMESPACE, name)

    def get_claim(self, name: str = "data") -> JSON:
        return self.registry.get(PERSISTENT_VOLUME_CLAIMS, NAMESPACE, name)

    def node_of(self, name: str) -> str:
        return str(self.get_pod(name)["spec"].get("nodeName", ""))

    def events(self, name: str, reason: str = "") -> list[str]:
        """The messages of the events about an object, of one reason if given."""
        return [
            e["message"]
            for e in self.registry.list(EVENTS)
            if e["involvedObject"]["name"] == name and reason in ("", e["reason"])
        ]

    def run(self, name: str, ip: str, *, ready: bool = True, node: str = WORKER) -> JSON:
        """Do what scheduler and kubelet do: the pod is on a node, running, with an IP."""

        def change(new: JSON) -> None:
            new["spec"]["nodeName"] = node
            new["status"].update(phase="Running", podIP=ip, podIPs=[{"ip": ip}])
            new["status"]["conditions"] = [{"type": "Ready", "status": "True" if ready else "False"}]

        return self.registry.modify(PODS, NAMESPACE, name, change, subresource="binding")

    def names(self, resource: Any) -> list[str]:
        return [name_of(o) for o in self.registry.list(resource, NAMESPACE if resource.namespaced else "")]
