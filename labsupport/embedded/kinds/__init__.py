"""The kinds: what each one defaults, admits, validates and prints."""

from __future__ import annotations

import importlib

from labsupport.embedded.kinds.kind import Kind
from labsupport.embedded.resources import RESOURCES, Resource


def _load(resource: Resource) -> Kind:
    try:
        module = importlib.import_module(f"labsupport.embedded.kinds.{resource.plural}")
    except ModuleNotFoundError:
        return Kind()
    return getattr(module, f"{resource.kind}Kind")()


KINDS: dict[Resource, Kind] = {resource: _load(resource) for resource in RESOURCES}
