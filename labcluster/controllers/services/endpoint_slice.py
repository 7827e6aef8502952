"""EndpointSlices of services with a selector (pkg/controller/endpointslice, k8s.io/endpointslice/reconciler.go).

One slice for up to 100 endpoints with the same ports, IPv4 only. An endpoint keeps its place in the list as
long as the pods have the names they have.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, ClassVar

from labcluster.api.conditions import is_pod_ready
from labcluster.api.objects import JSON, annotations_of, is_terminating, labels_of, name_of, namespace_of, split_key
from labcluster.api.owners import controller_reference
from labcluster.api.resources import ENDPOINT_SLICES, PODS, SERVICES, Resource
from labcluster.api.selectors import LabelSelector
from labcluster.api.times import now
from labcluster.controllers.controller import Controller
from labcluster.controllers.services import service_pods
from labcluster.storage.registry import Change

SERVICE_NAME = "kubernetes.io/service-name"
MANAGED_BY = "endpointslice.kubernetes.io/managed-by"
MANAGER = "endpointslice-controller.k8s.io"
MAX_ENDPOINTS = 100


class EndpointSliceController(Controller):
    """Keys: the Service's."""

    name: ClassVar[str] = "endpointslice"

    def sources(self) -> dict[Resource, Callable[[Change], Iterable[str]]]:
        """Services, their pods, and the slices themselves (to undo what others do to them)."""
        return {
            SERVICES: self.own_key,
            ENDPOINT_SLICES: self._managed,
            PODS: lambda change: service_pods.services_of(self.registry, change),
        }

    @staticmethod
    def _managed(change: Change) -> list[str]:
        labels = labels_of(change.object)
        if labels.get(MANAGED_BY) != MANAGER or SERVICE_NAME not in labels:
            return []
        return [f"{namespace_of(change.object)}/{labels[SERVICE_NAME]}"]

    def reconcile(self, key: str) -> float | None:
        """Write the Service's slices where they differ."""
        namespace, name = split_key(key)
        service = self.registry.find(SERVICES, namespace, name)
        ours = LabelSelector.from_labels({SERVICE_NAME: name, MANAGED_BY: MANAGER})
        existing = self.registry.list(ENDPOINT_SLICES, namespace, labels=ours)
        if service is None:
            for endpoint_slice in existing:
                self.registry.delete(ENDPOINT_SLICES, namespace, name_of(endpoint_slice))
            return None
        if not service_pods.has_endpoints(service) or is_terminating(service):
            return None
        self._write(service, [e for e in existing if not is_terminating(e)], self._wanted(service))
        return None

    def _wanted(self, service: JSON) -> list[JSON]:
        """The ports and endpoints of each slice; at least one slice, if need be an empty one."""
        groups: dict[tuple[tuple[Any, ...], ...], JSON] = {}
        for pod in service_pods.backing_pods(self.registry, service, terminating=True):
            ports = service_pods.resolved_ports(service, pod)
            group = groups.setdefault(tuple(tuple(p.items()) for p in ports), {"ports": ports, "endpoints": []})
            group["endpoints"].append(_endpoint(service, pod))
        wanted = [
            {"ports": group["ports"], "endpoints": group["endpoints"][start : start + MAX_ENDPOINTS]}
            for _, group in sorted(groups.items())
            for start in range(0, len(group["endpoints"]), MAX_ENDPOINTS)
        ]
        return wanted or [{"ports": None, "endpoints": []}]

    def _write(self, service: JSON, existing: list[JSON], wanted: list[JSON]) -> None:
        """Pair wanted slices with existing ones, first where the ports agree; create, update and delete the rest."""
        left = list(existing)
        pairs: list[tuple[JSON, JSON | None]] = []
        for content in wanted:
            same = next((e for e in left if e.get("ports") == content["ports"]), None)
            if same is not None:
                left.remove(same)
            pairs.append((content, same))
        labels = service_pods.endpoint_labels(service, {SERVICE_NAME: name_of(service), MANAGED_BY: MANAGER})
        for content, endpoint_slice in pairs:
            if endpoint_slice is None and left:
                endpoint_slice = left.pop(0)
            if endpoint_slice is None:
                self._create(service, labels, content)
            else:
                self._update(endpoint_slice, labels, content)
        for surplus in left:
            self.registry.delete(ENDPOINT_SLICES, namespace_of(surplus), name_of(surplus))

    def _create(self, service: JSON, labels: dict[str, str], content: JSON) -> None:
        self.registry.create(
            ENDPOINT_SLICES,
            {
                "metadata": {
                    "generateName": f"{name_of(service)}-",
                    "namespace": namespace_of(service),
                    "labels": labels,
                    "annotations": {service_pods.TRIGGER_TIME: now()},
                    "ownerReferences": [controller_reference(service)],
                },
                "addressType": "IPv4",
                **content,
            },
        )

    def _update(self, endpoint_slice: JSON, labels: dict[str, str], content: JSON) -> None:
        same = all((endpoint_slice.get(k) or None) == (content[k] or None) for k in ("ports", "endpoints"))
        if same and labels_of(endpoint_slice) == labels:
            return

        def change(new: JSON) -> None:
            new.update(content)
            new["metadata"]["labels"] = labels
            new["metadata"]["annotations"] = {**annotations_of(new), service_pods.TRIGGER_TIME: now()}

        self.registry.modify(ENDPOINT_SLICES, namespace_of(endpoint_slice), name_of(endpoint_slice), change)


def _endpoint(service: JSON, pod: JSON) -> JSON:
    serving, terminating = is_pod_ready(pod), is_terminating(pod)
    publish = bool(service["spec"].get("publishNotReadyAddresses"))
    endpoint: JSON = {
        "addresses": [pod["status"]["podIP"]],
        "conditions": {
            "ready": publish or (serving and not terminating),
            "serving": serving,
            "terminating": terminating,
        },
    }
    if host := service_pods.hostname(service, pod):
        endpoint["hostname"] = host
    if pod["spec"].get("nodeName"):
        endpoint["nodeName"] = pod["spec"]["nodeName"]
    endpoint["targetRef"] = service_pods.target_reference(pod)
    return endpoint
