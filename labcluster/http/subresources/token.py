"""The subresource token of service accounts (authentication.k8s.io/v1 TokenRequest)."""

from __future__ import annotations

import datetime as dt

from aiohttp import web

from labcluster.api import errors, field
from labcluster.api.errors import bad_request
from labcluster.api.objects import uid_of
from labcluster.api.resources import SERVICE_ACCOUNTS, Resource
from labcluster.api.times import now
from labcluster.auth import token_binding
from labcluster.http.call import Call
from labcluster.http.messages import body
from labcluster.http.messages.responses import json_response
from labcluster.http.verbs.reading import namespace

_TOKEN_SECONDS = 3600
_SHORTEST_TOKEN = 600  # seconds, as upstream's validation of TokenRequestSpec
_LONGEST_TOKEN = 1 << 32


async def create(call: Call) -> web.Response:
    """Issue a token for a service account. Raises ApiError 400 and 422."""
    account = call.registry.get(SERVICE_ACCOUNTS, namespace(call), call.target.name)
    request = body.decode(await body.read(call.request), body.content_type(call.request), "TokenRequest")
    spec = request.get("spec") or {}
    if not isinstance(spec, dict) or not isinstance(spec.get("boundObjectRef") or {}, dict):
        raise bad_request("TokenRequest: spec and spec.boundObjectRef must be objects")
    audiences, seconds = spec.get("audiences") or [], spec.get("expirationSeconds", _TOKEN_SECONDS)
    if not isinstance(audiences, list) or not isinstance(seconds, int):
        raise bad_request("TokenRequest: spec.audiences must be an array and spec.expirationSeconds an integer")
    if not _SHORTEST_TOKEN <= seconds <= _LONGEST_TOKEN:
        limit = "less than 10 minutes" if seconds < _SHORTEST_TOKEN else "larger than 2^32 seconds"
        why = f"may not specify a duration {limit}"
        tokens = Resource("authentication.k8s.io", "v1", "tokenrequests", "TokenRequest")
        raise errors.invalid(tokens, "", [field.invalid("spec.expirationSeconds", seconds, why)])
    reference = spec.get("boundObjectRef")
    where, name = namespace(call), call.target.name
    bound = token_binding.to_object(call.registry, where, name, reference) if reference else None
    issued = call.services.pki.issue_token(where, name, uid_of(account), [str(a) for a in audiences], seconds, bound)
    expires = dt.datetime.now(dt.UTC) + dt.timedelta(seconds=seconds)
    reply = {
        "apiVersion": "authentication.k8s.io/v1",
        "kind": "TokenRequest",
        "metadata": {"name": name, "namespace": where, "creationTimestamp": now()},
        "spec": {**spec, "audiences": audiences, "expirationSeconds": seconds},
        "status": {"token": issued, "expirationTimestamp": expires.strftime("%Y-%m-%dT%H:%M:%SZ")},
    }
    return json_response(reply, 201)
