"""What the published schemas say, in one place: types, decoding of requests, OpenAPI documents."""

from labsupport.embedded.decoding import cannot_handle, decode, duplicate_fields, normalize, type_errors, unknown_fields
from labsupport.embedded.definitions import Field, Type, type_of
from labsupport.embedded.openapi import openapi_v3, openapi_v3_index

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
]
