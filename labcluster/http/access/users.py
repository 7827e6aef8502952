"""Who makes a request: a client certificate of our authority, or a service account's token."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from aiohttp import web

from labcluster.api.errors import ApiError, unauthorized
from labcluster.auth import token_binding
from labcluster.auth.pki import ISSUER, InvalidToken, Pki
from labcluster.auth.rbac.attributes import AUTHENTICATED, User, account_groups
from labcluster.storage.registry import Registry


def authenticate(request: web.Request, registry: Registry, pki: Pki) -> User | None:
    """The user of a request, or None without credentials. Raises ApiError 401 for wrong ones.

    The TLS layer has verified the certificate already: what arrives here is signed by our authority.
    """
    transport = request.transport
    certificate = transport.get_extra_info("peercert") if transport is not None else None
    if certificate:
        return _certified(certificate.get("subject", ()))
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    if not token:
        return None
    if scheme.lower() != "bearer":
        raise unauthorized()
    return service_account(token.strip(), registry, pki)


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


def service_account(token: str, registry: Registry, pki: Pki, audience: str = ISSUER) -> User:
    """The service account that a token is of. Raises ApiError 401 for an invalid token."""
    try:
        claims: dict[str, Any] = pki.verify_token(token, audience)
        bound = claims["kubernetes.io"]
        namespace, account = bound["namespace"], bound["serviceaccount"]
    except (InvalidToken, KeyError) as error:
        raise unauthorized() from error
    if gone := token_binding.missing_kind(registry, bound):
        raise ApiError(401, "Unauthorized", f"Unauthorized: the token's {gone} does not exist any more")
    credential = {"authentication.kubernetes.io/credential-id": [f"JTI={claims['jti']}"]}
    extra = credential | token_binding.user_extra(bound)
    groups = (*account_groups(namespace), AUTHENTICATED)
    return User(claims["sub"], groups, account["uid"], extra)
