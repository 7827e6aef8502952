"""Custom resources over HTTP and in the registry: versions, lifecycle, what is served as definitions come and go."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import orjson
import pytest
from aiohttp import web

from labcluster.api.conditions import condition
from labcluster.api.errors import ApiError
from labcluster.api.json_values import clone
from labcluster.api.objects import JSON, name_of, uid_of
from labcluster.api.resources import CONFIG_MAPS, CUSTOM_RESOURCE_DEFINITIONS, ENDPOINT_SLICES, EVERYTHING, NAMESPACES
from labcluster.controllers.custom_resource_definitions import CustomResourceDefinitionController
from labcluster.controllers.garbage_collector import GarbageCollector
from labcluster.controllers.namespaces.namespace import NamespaceController
from labcluster.http.messages import body as request_body
from labcluster.kinds import served_kinds
from labcluster.storage.registry import DeleteOptions, Registry
from labcluster.storage.store import Store
from tests.labcluster.control_plane import NAMESPACE, ControlPlane
from tests.labcluster.custom_objects import GROUP, NAME, SCHEMA, cron_tab, definition, establish, full_version, version
from tests.labcluster.http_server import ApiServer, Client

TABS = f"/apis/{GROUP}/v1/namespaces/default/crontabs"
TABLE = {"Accept": "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"}
MERGE = {"Content-Type": "application/merge-patch+json"}
STRATEGIC = {"Content-Type": "application/strategic-merge-patch+json"}
APPLY = {"Content-Type": "application/apply-patch+yaml"}
AGGREGATED = {"Accept": "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"}
CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
PROTOBUF_V2 = {"Accept": "application/com.github.proto-openapi.spec.v2@v1.0+protobuf"}
PROTOBUF_V3 = {"Accept": "application/com.github.proto-openapi.spec.v3@v1.0+protobuf"}
ANY_SCHEMA: JSON = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}


@pytest.fixture
def api(api: ApiServer) -> ApiServer:
    """With the definition of the CronTabs."""
    establish(api.registry, definition())
    return api


def open_version(name: str, **more: Any) -> JSON:
    return version(name, {**ANY_SCHEMA, "properties": {"spec": ANY_SCHEMA}}, **more)


# -------------------------------------------------------------------- objects


async def test_an_object_goes_round(call: Client) -> None:
    code, made = await call("POST", TABS, cron_tab())
    assert code == 201
    assert made["spec"] == {"cronSpec": "* * * * */5", "image": "a", "replicas": 1}
    assert made["metadata"]["generation"] == 1
    assert await call("GET", f"{TABS}/one") == (200, made)
    code, found = await call("GET", TABS)
    assert (found["kind"], found["apiVersion"], found["items"]) == ("CronTabList", f"{GROUP}/v1", [made])
    made["spec"]["replicas"] = 3
    code, changed = await call("PUT", f"{TABS}/one", made)
    assert (code, changed["metadata"]["generation"]) == (200, 2)
    code, status = await call("DELETE", f"{TABS}/one")
    assert (code, status["status"], status["details"]["group"]) == (200, "Success", GROUP)
    code, status = await call("GET", f"{TABS}/one")
    assert (code, status["message"]) == (404, f'crontabs.{GROUP} "one" not found')


async def test_unknown_fields_are_refused_told_or_cut_off(call: Client) -> None:
    obj = cron_tab(foo=1, ports=[{"name": "a", "odd": 1}])
    code, status = await call("POST", f"{TABS}?fieldValidation=Strict", obj)
    assert (code, status["message"]) == (
        400,
        'CronTab in version "v1" cannot be handled as a CronTab: strict decoding error: unknown field "spec.foo", '
        'unknown field "spec.ports[0].odd"',
    )
    code, headers, made = await call.full("POST", f"{TABS}?fieldValidation=Warn", obj)
    assert headers.getall("Warning") == [
        '299 - "unknown field \\"spec.foo\\""',
        '299 - "unknown field \\"spec.ports[0].odd\\""',
    ]
    assert made["spec"]["ports"] == [{"name": "a"}] and "foo" not in made["spec"]
    code, headers, made = await call.full("PUT", f"{TABS}/one?fieldValidation=Ignore", obj)
    assert code == 200 and "Warning" not in headers


async def test_metadata_is_held_to_what_every_object_has(call: Client) -> None:
    code, status = await call("POST", TABS, {**cron_tab(), "metadata": {"name": "one", "labels": {"a": 1}}})
    assert (
        code == 400 and "cannot unmarshal number into Go struct field ObjectMeta.metadata.labels" in status["message"]
    )
    code, status = await call(
        "POST", f"{TABS}?fieldValidation=Strict", {**cron_tab(), "metadata": {"name": "x", "nme": ""}}
    )
    assert code == 400 and 'unknown field "metadata.nme"' in status["message"]
    code, status = await call("POST", TABS, cron_tab("One!"))
    assert (
        code == 422
        and 'CronTab.stable.example.com "One!" is invalid: metadata.name: Invalid value' in status["message"]
    )


async def test_an_invalid_object_gets_a_cause_for_each_field(call: Client) -> None:
    code, status = await call("POST", TABS, cron_tab(replicas="x", cronSpec="never"))
    assert (code, status["reason"], status["details"]["kind"]) == (422, "Invalid", "CronTab")
    assert [(c["reason"], c["field"]) for c in status["details"]["causes"]] == [
        ("FieldValueInvalid", "spec.cronSpec"),
        ("FieldValueTypeInvalid", "spec.replicas"),
    ]


async def test_patches_but_no_strategic_ones(call: Client) -> None:
    await call("POST", TABS, cron_tab())
    code, made = await call("PATCH", f"{TABS}/one", {"spec": {"replicas": 2, "image": None}}, headers=MERGE)
    assert (code, made["spec"]["replicas"], made["spec"]["image"]) == (200, 2, "a")
    patch = [{"op": "replace", "path": "/spec/replicas", "value": 4}]
    code, made = await call("PATCH", f"{TABS}/one", patch, headers={"Content-Type": "application/json-patch+json"})
    assert (code, made["spec"]["replicas"]) == (200, 4)
    code, status = await call("PATCH", f"{TABS}/one", {}, headers=STRATEGIC)
    assert (code, status["message"]) == (
        415,
        "the body of the request was in an unknown format - accepted media types include: "
        "application/json-patch+json, application/merge-patch+json, application/apply-patch+yaml",
    )
    code, status = await call("PATCH", f"{TABS}/one", {"spec": {"replicas": 99}}, headers=MERGE)
    assert code == 422 and "spec.replicas: Invalid value: 99" in status["message"]


async def test_status_is_a_subresource_of_its_own(call: Client) -> None:
    code, made = await call("POST", TABS, {**cron_tab(), "status": {"a": 1}})
    assert "status" not in made
    made["spec"]["replicas"] = 7
    code, told = await call("PUT", f"{TABS}/one/status", {**made, "status": {"replicas": 2}})
    assert (code, told["status"], told["spec"]["replicas"]) == (200, {"replicas": 2}, 1)
    assert told["metadata"]["generation"] == 1
    code, told = await call("PUT", f"{TABS}/one/status", cron_tab())
    assert code == 200 and "status" not in told, "a status that is left out goes"


async def test_without_the_subresource_status_is_like_any_field(api: ApiServer) -> None:
    establish(api.registry, definition(version()))
    _, made = await api.client("POST", TABS, {**cron_tab(), "status": {"a": 1}})
    assert made["status"] == {"a": 1}
    made["status"]["a"] = 2
    code, changed = await api.client("PUT", f"{TABS}/one", made)
    assert (code, changed["metadata"]["generation"]) == (200, 2)
    assert (await api.client("GET", f"{TABS}/one/status"))[0] == 404


async def test_scale(call: Client) -> None:
    await call("POST", TABS, cron_tab())
    await call("PATCH", f"{TABS}/one/status", {"status": {"replicas": 1, "labelSelector": "a=b"}}, headers=MERGE)
    code, scale = await call("GET", f"{TABS}/one/scale")
    assert (code, scale["kind"], scale["spec"]) == (200, "Scale", {"replicas": 1})
    assert scale["status"] == {"replicas": 1, "selector": "a=b"}
    code, scale = await call("PATCH", f"{TABS}/one/scale", {"spec": {"replicas": 3}}, headers=MERGE)
    assert (code, scale["spec"]) == (200, {"replicas": 3})
    code, status = await call("PATCH", f"{TABS}/one/scale", {"spec": {"replicas": 30}}, headers=MERGE)
    assert code == 422 and "spec.replicas in body should be less than or equal to 10" in status["message"]


@pytest.mark.parametrize(
    ("spec", "seen", "way"),
    [
        ("text", "does not exist", ".spec"),
        ({"a": "text"}, "does not exist", ".spec.a"),
        ({"a": [1]}, "does not exist", ".spec.a"),
        ({"a": None}, "does not exist", ".spec.a"),
        ({"a": {"b": "text"}}, ".spec.a.b accessor error: text is of the type string, expected int64", ""),
        ({"a": {"b": 1.5}}, ".spec.a.b accessor error: 1.5 is of the type float64, expected int64", ""),
    ],
)
async def test_the_way_to_the_replicas_may_be_blocked(api: ApiServer, spec: Any, seen: str, way: str) -> None:
    scale = {"specReplicasPath": ".spec.a.b", "statusReplicasPath": ".status.a"}
    establish(api.registry, definition(version(schema=ANY_SCHEMA, subresources={"scale": scale})))
    await api.client("POST", TABS, {**cron_tab(), "spec": spec})
    code, status = await api.client("GET", f"{TABS}/one/scale")
    assert code == 500 and seen in status["message"]  # upstream's answer, too
    wanted = {"kind": "Scale", "apiVersion": "autoscaling/v1", "metadata": {"name": "one"}, "spec": {"replicas": 3}}
    code, made = await api.client("PUT", f"{TABS}/one/scale", wanted)
    if way:
        why = f"value cannot be set because {way} is not a map[string]interface{{}}"
        assert (code, made["message"]) == (
            422,
            f'Scale.autoscaling "one" is invalid: spec.replicas: Invalid value: 3: {why}',
        )
    else:
        assert (code, made["spec"]) == (200, {"replicas": 3})


def nested(levels: int) -> JSON:
    schema: JSON = {"type": "object"}
    for _ in range(levels):
        schema = {"type": "object", "properties": {"a": schema}}
    return schema


@pytest.mark.parametrize("levels", [100, *range(108, 120), 140, 220])
async def test_a_definition_is_so_deep_that_all_of_it_is_served_or_refused(api: ApiServer, levels: int) -> None:
    crd = definition(version(schema=nested(levels)))
    crd["metadata"]["resourceVersion"] = (await api.client("GET", f"{CRDS}/{NAME}"))[1]["metadata"]["resourceVersion"]
    code, status = await api.client("PUT", f"{CRDS}/{NAME}", crd)
    if code != 200:
        assert levels > 100 and (code, status["message"]) == (400, "the object provided is nested too deeply")
        return
    obj: JSON = {}
    for _ in range(levels - 1):
        obj = {"a": obj}
    whole = {**cron_tab(), "a": obj}
    del whole["spec"]
    assert (await api.client("POST", TABS, whole))[0] == 201
    config = {**whole, "metadata": {"name": "two"}}
    assert (await api.client("PATCH", f"{TABS}/two?fieldManager=x", config, headers=APPLY))[0] == 201
    for path in (TABS, CRDS, "/openapi/v2", f"/openapi/v3/apis/{GROUP}/v1"):
        for accept in ({}, TABLE, PROTOBUF_V2, PROTOBUF_V3):
            assert (await api.client("GET", path, headers=accept))[0] in (200, 406), (path, accept)


@pytest.mark.parametrize("levels", [*range(224, 236), 250, 255, 400])
async def test_an_object_is_so_deep_that_all_of_it_is_served_or_refused(api: ApiServer, levels: int) -> None:
    establish(api.registry, definition(version(schema=ANY_SCHEMA)))
    deep: JSON = {}
    for _ in range(levels - 2):
        deep = {"a": deep}
    whole = {**cron_tab(), "spec": deep}
    for method, path, code in (("POST", TABS, 201), ("POST", f"{TABS}?dryRun=All", 409)):
        got, status = await api.client(method, path, whole)
        assert got in (code, 400) and (got != 400 or levels > 215), status
    for accept in ({}, TABLE, {"Accept": "application/yaml"}):
        assert (await api.client("GET", TABS, headers=accept))[0] == 200
    config = {**whole, "metadata": {"name": "two"}}
    code, status = await api.client("PATCH", f"{TABS}/two?fieldManager=x", config, headers=APPLY)
    assert code in (201, 400), status


async def test_a_column_that_leads_everywhere_says_so(api: ApiServer) -> None:
    columns = [
        {"name": "All", "type": "string", "jsonPath": "..*..*..*..nothing"},
        {"name": "First", "type": "integer", "jsonPath": "..*..*..b.a"},
    ]
    establish(api.registry, definition(version(schema=ANY_SCHEMA, additionalPrinterColumns=columns)))
    spec = {str(i): {"a": {str(j): {"b": {"a": 7}} for j in range(99)}} for i in range(99)}
    await api.client("POST", TABS, {**cron_tab(), "spec": spec})
    code, table = await api.client("GET", TABS, headers=TABLE)
    assert (code, table["rows"][0]["cells"]) == (200, ["one", "<too many values>", 7])


async def test_a_number_that_no_int_holds_leaves_an_empty_cell(api: ApiServer) -> None:
    columns = [{"name": "N", "type": kind, "jsonPath": ".spec"} for kind in ("integer", "number")]
    establish(api.registry, definition(version(schema=ANY_SCHEMA, additionalPrinterColumns=columns)))
    for name, number in (("one", 2.0**64), ("three", 1e308), ("two", 7)):
        await api.client("POST", TABS, {**cron_tab(name), "spec": number})
    code, table = await api.client("GET", TABS, headers=TABLE)
    assert code == 200
    assert [row["cells"][1:] for row in table["rows"]] == [[None, 2.0**64], [None, 1e308], [7, 7.0]]


@pytest.mark.parametrize(
    ("embedded", "problem"),
    [
        ({"metadata": {"name": 1}}, 'spec.metadata: Invalid value: {"name":1}: json: cannot unmarshal number into Go'),
        ({"metadata": "text"}, 'spec.metadata: Invalid value: "text": json: cannot unmarshal string into Go'),
        ({"kind": 3}, "spec.kind: Invalid value: 3: must be string"),
        ({"metadata": {"labels": {"a b": ""}}}, "spec.metadata.labels: Invalid value: "),
    ],
)
async def test_an_embedded_object_is_as_every_object_or_refused(api: ApiServer, embedded: JSON, problem: str) -> None:
    spec = {**ANY_SCHEMA, "x-kubernetes-embedded-resource": True}
    establish(api.registry, definition(version(schema={**ANY_SCHEMA, "properties": {"spec": spec}})))
    given = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x", "creationTimestamp": None}}
    code, _ = await api.client("POST", TABS, {**cron_tab(), "spec": given})
    assert code == 201
    code, status = await api.client("POST", TABS, {**cron_tab("two"), "spec": {**given, **embedded}})
    assert code == 422 and problem in status["message"]


async def test_formats_that_nothing_is_held_to_are_told_once(api: ApiServer) -> None:
    async def told(**formats: str) -> list[str]:
        typed = {name: {"type": name.rstrip("2"), "format": form} for name, form in formats.items()}
        spec = {"versions": [version(schema={"type": "object", "properties": typed})]}
        code, headers, _ = await api.client.full("PATCH", f"{CRDS}/{NAME}", {"spec": spec}, headers=MERGE)
        assert code == 200
        return [text.split(" ", 2)[2] for text in headers.getall("Warning", [])]

    assert await told(string="date-time", string2="k8s-short-name", integer="int64", number="double") == []
    wrong = {"string": "int64", "integer": "double", "object": "date"}
    assert await told(**wrong) == [f'"unrecognized format \\"{name}\\""' for name in wrong.values()]
    assert await told(**wrong, string2="unheard-of") == ['"unrecognized format \\"unheard-of\\""']


async def test_server_side_apply_by_the_schema(call: Client) -> None:
    config = {**cron_tab(ports=[{"name": "a", "port": 1}]), "metadata": {"name": "one"}}
    code, made = await call("PATCH", f"{TABS}/one?fieldManager=x", config, headers=APPLY)
    assert (code, made["spec"]["image"]) == (201, "a")
    other = {**cron_tab(ports=[{"name": "b", "port": 2}]), "metadata": {"name": "one"}}
    code, both = await call("PATCH", f"{TABS}/one?fieldManager=y", other, headers=APPLY)
    assert [port["name"] for port in both["spec"]["ports"]] == ["a", "b"]
    other["spec"]["ports"] = [{"name": "a", "port": 9}]
    code, status = await call("PATCH", f"{TABS}/one?fieldManager=y", other, headers=APPLY)
    assert (code, status["message"]) == (
        409,
        'Apply failed with 1 conflict: conflict with "x": .spec.ports[name="a"].port',
    )
    code, forced = await call("PATCH", f"{TABS}/one?fieldManager=y&force=true", other, headers=APPLY)
    assert forced["spec"]["ports"] == [{"name": "a", "port": 9}]
    other["spec"]["foo"] = 1
    code, status = await call("PATCH", f"{TABS}/one?fieldManager=y", other, headers=APPLY)
    assert code == 400 and ".spec.foo: field not declared in schema" in status["message"]


async def test_dry_run_changes_nothing(call: Client) -> None:
    code, made = await call("POST", f"{TABS}?dryRun=All", cron_tab())
    assert (code, made["spec"]["replicas"]) == (201, 1)
    assert (await call("GET", f"{TABS}/one"))[0] == 404


async def test_tables_have_the_columns_of_the_definition(call: Client) -> None:
    await call("POST", TABS, cron_tab())
    condition = {"conditions": [{"type": "Ready", "status": "True"}]}
    await call("PATCH", f"{TABS}/one/status", {"status": condition}, headers=MERGE)
    _, table = await call("GET", TABS, headers=TABLE)
    columns = [(c["name"], c["type"], c["priority"]) for c in table["columnDefinitions"]]
    assert columns == [
        ("Name", "string", 0), ("Spec", "string", 0), ("Replicas", "integer", 0), ("Ready", "string", 0),
        ("Image", "string", 1), ("Age", "date", 0),
    ]  # fmt: skip
    assert table["rows"][0]["cells"][:5] == ["one", "* * * * */5", 1, "True", "a"]


async def test_objects_are_selected_by_the_fields_of_the_definition(call: Client) -> None:
    for name, image in (("one", "a"), ("two", "b")):
        await call("POST", TABS, cron_tab(name, image=image))
    code, found = await call("GET", f"{TABS}?fieldSelector=spec.image%3Db")
    assert [name_of(item) for item in found["items"]] == ["two"]
    code, status = await call("GET", f"{TABS}?fieldSelector=spec.cronSpec%3Db")
    assert (code, status["message"]) == (400, "field label not supported: spec.cronSpec")


async def test_rules_are_asked_once_the_schema_holds(api: ApiServer) -> None:
    schema = clone(SCHEMA)
    schema["properties"]["spec"]["x-kubernetes-validations"] = [
        {"rule": "self.replicas < 5 || self.image == 'b'", "message": "image a runs four times at most"},
        {"rule": "self.cronSpec == oldSelf.cronSpec", "message": "cronSpec is fixed"},
    ]
    establish(api.registry, definition(full_version(schema=schema)))
    code, status = await api.client("POST", TABS, cron_tab(replicas=5))
    assert status["message"].endswith('spec: Invalid value: "object": image a runs four times at most')
    code, status = await api.client("POST", TABS, cron_tab(replicas="x"))
    assert status["details"]["causes"][-1]["message"].endswith("correct the existing errors to complete validation")
    assert (await api.client("POST", TABS, cron_tab(replicas=5, image="b")))[0] == 201
    code, status = await api.client("PATCH", f"{TABS}/one", {"spec": {"cronSpec": "1 * * * *"}}, headers=MERGE)
    assert code == 422 and "cronSpec is fixed" in status["message"]


# ------------------------------------------------------------------- versions


async def test_versions_show_the_same_objects(api: ApiServer) -> None:
    call = api.client
    establish(
        api.registry, definition(version(), open_version("v1beta1", deprecated=True), open_version("v2", served=False))
    )
    beta = TABS.replace("/v1/", "/v1beta1/")
    assert (await call("POST", TABS, cron_tab()))[0] == 201
    code, headers, seen = await call.full("GET", f"{beta}/one")
    assert (seen["apiVersion"], seen["spec"]["replicas"]) == (f"{GROUP}/v1beta1", 1)
    assert headers.getall("Warning") == [f'299 - "{GROUP}/v1beta1 CronTab is deprecated"']
    code, made = await call("POST", beta, cron_tab("two", api_version="v1beta1", anything=1))
    assert (code, made["apiVersion"], made["spec"]["anything"]) == (201, f"{GROUP}/v1beta1", 1)
    code, found = await call("GET", TABS)
    assert {item["apiVersion"] for item in found["items"]} == {f"{GROUP}/v1"}
    made["spec"]["replicas"] = 2
    code, changed = await call("PUT", f"{beta}/two", made)
    assert (code, changed["apiVersion"]) == (200, f"{GROUP}/v1beta1")
    stored = api.registry.get(api.registry.served.named(NAME), "default", "two")  # type: ignore[arg-type]
    assert (stored["apiVersion"], stored["spec"]["replicas"]) == (f"{GROUP}/v1", 2)
    code, _ = await call("DELETE", f"{beta}/two")
    assert code == 200
    assert (await call("GET", TABS.replace("/v1/", "/v2/")))[0] == 404


async def test_a_watch_sees_its_version(api: ApiServer) -> None:
    establish(api.registry, definition(version(), open_version("v1beta1")))
    call, path = api.client, f"/apis/{GROUP}/v1beta1/crontabs?watch=true"
    await call("POST", TABS, cron_tab())
    async with call.watch(path) as event, call.watch(path.replace("v1beta1", "v1")) as other:
        for each, name in ((event, "v1beta1"), (other, "v1")):
            told = await each()
            assert (told["type"], told["object"]["apiVersion"]) == ("ADDED", f"{GROUP}/{name}")
        await call("DELETE", f"{TABS}/one")
        for each, name in ((event, "v1beta1"), (other, "v1")):
            told = await each()
            assert (told["type"], told["object"]["apiVersion"]) == ("DELETED", f"{GROUP}/{name}")


async def test_another_storage_version_takes_the_objects_along(api: ApiServer) -> None:
    await api.client("POST", TABS, cron_tab())
    later = open_version("v2", storage=True)
    establish(api.registry, definition(version(storage=False), later))
    crd = api.registry.get(CUSTOM_RESOURCE_DEFINITIONS, "", NAME)
    assert crd["status"]["storedVersions"] == ["v1", "v2"]
    for name in ("v1", "v2"):
        code, found = await api.client("GET", f"{TABS.replace('v1', name)}/one")
        assert (code, found["apiVersion"]) == (200, f"{GROUP}/{name}")
    with pytest.raises(
        ApiError, match=r'status.storedVersions\[0\]: Invalid value: "v1": must appear in spec.versions'
    ):
        establish(api.registry, definition(later))


async def test_a_default_that_is_new_shows_in_objects_that_are_there(api: ApiServer) -> None:
    await api.client("POST", TABS, cron_tab())
    _, before = await api.client("GET", f"{TABS}/one")
    async with api.client.watch(f"{TABS}?watch=true") as event:
        assert (await event())["object"] == before
    schema = clone(SCHEMA)
    schema["properties"]["spec"]["properties"]["fresh"] = {"type": "string", "default": "x"}
    establish(api.registry, definition(full_version(schema=schema)))
    _, after = await api.client("GET", f"{TABS}/one")
    assert after["spec"]["fresh"] == "x"
    assert after["metadata"]["resourceVersion"] == before["metadata"]["resourceVersion"]
    async with api.client.watch(f"{TABS}?watch=true") as event:
        assert (await event())["object"] == after


# ------------------------------------------------------------ what is served


async def test_discovery_and_documents_follow_the_definitions(api: ApiServer) -> None:
    call = api.client
    code, headers, groups = await call.full("GET", "/apis", headers=AGGREGATED)
    mine = next(item for item in groups["items"] if item["metadata"]["name"] == GROUP)
    [resource] = mine["versions"][0]["resources"]
    assert (resource["resource"], resource["singularResource"], resource["shortNames"]) == (
        "crontabs",
        "crontab",
        ["ct"],
    )
    assert [s["subresource"] for s in resource["subresources"]] == ["scale", "status"]
    again = await call.full("GET", "/apis", headers={**AGGREGATED, "If-None-Match": headers["ETag"]})
    assert again[0] == 304
    code, plain = await call("GET", f"/apis/{GROUP}/v1")
    assert [r["name"] for r in plain["resources"]] == ["crontabs", "crontabs/scale", "crontabs/status"]
    code, index = await call("GET", "/openapi/v3")
    where = index["paths"][f"apis/{GROUP}/v1"]["serverRelativeURL"]
    code, document = await call("GET", where)
    schema = document["components"]["schemas"]["com.example.stable.v1.CronTab"]
    assert schema["x-kubernetes-group-version-kind"] == [{"group": GROUP, "version": "v1", "kind": "CronTab"}]
    assert {"apiVersion", "kind", "metadata", "spec", "status"} == schema["properties"].keys()

    others = (open_version(name) for name in ("v1beta1", "other", "v2", "v2alpha1"))
    establish(api.registry, definition(version(), *others))
    code, group = await call("GET", f"/apis/{GROUP}")
    assert [v["version"] for v in group["versions"]] == ["v2", "v1", "v1beta1", "v2alpha1", "other"]
    assert group["preferredVersion"]["version"] == "v2"
    code, fresh, _ = await call.full("GET", "/apis", headers={**AGGREGATED, "If-None-Match": headers["ETag"]})
    assert code == 200 and fresh["ETag"] != headers["ETag"]
    code, index = await call("GET", "/openapi/v3")
    assert index["paths"][f"apis/{GROUP}/v1"]["serverRelativeURL"] != where


async def test_a_watch_ends_when_its_definition_goes(api: ApiServer) -> None:
    call, controller = api.client, CustomResourceDefinitionController(api.registry)
    await call("POST", TABS, cron_tab())
    async with call.watch(f"{TABS}?watch=true") as event:
        assert (await event())["type"] == "ADDED"
        code, crd = await call("DELETE", f"/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{NAME}")
        assert (code, crd["metadata"]["finalizers"]) == (200, ["customresourcecleanup.apiextensions.k8s.io"])
        assert condition(crd, "Terminating")["status"] == "True"  # type: ignore[index]
        code, status = await call("POST", TABS, cron_tab("two"))
        assert (code, status["message"]) == (405, "create not allowed while custom resource definition is terminating")
        controller.reconcile(NAME)
        assert (await event())["type"] == "DELETED"
        assert await event() is None
    code, status = await call("GET", TABS)
    assert (code, status["message"]) == (404, "the server could not find the requested resource")
    code, groups = await call("GET", "/apis")
    assert GROUP not in [group["name"] for group in groups["groups"]]
    assert (await call("GET", f"/openapi/v3/apis/{GROUP}/v1"))[0] == 404


async def test_a_watch_ends_when_its_definition_changes(api: ApiServer) -> None:
    async with api.client.watch(f"{TABS}?watch=true") as event:
        establish(api.registry, definition(version()))
        assert await event() is None


# ---------------------------------------------------------------- definitions


@pytest.fixture
def registry() -> Registry:
    registry = Registry(Store(":memory:"))
    registry.create(NAMESPACES, {"metadata": {"name": "default"}})
    return registry


def test_a_definition_is_filled_in_and_established(registry: Registry) -> None:
    establish(registry, definition())
    crd = registry.get(CUSTOM_RESOURCE_DEFINITIONS, "", NAME)
    names = {"plural": "crontabs", "singular": "crontab", "kind": "CronTab", "listKind": "CronTabList"}
    assert crd["spec"]["names"] == {**names, "shortNames": ["ct"], "categories": ["all"]}
    assert crd["status"]["acceptedNames"] == crd["spec"]["names"]
    assert crd["spec"]["conversion"] == {"strategy": "None"}
    assert crd["status"]["storedVersions"] == ["v1"]
    told = [(c["type"], c["status"], c["reason"], c["message"]) for c in crd["status"]["conditions"]]
    assert told == [
        ("NamesAccepted", "True", "NoConflicts", "no conflicts found"),
        ("Established", "True", "InitialNamesAccepted", "the initial names have been accepted"),
    ]


IN_VERSION = "spec.versions[0]."
NO_SCHEMA = {"name": "v1", "served": True, "storage": True}
TEXT_COLUMN = {"name": "a", "type": "text", "jsonPath": ".a"}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"group": "nodots"}, 'spec.group: Invalid value: "nodots": should be a domain with at least one dot'),
        ({"scope": "All"}, 'spec.scope: Unsupported value: "All": supported values: "Cluster", "Namespaced"'),
        ({"scope": None}, "spec.scope: Required value"),
        ({"names": {"plural": "crontabs"}}, "spec.names.kind: Required value"),
        ({"names": {"plural": "crontabs", "kind": "A", "listKind": "A"}}, "kind and listKind may not be the same"),
        ({"versions": []}, "spec.versions: Invalid value: []: must have exactly one version marked as storage version"),
        ({"versions": [version(), version()]}, "must contain unique version names"),
        ({"preserveUnknownFields": True}, "spec.preserveUnknownFields: Invalid value: true: must be false"),
        ({"conversion": {"strategy": "Magic"}}, 'spec.conversion.strategy: Unsupported value: "Magic"'),
        ({"versions": [NO_SCHEMA]}, IN_VERSION + "schema.openAPIV3Schema: Required value: schemas are required"),
        (
            {"versions": [version(schema={})]},
            IN_VERSION + "schema.openAPIV3Schema.type: Required value: must not be empty at the root",
        ),
        ({"versions": [version(deprecationWarning="old")]}, "can only be set for deprecated versions"),
        (
            {"versions": [version(subresources={"scale": {}})]},
            IN_VERSION + "subresources.scale.specReplicasPath: Required value",
        ),
        (
            {"versions": [version(additionalPrinterColumns=[TEXT_COLUMN])]},
            "must be one of boolean,date,integer,number,string",
        ),
        (
            {"versions": [version(selectableFields=[{"jsonPath": ".spec.ports"}])]},
            "must point to a field of type string, boolean or integer",
        ),
    ],
)
def test_what_is_wrong_with_a_definition_is_told(registry: Registry, change: JSON, words: str) -> None:
    with pytest.raises(ApiError) as refusal:
        registry.create(CUSTOM_RESOURCE_DEFINITIONS, definition(**change))
    assert refusal.value.code == 422 and words in refusal.value.message


def test_a_definition_is_called_as_its_resource(registry: Registry) -> None:
    crd = {**definition(), "metadata": {"name": "other.example.com"}}
    with pytest.raises(ApiError, match=r'must be spec.names.plural\+"."\+spec.group'):
        registry.create(CUSTOM_RESOURCE_DEFINITIONS, crd)


def test_conversion_by_a_webhook_is_refused(registry: Registry) -> None:
    with pytest.raises(ApiError, match="does not serve conversion webhooks") as refusal:
        registry.create(CUSTOM_RESOURCE_DEFINITIONS, definition(conversion={"strategy": "Webhook"}))
    assert refusal.value.code == 501


def test_groups_of_kubernetes_need_an_approval(registry: Registry) -> None:
    crd = definition(group="gateway.networking.k8s.io")
    crd["metadata"]["name"] = "crontabs.gateway.networking.k8s.io"
    with pytest.raises(ApiError, match="protected groups must have approval annotation"):
        registry.create(CUSTOM_RESOURCE_DEFINITIONS, crd)
    crd["metadata"]["annotations"] = {"api-approved.kubernetes.io": "https://github.com/kubernetes/enhancements/pull/1"}
    establish(registry, crd)
    made = registry.get(CUSTOM_RESOURCE_DEFINITIONS, "", name_of(crd))
    assert condition(made, "KubernetesAPIApprovalPolicyConformant")["status"] == "True"  # type: ignore[index]


def test_an_established_scope_and_kind_are_fixed(registry: Registry) -> None:
    establish(registry, definition())
    for change in ({"scope": "Cluster"}, {"names": {"plural": "crontabs", "kind": "Other"}}):
        with pytest.raises(ApiError, match="field is immutable"):
            registry.update(CUSTOM_RESOURCE_DEFINITIONS, definition(**change))  # type: ignore[arg-type]


def test_the_second_to_want_a_name_waits_until_it_is_free() -> None:
    plane = ControlPlane(CustomResourceDefinitionController, nodes=False)
    registry = plane.registry
    registry.create(CUSTOM_RESOURCE_DEFINITIONS, definition())
    second = definition(plural="others")
    registry.create(CUSTOM_RESOURCE_DEFINITIONS, second)
    plane.settle()
    waiting = registry.get(CUSTOM_RESOURCE_DEFINITIONS, "", name_of(second))
    accepted = condition(waiting, "NamesAccepted")
    assert accepted is not None and accepted["status"] == "False"
    assert condition(waiting, "Established")["reason"] == "NotAccepted"  # type: ignore[index]
    assert registry.served.find(GROUP, "v1", "others") is None
    registry.delete(CUSTOM_RESOURCE_DEFINITIONS, "", NAME)
    plane.settle()
    assert registry.served.find(GROUP, "v1", "others") is not None
    assert registry.served.find(GROUP, "v1", "crontabs") is None


def test_a_definition_goes_when_its_last_object_has() -> None:
    plane = ControlPlane(CustomResourceDefinitionController, nodes=False)
    registry = plane.registry
    resource = establish(registry, definition())
    held = cron_tab("held", NAMESPACE)
    held["metadata"]["finalizers"] = ["example.com/hold"]
    for obj in (cron_tab("free", NAMESPACE), held):
        registry.create(resource, obj)
    registry.delete(CUSTOM_RESOURCE_DEFINITIONS, "", NAME)
    plane.settle()
    crd = registry.get(CUSTOM_RESOURCE_DEFINITIONS, "", NAME)
    assert condition(crd, "Terminating")["reason"] == "InstanceDeletionInProgress"  # type: ignore[index]
    assert [name_of(obj) for obj in registry.list(resource)] == ["held"]
    registry.modify(resource, NAMESPACE, "held", lambda new: new["metadata"].pop("finalizers"))
    plane.settle()
    assert registry.find(CUSTOM_RESOURCE_DEFINITIONS, "", NAME) is None
    assert registry.served.named(NAME) is None


def test_a_namespace_takes_its_custom_resources_along() -> None:
    plane = ControlPlane(CustomResourceDefinitionController, NamespaceController, nodes=False)
    resource = establish(plane.registry, definition())
    plane.registry.create(resource, cron_tab("one", NAMESPACE))
    plane.registry.delete(NAMESPACES, "", NAMESPACE)
    plane.settle()
    assert plane.registry.find(NAMESPACES, "", NAMESPACE) is None
    assert plane.registry.list(resource) == []


def test_custom_resources_own_and_are_owned() -> None:
    plane = ControlPlane(GarbageCollector, nodes=False)
    resource = establish(plane.registry, definition())
    owner = plane.registry.create(resource, cron_tab("owner", NAMESPACE))
    reference = {"apiVersion": f"{GROUP}/v1", "kind": "CronTab", "name": "owner", "uid": uid_of(owner)}
    owned = {"name": "owned", "namespace": NAMESPACE, "ownerReferences": [reference]}
    plane.registry.create(CONFIG_MAPS, {"metadata": owned})
    child = cron_tab("child", NAMESPACE)
    child["metadata"]["ownerReferences"] = [reference]
    plane.registry.create(resource, child)
    plane.settle()
    assert plane.registry.find(CONFIG_MAPS, NAMESPACE, "owned") is not None
    plane.registry.delete(resource, NAMESPACE, "owner", DeleteOptions(propagation="Background"))
    plane.settle()
    assert plane.registry.find(CONFIG_MAPS, NAMESPACE, "owned") is None
    assert plane.registry.find(resource, NAMESPACE, "child") is None


def test_custom_resources_are_there_after_a_restart(tmp_path: Path) -> None:
    store = tmp_path / "store.db"
    first = Registry(Store(store))
    first.create(NAMESPACES, {"metadata": {"name": "default"}})
    resource = establish(first, definition(version(), open_version("v2")))
    made = first.create(resource, cron_tab())
    first.create(resource, cron_tab("gone"))
    first.delete(resource, "default", "gone")
    second = Registry(Store(store))
    again = second.served.named(NAME)
    assert again is not None
    assert second.list(again) == [made]
    assert second.served.find(GROUP, "v2", "crontabs") is not None
    assert second.revision == first.revision


def test_a_definition_without_a_served_version_keeps_its_objects_and_takes_them_along(tmp_path: Path) -> None:
    store = tmp_path / "store.db"
    first = Registry(Store(store))
    first.create(NAMESPACES, {"metadata": {"name": "default"}})
    made = first.create(establish(first, definition()), cron_tab())
    establish(first, definition(version(served=False)))
    assert first.served.find(GROUP, "v1", "crontabs") is None
    second = Registry(Store(store))
    assert second.list(establish(second, definition())) == [made], "they are served again"
    establish(second, definition(version(served=False)))
    second.delete(CUSTOM_RESOURCE_DEFINITIONS, "", NAME)
    CustomResourceDefinitionController(second).reconcile(NAME)
    assert second.find(CUSTOM_RESOURCE_DEFINITIONS, "", NAME) is None
    assert second.list(establish(second, definition())) == [], "they went with the definition"


def test_a_version_that_does_not_say_whether_it_is_served_is_not(registry: Registry) -> None:
    unsaid = version("v2")
    del unsaid["served"], unsaid["storage"]
    establish(registry, definition(version(), unsaid))
    [_, found] = registry.get(CUSTOM_RESOURCE_DEFINITIONS, "", NAME)["spec"]["versions"]
    assert (found["served"], found["storage"]) == (False, False)
    assert registry.served.find(GROUP, "v2", "crontabs") is None


@pytest.mark.parametrize("status", [{}, {"acceptedNames": {"kind": "", "plural": ""}}])
def test_a_status_without_names_serves_nothing_until_its_controller_mends_it(tmp_path: Path, status: JSON) -> None:
    """Whoever may write a status may write any: the cluster lives on, and starts again."""
    store = tmp_path / "store.db"
    registry = Registry(Store(store))
    registry.create(NAMESPACES, {"metadata": {"name": "default"}})
    made = registry.create(establish(registry, definition()), cron_tab())
    written = {"conditions": [{"type": "Established", "status": "True", "reason": "Mine", "message": ""}], **status}
    registry.modify(CUSTOM_RESOURCE_DEFINITIONS, "", NAME, lambda crd: crd.update(status=written), subresource="status")
    for each in (registry, Registry(Store(store))):
        assert each.served.find(GROUP, "v1", "crontabs") is None
    CustomResourceDefinitionController(registry).reconcile(NAME)
    for each in (registry, Registry(Store(store))):
        resource = each.served.find(GROUP, "v1", "crontabs")
        assert resource is not None and each.list(resource) == [made]


def followed(registry: Registry) -> list[str]:
    """What is told of to who follows everything from now on, by kind and name."""
    told: list[str] = []
    registry.follow(EVERYTHING, lambda change: told.append(f"{change.object['kind']} {name_of(change.object)}"))
    return told


def test_objects_come_with_a_definition_that_is_mended_after_a_restart(tmp_path: Path) -> None:
    store = tmp_path / "store.db"
    first = Registry(Store(store))
    first.create(NAMESPACES, {"metadata": {"name": "default"}})
    owner = first.create(CONFIG_MAPS, {"metadata": {"name": "owner", "namespace": "default"}})
    reference = {"apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": uid_of(owner)}
    tab = cron_tab()
    tab["metadata"]["ownerReferences"] = [reference]
    resource = establish(first, definition())
    made = first.create(resource, tab)
    first.create(resource, cron_tab("gone"))
    first.delete(resource, "default", "gone")
    first.modify(CUSTOM_RESOURCE_DEFINITIONS, "", NAME, lambda crd: crd.update(status={}), subresource="status")
    second = Registry(Store(store))
    told, revision = followed(second), second.revision
    CustomResourceDefinitionController(second).reconcile(NAME)
    again = second.served.named(NAME)
    assert again is not None and second.list(again) == [made]
    assert second.dependents(uid_of(owner)) == [(again, made)]
    assert told == ["CronTab one", f"CustomResourceDefinition {NAME}"] and second.revision == revision + 1
    second.delete(again, "default", "one")
    assert second.list(again) == []


@pytest.mark.parametrize("broken", [{"name": "v1", "served": True, "storage": True}, {"storage": True}, None, "text"])
def test_a_stored_definition_that_cannot_be_served_does_not_stop_a_start(tmp_path: Path, broken: Any) -> None:
    path = tmp_path / "store.db"
    first = Registry(Store(path))
    first.create(NAMESPACES, {"metadata": {"name": "default"}})
    made = first.create(establish(first, definition()), cron_tab())
    other = definition(plural="others")
    other["spec"]["names"] = {"plural": "others", "kind": "Other"}
    establish(first, other)
    crd = clone(first.get(CUSTOM_RESOURCE_DEFINITIONS, "", NAME))
    crd["spec"]["versions"] = [broken]
    Store(path).append(first.revision + 1, CUSTOM_RESOURCE_DEFINITIONS.key(None, NAME), orjson.dumps(crd))
    second = Registry(Store(path))
    assert second.served.named(NAME) is None
    assert second.served.named(f"others.{GROUP}") is not None, "the others are served"
    if not isinstance(broken, dict) or "name" not in broken:
        return  # nobody but a hand in the store writes this
    CustomResourceDefinitionController(second).reconcile(NAME)
    told = condition(second.get(CUSTOM_RESOURCE_DEFINITIONS, "", NAME), "Established")
    assert told is not None and (told["status"], told["reason"]) == ("False", "NotServed")
    assert told["message"] == "the stored definition cannot be served: KeyError: 'schema'"
    revision = second.revision
    CustomResourceDefinitionController(second).reconcile(NAME)
    assert second.revision == revision, "it rests"
    third = Registry(Store(path))
    assert third.list(establish(third, definition())) == [made], "mended"


def test_a_definition_that_fails_as_it_is_written_is_stored_and_not_served(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    establish(registry, definition())

    def fails(crd: JSON) -> None:
        raise KeyError("anything")

    monkeypatch.setattr(served_kinds, "versions_of", fails)
    crd = clone(registry.get(CUSTOM_RESOURCE_DEFINITIONS, "", NAME))
    crd["spec"]["names"]["shortNames"] = ["tab"]
    registry.update(CUSTOM_RESOURCE_DEFINITIONS, crd)
    assert registry.served.named(NAME) is None
    for _ in range(2):
        CustomResourceDefinitionController(registry).reconcile(NAME)
    told = condition(registry.get(CUSTOM_RESOURCE_DEFINITIONS, "", NAME), "Established")
    assert told is not None and told["message"] == "the stored definition cannot be served: KeyError: 'anything'"


def test_cluster_scope(registry: Registry) -> None:
    resource = establish(registry, definition(scope="Cluster"))
    made = registry.create(resource, cron_tab())
    assert "namespace" not in made["metadata"]
    assert registry.get(resource, "", "one") == made


def test_a_resource_that_is_built_in_comes_first(registry: Registry) -> None:
    crd = definition(group="discovery.k8s.io", plural="endpointslices")
    crd["metadata"] = {
        "name": "endpointslices.discovery.k8s.io",
        "annotations": {"api-approved.kubernetes.io": "unapproved, a test"},
    }
    registry.create(CUSTOM_RESOURCE_DEFINITIONS, crd)
    controller = CustomResourceDefinitionController(registry)
    controller.reconcile(name_of(crd))
    told = condition(registry.get(CUSTOM_RESOURCE_DEFINITIONS, "", name_of(crd)), "Established")
    assert told is not None and (told["status"], told["reason"]) == ("False", "NotAccepted")
    found = registry.served.named("endpointslices.discovery.k8s.io")
    assert found is not None and not found.custom
    metadata = {"name": "web-1", "namespace": "default"}
    kept = registry.create(ENDPOINT_SLICES, {"metadata": metadata, "addressType": "IPv4", "endpoints": []})
    registry.delete(CUSTOM_RESOURCE_DEFINITIONS, "", name_of(crd))
    controller.reconcile(name_of(crd))
    assert registry.find(CUSTOM_RESOURCE_DEFINITIONS, "", name_of(crd)) is None
    assert registry.list(ENDPOINT_SLICES) == [kept]


async def test_no_definition_stands_in_for_a_review(api: ApiServer) -> None:
    names = {"plural": "selfsubjectreviews", "kind": "SelfSubjectReview"}
    crd = definition(version(schema=ANY_SCHEMA), group="authentication.k8s.io", scope="Cluster", names=names)
    crd["metadata"] = {
        "name": "selfsubjectreviews.authentication.k8s.io",
        "annotations": {"api-approved.kubernetes.io": "unapproved, a test"},
    }
    api.registry.create(CUSTOM_RESOURCE_DEFINITIONS, crd)
    CustomResourceDefinitionController(api.registry).reconcile(name_of(crd))
    made = api.registry.get(CUSTOM_RESOURCE_DEFINITIONS, "", name_of(crd))
    told = {
        entry["type"]: (entry["status"], entry["reason"], entry["message"]) for entry in made["status"]["conditions"]
    }
    assert told["NamesAccepted"] == ("False", "ListKindConflict", '"SelfSubjectReviewList" is already in use')
    assert told["Established"] == ("False", "NotAccepted", "not all names are accepted")
    _, listed = await api.client("GET", "/apis/authentication.k8s.io/v1")
    assert sorted(r["name"] for r in listed["resources"]) == ["selfsubjectreviews", "tokenreviews"]
    question = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview", "metadata": {"name": "x"}}
    _, found = await api.client("POST", "/apis/authentication.k8s.io/v1/selfsubjectreviews", question)
    assert found["status"]["userInfo"]["username"] == "kubernetes-admin"


async def test_a_definition_that_goes_while_a_request_comes_in(api: ApiServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """The body is on its way when the definition goes: nothing is stored that nobody could see."""
    arrived, gone = asyncio.Event(), asyncio.Event()
    read = request_body.read

    async def waited_for(request: web.Request) -> bytes:
        arrived.set()
        return await read(request)

    monkeypatch.setattr(request_body, "read", waited_for)

    async def body() -> AsyncIterator[bytes]:
        yield b" "
        await gone.wait()
        yield json.dumps(cron_tab()).encode()

    headers = {"Content-Type": "application/json"}
    request = asyncio.create_task(api.client("POST", TABS, body(), headers=headers))
    await arrived.wait()
    api.registry.delete(CUSTOM_RESOURCE_DEFINITIONS, "", NAME)
    CustomResourceDefinitionController(api.registry).reconcile(NAME)
    gone.set()
    assert (await request)[0] == 404
    resource = establish(api.registry, definition())
    assert api.registry.list(resource) == []


async def test_objects_within_objects_are_objects(api: ApiServer) -> None:
    embedded = {"type": "object", "x-kubernetes-embedded-resource": True, "x-kubernetes-preserve-unknown-fields": True}
    spec = {"type": "object", "properties": {"template": embedded, "list": {"type": "array", "items": embedded}}}
    establish(api.registry, definition(version(schema={"type": "object", "properties": {"spec": spec}})))
    inner = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x"}, "spec": {"any": 1}}
    obj = {**cron_tab(), "spec": {"template": inner}}
    code, made = await api.client("POST", TABS, obj)
    assert (code, made["spec"]["template"]) == (201, inner)
    obj = {**cron_tab("two"), "spec": {"list": [{"kind": "Pod", "metadata": {"labels": {"a b": ""}}}]}}
    code, status = await api.client("POST", TABS, obj)
    fields = [(cause["reason"], cause["field"]) for cause in status["details"]["causes"]]
    assert code == 422
    assert fields == [
        ("FieldValueRequired", "spec.list[0].apiVersion"),
        ("FieldValueInvalid", "spec.list[0].metadata.labels"),
    ]
