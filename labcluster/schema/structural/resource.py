"""A resource that a CustomResourceDefinition brings, in one of its versions."""

from __future__ import annotations

import functools
from dataclasses import dataclass, field
from typing import ClassVar

from labcluster.api.objects import JSON
from labcluster.api.resources import Resource
from labcluster.schema.definitions import Type
from labcluster.schema.structural.types import type_of_objects


@dataclass(frozen=True, eq=False)
class CustomResource(Resource):
    """One version of a custom resource, with the schema of its objects."""

    custom: ClassVar[bool] = True

    singular_name: str = ""
    list_kind_name: str = ""
    deprecation: str = ""  # the warning that every request on this version gets
    schema: JSON = field(default_factory=dict, repr=False)

    @functools.cached_property
    def type(self) -> Type:
        """The type of the objects, for server-side apply."""
        return type_of_objects(self.schema)

    @property
    def singular(self) -> str:
        """The singular name, as discovery gives it."""
        return self.singular_name

    @property
    def list_kind(self) -> str:
        """The kind of a list of the objects."""
        return self.list_kind_name
