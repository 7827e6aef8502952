"""Rules of names, labels, owners and finalizers."""

from __future__ import annotations

from typing import Any

import pytest

from labcluster.api.objects import JSON
from labcluster.api.resources import CONFIG_MAPS, NAMESPACES, SERVICES, STATEFUL_SETS, Resource
from labcluster.kinds import KINDS, formats, metadata

SERVICE_NAME = (
    "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, "
    "and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation is "
    "'[a-z]([-a-z0-9]*[a-z0-9])?')"
)
LABEL_VALUE = (
    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and "
    "end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is "
    "'(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')"
)


def errors(resource: Resource = CONFIG_MAPS, **fields: Any) -> list[str]:
    meta: JSON = {"name": "x", **({"namespace": "default"} if resource.namespaced else {}), **fields}
    return [str(e) for e in metadata.validate({"metadata": meta}, KINDS[resource])]


def test_sound_metadata_has_no_errors() -> None:
    owner = {"apiVersion": "apps/v1", "kind": "StatefulSet", "name": "web", "uid": "1", "controller": True}
    assert not errors(
        labels={"app": "redis", "example.com/tier": ""},
        annotations={"Example.com/Note": "any text\n"},
        finalizers=["example.com/hold", "foregroundDeletion"],
        ownerReferences=[owner],
        generateName="x-",
    )


@pytest.mark.parametrize(
    ("resource", "name", "bad"),
    [
        (CONFIG_MAPS, "1.web", False),
        (NAMESPACES, "1.web", True),
        (STATEFUL_SETS, "1.web", True),
        (STATEFUL_SETS, "1-web", False),
        (SERVICES, "1-web", True),
        (SERVICES, "web-1", False),
        (CONFIG_MAPS, "Web", True),
        (CONFIG_MAPS, "web\n", True),
        (STATEFUL_SETS, "a" * 64, True),
        (CONFIG_MAPS, "a" * 253, False),
        (CONFIG_MAPS, "a" * 254, True),
    ],
)
def test_the_name_rule_depends_on_the_kind(resource: Resource, name: str, bad: bool) -> None:
    assert bool(errors(resource, name=name)) is bad


def test_a_service_name_starts_with_a_letter() -> None:
    assert errors(SERVICES, name="1x") == [f'metadata.name: Invalid value: "1x": {SERVICE_NAME}']


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"name": ""}, "metadata.name: Required value: name or generateName is required"),
        ({"namespace": ""}, "metadata.namespace: Required value"),
        ({"labels": {"app": "a b"}}, f'metadata.labels: Invalid value: "a b": {LABEL_VALUE}'),
        ({"labels": {"app": "a" * 64}}, f'metadata.labels: Invalid value: "{"a" * 64}": must be no more than 63 bytes'),
        (
            {"labels": {"/app": "a"}},
            'metadata.labels: Invalid value: "/app": prefix part must be non-empty',
        ),
        ({"annotations": {"a": "x" * 262144}}, "metadata.annotations: Too long: may not be more than 262144 bytes"),
        (
            {"finalizers": ["hold"]},
            'metadata.finalizers[0]: Invalid value: "hold": '
            "name is neither a standard finalizer name nor is it fully qualified",
        ),
        (
            {"finalizers": ["orphan", "foregroundDeletion"]},
            'metadata.finalizers: Invalid value: ["orphan","foregroundDeletion"]: '
            "finalizer orphan and foregroundDeletion cannot be both set",
        ),
        (
            {"ownerReferences": [{"apiVersion": "v1", "kind": "Pod", "name": "p"}]},
            'metadata.ownerReferences.uid: Invalid value: "": uid must not be empty',
        ),
    ],
)
def test_metadata_is_refused(fields: JSON, expected: str) -> None:
    assert errors(**fields) == [expected]


def test_one_controller_at_most() -> None:
    owners = [{"apiVersion": "v1", "kind": "Pod", "name": name, "uid": name, "controller": True} for name in ("a", "b")]
    (error,) = errors(ownerReferences=owners)
    assert error.endswith(
        'Only one reference can have Controller set to true. Found "true" in references for Pod/a and Pod/b'
    )


def test_a_deleted_object_takes_no_new_finalizer() -> None:
    old = {"metadata": {"name": "x", "deletionTimestamp": "2026-01-01T00:00:00Z", "finalizers": ["a.b/c"]}}
    new = {"metadata": {**old["metadata"], "finalizers": ["a.b/c", "a.b/d"]}}  # type: ignore[dict-item]
    (error,) = metadata.validate_update(new, old, KINDS[CONFIG_MAPS])
    assert str(error) == (
        "metadata.finalizers: Forbidden: no new finalizers can be added if the object is being deleted, "
        'found new finalizers []string{"a.b/d"}'
    )


@pytest.mark.parametrize(
    ("selector", "expected"),
    [
        (
            {"matchExpressions": [{"key": "a", "operator": "Like"}]},
            'operator: Invalid value: "Like": not a valid selector operator',
        ),
        (
            {"matchExpressions": [{"key": "a", "operator": "In"}]},
            "values: Required value: must be specified when `operator` is 'In' or 'NotIn'",
        ),
        (
            {"matchExpressions": [{"key": "a", "operator": "Exists", "values": ["b"]}]},
            "values: Forbidden: may not be specified when `operator` is 'Exists' or 'DoesNotExist'",
        ),
    ],
)
def test_a_malformed_selector_is_refused(selector: JSON, expected: str) -> None:
    assert [str(e) for e in metadata.validate_label_selector(selector, "spec.selector")] == [
        f"spec.selector.matchExpressions[0].{expected}"
    ]


@pytest.mark.parametrize(
    ("rule", "value", "message"),
    [
        (formats.port_name, "a" * 16, "must be no more than 15 bytes"),
        (formats.port_name, "1-2", "must contain at least one letter (a-z)"),
        (formats.port_name, "a--b", "must not contain consecutive hyphens"),
        (formats.config_key, "..", "must not be '..'"),
        (formats.config_key, "..a", "must not start with '..'"),
        (
            formats.environment_name,
            "A=B",
            "a valid environment variable name must consist only of printable ASCII characters other than '='",
        ),
    ],
)
def test_other_formats(rule: Any, value: str, message: str) -> None:
    assert rule(value) == [message]
