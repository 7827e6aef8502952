"""Defaulting: missing fields get the defaults of their schema (upstream: pkg/apiserver/schema/defaulting)."""

from __future__ import annotations

from typing import Any

from labcluster.api.json_values import clone
from labcluster.api.objects import JSON


def fill_in(value: Any, schema: JSON) -> None:
    """Give every field that is missing its default, in place.

    A null in a field that is not nullable counts as missing: it is replaced by the default, or removed.
    """
    if isinstance(value, list):
        for item in value:
            fill_in(item, schema.get("items") or {})
    elif isinstance(value, dict):
        properties: JSON = schema.get("properties") or {}
        for name, below in properties.items():
            if "default" in below and name not in value:
                value[name] = clone(below["default"])
            if name in value:
                _member(value, name, below)
        more = schema.get("additionalProperties")
        if isinstance(more, dict):
            for name in [name for name in value if name not in properties]:
                _member(value, name, more)


def _member(value: JSON, name: str, schema: JSON) -> None:
    if value[name] is not None or schema.get("nullable"):
        fill_in(value[name], schema)
    elif "default" in schema:
        value[name] = clone(schema["default"])
        fill_in(value[name], schema)
    elif schema.get("type") or schema.get("x-kubernetes-int-or-string"):
        del value[name]
