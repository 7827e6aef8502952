"""The scheduler's part in binding volumes (plugins volumebinding and volumerestrictions, volumebinding/binder.go).

Claims that wait for their first consumer are bound here: to an existing volume that the chosen node reaches,
else by the annotation selected-node on the claim, which makes the provisioner create one.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from labcluster.api.objects import JSON, annotations_of, is_terminating, labels_of, name_of, namespace_of
from labcluster.api.resources import PERSISTENT_VOLUME_CLAIMS, PERSISTENT_VOLUMES
from labcluster.controllers.node_selector import volume_allows
from labcluster.controllers.scheduling.filters import CLAIM, RESOURCE_EVENTS, VOLUME_EVENTS, Rejection
from labcluster.controllers.scheduling.nodes import NodeInfo
from labcluster.controllers.volumes import matching
from labcluster.controllers.volumes.binding import claim_reference
from labcluster.storage.registry import Registry

CONFLICT = "node(s) didn't match PersistentVolume's node affinity"
NOTHING_TO_BIND = "node(s) didn't find available persistent volumes to bind"
NO_VOLUME = "node(s) unavailable due to one or more pvc(s) bound to non-existent pv(s)"
IN_USE = "node has pod using PersistentVolumeClaim with the same name and ReadWriteOncePod access mode"


@dataclass
class VolumeDecisions:
    """What scheduling a pod to a node means for its unbound claims."""

    static: list[tuple[JSON, JSON]] = field(default_factory=list)  # (volume, claim) to bind to each other
    provision: list[JSON] = field(default_factory=list)  # claims to provision a volume for


class VolumePlan:
    """The claims of one pod, read once for all nodes."""

    def __init__(self, registry: Registry, pod: JSON) -> None:
        """Read the pod's claims."""
        self._registry = registry
        self._pod = pod
        self._bound: list[JSON] = []
        self._unbound_delayed: list[JSON] = []
        self.unresolvable = self._read_claims()
        """Why the pod fits no node at all, or "" (PreFilter)."""

    def _read_claims(self) -> str:
        has_immediate = False
        for name in matching.claims_of(self._pod):
            claim = self._registry.find(PERSISTENT_VOLUME_CLAIMS, namespace_of(self._pod), name)
            if claim is None:
                return self._missing(name)
            volume = claim["spec"].get("volumeName", "")
            if is_terminating(claim):
                return f'persistentvolumeclaim "{name}" is being deleted'
            if claim.get("status", {}).get("phase") == "Lost":
                return f'persistentvolumeclaim "{name}" bound to non-existent persistentvolume "{volume}"'
            if matching.is_bound(claim):
                self._bound.append(claim)
            elif not volume and matching.waits_for_consumer(self._registry, claim):
                self._unbound_delayed.append(claim)
            else:
                has_immediate = True
        return "pod has unbound immediate PersistentVolumeClaims" if has_immediate else ""

    def _missing(self, name: str) -> str:
        for volume in self._pod["spec"].get("volumes") or ():
            if "ephemeral" in volume and f"{name_of(self._pod)}-{volume['name']}" == name:
                return f'waiting for ephemeral volume controller to create the persistentvolumeclaim "{name}"'
        return f'persistentvolumeclaim "{name}" not found'

    def check_restrictions(self, info: NodeInfo) -> Rejection | None:
        """A ReadWriteOncePod claim admits one pod (volumerestrictions)."""
        exclusive = {
            name_of(c) for c in (*self._bound, *self._unbound_delayed) if "ReadWriteOncePod" in c["spec"]["accessModes"]
        }
        for other in info.pods:
            shared = exclusive.intersection(matching.claims_of(other))
            if namespace_of(other) == namespace_of(self._pod) and shared:
                return Rejection((IN_USE,), RESOURCE_EVENTS, True)
        return None

    def check(self, info: NodeInfo) -> Rejection | None:
        """Whether the node reaches the bound volumes and the other claims can get theirs there (FindPodVolumes)."""
        reasons: list[str] = []
        for claim in self._bound:
            volume = self._registry.find(PERSISTENT_VOLUMES, "", claim["spec"]["volumeName"])
            if volume is None:
                return Rejection((NO_VOLUME,), VOLUME_EVENTS)
            if not volume_allows(volume, info.node):
                reasons.append(CONFLICT)
                break
        if self.decide(info) is None:
            reasons.append(NOTHING_TO_BIND)
        return Rejection(tuple(reasons), VOLUME_EVENTS) if reasons else None

    def decide(self, info: NodeInfo) -> VolumeDecisions | None:
        """How the unbound claims would get their volumes on the node; None when they cannot."""
        decisions = VolumeDecisions()
        taken: set[str] = set()
        volumes = self._registry.list(PERSISTENT_VOLUMES) if self._unbound_delayed else []
        for claim in sorted(self._unbound_delayed, key=matching.request):
            selected = annotations_of(claim).get(matching.SELECTED_NODE)
            if selected is not None and selected != info.name:
                return None
            volume = None
            if selected is None:
                volume = matching.find_volume(claim, volumes, node=info.node, taken=taken)
            if volume is not None:
                taken.add(name_of(volume))
                decisions.static.append((volume, claim))
            elif self._can_provision(claim, info):
                decisions.provision.append(claim)
            else:
                return None
        return decisions

    def _can_provision(self, claim: JSON, info: NodeInfo) -> bool:
        storage_class = matching.storage_class(self._registry, claim)
        if storage_class is None or storage_class.get("provisioner") in (None, "", matching.NO_PROVISIONER):
            return False
        topologies = storage_class.get("allowedTopologies") or []
        labels = labels_of(info.node)
        return not topologies or any(
            all(labels.get(e["key"]) in e["values"] for e in term.get("matchLabelExpressions") or ())
            for term in topologies
        )

    def start_binding(self, info: NodeInfo) -> bool:
        """Start binding the unbound claims for this node; returns whether any has to be waited for (BindPodVolumes)."""
        decisions = self.decide(info) or VolumeDecisions()
        for volume, claim in decisions.static:
            self._registry.modify(PERSISTENT_VOLUMES, "", name_of(volume), lambda new, c=claim: _set_claim(new, c))  # type: ignore[misc]
        for claim in decisions.provision:
            self._registry.modify(
                PERSISTENT_VOLUME_CLAIMS,
                namespace_of(claim),
                name_of(claim),
                lambda new: new["metadata"].setdefault("annotations", {}).update({matching.SELECTED_NODE: info.name}),
            )
        return bool(decisions.static or decisions.provision)


def _set_claim(volume: JSON, claim: JSON) -> None:
    volume["spec"]["claimRef"] = claim_reference(claim)
    volume["metadata"].setdefault("annotations", {})[matching.BOUND_BY_CONTROLLER] = "yes"


def binding_state(registry: Registry, pod: JSON, node: str) -> str:
    """Of a pod that waits for its volumes on `node`: "bound", "waiting", or "failed" (choose a node again)."""
    waiting = False
    for name in matching.claims_of(pod):
        claim = registry.find(PERSISTENT_VOLUME_CLAIMS, namespace_of(pod), name)
        if claim is None or is_terminating(claim):
            return "failed"
        if matching.is_bound(claim):
            continue
        selected = annotations_of(claim).get(matching.SELECTED_NODE)
        referred = any(
            (v["spec"].get("claimRef") or {}).get("uid") == claim["metadata"]["uid"]
            for v in registry.list(PERSISTENT_VOLUMES)
        )
        if selected != node and not referred:
            return "failed"
        waiting = True
    return "waiting" if waiting else "bound"


UNRESOLVED_EVENTS = frozenset({CLAIM})
"""What may make a pod schedulable whose VolumePlan is unresolvable."""
