"""Acting as someone else: the headers Impersonate-User, -Group, -Uid and -Extra-* (kubectl --as, --as-group, --as-uid).

Each attribute that is impersonated has to be allowed by the verb `impersonate`. Upstream: apiserver
pkg/endpoints/filters/impersonation/impersonation.go.
"""

from __future__ import annotations

from urllib.parse import unquote

from multidict import MultiMapping

from labcluster.api.errors import bad_request
from labcluster.auth.rbac.attributes import ANONYMOUS, AUTHENTICATED, UNAUTHENTICATED, Attributes, User, account_groups
from labcluster.auth.rbac.authorizer import Authorizer
from labcluster.http.access.authorization import check
from labcluster.kinds import formats

_PREFIX = "impersonate-"
_USER, _GROUP, _UID, _EXTRA = "Impersonate-User", "Impersonate-Group", "Impersonate-Uid", "impersonate-extra-"
_AUTHENTICATION = "authentication.k8s.io"


def acting_user(headers: MultiMapping[str], requester: User, authorizer: Authorizer) -> User:
    """The user that a request acts as: the requester, or whom its headers name.

    Raises ApiError 400 for headers without a user, 403 where the requester may not.
    """
    if not any(header.lower().startswith(_PREFIX) for header in headers):
        return requester
    name, groups, uid = headers.get(_USER, ""), headers.getall(_GROUP, []), headers.get(_UID, "")
    extra = _extra(headers)
    if not name:
        if not (groups or uid or extra):
            return requester
        wanted = [*(f"Group {group}" for group in groups), *(f"UserExtra {key}" for key in extra)]
        text = ", ".join([*wanted, f"UID {uid}"] if uid else wanted)
        raise bad_request(f"requested [{text}] without impersonating a user")

    def check_each(resource: str, value: str, group: str = "", subresource: str = "", namespace: str = "") -> None:
        check(authorizer, requester, Attributes("impersonate", group, resource, subresource, namespace, value))

    account = _service_account(name)
    if account is not None:
        namespace, account_name = account
        check_each("serviceaccounts", account_name, namespace=namespace)
    else:
        check_each("users", name)
    for group in groups:
        check_each("groups", group)
    for key, values in extra.items():
        for value in values:
            check_each("userextras", value, _AUTHENTICATION, key)
    if uid:
        check_each("uids", uid, _AUTHENTICATION)
    if account is not None and not groups:
        groups = list(account_groups(account[0]))
    return User(name, (*groups, *_implied_group(name, groups)), uid, extra)


def _implied_group(name: str, groups: list[str]) -> tuple[str, ...]:
    if name == ANONYMOUS.name:
        return () if UNAUTHENTICATED in groups else (UNAUTHENTICATED,)
    return () if AUTHENTICATED in groups or UNAUTHENTICATED in groups else (AUTHENTICATED,)


def _extra(headers: MultiMapping[str]) -> dict[str, list[str]]:
    extra: dict[str, list[str]] = {}
    for header, value in headers.items():
        if header.lower().startswith(_EXTRA):
            extra.setdefault(unquote(header[len(_EXTRA) :].lower()), []).append(value)
    return extra


def _service_account(name: str) -> tuple[str, str] | None:
    """Namespace and name of the account of that user name, None for another user (SplitUsername)."""
    parts = name.split(":")
    if len(parts) != 4 or parts[:2] != ["system", "serviceaccount"]:
        return None
    namespace, account = parts[2:]
    return None if formats.label(namespace) or formats.subdomain(account) else (namespace, account)
