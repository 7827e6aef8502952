"""The kinds: what each one defaults, admits, validates and prints."""

from __future__ import annotations

import importlib

from labsupport.embedded.kinds.kind import Kind
from labsupport.embedded.resources import RESOURCES, Resource


def _load(resource: Resource) -> Kind:
    try:
        module = importlib.import_module(f"labsupport.embedded.kinds.{resource.plural}")
        found: type[Kind] = getattr(module, f"{resource.kind}Kind")
    except (ModuleNotFoundError, AttributeError):
        found = type(f"{resource.kind}Kind", (Kind,), {"resource": resource})
    return found()


KINDS: dict[Resource, Kind] = {resource: _load(resource) for resource in RESOURCES}
