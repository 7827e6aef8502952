"""Request bodies: reading, decoding, and checking them against what the request says they are.

Upstream: apiserver pkg/endpoints/handlers/{rest,create,update}.go and pkg/endpoints/handlers/negotiation.
"""

from __future__ import annotations

import orjson
import yaml
from aiohttp import web
from aiohttp.web_protocol import RequestPayloadError

from labcluster.api.errors import ApiError, bad_request, unsupported_media_type
from labcluster.api.json_values import check_depth
from labcluster.api.objects import JSON
from labcluster.api.resources import Resource
from labcluster.http.messages import yaml_body
from labcluster.schema.protobuf import decoding

LIMIT = 3 * 1024 * 1024  # bytes, as upstream limits request bodies
JSON_TYPES = ("application/json", "")
YAML_TYPES = ("application/yaml", "application/x-yaml", "text/yaml")
PROTOBUF = "application/vnd.kubernetes.protobuf"

_SUMMARY = 30  # bytes of a body that an error text quotes


async def read(request: web.Request) -> bytes:
    """The whole body. Raises ApiError 413 beyond the limit and 400 when it does not come through."""
    try:
        return await request.read()
    except web.HTTPRequestEntityTooLarge as error:
        raise ApiError(413, "RequestEntityTooLarge", f"Request entity too large: limit is {LIMIT}") from error
    except RequestPayloadError as error:
        raise bad_request(f"the body of the request could not be read: {' '.join(str(error).split())}") from error


def content_type(request: web.Request) -> str:
    """The media type of the body, without parameters."""
    return request.headers.get("Content-Type", "").partition(";")[0].strip().lower()


def decode(data: bytes, media_type: str, kind: str) -> JSON:
    """The object in a body. `kind` is what was expected, for the error text. Raises ApiError 400 and 415."""
    if media_type == PROTOBUF:
        return _decode_protobuf(data, kind)
    try:
        if media_type in JSON_TYPES:
            value = orjson.loads(data)
        elif media_type in YAML_TYPES:
            value = yaml_body.load(data)
        else:
            raise unsupported_media_type(
                "the body of the request was in an unknown format - accepted media types include: "
                "application/json, application/yaml"
            )
    except (ValueError, RecursionError, yaml.YAMLError) as error:
        why = " ".join(str(error).split())
        raise bad_request(
            f"the object provided is unrecognized (must be of type {kind}): "
            f"couldn't get version/kind; json parse error: {why} ({_summary(data)})"
        ) from error
    if not isinstance(value, dict):
        raise bad_request(
            f"the object provided is unrecognized (must be of type {kind}): couldn't get version/kind; "
            f"json parse error: expected an object ({_summary(data)})"
        )
    check_depth(value)
    return value


def _decode_protobuf(data: bytes, kind: str) -> JSON:
    try:
        value = decoding.decode(data)
    except decoding.NotServed as what:
        raise not_read(what) from what
    except ValueError as error:
        raise bad_request(f"the object provided is unrecognized (must be of type {kind}): {error}") from error
    check_depth(value)
    return value


def not_read(what: object) -> ApiError:
    """415: a protobuf body with something that is not decoded here."""
    return unsupported_media_type(
        f"the embedded cluster does not read {what} from {PROTOBUF}: send application/json "
        "(kubectl apply -f and kubectl create -f do)"
    )


def _summary(data: bytes) -> str:
    if not data:
        return "<empty>"
    head = data[:_SUMMARY]
    text = head.decode(errors="replace") if data.startswith(b"{") else head.hex()
    return text + " ..." if len(data) > _SUMMARY else text


def check_kind(obj: JSON, resource: Resource) -> None:
    """Whether the object is of the resource's kind, or does not say. Raises ApiError 400."""
    api_version, kind = obj.get("apiVersion") or resource.api_version, obj.get("kind") or resource.kind
    if kind != resource.kind:
        version = str(api_version).rpartition("/")[2]
        raise bad_request(
            f'{kind} in version "{version}" cannot be handled as a {resource.kind}: '
            f"the kind in the data ({kind}) does not match the expected kind ({resource.kind})"
        )
    if api_version != resource.api_version:
        raise bad_request(
            f"the API version in the data ({api_version}) does not match "
            f"the expected API version ({resource.api_version})"
        )


def set_namespace(metadata: JSON, namespace: str) -> None:
    """Take the namespace from the request where the object has none (EnsureObjectNamespaceMatchesRequestNamespace)."""
    given = metadata.get("namespace") or ""
    if not namespace:
        metadata.pop("namespace", None)
    elif given and given != namespace:
        raise bad_request("the namespace of the provided object does not match the namespace sent on the request")
    else:
        metadata["namespace"] = namespace


def check_name(metadata: JSON, name: str, namespace: str) -> None:
    """Whether an object that replaces another one is called as the URL says. Raises ApiError 400."""
    given = metadata.get("name") or ""
    if given != name:
        raise bad_request(f"the name of the object ({given}) does not match the name on the URL ({name})")
    given = metadata.get("namespace") or namespace
    if namespace and given != namespace:
        raise bad_request(
            f"the namespace of the object ({given}) does not match the namespace on the URL ({namespace})"
        )
