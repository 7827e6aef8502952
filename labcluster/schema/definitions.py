"""The types of the API, compiled from the published schemas: fields, Go type names, how patches merge them.

The schemas of Kubernetes 1.36 come with the package `kubernetes-validate`, as one file of 771 definitions. It is read
once, on first use, and only what the served kinds reach is kept.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib.machinery import PathFinder
from pathlib import Path
from typing import Any

import orjson

from labcluster.api.objects import JSON
from labcluster.api.resources import CUSTOM_RESOURCE_DEFINITIONS, RESOURCES, Resource

_FILE = "kubernetes-json-schema/v1.36.0-local/_definitions.json"
_META = "io.k8s.apimachinery.pkg.apis.meta.v1."
_APIEXTENSIONS = "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1."
# Types that requests and answers use without being resources of their own.
_EXTRA_ROOTS = (
    "io.k8s.api.authentication.v1.SelfSubjectReview",
    "io.k8s.api.authentication.v1.TokenReview",
    "io.k8s.api.authorization.v1.LocalSubjectAccessReview",
    "io.k8s.api.authorization.v1.SelfSubjectAccessReview",
    "io.k8s.api.authorization.v1.SelfSubjectRulesReview",
    "io.k8s.api.authorization.v1.SubjectAccessReview",
    "io.k8s.api.autoscaling.v1.Scale",
    "io.k8s.api.core.v1.ComponentStatusList",
    "io.k8s.api.policy.v1.Eviction",
    _META + "DeleteOptions",
    _META + "Patch",
    _META + "Status",
    _META + "WatchEvent",
)
_SPECIAL = {  # definitions whose Go type reads its JSON by itself: kind of Type, Go name
    "io.k8s.apimachinery.pkg.api.resource.Quantity": ("quantity", "resource.Quantity"),
    "io.k8s.apimachinery.pkg.util.intstr.IntOrString": ("int-or-string", "intstr.IntOrString"),
    _META + "Time": ("time", "v1.Time"),
    _META + "MicroTime": ("time", "v1.MicroTime"),
    _META + "FieldsV1": ("any", "v1.FieldsV1"),
    "io.k8s.apimachinery.pkg.runtime.RawExtension": ("any", "runtime.RawExtension"),
}
_SCHEMA = _APIEXTENSIONS + "JSONSchemaProps"
_SCHEMA_OR = tuple(_SCHEMA + other for other in ("OrArray", "OrBool", "OrStringArray"))  # which are published empty
_SCALARS = {
    ("integer", "int32"): "int32",
    ("integer", "int64"): "int64",
    ("number", "double"): "float64",
    ("boolean", ""): "bool",
    ("string", "byte"): "[]uint8",
    ("string", ""): "string",
}


@dataclass(eq=False)
class Type:
    """What a value may be. `kind` is any, struct, map, array, quantity, int-or-string, time or a Go scalar's name.

    Of kind `schema` are a JSON schema and what may stand in its place: true, a list of schemas or of names.
    """

    kind: str
    go_name: str  # as Go's reflect prints it: int32, []string, v1.PodSpec
    struct: str = ""  # the bare name of a struct, as Go's JSON errors print it
    fields: dict[str, Field] = field(default_factory=dict)  # of a struct
    item: Type | None = None  # of a map or an array; of a struct: of the fields that its schema does not name
    atomic: bool = False  # server-side apply takes a value of this struct as a whole
    custom: bool = False  # of a custom resource: no struct of Go, so nothing is written where nothing was given

    def member(self, key: str) -> Field:
        """The field (of a struct) or the values' type (of a map); ANY_FIELD where the schema says nothing."""
        member = self.fields.get(key)
        if member is None and self.item is not None:
            return Field(self.item)
        return member or ANY_FIELD


@dataclass(eq=False)
class Field:
    """A field of a struct: its type and how strategic merge patches and server-side apply treat it."""

    type: Type
    merge_key: str = ""
    strategies: frozenset[str] = frozenset()  # of merge, replace, retainKeys
    required: bool = False
    list_type: str = ""  # of an array: "map", "set" or "atomic"; "" is atomic
    list_keys: tuple[str, ...] = ()  # what tells the items of a "map" apart
    map_type: str = ""  # of a struct or map: "granular" or "atomic"; "" is as its type says
    key_defaults: dict[str, Any] | None = None  # of a "map": what its keys are where an item leaves them out

    @property
    def is_atomic(self) -> bool:
        """Whether server-side apply takes a struct or map in this field as a whole."""
        return self.type.atomic if not self.map_type else self.map_type == "atomic"


ANY = Type("any", "interface {}")
ANY_FIELD = Field(ANY)


def published() -> Path:
    """The file with the published schemas, in the package kubernetes-validate. Raises RuntimeError where it is missing.

    It is looked for on the path, not imported: the import is slow, and whoever uses the API's client may keep it out.
    """
    spec = PathFinder.find_spec("kubernetes_validate")
    if spec is None or not spec.submodule_search_locations:
        raise RuntimeError("the package kubernetes-validate is missing: make env CLUSTER=embedded installs it")
    return Path(spec.submodule_search_locations[0], _FILE)


@functools.cache
def definitions() -> dict[str, JSON]:
    """The definitions that the served kinds reach, by name (`io.k8s.api.apps.v1.StatefulSet`). Raises RuntimeError."""
    everything: dict[str, JSON] = orjson.loads(published().read_bytes())["$defs"]
    kept: dict[str, JSON] = {}
    pending = [*_EXTRA_ROOTS]
    for resource in RESOURCES:
        name = definition_name(resource)
        pending += [name, name + "List"]
    while pending:
        name = pending.pop()
        if name not in kept and name in everything:
            kept[name] = everything[name]
            pending += references(everything[name])
    return kept


def references(schema: Any) -> Iterator[str]:
    """The names of the definitions that a schema refers to directly."""
    if isinstance(schema, dict):
        target = schema.get("$ref")
        if isinstance(target, str):
            yield target.rpartition("/")[2]
        for value in schema.values():
            yield from references(value)
    elif isinstance(schema, list):
        for value in schema:
            yield from references(value)


def definition_name(resource: Resource) -> str:
    """The name of the definition of a resource's kind."""
    if resource == CUSTOM_RESOURCE_DEFINITIONS:
        return _APIEXTENSIONS + resource.kind
    group = resource.group.partition(".")[0] or "core"
    return f"io.k8s.api.{group}.{resource.version}.{resource.kind}"


def type_of(resource: Resource) -> Type:
    """The compiled type of a built-in resource's kind; ANY for a kind without a schema."""
    name = definition_name(resource)
    return _compile(name) if name in definitions() else ANY


def object_meta() -> Type:
    """The compiled type of metadata."""
    return _compile(_META + "ObjectMeta")


_compiled: dict[str, Type] = {}


def _compile(name: str) -> Type:
    if name in _compiled:
        return _compiled[name]
    if name in _SPECIAL:
        return Type(*_SPECIAL[name])
    if name in _SCHEMA_OR:
        package, union = name.split(".")[-2:]
        return Type("schema", f"{package}.{union}", "JSONSchemaProps", _compile(_SCHEMA).fields)
    schema = definitions()[name]
    package, struct = name.split(".")[-2:]
    if "properties" not in schema:
        return ANY
    result = Type("struct", f"{package}.{struct}", struct, atomic=schema.get("x-kubernetes-map-type") == "atomic")
    _compiled[name] = result  # before its fields: a schema of schemas refers to itself
    required = schema.get("required", ())
    for key, value in schema["properties"].items():
        result.fields[key] = Field(
            _type(value),
            value.get("x-kubernetes-patch-merge-key", ""),
            frozenset(filter(None, value.get("x-kubernetes-patch-strategy", "").split(","))),
            key in required,
            value.get("x-kubernetes-list-type", ""),
            tuple(value.get("x-kubernetes-list-map-keys", ())),
            value.get("x-kubernetes-map-type", ""),
        )
    return result


def _type(schema: JSON) -> Type:
    target = schema.get("$ref")
    if target:
        return _compile(target.rpartition("/")[2])
    kind = json_type(schema)
    if kind == "array":
        item = _type(schema["items"])
        return Type("array", f"[]{item.go_name}", item=item)
    if kind == "object":
        if "additionalProperties" not in schema:
            return ANY
        item = _type(schema["additionalProperties"])
        return Type("map", f"map[string]{item.go_name}", item=item)
    scalar = _SCALARS.get((kind, schema.get("format", "")))
    return Type(scalar, scalar) if scalar else ANY


def json_type(schema: JSON) -> str:
    """The JSON type of a schema; the package writes a nullable one as a list such as ["string", "null"]."""
    kind = schema.get("type", "")
    return str(kind[0]) if isinstance(kind, list) else str(kind)
