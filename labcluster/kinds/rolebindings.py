"""RoleBinding and ClusterRoleBinding: who has the rights of a role (upstream: pkg/apis/rbac/{v1,validation})."""

from __future__ import annotations

from typing import Any, ClassVar

from labcluster.api import field
from labcluster.api.field import FieldError
from labcluster.api.objects import JSON
from labcluster.api.resources import CLUSTER_ROLE_BINDINGS, RBAC_GROUP, ROLE_BINDINGS, Resource
from labcluster.kinds import formats
from labcluster.kinds.kind import Column, Kind
from labcluster.kinds.printing import age
from labcluster.kinds.values import formatted

_SUBJECTS = ("ServiceAccount", "User", "Group")


class RoleBindingKind(Kind):
    """Gives the rights of a Role, or of a ClusterRole, in one namespace."""

    resource: ClassVar[Resource] = ROLE_BINDINGS
    roles: ClassVar[tuple[str, ...]] = ("Role", "ClusterRole")
    columns = (
        Column("Name", format="name"),
        Column("Role"),
        Column("Age"),
        Column("Users", priority=1),
        Column("Groups", priority=1),
        Column("ServiceAccounts", priority=1),
    )

    def default(self, obj: JSON) -> None:
        """The role, users and groups are of the RBAC group."""
        reference = obj.setdefault("roleRef", {})
        reference["apiGroup"] = reference.get("apiGroup") or RBAC_GROUP
        for subject in obj.get("subjects") or ():
            if subject.get("kind") in ("User", "Group") and not subject.get("apiGroup"):
                subject["apiGroup"] = RBAC_GROUP

    def validate(self, obj: JSON) -> list[FieldError]:
        """Errors of the reference and of the subjects (ValidateRoleBinding, ValidateClusterRoleBinding)."""
        reference = obj.get("roleRef") or {}
        errors: list[FieldError] = []
        if reference.get("apiGroup") != RBAC_GROUP:
            errors.append(field.not_supported("roleRef.apiGroup", reference.get("apiGroup", ""), [RBAC_GROUP]))
        if reference.get("kind") not in self.roles:
            errors.append(field.not_supported("roleRef.kind", reference.get("kind", ""), list(self.roles)))
        if name := reference.get("name"):
            errors += formatted(name, formats.path_segment(name), "roleRef.name")
        else:
            errors.append(field.required("roleRef.name"))
        for index, subject in enumerate(obj.get("subjects") or ()):
            errors += _subject_errors(subject, self.resource.namespaced, f"subjects[{index}]")
        return errors

    def validate_update(self, new: JSON, old: JSON) -> list[FieldError]:
        """The role never changes: whoever may change the subjects could otherwise take any."""
        errors = self.validate(new)
        if new.get("roleRef") != old.get("roleRef"):
            reference = new.get("roleRef") or {}
            shown = {key[0].upper() + key[1:]: reference.get(key, "") for key in ("kind", "name")}
            shown = {"APIGroup": reference.get("apiGroup", ""), **shown}  # upstream prints its internal version
            errors.append(field.invalid("roleRef", shown, "cannot change roleRef"))
        return errors

    def cells(self, obj: JSON) -> list[Any]:
        """Name, role, age; wide: users, groups, service accounts."""
        reference = obj.get("roleRef") or {}
        subjects: dict[str, list[str]] = {kind: [] for kind in _SUBJECTS}
        for subject in obj.get("subjects") or ():
            name = subject.get("name", "")
            if subject.get("kind") == "ServiceAccount":
                name = f"{subject.get('namespace', '')}/{name}"
            subjects.get(subject.get("kind", ""), []).append(name)
        return [
            obj["metadata"]["name"],
            f"{reference.get('kind', '')}/{reference.get('name', '')}",
            age(obj),
            *(", ".join(subjects[kind]) for kind in ("User", "Group", "ServiceAccount")),
        ]


class ClusterRoleBindingKind(RoleBindingKind):
    """Gives the rights of a ClusterRole everywhere."""

    resource: ClassVar[Resource] = CLUSTER_ROLE_BINDINGS
    roles: ClassVar[tuple[str, ...]] = ("ClusterRole",)


def _subject_errors(subject: JSON, namespaced: bool, path: str) -> list[FieldError]:
    """Errors of one subject (ValidateRoleBindingSubject)."""
    name, group, kind = subject.get("name", ""), subject.get("apiGroup", ""), subject.get("kind", "")
    errors = [] if name else [field.required(f"{path}.name")]
    if kind == "ServiceAccount":
        if name:
            errors += formatted(name, formats.subdomain(name), f"{path}.name")
        if group:
            errors.append(field.not_supported(f"{path}.apiGroup", group, [""]))
        if not namespaced and not subject.get("namespace"):
            errors.append(field.required(f"{path}.namespace"))
    elif kind in _SUBJECTS:
        if not name:
            errors.append(field.invalid(f"{path}.name", name, f"{kind.lower()} name cannot be empty"))
        if group != RBAC_GROUP:
            errors.append(field.not_supported(f"{path}.apiGroup", group, [RBAC_GROUP]))
    else:
        errors.append(field.not_supported(f"{path}.kind", kind, list(_SUBJECTS)))
    return errors
