"""Server-side apply: merging a configuration into an object, with conflicts between managers.

Upstream: structured-merge-diff merge/update.go, apimachinery util/managedfields/internal/{structuredmerge,conflict,
lastappliedmanager,skipnonapplied}.go.
"""

from __future__ import annotations

from typing import Any

import orjson

from labcluster.api.errors import ApiError
from labcluster.api.json_values import is_too_deep
from labcluster.api.objects import JSON, annotations_of
from labcluster.api.resources import Resource
from labcluster.schema.managedfields import managers as managing
from labcluster.schema.managedfields import sets, values
from labcluster.schema.managedfields.managers import Manager, Managers, managed_part
from labcluster.schema.managedfields.sets import NOTHING, Path, Paths

BEFORE_FIRST_APPLY = "before-first-apply"
LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
_KUBECTL = "kubectl"


def apply(
    live: JSON | None, config: JSON, known: Managers, manager: Manager, resource: Resource, *, force: bool
) -> tuple[JSON, Managers]:
    """The object and its managers once `config` has been applied; `live` is None when there is no object yet.

    Raises ApiError 409 when another manager has set a field of `config` to another value and `force` is not set.
    """
    kind = managing.root(resource)
    if live is not None and not known:
        # Nobody has been tracked so far: all that is there belongs to someone unknown.
        before = Manager(BEFORE_FIRST_APPLY, "Update", manager.api_version)
        known = managing.after_update({}, {}, live, before, resource)
    start = live or {}
    merged = values.merge(start, config, kind)
    given = values.field_set(config, kind)
    applied = managed_part(given, resource, manager.subresource)
    last = known[manager].fields if manager in known else NOTHING
    after = managing.with_applied(known, manager, applied)
    merged = values.remove(merged, _abandoned(last, after, given), kind)
    difference = values.compare(start, merged, kind)
    changed = frozenset(difference.added | difference.modified)
    conflicts = [
        (other, path) for other in sorted(after) if other != manager for path in sorted(after[other].fields & changed)
    ]
    if manager.name == _KUBECTL and live is not None and not force:
        allowed = _kept_from_last_applied(live, resource)
        if all(path in allowed for _, path in conflicts):
            force = True
        conflicts = [(other, path) for other, path in conflicts if path not in allowed]
    if conflicts and not force:
        raise _conflict(conflicts)
    return merged, managing.without(after, changed | frozenset(difference.removed), except_for=manager)


def _abandoned(last: Paths, after: Managers, given: Paths) -> list[Path]:
    """What the manager applied before and nobody manages any more (prune, addBackOwnedItems, addBackDanglingItems)."""
    if not last:
        return []
    kept = given.union(*(managed.fields for managed in after.values()))
    owned = sets.with_all_parents(kept)
    return [path for path in sets.with_named_parents(last) if path not in owned]


def _kept_from_last_applied(live: JSON, resource: Resource) -> Paths:
    """The fields that client-side apply set and that still have its values: kubectl may take those over."""
    try:
        config: Any = orjson.loads(annotations_of(live).get(LAST_APPLIED, ""))
    except ValueError:
        return NOTHING
    if not isinstance(config, dict) or is_too_deep(config):
        return NOTHING
    kind = managing.root(resource)
    difference = values.compare(config, live, kind)
    return values.field_set(config, kind) - difference.modified - difference.removed


def _conflict(conflicts: list[tuple[Manager, Path]]) -> ApiError:
    """409 with a cause for each field, as upstream words it."""
    causes = [
        {"reason": "FieldManagerConflict", "message": f"conflict with {manager}", "field": sets.text(path)}
        for manager, path in conflicts
    ]
    if len(conflicts) == 1:
        manager, path = conflicts[0]
        message = f"Apply failed with 1 conflict: conflict with {manager}: {sets.text(path)}"
    else:
        lines = []
        for manager in dict.fromkeys(manager for manager, _ in conflicts):
            lines.append(f"conflicts with {manager}:")
            lines += [f"- {sets.text(path)}" for other, path in conflicts if other == manager]
        message = f"Apply failed with {len(conflicts)} conflicts: " + "\n".join(lines)
    return ApiError(409, "Conflict", message, {"causes": causes})
