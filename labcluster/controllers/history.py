"""ControllerRevisions: numbered snapshots of a template (pkg/controller/history/controller_history.go).

A revision's name ends in a hash of its data, so the same template has the same name in every cluster.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from typing import Any

from labcluster.api.errors import ApiError
from labcluster.api.generated_names import fnv1_32, fnv1a_32, safe_encode
from labcluster.api.objects import JSON, is_terminating, name_of, namespace_of, uid_of
from labcluster.api.owners import controller_of, controller_reference
from labcluster.api.resources import CONTROLLER_REVISIONS, Resource
from labcluster.api.selectors import LabelSelector
from labcluster.controllers import adoption
from labcluster.storage.registry import Registry

HASH_LABEL = "controller.kubernetes.io/hash"
_HASH_LABELS = {"DaemonSet": "controller-revision-hash"}  # its pods and its revisions have the same label
_HTML_ESCAPES = {ord(c): f"\\u{ord(c):04x}" for c in "<>&\u2028\u2029"}


def canonical_json(value: Any) -> bytes:
    """JSON as Go's json.Marshal writes a map: compact, keys sorted, HTML's special characters escaped."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return text.translate(_HTML_ESCAPES).encode()


def revision_hash(data: JSON, collision_count: int) -> str:
    """The hash of a revision's data. A collision count that moves gives the same data another name."""
    return safe_encode(str(fnv1_32(canonical_json(data) + str(collision_count).encode())))


def new_revision(parent: JSON, template: JSON, revision: int, collision_count: int) -> JSON:
    """A revision, not yet stored, that would restore the template by a strategic merge patch."""
    data = {"spec": {"template": {"metadata": {}, **template, "$patch": "replace"}}}
    made: JSON = {
        "apiVersion": CONTROLLER_REVISIONS.api_version,
        "kind": CONTROLLER_REVISIONS.kind,
        "metadata": {
            "namespace": namespace_of(parent),
            "labels": dict((template.get("metadata") or {}).get("labels") or {}),
            "ownerReferences": [controller_reference(parent)],
        },
        "data": data,
        "revision": revision,
    }
    if annotations := parent["metadata"].get("annotations"):
        made["metadata"]["annotations"] = dict(annotations)
    _name_by_hash(made, parent, collision_count)
    return made


def _name_by_hash(revision: JSON, parent: JSON, collision_count: int) -> None:
    digest = revision_hash(revision["data"], collision_count)
    revision["metadata"]["name"] = f"{name_of(parent)[:223]}-{digest}"
    revision["metadata"]["labels"][_HASH_LABELS.get(parent["kind"], HASH_LABEL)] = digest


def template_of(revision: JSON) -> JSON:
    """The template that a revision restores."""
    template: JSON = revision["data"]["spec"]["template"]
    return {k: v for k, v in template.items() if k != "$patch"}


def list_revisions(registry: Registry, parent: JSON, selector: LabelSelector) -> list[JSON]:
    """The revisions of the parent, and orphans that match its selector, oldest first."""
    revisions = [
        revision
        for revision in registry.list(CONTROLLER_REVISIONS, namespace_of(parent), labels=selector)
        if (reference := controller_of(revision)) is None or reference.get("uid") == uid_of(parent)
    ]
    return sorted(revisions, key=lambda r: (r["revision"], r["metadata"]["creationTimestamp"], name_of(r)))


def adopt_orphans(registry: Registry, owner_resource: Resource, owner: JSON, selector: LabelSelector) -> None:
    """Make the owner the controller of the matching revisions that nobody controls."""
    if is_terminating(owner):
        return
    for revision in list_revisions(registry, owner, selector):
        if controller_of(revision) is None:
            adoption.adopt(registry, owner_resource, owner, CONTROLLER_REVISIONS, revision)


def store_revision(
    registry: Registry, parent: JSON, revisions: Sequence[JSON], candidate: JSON, collision_count: int
) -> tuple[JSON, int]:
    """The stored revision with the candidate's data, and the collision count after looking for its name.

    The newest one is taken as it is; an older one becomes the newest by taking the candidate's number (this is
    what a rollback does); otherwise the candidate is created. `revisions` are sorted, oldest first.
    """
    equal = [r for r in revisions if r["data"] == candidate["data"]]
    if not equal:
        return _create(registry, parent, candidate, collision_count)
    if equal[-1] is revisions[-1]:
        return equal[-1], collision_count

    def promote(revision: JSON) -> None:
        revision["revision"] = candidate["revision"]

    namespace, name = namespace_of(equal[-1]), name_of(equal[-1])
    return registry.modify(CONTROLLER_REVISIONS, namespace, name, promote), collision_count


def _create(registry: Registry, parent: JSON, candidate: JSON, collision_count: int) -> tuple[JSON, int]:
    while True:
        _name_by_hash(candidate, parent, collision_count)
        try:
            return registry.create(CONTROLLER_REVISIONS, candidate), collision_count
        except ApiError as error:
            if error.reason != "AlreadyExists":
                raise
        existing = registry.get(CONTROLLER_REVISIONS, namespace_of(candidate), name_of(candidate))
        if existing["data"] == candidate["data"]:
            return existing, collision_count
        collision_count += 1


def truncate(registry: Registry, revisions: Sequence[JSON], live: Collection[str], limit: int) -> None:
    """Delete the oldest revisions that are not in use until `limit` of those remain."""
    unused = [revision for revision in revisions if name_of(revision) not in live]
    for revision in unused[: max(len(unused) - limit, 0)] if limit >= 0 else ():
        registry.delete(CONTROLLER_REVISIONS, namespace_of(revision), name_of(revision))


def template_hash(template: JSON, collision_count: int | None) -> str:
    """The pod-template-hash of a template: upstream's alphabet and length over our own canonical form.

    Upstream hashes a dump of Go structures (pkg/controller/controller_utils.go, ComputeHash), which only the same
    Go types could reproduce; all that matters is that equal templates agree.
    """
    data = canonical_json(template)
    if collision_count is not None:
        data += collision_count.to_bytes(8, "little")
    return safe_encode(str(fnv1a_32(data)))
