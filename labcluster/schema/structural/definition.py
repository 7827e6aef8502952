"""Whether a schema is structural, and whether what it says makes sense.

Upstream: apiextensions-apiserver pkg/apiserver/schema/validation.go (ValidateStructural) and
pkg/apis/apiextensions/validation/validation.go (ValidateCustomResourceDefinitionOpenAPISchema, validateDefaults).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from labcluster.api import field
from labcluster.api.field import FieldError
from labcluster.api.json_values import clone
from labcluster.api.objects import JSON
from labcluster.schema.structural import formats, patterns
from labcluster.schema.structural.defaulting import fill_in
from labcluster.schema.structural.lists import duplicates
from labcluster.schema.structural.pruning import prune
from labcluster.schema.structural.validation import validate

_TYPES = ("array", "boolean", "integer", "number", "object", "string")
_ROOT, _ITEM, _FIELD = "at the root", "for specified array items", "for specified object fields"
_INT_OR_STRING: list[JSON] = [{"type": "integer"}, {"type": "string"}]
# What may not stand below allOf, anyOf, oneOf and not, and what upstream says of it.
_ONLY_IN_STRUCTURE = {
    "type": "must be empty to be structural",
    "additionalProperties": "must be undefined to be structural",
    "default": "must be undefined to be structural",
    "title": "must be empty to be structural",
    "description": "must be empty to be structural",
    "nullable": "must be false to be structural",
    "externalDocs": "must be undefined to be structural",
    "x-kubernetes-preserve-unknown-fields": "must be false to be structural",
    "x-kubernetes-embedded-resource": "must be false to be structural",
    "x-kubernetes-int-or-string": "must be false to be structural",
    "x-kubernetes-list-map-keys": "must be empty to be structural",
    "x-kubernetes-list-type": "must be undefined to be structural",
    "x-kubernetes-map-type": "must be undefined to be structural",
    "x-kubernetes-validations": "must be empty to be structural",
}
_NEVER = {
    "definitions": "definitions is not supported",
    "dependencies": "dependencies is not supported",
    "id": "id is not supported",
    "additionalItems": "additionalItems is not supported",
    "patternProperties": "patternProperties is not supported",
    "$ref": "$ref is not supported",
}


def schema_errors(schema: JSON, path: str) -> list[FieldError]:
    """What is wrong with the schema of whole objects at that path of its definition."""
    errors = [error for below, where in _schemas(schema, path) for error in _general_errors(below, where)]
    errors += sorted((*_structure_errors(schema, path, _ROOT), *_incomplete(schema, schema, path)), key=str)
    return errors or list(_default_errors(schema, path, whole=True))


def unrecognized_formats(schema: JSON) -> list[str]:
    """The formats that say nothing of a value of their type (pkg/apiserver/validation/formats.go)."""
    given = [(below.get("type") or "string", below.get("format")) for below, _ in _schemas(schema, "")]
    return [name for kind, name in given if name and not formats.is_recognized(name, kind)]


def _schemas(schema: JSON, path: str) -> Iterator[tuple[JSON, str]]:
    """A schema and every one in it, with their paths."""
    yield schema, path
    for key in ("items", "additionalProperties", "not"):
        if isinstance(schema.get(key), dict):
            yield from _schemas(schema[key], f"{path}.{key}")
    for name, below in (schema.get("properties") or {}).items():
        yield from _schemas(below, f"{path}.properties[{name}]")
    for key in ("allOf", "anyOf", "oneOf"):
        for index, below in enumerate(schema.get(key) or ()):
            yield from _schemas(below, f"{path}.{key}[{index}]")


def _general_errors(schema: JSON, path: str) -> Iterator[FieldError]:
    for key, text in _NEVER.items():
        if schema.get(key):
            yield field.forbidden(f"{path}.{key}", text)
    if isinstance(schema.get("items"), list):
        text = "items must be a schema object and not an array"
        yield field.forbidden(f"{path}.items", text)
    if schema.get("uniqueItems"):
        text = "uniqueItems cannot be set to true since the runtime complexity becomes quadratic"
        yield field.forbidden(f"{path}.uniqueItems", text)
    more = schema.get("additionalProperties")
    if schema.get("properties") and more is not None and more is not True:
        text = "additionalProperties and properties are mutual exclusive"
        yield field.forbidden(f"{path}.additionalProperties", text)
    kind = schema.get("type")
    if kind == "null":
        text = "type cannot be set to null, use nullable as an alternative"
        yield field.forbidden(f"{path}.type", text)
    elif kind and kind not in _TYPES:
        yield field.not_supported(f"{path}.type", kind, list(_TYPES))
    if "pattern" in schema:
        try:
            patterns.check(schema["pattern"])
        except patterns.PatternError as error:
            text = f"must be a valid regular expression, but isn't: {error}"
            yield field.invalid(f"{path}.pattern", schema["pattern"], text)
    yield from _list_errors(schema, path)


def _list_errors(schema: JSON, path: str) -> Iterator[FieldError]:
    """The extensions that say how lists and maps are merged."""
    kind, keys = schema.get("x-kubernetes-list-type"), schema.get("x-kubernetes-list-map-keys") or []
    where = f"{path}.x-kubernetes-list-map-keys"
    if kind is not None and schema.get("type") != "array":
        text = "must be array if x-kubernetes-list-type is specified"
        yield field.invalid(f"{path}.type", schema.get("type", ""), text)
    if kind not in (None, "atomic", "set", "map"):
        yield field.not_supported(f"{path}.x-kubernetes-list-type", kind, ["atomic", "map", "set"])
    if keys and kind != "map":
        text = "must be map if x-kubernetes-list-map-keys is non-empty"
        yield field.invalid(f"{path}.x-kubernetes-list-type", kind or "", text)
    if kind == "map":
        items = schema["items"] if isinstance(schema.get("items"), dict) else {}
        if not keys:
            yield field.required(where, "must not be empty if x-kubernetes-list-type is map")
        if items.get("type") != "object":
            text = "must be object if parent array's x-kubernetes-list-type is map"
            yield field.invalid(f"{path}.items.type", items.get("type", ""), text)
        for index, key in enumerate(keys):
            below = (items.get("properties") or {}).get(key)
            if below is None:
                text = "entries must all be names of item properties"
                yield field.invalid(f"{where}[{index}]", key, text)
            elif key not in (items.get("required") or ()) and "default" not in below:
                text = (
                    "this property is in x-kubernetes-list-map-keys, "
                    "so it must have a default or be a required property"
                )
                yield field.required(f"{path}.items.properties[{key}].default", text)
    if schema.get("x-kubernetes-map-type") not in (None, "atomic", "granular"):
        supported = ["atomic", "granular"]
        yield field.not_supported(f"{path}.x-kubernetes-map-type", schema["x-kubernetes-map-type"], supported)
    elif "x-kubernetes-map-type" in schema and schema.get("type") != "object":
        text = "must be object if x-kubernetes-map-type is specified"
        yield field.invalid(f"{path}.type", schema.get("type", ""), text)


def _structure_errors(schema: JSON, path: str, level: str) -> Iterator[FieldError]:
    """validateStructuralInvariants: the schema outside of allOf, anyOf, oneOf and not."""
    kind = schema.get("type")
    embedded, keeps = (
        bool(schema.get(f"x-kubernetes-{name}")) for name in ("embedded-resource", "preserve-unknown-fields")
    )
    either = bool(schema.get("x-kubernetes-int-or-string"))
    items = schema.get("items")
    if kind == "array" and not isinstance(items, dict):
        yield field.required(f"{path}.items", "must be specified")
    if isinstance(items, dict):
        yield from _structure_errors(items, f"{path}.items", _ITEM)
    for name, below in (schema.get("properties") or {}).items():
        yield from _structure_errors(below, f"{path}.properties[{name}]", _FIELD)
    more = schema.get("additionalProperties")
    if more is not None and level == _ROOT:
        yield field.forbidden(f"{path}.additionalProperties", "must not be used at the root")
    if isinstance(more, dict):
        yield from _structure_errors(more, f"{path}.additionalProperties", _FIELD)
    for name, is_set in (("preserve-unknown-fields", keeps), ("embedded-resource", embedded)):
        if either and is_set:
            text = "must be false if x-kubernetes-int-or-string is true"
            yield field.invalid(f"{path}.x-kubernetes-{name}", True, text)
    yield from _nested_errors(schema, path, either)
    if embedded and kind != "object":
        text = "must be object if x-kubernetes-embedded-resource is true"
        where = f"{path}.type"
        yield field.invalid(where, kind, text) if kind else field.required(where, text)
    elif not kind and not either and not keeps:
        yield field.required(f"{path}.type", f"must not be empty {level}")
    if level == _ROOT and kind and kind != "object":
        yield field.invalid(f"{path}.type", kind, "must be object at the root")
    if level == _ROOT or embedded:
        yield from _object_header_errors(schema, path, level)
    if embedded and not keeps and not schema.get("properties"):
        text = (
            "must not be empty if x-kubernetes-embedded-resource is true without x-kubernetes-preserve-unknown-fields"
        )
        yield field.required(f"{path}.properties", text)


def _object_header_errors(schema: JSON, path: str, level: str) -> Iterator[FieldError]:
    """apiVersion, kind and metadata, which every object has, may be restricted in a few ways only."""
    properties = schema.get("properties") or {}
    for name in ("apiVersion", "kind"):
        if name in properties and properties[name].get("type") != "string":
            yield field.invalid(f"{path}.properties[{name}].type", properties[name].get("type", ""), "must be string")
    metadata = properties.get("metadata")
    if metadata is None:
        return
    if metadata.get("type") != "object":
        yield field.invalid(f"{path}.properties[metadata].type", metadata.get("type", ""), "must be object")
    if level == _ROOT:
        named = set(metadata.get("properties") or {}) <= {"name", "generateName"}
        if not named or set(metadata) - {"type", "properties", "default", "description"}:
            text = "must not specify anything other than name and generateName, but metadata is implicitly specified"
            yield field.forbidden(f"{path}.properties[metadata]", text)


def _nested_errors(schema: JSON, path: str, either: bool = False) -> Iterator[FieldError]:
    """validateValueValidation: what is below allOf, anyOf, oneOf and not says nothing about the structure."""
    for key in ("allOf", "anyOf", "oneOf"):
        for index, below in enumerate(schema.get(key) or ()):
            if either and key == "anyOf" and schema[key] == _INT_OR_STRING:
                continue
            first = either and key == "allOf" and index == 0 and below.get("anyOf") == _INT_OR_STRING
            yield from _nested_schema_errors(below, f"{path}.{key}[{index}]", either=first)
    if isinstance(schema.get("not"), dict):
        yield from _nested_schema_errors(schema["not"], f"{path}.not")


def _nested_schema_errors(schema: JSON, path: str, *, either: bool = False) -> Iterator[FieldError]:
    yield from _nested_errors(schema, path, either)
    if isinstance(schema.get("items"), dict):
        yield from _nested_schema_errors(schema["items"], f"{path}.items")
    for name, below in (schema.get("properties") or {}).items():
        if name == "metadata":
            yield field.forbidden(f"{path}.properties[metadata]", "must not be specified in a nested context")
        yield from _nested_schema_errors(below, f"{path}.properties[{name}]")
    for key, text in _ONLY_IN_STRUCTURE.items():
        if schema.get(key) or (key == "default" and key in schema):
            yield field.forbidden(f"{path}.{key}", text)


def _incomplete(nested: JSON, structure: JSON | None, path: str) -> Iterator[FieldError]:
    """validateStructuralCompleteness: every field and list that a junctor speaks of is in the structure as well."""
    for key in ("allOf", "anyOf", "oneOf"):
        for index, below in enumerate(nested.get(key) or ()):
            yield from _incomplete_below(below, structure, f"{path}.{key}[{index}]", path)
    if isinstance(nested.get("not"), dict):
        yield from _incomplete_below(nested["not"], structure, f"{path}.not", path)
    if nested is structure:
        for name, below in (nested.get("properties") or {}).items():
            yield from _incomplete(below, below, f"{path}.properties[{name}]")
        for key in ("items", "additionalProperties"):
            if isinstance(nested.get(key), dict):
                yield from _incomplete(nested[key], nested[key], f"{path}.{key}")


def _incomplete_below(nested: JSON, structure: JSON | None, path: str, at: str) -> Iterator[FieldError]:
    structure = structure or {}
    yield from _incomplete(nested, structure, path)
    if isinstance(nested.get("items"), dict):
        if not isinstance(structure.get("items"), dict):
            yield field.required(f"{at}.items", f"because it is defined in {path}.items")
        else:
            yield from _incomplete_below(nested["items"], structure["items"], f"{path}.items", f"{at}.items")
    for name, below in (nested.get("properties") or {}).items():
        inner = (structure.get("properties") or {}).get(name)
        if inner is None:
            yield field.required(f"{at}.properties[{name}]", f"because it is defined in {path}.properties[{name}]")
        else:
            yield from _incomplete_below(below, inner, f"{path}.properties[{name}]", f"{at}.properties[{name}]")


def _default_errors(schema: JSON, path: str, *, whole: bool = False) -> Iterator[FieldError]:
    """Defaults are values that the schema itself would take (schema/defaulting/validation.go)."""
    where = f"{path}.default"
    if "default" in schema and whole:
        yield field.forbidden(where, "must not be set")
    elif "default" in schema:
        value: Any = clone(schema["default"])
        holder = {"value": value}
        around = {"properties": {"value": schema}}
        if unknown := prune(holder, around):
            text = "must not have unknown fields"
            yield field.invalid(where, schema["default"], f"{text}: {', '.join(unknown)}")
        fill_in(value, schema)
        yield from validate(value, schema, where)
        yield from duplicates(value, schema, where)
    for key in ("items", "additionalProperties"):
        if isinstance(schema.get(key), dict):
            yield from _default_errors(schema[key], f"{path}.{key}")
    for name, below in (schema.get("properties") or {}).items():
        yield from _default_errors(below, f"{path}.properties[{name}]")
