"""Evicts pods from nodes with NoExecute taints (pkg/controller/tainteviction/taint_eviction.go)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import ClassVar

from labcluster.api.conditions import set_condition
from labcluster.api.objects import JSON, is_terminating, key_of, name_of, namespace_of, split_key
from labcluster.api.resources import NODES, PODS, Resource
from labcluster.controllers.controller import Controller
from labcluster.controllers.scheduling.filters import tolerates
from labcluster.storage.event_recorder import EventRecorder
from labcluster.storage.registry import Change, Registry


class TaintEvictionController(Controller):
    """Keys: the pod's."""

    name: ClassVar[str] = "taint-eviction-controller"

    def __init__(self, registry: Registry) -> None:
        """Prepare to run on the registry."""
        super().__init__(registry)
        self._events = EventRecorder(registry, self.name)
        self._tainted_since: dict[str, float] = {}  # pod -> the loop's time when it was first seen to have to go

    def sources(self) -> dict[Resource, Callable[[Change], Iterable[str]]]:
        """Pods that are on a node, and the taints of nodes."""
        return {PODS: self._on_pod, NODES: self._on_node}

    @staticmethod
    def _on_pod(change: Change) -> list[str]:
        placed = change.type != "DELETED" and change.object["spec"].get("nodeName")
        return [key_of(change.object)] if placed else []

    def _on_node(self, change: Change) -> list[str]:
        if change.type == "DELETED" or (change.old is not None and taints(change.old) == taints(change.object)):
            return []
        pods = self.registry.list(PODS)
        return [key_of(p) for p in pods if p["spec"].get("nodeName") == name_of(change.object)]

    def reconcile(self, key: str) -> float | None:
        """Delete the pod when its time on a tainted node is over; come back when it will be."""
        pod = self.registry.find(PODS, *split_key(key))
        if pod is None or is_terminating(pod):
            self._tainted_since.pop(key, None)
            return None
        node = self.registry.find(NODES, "", pod["spec"].get("nodeName", ""))
        if node is None:
            return None
        limits = [limit for taint in taints(node) if (limit := _seconds_tolerated(pod, taint)) is not None]
        if not limits:
            self._tainted_since.pop(key, None)
            return None
        time = asyncio.get_running_loop().time()
        left = min(limits) - (time - self._tainted_since.setdefault(key, time))
        if left > 0:
            return left
        del self._tainted_since[key]
        self._evict(pod)
        return None

    def _evict(self, pod: JSON) -> None:
        self._events.event(pod, "Normal", "TaintManagerEviction", f"Marking for deletion Pod {key_of(pod)}")

        def mark(new: JSON) -> None:
            message = "Taint manager: deleting due to NoExecute taint"
            set_condition(new, "DisruptionTarget", "True", "DeletionByTaintManager", message)

        self.registry.modify(PODS, namespace_of(pod), name_of(pod), mark, subresource="status")
        self.registry.delete(PODS, namespace_of(pod), name_of(pod))


def taints(node: JSON) -> list[JSON]:
    """The NoExecute taints of a node."""
    return [t for t in node.get("spec", {}).get("taints") or () if t.get("effect") == "NoExecute"]


def _seconds_tolerated(pod: JSON, taint: JSON) -> float | None:
    """How long the pod may stay in spite of the taint: None for ever, 0 not at all."""
    fitting = [t for t in pod["spec"].get("tolerations") or () if tolerates(t, taint)]
    if not fitting:
        return 0.0
    limits = [float(t["tolerationSeconds"]) for t in fitting if t.get("tolerationSeconds") is not None]
    return max(0.0, min(limits)) if limits else None
