"""Taints nodes by their conditions (pkg/controller/nodelifecycle/node_lifecycle_controller.go).

Cordoned: node.kubernetes.io/unschedulable. Not ready: node.kubernetes.io/not-ready, unknown: unreachable. The
NoExecute twins of the last two, and the evictions that follow from them, are not made: the nodes of this
cluster live and die together. Pods are evicted for NoExecute taints that a user sets (taint_eviction).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import ClassVar

from labcluster.api.conditions import condition
from labcluster.api.objects import JSON
from labcluster.api.resources import NODES, Resource
from labcluster.api.times import now
from labcluster.controllers.controller import Controller
from labcluster.storage.registry import Change

UNSCHEDULABLE = "node.kubernetes.io/unschedulable"
NOT_READY = "node.kubernetes.io/not-ready"
UNREACHABLE = "node.kubernetes.io/unreachable"
MANAGED = (UNSCHEDULABLE, NOT_READY, UNREACHABLE)


class NodeLifecycleController(Controller):
    """Keys: the node's name."""

    name: ClassVar[str] = "node-lifecycle"

    def sources(self) -> dict[Resource, Callable[[Change], Iterable[str]]]:
        """Nodes."""
        return {NODES: self.own_key}

    def reconcile(self, key: str) -> float | None:
        """Add and remove the managed taints of one node."""
        node = self.registry.find(NODES, "", key)
        if node is None:
            return None
        before = node.get("spec", {}).get("taints") or []
        wanted = _wanted(node)
        if {t["key"] for t in before if _is_managed(t)} == wanted:
            return None
        kept = [t for t in before if not _is_managed(t) or t["key"] in wanted]
        present = {t["key"] for t in kept if _is_managed(t)}
        added = [{"key": k, "effect": "NoSchedule", "timeAdded": now()} for k in MANAGED if k in wanted - present]

        def change(new: JSON) -> None:
            spec = new.setdefault("spec", {})
            spec.pop("taints", None)
            if kept or added:
                spec["taints"] = [*kept, *added]

        self.registry.modify(NODES, "", key, change)
        return None


def _is_managed(taint: JSON) -> bool:
    return taint["key"] in MANAGED and taint.get("effect") == "NoSchedule"


def _wanted(node: JSON) -> set[str]:
    wanted = {UNSCHEDULABLE} if node.get("spec", {}).get("unschedulable") else set()
    ready = (condition(node, "Ready") or {}).get("status", "False")  # a node that has not reported yet is not ready
    if ready == "False":
        wanted.add(NOT_READY)
    elif ready == "Unknown":
        wanted.add(UNREACHABLE)
    return wanted
