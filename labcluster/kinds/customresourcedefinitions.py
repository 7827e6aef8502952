"""CustomResourceDefinitions: defaults, status, deletion, table.

Upstream: apiextensions-apiserver pkg/registry/customresourcedefinition/{strategy,etcd}.go and
pkg/apis/apiextensions/v1/defaults.go. The controller `custom_resource_definitions` accepts the names and cleans up.
"""

from __future__ import annotations

from typing import Any

from labcluster.api.conditions import is_condition_true
from labcluster.api.errors import not_implemented
from labcluster.api.field import FieldError
from labcluster.api.objects import JSON
from labcluster.api.resources import CUSTOM_RESOURCE_DEFINITIONS
from labcluster.api.times import now
from labcluster.kinds import definition_validation as validation
from labcluster.kinds.kind import Column, Kind
from labcluster.kinds.reading import Reader
from labcluster.schema.structural.definition import unrecognized_formats

CLEANUP = "customresourcecleanup.apiextensions.k8s.io"  # the finalizer that waits for the objects to go
ESTABLISHED = "Established"
TERMINATING = "Terminating"


class CustomResourceDefinitionKind(Kind):
    """A resource that users bring, with the schema of its objects."""

    resource = CUSTOM_RESOURCE_DEFINITIONS
    tracks_generation = True
    columns = (Column("Name", format="name"), Column("Created At", "date"))

    def default(self, obj: JSON) -> None:
        """Names follow from the kind; versions differ in nothing but their name, and say what Go's bools say."""
        spec = obj.setdefault("spec", {})
        for version in spec.get("versions") or ():
            version["served"], version["storage"] = bool(version.get("served")), bool(version.get("storage"))
        names = spec.setdefault("names", {})
        if names.get("kind"):
            names["singular"] = names.get("singular") or names["kind"].lower()
            names["listKind"] = names.get("listKind") or names["kind"] + "List"
        if not (spec.get("conversion") or {}).get("strategy"):
            spec["conversion"] = {**(spec.get("conversion") or {}), "strategy": "None"}
        if spec.get("preserveUnknownFields") is False:
            del spec["preserveUnknownFields"]

    def prepare_create(self, obj: JSON, reader: Reader) -> None:
        """Objects will be stored in the storage version. Raises ApiError 501 for conversion by a webhook."""
        obj["status"] = {
            "acceptedNames": {"kind": "", "plural": ""},
            "conditions": [],
            "storedVersions": storage_versions(obj),
        }
        _refuse_webhooks(obj)

    def prepare_update(self, new: JSON, old: JSON, reader: Reader) -> None:
        """Remember every version that objects were stored in. Raises ApiError 501 for conversion by a webhook."""
        stored = new.setdefault("status", {}).setdefault("storedVersions", [])
        stored += [version for version in storage_versions(new) if version not in stored]
        _refuse_webhooks(new)

    def prepare_delete(self, obj: JSON) -> None:
        """The objects go first (etcd.go, Delete)."""
        finalizers = obj["metadata"].setdefault("finalizers", [])
        if CLEANUP not in finalizers:
            finalizers.append(CLEANUP)
        text = "CustomResourceDefinition marked for deletion; CustomResource deletion will begin soon"
        set_condition(obj, TERMINATING, "True", "InstanceDeletionPending", text)

    def validate(self, obj: JSON) -> list[FieldError]:
        """Errors of a definition."""
        return validation.validate(obj)

    def validate_update(self, new: JSON, old: JSON) -> list[FieldError]:
        """Errors of a change; what objects depend on stays once the definition is established."""
        return validation.validate_update(new, old, established=is_condition_true(old, ESTABLISHED))

    def validate_status_update(self, new: JSON, old: JSON) -> list[FieldError]:
        """Errors of the versions that objects were stored in."""
        return validation.stored_versions(new)

    def warnings(self, obj: JSON, old: JSON | None = None) -> list[str]:
        """Formats that nothing is held to; on an update the new ones."""
        known = set(_unrecognized_formats(old)) if old else set()
        return [f'unrecognized format "{name}"' for name in _unrecognized_formats(obj) if name not in known]

    def cells(self, obj: JSON) -> list[Any]:
        """The time itself, not the age: as upstream shows it."""
        return [obj["metadata"]["name"], obj["metadata"].get("creationTimestamp")]


def storage_versions(crd: JSON) -> list[str]:
    """The names of the versions with storage: true; exactly one of a valid definition."""
    return [v.get("name", "") for v in crd["spec"].get("versions") or () if v.get("storage")]


def set_condition(crd: JSON, kind: str, status: str, reason: str, message: str) -> bool:
    """Set a condition in place; its time moves only with its status. Returns whether anything changed."""
    conditions = crd.setdefault("status", {}).setdefault("conditions", [])
    wanted = {"type": kind, "status": status, "reason": reason, "message": message}
    for entry in conditions:
        if entry["type"] == kind:
            same = all(entry.get(key) == value for key, value in wanted.items())
            if entry["status"] != status:
                entry["lastTransitionTime"] = now()
            entry.update(wanted)
            return not same
    conditions.append({**wanted, "lastTransitionTime": now()})
    return True


def _unrecognized_formats(crd: JSON) -> list[str]:
    schemas = [version["schema"]["openAPIV3Schema"] for version in crd["spec"]["versions"]]
    return [name for schema in schemas for name in unrecognized_formats(schema)]


def _refuse_webhooks(crd: JSON) -> None:
    if crd["spec"]["conversion"]["strategy"] == "Webhook":
        raise not_implemented("conversion webhooks: use spec.conversion.strategy None, with versions of one form")
