"""Validation of values against a schema, with the texts of kube-openapi (pkg/validation/{errors,validate}).

How the API server words them: apiextensions-apiserver pkg/apiserver/validation/validation.go (ValidateCustomResource).
What an update leaves unchanged is not validated again (ratcheting.go), so a schema that has become stricter does not
prevent changes elsewhere.
"""

from __future__ import annotations

import math
from typing import Any

from labcluster.api import field
from labcluster.api.field import FieldError
from labcluster.api.json_values import equal
from labcluster.api.objects import JSON
from labcluster.schema.structural import formats, patterns

TYPE_INVALID = "FieldValueTypeInvalid"
MISSING: Any = object()

_INT_OR_STRING = ("integer", "string")
_NO_PATH = "<nil>"  # as Go prints the path of an error about the whole


def validate(value: Any, schema: JSON, path: str = "", old: Any = MISSING) -> list[FieldError]:
    """What is wrong with a value. `old` is what it replaces, if it replaces something."""
    if old is not MISSING and equal(value, old):
        return []
    errors = _type_errors(value, schema, path)
    if value is None:
        return errors + _enum_errors(value, schema, path)
    errors += _junctor_errors(value, schema, path, old)
    if isinstance(value, str):
        errors += _string_errors(value, schema, path)
    elif isinstance(value, list):
        errors += _list_errors(value, schema, path, old)
    elif isinstance(value, dict):
        errors += _object_errors(value, schema, path, old)
    elif not isinstance(value, bool):
        errors += _number_errors(value, schema, path)
    return errors + _enum_errors(value, schema, path)


def type_name(value: Any) -> str:
    """The name of a JSON value's type as schemas have it."""
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, float):
        return "integer" if value.is_integer() else "number"
    names = {str: "string", int: "integer", list: "array", dict: "object"}
    return names.get(type(value), "null")


def child(path: str, name: str) -> str:
    """The path of a field."""
    return f"{path}.{name}" if path else name


def _type_errors(value: Any, schema: JSON, path: str) -> list[FieldError]:
    wanted = _INT_OR_STRING if schema.get("x-kubernetes-int-or-string") else (schema.get("type"),)
    if wanted == (None,) or wanted == ("",) or (value is None and schema.get("nullable")):
        return []
    given = type_name(value)
    if given in wanted or (given == "integer" and "number" in wanted):
        return []
    text = f'{path} in body must be of type {",".join(str(w) for w in wanted)}: "{given}"'
    error = field.invalid(path or _NO_PATH, given, text)
    return [FieldError(error.path, TYPE_INVALID, error.text)]


def _enum_errors(value: Any, schema: JSON, path: str) -> list[FieldError]:
    choices = schema.get("enum")
    if not choices or any(equal(value, choice) for choice in choices) or (value is None and schema.get("nullable")):
        return []
    return [field.not_supported(path, value, choices)]


def _string_errors(value: str, schema: JSON, path: str) -> list[FieldError]:
    errors = []
    longest, shortest = schema.get("maxLength"), schema.get("minLength")
    if longest is not None and len(value) > longest:
        errors.append(field.too_long(path, longest))
    if shortest is not None and len(value) < shortest:
        errors.append(_in_body(path, value, f"should be at least {shortest} chars long"))
    pattern = schema.get("pattern")
    if pattern:
        try:
            matches = patterns.matches(pattern, value)
        except patterns.PatternError as why:
            matches, pattern = False, f"{pattern}, but {why}"
        if not matches:
            errors.append(_in_body(path, value, f"should match '{pattern}'"))
    name = schema.get("format")
    if name and schema.get("type") == "string" and not formats.is_valid(value, name):
        error = _in_body(path, value, f'must be of type {name}: "{value}"')
        errors.append(FieldError(path, TYPE_INVALID, error.text))
    return errors


def _number_errors(value: float, schema: JSON, path: str) -> list[FieldError]:
    errors = []
    factor = schema.get("multipleOf")
    if factor and not _is_whole(value / factor):
        errors.append(_in_body(path, value, f"should be a multiple of {_number(factor)}"))
    most, least = schema.get("maximum"), schema.get("minimum")
    if most is not None and (value >= most if schema.get("exclusiveMaximum") else value > most):
        less = "less than" if schema.get("exclusiveMaximum") else "less than or equal to"
        errors.append(_in_body(path, value, f"should be {less} {_number(most)}"))
    if least is not None and (value <= least if schema.get("exclusiveMinimum") else value < least):
        more = "greater than" if schema.get("exclusiveMinimum") else "greater than or equal to"
        errors.append(_in_body(path, value, f"should be {more} {_number(least)}"))
    bits = {"int32": 31, "int64": 63}.get(schema.get("format", ""))
    if bits and schema.get("type") == "integer" and not -(1 << bits) <= value < 1 << bits:
        errors.append(_in_body(path, value, f"must be of type {schema['format']}"))
    return errors


def _is_whole(quotient: float) -> bool:
    return math.isfinite(quotient) and math.isclose(quotient, round(quotient), rel_tol=1e-9, abs_tol=1e-12)


def _list_errors(value: list[Any], schema: JSON, path: str, old: Any) -> list[FieldError]:
    errors = []
    items = schema.get("items")
    if isinstance(items, dict):
        before = correlated(value, old, schema)
        for index, item in enumerate(value):
            errors += validate(item, items, f"{path}[{index}]", before[index])
    most, least = schema.get("maxItems"), schema.get("minItems")
    if least is not None and len(value) < least:
        errors.append(_in_body(path, len(value), f"should have at least {least} items"))
    if most is not None and len(value) > most:
        errors.append(field.too_many(path, len(value), most))
    return errors


def _object_errors(value: JSON, schema: JSON, path: str, old: Any) -> list[FieldError]:
    errors = []
    most, least = schema.get("maxProperties"), schema.get("minProperties")
    if least is not None and len(value) < least:
        errors.append(_in_body(path, len(value), f"should have at least {least} properties"))
    if most is not None and len(value) > most:
        errors.append(field.too_many(path, len(value), most))
    before = old if isinstance(old, dict) else {}
    properties: JSON = schema.get("properties") or {}
    more = schema.get("additionalProperties")
    for name, item in value.items():
        below = properties.get(name, more if isinstance(more, dict) else None)
        if below is not None:
            errors += validate(item, below, child(path, name), before.get(name, MISSING))
        elif more is False and name not in properties:
            errors.append(_in_body(path, "", f"{child(path, name)} in body is a forbidden property", whole=True))
    errors += [field.required(child(path, n)) for n in schema.get("required") or () if n not in value]
    return errors


def _junctor_errors(value: Any, schema: JSON, path: str, old: Any) -> list[FieldError]:
    """allOf, anyOf, oneOf and not."""
    errors: list[FieldError] = []
    if choices := schema.get("anyOf"):
        by_choice = [validate(value, choice, path, old) for choice in choices]
        if all(by_choice):
            errors.append(_about(f'"{path}" must validate at least one schema (anyOf)'))
            errors += _closest(by_choice)
    if choices := schema.get("oneOf"):
        by_choice = [validate(value, choice, path) for choice in choices]
        valid = sum(not problems for problems in by_choice)
        if valid != 1:
            how_many = f"Found {valid} valid alternatives" if valid else "Found none valid"
            errors.append(_about(f'"{path}" must validate one and only one schema (oneOf). {how_many}'))
            errors += [] if valid else _closest(by_choice)
    if choices := schema.get("allOf"):
        by_choice = [validate(value, choice, path, old) for choice in choices]
        for problems in by_choice:
            errors += problems
        if any(by_choice):
            none = ". None validated" if all(by_choice) else ""
            errors.append(_about(f'"{path}" must validate all the schemas (allOf){none}'))
    if "not" in schema and not validate(value, schema["not"], path):
        errors.append(_about(f'"{path}" must not validate the schema (not)'))
    return errors


def _closest(by_choice: list[list[FieldError]]) -> list[FieldError]:
    """The errors of the alternative that has the fewest."""
    return min(by_choice, key=lambda errors: len(errors))


def correlated(value: list[Any], old: Any, schema: JSON) -> list[Any]:
    """For each item of a list the item that it replaces: MISSING unless the list is a map with keys."""
    keys = schema.get("x-kubernetes-list-map-keys")
    if not isinstance(old, list) or schema.get("x-kubernetes-list-type") != "map" or not keys:
        return [MISSING] * len(value)
    before = {_key(item, keys): item for item in old}
    return [before.get(_key(item, keys), MISSING) for item in value]


def _key(item: Any, keys: list[str]) -> str:
    return repr([item.get(key) for key in keys] if isinstance(item, dict) else item)


def _in_body(path: str, value: Any, text: str, *, whole: bool = False) -> FieldError:
    return field.invalid(path or _NO_PATH, value, text if whole else f"{path} in body {text}")


def _about(text: str) -> FieldError:
    return field.invalid(_NO_PATH, "", text)


def _number(value: float) -> str:
    return str(int(value)) if float(value).is_integer() else repr(value)
