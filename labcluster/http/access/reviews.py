"""Reviews: questions about who someone is and what they may do. They are answered, never stored.

Upstream: pkg/registry/authorization, pkg/registry/authentication and pkg/apis/authorization/validation.
"""

from __future__ import annotations

from aiohttp import web

from labcluster.api import errors, field
from labcluster.api.errors import ApiError, bad_request
from labcluster.api.field import FieldError
from labcluster.api.objects import JSON
from labcluster.api.resources import (
    SELF_ACCESS_REVIEWS,
    SELF_RULES_REVIEWS,
    SELF_SUBJECT_REVIEWS,
    TOKEN_REVIEWS,
    Resource,
)
from labcluster.api.times import now
from labcluster.auth.pki import ISSUER
from labcluster.auth.rbac.attributes import Attributes, User
from labcluster.auth.rbac.rules import Rule
from labcluster.http.access.users import service_account
from labcluster.http.call import Call, Services
from labcluster.http.messages import body
from labcluster.http.messages.responses import json_response
from labcluster.schema import schemas


async def create(call: Call) -> web.Response:
    """Answer a review. Raises ApiError 400 and 422."""
    question = body.decode(await body.read(call.request), body.content_type(call.request), call.resource.kind)
    reply = answer(call.services, call.resource, question, call.user, call.target.namespace)
    return json_response(reply, 201)


def answer(services: Services, resource: Resource, question: JSON, user: User, namespace: str) -> JSON:
    """The review with its status filled in. Raises ApiError 400 and 422 for a question that makes no sense.

    `namespace` is that of the request, for a LocalSubjectAccessReview.
    """
    body.check_kind(question, resource)
    review, _ = schemas.decode(question, resource, "Warn")
    spec: JSON = review.get("spec") or {}
    metadata: JSON = {}
    match resource.kind:
        case SELF_SUBJECT_REVIEWS.kind:
            metadata = {"creationTimestamp": now()}
            status: JSON = {"userInfo": _user_info(user)}
        case TOKEN_REVIEWS.kind:
            status = _token_status(services, spec)
        case SELF_RULES_REVIEWS.kind:
            status = _rules_status(services, user, spec)
        case _:
            if resource.namespaced:
                metadata = {"namespace": namespace}
            _raise_invalid(resource, _access_errors(resource, spec, namespace))
            asker = user if resource == SELF_ACCESS_REVIEWS else _subject(spec)
            status = _access_status(services, asker, spec)
    shown = {} if resource == SELF_SUBJECT_REVIEWS else {"spec": spec}
    return {"apiVersion": resource.api_version, "kind": resource.kind, "metadata": metadata, **shown, "status": status}


def _user_info(user: User) -> JSON:
    info: JSON = {"username": user.name, "groups": list(user.groups)}
    if user.uid:
        info["uid"] = user.uid
    if user.extra:
        info["extra"] = user.extra
    return info


def _token_status(services: Services, spec: JSON) -> JSON:
    """Whose token it is, for the first of the wanted audiences that it is meant for."""
    if not spec.get("token"):
        raise bad_request("token is required for TokenReview in authentication")
    refusal = ""
    for audience in spec.get("audiences") or [ISSUER]:
        try:
            user = service_account(spec["token"], services.registry, services.pki, audience)
        except ApiError as error:
            refusal = str(error.__cause__ or error)
            continue
        return {"authenticated": True, "user": _user_info(user), "audiences": [audience]}
    return {"user": {}, "error": f"[invalid bearer token, {refusal}]"}


def _rules_status(services: Services, user: User, spec: JSON) -> JSON:
    if not spec.get("namespace"):
        raise bad_request("no namespace on request")
    rules, error = services.authorizer.rules_for(user, spec["namespace"])
    status: JSON = {
        "resourceRules": [_resource_rule(rule) for rule in rules if rule.resources],
        "nonResourceRules": [
            {"verbs": list(rule.verbs), "nonResourceURLs": list(rule.paths)} for rule in rules if rule.paths
        ],
        "incomplete": False,
    }
    return {**status, "evaluationError": error} if error else status


def _resource_rule(rule: Rule) -> JSON:
    shown: JSON = {"verbs": list(rule.verbs), "apiGroups": list(rule.groups), "resources": list(rule.resources)}
    return {**shown, "resourceNames": list(rule.names)} if rule.names else shown


def _access_status(services: Services, user: User, spec: JSON) -> JSON:
    decision = services.authorizer.authorize(user, _attributes(spec))
    status: JSON = {"allowed": decision.allowed}
    return {**status, "reason": decision.reason} if decision.reason else status


def _attributes(spec: JSON) -> Attributes:
    path = spec.get("nonResourceAttributes")
    if path is not None:
        return Attributes(path.get("verb", ""), path=path.get("path") or "/")
    asked = spec["resourceAttributes"]
    keys = ("verb", "group", "resource", "subresource", "namespace", "name")
    return Attributes(**{key: asked.get(key) or "" for key in keys})


def _subject(spec: JSON) -> User:
    return User(spec.get("user", ""), tuple(spec.get("groups") or ()), spec.get("uid", ""), spec.get("extra") or {})


def _access_errors(resource: Resource, spec: JSON, namespace: str) -> list[FieldError]:
    """Errors of the three access reviews (ValidateSubjectAccessReview and its siblings)."""
    asked, path = spec.get("resourceAttributes"), spec.get("nonResourceAttributes")
    problems: list[FieldError] = []
    if asked is not None and path is not None:
        why = "cannot be specified in combination with resourceAttributes"
        problems.append(field.invalid("spec.nonResourceAttributes", path, why))
    if asked is None and path is None:
        why = "exactly one of nonResourceAttributes or resourceAttributes must be specified"
        problems.append(field.invalid("spec.resourceAttributes", asked, why))
    if resource != SELF_ACCESS_REVIEWS and not spec.get("user") and not spec.get("groups"):
        problems.append(field.invalid("spec.user", "", "at least one of user or group must be specified"))
    if resource.namespaced:
        given = (asked or {}).get("namespace", "")
        if asked is not None and given != namespace:
            problems.append(field.invalid("spec.resourceAttributes.namespace", given, f"must match {namespace}"))
        if path is not None:
            problems.append(field.invalid("spec.nonResourceAttributes", path, "disallowed on this kind of request"))
    return problems


def _raise_invalid(resource: Resource, problems: list[FieldError]) -> None:
    if problems:
        raise errors.invalid(resource, "", problems)
