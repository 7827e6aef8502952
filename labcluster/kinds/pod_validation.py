"""Validation of pod specs, of templates and of changes to pods (pkg/apis/core/validation/validation.go)."""

from __future__ import annotations

from collections.abc import Collection

from labcluster.api import field
from labcluster.api.field import FieldError
from labcluster.api.json_values import clone
from labcluster.api.objects import JSON
from labcluster.kinds import formats
from labcluster.kinds.container_validation import (
    validate_containers,
    validate_ephemeral_containers,
    validate_init_containers,
)
from labcluster.kinds.difference import unified
from labcluster.kinds.metadata import validate_annotations, validate_labels
from labcluster.kinds.placement_validation import validate_affinity, validate_spread, validate_tolerations
from labcluster.kinds.values import formatted, one_of
from labcluster.kinds.volume_validation import validate_volumes

ONLY_THESE_MAY_CHANGE = (
    "pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,"
    "`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),"
    "`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)"
)
_DNS_POLICIES = ("ClusterFirstWithHostNet", "ClusterFirst", "Default", "None")
_MAX_INT32 = 2**31 - 1


def validate_pod_spec(spec: JSON, path: str, *, claims: Collection[str] = ()) -> list[FieldError]:
    """Errors of a pod spec. `claims` are volumes that will be added: a StatefulSet's claim templates."""
    containers = spec.get("containers") or []
    init, ephemeral = spec.get("initContainers") or [], spec.get("ephemeralContainers") or []
    volumes = {*claims, *(volume.get("name", "") for volume in spec.get("volumes") or ())}
    return [
        *validate_volumes(spec.get("volumes") or [], f"{path}.volumes"),
        *validate_containers(containers, volumes, f"{path}.containers"),
        *validate_init_containers(init, containers, volumes, f"{path}.initContainers"),
        *validate_ephemeral_containers(ephemeral, [*containers, *init], volumes, f"{path}.ephemeralContainers"),
        *one_of(spec.get("restartPolicy"), ("Always", "OnFailure", "Never"), f"{path}.restartPolicy"),
        *_validate_dns(spec, path),
        *validate_labels(spec.get("nodeSelector"), f"{path}.nodeSelector"),
        *_validate_host_ports(spec, path),
        *validate_affinity(spec.get("affinity"), f"{path}.affinity"),
        *validate_spread(spec.get("topologySpreadConstraints") or [], f"{path}.topologySpreadConstraints"),
        *_validate_names(spec, path),
        *_validate_deadline(spec.get("activeDeadlineSeconds"), f"{path}.activeDeadlineSeconds"),
        *validate_tolerations(spec.get("tolerations") or [], f"{path}.tolerations"),
    ]


def _validate_dns(spec: JSON, path: str) -> list[FieldError]:
    errors = one_of(spec.get("dnsPolicy"), _DNS_POLICIES, f"{path}.dnsPolicy")
    if spec.get("dnsPolicy") == "None" and not (spec.get("dnsConfig") or {}).get("nameservers"):
        text = "must provide at least one DNS nameserver when `dnsPolicy` is None"
        errors.append(field.required(f"{path}.dnsConfig.nameservers", text))
    return errors


def _validate_host_ports(spec: JSON, path: str) -> list[FieldError]:
    """On the host's network the host's port is the container's (a template may leave it out)."""
    if not spec.get("hostNetwork"):
        return []
    text = "must match `containerPort` when `hostNetwork` is true"
    return [
        field.invalid(f"{path}.containers[{i}].ports[{j}].hostPort", port["hostPort"], text)
        for i, container in enumerate(spec.get("containers") or ())
        for j, port in enumerate(container.get("ports") or ())
        if port.get("hostPort") and port["hostPort"] != port.get("containerPort")
    ]


def _validate_names(spec: JSON, path: str) -> list[FieldError]:
    rules = (
        ("serviceAccountName", formats.subdomain),
        ("nodeName", formats.subdomain),
        ("hostname", formats.label),
        ("subdomain", formats.label),
        ("priorityClassName", formats.subdomain),
    )
    return [e for key, rule in rules if spec.get(key) for e in formatted(spec[key], rule(spec[key]), f"{path}.{key}")]


def _validate_deadline(seconds: int | None, path: str) -> list[FieldError]:
    if seconds is None or 1 <= seconds <= _MAX_INT32:
        return []
    return [field.invalid(path, seconds, f"must be between 1 and {_MAX_INT32}, inclusive")]


def validate_template(template: JSON, path: str, *, claims: Collection[str] = ()) -> list[FieldError]:
    """Errors of a pod template."""
    metadata, spec = template.get("metadata") or {}, template.get("spec") or {}
    errors = [
        *validate_labels(metadata.get("labels"), f"{path}.labels"),
        *validate_annotations(metadata.get("annotations"), f"{path}.annotations"),
        *validate_pod_spec(spec, f"{path}.spec", claims=claims),
    ]
    if spec.get("ephemeralContainers"):
        text = "ephemeral containers not allowed in pod template"
        errors.append(field.forbidden(f"{path}.spec.ephemeralContainers", text))
    return errors


def validate_pod_update(new: JSON, old: JSON) -> list[FieldError]:
    """Errors of a change to a pod: images, an additional toleration or a deadline, and nothing else."""
    after, before = new["spec"], old["spec"]
    errors: list[FieldError] = []
    for key in ("containers", "initContainers"):
        if len(after.get(key) or ()) != len(before.get(key) or ()):
            text = "pod updates may not add or remove containers"
            errors.append(field.forbidden(f"spec.{key}", text))
    if errors:
        return errors
    for key in ("containers", "initContainers"):
        for index, container in enumerate(after.get(key) or ()):
            if not container.get("image"):
                errors.append(field.required(f"spec.{key}[{index}].image"))
    errors += _validate_deadline_update(after, before)
    errors += _validate_added_tolerations(after.get("tolerations") or [], before.get("tolerations") or [])
    errors += _validate_removed_gates(after, before)
    munged = _with_changeable_fields_of(before, after)
    if munged != before:
        errors.append(field.forbidden("spec", f"{ONLY_THESE_MAY_CHANGE}\n{unified(before, munged)}"))
    return errors


def validate_ephemeral_update(new: JSON, old: JSON) -> list[FieldError]:
    """Errors of a change to a pod's ephemeral containers, which may only be added.

    Source: ValidatePodEphemeralContainersUpdate (pkg/apis/core/validation/validation.go).
    """
    errors = validate_pod_spec(new["spec"], "spec")
    after = {container.get("name"): container for container in new["spec"].get("ephemeralContainers") or ()}
    for before in old["spec"].get("ephemeralContainers") or ():
        what, now = f'existing ephemeral containers "{before["name"]}" may not be', after.get(before["name"])
        if now is None:
            errors.append(field.forbidden("spec.ephemeralContainers", f"{what} removed\n"))
        elif now != before:
            text = f"{what} changed\n{unified(before, now)}"
            errors.append(field.forbidden("spec.ephemeralContainers", text))
    return errors


def _validate_deadline_update(after: JSON, before: JSON) -> list[FieldError]:
    new, old, path = after.get("activeDeadlineSeconds"), before.get("activeDeadlineSeconds"), "activeDeadlineSeconds"
    if new is not None:
        errors = _validate_deadline(new, f"spec.{path}")
        if old is not None and old < new:
            errors.append(field.invalid(f"spec.{path}", new, "must be less than or equal to previous value"))
        return errors
    if old is not None:
        return [field.invalid(f"spec.{path}", new, "must not update from a positive integer to nil value")]
    return []


def _validate_added_tolerations(new: list[JSON], old: list[JSON]) -> list[FieldError]:
    """Each old toleration is still there, at most with another tolerationSeconds."""

    def without_seconds(toleration: JSON) -> JSON:
        return {k: v for k, v in toleration.items() if k != "tolerationSeconds"}

    kept = [without_seconds(toleration) for toleration in new]
    if all(without_seconds(toleration) in kept for toleration in old):
        return validate_tolerations(new, "spec.tolerations")
    text = "existing toleration can not be modified except its tolerationSeconds"
    return [field.forbidden("spec.tolerations", text)]


def _validate_removed_gates(after: JSON, before: JSON) -> list[FieldError]:
    """Scheduling gates are opened one by one, never added."""
    old = [gate.get("name") for gate in before.get("schedulingGates") or ()]
    added = [gate.get("name") for gate in after.get("schedulingGates") or () if gate.get("name") not in old]
    text = "only deletion is allowed, but found new scheduling gate '{}'"
    return [field.forbidden("spec.schedulingGates", text.format(name)) for name in added]


def _with_changeable_fields_of(before: JSON, after: JSON) -> JSON:
    """`after` with all that may change set back, so that any difference left is a forbidden one."""
    munged: JSON = clone(after)
    for key in ("containers", "initContainers"):
        for container, original in zip(munged.get(key) or (), before.get(key) or (), strict=True):
            container["image"] = original.get("image")
    changeable = ["activeDeadlineSeconds", "tolerations", "schedulingGates"]
    if before.get("terminationGracePeriodSeconds", 0) < 0 and after.get("terminationGracePeriodSeconds") == 1:
        changeable.append("terminationGracePeriodSeconds")
    for key in changeable:
        munged.pop(key, None)
        if key in before:
            munged[key] = before[key]
    return munged
