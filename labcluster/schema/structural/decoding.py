"""Decoding a request's custom resource (upstream: schemaCoercingDecoder of pkg/apiserver/customresource_handler.go).

The metadata is decoded as that of every object. Of the rest, fields that the schema does not have are pruned; values of
wrong types are left to validation.
"""

from __future__ import annotations

from labcluster.api.json_values import clone
from labcluster.api.objects import JSON
from labcluster.schema.decoding import MAX_STRICT_ERRORS, cannot_handle, decode_metadata, duplicate_fields
from labcluster.schema.structural.pruning import prune
from labcluster.schema.structural.resource import CustomResource


def decode(
    obj: JSON, resource: CustomResource, field_validation: str, raw: bytes | None = None
) -> tuple[JSON, list[str]]:
    """The normal form of an object and the warnings about it, as decoding.decode has it. Raises ApiError 400."""
    normal: JSON = {**clone(obj), "apiVersion": resource.api_version, "kind": resource.kind}
    unknown, wrong = _metadata(normal)
    if wrong:
        raise cannot_handle(resource, wrong[0])
    unknown += [f'unknown field "{path}"' for path in prune(normal, resource.schema)]
    strict = [] if field_validation == "Ignore" else (duplicate_fields(raw) if raw else []) + unknown
    if strict and field_validation == "Strict":
        raise cannot_handle(resource, "strict decoding error: " + ", ".join(strict[:MAX_STRICT_ERRORS]))
    return normal, strict[:MAX_STRICT_ERRORS]


def type_errors(obj: JSON) -> list[str]:
    """Values of a wrong type in the metadata, each in the words of Go's JSON decoder."""
    return _metadata(dict(obj))[1]


def _metadata(obj: JSON) -> tuple[list[str], list[str]]:
    """Decode the metadata in place; returns its unknown fields and its type errors."""
    if obj.get("metadata") is None:
        obj.pop("metadata", None)
        return [], []
    obj["metadata"], unknown, wrong = decode_metadata(obj["metadata"])
    return unknown, wrong
