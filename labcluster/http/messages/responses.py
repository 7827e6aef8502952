"""Answers: JSON (or YAML) bodies, Status objects, warning headers."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import orjson
import yaml
from aiohttp import web
from multidict import CIMultiDict

from labcluster.api.errors import ApiError
from labcluster.api.objects import JSON
from labcluster.api.resources import COMPONENT_STATUSES, ENDPOINTS, Resource
from labcluster.schema.structural.resource import CustomResource

JSON_TYPE = "application/json"
_MAX_WARNINGS = 4 * 1024  # characters in one answer
_MAX_WARNING = 256  # characters, once there are too many

_DEPRECATED = {
    COMPONENT_STATUSES: "v1 ComponentStatus is deprecated in v1.19+",
    ENDPOINTS: "v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice",
}


def headers(content_type: str = JSON_TYPE, warnings: Iterable[str] = ()) -> CIMultiDict[str]:
    """The headers of every answer."""
    made = CIMultiDict({"Content-Type": content_type, "Cache-Control": "no-cache, private"})
    for text in _shortened(list(dict.fromkeys(warnings))):
        printable = "".join(c if c.isprintable() else " " for c in text)  # no control character may be in a header
        escaped = " ".join(printable.split()).replace("\\", "\\\\").replace('"', '\\"')
        made.add("Warning", f'299 - "{escaped}"')
    return made


def _shortened(warnings: list[str]) -> list[str]:
    """All of them when they are short; else the beginnings of the first ones (endpoints/filters/warning.go)."""
    if sum(map(len, warnings)) <= _MAX_WARNINGS:
        return warnings
    kept, written = [], 0
    for text in warnings:
        if written >= _MAX_WARNINGS:
            break
        kept.append(text[:_MAX_WARNING])
        written += len(kept[-1])
    return kept


def deprecations(resource: Resource) -> list[str]:
    """The warnings that every request on a resource gets."""
    if resource in _DEPRECATED:
        return [_DEPRECATED[resource]]
    return [resource.deprecation] if isinstance(resource, CustomResource) and resource.deprecation else []


def json_bytes(value: Any, *, pretty: bool = False) -> bytes:
    """A value as JSON with a newline at its end, as upstream writes it."""
    option = orjson.OPT_APPEND_NEWLINE | (orjson.OPT_INDENT_2 if pretty else 0)
    return orjson.dumps(value, option=option)


def json_response(
    value: Any, code: int = 200, *, warnings: Iterable[str] = (), pretty: bool = False, yaml_form: bool = False
) -> web.Response:
    """A value as the answer."""
    if yaml_form:
        text = yaml.safe_dump(value, sort_keys=True, allow_unicode=True, default_flow_style=False)
        return web.Response(body=text.encode(), status=code, headers=headers("application/yaml", warnings))
    return web.Response(body=json_bytes(value, pretty=pretty), status=code, headers=headers(JSON_TYPE, warnings))


def error_response(error: ApiError) -> web.Response:
    """The Status of a refusal."""
    status = error.status()
    status["message"] = status["message"].encode(errors="replace").decode()  # it may quote a header, which is any bytes
    response = web.Response(body=json_bytes(status), status=error.code, headers=headers())
    if error.code == 401:
        response.headers["WWW-Authenticate"] = 'Bearer realm="kubernetes"'
    seconds = error.details.get("retryAfterSeconds")
    if seconds:
        response.headers["Retry-After"] = str(seconds)
    return response


def internal_error(error: Exception) -> ApiError:
    """500: a fault of ours; an ApiError stays what it is."""
    if isinstance(error, ApiError):
        return error
    message = f"Internal error occurred: {type(error).__name__}: {error}"
    return ApiError(500, "InternalError", message, {"causes": [{"message": str(error)}]})


def success(details: JSON | None = None, *, code: int = 0) -> JSON:
    """The Status of something done."""
    body: JSON = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success"}
    if code:
        body["code"] = code
    if details:
        body["details"] = details
    return body
