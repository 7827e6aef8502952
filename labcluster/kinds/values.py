"""Checks of single values that many kinds share (apimachinery api/validation, pkg/apis/core/validation)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

from labcluster.api import field
from labcluster.api.field import FieldError
from labcluster.api.objects import JSON
from labcluster.kinds import formats

NOT_NEGATIVE = "must be greater than or equal to 0"


def not_negative(obj: JSON, keys: Iterable[str], path: str) -> list[FieldError]:
    """The numbers under these keys, where they are given, are not below 0."""
    wrong = [(key, obj[key]) for key in keys if isinstance(obj.get(key), int) and obj[key] < 0]
    return [field.invalid(f"{path}.{key}", value, NOT_NEGATIVE) for key, value in wrong]


def one_of(value: Any, supported: Sequence[str], path: str) -> list[FieldError]:
    """The value is given and is one of the supported ones."""
    if value in (None, ""):
        return [field.required(path)]
    return [] if value in supported else [field.not_supported(path, value, list(supported))]


def required(obj: JSON, key: str, path: str) -> list[FieldError]:
    """The field under that key is given and not empty."""
    return [] if obj.get(key) not in (None, "", [], {}) else [field.required(f"{path}.{key}")]


def formatted(value: Any, messages: list[str], path: str) -> list[FieldError]:
    """One error for each message about the value's format."""
    return [field.invalid(path, value, message) for message in messages]


def port_number_or_name(value: Any, path: str) -> list[FieldError]:
    """A port as a number or as the name of a container's port."""
    if isinstance(value, str):
        return formatted(value, formats.port_name(value), path)
    return formatted(value or 0, formats.port_number(value or 0), path)


def int_or_percent(value: Any, path: str) -> list[FieldError]:
    """A number that is not negative, or a percentage up to any height (ValidatePositiveIntOrPercent)."""
    if isinstance(value, str):
        if not re.fullmatch(r"[0-9]+%", value):
            return [field.invalid(path, value, "must be an integer or percentage (e.g '5%')")]
        return []
    return [field.invalid(path, value, NOT_NEGATIVE)] if isinstance(value, int) and value < 0 else []


def not_above_100_percent(value: Any, path: str) -> list[FieldError]:
    """A percentage, if it is one, is at most 100 %."""
    if isinstance(value, str) and re.fullmatch(r"[0-9]+%", value) and int(value[:-1]) > 100:
        return [field.invalid(path, value, "must not be greater than 100%")]
    return []


def is_zero(value: Any) -> bool:
    """Whether an int-or-percent stands for none at all."""
    return value in (None, 0, "0", "0%")
