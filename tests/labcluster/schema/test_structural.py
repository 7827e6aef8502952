"""Structural schemas: what is refused and how it is worded, defaults, pruning, lists, JSONPath."""

from __future__ import annotations

from typing import Any

import pytest

from labcluster.api.json_values import clone
from labcluster.api.objects import JSON
from labcluster.schema.definitions import Field, Type
from labcluster.schema.managedfields.values import field_set
from labcluster.schema.structural import jsonpath
from labcluster.schema.structural.defaulting import fill_in
from labcluster.schema.structural.definition import schema_errors
from labcluster.schema.structural.lists import duplicates
from labcluster.schema.structural.pruning import prune
from labcluster.schema.structural.types import type_of_objects
from labcluster.schema.structural.validation import validate
from tests.labcluster.custom_objects import SCHEMA, SPEC

STRING, INTEGER = {"type": "string"}, {"type": "integer"}


def of_objects(name: str, below: JSON) -> JSON:
    return {"type": "object", "properties": {name: below}}


@pytest.mark.parametrize(
    ("schema", "value", "texts"),
    [
        (INTEGER, "x", ['s: Invalid value: "string": s in body must be of type integer: "string"']),
        (INTEGER, 1.5, ['s: Invalid value: "number": s in body must be of type integer: "number"']),
        (INTEGER, True, ['s: Invalid value: "boolean": s in body must be of type integer: "boolean"']),
        (INTEGER, 2.0, []),
        ({"type": "number"}, 2, []),
        (STRING, None, ['s: Invalid value: "null": s in body must be of type string: "null"']),
        ({**STRING, "nullable": True}, None, []),
        ({"type": "object"}, [], ['s: Invalid value: "array": s in body must be of type object: "array"']),
        ({"x-kubernetes-int-or-string": True}, 1, []),
        ({"x-kubernetes-int-or-string": True}, "80%", []),
        (
            {"x-kubernetes-int-or-string": True},
            False,
            ['s: Invalid value: "boolean": s in body must be of type integer,string: "boolean"'],
        ),
        ({**STRING, "enum": ["a", "b"]}, "c", ['s: Unsupported value: "c": supported values: "a", "b"']),
        (
            {**INTEGER, "enum": [1]},
            True,
            [
                's: Invalid value: "boolean": s in body must be of type integer: "boolean"',
                "s: Unsupported value: true: supported values: 1",
            ],
        ),
        ({**INTEGER, "minimum": 1}, 0, ["s: Invalid value: 0: s in body should be greater than or equal to 1"]),
        ({**INTEGER, "maximum": 9}, 10, ["s: Invalid value: 10: s in body should be less than or equal to 9"]),
        (
            {**INTEGER, "maximum": 9, "exclusiveMaximum": True},
            9,
            ["s: Invalid value: 9: s in body should be less than 9"],
        ),
        (
            {"type": "number", "minimum": 0.5, "exclusiveMinimum": True},
            0.5,
            ["s: Invalid value: 0.5: s in body should be greater than 0.5"],
        ),
        ({**INTEGER, "multipleOf": 5}, 7, ["s: Invalid value: 7: s in body should be a multiple of 5"]),
        (
            {"type": "number", "multipleOf": 1e-320},
            7,
            ["s: Invalid value: 7: s in body should be a multiple of 1e-320"],
        ),
        ({**STRING, "minLength": 1}, "", ['s: Invalid value: "": s in body should be at least 1 chars long']),
        ({**STRING, "maxLength": 2}, "äöü", ["s: Too long: may not be more than 2 bytes"]),
        ({**STRING, "maxLength": 3}, "äöü", []),
        ({**STRING, "pattern": "^a$"}, "b", ["s: Invalid value: \"b\": s in body should match '^a$'"]),
        ({**STRING, "pattern": "^a$"}, "a\n", ["s: Invalid value: \"a\\n\": s in body should match '^a$'"]),
        ({**STRING, "pattern": r"^[[:alpha:]\d]+$"}, "a1", []),
        ({**STRING, "pattern": r"^\$$"}, "$", []),
        ({**STRING, "pattern": r"ß\z"}, "groß", []),
        ({**STRING, "pattern": r"^\pL+$"}, "übel", []),
        (
            {**STRING, "pattern": r"^(?=a)"},  # as one may be stored that was taken before
            "a",
            [
                's: Invalid value: "a": s in body should match \'^(?=a), but error parsing regexp: '
                "invalid or unsupported Perl syntax: `(?=`'"
            ],
        ),
        (
            {**STRING, "format": "date-time"},
            "today",
            ['s: Invalid value: "today": s in body must be of type date-time: "today"'],
        ),
        ({**STRING, "format": "unheard-of"}, "x", []),
        ({**STRING, "format": "k8s-short-name"}, "a-1", []),
        (
            {**STRING, "format": "k8s-short-name"},
            "a.b",
            ['s: Invalid value: "a.b": s in body must be of type k8s-short-name: "a.b"'],
        ),
        ({**STRING, "format": "k8s-long-name"}, "a-1.b", []),
        (
            {**STRING, "format": "k8s-long-name"},
            "a..b",
            ['s: Invalid value: "a..b": s in body must be of type k8s-long-name: "a..b"'],
        ),
        ({**STRING, "format": "quantity"}, "1Gi", []),
        (
            {**STRING, "format": "quantity"},
            "1GB",
            ['s: Invalid value: "1GB": s in body must be of type quantity: "1GB"'],
        ),
        (
            {"type": "array", "items": INTEGER, "minItems": 2},
            [1],
            ["s: Invalid value: 1: s in body should have at least 2 items"],
        ),
        ({"type": "array", "items": INTEGER, "maxItems": 1}, [1, 2], ["s: Too many: 2: must have at most 1 items"]),
        (
            {"type": "array", "items": INTEGER},
            [1, "x"],
            ['s[1]: Invalid value: "string": s[1] in body must be of type integer: "string"'],
        ),
        ({"type": "object", "required": ["a"]}, {}, ["s.a: Required value"]),
        (
            {"type": "object", "additionalProperties": INTEGER},
            {"k": "v"},
            ['s.k: Invalid value: "string": s.k in body must be of type integer: "string"'],
        ),
        (
            {"type": "object", "minProperties": 1},
            {},
            ["s: Invalid value: 0: s in body should have at least 1 properties"],
        ),
        ({"type": "object", "maxProperties": 1}, {"a": 1, "b": 2}, ["s: Too many: 2: must have at most 1 items"]),
        (
            {**STRING, "not": {"pattern": "^a"}},
            "ab",
            ['<nil>: Invalid value: "": "s" must not validate the schema (not)'],
        ),
        (
            {"type": "object", "oneOf": [{"required": ["a"]}, {"required": ["b"]}]},
            {"a": 1, "b": 2},
            ['<nil>: Invalid value: "": "s" must validate one and only one schema (oneOf). Found 2 valid alternatives'],
        ),
        (
            {"type": "object", "oneOf": [{"required": ["a"]}, {"required": ["b"]}]},
            {},
            [
                '<nil>: Invalid value: "": "s" must validate one and only one schema (oneOf). Found none valid',
                "s.a: Required value",
            ],
        ),
        (
            {**INTEGER, "anyOf": [{"minimum": 5}, {"maximum": 1}]},
            3,
            [
                '<nil>: Invalid value: "": "s" must validate at least one schema (anyOf)',
                "s: Invalid value: 3: s in body should be greater than or equal to 5",
            ],
        ),
        (
            {**INTEGER, "allOf": [{"minimum": 5}, {"maximum": 9}]},
            3,
            [
                "s: Invalid value: 3: s in body should be greater than or equal to 5",
                '<nil>: Invalid value: "": "s" must validate all the schemas (allOf)',
            ],
        ),
    ],
)
def test_values_are_held_to_the_schema_in_upstreams_words(schema: JSON, value: Any, texts: list[str]) -> None:
    assert [str(error) for error in validate(value, schema, "s")] == texts


@pytest.mark.parametrize(
    ("name", "good", "bad"),
    [
        ("date-time", "2026-11-25T03:00:00Z", "2026-11-25"),
        ("date", "2026-11-25", "2026-11-25T03:00:00Z"),
        ("duration", "1h30m", "soon"),
        ("byte", "aGk=", "!"),
        ("ipv4", "10.0.0.1", "::1"),
        ("ipv6", "::1", "10.0.0.1"),
        ("cidr", "10.0.0.0/8", "10.0.0.0"),
        ("uuid", "6ba7b810-9dad-11d1-80b4-00c04fd430c8", "6ba7b810"),
        ("uuid4", "f47ac10b-58cc-4372-a567-0e02b2c3d479", "6ba7b810-9dad-11d1-80b4-00c04fd430c8"),
        ("hostname", "a.example.com", "-a"),
        ("uri", "http://a/b", "not a uri"),
        ("email", "a@example.com", "a"),
        ("mac", "00:1a:2b:3c:4d:5e", "00:1a"),
    ],
)
def test_formats(name: str, good: str, bad: str) -> None:
    schema = {**STRING, "format": name}
    assert validate(good, schema, "s") == []
    assert [e.reason for e in validate(bad, schema, "s")] == ["FieldValueTypeInvalid"]


def test_what_an_update_leaves_as_it_was_is_not_checked_again() -> None:
    old = {"spec": {"cronSpec": "never", "image": "z", "ports": [{"name": "a", "port": "x"}]}}
    new = clone(old)
    new["spec"]["replicas"] = 2
    new["spec"]["ports"].append({"name": "b", "port": "y"})
    found = [error.path for error in validate(new, SCHEMA, old=old)]
    assert found == ["spec.ports[1].port"]
    assert len(validate(new, SCHEMA)) == 4


def test_unknown_fields_are_cut_off_and_told() -> None:
    obj = {
        "apiVersion": "v1",
        "kind": "X",
        "metadata": {"name": "x", "odd": 1},
        "more": 1,
        "spec": {"cronSpec": "x", "foo": {}, "ports": [{"name": "a"}, {"bar": 1}], "free": {"any": [{"thing": 1}]}},
    }
    assert prune(obj, SCHEMA) == ["more", "spec.foo", "spec.ports[1].bar"]
    assert obj["spec"] == {"cronSpec": "x", "ports": [{"name": "a"}, {}], "free": {"any": [{"thing": 1}]}}
    assert obj["metadata"] == {"name": "x", "odd": 1}, "metadata is decoded, not pruned"


def test_fields_that_are_named_below_free_ones_are_still_pruned() -> None:
    schema = {
        "type": "object",
        "x-kubernetes-preserve-unknown-fields": True,
        "properties": {"strict": {"type": "object", "properties": {"a": STRING}}},
    }
    obj = {"loose": {"b": 1}, "strict": {"a": "", "b": 1}}
    assert prune(obj, {"properties": {"o": schema}}) == ["loose", "strict"]
    holder = {"o": {"loose": {"b": 1}, "strict": {"a": "", "b": 1}}}
    assert prune(holder, {"properties": {"o": schema}}) == ["o.strict.b"]


def test_defaults_are_filled_in_and_nulls_go_where_none_may_be() -> None:
    schema = {
        "type": "object",
        "properties": {
            "a": {**STRING, "default": "x"},
            "b": {**STRING, "nullable": True},
            "c": STRING,
            "d": {"type": "object", "default": {}, "properties": {"e": {**INTEGER, "default": 3}}},
            "list": {"type": "array", "items": {"type": "object", "properties": {"f": {**INTEGER, "default": 1}}}},
            "map": {
                "type": "object",
                "additionalProperties": {"type": "object", "properties": {"g": {**STRING, "default": "y"}}},
            },
        },
    }
    obj = {"a": None, "b": None, "c": None, "list": [{}, {"f": 2}], "map": {"k": {}}}
    fill_in(obj, schema)
    assert obj == {
        "a": "x",
        "b": None,
        "d": {"e": 3},
        "list": [{"f": 1}, {"f": 2}],
        "map": {"k": {"g": "y"}},
    }
    fill_in(obj, schema)
    assert obj["d"] == {"e": 3}


def test_lists_that_are_sets_or_maps_hold_nothing_twice() -> None:
    spec = {"ports": [{"name": "a"}, {"name": "b"}, {"name": "a", "port": 1}]}
    assert [str(e) for e in duplicates(spec, SPEC, "spec")] == ['spec.ports[2]: Duplicate value: {"name":"a"}']
    numbers = {"type": "array", "x-kubernetes-list-type": "set", "items": INTEGER}
    assert [str(e) for e in duplicates([1, 2, 1], numbers, "s")] == ["s[2]: Duplicate value: 1"]


def test_server_side_apply_walks_by_the_schema() -> None:
    kind = Field(type_of_objects(SCHEMA))
    assert isinstance(kind.type, Type)
    obj = {"spec": {"ports": [{"name": "a", "port": 1}], "free": {"x": {"y": [1]}}, "target": 80}}
    assert field_set(obj, kind) == {
        ("f:spec", "f:ports", 'k:{"name":"a"}'),
        ("f:spec", "f:ports", 'k:{"name":"a"}', "f:name"),
        ("f:spec", "f:ports", 'k:{"name":"a"}', "f:port"),
        ("f:spec", "f:free", "f:x"),
        ("f:spec", "f:free", "f:x", "f:y"),
        ("f:spec", "f:target"),
    }


AT = "spec.versions[0].schema.openAPIV3Schema"


@pytest.mark.parametrize(
    ("schema", "texts"),
    [
        ({}, [f"{AT}.type: Required value: must not be empty at the root"]),
        ({"type": "string"}, [f'{AT}.type: Invalid value: "string": must be object at the root']),
        (
            {"type": "object", "properties": {"a": {}}},
            [f"{AT}.properties[a].type: Required value: must not be empty for specified object fields"],
        ),
        (
            {"type": "object", "properties": {"a": {"type": "array"}}},
            [f"{AT}.properties[a].items: Required value: must be specified"],
        ),
        (
            {"type": "object", "properties": {"a": {"type": "array", "items": {}}}},
            [f"{AT}.properties[a].items.type: Required value: must not be empty for specified array items"],
        ),
        (
            {"type": "object", "additionalProperties": STRING},
            [f"{AT}.additionalProperties: Forbidden: must not be used at the root"],
        ),
        (
            {"type": "object", "properties": {"a": {**STRING, "anyOf": [{"type": "string"}]}}},
            [f"{AT}.properties[a].anyOf[0].type: Forbidden: must be empty to be structural"],
        ),
        (
            {"type": "object", "anyOf": [{"properties": {"b": {"minimum": 1}}}]},
            [f"{AT}.properties[b]: Required value: because it is defined in {AT}.anyOf[0].properties[b]"],
        ),
        (
            {
                "type": "object",
                "properties": {"metadata": {"type": "object", "properties": {"labels": {"type": "object"}}}},
            },
            [
                f"{AT}.properties[metadata]: Forbidden: must not specify anything other than name and generateName, "
                "but metadata is implicitly specified"
            ],
        ),
        (
            {"type": "object", "properties": {"a": {**STRING, "default": 3}}},
            [
                f'{AT}.properties[a].default: Invalid value: "integer": {AT}.properties[a].default in body must be '
                'of type string: "integer"'
            ],
        ),
        (
            {"type": "object", "properties": {"a": {**STRING, "pattern": "("}}},
            [
                f'{AT}.properties[a].pattern: Invalid value: "(": must be a valid regular expression, but isn\'t: '
                "error parsing regexp: missing closing ): `(`"
            ],
        ),
        (
            {"type": "object", "properties": {"a": {"type": "array", "items": STRING, "uniqueItems": True}}},
            [
                f"{AT}.properties[a].uniqueItems: Forbidden: uniqueItems cannot be set to true since the runtime "
                "complexity becomes quadratic"
            ],
        ),
        (
            {
                "type": "object",
                "properties": {"a": {"type": "object", "properties": {"b": STRING}, "additionalProperties": STRING}},
            },
            [
                f"{AT}.properties[a].additionalProperties: Forbidden: "
                "additionalProperties and properties are mutual exclusive"
            ],
        ),
        (
            {
                "type": "object",
                "properties": {"a": {"type": "array", "items": {"type": "object"}, "x-kubernetes-list-type": "map"}},
            },
            [
                f"{AT}.properties[a].x-kubernetes-list-map-keys: Required value: "
                "must not be empty if x-kubernetes-list-type is map"
            ],
        ),
        (
            {"type": "object", "properties": {"a": {"type": "nul"}}},
            [
                f'{AT}.properties[a].type: Unsupported value: "nul": supported values: '
                '"array", "boolean", "integer", "number", "object", "string"'
            ],
        ),
        (
            {"type": "object", "properties": {"a": {"type": "object", "x-kubernetes-embedded-resource": True}}},
            [
                f"{AT}.properties[a].properties: Required value: must not be empty if x-kubernetes-embedded-resource "
                "is true without x-kubernetes-preserve-unknown-fields"
            ],
        ),
        ({"type": "object", "properties": {"p": {"x-kubernetes-int-or-string": True, "anyOf": [INTEGER, STRING]}}}, []),
        ({"type": "object", "x-kubernetes-preserve-unknown-fields": True}, []),
        (SCHEMA, []),
    ],
)
def test_schemas_are_structural(schema: JSON, texts: list[str]) -> None:
    assert [str(error) for error in schema_errors(schema, AT)] == texts


@pytest.mark.parametrize(
    ("path", "found"),
    [
        (".a.b", [1]),
        ("$.a.b", [1]),
        (".a['b']", [1]),
        (".list[0].n", ["x"]),
        (".list[-1].n", ["y"]),
        (".list[*].n", ["x", "y"]),
        (".list[0:1].n", ["x"]),
        ('.list[?(@.n=="y")].v', [2]),
        (".list[?(@.v > 1)].n", ["y"]),
        (".list[?(@.w)].n", ["y"]),
        ("..n", ["x", "y"]),
        (r".a\.b", [3]),
        (".missing.deep", []),
        (".a.*", [1]),
    ],
)
def test_json_paths(path: str, found: list[Any]) -> None:
    obj = {"a": {"b": 1}, "a.b": 3, "list": [{"n": "x", "v": 1}, {"n": "y", "v": 2, "w": 0}]}
    assert list(jsonpath.find(path, obj)) == found


@pytest.mark.parametrize("path", ["a b", ".a[", ".a[?(b)]", ".a[?(@.x == y)]", "{.a}"])
def test_what_is_no_json_path_is_refused(path: str) -> None:
    with pytest.raises(ValueError, match="unrecognized"):
        jsonpath.parse(path)


@pytest.mark.parametrize("path", ["..*..*..*..nothing", "..*..*..*..*", "[*][?(@..*..*..nothing)]"])
def test_a_path_that_leads_everywhere_ends(path: str) -> None:
    obj = [{str(i): [[[1] * 9] * 9] * 9 for i in range(30)}]
    with pytest.raises(jsonpath.TooManyVisits):
        list(jsonpath.find(path, obj))


@pytest.mark.parametrize(
    "path",
    [
        "[?(@" + " " * 4000 + "x)]",
        "[?(@.a" + " " * 2000 + "==" + " " * 2000 + "]",
        "[" + " " * 4000 + "1",
        "[" + " " * 2000 + ":" + " " * 2000 + "x",
        "[?(" + "[?(   " * 600,
        ".a" * 1_000_000,
    ],
)
def test_a_wrong_path_is_told_at_once(path: str) -> None:
    """None of these comes to an end where a pattern tries every way to share out the spaces."""
    with pytest.raises(ValueError, match=r"unrecognized|at most 4096 characters"):
        jsonpath.parse(path)
    assert not jsonpath.is_simple(path)
