"""Reading and writing objects over HTTP: verbs, errors, bodies, patches, lists, tables, deletion."""

from __future__ import annotations

import base64
from typing import Any

import orjson
import pytest

from labcluster.api.conditions import is_condition_true
from labcluster.api.resources import CONFIG_MAPS, PODS, REPLICA_SETS
from labcluster.kinds.replicasets import ReplicaSetKind
from tests.labcluster.http_server import ApiServer, Client, config_map, pod, run_pod

MAPS = "/api/v1/namespaces/default/configmaps"
SETS = "/apis/apps/v1/namespaces/default/replicasets"
TABLE = {"Accept": "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"}


def replica_set(name: str = "web", **spec: Any) -> dict[str, Any]:
    labels = {"app": name}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "main", "image": "nginx:1"}]}}
    return {
        "apiVersion": "apps/v1",
        "kind": "ReplicaSet",
        "metadata": {"name": name},
        "spec": {"replicas": 1, "selector": {"matchLabels": labels}, "template": template, **spec},
    }


async def test_an_object_goes_round(call: Client) -> None:
    code, made = await call("POST", MAPS, config_map("one"))
    assert code == 201
    assert await call("GET", f"{MAPS}/one") == (200, made)
    made["data"] = {"b": "2"}
    code, changed = await call("PUT", f"{MAPS}/one", made)
    assert (code, changed["data"]) == (200, {"b": "2"})
    code, status = await call("DELETE", f"{MAPS}/one")
    assert (code, status["kind"], status["status"]) == (200, "Status", "Success")
    assert status["details"] == {"name": "one", "kind": "configmaps", "uid": made["metadata"]["uid"]}
    code, status = await call("GET", f"{MAPS}/one")
    assert (code, status["reason"], status["message"]) == (404, "NotFound", 'configmaps "one" not found')
    assert status["details"] == {"name": "one", "kind": "configmaps"}


async def test_a_client_s_write_is_defaulted_once(call: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is tracked in managedFields is the object that is stored, not a second one made like it."""
    defaulted = []
    default = ReplicaSetKind.default
    monkeypatch.setattr(ReplicaSetKind, "default", lambda kind, obj: (defaulted.append(1), default(kind, obj)))
    for method, path, body in (
        ("POST", SETS, replica_set()),
        ("PUT", f"{SETS}/web", replica_set(replicas=2)),
        ("PATCH", f"{SETS}/web", {"spec": {"replicas": 3}}),
        ("PATCH", f"{SETS}/web/scale", {"spec": {"replicas": 4}}),
    ):
        defaulted.clear()
        headers = {"Content-Type": "application/merge-patch+json"} if method == "PATCH" else {}
        code, _ = await call(method, path, body, headers=headers)
        assert (code, len(defaulted)) == (201 if method == "POST" else 200, 1), (method, path)


async def test_a_yaml_body_is_read(call: Client) -> None:
    text = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: y}\ndata: {day: '1', at: 'x'}\n"
    code, made = await call("POST", MAPS, text, headers={"Content-Type": "application/yaml"})
    assert (code, made["data"]) == (201, {"day": "1", "at": "x"})


async def test_yaml_aliases_are_refused(call: Client) -> None:
    text = "apiVersion: v1\nkind: ConfigMap\nmetadata: &m {name: y}\ndata: *m\n"
    code, status = await call("POST", MAPS, text, headers={"Content-Type": "application/yaml"})
    assert code == 400 and "aliases" in status["message"]


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"{", "json parse error"),
        (b'{"a": "\xff"}', "json parse error"),
        (b"", "<empty>"),
        (b"[]", "expected an object"),
        (b"null", "expected an object"),
        (b"[" * 100_000, "json parse error"),
        (b'{"metadata": 1}', "cannot unmarshal number into Go struct field"),
        (b'{"metadata": {"name": "a", "labels": {"a": 1}}}', "cannot unmarshal number into Go struct field"),
        (b'{"kind": "Pod", "metadata": {"name": "a"}}', "does not match the expected kind"),
        (b'{"apiVersion": "v2", "metadata": {"name": "a"}}', "does not match the expected API version (v1)"),
        (b'{"metadata": {"name": "a", "namespace": "b"}}', "the namespace of the provided object does not match"),
        (b'{"metadata": {"name": "a", "resourceVersion": "3"}}', "resourceVersion should not be set"),
    ],
)
async def test_a_broken_body_is_400(call: Client, data: bytes, words: str) -> None:
    code, status = await call("POST", MAPS, data, headers={"Content-Type": "application/json"})
    assert (code, status["reason"]) == (400, "BadRequest")
    assert words in status["message"]


@pytest.mark.parametrize(
    "data",
    [b"[" * 100_000, b"- " * 1000, b"a: !!binary aGk=", b"a: 99999999999999999999", b"!!bool x", b"!!timestamp x"],
)
async def test_yaml_that_is_too_deep_or_that_json_cannot_say_is_400(call: Client, data: bytes) -> None:
    code, status = await call("POST", MAPS, data, headers={"Content-Type": "application/yaml"})
    assert (code, status["reason"]) == (400, "BadRequest")
    apply = {"Content-Type": "application/apply-patch+yaml"}
    code, status = await call("PATCH", f"{MAPS}/a?fieldManager=me", data, headers=apply)
    assert (code, status["reason"]) == (400, "BadRequest")


async def test_a_body_beyond_the_limit_is_413(call: Client) -> None:
    code, status = await call("POST", MAPS, b" " * (3 * 1024 * 1024 + 1), headers={"Content-Type": "application/json"})
    assert (code, status["message"]) == (413, "Request entity too large: limit is 3145728")


async def test_a_body_in_a_broken_encoding_is_400(api: ApiServer, call: Client) -> None:
    headers = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
    async with call.session.post(api.url + MAPS, data=b"not gzip", headers=headers, compress=False) as response:
        assert response.status == 400
        assert (await response.json())["reason"] == "BadRequest"


@pytest.mark.parametrize(
    ("method", "path", "code"),
    [
        ("GET", "/apis/example.com/v1/things", 404),
        ("GET", "/api/v1/things", 404),
        ("GET", "/api/v1/configmaps/one", 404),
        ("GET", "/api/v1/namespaces/default/nodes", 404),
        ("GET", "/apis/apps/v1", 200),
        ("GET", "/apis/apps/v7", 404),
        ("GET", "/nothing", 404),
        ("POST", "/api/v1/configmaps", 405),
        ("DELETE", "/api/v1/configmaps", 405),
        ("PUT", MAPS, 405),
        ("POST", f"{MAPS}/one", 405),
        ("OPTIONS", MAPS, 405),
        ("POST", "/version", 405),
        ("GET", "/api/v1/nodes/lab-worker/proxy/pods", 501),
        ("GET", "/api/v1/namespaces/default/pods/one/nothing", 404),
    ],
)
async def test_what_is_not_served_says_so(call: Client, method: str, path: str, code: int) -> None:
    found, body = await call(method, path)
    assert found == code
    assert code == 200 or (body["kind"], body["status"], body["code"]) == ("Status", "Failure", code)


async def test_the_name_in_the_body_must_be_the_one_in_the_url(call: Client) -> None:
    await call("POST", MAPS, config_map("one"))
    code, status = await call("PUT", f"{MAPS}/one", config_map("two"))
    assert code == 400
    assert status["message"] == "the name of the object (two) does not match the name on the URL (one)"


async def test_an_old_resource_version_conflicts(call: Client) -> None:
    _, made = await call("POST", MAPS, config_map("one"))
    await call("PUT", f"{MAPS}/one", {**made, "data": {"a": "2"}})
    code, status = await call("PUT", f"{MAPS}/one", {**made, "data": {"a": "3"}})
    assert (code, status["reason"]) == (409, "Conflict")
    assert status["message"].startswith('Operation cannot be fulfilled on configmaps "one": the object has been')


async def test_dry_run_changes_nothing(api: ApiServer, call: Client) -> None:
    await call("POST", MAPS, config_map("kept"))
    before = api.registry.revision
    assert (await call("POST", f"{MAPS}?dryRun=All", config_map("one")))[0] == 201
    assert (await call("DELETE", f"{MAPS}/kept?dryRun=All"))[0] == 200
    headers = {"Content-Type": "application/merge-patch+json"}
    code, shown = await call("PATCH", f"{MAPS}/kept?dryRun=All", {"data": {"a": "9"}}, headers=headers)
    assert (code, shown["data"]) == (200, {"a": "9"})
    assert api.registry.revision == before


async def test_namespaces_go_one_by_one(call: Client) -> None:
    """All at once would take along those that may not be deleted."""
    code, status = await call("DELETE", "/api/v1/namespaces")
    assert (code, status["message"]) == (405, "the server does not allow this method on the requested resource")
    code, status = await call("DELETE", "/api/v1/namespaces/default")
    assert (code, status["reason"]) == (403, "Forbidden")
    _, found = await call("GET", "/api/v1")
    [verbs] = [r["verbs"] for r in found["resources"] if r["name"] == "namespaces"]
    assert verbs == ["create", "delete", "get", "list", "patch", "update", "watch"]


async def test_an_unknown_dry_run_is_refused(call: Client) -> None:
    code, status = await call("POST", f"{MAPS}?dryRun=Maybe", config_map("one"))
    assert (code, status["reason"]) == (422, "Invalid")
    assert 'dryRun: Unsupported value: ["Maybe"]' in status["message"]


async def test_unknown_fields_warn_fail_or_pass(call: Client) -> None:
    wrong = {**config_map("one"), "dta": {}}
    code, headers, made = await call.full("POST", f"{MAPS}?dryRun=All", wrong)
    assert (code, headers["Warning"]) == (201, '299 - "unknown field \\"dta\\""')
    assert "dta" not in made
    code, headers, _ = await call.full("POST", f"{MAPS}?dryRun=All&fieldValidation=Ignore", wrong)
    assert (code, headers.get("Warning")) == (201, None)
    code, status = await call("POST", f"{MAPS}?fieldValidation=Strict", wrong)
    assert (code, status["message"]) == (
        400,
        'ConfigMap in version "v1" cannot be handled as a ConfigMap: strict decoding error: unknown field "dta"',
    )
    code, status = await call("POST", f"{MAPS}?fieldValidation=Maybe", wrong)
    assert code == 422 and "fieldValidation" in status["message"]


async def test_an_unknown_field_of_control_characters_is_warned_of(call: Client) -> None:
    body = b'{"metadata": {"name": "a"}, "x\\u001b\\u0000y": 1}'
    code, _ = await call("POST", MAPS, body, headers={"Content-Type": "application/json"})
    assert code == 201


async def test_a_deprecated_resource_warns_on_every_request(call: Client) -> None:
    _, headers, _ = await call.full("GET", "/api/v1/namespaces/default/endpoints")
    assert "Endpoints is deprecated" in headers["Warning"]


@pytest.mark.parametrize(
    ("media_type", "patch"),
    [
        ("application/json-patch+json", [{"op": "add", "path": "/data/b", "value": "2"}]),
        ("application/merge-patch+json", {"data": {"b": "2"}}),
        ("application/strategic-merge-patch+json", {"data": {"b": "2"}}),
    ],
)
async def test_the_three_patches(call: Client, media_type: str, patch: Any) -> None:
    await call("POST", MAPS, config_map("one"))
    code, made = await call("PATCH", f"{MAPS}/one", patch, headers={"Content-Type": media_type})
    assert (code, made["data"]) == (200, {"a": "1", "b": "2"})


async def test_a_patch_of_a_missing_object_is_404(call: Client) -> None:
    headers = {"Content-Type": "application/merge-patch+json"}
    assert (await call("PATCH", f"{MAPS}/one", {}, headers=headers))[0] == 404


async def test_a_patch_cannot_rename(call: Client) -> None:
    await call("POST", MAPS, config_map("one"))
    headers = {"Content-Type": "application/merge-patch+json"}
    code, status = await call("PATCH", f"{MAPS}/one", {"metadata": {"name": "two"}}, headers=headers)
    assert code == 422 and "field is immutable" in status["message"]


async def test_a_patch_with_a_wrong_type_is_invalid(call: Client) -> None:
    assert (await call("POST", SETS, replica_set()))[0] == 201
    headers = {"Content-Type": "application/merge-patch+json"}
    code, status = await call("PATCH", f"{SETS}/web", {"spec": {"replicas": "3"}}, headers=headers)
    assert (code, status["details"]["causes"][0]["field"]) == (422, "patch")
    assert "cannot unmarshal string into Go struct field" in status["message"]


async def test_a_patch_with_an_old_resource_version_conflicts(call: Client) -> None:
    await call("POST", MAPS, config_map("one"))
    headers = {"Content-Type": "application/merge-patch+json"}
    code, _ = await call("PATCH", f"{MAPS}/one", {"metadata": {"resourceVersion": "1"}}, headers=headers)
    assert code == 409


async def test_status_and_spec_are_written_apart(call: Client) -> None:
    _, made = await call("POST", SETS, replica_set())
    made["spec"]["replicas"], made["status"] = 7, {"replicas": 3}
    code, made = await call("PUT", f"{SETS}/web/status", made)
    assert (code, made["spec"]["replicas"], made["status"]["replicas"]) == (200, 1, 3)
    made["spec"]["replicas"], made["status"] = 7, {"replicas": 0}
    code, made = await call("PUT", f"{SETS}/web", made)
    assert (code, made["spec"]["replicas"], made["status"]["replicas"]) == (200, 7, 3)


async def test_scale_reads_and_writes_replicas(call: Client) -> None:
    await call("POST", SETS, replica_set())
    code, scale = await call("GET", f"{SETS}/web/scale")
    assert (code, scale["kind"], scale["spec"]) == (200, "Scale", {"replicas": 1})
    scale["spec"]["replicas"] = 4
    code, scale = await call("PUT", f"{SETS}/web/scale", scale)
    assert (code, scale["spec"]) == (200, {"replicas": 4})
    for media_type in ("application/merge-patch+json", "application/strategic-merge-patch+json"):
        headers = {"Content-Type": media_type}
        code, scale = await call("PATCH", f"{SETS}/web/scale", {"spec": {"replicas": 2}}, headers=headers)
        assert (code, scale["spec"]) == (200, {"replicas": 2})
    assert (await call("GET", f"{SETS}/web"))[1]["spec"]["replicas"] == 2
    as_table = {"Accept": "application/json;as=Table;v=v1;g=meta.k8s.io"}
    _, table = await call("GET", f"{SETS}/web/scale", headers=as_table)
    assert [column["name"] for column in table["columnDefinitions"]] == ["Name", "Desired", "Available", "Age"]
    assert table["rows"][0]["cells"][:3] == ["web", 2, 0]


async def test_binding_assigns_a_pod_once(api: ApiServer, call: Client) -> None:
    manifest = pod("one")
    del manifest["spec"]["nodeName"]
    api.registry.create(PODS, manifest)
    path = "/api/v1/namespaces/default/pods/one/binding"
    binding = {"apiVersion": "v1", "kind": "Binding", "target": {"kind": "Node", "name": "lab-worker"}}
    code, status = await call("POST", path, binding)
    assert (code, status["status"]) == (201, "Success")
    bound = api.registry.get(PODS, "default", "one")
    assert bound["spec"]["nodeName"] == "lab-worker" and is_condition_true(bound, "PodScheduled")
    code, status = await call("POST", path, binding)
    assert code == 409 and 'already assigned to node "lab-worker"' in status["message"]


async def test_selectors_choose(api: ApiServer, call: Client) -> None:
    for name, tier in (("a", "front"), ("b", "back"), ("c", "front")):
        api.registry.create(CONFIG_MAPS, config_map(name, labels={"tier": tier}))

    async def names(query: str) -> list[str]:
        code, found = await call("GET", f"{MAPS}?{query}")
        assert code == 200, found
        return [item["metadata"]["name"] for item in found["items"]]

    assert await names("labelSelector=tier%3Dfront") == ["a", "c"]
    assert await names("labelSelector=tier+notin+(front)") == ["b"]
    assert await names("fieldSelector=metadata.name%3Db") == ["b"]
    assert await names("fieldSelector=metadata.name!%3Db&labelSelector=tier") == ["a", "c"]
    code, status = await call("GET", f"{MAPS}?fieldSelector=data.a%3D1")
    assert (code, status["message"]) == (400, "field label not supported: data.a")
    assert (await call("GET", f"{MAPS}?labelSelector=a+b+c"))[0] == 400


async def test_a_long_selector_is_read(api: ApiServer, call: Client) -> None:
    api.registry.create(CONFIG_MAPS, config_map("a", labels={"n": "v3000"}))
    values = ",".join(f"v{n}" for n in range(4000))
    code, found = await call("GET", MAPS, params={"labelSelector": f"n in ({values})"})
    assert (code, len(found["items"])) == (200, 1)


async def test_a_list_says_what_it_is(api: ApiServer, call: Client) -> None:
    api.registry.create(CONFIG_MAPS, config_map("one"))
    code, found = await call("GET", "/api/v1/configmaps")
    assert (code, found["kind"], found["apiVersion"]) == (200, "ConfigMapList", "v1")
    assert found["metadata"] == {"resourceVersion": str(api.registry.revision)}
    assert "kind" not in found["items"][0]


async def test_chunks_belong_to_one_moment(api: ApiServer, call: Client) -> None:
    for name in "abcde":
        api.registry.create(CONFIG_MAPS, config_map(name))
    _, first = await call("GET", f"{MAPS}?limit=2")
    assert first["metadata"]["remainingItemCount"] == 3
    api.registry.delete(CONFIG_MAPS, "default", "d")
    api.registry.create(CONFIG_MAPS, config_map("ca"))
    names, token = [], first["metadata"]["continue"]
    while token:
        _, chunk = await call("GET", f"{MAPS}?limit=2&continue={token}")
        assert chunk["metadata"]["resourceVersion"] == first["metadata"]["resourceVersion"]
        names += [item["metadata"]["name"] for item in chunk["items"]]
        token = chunk["metadata"].get("continue")
    assert names == ["c", "d", "e"]


async def test_an_old_chunk_token_has_expired(api: ApiServer, call: Client) -> None:
    for name in "abc":
        api.registry.create(CONFIG_MAPS, config_map(name))
    _, first = await call("GET", f"{MAPS}?limit=1")
    api.registry._cache._forgotten = api.registry.revision + 1
    code, status = await call("GET", f"{MAPS}?limit=1&continue={first['metadata']['continue']}")
    assert (code, status["reason"]) == (410, "Expired")
    assert status["message"].startswith("The provided continue parameter is too old")


@pytest.mark.parametrize("token", ["x", "!!", base64.urlsafe_b64encode(orjson.dumps({"v": 1})).decode()])
async def test_any_other_token_is_400(call: Client, token: str) -> None:
    code, status = await call("GET", f"{MAPS}?limit=1&continue={token}")
    assert code == 400 and status["message"].startswith("continue key is not valid")


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("resourceVersion=0", 200),
        ("resourceVersion=1&resourceVersionMatch=NotOlderThan", 200),
        ("resourceVersion=1&resourceVersionMatch=Exact", 200),
        ("resourceVersionMatch=Exact", 422),
        ("resourceVersion=0&resourceVersionMatch=Exact", 422),
        ("resourceVersion=1&resourceVersionMatch=Maybe", 422),
        ("sendInitialEvents=true", 422),
        ("resourceVersion=abc", 422),
        ("resourceVersion=999", 504),
        ("limit=abc", 400),
        ("includeObject=Maybe", 400),
    ],
)
async def test_list_parameters_are_checked(call: Client, query: str, code: int) -> None:
    found, body = await call("GET", f"{MAPS}?{query}")
    assert found == code, body
    if code == 504:
        assert body["details"]["causes"][0]["reason"] == "ResourceVersionTooLarge"


async def test_an_exact_list_is_the_past(api: ApiServer, call: Client) -> None:
    api.registry.create(CONFIG_MAPS, config_map("a"))
    then = api.registry.revision
    api.registry.create(CONFIG_MAPS, config_map("b"))
    _, found = await call("GET", f"{MAPS}?resourceVersion={then}&resourceVersionMatch=Exact")
    assert [item["metadata"]["name"] for item in found["items"]] == ["a"]
    assert found["metadata"]["resourceVersion"] == str(then)


async def test_a_table_has_the_kinds_columns(api: ApiServer, call: Client) -> None:
    made = api.registry.create(CONFIG_MAPS, config_map("one"))
    kind = api.registry.kind(CONFIG_MAPS)
    _, table = await call("GET", MAPS, headers=TABLE)
    assert (table["kind"], table["apiVersion"]) == ("Table", "meta.k8s.io/v1")
    assert [c["name"] for c in table["columnDefinitions"]] == [c.name for c in kind.columns]
    assert table["rows"][0]["cells"] == kind.cells(made)
    assert table["rows"][0]["object"] == {
        "kind": "PartialObjectMetadata",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": made["metadata"],
    }
    _, table = await call("GET", f"{MAPS}/one?includeObject=Object", headers=TABLE)
    assert table["rows"][0]["object"] == made
    _, table = await call("GET", f"{MAPS}?includeObject=None", headers=TABLE)
    assert table["rows"][0]["object"] is None


async def test_metadata_alone_can_be_asked_for(api: ApiServer, call: Client) -> None:
    made = api.registry.create(CONFIG_MAPS, config_map("one"))
    accept = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
    _, found = await call("GET", MAPS, headers={"Accept": accept})
    assert found["kind"] == "PartialObjectMetadataList"
    assert found["items"][0]["metadata"] == made["metadata"] and "data" not in found["items"][0]


async def test_an_answer_can_be_yaml(api: ApiServer, call: Client) -> None:
    api.registry.create(CONFIG_MAPS, config_map("one"))
    _, headers, body = await call.full("GET", f"{MAPS}/one", headers={"Accept": "application/yaml"})
    assert headers["Content-Type"] == "application/yaml"
    assert body.startswith(b"apiVersion: v1\ndata:\n  a: '1'\n")


async def test_what_nobody_can_write_is_not_acceptable(call: Client) -> None:
    code, status = await call("GET", MAPS, headers={"Accept": "application/vnd.kubernetes.protobuf"})
    assert (code, status["reason"]) == (406, "NotAcceptable")


async def test_an_object_that_is_held_is_returned_by_delete(call: Client) -> None:
    await call("POST", MAPS, config_map("one", finalizers=["example.com/hold"]))
    code, body = await call("DELETE", f"{MAPS}/one")
    assert (code, body["kind"]) == (200, "ConfigMap")
    assert body["metadata"]["deletionTimestamp"]


async def test_delete_options_come_from_body_or_query(api: ApiServer, call: Client) -> None:
    run_pod(api.registry, pod("one"))
    path = "/api/v1/namespaces/default/pods/one"
    code, body = await call("DELETE", f"{path}?gracePeriodSeconds=5")
    assert (code, body["metadata"]["deletionGracePeriodSeconds"]) == (200, 5)
    options = {"kind": "DeleteOptions", "apiVersion": "v1", "gracePeriodSeconds": 0}
    code, body = await call("DELETE", path, options)
    assert (code, body["kind"]) == (200, "Pod")
    assert api.registry.find(PODS, "default", "one") is None


async def test_a_delete_with_another_uid_conflicts(call: Client) -> None:
    await call("POST", MAPS, config_map("one"))
    code, status = await call("DELETE", f"{MAPS}/one", {"preconditions": {"uid": "other"}})
    assert code == 409 and "Precondition failed" in status["message"]


@pytest.mark.parametrize(
    "options",
    [
        {"propagationPolicy": "Sideways"},
        {"propagationPolicy": "Orphan", "orphanDependents": True},
        {"dryRun": ["Maybe"]},
    ],
)
async def test_delete_options_are_checked(call: Client, options: dict[str, Any]) -> None:
    await call("POST", MAPS, config_map("one"))
    code, status = await call("DELETE", f"{MAPS}/one", options)
    assert (code, status["reason"]) == (422, "Invalid")


async def test_orphaning_is_asked_for_by_a_finalizer(api: ApiServer, call: Client) -> None:
    await call("POST", SETS, replica_set())
    await call("DELETE", f"{SETS}/web?propagationPolicy=Orphan")
    assert api.registry.get(REPLICA_SETS, "default", "web")["metadata"]["finalizers"] == ["orphan"]


async def test_a_selection_is_deleted_at_once(api: ApiServer, call: Client) -> None:
    for name in "abc":
        api.registry.create(CONFIG_MAPS, config_map(name, labels={"name": name}))
    code, deleted = await call("DELETE", f"{MAPS}?labelSelector=name+in+(a,c)")
    assert (code, [item["metadata"]["name"] for item in deleted["items"]]) == (200, ["a", "c"])
    left = api.registry.list(CONFIG_MAPS, "default")
    assert [item["metadata"]["name"] for item in left] == ["b"]


async def test_a_fault_of_ours_is_a_status(api: ApiServer, call: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*args: object) -> None:
        raise ZeroDivisionError("by hand")

    monkeypatch.setattr(api.registry, "get", fails)
    code, status = await call("GET", f"{MAPS}/one")
    assert (code, status["reason"], status["code"]) == (500, "InternalError", 500)
    assert "by hand" in status["message"]


async def test_deleting_a_job_warns_that_its_pods_stay(call: Client) -> None:
    template = {"spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "valkey/valkey"}]}}
    jobs = "/apis/batch/v1/namespaces/default/jobs"
    for query, warned in (("", True), ("?propagationPolicy=Background", False)):
        code, body = await call("POST", jobs, {"metadata": {"generateName": "j-"}, "spec": {"template": template}})
        assert code == 201, body
        _, headers, _ = await call.full("DELETE", f"{jobs}/{body['metadata']['name']}{query}")
        assert ("child pods are preserved by default" in headers.get("Warning", "")) == warned
