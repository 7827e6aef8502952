"""Endpoints of services with a selector (pkg/controller/endpoint/endpoints_controller.go)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, ClassVar

from labcluster.api.conditions import is_pod_ready
from labcluster.api.objects import JSON, annotations_of, labels_of, split_key
from labcluster.api.resources import ENDPOINTS, PODS, SERVICES, Resource
from labcluster.api.times import now
from labcluster.controllers.controller import Controller
from labcluster.controllers.services import service_pods
from labcluster.storage.registry import Change

MANAGED_BY = "endpoints.kubernetes.io/managed-by"
MANAGER = "endpoint-controller"


class EndpointsController(Controller):
    """Keys: the Service's."""

    name: ClassVar[str] = "endpoints"

    def sources(self) -> dict[Resource, Callable[[Change], Iterable[str]]]:
        """Services, their pods, and the Endpoints themselves (to undo what others do to them)."""
        return {
            SERVICES: self.own_key,
            ENDPOINTS: self._managed,
            PODS: lambda change: service_pods.services_of(self.registry, change),
        }

    def _managed(self, change: Change) -> list[str]:
        return self.own_key(change) if labels_of(change.object).get(MANAGED_BY) == MANAGER else []

    def reconcile(self, key: str) -> float | None:
        """Write the Service's Endpoints if they differ."""
        namespace, name = split_key(key)
        service = self.registry.find(SERVICES, namespace, name)
        existing = self.registry.find(ENDPOINTS, namespace, name)
        if service is None:
            if existing is not None and labels_of(existing).get(MANAGED_BY) == MANAGER:
                self.registry.delete(ENDPOINTS, namespace, name)
            return None
        if not service_pods.has_endpoints(service):
            return None
        wanted_labels = service_pods.endpoint_labels(service, {MANAGED_BY: MANAGER})
        wanted_subsets = self._subsets(service)
        if existing is None:
            metadata: JSON = {"namespace": namespace, "name": name, "labels": wanted_labels}
            metadata["annotations"] = {service_pods.TRIGGER_TIME: now()}
            endpoints: JSON = {"metadata": metadata}
            if wanted_subsets:
                endpoints["subsets"] = wanted_subsets
            self.registry.create(ENDPOINTS, endpoints)
        elif (existing.get("subsets") or []) != wanted_subsets or labels_of(existing) != wanted_labels:

            def change(new: JSON) -> None:
                new["metadata"]["labels"] = wanted_labels
                new["metadata"]["annotations"] = {**annotations_of(new), service_pods.TRIGGER_TIME: now()}
                new.pop("subsets", None)
                if wanted_subsets:
                    new["subsets"] = wanted_subsets

            self.registry.modify(ENDPOINTS, namespace, name, change)
        return None

    def _subsets(self, service: JSON) -> list[JSON]:
        """Addresses grouped by the ports they have, ready ones apart from the others."""
        publish = bool(service["spec"].get("publishNotReadyAddresses"))
        groups: dict[tuple[tuple[Any, ...], ...], JSON] = {}
        for pod in service_pods.backing_pods(self.registry, service, terminating=publish):
            ports = service_pods.resolved_ports(service, pod)
            if not ports and (service["spec"].get("ports") or not service_pods.is_headless(service)):
                continue
            subset = groups.setdefault(tuple(tuple(p.items()) for p in ports), {"ports": ports})
            ready = publish or is_pod_ready(pod)
            subset.setdefault("addresses" if ready else "notReadyAddresses", []).append(_address(service, pod))
        return [_repacked(groups[key]) for key in sorted(groups)]


def _address(service: JSON, pod: JSON) -> JSON:
    address = {"ip": pod["status"]["podIP"]}
    if host := service_pods.hostname(service, pod):
        address["hostname"] = host
    if pod["spec"].get("nodeName"):
        address["nodeName"] = pod["spec"]["nodeName"]
    return {**address, "targetRef": service_pods.target_reference(pod)}


def _repacked(subset: JSON) -> JSON:
    """A subset with its addresses in the order of RepackSubsets (by IP, as text) and without empty names."""
    repacked: JSON = {}
    for kind in ("addresses", "notReadyAddresses"):
        if kind in subset:
            repacked[kind] = sorted(subset[kind], key=lambda a: (a["ip"], a["targetRef"]["uid"]))
    if subset["ports"]:
        repacked["ports"] = [{k: v for k, v in port.items() if v != ""} for port in subset["ports"]]
    return repacked
