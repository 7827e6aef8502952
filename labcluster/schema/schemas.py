"""What schemas say, in one place: types, decoding of requests, OpenAPI documents.

The kinds that are built in have published schemas; custom resources bring their own.
"""

from __future__ import annotations

from labcluster.api.objects import JSON
from labcluster.api.resources import Resource
from labcluster.schema import decoding, definitions, omission
from labcluster.schema.decoding import cannot_handle, duplicate_fields, normalize, unknown_fields
from labcluster.schema.definitions import Field, Type
from labcluster.schema.openapi import openapi_v3, openapi_v3_index
from labcluster.schema.structural import decoding as custom_decoding
from labcluster.schema.structural.resource import CustomResource

__all__ = [
    "Field",
    "Type",
    "cannot_handle",
    "decode",
    "duplicate_fields",
    "normalize",
    "openapi_v3",
    "openapi_v3_index",
    "type_errors",
    "type_of",
    "unknown_fields",
    "without_empty",
]


def type_of(resource: Resource) -> Type:
    """The type of a resource's objects; ANY for a kind without a schema."""
    return resource.type if isinstance(resource, CustomResource) else definitions.type_of(resource)


def decode(
    obj: JSON, resource: Resource, field_validation: str = "Strict", raw: bytes | None = None
) -> tuple[JSON, list[str]]:
    """The normal form of an object and the warnings about it; see decoding.decode. Raises ApiError 400."""
    if isinstance(resource, CustomResource):
        return custom_decoding.decode(obj, resource, field_validation, raw)
    return decoding.decode(obj, resource, field_validation, raw)


def type_errors(obj: JSON, resource: Resource) -> list[str]:
    """Values of a wrong type that no object can be decoded with, in the words of Go's JSON decoder."""
    if resource.custom:
        return custom_decoding.type_errors(obj)
    return decoding.type_errors(obj, resource)


def without_empty(obj: JSON, resource: Resource) -> JSON:
    """The object without what Go's omitempty leaves out; a custom resource, which is no Go type, as it is."""
    return obj if resource.custom else omission.without_empty(obj, resource)
