"""JSON patch, JSON merge patch and strategic merge patch."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labcluster.api import resources
from labcluster.api.errors import ApiError
from labcluster.schema.patches import apply_json_patch, apply_merge_patch, apply_strategic_patch

JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
    max_leaves=12,
)
OBJECTS = st.dictionaries(st.text(max_size=4), JSON_VALUES, max_size=4)


def pod(containers: list[dict[str, Any]], **spec: Any) -> dict[str, Any]:
    return {"metadata": {"name": "p"}, "spec": {"containers": containers, **spec}}


def patched_pod(obj: dict[str, Any], patch: dict[str, Any]) -> dict[str, Any]:
    before = copy.deepcopy((obj, patch))
    result = apply_strategic_patch(obj, patch, resources.PODS)
    assert (obj, patch) == before, "the inputs must stay as they were"
    return result


# RFC 6902, appendix A (the cases that concern the result)
@pytest.mark.parametrize(
    ("document", "patch", "expected"),
    [
        ({"foo": "bar"}, [{"op": "add", "path": "/baz", "value": "qux"}], {"baz": "qux", "foo": "bar"}),
        ({"foo": ["a", "c"]}, [{"op": "add", "path": "/foo/1", "value": "b"}], {"foo": ["a", "b", "c"]}),
        ({"foo": ["a"]}, [{"op": "add", "path": "/foo/-", "value": ["x"]}], {"foo": ["a", ["x"]]}),
        ({"a": 1, "b": 2}, [{"op": "remove", "path": "/a"}], {"b": 2}),
        ({"a": [1, 2, 3]}, [{"op": "remove", "path": "/a/1"}], {"a": [1, 3]}),
        ({"a": 1}, [{"op": "replace", "path": "/a", "value": {"x": None}}], {"a": {"x": None}}),
        ({"a": {"x": 1}, "b": {}}, [{"op": "move", "from": "/a/x", "path": "/b/y"}], {"a": {}, "b": {"y": 1}}),
        ({"a": [1, 2, 3]}, [{"op": "move", "from": "/a/0", "path": "/a/2"}], {"a": [2, 3, 1]}),
        ({"a": {"x": [1]}}, [{"op": "copy", "from": "/a", "path": "/b"}], {"a": {"x": [1]}, "b": {"x": [1]}}),
        ({"a/b": 1}, [{"op": "test", "path": "/a~1b", "value": 1}], {"a/b": 1}),
        ({"m~n": 2}, [{"op": "remove", "path": "/m~0n"}], {}),
        ({"a": None}, [{"op": "test", "path": "/a", "value": None}], {"a": None}),
        ({"a": 1}, [{"op": "replace", "path": "", "value": {"b": 2}}], {"b": 2}),
    ],
)
def test_json_patch_applies(document: dict[str, Any], patch: list[Any], expected: dict[str, Any]) -> None:
    before = copy.deepcopy(document)
    assert apply_json_patch(document, patch) == expected
    assert document == before


@pytest.mark.parametrize(
    ("patch", "why"),
    [
        ([{"op": "add", "path": "/x/y", "value": 1}], 'add operation does not apply: doc is missing path: "/x/y"'),
        ([{"op": "remove", "path": "/x"}], "Unable to remove nonexistent key: x"),
        ([{"op": "replace", "path": "/x", "value": 1}], "replace operation does not apply: doc is missing key: /x"),
        ([{"op": "test", "path": "/a", "value": True}], "testing value /a failed: test failed"),
        ([{"op": "add", "path": "/l/3", "value": 1}], "invalid index"),
        ([{"op": "remove", "path": "/l/01"}], "invalid index"),
        ([{"op": "copy", "from": "/x", "path": "/y"}], "copy operation does not apply: doc is missing from path: /x"),
        ([{"op": "move", "from": "/m", "path": "/m/k"}], "lies within"),
        ([{"op": "spam", "path": "/a"}], "Unexpected kind: spam"),
        ([{"op": "add", "path": "a", "value": 1}], "no JSON pointer"),
        ([{"op": "add", "path": "/b"}], "has no value"),
        ([{"op": "replace", "path": "", "value": 5}], "not an object"),
    ],
)
def test_json_patch_that_does_not_apply_is_422(patch: list[Any], why: str) -> None:
    with pytest.raises(ApiError) as error:
        apply_json_patch({"a": 1, "l": [1, 2], "m": {}}, patch)
    assert (error.value.code, error.value.reason) == (422, "Invalid")
    assert error.value.message == "the server rejected our request due to an error in our request"
    assert why in error.value.details["causes"][0]["message"]


def test_json_patch_that_is_no_list_is_400() -> None:
    with pytest.raises(ApiError, match="cannot unmarshal object into Go value") as error:
        apply_json_patch({}, {"spec": {}})
    assert error.value.code == 400


# RFC 7386, appendix A (objects only)
@pytest.mark.parametrize(
    ("target", "patch", "expected"),
    [
        ({"a": "b"}, {"a": "c"}, {"a": "c"}),
        ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
        ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
        ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
        ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
        ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
        ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
        ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
    ],
)
def test_merge_patch_applies(target: dict[str, Any], patch: dict[str, Any], expected: dict[str, Any]) -> None:
    assert apply_merge_patch(target, patch) == expected


@given(OBJECTS, OBJECTS)
def test_merge_patch_twice_is_once_and_leaves_its_inputs(target: dict[str, Any], patch: dict[str, Any]) -> None:
    before = copy.deepcopy((target, patch))
    once = apply_merge_patch(target, patch)
    assert apply_merge_patch(once, patch) == once
    assert (target, patch) == before


def test_merge_patch_must_be_an_object() -> None:
    with pytest.raises(ApiError, match="cannot unmarshal array"):
        apply_merge_patch({}, [1])


def test_containers_merge_by_name_and_keep_their_fields() -> None:
    result = patched_pod(
        pod([{"name": "a", "image": "x:1"}, {"name": "b", "image": "y:1", "env": [{"name": "E", "value": "1"}]}]),
        {"spec": {"containers": [{"name": "b", "image": "y:2", "env": [{"name": "F", "value": "2"}]}]}},
    )
    assert {c["name"]: c for c in result["spec"]["containers"]} == {
        "a": {"name": "a", "image": "x:1"},
        "b": {"name": "b", "image": "y:2", "env": [{"name": "F", "value": "2"}, {"name": "E", "value": "1"}]},
    }


def test_a_new_item_without_an_order_comes_before_the_old_ones() -> None:
    result = patched_pod(pod([{"name": "a"}, {"name": "b"}]), {"spec": {"containers": [{"name": "c"}]}})
    assert [c["name"] for c in result["spec"]["containers"]] == ["c", "a", "b"]


def test_set_element_order_orders_items_and_keeps_the_servers_own_in_place() -> None:
    result = patched_pod(
        pod([{"name": "a"}, {"name": "injected"}, {"name": "b"}]),
        {
            "spec": {
                "$setElementOrder/containers": [{"name": "b"}, {"name": "c"}, {"name": "a"}],
                "containers": [{"name": "c", "image": "z"}],
            }
        },
    )
    names = [c["name"] for c in result["spec"]["containers"]]
    assert [n for n in names if n != "injected"] == ["b", "c", "a"]
    assert names.index("injected") == 3 or names.index("injected") == 0


def test_set_element_order_alone_reorders() -> None:
    result = patched_pod(
        pod([{"name": "a"}, {"name": "b"}]), {"spec": {"$setElementOrder/containers": [{"name": "b"}, {"name": "a"}]}}
    )
    assert [c["name"] for c in result["spec"]["containers"]] == ["b", "a"]


def test_set_image_of_kubectl() -> None:
    result = patched_pod(
        pod([{"name": "a", "image": "x:1"}, {"name": "b", "image": "y"}]),
        {
            "spec": {
                "$setElementOrder/containers": [{"name": "a"}, {"name": "b"}],
                "containers": [{"name": "a", "image": "x:2"}],
            }
        },
    )
    assert result["spec"]["containers"] == [{"name": "a", "image": "x:2"}, {"name": "b", "image": "y"}]


def test_patch_items_that_contradict_the_order_are_refused() -> None:
    patch = {"spec": {"$setElementOrder/containers": [{"name": "a"}], "containers": [{"name": "b"}]}}
    with pytest.raises(ApiError, match="order in patch list"):
        patched_pod(pod([{"name": "a"}]), patch)


def test_patch_delete_removes_an_item_and_patch_replace_the_list() -> None:
    both = pod([{"name": "a"}, {"name": "b"}])
    result = patched_pod(both, {"spec": {"containers": [{"name": "a", "$patch": "delete"}]}})
    assert result["spec"]["containers"] == [{"name": "b"}]
    result = patched_pod(both, {"spec": {"containers": [{"$patch": "replace"}, {"name": "z"}]}})
    assert result["spec"]["containers"] == [{"name": "z"}]
    result = patched_pod(both, {"spec": {"$patch": "replace", "hostname": "h"}})
    assert result["spec"] == {"hostname": "h"}
    result = patched_pod(both, {"spec": {"$patch": "delete"}})
    assert result["spec"] == {}


def test_unknown_directive_is_400() -> None:
    with pytest.raises(ApiError, match="Unknown patch type: spam") as error:
        patched_pod(pod([]), {"spec": {"$patch": "spam"}})
    assert error.value.code == 400


def test_null_deletes_a_field_and_leaves_no_null_behind() -> None:
    result = patched_pod(pod([], hostname="h"), {"spec": {"hostname": None, "nodeSelector": {"a": None, "b": "c"}}})
    assert result["spec"] == {"containers": [], "nodeSelector": {"b": "c"}}


def test_scalar_lists_merge_as_sets_and_lose_items() -> None:
    meta = {"metadata": {"finalizers": ["a", "b"]}}
    assert patched_pod(meta, {"metadata": {"finalizers": ["b", "c"]}})["metadata"]["finalizers"] == ["a", "b", "c"]
    patch = {"metadata": {"$deleteFromPrimitiveList/finalizers": ["a"]}}
    assert patched_pod(meta, patch)["metadata"]["finalizers"] == ["b"]
    patch = {
        "metadata": {
            "$deleteFromPrimitiveList/finalizers": ["a"],
            "$setElementOrder/finalizers": ["c", "b"],
            "finalizers": ["c"],
        }
    }
    assert patched_pod(meta, patch)["metadata"]["finalizers"] == ["c", "b"]


def test_retain_keys_clears_the_other_members_of_a_union() -> None:
    old = pod([], volumes=[{"name": "v", "emptyDir": {}}])
    patch = {"spec": {"volumes": [{"name": "v", "$retainKeys": ["name", "configMap"], "configMap": {"name": "c"}}]}}
    assert patched_pod(old, patch)["spec"]["volumes"] == [{"name": "v", "configMap": {"name": "c"}}]


def test_retain_keys_must_name_what_the_patch_sets() -> None:
    patch = {"spec": {"volumes": [{"name": "v", "$retainKeys": ["name"], "configMap": {"name": "c"}}]}}
    with pytest.raises(ApiError, match="retainKeys"):
        patched_pod(pod([], volumes=[{"name": "v"}]), patch)


def test_atomic_lists_are_replaced() -> None:
    old = pod([{"name": "a", "args": ["x", "y"]}], tolerations=[{"key": "k"}])
    patch = {"spec": {"containers": [{"name": "a", "args": ["z"]}], "tolerations": [{"key": "j"}]}}
    spec = patched_pod(old, patch)["spec"]
    assert (spec["containers"][0]["args"], spec["tolerations"]) == (["z"], [{"key": "j"}])


def test_an_item_without_its_merge_key_is_422() -> None:
    with pytest.raises(ApiError, match="does not contain declared merge key: name") as error:
        patched_pod(pod([{"name": "a"}]), {"spec": {"containers": [{"image": "x"}]}})
    assert error.value.code == 422


def test_directives_do_not_reach_a_new_object() -> None:
    patch = {
        "spec": {
            "containers": [{"name": "a", "$patch": "delete"}, {"name": "b", "$setElementOrder/env": []}],
            "$retainKeys": ["containers"],
        }
    }
    assert patched_pod({"metadata": {}}, patch)["spec"] == {"containers": [{"name": "b"}]}


def test_service_ports_merge_by_port() -> None:
    service = {"spec": {"ports": [{"port": 80, "name": "http"}, {"port": 443, "name": "https"}]}}
    patch = {"spec": {"ports": [{"port": 443, "nodePort": 30443}]}}
    ports = apply_strategic_patch(service, patch, resources.SERVICES)["spec"]["ports"]
    assert sorted(ports, key=lambda p: p["port"]) == [
        {"port": 80, "name": "http"},
        {"port": 443, "name": "https", "nodePort": 30443},
    ]
