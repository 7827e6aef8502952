"""The provisioner `rancher.io/local-path`, as kind has it: a directory on the node that the scheduler chose.

It behaves like sig-storage-lib-external-provisioner's controller (controller/controller.go) around
local-path-provisioner's provisioner.go: it answers claims that carry its name, makes a volume pinned to the
node, and removes the directory when a volume of policy Delete is released. The kubelet makes the directory,
when the first pod mounts it (hostPath type DirectoryOrCreate).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import ClassVar

from labcluster.api.objects import (
    JSON,
    annotations_of,
    is_terminating,
    key_of,
    name_of,
    namespace_of,
    split_key,
    uid_of,
)
from labcluster.api.resources import NODES, PERSISTENT_VOLUME_CLAIMS, PERSISTENT_VOLUMES, Resource
from labcluster.controllers.controller import Controller
from labcluster.controllers.volumes import matching
from labcluster.controllers.volumes.binding import claim_reference
from labcluster.storage.event_recorder import EventRecorder
from labcluster.storage.registry import Change, Registry

PROVISIONER = "rancher.io/local-path"
ROOT = "/var/local-path-provisioner"
HOSTNAME_LABEL = "kubernetes.io/hostname"
RETRY = 15.0  # seconds: how soon a claim that cannot be provisioned is tried again
ACCESS_MODES = {"ReadWriteOnce", "ReadWriteOncePod"}

RemoveVolume = Callable[[str, str], None]
"""Removes the directory `path` of the node `node` with all that is in it; a missing one is fine. May raise OSError."""


def _keep(node: str, path: str) -> None:
    """Remove nothing: for tests without nodes."""


class LocalPathProvisioner(Controller):
    """Makes and removes local-path volumes. Keys: `claim/<namespace>/<name>` and `volume//<name>`."""

    name: ClassVar[str] = "local-path-provisioner"

    def __init__(self, registry: Registry, remove_volume: RemoveVolume = _keep) -> None:
        """`remove_volume(node, path)` deletes a directory on a node's disk."""
        super().__init__(registry)
        self._remove_volume = remove_volume
        self._events = EventRecorder(registry, f"{PROVISIONER}_local-path-provisioner")

    def sources(self) -> dict[Resource, Callable[[Change], Iterable[str]]]:
        """Claims to provision for, volumes to remove."""
        return {
            PERSISTENT_VOLUME_CLAIMS: lambda c: [] if c.type == "DELETED" else [f"claim/{key_of(c.object)}"],
            PERSISTENT_VOLUMES: lambda c: [] if c.type == "DELETED" else [f"volume//{name_of(c.object)}"],
        }

    def reconcile(self, key: str) -> float | None:
        """Provision for one claim, or remove one released volume."""
        kind, _, rest = key.partition("/")
        namespace, name = split_key(rest)
        if kind == "claim":
            claim = self.registry.find(PERSISTENT_VOLUME_CLAIMS, namespace, name)
            return self._provision(claim) if claim is not None and self._should_provision(claim) else None
        volume = self.registry.find(PERSISTENT_VOLUMES, "", name)
        return self._remove(volume) if volume is not None and self._should_remove(volume) else None

    def _should_provision(self, claim: JSON) -> bool:
        annotations = annotations_of(claim)
        if claim["spec"].get("volumeName") or annotations.get(matching.STORAGE_PROVISIONER) != PROVISIONER:
            return False
        if is_terminating(claim) or self.registry.find(PERSISTENT_VOLUMES, "", volume_name(claim)) is not None:
            return False
        return matching.SELECTED_NODE in annotations or not matching.waits_for_consumer(self.registry, claim)

    def _provision(self, claim: JSON) -> float | None:
        storage_class = matching.storage_class(self.registry, claim)
        if storage_class is None or storage_class.get("provisioner") != PROVISIONER:
            return None
        message = f'External provisioner is provisioning volume for claim "{key_of(claim)}"'
        self._events.event(claim, "Normal", "Provisioning", message)
        chosen = annotations_of(claim).get(matching.SELECTED_NODE, "")
        node = self.registry.find(NODES, "", chosen) if chosen else None
        if chosen and node is None:
            self._reschedule(claim, f'failed to get target node: nodes "{chosen}" not found')
            return None
        why = _refusal(claim, chosen)
        if why:
            message = f'failed to provision volume with StorageClass "{name_of(storage_class)}": {why}'
            self._events.event(claim, "Warning", "ProvisioningFailed", message)
            return RETRY
        self.registry.create(
            PERSISTENT_VOLUMES, local_volume(claim, storage_class, node or {"metadata": {"name": chosen}})
        )
        message = f"Successfully provisioned volume {volume_name(claim)}"
        self._events.event(claim, "Normal", "ProvisioningSucceeded", message)
        return None

    def _reschedule(self, claim: JSON, why: str) -> None:
        """Give the claim back to the scheduler, which chooses another node."""
        self._events.event(claim, "Warning", "ProvisioningFailed", why)

        def change(new: JSON) -> None:
            new["metadata"]["annotations"].pop(matching.SELECTED_NODE, None)

        self.registry.modify(PERSISTENT_VOLUME_CLAIMS, namespace_of(claim), name_of(claim), change)

    @staticmethod
    def _should_remove(volume: JSON) -> bool:
        return (
            annotations_of(volume).get(matching.PROVISIONED_BY) == PROVISIONER
            and volume.get("status", {}).get("phase") in ("Released", "Failed")
            and volume["spec"].get("persistentVolumeReclaimPolicy") == "Delete"
            and not is_terminating(volume)
        )

    def _remove(self, volume: JSON) -> float | None:
        node = annotations_of(volume).get("local.path.provisioner/selected-node", "")
        try:
            self._remove_volume(node, volume["spec"]["hostPath"]["path"])
        except OSError as error:
            self._events.event(volume, "Warning", "VolumeFailedDelete", str(error))
            return RETRY
        self.registry.delete(PERSISTENT_VOLUMES, "", name_of(volume))
        return None


def _refusal(claim: JSON, node: str) -> str:
    if claim["spec"].get("selector"):
        return "claim.Spec.Selector is not supported"
    if not set(claim["spec"].get("accessModes") or ()) <= ACCESS_MODES:
        return "NodePath only supports ReadWriteOnce and ReadWriteOncePod (1.22+) access modes"
    if not node:
        return "configuration error, no node was specified"
    return ""


def volume_name(claim: JSON) -> str:
    """The name of the volume that is provisioned for a claim."""
    return f"pvc-{uid_of(claim)}"


def local_volume(claim: JSON, storage_class: JSON, node: JSON) -> JSON:
    """The PersistentVolume for a claim: a directory on `node`, reachable from there only."""
    name = volume_name(claim)
    hostname = (node["metadata"].get("labels") or {}).get(HOSTNAME_LABEL, name_of(node))
    expression = {"key": HOSTNAME_LABEL, "operator": "In", "values": [hostname]}
    return {
        "metadata": {
            "name": name,
            "annotations": {
                "local.path.provisioner/selected-node": name_of(node),
                matching.PROVISIONED_BY: PROVISIONER,
            },
        },
        "spec": {
            "capacity": {"storage": claim["spec"]["resources"]["requests"]["storage"]},
            "accessModes": list(claim["spec"]["accessModes"]),
            "volumeMode": claim["spec"].get("volumeMode", "Filesystem"),
            "persistentVolumeReclaimPolicy": storage_class.get("reclaimPolicy", "Delete"),
            "storageClassName": name_of(storage_class),
            "claimRef": claim_reference(claim),
            "hostPath": {
                "path": f"{ROOT}/{name}_{namespace_of(claim)}_{name_of(claim)}",
                "type": "DirectoryOrCreate",
            },
            "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": [expression]}]}},
        },
    }
