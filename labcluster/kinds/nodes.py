"""Node: its table and the few rules of its spec (upstream: pkg/registry/core/node, printers.go printNode)."""

from __future__ import annotations

from typing import Any, ClassVar

from labcluster.api import field
from labcluster.api.conditions import condition
from labcluster.api.field import FieldError
from labcluster.api.objects import JSON, labels_of
from labcluster.api.resources import NODES, Resource
from labcluster.kinds import formats
from labcluster.kinds.kind import Column, Kind
from labcluster.kinds.printing import NONE, UNKNOWN, age

ROLE_LABEL = "node-role.kubernetes.io/"
OLD_ROLE_LABEL = "kubernetes.io/role"
TAINT_EFFECTS = ("NoExecute", "NoSchedule", "PreferNoSchedule")


class NodeKind(Kind):
    """A node as its kubelet registers it; conditions and capacities are the kubelet's to write."""

    resource: ClassVar[Resource] = NODES
    created_with_status = True

    def default(self, obj: JSON) -> None:
        """A node has a spec and a status, if only empty ones."""
        obj["spec"] = obj.get("spec") or {}
        obj["status"] = obj.get("status") or {}

    def validate(self, obj: JSON) -> list[FieldError]:
        """Errors of the taints (validateNodeTaints)."""
        errors: list[FieldError] = []
        seen = set()
        for index, taint in enumerate(obj.get("spec", {}).get("taints") or ()):
            path = f"spec.taints[{index}]"
            key, value, effect = taint.get("key", ""), taint.get("value", ""), taint.get("effect", "")
            errors += [field.invalid(f"{path}.key", key, text) for text in formats.qualified_name(key)]
            errors += [field.invalid(f"{path}.value", value, text) for text in formats.label_value(value)]
            if not effect:
                errors.append(field.required(f"{path}.effect"))
            elif effect not in TAINT_EFFECTS:
                errors.append(field.not_supported(f"{path}.effect", effect, list(TAINT_EFFECTS)))
            if (key, effect) in seen:
                errors.append(field.duplicate(path, taint))
            seen.add((key, effect))
        return errors

    def validate_update(self, new: JSON, old: JSON) -> list[FieldError]:
        """A node keeps its pod range and its provider's id once it has them."""
        errors = self.validate(new)
        before, after = old.get("spec", {}), new.get("spec", {})
        if before.get("podCIDRs") and after.get("podCIDRs") != before["podCIDRs"]:
            text = 'node updates may not change podCIDR except from "" to valid'
            errors.append(field.forbidden("spec.podCIDRs", text))
        if before.get("providerID") and after.get("providerID") != before["providerID"]:
            text = 'node updates may not change providerID except from "" to valid'
            errors.append(field.forbidden("spec.providerID", text))
        return errors

    def fields(self, obj: JSON) -> dict[str, str]:
        """`spec.unschedulable`."""
        return {"spec.unschedulable": str(bool(obj.get("spec", {}).get("unschedulable"))).lower()}

    columns = (
        Column("Name", format="name"),
        Column("Status"),
        Column("Roles"),
        Column("Age"),
        Column("Version"),
        Column("Internal-IP", priority=1),
        Column("External-IP", priority=1),
        Column("OS-Image", priority=1),
        Column("Kernel-Version", priority=1),
        Column("Container-Runtime", priority=1),
    )

    def cells(self, obj: JSON) -> list[Any]:
        """Status and roles as kubectl shows them; addresses and software with -o wide."""
        info = obj.get("status", {}).get("nodeInfo") or {}
        return [
            obj["metadata"]["name"],
            _status(obj),
            ",".join(roles(obj)) or NONE,
            age(obj),
            info.get("kubeletVersion", ""),
            _address(obj, "InternalIP"),
            _address(obj, "ExternalIP"),
            info.get("osImage") or UNKNOWN,
            info.get("kernelVersion") or UNKNOWN,
            info.get("containerRuntimeVersion") or UNKNOWN,
        ]


def roles(node: JSON) -> list[str]:
    """The roles that a node's labels give it, sorted."""
    labels = labels_of(node)
    names = {key.removeprefix(ROLE_LABEL) for key in labels if key.startswith(ROLE_LABEL)} | {
        labels.get(OLD_ROLE_LABEL, "")
    }
    return sorted(names - {""})


def _status(node: JSON) -> str:
    ready = condition(node, "Ready")
    status = "Unknown" if ready is None else "Ready" if ready.get("status") == "True" else "NotReady"
    return f"{status},SchedulingDisabled" if node.get("spec", {}).get("unschedulable") else status


def _address(node: JSON, kind: str) -> str:
    addresses = node.get("status", {}).get("addresses") or ()
    return next((str(a["address"]) for a in addresses if a.get("type") == kind), NONE)
