"""Who makes a request: a client certificate of our authority, or a service account's token."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from labsupport.embedded.errors import ApiError, not_implemented, unauthorized
from labsupport.embedded.objects import uid_of
from labsupport.embedded.pki import InvalidToken
from labsupport.embedded.resources import PODS, SERVICE_ACCOUNTS

if TYPE_CHECKING:
    from aiohttp import web

    from labsupport.embedded.pki import Pki
    from labsupport.embedded.registry import Registry

AUTHENTICATED = "system:authenticated"


@dataclass(frozen=True)
class User:
    """An authenticated user, as authentication.k8s.io UserInfo describes one."""

    name: str
    groups: tuple[str, ...]
    uid: str = ""
    extra: dict[str, list[str]] = field(default_factory=dict)


ANONYMOUS = User("system:anonymous", ("system:unauthenticated",))


def authenticate(request: web.Request, registry: Registry, pki: Pki) -> User | None:
    """The user of a request, or None without credentials. Raises ApiError 401 for wrong ones, 501 for impersonation.

    The TLS layer has verified the certificate already: what arrives here is signed by our authority.
    """
    if "Impersonate-User" in request.headers:
        raise not_implemented("impersonation (kubectl --as): use the credentials of the user that is meant")
    transport = request.transport
    certificate = transport.get_extra_info("peercert") if transport is not None else None
    if certificate:
        return _certified(certificate.get("subject", ()))
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    if not token:
        return None
    if scheme.lower() != "bearer":
        raise unauthorized()
    return _service_account(token.strip(), registry, pki)


def _certified(subject: Iterable[Iterable[tuple[str, str]]]) -> User:
    """CN is the user's name, each O a group (kubernetes.io/docs: X509 client certificates)."""
    name, groups = "", []
    for relative in subject:
        for attribute, value in relative:
            if attribute == "commonName":
                name = value
            elif attribute == "organizationName":
                groups.append(value)
    if not name:
        raise unauthorized()
    return User(name, (*groups, AUTHENTICATED))


def _service_account(token: str, registry: Registry, pki: Pki) -> User:
    try:
        claims: dict[str, Any] = pki.verify_token(token)
        bound = claims["kubernetes.io"]
        namespace, account = bound["namespace"], bound["serviceaccount"]
    except (InvalidToken, KeyError) as error:
        raise unauthorized() from error
    found = registry.find(SERVICE_ACCOUNTS, namespace, account["name"])
    if found is None or uid_of(found) != account["uid"]:
        raise _invalid_token("service account")
    extra = {"authentication.kubernetes.io/credential-id": [f"JTI={claims['jti']}"]}
    if pod := bound.get("pod"):
        running = registry.find(PODS, namespace, pod["name"])
        if running is None or uid_of(running) != pod["uid"]:
            raise _invalid_token("pod")
        extra["authentication.kubernetes.io/pod-name"] = [pod["name"]]
        extra["authentication.kubernetes.io/pod-uid"] = [pod["uid"]]
    groups = ("system:serviceaccounts", f"system:serviceaccounts:{namespace}", AUTHENTICATED)
    return User(claims["sub"], groups, account["uid"], extra)


def _invalid_token(gone: str) -> ApiError:
    return ApiError(401, "Unauthorized", f"Unauthorized: the token's {gone} does not exist any more")
