"""Questions about oneself: SelfSubjectReview and SelfSubjectAccessReview. They are answered, never stored."""

from __future__ import annotations

from typing import Any

from labsupport.embedded.http.authorization import Attributes, authorize
from labsupport.embedded.http.users import User
from labsupport.embedded.objects import JSON, now
from labsupport.embedded.resources import Resource

SELF_SUBJECT_REVIEWS = Resource(
    "authentication.k8s.io", "v1", "selfsubjectreviews", "SelfSubjectReview", False, verbs=("create",)
)
SELF_SUBJECT_ACCESS_REVIEWS = Resource(
    "authorization.k8s.io", "v1", "selfsubjectaccessreviews", "SelfSubjectAccessReview", False, verbs=("create",)
)
REVIEWS = (SELF_SUBJECT_REVIEWS, SELF_SUBJECT_ACCESS_REVIEWS)


def find(group: str, version: str, plural: str) -> Resource | None:
    """The review served under that name, or None."""
    return next((r for r in REVIEWS if (r.group, r.version, r.plural) == (group, version, plural)), None)


def answer(resource: Resource, question: JSON, user: User) -> JSON:
    """The review with its status filled in."""
    reviewed: JSON = {
        "apiVersion": resource.api_version,
        "kind": resource.kind,
        "metadata": {"creationTimestamp": now()},
    }
    if resource == SELF_SUBJECT_REVIEWS:
        info: JSON = {"username": user.name, "groups": list(user.groups)}
        if user.uid:
            info["uid"] = user.uid
        if user.extra:
            info["extra"] = user.extra
        return {**reviewed, "status": {"userInfo": info}}
    spec = _object(question.get("spec"))
    return {**reviewed, "spec": spec, "status": {"allowed": authorize(user, _attributes(spec))}}


def _attributes(spec: JSON) -> Attributes:
    if spec.get("nonResourceAttributes"):
        asked = _object(spec["nonResourceAttributes"])
        return Attributes(str(asked.get("verb", "")), path=str(asked.get("path") or "/"))
    asked = _object(spec.get("resourceAttributes"))
    names = ("verb", "group", "resource", "subresource", "namespace", "name")
    return Attributes(**{name: str(asked.get(name) or "") for name in names})


def _object(value: Any) -> JSON:
    return value if isinstance(value, dict) else {}
