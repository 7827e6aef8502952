"""Removes pods that no kubelet will ever remove (pkg/controller/podgc/gc_controller.go).

Those are pods on nodes that no longer exist, and pods being deleted that never had a node. The threshold for
finished pods (12,500 by default) is not applied.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import ClassVar

from labcluster.api.conditions import is_pod_finished, set_condition
from labcluster.api.errors import ApiError
from labcluster.api.objects import JSON, is_terminating, key_of, name_of, namespace_of, split_key
from labcluster.api.resources import NODES, PODS, Resource
from labcluster.api.times import age_seconds
from labcluster.controllers.controller import Controller
from labcluster.storage.registry import Change, DeleteOptions, Registry

QUARANTINE = 40.0  # seconds that a node must be missing before its pods are removed
PERIOD = 20.0  # seconds between two rounds of upstream's collector, and the delay before a pod without node is removed


class PodGarbageCollector(Controller):
    """Keys: the pod's."""

    name: ClassVar[str] = "pod-garbage-collector"

    def __init__(self, registry: Registry, quarantine: float = QUARANTINE, period: float = PERIOD) -> None:
        """`quarantine`: seconds that a node must be missing; `period`: seconds after the deletion without a node."""
        super().__init__(registry)
        self._period = period
        self._quarantine = quarantine
        self._missing_since: dict[str, float] = {}  # node -> the loop's time

    def sources(self) -> dict[Resource, Callable[[Change], Iterable[str]]]:
        """Pods, and nodes that come or go."""
        return {NODES: self._on_node, PODS: lambda c: [] if c.type == "DELETED" else [key_of(c.object)]}

    def _on_node(self, change: Change) -> list[str]:
        if change.type != "DELETED":
            self._missing_since.pop(name_of(change.object), None)
            return []
        pods = self.registry.list(PODS)
        return [key_of(p) for p in pods if p["spec"].get("nodeName") == name_of(change.object)]

    def reconcile(self, key: str) -> float | None:
        """Remove the pod if it is an orphan; come back if it may become one."""
        pod = self.registry.find(PODS, *split_key(key))
        if pod is None:
            return None
        node = pod["spec"].get("nodeName")
        if not node:
            if not is_terminating(pod):
                return None
            left = self._period - age_seconds(pod["metadata"]["deletionTimestamp"])
            if left > 0:
                return left
            self._remove(pod)
            return None
        if self.registry.find(NODES, "", node) is not None:
            return None
        time = asyncio.get_running_loop().time()
        waited = time - self._missing_since.setdefault(node, time)
        if waited < self._quarantine:
            return self._quarantine - waited
        self._remove(pod, "PodGC: node no longer exists")
        return None

    def _remove(self, pod: JSON, disruption: str = "") -> None:
        """Mark the pod Failed, since a finalizer may hold it and no kubelet will ever change its phase; then delete it
        (markFailedAndDeletePodWithCondition)."""

        def fail(new: JSON) -> None:
            new["status"]["phase"] = "Failed"
            if disruption:
                set_condition(new, "DisruptionTarget", "True", "DeletionByPodGC", disruption)

        try:
            if not is_pod_finished(pod):
                self.registry.modify(PODS, namespace_of(pod), name_of(pod), fail, subresource="status")
            self.registry.delete(PODS, namespace_of(pod), name_of(pod), DeleteOptions(grace_seconds=0))
        except ApiError as error:
            if error.code != 404:
                raise
