"""Pruning: fields that a schema does not have are removed (upstream: pkg/apiserver/schema/pruning).

`apiVersion`, `kind` and `metadata` of an object and of the resources embedded in it are never unknown.
"""

from __future__ import annotations

from typing import Any

from labcluster.api.objects import JSON

_OF_EVERY_OBJECT = ("apiVersion", "kind", "metadata")


def prune(obj: JSON, schema: JSON) -> list[str]:
    """Remove the fields that the schema does not have, in place; returns their paths: `spec.foo[2].bar`."""
    removed: list[str] = []
    _prune(obj, schema, "", removed, is_resource=True)
    return removed


def _prune(value: Any, schema: JSON, path: str, removed: list[str], *, is_resource: bool = False) -> None:
    if isinstance(value, list):
        keeps = schema.get("x-kubernetes-preserve-unknown-fields")
        items = schema.get("items") or (_UNKNOWN if keeps else {})
        for index, item in enumerate(value):
            _prune(item, items, f"{path}[{index}]", removed)
    elif isinstance(value, dict):
        is_resource = is_resource or bool(schema.get("x-kubernetes-embedded-resource"))
        properties: JSON = schema.get("properties") or {}
        more = schema.get("additionalProperties")
        keeps = bool(schema.get("x-kubernetes-preserve-unknown-fields")) or more is True
        for key in list(value):
            inner = f"{path}.{key}" if path else key
            if is_resource and key in _OF_EVERY_OBJECT:
                continue
            if key in properties:
                _prune(value[key], properties[key], inner, removed)
            elif isinstance(more, dict):
                _prune(value[key], more, inner, removed)
            elif keeps:
                _prune(value[key], _UNKNOWN, inner, removed)
            else:
                removed.append(inner)
                del value[key]


_UNKNOWN: JSON = {"x-kubernetes-preserve-unknown-fields": True}
