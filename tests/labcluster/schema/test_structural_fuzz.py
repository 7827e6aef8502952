"""Whatever schema is structural: objects that conform to it are stored as they are, others lose what is unknown."""

from __future__ import annotations

import string
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from labcluster.api.errors import ApiError
from labcluster.api.json_values import clone
from labcluster.api.objects import JSON
from labcluster.api.resources import CUSTOM_RESOURCE_DEFINITIONS, NAMESPACES, Resource
from labcluster.schema.managedfields.apply import apply
from labcluster.schema.managedfields.managers import Manager
from labcluster.schema.schemas import decode
from labcluster.schema.structural.defaulting import fill_in
from labcluster.schema.structural.definition import schema_errors
from labcluster.schema.structural.pruning import prune
from labcluster.schema.structural.validation import validate
from labcluster.storage.registry import Registry
from labcluster.storage.store import Store
from tests.labcluster.custom_objects import cron_tab, definition, establish, version

NAMES = st.sampled_from(["a", "b", "c", "d"])
TEXTS = st.text(string.ascii_lowercase, max_size=4)
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | TEXTS | st.floats(-2, 2),
    lambda below: st.lists(below, max_size=3) | st.dictionaries(NAMES, below, max_size=3),
    max_leaves=8,
)


def scalars() -> st.SearchStrategy[JSON]:
    return st.one_of(
        st.just({"type": "boolean"}),
        st.builds(lambda low: {"type": "integer", "minimum": low, "maximum": low + 4}, st.integers(-3, 3)),
        st.builds(lambda n: {"type": "string", "minLength": n, "maxLength": n + 3}, st.integers(0, 2)),
        st.just({"type": "string", "enum": ["x", "y"]}),
        st.just({"type": "string", "nullable": True}),
        st.just({"x-kubernetes-int-or-string": True}),
        st.just({"x-kubernetes-preserve-unknown-fields": True}),
    )


def containers(below: st.SearchStrategy[JSON]) -> st.SearchStrategy[JSON]:
    return st.one_of(
        st.builds(lambda items: {"type": "array", "items": items, "maxItems": 4}, below),
        st.builds(lambda item: {"type": "object", "additionalProperties": item}, below),
        st.builds(objects, st.dictionaries(NAMES, below, max_size=3), st.sets(NAMES)),
    )


def objects(properties: dict[str, JSON], required: set[str]) -> JSON:
    return {"type": "object", "properties": properties, "required": sorted(required & properties.keys())}


SCHEMAS = st.recursive(scalars(), containers, max_leaves=6)


def conforming(schema: JSON) -> st.SearchStrategy[Any]:
    """Values that a schema takes."""
    if schema.get("x-kubernetes-int-or-string"):
        return st.integers(-5, 5) | TEXTS
    if schema.get("x-kubernetes-preserve-unknown-fields"):
        return ANYTHING
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    match schema["type"]:
        case "boolean":
            return st.booleans()
        case "integer":
            return st.integers(schema["minimum"], schema["maximum"])
        case "string":
            texts = st.text(
                string.ascii_lowercase, min_size=schema.get("minLength", 0), max_size=schema.get("maxLength", 4)
            )
            return texts | st.none() if schema.get("nullable") else texts
        case "array":
            return st.lists(conforming(schema["items"]), max_size=schema["maxItems"])
    if "additionalProperties" in schema:
        return st.dictionaries(NAMES, conforming(schema["additionalProperties"]), max_size=3)
    members = {name: conforming(below) for name, below in schema["properties"].items()}
    required = {name: members.pop(name) for name in schema["required"]}
    return st.fixed_dictionaries(required, optional=members)


def served(spec: JSON) -> tuple[Registry, Resource]:
    schema = {"type": "object", "properties": {"spec": spec}}
    assert schema_errors(schema, "schema") == []
    registry = Registry(Store(":memory:"))
    registry.create(NAMESPACES, {"metadata": {"name": "default"}})
    return registry, establish(registry, definition(version(schema=schema)))


@given(st.data())
@settings(max_examples=120, deadline=None)
def test_what_conforms_is_stored_as_it_is(data: st.DataObject) -> None:
    spec = data.draw(SCHEMAS)
    value = data.draw(conforming(spec))
    registry, resource = served(spec)
    decoded, warnings = decode({**cron_tab(), "spec": value}, resource, "Strict")
    assert warnings == []
    made = registry.create(resource, decoded)
    assert made["spec"] == value
    assert registry.update(resource, clone(made)) == made, "written back as it is, it does not change"
    manager = Manager("x", "Apply", resource.api_version)
    applied, known = apply(None, {**cron_tab(), "spec": value}, {}, manager, resource, force=False)
    assert applied["spec"] == value
    again, same = apply(applied, {**cron_tab(), "spec": value}, known, manager, resource, force=False)
    assert (again, same) == (applied, known)


@given(st.data())
@settings(max_examples=120, deadline=None)
def test_anything_is_stored_without_what_is_unknown_or_refused(data: st.DataObject) -> None:
    spec = data.draw(SCHEMAS)
    value = data.draw(ANYTHING)
    registry, resource = served(spec)
    decoded, _ = decode({**cron_tab(), "spec": value}, resource, "Ignore")
    try:
        made = registry.create(resource, decoded)
    except ApiError as refusal:
        assert refusal.code == 422 and refusal.details["causes"]
        return
    shown = {"spec": clone(made["spec"])} if "spec" in made else {}
    schema = {"type": "object", "properties": {"spec": spec}}
    assert prune(shown, schema) == [], "nothing unknown is stored"
    before = clone(shown)
    fill_in(shown, schema)
    assert shown == before
    assert validate(shown, schema) == []
    assert registry.update(resource, clone(made)) == made


KEYWORDS = (
    *("type", "format", "default", "enum", "pattern", "nullable", "required", "minimum", "maxLength", "properties"),
    *("items", "additionalProperties", "allOf", "anyOf", "oneOf", "not", "title", "uniqueItems", "$ref"),
    *(f"x-kubernetes-{name}" for name in ("list-type", "list-map-keys", "map-type", "int-or-string", "validations")),
    *(f"x-kubernetes-{name}" for name in ("embedded-resource", "preserve-unknown-fields")),
)
WORDS = st.sampled_from(["object", "array", "string", "integer", "map", "set", "atomic", "(", "a", "metadata", "kind"])
WILD = st.recursive(
    st.booleans() | st.integers(-2, 5) | WORDS | st.none(),
    lambda below: (
        st.lists(below, max_size=2)
        | st.dictionaries(st.sampled_from(KEYWORDS), below, max_size=4)
        | st.dictionaries(WORDS, below, max_size=2)
        | st.builds(lambda rule: {"rule": rule}, st.sampled_from(["self", "self == oldSelf", "has(self.a)", "1 +"]))
    ),
    max_leaves=12,
)


@given(st.dictionaries(st.sampled_from(KEYWORDS), WILD, max_size=5))
@settings(max_examples=1500, deadline=None)
def test_any_schema_is_taken_or_refused(schema: JSON) -> None:
    wild = {"type": "object", "properties": {"spec": {"type": "object", "properties": {"x": schema}}}}
    registry = Registry(Store(":memory:"))
    registry.create(NAMESPACES, {"metadata": {"name": "default"}})
    crd = definition(version(schema=wild))
    try:
        decoded, _ = decode(crd, CUSTOM_RESOURCE_DEFINITIONS, "Ignore")
        resource = establish(registry, decoded)
    except ApiError as refusal:
        assert refusal.code in (400, 422)
        return
    try:
        obj, _ = decode({**cron_tab(), "spec": {"x": {"a": [1], "kind": "x"}}}, resource, "Warn")
        registry.create(resource, obj)
    except ApiError as refusal:
        assert refusal.code == 422
