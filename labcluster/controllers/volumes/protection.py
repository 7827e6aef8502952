"""Keeps claims and volumes that are in use from being removed (pkg/controller/volume/{pvcprotection,pvprotection}).

Admission adds the finalizers. These controllers add them where they are missing, and remove them from an object that
is being deleted once nothing uses it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import ClassVar

from labcluster.api.objects import JSON, is_terminating, name_of, namespace_of, split_key
from labcluster.api.resources import PERSISTENT_VOLUME_CLAIMS, PERSISTENT_VOLUMES, PODS, Resource
from labcluster.controllers.controller import Controller
from labcluster.controllers.volumes.matching import claims_of
from labcluster.storage.registry import Change

CLAIM_FINALIZER = "kubernetes.io/pvc-protection"
VOLUME_FINALIZER = "kubernetes.io/pv-protection"


class _Protection(Controller):
    """What both have in common: one resource, one finalizer, one question."""

    resource: ClassVar[Resource]
    finalizer: ClassVar[str]

    def in_use(self, obj: JSON) -> bool:
        """Whether the object must stay."""
        raise NotImplementedError

    def reconcile(self, key: str) -> float | None:
        """Add the finalizer to an object; remove it from one that is being deleted and not in use."""
        namespace, name = split_key(key)
        obj = self.registry.find(self.resource, namespace, name)
        if obj is None:
            return None
        has_finalizer = self.finalizer in (obj["metadata"].get("finalizers") or ())
        if is_terminating(obj):
            if has_finalizer and not self.in_use(obj):
                self.registry.modify(self.resource, namespace, name, self._remove_finalizer)
        elif not has_finalizer:
            self.registry.modify(self.resource, namespace, name, self._add_finalizer)
        return None

    def _remove_finalizer(self, obj: JSON) -> None:
        obj["metadata"]["finalizers"] = [f for f in obj["metadata"]["finalizers"] if f != self.finalizer]

    def _add_finalizer(self, obj: JSON) -> None:
        obj["metadata"].setdefault("finalizers", []).append(self.finalizer)


class ClaimProtectionController(_Protection):
    """A claim stays while a pod that uses it and has a node exists, finished or not."""

    name: ClassVar[str] = "pvc-protection"
    resource: ClassVar[Resource] = PERSISTENT_VOLUME_CLAIMS
    finalizer: ClassVar[str] = CLAIM_FINALIZER

    def sources(self) -> dict[Resource, Callable[[Change], Iterable[str]]]:
        """Claims, and the end of pods."""
        return {PERSISTENT_VOLUME_CLAIMS: self.own_key, PODS: self._claims_of_deleted}

    @staticmethod
    def _claims_of_deleted(change: Change) -> list[str]:
        if change.type != "DELETED":
            return []
        return [f"{namespace_of(change.object)}/{claim}" for claim in claims_of(change.object)]

    def in_use(self, obj: JSON) -> bool:
        """Whether a pod with a node mounts the claim."""
        pods = self.registry.list(PODS, namespace_of(obj))
        return any(p["spec"].get("nodeName") and name_of(obj) in claims_of(p) for p in pods)


class VolumeProtectionController(_Protection):
    """A volume stays while it is bound."""

    name: ClassVar[str] = "pv-protection"
    resource: ClassVar[Resource] = PERSISTENT_VOLUMES
    finalizer: ClassVar[str] = VOLUME_FINALIZER

    def sources(self) -> dict[Resource, Callable[[Change], Iterable[str]]]:
        """Volumes alone: their phase says whether they are bound."""
        return {PERSISTENT_VOLUMES: self.own_key}

    def in_use(self, obj: JSON) -> bool:
        """Whether the volume is bound."""
        return bool(obj.get("status", {}).get("phase") == "Bound")
