"""Accepts the names of CustomResourceDefinitions, establishes them, and empties them when they are deleted.

Upstream: apiextensions-apiserver pkg/controller/{status/naming_controller,establish/establishing_controller,
apiapproval/apiapproval_controller,finalizer/crd_finalizer}.go. One step here: the registry serves what is established.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, ClassVar

from labcluster.api.conditions import is_condition_true
from labcluster.api.errors import ApiError
from labcluster.api.json_values import clone
from labcluster.api.objects import JSON, annotations_of, is_terminating, name_of, namespace_of
from labcluster.api.resources import BUILT_IN, CUSTOM_RESOURCE_DEFINITIONS, EVERYTHING, Resource
from labcluster.controllers.controller import Controller
from labcluster.kinds.customresourcedefinitions import CLEANUP, ESTABLISHED, TERMINATING, set_condition
from labcluster.kinds.definition_validation import APPROVED, is_protected
from labcluster.storage.registry import Change, DeleteOptions

NAMES_ACCEPTED = "NamesAccepted"
_APPROVAL = "KubernetesAPIApprovalPolicyConformant"
_ONE_NAME = (("plural", "PluralConflict"), ("singular", "SingularConflict"))
_KIND_NAMES = (("kind", "KindConflict"), ("listKind", "ListKindConflict"))


class CustomResourceDefinitionController(Controller):
    """Keys: the definition's name."""

    name: ClassVar[str] = "custom-resource-definition-controller"

    def sources(self) -> dict[Resource, Callable[[Change], Iterable[str]]]:
        """The definitions of the changed one's group, for they share names; and the end of custom resources."""
        return {CUSTOM_RESOURCE_DEFINITIONS: self._group, EVERYTHING: self._emptied}

    def _group(self, change: Change) -> list[str]:
        group = change.object["spec"]["group"]
        others = self.registry.list(CUSTOM_RESOURCE_DEFINITIONS)
        return [name_of(change.object), *(name_of(crd) for crd in others if crd["spec"]["group"] == group)]

    @staticmethod
    def _emptied(change: Change) -> list[str]:
        return [change.resource.qualified] if change.type == "DELETED" and change.resource.custom else []

    def reconcile(self, key: str) -> float | None:
        """Bring the definition's status up to date, or delete its objects."""
        crd = self.registry.find(CUSTOM_RESOURCE_DEFINITIONS, "", key)
        if crd is None:
            return None
        if not is_terminating(crd):
            self._update_status(crd)
        elif CLEANUP in (crd["metadata"].get("finalizers") or ()):
            self._clean_up(crd)
        return None

    def _update_status(self, crd: JSON) -> None:
        new = clone(crd)
        self._accept_names(new)
        group = crd["spec"]["group"]
        if is_protected(group):
            given = annotations_of(crd).get(APPROVED, "")
            if given.startswith("unapproved"):
                set_condition(new, _APPROVAL, "False", "UnapprovedAnnotation", f'not approved: "{given}"')
            else:
                set_condition(new, _APPROVAL, "True", "ApprovedAnnotation", f"approved in {given}")
        self.registry.update(CUSTOM_RESOURCE_DEFINITIONS, new, subresource="status")

    def _accept_names(self, crd: JSON) -> None:
        """Take every name that nothing else of the group has, in place (calculateNamesAndConditions)."""
        names, kinds = self._taken(crd)
        wanted, accepted = crd["spec"]["names"], crd["status"].setdefault("acceptedNames", {})
        conflict: tuple[str, str] | None = None
        for fields, taken in ((_ONE_NAME, names), (_KIND_NAMES, kinds)):
            for field, reason in fields:
                if wanted[field] in taken:
                    conflict = reason, f'"{wanted[field]}" is already in use'
                else:
                    accepted[field] = wanted[field]
        if used := [name for name in wanted.get("shortNames") or () if name in names]:
            texts = [f'"{name}" is already in use' for name in used]
            conflict = "ShortNamesConflict", texts[0] if len(texts) == 1 else f"[{', '.join(texts)}]"
        elif wanted.get("shortNames"):
            accepted["shortNames"] = wanted["shortNames"]
        else:
            accepted.pop("shortNames", None)
        if wanted.get("categories"):
            accepted["categories"] = wanted["categories"]
        else:
            accepted.pop("categories", None)
        if conflict:
            set_condition(crd, NAMES_ACCEPTED, "False", *conflict)
            if not is_condition_true(crd, ESTABLISHED):
                set_condition(crd, ESTABLISHED, "False", "NotAccepted", "not all names are accepted")
            return
        set_condition(crd, NAMES_ACCEPTED, "True", "NoConflicts", "no conflicts found")
        if why := self.registry.why_not_served(crd):
            set_condition(crd, ESTABLISHED, "False", "NotServed", f"the stored definition cannot be served: {why}")
            return
        text = "the initial names have been accepted"
        set_condition(crd, ESTABLISHED, "True", "InitialNamesAccepted", text)

    def _taken(self, crd: JSON) -> tuple[set[str], set[str]]:
        """The names of what is built in, and of the group's other definitions: of resources, of kinds."""
        built_in = [resource for resource in BUILT_IN if resource.group == crd["spec"]["group"]]
        names: set[Any] = {name for resource in built_in for name in (resource.plural, resource.singular)}
        kinds: set[Any] = {name for resource in built_in for name in (resource.kind, resource.list_kind)}
        for other in self.registry.list(CUSTOM_RESOURCE_DEFINITIONS):
            if other["spec"]["group"] == crd["spec"]["group"] and name_of(other) != name_of(crd):
                accepted = other["status"].get("acceptedNames") or {}
                names |= {accepted.get("plural"), accepted.get("singular"), *(accepted.get("shortNames") or ())}
                kinds |= {accepted.get("kind"), accepted.get("listKind")}
        return names - {None, ""}, kinds - {None, ""}

    def _clean_up(self, crd: JSON) -> None:
        """Delete the objects; once none is left, remove the definition's finalizer."""
        resource = self.registry.served.named(name_of(crd))
        # One that is built in is not the definition's, nor are its objects.
        if resource is None or not resource.custom or not is_condition_true(crd, ESTABLISHED):
            self._finish(crd, "NeverEstablished", "resource was never established")
            return
        for obj in self.registry.list(resource):
            if is_terminating(obj):
                continue
            try:
                self.registry.delete(resource, namespace_of(obj), name_of(obj), DeleteOptions(propagation="Background"))
            except ApiError as error:
                if error.code != 404:
                    raise
        if self.registry.list(resource):  # finalizers hold them: their end wakes this controller
            text = "CustomResource deletion is in progress"
            self._report(crd, "True", "InstanceDeletionInProgress", text)
            return
        self._finish(crd, "InstanceDeletionCompleted", "removed all instances")

    def _report(self, crd: JSON, status: str, reason: str, message: str) -> JSON:
        new = clone(crd)
        set_condition(new, TERMINATING, status, reason, message)
        return self.registry.update(CUSTOM_RESOURCE_DEFINITIONS, new, subresource="status")

    def _finish(self, crd: JSON, reason: str, message: str) -> None:
        new = clone(self._report(crd, "False", reason, message))
        new["metadata"]["finalizers"] = [f for f in new["metadata"]["finalizers"] if f != CLEANUP]
        self.registry.update(CUSTOM_RESOURCE_DEFINITIONS, new)
