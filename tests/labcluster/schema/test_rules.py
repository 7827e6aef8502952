"""Validation rules in CEL: what Gateway API and its like ask, Kubernetes' own functions, the past, and wrong rules."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

from labcluster.api.objects import JSON
from labcluster.schema.structural import rules
from labcluster.schema.structural.validation import MISSING

STRING = {"type": "string"}
REFERENCES = {
    "type": "array",
    "items": {
        "type": "object",
        "properties": {k: STRING for k in ("group", "kind", "name", "namespace", "sectionName")}
        | {"port": {"type": "integer"}},
    },
}
NEXT_YEAR = "2027-01-01T00:00:00Z"
UNIQUE = """self.all(p1, self.exists_one(p2, p1.group == p2.group && p1.kind == p2.kind && p1.name == p2.name
    && (((!has(p1.__namespace__) || p1.__namespace__ == '') && (!has(p2.__namespace__) || p2.__namespace__ == ''))
    || (has(p1.__namespace__) && has(p2.__namespace__) && p1.__namespace__ == p2.__namespace__))
    && (((!has(p1.port) || p1.port == 0) && (!has(p2.port) || p2.port == 0))
    || (has(p1.port) && has(p2.port) && p1.port == p2.port))))"""


def ruled(schema: JSON, rule: str, **more: Any) -> JSON:
    return {**schema, "x-kubernetes-validations": [{"rule": rule, **more}]}


def said(schema: JSON, value: Any, old: Any = MISSING) -> list[str]:
    assert rules.rule_errors(schema, "schema") == []
    return [str(error) for error in rules.check(value, schema, old, "s")]


@pytest.mark.parametrize(
    ("schema", "rule", "good", "bad"),
    [
        (
            {"type": "object", "properties": {"group": STRING, "kind": STRING, "port": {"type": "integer"}}},
            "(size(self.group) == 0 && self.kind == 'Service') ? has(self.port) : true",
            {"group": "", "kind": "Service", "port": 80},
            {"group": "", "kind": "Service"},
        ),
        (
            REFERENCES,
            UNIQUE,
            [{"group": "g", "kind": "k", "name": "n", "port": 1}, {"group": "g", "kind": "k", "name": "n", "port": 2}],
            [{"group": "g", "kind": "k", "name": "n"}, {"group": "g", "kind": "k", "name": "n", "namespace": ""}],
        ),
        (STRING, "self.matches('^[a-z]+$')", "abc", "abc1"),
        (STRING, "self.startsWith('/') && !self.contains('//')", "/a/b", "/a//b"),
        (STRING, "self.split('.').size() == 3", "a.b.c", "a.b"),
        (STRING, "self.find('[0-9]+') == '12'", "a12b", "a1b"),
        (STRING, "self.findAll('[0-9]').size() == 2", "1a2", "1"),
        (STRING, "self.findAll('[0-9]', 1) == ['1']", "1a2", "2a1"),
        ({"type": "array", "items": {"type": "integer"}}, "self.isSorted()", [1, 2, 2], [2, 1]),
        ({"type": "array", "items": {"type": "integer"}}, "self.sum() <= 3", [1, 2], [2, 2]),
        ({"type": "array", "items": STRING}, "self.max() == 'b'", ["a", "b"], ["a", "c"]),
        ({"type": "object", "additionalProperties": {"type": "integer"}}, "self.all(k, v, v > 0)", {"a": 1}, {"a": 0}),
        ({"type": "object", "additionalProperties": STRING}, "self.all(k, k != 'x')", {"a": ""}, {"x": ""}),
        ({"type": "number"}, "self * 2.0 < 3.0", 1, 2),
        ({"type": "object", "properties": {"n": {"type": "number"}}}, "self.n + 1.0 < 3.0", {"n": 1}, {"n": 2}),
        ({"x-kubernetes-int-or-string": True}, "type(self) == int ? self > 0 : self != ''", 1, ""),
        ({**STRING, "format": "duration"}, "self < duration('1h')", "5m30s", "2h"),
        (
            {**STRING, "format": "date-time"},
            "self.getFullYear() == 2026",
            "2026-01-01T00:00:00Z",
            "2027-01-01T00:00:00Z",
        ),
        (STRING, "quantity(self).isGreaterThan(quantity('1Gi'))", "2048Mi", "1000M"),
        (STRING, "quantity(self) == quantity('1')", "1000m", "1001m"),
        (STRING, "quantity(self).add(quantity('1n')).isLessThan(quantity('11e21'))", "1e22", "1e23"),
        (STRING, "quantity(self).asInteger() == 2000", "2k", "2"),
        (STRING, "isIP(self) && ip(self).family() == 4", "10.0.0.1", "::1"),
        (STRING, "isCIDR(self) && cidr(self).containsIP('10.1.2.3')", "10.0.0.0/8", "11.0.0.0/8"),
        (STRING, "isURL(self) && url(self).getHost() == 'a:80'", "http://a:80/x", "http://b/x"),
        ({**STRING, "nullable": True}, "self == null || self == 'a'", None, "b"),
        ({"type": "object", "properties": {"a": STRING}}, "self.?a.orValue('x') == 'x'", {}, {"a": "y"}),
        (
            {"type": "object", "properties": {"if": STRING, "a-b": STRING}},
            "self.__if__ == self.a__dash__b",
            {"if": "x", "a-b": "x"},
            {"if": "x", "a-b": "y"},
        ),
    ],
)
def test_rules_hold_or_do_not(schema: JSON, rule: str, good: Any, bad: Any) -> None:
    kind = schema.get("type", "")
    assert said(ruled(schema, rule), good) == []
    assert said(ruled(schema, rule), bad) == [f's: Invalid value: "{kind}": failed rule: {rule.strip()}']


def test_a_rule_says_its_message_its_place_and_its_reason() -> None:
    schema = ruled(
        {"type": "object", "properties": {"a": {"type": "integer"}}},
        "self.a > 2",
        message="too few",
        messageExpression="'a is ' + string(self.a) + ', which is too few'",
        fieldPath=".a",
        reason="FieldValueForbidden",
    )
    assert said(schema, {"a": 1}) == ["s.a: Forbidden: a is 1, which is too few"]


def test_a_rule_that_fails_to_evaluate_refuses_the_object() -> None:
    schema = ruled({"type": "object", "properties": {"a": {"type": "integer"}}}, "self.a > 2", message="too few")
    [text] = said(schema, {})
    assert text.startswith('s: Invalid value: "object": ') and text.endswith("evaluating rule: too few")


def test_a_rule_that_costs_too_much_is_stopped() -> None:
    items = {"type": "array", "items": {"type": "integer"}}
    schema = ruled(items, "self.all(a, self.all(b, self.all(c, a + b + c >= 0)))")
    [text] = said(schema, list(range(200)))
    assert "Iteration budget exceeded" in text


@pytest.mark.parametrize(
    "rule",
    [
        "self.add('1') == ''",
        "'1'.sub(self) == ''",
        "self.asInteger() == 1",
        "self.isInteger()",
        "self.asApproximateFloat() > 1.0",
        "self.sign() == 1",
        "self.isGreaterThan('1')",
        "self.compareTo('1') == 0",
    ],
)
@pytest.mark.parametrize(
    "text", ["1e999999999", "1E+99999999", "-1e-999999999", "NaN", "sNaN", "Infinity", "x", "9" * 5000]
)
def test_what_is_no_quantity_costs_nothing(rule: str, text: str) -> None:
    [error] = said(ruled(STRING, rule), text)
    assert "no quantity: " in error


def test_a_quantity_that_is_no_int_is_none() -> None:
    for text in ("1.5", "1e30"):
        [error] = said(ruled(STRING, "quantity(self).asInteger() == 1"), text)
        assert "cannot convert value to integer" in error


def test_there_are_no_lists_without_end() -> None:
    [error] = rules.rule_errors(ruled(STRING, "lists.range(1000000000).size() > 1"), "schema")
    assert "undeclared reference to 'lists'" in str(error)


def test_rules_about_the_past_are_asked_on_updates_only() -> None:
    schema = ruled(STRING, "self == oldSelf", message="is fixed")
    assert said(schema, "a") == []
    assert said(schema, "a", "a") == []
    assert said(schema, "b", "a") == ['s: Invalid value: "string": is fixed']


def test_rules_may_ask_for_a_past_that_is_not_there() -> None:
    rule = "!oldSelf.hasValue() || oldSelf.value() == self"
    schema = ruled(STRING, rule, optionalOldSelf=True, message="is fixed")
    assert said(schema, "a") == []
    assert said(schema, "b", "a") == ['s: Invalid value: "string": is fixed']
    first = ruled(STRING, "oldSelf.hasValue() || self == 'start'", optionalOldSelf=True, message="begins with start")
    assert said(first, "other") == ['s: Invalid value: "string": begins with start']


def test_items_with_keys_have_a_past() -> None:
    item = ruled({"type": "object", "properties": {"k": STRING, "v": {"type": "integer"}}}, "self.v >= oldSelf.v")
    schema = {"type": "array", "items": item, "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["k"]}
    old = [{"k": "a", "v": 1}, {"k": "b", "v": 5}]
    assert said(schema, [{"k": "b", "v": 6}, {"k": "c", "v": 0}], old) == []
    assert said(schema, [{"k": "b", "v": 4}], old) == [
        's[0]: Invalid value: "object": failed rule: self.v >= oldSelf.v'
    ]


def test_a_broken_rule_does_not_stand_in_the_way_of_other_changes() -> None:
    schema = {"type": "object", "properties": {"a": ruled(STRING, "self != 'x'"), "b": STRING}}
    assert said(schema, {"a": "x", "b": "2"}, {"a": "x", "b": "1"}) == []


@pytest.mark.parametrize(
    ("schema", "rule", "words"),
    [
        (STRING, "self +", "compilation failed: ERROR: <input>:1:7: Syntax error"),
        (STRING, "self > 1", "compilation failed: ERROR: <input>:1:6: found no matching overload for '_>_'"),
        (STRING, "nothing(self)", "undeclared reference to 'nothing'"),
        (STRING, "self.size()", "must evaluate to a bool"),
        (STRING, " ", "Required value: rule is not specified"),
    ],
)
def test_wrong_rules_are_refused_with_the_definition(schema: JSON, rule: str, words: str) -> None:
    [error] = rules.rule_errors(ruled(schema, rule), "schema")
    assert words in str(error)
    assert error.path == "schema.x-kubernetes-validations[0].rule"


def test_there_is_no_past_in_lists_without_keys() -> None:
    schema = {"type": "array", "items": ruled(STRING, "self == oldSelf")}
    [error] = rules.rule_errors(schema, "schema")
    assert "oldSelf cannot be used on the uncorrelatable portion of the schema within schema" in str(error)


def test_the_runtime_of_the_language_is_loaded_late() -> None:
    program = "import labcluster.daemon, sys; sys.exit('cel_expr_python.cel' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program]).returncode == 0
