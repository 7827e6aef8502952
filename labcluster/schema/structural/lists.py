"""List types: lists that are sets or maps have no duplicates (upstream: pkg/apiserver/schema/listtype)."""

from __future__ import annotations

from typing import Any

import orjson

from labcluster.api import field
from labcluster.api.field import FieldError
from labcluster.api.objects import JSON
from labcluster.schema.structural.validation import child


def duplicates(value: Any, schema: JSON, path: str = "") -> list[FieldError]:
    """An error for each item with the keys, or the value, of an earlier one."""
    errors: list[FieldError] = []
    if isinstance(value, list):
        errors += _duplicate_items(value, schema, path)
        items = schema.get("items") or {}
        for index, item in enumerate(value):
            errors += duplicates(item, items, f"{path}[{index}]")
    elif isinstance(value, dict):
        properties: JSON = schema.get("properties") or {}
        more = schema.get("additionalProperties")
        for name, item in value.items():
            below = properties.get(name, more)
            if isinstance(below, dict):
                errors += duplicates(item, below, child(path, name))
    return errors


def _duplicate_items(value: list[Any], schema: JSON, path: str) -> list[FieldError]:
    kind = schema.get("x-kubernetes-list-type")
    if kind not in ("set", "map"):
        return []
    keys = schema.get("x-kubernetes-list-map-keys") or []
    errors, seen = [], set()
    for index, item in enumerate(value):
        identity = {k: item[k] for k in keys if k in item} if kind == "map" and isinstance(item, dict) else item
        mark = orjson.dumps(identity, option=orjson.OPT_SORT_KEYS)
        if mark in seen:
            errors.append(field.duplicate(f"{path}[{index}]", identity))
        seen.add(mark)
    return errors
