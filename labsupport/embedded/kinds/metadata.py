"""Validation of metadata, the same for all kinds (to be filled in)."""

from __future__ import annotations

from labsupport.embedded.field import FieldError
from labsupport.embedded.kinds.kind import Kind
from labsupport.embedded.objects import JSON


def validate(obj: JSON, kind: Kind) -> list[FieldError]:
    """Errors of the object's metadata."""
    return []
