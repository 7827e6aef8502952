"""The input of the authorizer: the user, and the attributes of the request (apiserver pkg/authorization/authorizer)."""

from __future__ import annotations

from dataclasses import dataclass, field

AUTHENTICATED = "system:authenticated"
UNAUTHENTICATED = "system:unauthenticated"
MASTERS = "system:masters"  # may do everything, whatever the bindings say
SERVICE_ACCOUNTS = "system:serviceaccounts"


@dataclass(frozen=True)
class User:
    """An authenticated user, as authentication.k8s.io UserInfo describes one."""

    name: str
    groups: tuple[str, ...]
    uid: str = ""
    extra: dict[str, list[str]] = field(default_factory=dict)


ANONYMOUS = User("system:anonymous", (UNAUTHENTICATED,))


@dataclass(frozen=True, slots=True)
class Attributes:
    """What a request wants to do. A non-resource request has `path` and `verb` only."""

    verb: str
    group: str = ""
    resource: str = ""
    subresource: str = ""
    namespace: str = ""
    name: str = ""
    path: str = ""


def account_user_name(namespace: str, name: str) -> str:
    """The user name of a service account (apiserver pkg/authentication/serviceaccount MakeUsername)."""
    return f"system:serviceaccount:{namespace}:{name}"


def account_groups(namespace: str) -> tuple[str, ...]:
    """The groups of every service account of a namespace (MakeGroupNames)."""
    return SERVICE_ACCOUNTS, f"{SERVICE_ACCOUNTS}:{namespace}"
