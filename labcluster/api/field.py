"""Errors of single fields with the texts of apimachinery's `field` package (util/validation/field/errors.go)."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class FieldError:
    """What is wrong with one field: its path, the cause's reason, and the text after the path."""

    path: str
    reason: str  # the CauseType of the Status: FieldValueInvalid, FieldValueRequired ...
    text: str

    def __str__(self) -> str:
        return f"{self.path}: {self.text}"


def _value(value: Any) -> str:
    """A value as field.Error prints it: strings quoted, the rest as JSON."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _with(head: str, detail: str) -> str:
    return f"{head}: {detail}" if detail else head


def required(path: str, detail: str = "") -> FieldError:
    """The field must be given."""
    return FieldError(path, "FieldValueRequired", _with("Required value", detail))


def invalid(path: str, value: Any, detail: str) -> FieldError:
    """The field's value is malformed or out of range."""
    return FieldError(path, "FieldValueInvalid", _with(f"Invalid value: {_value(value)}", detail))


def not_supported(path: str, value: Any, supported: list[str]) -> FieldError:
    """The value is none of the enumerated ones."""
    names = ", ".join(_value(v) for v in supported)
    return FieldError(path, "FieldValueNotSupported", f"Unsupported value: {_value(value)}: supported values: {names}")


def forbidden(path: str, detail: str) -> FieldError:
    """The field may not be set, or not be changed, here."""
    return FieldError(path, "FieldValueForbidden", _with("Forbidden", detail))


def duplicate(path: str, value: Any) -> FieldError:
    """The value occurs twice in a list of unique values."""
    return FieldError(path, "FieldValueDuplicate", f"Duplicate value: {_value(value)}")


def not_found(path: str, value: Any) -> FieldError:
    """The value names something that is not there."""
    return FieldError(path, "FieldValueNotFound", f"Not found: {_value(value)}")


def too_long(path: str, max_length: int) -> FieldError:
    """The value has too many bytes."""
    return FieldError(path, "FieldValueTooLong", f"Too long: may not be more than {max_length} bytes")


def too_many(path: str, actual: int, maximum: int) -> FieldError:
    """The list has too many items."""
    return FieldError(path, "FieldValueTooMany", f"Too many: {actual}: must have at most {maximum} items")
