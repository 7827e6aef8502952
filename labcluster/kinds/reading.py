"""What kinds may read of the other objects, while one of theirs is written: admission and allocation look them up."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from labcluster.api.objects import JSON
from labcluster.api.resources import Resource


class Reader(Protocol):
    """The stored objects. They are shared: clone before changing."""

    def find(self, resource: Resource, namespace: str, name: str) -> JSON | None:
        """The object, or None. `namespace` is "" for cluster-scoped resources."""

    def list(self, resource: Resource) -> Sequence[JSON]:
        """The objects of all namespaces."""
