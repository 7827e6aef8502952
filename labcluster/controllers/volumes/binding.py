"""Binding of claims and volumes (pkg/controller/volume/persistentvolume/pv_controller.go).

A binding is two pointers: volume.spec.claimRef and claim.spec.volumeName. This controller makes them agree,
keeps the phases of both, and asks for a volume to be provisioned by annotating the claim.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import ClassVar

from labcluster.api.objects import JSON, annotations_of, key_of, name_of, namespace_of, split_key, uid_of
from labcluster.api.resources import PERSISTENT_VOLUME_CLAIMS, PERSISTENT_VOLUMES, PODS, STORAGE_CLASSES, Resource
from labcluster.api.times import now
from labcluster.controllers.controller import Controller
from labcluster.controllers.volumes import matching
from labcluster.storage.event_recorder import EventRecorder
from labcluster.storage.registry import Change, Registry

COMPONENT = "persistentvolume-controller"


class VolumeBindingController(Controller):
    """Binds claims to volumes. Keys: `claim/<namespace>/<name>` and `volume//<name>`."""

    name: ClassVar[str] = "volume-binding"

    def __init__(self, registry: Registry) -> None:
        """Prepare to run on the registry."""
        super().__init__(registry)
        self._events = EventRecorder(registry, COMPONENT)
        self._reported: set[str] = set()  # uids of claims with an event that says what they wait for

    def sources(self) -> dict[Resource, Callable[[Change], Iterable[str]]]:
        """Claims and volumes, each waking the other; storage classes wake the claims that wait."""
        return {
            PERSISTENT_VOLUME_CLAIMS: self._for_claim,
            PERSISTENT_VOLUMES: self._for_volume,
            STORAGE_CLASSES: lambda change: self._unbound(),
        }

    def _for_claim(self, change: Change) -> list[str]:
        keys = [] if change.type == "DELETED" else [f"claim/{key_of(change.object)}"]
        if volume := change.object["spec"].get("volumeName"):
            keys.append(f"volume//{volume}")
        return keys

    def _for_volume(self, change: Change) -> list[str]:
        reference = change.object["spec"].get("claimRef")
        keys = [] if change.type == "DELETED" else [f"volume//{name_of(change.object)}"]
        if reference:
            keys.append(f"claim/{reference['namespace']}/{reference['name']}")
        elif change.type != "DELETED":
            keys += self._unbound()
        if change.type == "DELETED":
            keys += self._claims_on(name_of(change.object))
        return keys

    def _unbound(self) -> list[str]:
        claims = self.registry.list(PERSISTENT_VOLUME_CLAIMS)
        return [f"claim/{key_of(c)}" for c in claims if not matching.is_bound(c)]

    def _claims_on(self, volume: str) -> list[str]:
        claims = self.registry.list(PERSISTENT_VOLUME_CLAIMS)
        return [f"claim/{key_of(c)}" for c in claims if c["spec"].get("volumeName") == volume]

    def reconcile(self, key: str) -> float | None:
        """Sync one claim or one volume."""
        kind, _, rest = key.partition("/")
        namespace, name = split_key(rest)
        if kind == "volume":
            volume = self.registry.find(PERSISTENT_VOLUMES, "", name)
            if volume is not None:
                self._sync_volume(volume)
            return None
        claim = self.registry.find(PERSISTENT_VOLUME_CLAIMS, namespace, name)
        if claim is None:
            return None
        if matching.BIND_COMPLETED in annotations_of(claim):
            self._sync_bound_claim(claim)
        else:
            self._sync_unbound_claim(claim)
        return None

    # ------------------------------------------------------------------ claims

    def _sync_unbound_claim(self, claim: JSON) -> None:
        name = claim["spec"].get("volumeName")
        if name:
            self._sync_claim_for_named_volume(claim, self.registry.find(PERSISTENT_VOLUMES, "", name))
            return
        delayed = matching.waits_for_consumer(self.registry, claim)
        volumes = self.registry.list(PERSISTENT_VOLUMES)
        volume = matching.find_volume(claim, volumes, prebound_only=delayed)
        if volume is not None:
            self._bind(volume, claim)
        elif self._set_default_class(claim):
            return  # the write brings the claim back here
        elif matching.class_of(claim):
            chosen = matching.SELECTED_NODE in annotations_of(claim)
            if delayed and (not chosen or uid_of(claim) not in self._reported):
                self._report_waiting(claim)
            if chosen or not delayed:
                claim = self._ask_provisioner(claim)
            self._set_claim_phase(claim, "Pending")
        else:
            self._events.event(
                claim,
                "Normal",
                "FailedBinding",
                "no persistent volumes available for this claim and no storage class is set",
            )
            self._set_claim_phase(claim, "Pending")

    def _sync_claim_for_named_volume(self, claim: JSON, volume: JSON | None) -> None:
        if volume is None:
            self._set_claim_phase(claim, "Pending")
        elif not volume["spec"].get("claimRef"):
            why = matching.mismatch(volume, claim)
            if why:
                message = f'Cannot bind to requested volume "{name_of(volume)}": {why}'
                self._events.event(claim, "Warning", "VolumeMismatch", message)
                self._set_claim_phase(claim, "Pending")
            else:
                self._bind(volume, claim)
        elif matching.refers_to(volume, claim):
            self._bind(volume, claim)
        else:
            reference = volume["spec"]["claimRef"]
            message = (
                f'volume "{name_of(volume)}" already bound to a different claim '
                f'"{reference["namespace"]}/{reference["name"]}".'
            )
            self._events.event(claim, "Warning", "FailedBinding", message)
            self._set_claim_phase(claim, "Pending")

    def _sync_bound_claim(self, claim: JSON) -> None:
        name = claim["spec"].get("volumeName")
        volume = self.registry.find(PERSISTENT_VOLUMES, "", name) if name else None
        if not name:
            self._lose(claim, "ClaimLost", "Bound claim has lost reference to PersistentVolume.")
        elif volume is None:
            self._lose(claim, "ClaimLost", "Bound claim has lost its PersistentVolume.")
        elif not volume["spec"].get("claimRef") or matching.refers_to(volume, claim):
            self._bind(volume, claim)
        else:
            message = "Two claims are bound to the same volume, this one is bound incorrectly"
            self._lose(claim, "ClaimMisbound", message, suffix="")

    def _lose(self, claim: JSON, reason: str, message: str, suffix: str = " Data on the volume is lost!") -> None:
        if claim.get("status", {}).get("phase") != "Lost":
            self._events.event(claim, "Warning", reason, message + suffix)
        self._set_claim_phase(claim, "Lost")

    def _set_default_class(self, claim: JSON) -> bool:
        """Give a claim without any class the default one, also after the fact (RetroactiveDefaultStorageClass)."""
        default_class = matching.default_class(self.registry)
        if default_class is None or claim["spec"].get("storageClassName") is not None:
            return False

        def change(new: JSON) -> None:
            new["spec"]["storageClassName"] = name_of(default_class)

        self.registry.modify(PERSISTENT_VOLUME_CLAIMS, namespace_of(claim), name_of(claim), change)
        return True

    def _report_waiting(self, claim: JSON) -> None:
        pods = [
            name_of(p)
            for p in self.registry.list(PODS, namespace_of(claim))
            if not p["spec"].get("nodeName") and name_of(claim) in matching.claims_of(p)
        ]
        # Upstream sees a claim before the pod that is made right after it. Here the pod may be there, or even have its
        # node, by the time the claim is reconciled; a new claim gets the same events all the same.
        is_first = uid_of(claim) not in self._reported
        self._reported.add(uid_of(claim))
        if pods and not is_first:
            noun = "pod" if len(pods) == 1 else "pods"
            message, reason = f"waiting for {noun} {','.join(pods)} to be scheduled", "WaitForPodScheduled"
        else:
            message, reason = "waiting for first consumer to be created before binding", "WaitForFirstConsumer"
        self._events.event(claim, "Normal", reason, message)

    def _ask_provisioner(self, claim: JSON) -> JSON:
        """Name the provisioner on the claim, which is what external provisioners watch for."""
        storage_class = matching.storage_class(self.registry, claim)
        if storage_class is None:
            message = f'storageclass.storage.k8s.io "{matching.class_of(claim)}" not found'
            self._events.event(claim, "Warning", "ProvisioningFailed", message)
            return claim
        provisioner = storage_class.get("provisioner", "")
        if provisioner == matching.NO_PROVISIONER:
            message = "no volume plugin matched name: " + provisioner
            self._events.event(claim, "Warning", "ProvisioningFailed", message)
            return claim
        if annotations_of(claim).get(matching.STORAGE_PROVISIONER) == provisioner:
            return claim

        def change(new: JSON) -> None:
            annotations = new["metadata"].setdefault("annotations", {})
            annotations[matching.BETA_STORAGE_PROVISIONER] = provisioner
            annotations[matching.STORAGE_PROVISIONER] = provisioner

        claim = self.registry.modify(PERSISTENT_VOLUME_CLAIMS, namespace_of(claim), name_of(claim), change)
        message = (
            f"Waiting for a volume to be created either by the external provisioner '{provisioner}' or manually "
            "by the system administrator. If volume creation is delayed, please verify that the provisioner is "
            "running and correctly registered."
        )
        self._events.event(claim, "Normal", "ExternalProvisioning", message)
        return claim

    def _set_claim_phase(self, claim: JSON, phase: str, volume: JSON | None = None) -> None:
        def change(new: JSON) -> None:
            status = new.setdefault("status", {})
            status["phase"] = phase
            if phase == "Pending":
                status.pop("accessModes", None)
                status.pop("capacity", None)
            if volume is not None:
                status["accessModes"] = list(volume["spec"].get("accessModes") or ())
                status["capacity"] = dict(volume["spec"].get("capacity") or {})

        self.registry.modify(
            PERSISTENT_VOLUME_CLAIMS, namespace_of(claim), name_of(claim), change, subresource="status"
        )

    # ----------------------------------------------------------------- binding

    def _bind(self, volume: JSON, claim: JSON) -> None:
        """Make volume and claim refer to each other: volume, its phase, claim, its phase, in upstream's order."""
        self._reported.discard(uid_of(claim))
        volume = self._bind_volume(volume, claim)
        self._set_volume_phase(volume, "Bound")

        def change(new: JSON) -> None:
            annotations = new["metadata"].setdefault("annotations", {})
            if new["spec"].get("volumeName") != name_of(volume):
                new["spec"]["volumeName"] = name_of(volume)
                annotations[matching.BOUND_BY_CONTROLLER] = "yes"
            annotations[matching.BIND_COMPLETED] = "yes"

        claim = self.registry.modify(PERSISTENT_VOLUME_CLAIMS, namespace_of(claim), name_of(claim), change)
        self._set_claim_phase(claim, "Bound", volume)

    def _bind_volume(self, volume: JSON, claim: JSON) -> JSON:
        reference = volume["spec"].get("claimRef") or {}
        if reference.get("uid") == uid_of(claim):
            return volume

        def change(new: JSON) -> None:
            if not matching.refers_to(volume, claim):  # it was not bound beforehand by a user
                new["metadata"].setdefault("annotations", {})[matching.BOUND_BY_CONTROLLER] = "yes"
            new["spec"]["claimRef"] = claim_reference(claim)

        return self.registry.modify(PERSISTENT_VOLUMES, "", name_of(volume), change)

    # ----------------------------------------------------------------- volumes

    def _sync_volume(self, volume: JSON) -> None:
        reference = volume["spec"].get("claimRef") or {}
        if not reference.get("uid"):
            self._set_volume_phase(volume, "Available")
            return
        claim = self.registry.find(PERSISTENT_VOLUME_CLAIMS, reference["namespace"], reference["name"])
        if claim is None or uid_of(claim) != reference["uid"]:
            self._release(volume)
        elif not claim["spec"].get("volumeName"):
            self.queue.add(f"claim/{key_of(claim)}")
        elif claim["spec"]["volumeName"] == name_of(volume):
            self._set_volume_phase(volume, "Bound")
        elif matching.PROVISIONED_BY in annotations_of(volume):
            self._release(volume)  # provisioned for a claim that has found another volume
        else:
            self._unbind(volume)

    def _release(self, volume: JSON) -> None:
        """The claim is gone: Released, and what the reclaim policy says (the provisioner deletes its own)."""
        if volume.get("status", {}).get("phase") not in ("Released", "Failed"):
            volume = self._set_volume_phase(volume, "Released")
        policy = volume["spec"].get("persistentVolumeReclaimPolicy", "Retain")
        if policy == "Delete" and matching.PROVISIONED_BY not in annotations_of(volume):
            why = "no deletable volume plugin matched"
            message = f'error getting deleter volume plugin for volume "{name_of(volume)}": {why}'
            if volume["status"].get("phase") != "Failed":
                self._events.event(volume, "Warning", "VolumeFailedDelete", message)
            self._set_volume_phase(volume, "Failed", message)

    def _unbind(self, volume: JSON) -> None:
        """Undo a binding whose claim is bound to another volume; keep what the user asked for beforehand."""

        def change(new: JSON) -> None:
            annotations = new["metadata"].get("annotations") or {}
            if annotations.pop(matching.BOUND_BY_CONTROLLER, None):
                del new["spec"]["claimRef"]
            else:
                new["spec"]["claimRef"].pop("uid", None)
                new["spec"]["claimRef"].pop("resourceVersion", None)

        volume = self.registry.modify(PERSISTENT_VOLUMES, "", name_of(volume), change)
        self._set_volume_phase(volume, "Available")

    def _set_volume_phase(self, volume: JSON, phase: str, message: str = "") -> JSON:
        def change(new: JSON) -> None:
            status = new.setdefault("status", {})
            if status.get("phase") != phase:
                status["phase"], status["lastPhaseTransitionTime"] = phase, now()
            if message:
                status["message"] = message
            else:
                status.pop("message", None)

        return self.registry.modify(PERSISTENT_VOLUMES, "", name_of(volume), change, subresource="status")


def claim_reference(claim: JSON) -> JSON:
    """The claimRef that makes a volume this claim's."""
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "namespace": namespace_of(claim),
        "name": name_of(claim),
        "uid": uid_of(claim),
        "resourceVersion": claim["metadata"]["resourceVersion"],
    }
