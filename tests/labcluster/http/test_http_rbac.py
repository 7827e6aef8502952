"""RBAC as a client meets it: refusals, acting as someone else, reviews, and rights that cannot be given away."""

from __future__ import annotations

import json
from typing import Any

import pytest
from multidict import CIMultiDict

from labcluster.api.objects import JSON, uid_of
from labcluster.api.resources import CONFIG_MAPS, NAMESPACES, ROLE_BINDINGS, SERVICE_ACCOUNTS
from labcluster.storage.registry import Registry
from tests.labcluster.http_server import ApiServer, Client, pod, run_pod
from tests.labcluster.rbac_objects import account, binding, group, role, rule, store, user

RBAC = "/apis/rbac.authorization.k8s.io/v1"
ROLES = f"{RBAC}/namespaces/default/roles"
BINDINGS = f"{RBAC}/namespaces/default/rolebindings"
SELF_REVIEWS = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
ANN = {"Impersonate-User": "ann"}
DEFAULT_ACCOUNT = "system:serviceaccount:default:default"


def token(api: ApiServer, **options: Any) -> str:
    found = api.registry.get(SERVICE_ACCOUNTS, "default", "default")
    return api.pki.issue_token("default", "default", uid_of(found), **options)


def bearer(api: ApiServer) -> dict[str, Any]:
    return {"anonymous": True, "headers": {"Authorization": f"Bearer {token(api)}"}}


def grant(registry: Registry, name: str, subject: JSON, *rules: JSON, namespace: str = "default") -> None:
    """Give someone these rules, everywhere with an empty namespace."""
    store(registry, role(name, *rules, namespace=namespace))
    store(registry, binding(name, f"{'Role' if namespace else 'ClusterRole'}/{name}", subject, namespace=namespace))


# ------------------------------------------------------------------- requests


async def test_an_account_may_what_its_role_says(api: ApiServer, call: Client) -> None:
    path = "/api/v1/namespaces/default/pods"
    assert (await call("GET", path, **bearer(api)))[0] == 403
    grant(api.registry, "reader", account("default"), rule("list watch", "pods"))
    assert (await call("GET", path, **bearer(api)))[0] == 200
    assert (await call("GET", f"{path}/x", **bearer(api)))[0] == 403
    assert (await call("GET", "/api/v1/pods", **bearer(api)))[0] == 403
    api.registry.delete(ROLE_BINDINGS, "default", "reader")
    assert (await call("GET", path, **bearer(api)))[0] == 403


async def test_a_missing_role_is_told(api: ApiServer, call: Client) -> None:
    store(api.registry, binding("b", "ClusterRole/a<b", user("ann"), namespace="default"))
    _, status = await call("GET", "/api/v1/namespaces/default/pods", headers=ANN)
    assert status["message"] == (
        'pods is forbidden: User "ann" cannot list resource "pods" in API group "" in the namespace "default": '
        'RBAC: clusterrole.rbac.authorization.k8s.io "a<b" not found'
    )
    assert status["details"] == {"kind": "pods"}


async def test_a_rule_for_one_name_allows_the_list_and_watch_of_that_name(api: ApiServer, call: Client) -> None:
    grant(api.registry, "one", user("ann"), rule("get list watch", "configmaps", names="mine"))
    api.registry.create(CONFIG_MAPS, {"metadata": {"name": "mine", "namespace": "default"}})
    path = "/api/v1/namespaces/default/configmaps"
    assert (await call("GET", f"{path}/mine", headers=ANN))[0] == 200
    assert (await call("GET", f"{path}/other", headers=ANN))[0] == 403
    assert (await call("GET", path, headers=ANN))[0] == 403
    assert (await call("GET", f"{path}?fieldSelector=metadata.name%3Dmine", headers=ANN))[0] == 200
    assert (await call("GET", f"{path}?fieldSelector=metadata.name%21%3Dmine", headers=ANN))[0] == 403
    watch = f"{path}?watch=1&timeoutSeconds=1&fieldSelector=metadata.name%3Dmine"
    assert (await call("GET", watch, headers=ANN))[0] == 200


async def test_a_bound_namespace_can_be_read_by_its_name(api: ApiServer, call: Client) -> None:
    grant(api.registry, "viewer", user("ann"), rule("get list", "namespaces"))
    assert (await call("GET", "/api/v1/namespaces/default", headers=ANN))[0] == 200
    assert (await call("GET", "/api/v1/namespaces", headers=ANN))[0] == 403


async def test_a_namespace_is_not_reached_through_another(api: ApiServer, call: Client) -> None:
    """A path below a namespace is authorised there, so nothing that is outside of it may be served at it."""
    api.registry.create(NAMESPACES, {"metadata": {"name": "other"}})
    grant(api.registry, "master", user("ann"), {"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]})
    for method, path in (("GET", "namespaces"), ("GET", "namespaces/other"), ("DELETE", "namespaces/other")):
        assert (await call(method, f"/api/v1/namespaces/default/{path}", headers=ANN))[0] == 404, (method, path)


async def test_a_token_is_bound_to_a_pod_of_its_account_only(api: ApiServer, call: Client) -> None:
    run_pod(api.registry, pod("web"))
    api.registry.create(SERVICE_ACCOUNTS, {"metadata": {"name": "other", "namespace": "default"}})
    request = {
        "apiVersion": "authentication.k8s.io/v1",
        "kind": "TokenRequest",
        "spec": {"boundObjectRef": {"apiVersion": "v1", "kind": "Pod", "name": "web"}},
    }
    path = "/api/v1/namespaces/default/serviceaccounts"
    code, status = await call("POST", f"{path}/other/token", request)
    assert (code, status.get("message")) == (
        400,
        'cannot bind token for serviceaccount "other" to pod running with different serviceaccount name.',
    )
    assert (await call("POST", f"{path}/default/token", request))[0] == 201


@pytest.mark.parametrize("what", ["exec", "attach"])
async def test_who_only_reads_runs_no_commands(api: ApiServer, call: Client, what: str) -> None:
    run_pod(api.registry, pod("web"))
    grant(api.registry, "reader", user("ann"), rule("get", f"pods/{what}"))
    path = f"/api/v1/namespaces/default/pods/web/{what}?command=exit&command=0&stdout=1"
    _, status = await call("GET", path, headers=ANN)
    assert f'User "ann" cannot create resource "pods/{what}"' in status["message"]
    grant(api.registry, "runner", user("ann"), rule("create", f"pods/{what}"))
    code, status = await call("GET", path, headers=ANN)
    assert code == 400, status  # allowed, and no WebSocket


async def test_a_deleted_health_role_closes_the_version_and_not_the_health(api: ApiServer, call: Client) -> None:
    assert (await call("DELETE", f"{RBAC}/clusterrolebindings/system:public-info-viewer"))[0] == 200
    code, status = await call("GET", "/version", anonymous=True)
    assert (code, status["message"]) == (403, 'forbidden: User "system:anonymous" cannot get path "/version"')
    assert (await call("GET", "/livez", anonymous=True))[0] == 200


async def test_applying_what_is_not_there_is_a_create(api: ApiServer, call: Client) -> None:
    grant(api.registry, "patcher", user("ann"), rule("get patch", "configmaps"))
    apply = {**ANN, "Content-Type": "application/apply-patch+yaml"}
    config = json.dumps({"apiVersion": "v1", "kind": "ConfigMap", "data": {"a": "1"}})
    path = "/api/v1/namespaces/default/configmaps/mine?fieldManager=me"
    code, status = await call("PATCH", path, config, headers=apply)
    assert code == 403 and 'User "ann" cannot create resource "configmaps"' in status["message"]
    api.registry.create(CONFIG_MAPS, {"metadata": {"name": "mine", "namespace": "default"}})
    assert (await call("PATCH", path, config, headers=apply))[0] == 200


# -------------------------------------------------------------- impersonation


async def who(call: Client, headers: Any, **options: Any) -> JSON:
    """The user that a request with these headers is made by."""
    sent = CIMultiDict(headers, **{"Content-Type": "application/json"})
    code, review = await call("POST", SELF_REVIEWS, "{}", headers=sent, **options)
    assert code == 201, review
    info: JSON = review["status"]["userInfo"]
    return info


async def test_the_administrator_acts_as_anyone(call: Client) -> None:
    assert await who(call, ANN) == {"username": "ann", "groups": ["system:authenticated"]}
    headers = [
        ("Impersonate-User", "ann"),
        ("Impersonate-Group", "dev"),
        ("Impersonate-Group", "ops"),
        ("Impersonate-Uid", "7"),
        ("Impersonate-Extra-Acme.com%2Fproject", "a"),
        ("Impersonate-Extra-Acme.com%2Fproject", "b"),
    ]
    assert await who(call, headers) == {
        "username": "ann",
        "groups": ["dev", "ops", "system:authenticated"],
        "uid": "7",
        "extra": {"acme.com/project": ["a", "b"]},
    }


async def test_an_account_that_is_acted_as_has_its_groups(call: Client) -> None:
    info = await who(call, {"Impersonate-User": DEFAULT_ACCOUNT})
    assert info["groups"] == ["system:serviceaccounts", "system:serviceaccounts:default", "system:authenticated"]
    info = await who(call, {"Impersonate-User": DEFAULT_ACCOUNT, "Impersonate-Group": "dev"})
    assert info["groups"] == ["dev", "system:authenticated"]


async def test_acting_as_nobody_has_no_right_to_a_review(call: Client) -> None:
    code, status = await call("POST", SELF_REVIEWS, {}, headers={"Impersonate-User": "system:anonymous"})
    assert code == 403 and 'User "system:anonymous" cannot create' in status["message"]


async def test_acting_as_someone_needs_the_verb_impersonate(api: ApiServer, call: Client) -> None:
    headers = {**bearer(api)["headers"], **ANN}
    code, status = await call("GET", "/api/v1/pods", anonymous=True, headers=headers)
    assert (code, status["message"]) == (
        403,
        f'users "ann" is forbidden: User "{DEFAULT_ACCOUNT}" cannot impersonate resource "users" in API group "" '
        "at the cluster scope",
    )
    grant(api.registry, "mask", account("default", "default"), rule("impersonate", "users", names="ann"), namespace="")
    assert (await who(call, headers, anonymous=True))["username"] == "ann"
    code, status = await call("GET", "/api/v1/pods", anonymous=True, headers={**headers, "Impersonate-Group": "dev"})
    assert code == 403 and 'groups "dev" is forbidden' in status["message"]
    other = {**headers, "Impersonate-User": "system:serviceaccount:default:other"}
    _, status = await call("GET", "/api/v1/pods", anonymous=True, headers=other)
    assert (
        'cannot impersonate resource "serviceaccounts" in API group "" in the namespace "default"' in status["message"]
    )
    extra = {**headers, "Impersonate-Extra-Scopes": "all"}
    _, status = await call("GET", "/api/v1/pods", anonymous=True, headers=extra)
    assert 'resource "userextras/scopes" in API group "authentication.k8s.io"' in status["message"]


async def test_groups_without_a_user_are_a_mistake(call: Client) -> None:
    code, status = await call("GET", "/api/v1/pods", headers={"Impersonate-Group": "dev"})
    assert (code, status["message"]) == (400, "requested [Group dev] without impersonating a user")


async def test_nobody_acts_as_someone_without_credentials(call: Client) -> None:
    assert (await call("GET", "/api/v1/pods", anonymous=True, headers=ANN))[0] == 401
    assert (await call("GET", "/version", anonymous=True, headers=ANN))[0] == 403


# -------------------------------------------------------------------- reviews


async def test_access_reviews_are_of_the_same_mind(api: ApiServer, call: Client) -> None:
    grant(api.registry, "reader", user("ann"), rule("list", "pods"))
    asked = {"resourceAttributes": {"verb": "list", "resource": "pods", "namespace": "default"}}
    root = "/apis/authorization.k8s.io/v1"
    reason = 'RBAC: allowed by RoleBinding "reader/default" of Role "reader" to User "ann"'
    _, review = await call("POST", f"{root}/selfsubjectaccessreviews", {"spec": asked}, headers=ANN)
    assert review["status"] == {"allowed": True, "reason": reason}
    _, review = await call("POST", f"{root}/subjectaccessreviews", {"spec": {**asked, "user": "ann"}})
    assert review["status"] == {"allowed": True, "reason": reason}
    _, review = await call("POST", f"{root}/subjectaccessreviews", {"spec": {**asked, "user": "bob"}})
    assert review["status"] == {"allowed": False}
    local = f"{root}/namespaces/default/localsubjectaccessreviews"
    code, review = await call("POST", local, {"spec": {**asked, "groups": ["system:masters"]}})
    assert (code, review["status"], review["metadata"]) == (201, {"allowed": True}, {"namespace": "default"})
    paths = {"spec": {"nonResourceAttributes": {"verb": "get", "path": "/apis/apps"}}}
    _, review = await call("POST", f"{root}/selfsubjectaccessreviews", paths, headers=ANN)
    assert review["status"]["reason"].endswith('of ClusterRole "system:discovery" to Group "system:authenticated"')


@pytest.mark.parametrize(
    ("path", "spec", "code", "expected"),
    [
        ("subjectaccessreviews", {"user": "ann"}, 422, "exactly one of nonResourceAttributes or resourceAttributes"),
        ("subjectaccessreviews", {"resourceAttributes": {}}, 422, "at least one of user or group must be specified"),
        (
            "selfsubjectaccessreviews",
            {"resourceAttributes": {}, "nonResourceAttributes": {}},
            422,
            "cannot be specified in combination with resourceAttributes",
        ),
        (
            "namespaces/default/localsubjectaccessreviews",
            {"user": "ann", "resourceAttributes": {"namespace": "other"}},
            422,
            "must match default",
        ),
        ("selfsubjectrulesreviews", {}, 400, "no namespace on request"),
        ("selfsubjectaccessreviews", {"resourceAttributes": {"verb": 1}}, 400, "cannot unmarshal number"),
        ("namespaces/default/subjectaccessreviews", {}, 404, "could not find the requested resource"),
        ("localsubjectaccessreviews", {}, 404, "could not find the requested resource"),
        ("selfsubjectaccessreviews/mine", {}, 404, "could not find the requested resource"),
        ("selfsubjectaccessreviews/mine/status", {}, 404, "could not find the requested resource"),
    ],
)
async def test_reviews_that_make_no_sense(call: Client, path: str, spec: JSON, code: int, expected: str) -> None:
    got, status = await call("POST", f"/apis/authorization.k8s.io/v1/{path}", {"spec": spec})
    assert got == code and expected in status["message"]


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
async def test_a_review_is_only_created(call: Client, method: str) -> None:
    code, status = await call(method, "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews")
    assert (code, status["reason"]) == (405, "MethodNotAllowed")


async def test_the_rules_of_oneself(api: ApiServer, call: Client) -> None:
    grant(api.registry, "reader", user("ann"), rule("get", "pods", names="web"))
    path = "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews"
    _, review = await call("POST", path, {"spec": {"namespace": "default"}}, headers=ANN)
    mine = {"verbs": ["get"], "apiGroups": [""], "resources": ["pods"], "resourceNames": ["web"]}
    assert mine in review["status"]["resourceRules"]
    assert review["status"]["incomplete"] is False
    urls = [url for each in review["status"]["nonResourceRules"] for url in each["nonResourceURLs"]]
    assert "/apis/*" in urls
    _, review = await call("POST", path, {"spec": {"namespace": "kube-system"}}, headers=ANN)
    assert mine not in review["status"]["resourceRules"]


async def test_whose_token_it_is(api: ApiServer, call: Client) -> None:
    path = "/apis/authentication.k8s.io/v1/tokenreviews"
    _, review = await call("POST", path, {"spec": {"token": token(api)}})
    assert review["status"]["authenticated"] is True
    assert review["status"]["user"]["username"] == DEFAULT_ACCOUNT
    _, review = await call("POST", path, {"spec": {"token": "nonsense"}})
    assert "authenticated" not in review["status"] and "the token is not a JWT" in review["status"]["error"]
    vault = {"token": token(api, audiences=["vault"]), "audiences": ["other", "vault"]}
    _, review = await call("POST", path, {"spec": vault})
    assert review["status"]["audiences"] == ["vault"]
    _, review = await call("POST", path, {"spec": {**vault, "audiences": ["other"]}})
    assert "authenticated" not in review["status"]
    assert (await call("POST", path, {"spec": {}}))[0] == 400
    assert (await call("POST", path, {"spec": {"token": "x"}}, headers=ANN))[0] == 403


# ----------------------------------------------------------------- escalation

SECRETS = rule("get", "secrets")


@pytest.fixture
def manager(api: ApiServer) -> Registry:
    """Ann may write roles and bindings, and read pods."""
    manage = rule("get list create update patch delete", "roles rolebindings", "rbac.authorization.k8s.io")
    grant(api.registry, "manager", user("ann"), manage, rule("get list", "pods"))
    return api.registry


async def test_a_role_gives_no_more_than_its_writer_has(call: Client, manager: Registry) -> None:
    code, _ = await call("POST", ROLES, role("pods", rule("get", "pods")), headers=ANN)
    assert code == 201
    code, status = await call("POST", ROLES, role("secrets", SECRETS), headers=ANN)
    assert (code, status["message"]) == (
        403,
        'roles.rbac.authorization.k8s.io "secrets" is forbidden: user "ann" (groups=["system:authenticated"]) is '
        "attempting to grant RBAC permissions not currently held:\n"
        '{APIGroups:[""], Resources:["secrets"], Verbs:["get"]}',
    )
    assert (await call("PUT", f"{ROLES}/pods", role("pods", SECRETS, namespace="default"), headers=ANN))[0] == 403
    merge = {**ANN, "Content-Type": "application/merge-patch+json"}
    assert (await call("PATCH", f"{ROLES}/pods", json.dumps({"rules": [SECRETS]}), headers=merge))[0] == 403
    apply = {**ANN, "Content-Type": "application/apply-patch+yaml"}
    applied = {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": {}, "rules": [SECRETS]}
    for name in ("pods", "new"):
        code, status = await call(
            "PATCH", f"{ROLES}/{name}?fieldManager=me&force=1", json.dumps(applied), headers=apply
        )
        assert code == 403, status
    finalizer = {"metadata": {"finalizers": ["a.b/c"]}}
    assert (await call("PATCH", f"{ROLES}/pods", json.dumps(finalizer), headers=merge))[0] == 200


async def test_the_verb_escalate_allows_it(call: Client, manager: Registry) -> None:
    escalate = rule("escalate", "roles", "rbac.authorization.k8s.io")
    grant(manager, "escalate", user("ann"), escalate)
    assert (await call("POST", ROLES, role("secrets", SECRETS), headers=ANN))[0] == 201


async def test_a_binding_gives_no_more_than_its_writer_has(call: Client, manager: Registry) -> None:
    store(manager, role("secrets", SECRETS, namespace="default"))
    store(manager, role("pods", rule("get", "pods"), namespace="default"))
    code, _ = await call("POST", BINDINGS, binding("pods", "Role/pods", group("dev")), headers=ANN)
    assert code == 201
    wanted = binding("secrets", "Role/secrets", user("ann"))
    code, status = await call("POST", BINDINGS, wanted, headers=ANN)
    assert code == 403 and "attempting to grant RBAC permissions not currently held" in status["message"]
    code, status = await call("POST", BINDINGS, binding("x", "ClusterRole/cluster-admin", user("ann")), headers=ANN)
    assert code == 403
    code, status = await call("POST", BINDINGS, binding("x", "Role/none", user("ann")), headers=ANN)
    assert (code, status["message"]) == (404, 'roles.rbac.authorization.k8s.io "none" not found')
    bind = rule("bind", "roles", "rbac.authorization.k8s.io", names="secrets")
    grant(manager, "bind", user("ann"), bind)
    assert (await call("POST", BINDINGS, wanted, headers=ANN))[0] == 201
    assert (await call("GET", "/api/v1/namespaces/default/secrets/x", headers=ANN))[0] == 404


async def test_aggregation_is_for_those_who_may_everything(api: ApiServer, call: Client) -> None:
    manage = rule("create", "clusterroles", "rbac.authorization.k8s.io")
    grant(api.registry, "manager", user("ann"), manage, namespace="")
    gathering = {
        "metadata": {"name": "all"},
        "aggregationRule": {"clusterRoleSelectors": [{"matchLabels": {"a": "b"}}]},
    }
    code, status = await call("POST", f"{RBAC}/clusterroles", gathering, headers=ANN)
    assert code == 403 and "must have cluster-admin privileges to use the aggregationRule" in status["message"]
    store(api.registry, binding("root", "ClusterRole/cluster-admin", user("ann")))
    assert (await call("POST", f"{RBAC}/clusterroles", gathering, headers=ANN))[0] == 201
