"""A structural schema as the type that server-side apply walks by.

Upstream: kube-openapi pkg/schemaconv and pkg/util/proto; the defaults of list keys from typed/helpers.go.
"""

from __future__ import annotations

from labcluster.api.objects import JSON
from labcluster.schema.definitions import ANY, Field, Type, object_meta

# What is known of unknown fields: maps are walked, lists and scalars are one value.
DEDUCED = Type("map", "map[string]interface {}", custom=True)
DEDUCED.item = DEDUCED
_STRING = Type("string", "string")


def type_of_objects(schema: JSON) -> Type:
    """The type of whole objects, with what every object has."""
    result = _type(schema)
    if result.kind != "struct":
        result = Type("struct", "object", custom=True)
    result.fields |= {"apiVersion": Field(_STRING), "kind": Field(_STRING), "metadata": Field(object_meta())}
    return result


def _type(schema: JSON) -> Type:
    kind = schema.get("type")
    if kind == "array":
        return Type("array", "[]interface {}", item=_type(schema.get("items") or {}), custom=True)
    if "properties" in schema:
        fields = {name: _field(below) for name, below in schema["properties"].items()}
        if schema.get("x-kubernetes-embedded-resource"):
            fields |= {"apiVersion": Field(_STRING), "kind": Field(_STRING), "metadata": Field(object_meta())}
        unnamed = DEDUCED if _keeps_unknown(schema) else None
        return Type("struct", "object", fields=fields, item=unnamed, custom=True)
    more = schema.get("additionalProperties")
    if isinstance(more, dict):
        return Type("map", "map[string]interface {}", item=_type(more), custom=True)
    if more or _keeps_unknown(schema):
        return DEDUCED
    return Type("struct", "object", custom=True) if kind == "object" else ANY


def _field(schema: JSON) -> Field:
    keys = tuple(schema.get("x-kubernetes-list-map-keys") or ())
    of_items = (schema.get("items") or {}).get("properties") or {}
    return Field(
        _type(schema),
        list_type=schema.get("x-kubernetes-list-type", ""),
        list_keys=keys,
        map_type=schema.get("x-kubernetes-map-type", ""),
        key_defaults={k: of_items[k]["default"] for k in keys if "default" in of_items.get(k, ())},
    )


def _keeps_unknown(schema: JSON) -> bool:
    return bool(schema.get("x-kubernetes-preserve-unknown-fields"))
