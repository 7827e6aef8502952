"""Creates the claims of generic ephemeral volumes (pkg/controller/volume/ephemeral/controller.go).

The claim `<pod>-<volume>` belongs to its pod: garbage collection removes it once the pod is gone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import ClassVar

from labcluster.api.errors import ApiError
from labcluster.api.json_values import clone
from labcluster.api.objects import JSON, is_terminating, key_of, name_of, namespace_of, split_key, uid_of
from labcluster.api.owners import controller_of, controller_reference
from labcluster.api.resources import PERSISTENT_VOLUME_CLAIMS, PODS, Resource
from labcluster.controllers.controller import Controller
from labcluster.controllers.volumes.matching import claims_of
from labcluster.storage.event_recorder import EventRecorder
from labcluster.storage.registry import Change, Registry


class EphemeralVolumeController(Controller):
    """Keys: the pod's."""

    name: ClassVar[str] = "ephemeral-volume-controller"

    def __init__(self, registry: Registry) -> None:
        """Prepare to run on the registry."""
        super().__init__(registry)
        self._events = EventRecorder(registry, "ephemeral_volume")

    def sources(self) -> dict[Resource, Callable[[Change], Iterable[str]]]:
        """New pods with such volumes, and claims that are deleted while their pod stays."""
        return {PODS: self._on_pod, PERSISTENT_VOLUME_CLAIMS: self._on_claim}

    @staticmethod
    def _on_pod(change: Change) -> list[str]:
        return [key_of(change.object)] if change.type == "ADDED" and _ephemeral(change.object) else []

    def _on_claim(self, change: Change) -> list[str]:
        if change.type != "DELETED":
            return []
        pods = self.registry.list(PODS, namespace_of(change.object))
        return [key_of(pod) for pod in pods if _ephemeral(pod) and name_of(change.object) in claims_of(pod)]

    def reconcile(self, key: str) -> float | None:
        """Create the missing claims. Raises ApiError when one cannot be created, or belongs to another owner."""
        pod = self.registry.find(PODS, *split_key(key))
        if pod is None or is_terminating(pod):
            return None
        for volume in _ephemeral(pod):
            try:
                self._ensure(pod, volume)
            except ApiError as error:
                self._events.event(pod, "Warning", "FailedBinding", f"ephemeral volume {volume['name']}: {error}")
                raise
        return None

    def _ensure(self, pod: JSON, volume: JSON) -> None:
        where, name = namespace_of(pod), f"{name_of(pod)}-{volume['name']}"
        existing = self.registry.find(PERSISTENT_VOLUME_CLAIMS, where, name)
        if existing is None:
            template = volume["ephemeral"]["volumeClaimTemplate"]
            given = template.get("metadata") or {}
            metadata: JSON = {k: clone(given[k]) for k in ("labels", "annotations") if given.get(k)}
            metadata |= {"name": name, "namespace": where, "ownerReferences": [controller_reference(pod)]}
            self.registry.create(PERSISTENT_VOLUME_CLAIMS, {"metadata": metadata, "spec": clone(template["spec"])})
            return
        owner = controller_of(existing)
        if owner is None or owner.get("uid") != uid_of(pod):
            why = f"PVC {where}/{name} was not created for pod {key_of(pod)} (pod is not owner)"
            raise ApiError(409, "Conflict", why)


def _ephemeral(pod: JSON) -> list[JSON]:
    return [volume for volume in pod["spec"].get("volumes") or () if volume.get("ephemeral")]
