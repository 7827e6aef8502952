"""What clients read: discovery, tables, OpenAPI documents, lists in chunks (facts 1, 2, 3, 12)."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from labcluster.schema import definitions
from tests.facts.api_port import TABLE, ApiPort, Space, path_of
from tests.facts.conftest import Forgetful
from tests.facts.listening_proxy import Request, listening
from tests.manifests import pod

JSON = dict[str, Any]

AGGREGATED = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"


def config_map(name: str, **metadata: Any) -> JSON:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, **metadata}, "data": {"a": "1"}}


def parameters(content_type: str) -> JSON:
    return dict(part.strip().split("=") for part in content_type.split(";")[1:])


def test_fact_01_discovery_comes_as_one_document_for_each_root(api: ApiPort) -> None:
    """/api and /apis, asked for the aggregated form, list every resource, and Content-Type says which form it is."""
    resources = {}
    for root in ("/api", "/apis"):
        answer = api("GET", root, accept=f"{AGGREGATED},application/json")
        said = answer.headers["Content-Type"]
        assert said.startswith("application/json")
        assert parameters(said) == {"g": "apidiscovery.k8s.io", "v": "v2", "as": "APIGroupDiscoveryList"}
        found = answer.json()
        assert (found["kind"], found["apiVersion"]) == ("APIGroupDiscoveryList", "apidiscovery.k8s.io/v2")
        for group in found["items"]:
            for version in group["versions"]:
                names = {r["resource"] for r in version["resources"]}
                resources[group["metadata"].get("name", ""), version["version"]] = names
    assert {"pods", "services", "namespaces"} <= resources["", "v1"]
    assert "statefulsets" in resources["apps", "v1"]

    # The plain form says the same, at one GET for each group version.
    plain = {("", v) for v in api.ok("GET", "/api")["versions"]}
    plain |= {(g["name"], v["version"]) for g in api.ok("GET", "/apis")["groups"] for v in g["versions"]}
    assert plain == resources.keys()
    for group, version in plain:
        listed = api.ok("GET", f"/apis/{group}/{version}" if group else f"/api/{version}")
        assert listed["kind"] == "APIResourceList"
        assert {r["name"] for r in listed["resources"] if "/" not in r["name"]} == resources[group, version]


def test_fact_01_kubectl_asks_for_the_aggregated_form(api: ApiPort) -> None:
    """Two requests are all that kubectl needs to know every resource."""
    with listening(api) as proxy:
        assert "statefulsets.apps" in proxy.kubectl("api-resources", "-o", "name").stdout
        assert sorted(r.path for r in proxy.requests) == ["/api", "/apis"]
        assert all(AGGREGATED in r.headers["accept"] for r in proxy.requests)


COLUMNS = {
    "pods": "Name Ready Status Restarts Age | IP Node Nominated-Node Readiness-Gates",
    "services": "Name Type Cluster-IP External-IP Port(s) Age | Selector",
    "endpoints": "Name Endpoints Age",
    "endpointslices": "Name AddressType Ports Endpoints Age",
    "configmaps": "Name Data Age",
    "secrets": "Name Type Data Age",
    "namespaces": "Name Status Age",
    "nodes": "Name Status Roles Age Version | Internal-IP External-IP OS-Image Kernel-Version Container-Runtime",
    "events": "Last-Seen Type Reason Object Message | Subobject Source First-Seen Count Name",
    "persistentvolumeclaims": (
        "Name Status Volume Capacity Access-Modes StorageClass VolumeAttributesClass Age | VolumeMode"
    ),
    "persistentvolumes": (
        "Name Capacity Access-Modes Reclaim-Policy Status Claim StorageClass VolumeAttributesClass Reason Age"
        " | VolumeMode"
    ),
    "storageclasses": "Name Provisioner ReclaimPolicy VolumeBindingMode AllowVolumeExpansion Age",
    "replicasets": "Name Desired Current Ready Age | Containers Images Selector",
    "deployments": "Name Ready Up-to-date Available Age | Containers Images Selector",
    "statefulsets": "Name Ready Age | Containers Images",
    "controllerrevisions": "Name Controller Revision Age",
}


@pytest.mark.parametrize("plural", COLUMNS)
def test_fact_02_each_kind_has_the_columns_that_kubectl_prints(api: ApiPort, plural: str) -> None:
    """A list as a Table has upstream's columns, those of -o wide with a priority."""
    table = api.ok("GET", path_of(plural), accept=TABLE)
    assert (table["kind"], table["apiVersion"]) == ("Table", "meta.k8s.io/v1")
    shown: dict[bool, list[str]] = {False: [], True: []}
    for column in table["columnDefinitions"]:
        shown[column["priority"] > 0].append(column["name"].replace(" ", "-"))
    plain, _, wide = COLUMNS[plural].partition(" | ")
    assert (shown[False], shown[True]) == (plain.split(), wide.split())
    assert all(len(row["cells"]) == len(table["columnDefinitions"]) for row in table["rows"])


def test_fact_02_kubectl_get_asks_for_a_table_and_prints_name_and_age_without(api: ApiPort, space: Space) -> None:
    """The columns are the server's: without a Table kubectl knows but NAME and AGE."""
    space.create(pod("one", schedulerName="nobody"))
    with listening(api) as proxy:
        told = proxy.kubectl("-n", space.name, "get", "pods").stdout
        assert told.split()[:9] == ["NAME", "READY", "STATUS", "RESTARTS", "AGE", "one", "0/1", "Pending", "0"]
        (asked,) = proxy.asked("GET", "/pods")
        assert parameters(asked.headers["accept"].split(",")[0]) == {"as": "Table", "v": "v1", "g": "meta.k8s.io"}
        told = proxy.kubectl("-n", space.name, "get", "pods", "--server-print=false").stdout
        assert told.split()[:3] == ["NAME", "AGE", "one"]


def test_fact_02_a_watch_comes_as_tables_too(space: Space) -> None:
    """Each event of a watch for Tables is a Table of one row; the columns come with the first."""
    watching = space.api.watch(space.path("pods"), accept=TABLE)
    tables = []
    for name in ("one", "two"):
        space.create(pod(name, schedulerName="nobody"))
        event = next(watching)
        assert (event["type"], event["object"]["kind"]) == ("ADDED", "Table")
        assert event["object"]["rows"][0]["cells"][:3] == [name, "0/1", "Pending"]
        tables.append(event["object"])
    assert [column["name"] for column in tables[0]["columnDefinitions"]][:3] == ["Name", "Ready", "Status"]
    assert not tables[1]["columnDefinitions"]
    watching.close()
    with listening(space.api) as proxy:
        command = proxy.command("-n", space.name, "get", "pods", "-w")
        with subprocess.Popen(command, env=proxy.environment, stdout=subprocess.DEVNULL) as process:
            asked = proxy.wait_for(lambda r: r.path.endswith("/pods") and "watch" in r.query)
            process.terminate()
        assert "as=Table" in asked.headers["accept"]


def test_fact_03_openapi_v3_is_an_index_and_a_document_for_each_group_version(api: ApiPort) -> None:
    """The index names where each document is, with its hash; the documents say how lists merge and what a kind is."""
    paths = api.ok("GET", "/openapi/v3")["paths"]
    assert {"api/v1", "apis/apps/v1"} <= paths.keys()
    where = paths["apis/apps/v1"]["serverRelativeURL"]
    assert where.startswith("/openapi/v3/apis/apps/v1?hash=")
    document = api.ok("GET", where)
    schemas = document["components"]["schemas"]
    kinds = schemas["io.k8s.api.apps.v1.StatefulSet"]["x-kubernetes-group-version-kind"]
    assert {"group": "apps", "version": "v1", "kind": "StatefulSet"} in kinds
    containers = schemas["io.k8s.api.core.v1.PodSpec"]["properties"]["containers"]
    assert containers["x-kubernetes-patch-strategy"] == "merge"
    assert containers["x-kubernetes-patch-merge-key"] == "name"
    assert containers["x-kubernetes-list-type"] == "map"
    # The paths, which the published schemas lack: kubectl looks there for the parameters of a write.
    patch = document["paths"]["/apis/apps/v1/namespaces/{namespace}/statefulsets/{name}"]["patch"]
    assert {"fieldValidation", "dryRun", "fieldManager"} <= {p["name"] for p in patch["parameters"]}


def test_fact_03_the_published_schemas_have_the_extensions_but_no_paths() -> None:
    """The package kubernetes-validate has 771 definitions of 1.36, with extensions; no paths, nearly no defaults."""
    text = definitions.published().read_text()
    published = json.loads(text)
    assert len(published["$defs"]) == 771
    assert "paths" not in published
    for extension in ("patch-strategy", "patch-merge-key", "list-type", "group-version-kind"):
        assert f'"x-kubernetes-{extension}"' in text
    assert text.count('"default":') < 100


def without_openapi(asked: Request) -> tuple[int, str] | None:
    return (404, "NotFound") if asked.path.startswith("/openapi/") else None


def test_fact_03_kubectl_needs_the_documents_to_apply_create_and_explain(api: ApiPort, space: Space) -> None:
    """Without OpenAPI apply and create fail, unless told not to validate; with it they and explain read v3."""
    manifest = json.dumps(config_map("one"))
    with listening(api, without_openapi) as proxy:
        for command in ("apply", "create"):
            done = proxy.kubectl("-n", space.name, command, "-f", "-", stdin=manifest)
            assert done.returncode == 1 and "--validate=false" in done.stderr, done.stderr
            assert {"/openapi/v3", "/openapi/v2"} <= {r.path for r in proxy.requests}
        done = proxy.kubectl("-n", space.name, "apply", "--validate=false", "-f", "-", stdin=manifest)
        assert done.stdout == "configmap/one created\n"
        assert proxy.kubectl("explain", "sts.spec").returncode == 1
    with listening(api) as proxy:
        done = proxy.kubectl("-n", space.name, "apply", "-f", "-", stdin=manifest)
        assert done.stdout == "configmap/one unchanged\n"
        assert "podManagementPolicy" in proxy.kubectl("explain", "sts.spec").stdout
        assert {"/openapi/v3", "/openapi/v3/apis/apps/v1"} <= {r.path for r in proxy.requests}
        assert "/openapi/v2" not in {r.path for r in proxy.requests}


def pages(space: Space, **query: Any) -> Iterator[JSON]:
    """The chunks of the list of config maps."""
    token = ""
    while True:
        page = space.api.ok("GET", space.path("configmaps"), **query, **({"continue": token} if token else {}))
        yield page
        token = page["metadata"].get("continue", "")
        if not token:
            return


def test_fact_12_a_long_list_comes_in_chunks(space: Space) -> None:
    """limit cuts a list; continue goes on with the list as it was; remainingItemCount tells how much is left."""
    for n in range(5):
        space.create(config_map(f"c{n}"))
    space.until("configmaps", lambda found: "kube-root-ca.crt" in found)
    asked = pages(space, limit=2)
    first = next(asked)
    assert first["metadata"]["remainingItemCount"] == 4
    space.create(config_map("c9"))  # after the first chunk: not in the others
    rest = list(asked)
    names = [item["metadata"]["name"] for page in (first, *rest) for item in page["items"]]
    assert names == ["c0", "c1", "c2", "c3", "c4", "kube-root-ca.crt"]
    assert [page["metadata"].get("remainingItemCount") for page in rest] == [2, None]
    assert {page["metadata"]["resourceVersion"] for page in rest} == {first["metadata"]["resourceVersion"]}
    # How much is left of a selection would have to be counted, so it is not told.
    (selected, *_) = pages(space, limit=2, labelSelector="!nothing")
    assert "continue" in selected["metadata"] and "remainingItemCount" not in selected["metadata"]


def test_fact_12_a_token_that_has_expired_is_410(forgetful: Forgetful) -> None:
    """When the history no longer reaches back to the first chunk, the next one is refused as Expired."""
    refused = forgetful.api.refused("GET", path_of("configmaps"), limit=1, **{"continue": forgetful.token})
    assert (refused["code"], refused["reason"]) == (410, "Expired")
