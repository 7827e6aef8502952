"""Who may do what, and what is served outside the resources."""

from __future__ import annotations

import pytest

from labcluster.api import resources
from labcluster.api.objects import uid_of
from labcluster.api.resources import NODES, PODS, SECRETS, SERVICE_ACCOUNTS, Resource
from labcluster.http.messages.negotiation import Form, negotiate
from labcluster.storage.registry import DeleteOptions
from tests.labcluster.http_server import ApiServer, Client, config_map, pod


def bearer(api: ApiServer, seconds: int = 600) -> dict[str, str]:
    account = api.registry.get(SERVICE_ACCOUNTS, "default", "default")
    token = api.pki.issue_token("default", "default", uid_of(account), seconds=seconds)
    return {"Authorization": f"Bearer {token}"}


@pytest.mark.parametrize("path", ["/api", "/apis", "/openapi/v3", "/api/v1/pods", "/nothing"])
async def test_nobody_gets_nothing(call: Client, path: str) -> None:
    code, status = await call("GET", path, anonymous=True)
    assert (code, status["reason"], status["message"]) == (401, "Unauthorized", "Unauthorized")


@pytest.mark.parametrize("path", ["/version", "/healthz", "/livez", "/readyz"])
async def test_health_and_version_are_for_everyone(call: Client, path: str) -> None:
    assert (await call("GET", path, anonymous=True))[0] == 200


READY = "[+]ping ok\n[+]etcd ok\n[+]poststarthook/start-nodes ok\nreadyz check passed\n"


async def text(call: Client, path: str) -> tuple[int, str]:
    code, content = await call("GET", path)
    return code, content.decode()


async def test_ready_only_when_it_is_said(api: ApiServer, call: Client) -> None:
    assert await text(call, "/readyz?verbose") == (200, READY)
    api.ready = False
    failed = READY.replace("[+]poststarthook/start-nodes ok", "[-]poststarthook/start-nodes failed: reason withheld")
    assert await text(call, "/readyz") == (500, failed.replace("passed", "failed"))
    assert await text(call, "/readyz/poststarthook/start-nodes") == (500, "internal server error: not finished\n")
    code, shown = await text(call, "/readyz?verbose&exclude=poststarthook/start-nodes")
    assert code == 200 and "[+]poststarthook/start-nodes excluded: ok\n" in shown
    assert await text(call, "/livez") == (200, "ok")


@pytest.mark.parametrize("endpoint", ["healthz", "livez"])
async def test_a_store_that_lags_behind_is_not_healthy(api: ApiServer, call: Client, endpoint: str) -> None:
    assert await text(call, f"/{endpoint}/etcd") == (200, "ok")
    api.registry._store.append(api.registry.revision + 1, "/registry/core/pods/from/elsewhere", None)
    withheld = f"[+]ping ok\n[-]etcd failed: reason withheld\n{endpoint} check failed\n"
    assert await text(call, f"/{endpoint}") == (500, withheld)
    code, why = await text(call, f"/{endpoint}/etcd")
    assert code == 500 and why.startswith("internal server error: the store is at revision ")
    assert await text(call, f"/{endpoint}?exclude=etcd") == (200, "ok")


async def test_a_check_that_is_not_there_is_neither_answered_nor_excluded(call: Client) -> None:
    assert (await call("GET", "/livez/nosuch"))[0] == 404
    code, shown = await text(call, "/livez?verbose=&exclude=nosuch,other")
    warning = 'warn: some health checks cannot be excluded: no matches for "nosuch","other"\n'
    assert (code, shown) == (200, f"[+]ping ok\n[+]etcd ok\n{warning}livez check passed\n")


async def test_single_checks_need_a_right_that_nobody_has_by_default(call: Client) -> None:
    code, status = await call("GET", "/readyz/ping", anonymous=True)
    assert (code, status["message"]) == (403, 'forbidden: User "system:anonymous" cannot get path "/readyz/ping"')


async def test_the_root_lists_every_path(call: Client) -> None:
    _, listed = await call("GET", "/")
    for path in listed["paths"]:
        assert (await call("GET", path))[0] == 200, path
    assert {"/api/v1", "/apis/apps/v1", "/livez/ping", "/readyz/etcd", "/openapi/v3"} <= set(listed["paths"])


CS = "/api/v1/componentstatuses"


async def test_the_components_are_healthy_while_they_run(api: ApiServer, call: Client) -> None:
    code, headers, listed = await call.full("GET", CS)
    assert (code, headers["Warning"]) == (200, '299 - "v1 ComponentStatus is deprecated in v1.19+"')
    assert (listed["kind"], [item["metadata"]["name"] for item in listed["items"]]) == (
        "ComponentStatusList",
        ["controller-manager", "etcd-0", "scheduler"],
    )
    api.running["scheduler"] = False
    _, one = await call("GET", f"{CS}/scheduler")
    assert one["conditions"] == [{"type": "Healthy", "status": "False", "error": "has stopped"}]
    _, out, err = await api.kubectl("get", "cs")
    assert [line.split() for line in out.splitlines()] == [
        ["NAME", "STATUS", "MESSAGE", "ERROR"],
        ["controller-manager", "Healthy", "ok"],
        ["etcd-0", "Healthy", "ok"],
        ["scheduler", "Unhealthy", "has", "stopped"],
    ]
    assert err == "Warning: v1 ComponentStatus is deprecated in v1.19+\n"
    _, selected = await call("GET", f"{CS}?fieldSelector=metadata.name=etcd-0")
    assert len(selected["items"]) == 1


async def test_components_are_read_only_and_known(api: ApiServer, call: Client) -> None:
    code, status = await call("GET", f"{CS}/nosuch")
    assert (code, status["message"]) == (500, "Component not found: nosuch")
    for method, path in (("POST", CS), ("DELETE", f"{CS}/scheduler"), ("GET", f"{CS}?watch=1")):
        assert (await call(method, path))[0] == 405, (method, path)
    assert (await call("GET", CS, anonymous=True, headers=bearer(api)))[0] == 403
    code, out, _ = await api.kubectl("explain", "componentstatuses.conditions.error")
    assert code == 0 and "Condition error code for a component" in out


async def test_a_service_account_may_look_around_only(api: ApiServer, call: Client) -> None:
    headers = bearer(api)
    assert (await call("GET", "/apis", anonymous=True, headers=headers))[0] == 200
    code, status = await call("GET", "/api/v1/namespaces/ns/pods", anonymous=True, headers=headers)
    assert (code, status["reason"]) == (403, "Forbidden")
    assert status["message"] == (
        'pods is forbidden: User "system:serviceaccount:default:default" cannot list resource "pods" '
        'in API group "" in the namespace "ns"'
    )
    path = "/apis/apps/v1/namespaces/ns/deployments/web/scale"
    _, status = await call("PUT", path, {}, anonymous=True, headers=headers)
    assert status["message"] == (
        'deployments.apps "web" is forbidden: User "system:serviceaccount:default:default" cannot update resource '
        '"deployments/scale" in API group "apps" in the namespace "ns"'
    )
    _, status = await call("GET", "/api/v1/nodes?watch=1", anonymous=True, headers=headers)
    assert 'cannot watch resource "nodes" in API group "" at the cluster scope' in status["message"]


@pytest.mark.parametrize("value", ["Bearer nonsense", "Basic YTpi", "Bearer a.b.c"])
async def test_wrong_credentials_are_401_everywhere(call: Client, value: str) -> None:
    for path in ("/api/v1/pods", "/version"):
        code, _ = await call("GET", path, anonymous=True, headers={"Authorization": value})
        assert code == 401


async def test_a_token_dies_with_its_account(api: ApiServer, call: Client) -> None:
    headers = bearer(api)
    api.registry.delete(SERVICE_ACCOUNTS, "default", "default")
    code, status = await call("GET", "/apis", anonymous=True, headers=headers)
    assert code == 401 and "ServiceAccount" in status["message"]


async def test_a_token_is_issued_on_request(api: ApiServer, call: Client) -> None:
    path = "/api/v1/namespaces/default/serviceaccounts/default/token"
    code, made = await call("POST", path, {"spec": {"expirationSeconds": 600}})
    assert (code, made["kind"]) == (201, "TokenRequest")
    headers = {"Authorization": f"Bearer {made['status']['token']}"}
    code, review = await call(
        "POST", "/apis/authentication.k8s.io/v1/selfsubjectreviews", {}, anonymous=True, headers=headers
    )
    assert (code, review["status"]["userInfo"]["username"]) == (201, "system:serviceaccount:default:default")
    code, status = await call("POST", path, {"spec": {"expirationSeconds": 1}})
    assert code == 422 and "10 minutes" in status["message"]


@pytest.mark.parametrize("resource", [PODS, SECRETS, NODES], ids=lambda resource: resource.kind)
async def test_a_token_ends_with_what_it_is_bound_to(api: ApiServer, call: Client, resource: Resource) -> None:
    made = {PODS: pod("it"), SECRETS: config_map("it") | {"data": {}}, NODES: {"metadata": {"name": "it"}}}[resource]
    namespace = "default" if resource.namespaced else ""
    options = [f"--bound-object-kind={resource.kind}", "--bound-object-name=it"]
    code, _, err = await api.kubectl("create", "token", "default", *options)
    assert (code, err) == (1, f'error: failed to create token: {resource.plural} "it" not found\n')
    api.registry.create(resource, made)
    code, token, err = await api.kubectl("create", "token", "default", *options)
    assert code == 0, err
    bearing = {"anonymous": True, "headers": {"Authorization": f"Bearer {token.strip()}"}}
    assert (await call("GET", "/apis", **bearing))[0] == 200
    review = {"spec": {"token": token.strip()}}
    _, found = await call("POST", "/apis/authentication.k8s.io/v1/tokenreviews", review)
    assert found["status"]["authenticated"]
    api.registry.delete(resource, namespace, "it", DeleteOptions(grace_seconds=0))
    assert (await call("GET", "/apis", **bearing))[0] == 401
    api.registry.create(resource, made)  # of the same name, and another
    code, status = await call("GET", "/apis", **bearing)
    assert (code, status["message"]) == (401, f"Unauthorized: the token's {resource.kind} does not exist any more")
    _, found = await call("POST", "/apis/authentication.k8s.io/v1/tokenreviews", review)
    assert "authenticated" not in found["status"] and resource.kind in found["status"]["error"]


async def test_a_pods_token_tells_its_node_and_outlives_it(api: ApiServer, call: Client) -> None:
    node = api.registry.create(NODES, {"metadata": {"name": "lab-worker"}})
    api.registry.create(PODS, pod("it"))
    _, token, _ = await api.kubectl("create", "token", "default", "--bound-object-kind=Pod", "--bound-object-name=it")
    api.registry.delete(NODES, "", "lab-worker")
    bearing = {"anonymous": True, "headers": {"Authorization": f"Bearer {token.strip()}"}}
    _, review = await call("POST", "/apis/authentication.k8s.io/v1/selfsubjectreviews", {}, **bearing)
    extra = review["status"]["userInfo"]["extra"]
    assert extra["authentication.kubernetes.io/node-name"] == ["lab-worker"]
    assert extra["authentication.kubernetes.io/node-uid"] == [uid_of(node)]


async def test_what_a_finalizer_holds_carries_a_token_no_longer_than_a_minute(api: ApiServer, call: Client) -> None:
    api.registry.create(SECRETS, config_map("it", finalizers=["example.com/hold"]) | {"data": {}})
    options = ("--bound-object-kind=Secret", "--bound-object-name=it")
    _, token, _ = await api.kubectl("create", "token", "default", *options)
    bearing = {"anonymous": True, "headers": {"Authorization": f"Bearer {token.strip()}"}}
    held = api.registry.delete(SECRETS, "default", "it")
    assert (await call("GET", "/apis", **bearing))[0] == 200
    held["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    assert (await call("GET", "/apis", **bearing))[0] == 401


async def test_tokens_are_bound_to_nothing_else(api: ApiServer, call: Client) -> None:
    path = "/api/v1/namespaces/default/serviceaccounts/default/token"
    for api_version, kind, shown in (("v1", "ConfigMap", "/v1"), ("apps/v1", "Deployment", "apps/v1")):
        reference = {"apiVersion": api_version, "kind": kind, "name": "it"}
        code, status = await call("POST", path, {"spec": {"boundObjectRef": reference}})
        assert (code, status["message"]) == (400, f"cannot bind token to object of type {shown}, Kind={kind}")
    api.registry.create(SECRETS, config_map("it") | {"data": {}})
    reference = {"apiVersion": "v1", "kind": "Secret", "name": "it", "uid": "another"}
    code, status = await call("POST", path, {"spec": {"boundObjectRef": reference}})
    assert (code, status["message"]) == (
        409,
        'Operation cannot be fulfilled on Secret "it": the UID in the bound object reference (another) does not match '
        "the UID in record. The object might have been deleted and then recreated",
    )


async def test_access_reviews_tell_the_truth(api: ApiServer, call: Client) -> None:
    path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
    question = {"spec": {"resourceAttributes": {"verb": "delete", "resource": "pods", "namespace": "default"}}}
    code, review = await call("POST", path, question)
    assert (code, review["status"]["allowed"]) == (201, True)
    _, review = await call("POST", path, question, anonymous=True, headers=bearer(api))
    assert review["status"]["allowed"] is False
    code, _ = await call("GET", path)
    assert code == 405


async def test_the_administrator_is_who_the_certificate_says(call: Client) -> None:
    _, review = await call("POST", "/apis/authentication.k8s.io/v1/selfsubjectreviews", {})
    assert review["status"]["userInfo"]["username"] == "kubernetes-admin"
    assert "system:masters" in review["status"]["userInfo"]["groups"]


async def test_aggregated_discovery_lists_every_resource(call: Client) -> None:
    accept = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json"
    found = set()
    for path in ("/api", "/apis"):
        code, headers, body = await call.full("GET", path, headers={"Accept": accept})
        assert code == 200
        assert headers["Content-Type"] == "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
        assert (body["kind"], body["apiVersion"]) == ("APIGroupDiscoveryList", "apidiscovery.k8s.io/v2")
        for group in body["items"]:
            for version in group["versions"]:
                for resource in version["resources"]:
                    found.add((group["metadata"].get("name", ""), version["version"], resource["resource"]))
    assert found >= {(r.group, r.version, r.plural) for r in resources.RESOURCES}


async def test_plain_discovery_lists_every_resource(call: Client) -> None:
    assert (await call("GET", "/api"))[1]["versions"] == ["v1"]
    _, groups = await call("GET", "/apis")
    assert groups["kind"] == "APIGroupList"
    paths = ["/api/v1", *(f"/apis/{g['preferredVersion']['groupVersion']}" for g in groups["groups"])]
    found = set()
    for path in paths:
        _, body = await call("GET", path)
        assert body["kind"] == "APIResourceList"
        found |= {(body["groupVersion"], r["name"]) for r in body["resources"]}
    assert found >= {(r.api_version, r.plural) for r in resources.RESOURCES}
    assert ("apps/v1", "statefulsets/scale") in found
    assert (await call("GET", "/apis/apps"))[1]["kind"] == "APIGroup"


async def test_discovery_can_be_kept(call: Client) -> None:
    _, headers, _ = await call.full("GET", "/apis")
    code, _, body = await call.full("GET", "/apis", headers={"If-None-Match": headers["ETag"]})
    assert (code, body) == (304, b"")


async def test_openapi_documents_are_where_the_index_says(call: Client) -> None:
    code, index = await call("GET", "/openapi/v3")
    assert code == 200
    code, document = await call("GET", index["paths"]["apis/apps/v1"]["serverRelativeURL"])
    assert code == 200 and "io.k8s.api.apps.v1.StatefulSet" in document["components"]["schemas"]
    assert (await call("GET", "/openapi/v3/apis/apps/v9"))[0] == 404


async def test_the_openapi_document_of_version_2_describes_nothing(call: Client) -> None:
    code, headers, body = await call.full("GET", "/openapi/v2")
    assert (code, body) == (200, b"")
    assert "protobuf" in headers["Content-Type"]


@pytest.mark.parametrize(
    ("accept", "form"),
    [
        ("", Form()),
        ("*/*", Form()),
        ("application/vnd.kubernetes.protobuf,application/json", Form()),
        ("text/html,application/xhtml+xml,*/*;q=0.8", Form()),
        (
            "application/json;as=Table;v=v1;g=meta.k8s.io,application/json;as=Table;v=v1beta1;g=meta.k8s.io,*/*",
            Form("application/json", "Table", "v1"),
        ),
        ("application/json;as=Table;v=v9;g=meta.k8s.io,application/json", Form()),
        ("application/json;q=0.5,application/yaml", Form("application/yaml")),
    ],
)
def test_the_first_form_that_can_be_served_is_taken(accept: str, form: Form) -> None:
    assert negotiate(accept) == form
