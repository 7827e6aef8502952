"""Validation of CustomResourceDefinitions (upstream: pkg/apis/apiextensions/validation/validation.go)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from labcluster.api import field
from labcluster.api.field import FieldError
from labcluster.api.objects import JSON, annotations_of
from labcluster.kinds import formats
from labcluster.kinds.metadata import IMMUTABLE
from labcluster.schema.structural import jsonpath
from labcluster.schema.structural.definition import schema_errors
from labcluster.schema.structural.rules import has_rules, rule_errors

APPROVED = "api-approved.kubernetes.io"  # the annotation without which no group of Kubernetes itself may be used

_SCOPES = ["Cluster", "Namespaced"]
_COLUMN_TYPES = ["boolean", "date", "integer", "number", "string"]
_COLUMN_FORMATS = ["byte", "date", "date-time", "double", "float", "int32", "int64", "password"]
_PROTECTED = ("k8s.io", "kubernetes.io")
_MIXED_CASE = "may have mixed case, but should otherwise match: "
_MOST_SELECTABLE = 8


def validate(crd: JSON) -> list[FieldError]:
    """Errors of a definition (ValidateCustomResourceDefinition)."""
    spec = crd["spec"]
    wanted = f"{spec['names'].get('plural', '')}.{spec.get('group', '')}"
    name = crd["metadata"].get("name", "")
    errors = []
    if name != wanted:
        errors.append(field.invalid("metadata.name", name, 'must be spec.names.plural+"."+spec.group'))
    return [*errors, *_spec(spec), *_approval(crd)]


def validate_update(new: JSON, old: JSON, *, established: bool) -> list[FieldError]:
    """Errors of a change (ValidateCustomResourceDefinitionUpdate)."""
    after, before = new["spec"], old["spec"]
    errors = [*_spec(after, before), *_approval(new, old)]
    fixed = [("group",), ("names", "plural")]
    if established:
        fixed += [("scope",), ("names", "kind")]
    for path in fixed:
        value, was = _at(after, path), _at(before, path)
        if value != was:
            errors.append(field.invalid(".".join(("spec", *path)), value, IMMUTABLE))
    return errors + stored_versions(new)


def stored_versions(crd: JSON) -> list[FieldError]:
    """A version that objects may be stored in cannot be taken away."""
    known = [v.get("name") for v in crd["spec"].get("versions") or ()]
    path = "status.storedVersions"
    stored = (crd.get("status") or {}).get("storedVersions") or []
    return [
        field.invalid(f"{path}[{index}]", version, "must appear in spec.versions")
        for index, version in enumerate(stored)
        if version not in known
    ]


def _at(value: JSON, path: tuple[str, ...]) -> Any:
    for name in path:
        value = value.get(name) or {}
    return value or ""


def _approval(crd: JSON, old: JSON | None = None) -> Iterator[FieldError]:
    """Groups of Kubernetes itself need the approval of its reviewers (validateAPIApproval)."""
    if not is_protected(crd["spec"].get("group", "")):
        return
    value = annotations_of(crd).get(APPROVED)
    if old is not None and value == annotations_of(old).get(APPROVED):
        return
    path = f"metadata.annotations[{APPROVED}]"
    more = "see https://github.com/kubernetes/enhancements/pull/1111"
    if not value:
        yield field.required(path, f'protected groups must have approval annotation "{APPROVED}", {more}')
    elif not value.startswith(("http://", "https://", "unapproved")):
        text = f'protected groups must have approval annotation "{APPROVED}" with either a URL or a reason starting '
        yield field.invalid(path, value, f'{text}with "unapproved", {more}')


def is_protected(group: str) -> bool:
    """Whether a group is one of Kubernetes itself."""
    return any(group == domain or group.endswith(f".{domain}") for domain in _PROTECTED)


def _spec(spec: JSON, old: JSON | None = None) -> Iterator[FieldError]:
    yield from _group(spec.get("group", ""))
    scope = spec.get("scope")
    if not scope:
        yield field.required("spec.scope")
    elif scope not in _SCOPES:
        yield field.not_supported("spec.scope", scope, _SCOPES)
    if spec.get("preserveUnknownFields"):
        yield field.invalid("spec.preserveUnknownFields", True, "must be false")
    versions = spec.get("versions") or []
    before = {v.get("name"): v for v in (old or {}).get("versions") or ()}
    for index, version in enumerate(versions):
        yield from _version(version, f"spec.versions[{index}]", before.get(version.get("name")))
    if len({v.get("name") for v in versions}) < len(versions):
        yield field.invalid("spec.versions", versions, "must contain unique version names")
    if sum(bool(v.get("storage")) for v in versions) != 1:
        yield field.invalid("spec.versions", versions, "must have exactly one version marked as storage version")
    yield from _names(spec["names"])
    strategy = spec["conversion"]["strategy"]
    if strategy not in ("None", "Webhook"):
        yield field.not_supported("spec.conversion.strategy", strategy, ["None", "Webhook"])
    elif strategy == "None" and spec["conversion"].get("webhook"):
        text = "should not be set when strategy is not set to Webhook"
        yield field.forbidden("spec.conversion.webhook", text)


def _group(group: str) -> Iterator[FieldError]:
    if not group:
        yield field.required("spec.group")
    elif wrong := formats.subdomain(group):
        yield field.invalid("spec.group", group, ",".join(wrong))
    elif "." not in group:
        yield field.invalid("spec.group", group, "should be a domain with at least one dot")


def _names(given: JSON) -> Iterator[FieldError]:
    for key in ("plural", "singular", "kind", "listKind"):
        name = given.get(key)
        if not name:
            yield field.required(f"spec.names.{key}")
            continue
        mixed = key in ("kind", "listKind")
        if wrong := formats.label_1035(name.lower() if mixed else name):
            yield field.invalid(f"spec.names.{key}", name, (_MIXED_CASE if mixed else "") + ",".join(wrong))
    for key in ("shortNames", "categories"):
        for index, name in enumerate(given.get(key) or ()):
            if wrong := formats.label_1035(name):
                yield field.invalid(f"spec.names.{key}[{index}]", name, ",".join(wrong))
    if given.get("kind") and given.get("kind") == given.get("listKind"):
        yield field.invalid("spec.names.listKind", given["listKind"], "kind and listKind may not be the same")


def _version(version: JSON, path: str, old: JSON | None) -> Iterator[FieldError]:
    if wrong := formats.label_1035(version.get("name", "")):
        yield field.invalid(f"{path}.name", version.get("name", ""), ",".join(wrong))
    if version.get("deprecationWarning") and not version.get("deprecated"):
        text = "can only be set for deprecated versions"
        yield field.invalid(f"{path}.deprecationWarning", version["deprecationWarning"], text)
    where = f"{path}.schema.openAPIV3Schema"
    schema = (version.get("schema") or {}).get("openAPIV3Schema")
    if schema is None:
        yield field.required(where, "schemas are required")
    elif old is None or schema != (old.get("schema") or {}).get("openAPIV3Schema"):
        errors = schema_errors(schema, where)
        yield from errors
        if not errors and has_rules(schema):
            yield from rule_errors(schema, where)
    yield from _subresources(version.get("subresources") or {}, f"{path}.subresources")
    for index, column in enumerate(version.get("additionalPrinterColumns") or ()):
        yield from _column(column, f"{path}.additionalPrinterColumns[{index}]")
    yield from _selectable(version.get("selectableFields") or [], schema or {}, f"{path}.selectableFields")


def _subresources(given: JSON, path: str) -> Iterator[FieldError]:
    scale = given.get("scale")
    if scale is None:
        return
    for key, below in (("specReplicasPath", ".spec."), ("statusReplicasPath", ".status."), ("labelSelectorPath", "")):
        value, where = scale.get(key, ""), f"{path}.scale.{key}"
        if not value and key != "labelSelectorPath":
            yield field.required(where)
        elif value and not jsonpath.is_simple(value):
            yield field.invalid(where, value, "should be a simple json path")
        elif value and not value.startswith(below or (".spec.", ".status.")):
            under = "either .status or .spec" if not below else below.rstrip(".")
            yield field.invalid(where, value, f"should be a json path under {under}")


def _column(column: JSON, path: str) -> Iterator[FieldError]:
    if not column.get("name"):
        yield field.required(f"{path}.name")
    kind, form = column.get("type"), column.get("format")
    if not kind:
        yield field.required(f"{path}.type", "must be one of " + ",".join(_COLUMN_TYPES))
    elif kind not in _COLUMN_TYPES:
        yield field.invalid(f"{path}.type", kind, "must be one of " + ",".join(_COLUMN_TYPES))
    if form and form not in _COLUMN_FORMATS:
        yield field.invalid(f"{path}.format", form, "must be one of " + ",".join(_COLUMN_FORMATS))
    text, where = column.get("jsonPath"), f"{path}.jsonPath"
    if not text:
        yield field.required(where)
        return
    try:
        jsonpath.parse(text)
    except ValueError as error:
        yield field.invalid(where, text, str(error))


def _selectable(fields: list[JSON], schema: JSON, path: str) -> Iterator[FieldError]:
    if len(fields) > _MOST_SELECTABLE:
        yield field.too_many(path, len(fields), _MOST_SELECTABLE)
    seen = set()
    for index, entry in enumerate(fields):
        text, where = entry.get("jsonPath", ""), f"{path}[{index}].jsonPath"
        if not text:
            yield field.required(where)
        elif not jsonpath.is_simple(text):
            yield field.invalid(where, text, "is an invalid path: should be a simple json path")
        elif text.startswith(".metadata."):
            yield field.invalid(where, text, "must not point to fields in metadata")
        elif text in seen:
            yield field.duplicate(where, text)
        else:
            kind = _schema_at(schema, text).get("type")
            if kind not in ("string", "boolean", "integer"):
                yield field.invalid(where, text, "must point to a field of type string, boolean or integer")
        seen.add(text)


def _schema_at(schema: JSON, path: str) -> JSON:
    for name in path.removeprefix(".").split("."):
        schema = (schema.get("properties") or {}).get(name) or {}
    return schema
