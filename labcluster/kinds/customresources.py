"""Custom resources: a kind made of each version of a CustomResourceDefinition.

Upstream: apiextensions-apiserver pkg/registry/customresource/{strategy,validator}.go and tableconvertor.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from labcluster.api import field
from labcluster.api.field import FieldError
from labcluster.api.objects import JSON
from labcluster.kinds.formats import dns_subdomain
from labcluster.kinds.kind import Column, Kind
from labcluster.kinds.metadata import validate_object_meta
from labcluster.kinds.printing import translate_timestamp
from labcluster.kinds.scale_subresource import ScalePaths
from labcluster.schema.decoding import decode_metadata
from labcluster.schema.structural import jsonpath, rules
from labcluster.schema.structural.defaulting import fill_in
from labcluster.schema.structural.lists import duplicates
from labcluster.schema.structural.pruning import prune
from labcluster.schema.structural.resource import CustomResource
from labcluster.schema.structural.validation import MISSING, TYPE_INVALID, child, validate

_BLOCKING = ("FieldValueRequired", "FieldValueTooLong", "FieldValueTooMany", TYPE_INVALID)
_NAME = "Name must be unique within a namespace."
_AGE = {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"}
_AGE_TEXT = "CreationTimestamp is a timestamp representing the server time when this object was created."


class CustomResourceKind(Kind):
    """The behaviour of a custom resource in one version."""

    tracks_generation = True

    def __init__(self, resource: CustomResource, version: JSON) -> None:
        """`version` is the entry of spec.versions."""
        self.resource: CustomResource = resource  # type: ignore[misc]  # of the instance: there is one for each version
        self._schema = resource.schema
        self._has_rules = rules.has_rules(resource.schema)
        self._selectable = [entry["jsonPath"] for entry in version.get("selectableFields") or ()]
        given = version.get("additionalPrinterColumns") or [{**_AGE, "description": _AGE_TEXT}]
        self._paths = [(entry["type"], entry["jsonPath"]) for entry in given]
        self.columns: Sequence[Column] = (  # type: ignore[misc]
            Column("Name", format="name", description=_NAME),
            *(_column(entry) for entry in given),
        )
        scale = (version.get("subresources") or {}).get("scale")
        if scale:
            self.scale_paths = ScalePaths(
                scale["specReplicasPath"], scale["statusReplicasPath"], scale.get("labelSelectorPath", ""), custom=True
            )

    def default(self, obj: JSON) -> None:
        """Prune what the schema does not have and fill in what it has defaults for."""
        prune(obj, self._schema)
        fill_in(obj, self._schema)

    def default_status(self, obj: JSON) -> None:
        """The same: a status is part of the object, and of its schema."""
        self.default(obj)

    def merged(self, given: JSON, old: JSON, subresource: str) -> JSON:
        """A write without a status takes it away: unlike Go's types, these may have none."""
        new = super().merged(given, old, subresource)
        if subresource == "status" and "status" not in given:
            new.pop("status", None)
        return new

    def validate(self, obj: JSON) -> list[FieldError]:
        """Errors of an object against the schema and its rules."""
        return self._errors(obj, MISSING)

    def validate_update(self, new: JSON, old: JSON) -> list[FieldError]:
        """Errors of a change; what it leaves as it was is not checked again."""
        return self._errors(new, old)

    def validate_status_update(self, new: JSON, old: JSON) -> list[FieldError]:
        """The same: a status is part of the object."""
        return self._errors(new, old)

    def _errors(self, obj: JSON, old: Any) -> list[FieldError]:
        errors = validate(obj, self._schema, old=old)
        errors += duplicates(obj, self._schema)
        errors += _embedded_errors(obj, self._schema)
        if not self._has_rules:
            return errors
        if any(error.reason in _BLOCKING for error in errors):
            return [*errors, field.invalid("<nil>", "null", rules.UNCHECKED)]
        return errors + rules.check(obj, self._schema, old)

    def fields(self, obj: JSON) -> dict[str, str]:
        """The selectableFields, as texts."""
        return {path.removeprefix("."): _text(jsonpath.at(path, obj)) for path in self._selectable}

    def cells(self, obj: JSON) -> list[Any]:
        """The name and what the additionalPrinterColumns lead to."""
        return [obj["metadata"]["name"], *(_cell(kind, path, obj) for kind, path in self._paths)]


def versions_of(crd: JSON) -> dict[str, CustomResourceKind]:
    """The kinds of a definition whose names are accepted, by version, unserved versions included."""
    spec, names = crd["spec"], crd["status"]["acceptedNames"]
    kinds = {}
    for version in spec["versions"]:
        given = version.get("subresources") or {}
        warning = version.get("deprecationWarning") or (
            f"{spec['group']}/{version['name']} {names['kind']} is deprecated"
        )
        resource = CustomResource(
            spec["group"],
            version["name"],
            names["plural"],
            names["kind"],
            spec["scope"] == "Namespaced",
            tuple(names.get("shortNames") or ()),
            tuple(names.get("categories") or ()),
            tuple(name for name in ("status", "scale") if name in given),
            singular_name=names["singular"],
            list_kind_name=names["listKind"],
            deprecation=warning if version.get("deprecated") else "",
            schema=version["schema"]["openAPIV3Schema"],
        )
        kinds[version["name"]] = CustomResourceKind(resource, version)
    return kinds


def _column(entry: JSON) -> Column:
    described = f"Custom resource definition column (in JSONPath format): {entry['jsonPath']}"
    return Column(
        entry["name"],
        entry["type"],
        entry.get("format", ""),
        entry.get("description") or described,
        entry.get("priority", 0),
    )


def _cell(kind: str, path: str, obj: JSON) -> Any:
    """cellForJSONValue: null where there is nothing, or something of another type."""
    try:
        value = jsonpath.first(path, obj)
    except jsonpath.TooManyVisits:
        return "<too many values>"
    if value is None:
        return None
    if kind == "string":
        return jsonpath.shown(value)
    if kind == "date":
        try:
            return translate_timestamp(value) if isinstance(value, str) else None
        except ValueError:
            return "<invalid>"
    if kind == "boolean":
        return value if isinstance(value, bool) else None
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    if kind == "number":
        return float(value)
    return int(value) if -(2**63) <= value < 2**63 else None


def _text(value: Any) -> str:
    return "" if value is None else jsonpath.shown(value)


def _embedded_errors(value: Any, schema: JSON, path: str = "") -> list[FieldError]:
    """Objects within the object are held to what every object has (schema/objectmeta/validation.go)."""
    errors: list[FieldError] = []
    if isinstance(value, list):
        for index, item in enumerate(value):
            errors += _embedded_errors(item, schema.get("items") or {}, f"{path}[{index}]")
    elif isinstance(value, dict):
        if schema.get("x-kubernetes-embedded-resource"):
            errors += _header_errors(value, path)
        properties: JSON = schema.get("properties") or {}
        more = schema.get("additionalProperties")
        for name, item in value.items():
            below = properties.get(name, more)
            if isinstance(below, dict) and isinstance(item, (dict, list)):
                errors += _embedded_errors(item, below, child(path, name))
    return errors


def _header_errors(value: JSON, path: str) -> list[FieldError]:
    errors: list[FieldError] = []
    for key in ("apiVersion", "kind"):
        if not value.get(key):
            errors.append(field.required(f"{path}.{key}", "must not be empty"))
        elif not isinstance(value[key], str):
            errors.append(field.invalid(f"{path}.{key}", value[key], "must be string"))
    metadata, where = value.get("metadata"), f"{path}.metadata"
    if metadata is None:
        return errors
    normal, _, wrong = decode_metadata(metadata)
    if wrong:
        return [*errors, field.invalid(where, metadata, wrong[0])]
    return errors + validate_object_meta(
        {"name": "fake", **normal}, dns_subdomain, bool(normal.get("namespace")), where
    )
