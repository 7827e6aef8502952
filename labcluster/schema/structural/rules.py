"""The validation rules of a schema (x-kubernetes-validations), evaluated by the CEL runtime of the language's authors.

Upstream: apiextensions-apiserver pkg/apiserver/schema/cel/{compilation,validation,values}.go and apiserver pkg/cel.
The library, and rule_functions with it, is loaded when the first rule is: most clusters have none.
"""

from __future__ import annotations

import datetime as dt
import functools
import re
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from labcluster.api import field
from labcluster.api.field import FieldError
from labcluster.api.objects import JSON
from labcluster.api.times import DURATION_UNITS, parse_time
from labcluster.schema.structural.validation import MISSING, child, correlated

if TYPE_CHECKING:
    from cel_expr_python import cel

    from labcluster.schema.structural.rule_functions import TypeName

UNCHECKED = (
    "some validation rules were not checked because the object was invalid; "
    "correct the existing errors to complete validation"
)

_REASONS: dict[str, Callable[[str, Any, str], FieldError]] = {
    "FieldValueInvalid": field.invalid,
    "FieldValueForbidden": lambda path, value, text: field.forbidden(path, text),
    "FieldValueRequired": lambda path, value, text: field.required(path, text),
    "FieldValueDuplicate": lambda path, value, text: field.duplicate(path, value),
}
_RESERVED = re.compile(
    "true|false|null|in|as|break|const|continue|else|for|function|if|import|let|loop|package|namespace|return"
)
_ESCAPES = re.compile(r"__|[.\-/]")
_ESCAPED = {"__": "__underscores__", ".": "__dot__", "-": "__dash__", "/": "__slash__"}
_CODES = re.compile(r"^[A-Z_]+: | \[[A-Z_]+\]$")  # the runtime's status codes, around its message
_OLD = re.compile(r"\boldSelf\b")
_OPTIONAL_OLD = "cel.bind(oldSelf, hasOld ? optional.of(old) : optional.none(), ({}))"
_GO_DURATION = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(ns|us|µs|ms|s|m|h)")


def rule_errors(schema: JSON, path: str) -> list[FieldError]:
    """What is wrong with the rules of a schema: they do not compile, or use oldSelf where nothing is correlated."""
    return list(_definition_errors(schema, path, ""))


def _definition_errors(schema: JSON, path: str, uncorrelated: str) -> Iterator[FieldError]:
    for index, rule in enumerate(schema.get("x-kubernetes-validations") or ()):
        where = f"{path}.x-kubernetes-validations[{index}]"
        text = rule.get("rule", "").strip()
        if not text:
            yield field.required(f"{where}.rule", "rule is not specified")
            continue
        if uncorrelated and _OLD.search(text):
            why = f"oldSelf cannot be used on the uncorrelatable portion of the schema within {uncorrelated}"
            yield field.invalid(f"{where}.rule", text, why)
        if rule.get("reason") not in (None, "", *_REASONS):
            yield field.not_supported(f"{where}.reason", rule["reason"], sorted(_REASONS))
        for name, wanted in (("rule", "bool"), ("messageExpression", "string")):
            if rule.get(name):
                try:
                    returned = _compiled(_source(rule, name), _type_name(schema)).return_type().name().lower()
                except ValueError as error:
                    yield field.invalid(f"{where}.{name}", rule[name], f"compilation failed: {error}")
                else:
                    if returned not in (wanted, "dyn"):
                        yield field.invalid(f"{where}.{name}", rule[name], f"must evaluate to a {wanted}")
    for name, below in (schema.get("properties") or {}).items():
        yield from _definition_errors(below, f"{path}.properties[{name}]", uncorrelated)
    if isinstance(schema.get("additionalProperties"), dict):
        yield from _definition_errors(schema["additionalProperties"], f"{path}.additionalProperties", uncorrelated)
    if isinstance(schema.get("items"), dict):
        lost = uncorrelated or ("" if schema.get("x-kubernetes-list-type") == "map" else path)
        yield from _definition_errors(schema["items"], f"{path}.items", lost)


def has_rules(schema: JSON) -> bool:
    """Whether there is a rule anywhere in a schema."""
    if schema.get("x-kubernetes-validations"):
        return True
    below = [schema.get("items"), schema.get("additionalProperties"), *(schema.get("properties") or {}).values()]
    return any(isinstance(each, dict) and has_rules(each) for each in below)


def check(value: Any, schema: JSON, old: Any = MISSING, path: str = "") -> list[FieldError]:
    """The rules that a valid value breaks. `old` is what it replaces, if it replaces something."""
    errors: list[FieldError] = []
    for rule in schema.get("x-kubernetes-validations") or ():
        error = _check_rule(rule, value, schema, old, path)
        if error is not None:
            errors.append(error)
    if isinstance(value, dict):
        properties: JSON = schema.get("properties") or {}
        more = schema.get("additionalProperties")
        before = old if isinstance(old, dict) else {}
        for name, item in value.items():
            below = properties.get(name, more)
            if isinstance(below, dict):
                errors += check(item, below, before.get(name, MISSING), child(path, name))
    elif isinstance(value, list) and isinstance(schema.get("items"), dict):
        for index, (item, was) in enumerate(zip(value, correlated(value, old, schema), strict=True)):
            errors += check(item, schema["items"], was, f"{path}[{index}]")
    return errors


def _check_rule(rule: JSON, value: Any, schema: JSON, old: Any, path: str) -> FieldError | None:
    """The error of one rule; None when it holds, or does not apply."""
    transition = bool(_OLD.search(rule["rule"])) and not rule.get("optionalOldSelf")
    if old is MISSING and transition:
        return None
    if old is not MISSING and not _OLD.search(rule["rule"]) and value == old:
        return None  # unchanged: a new rule does not prevent other changes (ratcheting)
    try:
        variables = _variables(value, schema, old)
    except (ValueError, ArithmeticError) as error:  # times and durations that Python does not have
        return field.invalid(
            path or "<nil>", schema.get("type", ""), f"{error} evaluating rule: {rule['rule'].strip()}"
        )
    outcome, result = _evaluate(rule, "rule", schema, variables)
    if outcome == "BOOL" and result:
        return None
    kind = schema.get("type", "")
    text = rule.get("message", "").strip() or f"failed rule: {rule['rule'].strip()}"
    where = path + rule.get("fieldPath", "") if path else rule.get("fieldPath", "").removeprefix(".")
    if outcome != "BOOL":
        return field.invalid(where or "<nil>", kind, f"{_CODES.sub('', str(result))} evaluating rule: {text}")
    if rule.get("messageExpression"):
        form, message = _evaluate(rule, "messageExpression", schema, variables)
        if form == "STRING" and message.strip() and "\n" not in message:
            text = message.strip()
    return _REASONS[rule.get("reason") or "FieldValueInvalid"](where or "<nil>", kind, text)


def _evaluate(rule: JSON, name: str, schema: JSON, variables: JSON) -> tuple[str, Any]:
    """The result of an expression of a rule: BOOL or STRING and the value, or ERROR and why."""
    try:
        result = _compiled(_source(rule, name), _type_name(schema)).eval(data=variables)
        return result.type().name(), result.value()
    except (ValueError, RuntimeError, ArithmeticError, TypeError, MemoryError) as error:
        return "ERROR", error


def _source(rule: JSON, name: str) -> str:
    text: str = rule[name].strip()
    return _OPTIONAL_OLD.format(text) if rule.get("optionalOldSelf") and _OLD.search(text) else text


def _variables(value: Any, schema: JSON, old: Any) -> JSON:
    before = None if old is MISSING else _cel_value(old, schema, outermost=True)
    return {
        "self": _cel_value(value, schema, outermost=True),
        "oldSelf": before,
        "old": before,
        "hasOld": old is not MISSING,
    }


def _cel_value(value: Any, schema: JSON, *, outermost: bool = False) -> Any:
    """A value as CEL sees it: reserved names escaped, values of type `number` as floats.

    A time or duration is one only where it is the outermost value: the runtime takes them as a variable only.
    """
    if isinstance(value, dict):
        properties, more = schema.get("properties"), schema.get("additionalProperties")
        if not isinstance(properties, dict):
            return {key: _cel_value(item, more if isinstance(more, dict) else {}) for key, item in value.items()}
        return {escaped(key): _cel_value(item, properties.get(key) or {}) for key, item in value.items()}
    if isinstance(value, list):
        return [_cel_value(item, schema.get("items") or {}) for item in value]
    kind, form = schema.get("type"), schema.get("format")
    if kind == "number" and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if kind == "integer" and isinstance(value, float):
        return int(value)
    if outermost and kind == "string" and isinstance(value, str):
        if form == "date-time":
            return parse_time(value.upper())
        if form == "duration":
            parts = _GO_DURATION.findall(value)
            seconds = sum(float(number) * DURATION_UNITS[unit] for number, unit in parts)
            return dt.timedelta(seconds=-seconds if value.startswith("-") else seconds)
    return value


def escaped(name: str) -> str:
    """The name of a property as rules write it (apiserver pkg/cel/escaping.go)."""
    if _RESERVED.fullmatch(name):
        return f"__{name}__"
    return _ESCAPES.sub(lambda match: _ESCAPED[match[0]], name)


def _type_name(schema: JSON) -> TypeName:
    """The CEL type of a value with that schema; what may be of several types is dyn."""
    kind = schema.get("type")
    if schema.get("nullable") or schema.get("x-kubernetes-int-or-string"):
        return "dyn"
    if kind in ("array", "object"):
        below = schema.get("items" if kind == "array" else "additionalProperties")
        known = isinstance(below, dict) and below.get("format") not in ("date-time", "duration")
        return "list" if kind == "array" else "map", _type_name(below) if known and below else "dyn"
    if kind == "string":
        return {"date-time": "timestamp", "duration": "duration"}.get(schema.get("format", ""), "string")
    return {"integer": "int", "number": "double", "boolean": "bool"}.get(str(kind), "dyn")


@functools.lru_cache(maxsize=2048)
def _compiled(source: str, type_name: TypeName) -> cel.Expression:
    """An expression with `self` of that type. Raises ValueError with the compiler's words."""
    try:
        return _environment(type_name).compile(source)
    except RuntimeError as error:
        raise ValueError(_CODES.sub("", str(error))) from None


@functools.lru_cache(maxsize=256)
def _environment(type_name: TypeName) -> cel.Env:
    from labcluster.schema.structural import rule_functions

    return rule_functions.environment(type_name)
