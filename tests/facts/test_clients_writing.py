"""What clients write, in which encodings, and how they are refused (facts 4, 7, 11)."""

from __future__ import annotations

import json
import ssl
from typing import Any

import kubernetes
import pytest
import urllib3

from tests.facts.api_port import APPLY, MERGE, PROTOBUF, STRATEGIC, Space, path_of
from tests.facts.listening_proxy import Request, listening
from tests.manifests import pod, shell, workload
from tests.running_lab import SECONDS, RunningLab

JSON = dict[str, Any]


def config_map(name: str, value: str = "1") -> JSON:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"a": value}}


def deployment() -> JSON:
    obj = workload("Deployment", "web", 0, shell(env=[{"name": "A", "value": "1"}]))
    obj["spec"]["template"]["spec"]["containers"].append({**shell(), "name": "other"})
    return obj


def test_fact_04_client_side_apply_reads_and_sends_a_strategic_merge_patch(space: Space) -> None:
    """kubectl apply: GET, then a strategic merge patch with fieldManager and fieldValidation=Strict."""
    space.create(config_map("one"))
    with listening(space.api) as proxy:
        manifest = json.dumps(config_map("one", "2"))
        assert (
            proxy.kubectl("-n", space.name, "apply", "-f", "-", stdin=manifest).stdout == "configmap/one configured\n"
        )
        (read, write) = (r for r in proxy.requests if r.path.endswith("/configmaps/one"))
    assert (read.method, write.method, write.content_type) == ("GET", "PATCH", STRATEGIC)
    assert write.query == {"fieldManager": ["kubectl-client-side-apply"], "fieldValidation": ["Strict"]}
    assert space.get("configmaps", "one")["data"] == {"a": "2"}


def test_fact_04_a_strategic_merge_patch_merges_lists_by_their_keys(space: Space) -> None:
    """Containers and variables are found by name; $patch deletes one; a field that does not exist is refused."""
    space.create(deployment())
    env = [{"name": "B", "value": "2"}, {"name": "A", "$patch": "delete"}]
    change = {"spec": {"template": {"spec": {"containers": [{"name": "main", "env": env}]}}}}
    changed = space.patch("deployments", "web", change, content_type=STRATEGIC)
    main, other = changed["spec"]["template"]["spec"]["containers"]
    assert (main["name"], other["name"]) == ("main", "other")
    assert main["env"] == [{"name": "B", "value": "2"}] and main["image"] == "busybox:1.37"
    path, wrong = space.path("deployments", "web"), {"spec": {"replica": 1}}
    refused = space.api.refused("PATCH", path, wrong, content_type=STRATEGIC, fieldValidation="Strict")
    assert (refused["code"], refused["reason"]) == (422, "Invalid")
    assert 'unknown field "spec.replica"' in refused["message"]


def test_fact_04_server_side_apply_has_managers_and_force(space: Space) -> None:
    """An apply-patch in YAML: what another manager owns is a 409 until force takes it over."""
    path = space.path("configmaps", "one")
    manifest = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: one}\ndata: {a: '%s'}\n"

    def apply(value: str, manager: str, **query: str) -> JSON:
        body = (manifest % value).encode()
        answer = space.api("PATCH", path, body, content_type=APPLY, fieldManager=manager, **query)
        found: JSON = answer.json()
        return found

    made = apply("1", "first")
    (managed,) = made["metadata"]["managedFields"]
    assert (managed["manager"], managed["operation"]) == ("first", "Apply")
    conflict = apply("2", "second")
    assert (conflict["code"], conflict["reason"]) == (409, "Conflict")
    assert [(c["reason"], c["field"]) for c in conflict["details"]["causes"]] == [("FieldManagerConflict", ".data.a")]
    assert space.get("configmaps", "one")["data"] == {"a": "1"}
    taken = apply("2", "second", force="true")
    assert taken["data"] == {"a": "2"}
    owners = [m["manager"] for m in taken["metadata"]["managedFields"] if "f:data" in m["fieldsV1"]]
    assert owners == ["second"]
    without = space.api.refused("PATCH", path, (manifest % "3").encode(), content_type=APPLY)
    assert without["code"] == 422 and "fieldManager" in without["message"]
    with listening(space.api) as proxy:
        arguments = ("apply", "--server-side", "--force-conflicts", "-f", "-")
        assert proxy.kubectl("-n", space.name, *arguments, stdin=manifest % "4").returncode == 0
        (asked,) = proxy.asked("PATCH", "/configmaps/one")
    assert asked.content_type == APPLY
    assert {"fieldManager": ["kubectl"], "force": ["true"]}.items() <= asked.query.items()


def test_fact_04_a_dry_run_changes_nothing(space: Space) -> None:
    """dryRun=All on every way to write: answered as if it were done, and nothing is stored."""
    api = space.api
    stored = space.create(config_map("one"))
    path, collection = space.path("configmaps", "one"), space.path("configmaps")
    dry = {"dryRun": "All"}
    before = api.ok("GET", collection)["items"]
    with space.watched("configmaps") as watched:
        made = api.ok("POST", collection, config_map("two"), **dry)
        assert made["metadata"]["uid"]
        for content_type in (MERGE, STRATEGIC):
            assert api.ok("PATCH", path, config_map("one", "2"), content_type=content_type, **dry)["data"] == {"a": "2"}
        body = json.dumps(config_map("one", "3")).encode()
        query = {"fieldManager": "me", "force": "true", **dry}
        assert api.ok("PATCH", path, body, content_type=APPLY, **query)["data"] == {"a": "3"}
        assert api.ok("PUT", path, {**stored, "data": {"a": "4"}}, **dry)["data"] == {"a": "4"}
        api.ok("DELETE", path, **dry)
        api.ok("DELETE", path, {"dryRun": ["All"]})
        api.ok("DELETE", collection, **dry)
        assert api.ok("GET", collection)["items"] == before
        space.create(config_map("last"))
        watched.until(lambda found: "last" in found)
        assert [name for name in watched.told("ADDED", "MODIFIED", "DELETED") if name != "kube-root-ca.crt"] == [
            "one",
            "last",
        ]
    wrong = api.refused("POST", collection, config_map("two"), dryRun="Some")
    assert wrong["code"] == 422


def test_fact_04_scale_is_a_merge_patch_and_the_python_client_sends_a_strategic_one(space: Space) -> None:
    """kubectl scale and the Python client send different patches to /scale: both are taken."""
    space.create(deployment())
    with listening(space.api) as proxy:
        assert proxy.kubectl("-n", space.name, "scale", "deploy/web", "--replicas=2").returncode == 0
        assert space.get("deployments", "web")["spec"]["replicas"] == 2
        apps = kubernetes.client.AppsV1Api(proxy.python_client())
        scale = apps.patch_namespaced_deployment_scale("web", space.name, {"spec": {"replicas": 3}})
        assert scale.spec.replicas == space.get("deployments", "web")["spec"]["replicas"] == 3
        assert [r.content_type for r in proxy.asked("PATCH", "/deployments/web/scale")] == [MERGE, STRATEGIC]


def test_fact_04_restart_and_set_image_name_the_order_of_the_containers(space: Space) -> None:
    """Both send strategic merge patches; with $setElementOrder where a list changes, and the order is kept."""
    space.create(deployment())
    with listening(space.api) as proxy:
        here = ("-n", space.name)
        assert proxy.kubectl(*here, "rollout", "restart", "deploy/web").returncode == 0
        assert proxy.kubectl(*here, "set", "image", "deploy/web", "other=busybox:9").returncode == 0
        restart, image = proxy.asked("PATCH", "/deployments/web")
    assert (restart.content_type, image.content_type) == (STRATEGIC, STRATEGIC)
    order = json.loads(image.body)["spec"]["template"]["spec"]["$setElementOrder/containers"]
    assert order == [{"name": "main"}, {"name": "other"}]
    template = space.get("deployments", "web")["spec"]["template"]
    assert "kubectl.kubernetes.io/restartedAt" in template["metadata"]["annotations"]
    assert [(c["name"], c["image"]) for c in template["spec"]["containers"]] == [
        ("main", "busybox:1.37"),
        ("other", "busybox:9"),
    ]
    reordered = {"spec": {"template": {"spec": {"$setElementOrder/containers": [*reversed(order)], "containers": []}}}}
    changed = space.patch("deployments", "web", reordered, content_type=STRATEGIC)
    assert [c["name"] for c in changed["spec"]["template"]["spec"]["containers"]] == ["other", "main"]


CREATES = {
    "ns": "namespaces",
    "deployment one --image=busybox --replicas=0": "deployments",
    "sa one": "serviceaccounts",
    "configmap one --from-literal=a=b": "configmaps",
    "secret generic one --from-literal=a=b": "secrets",
    "job one --image=busybox": "jobs",
    "role one --verb=get --resource=pods": "roles",
    "service clusterip one --tcp=80:80": "services",
    "token default": "serviceaccounts/default/token",
}


@pytest.mark.parametrize("command", CREATES)
def test_fact_07_kubectl_create_sends_protobuf_and_the_object_is_made(space: Space, command: str) -> None:
    """What kubectl create posts is protobuf behind `k8s\\0`, and the object is what was asked for."""
    name = f"{space.name}-b" if command == "ns" else "one"
    words = [*command.split(), name] if command == "ns" else command.split()
    with listening(space.api) as proxy:
        done = proxy.kubectl("-n", space.name, "create", *words)
        (asked,) = proxy.asked("POST", f"/{CREATES[command]}")
    assert asked.content_type == PROTOBUF and asked.body.startswith(b"k8s\0")
    assert done.returncode == 0, done.stderr
    if command.startswith("token"):
        assert done.stdout.count(".") == 2
        return
    assert done.stdout.endswith(f"{name} created\n")
    stored = space.api.ok("GET", f"{asked.path}/{name}")
    assert stored["metadata"]["name"] == name
    match command.split()[0]:
        case "ns":
            space.api.ok("DELETE", path_of("namespaces", name=name))
        case "configmap":
            assert stored["data"] == {"a": "b"}
        case "secret":
            assert (stored["data"], stored["type"]) == ({"a": "Yg=="}, "Opaque")
        case "deployment" | "job":
            (container,) = stored["spec"]["template"]["spec"]["containers"]
            assert (container["name"], container["image"]) == ("busybox", "busybox") or container["name"] == "one"
            assert stored["spec"].get("replicas", 0) == 0
        case "service":
            assert stored["spec"]["ports"] == [{"name": "80-80", "port": 80, "protocol": "TCP", "targetPort": 80}]
        case "role":
            assert stored["rules"] == [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}]


def test_fact_07_auth_can_i_asks_in_protobuf(space: Space) -> None:
    """kubectl auth can-i posts a review in protobuf; the answer may be JSON."""
    with listening(space.api) as proxy:
        assert proxy.kubectl("-n", space.name, "auth", "can-i", "delete", "pods").stdout == "yes\n"
        (asked,) = proxy.asked("POST", "/selfsubjectaccessreviews")
    assert asked.content_type == PROTOBUF and asked.body.startswith(b"k8s\0")


def not_protobuf(asked: Request) -> tuple[int, str] | None:
    return (415, "UnsupportedMediaType") if asked.content_type == PROTOBUF else None


def test_fact_07_kubectl_does_not_try_again_in_json(space: Space) -> None:
    """A server that does not read protobuf is no use to kubectl create: a 415 is the end."""
    with listening(space.api, not_protobuf) as proxy:
        assert proxy.kubectl("-n", space.name, "create", "sa", "one").returncode == 1
        assert len(proxy.asked("POST", "/serviceaccounts")) == 1


def status_of(refused: JSON) -> tuple[int, str, str]:
    return refused["code"], refused["reason"], refused["message"]


def test_fact_11_what_is_not_there_is_404(space: Space) -> None:
    """NotFound names the resource and the name, in the message and in details."""
    refused = space.api.refused("GET", space.path("statefulsets", "web"))
    assert status_of(refused) == (404, "NotFound", 'statefulsets.apps "web" not found')
    assert refused["details"] == {"name": "web", "group": "apps", "kind": "statefulsets"}


def test_fact_11_a_name_that_is_taken_and_a_stale_write_are_409(space: Space) -> None:
    """AlreadyExists for a second create, Conflict for an update of an old version."""
    old = space.create(config_map("one"))
    refused = space.api.refused("POST", space.path("configmaps"), config_map("one"))
    assert status_of(refused) == (409, "AlreadyExists", 'configmaps "one" already exists')
    assert refused["details"] == {"name": "one", "kind": "configmaps"}
    space.patch("configmaps", "one", {"data": {"a": "2"}})
    refused = space.api.refused("PUT", space.path("configmaps", "one"), old)
    code, reason, message = status_of(refused)
    assert (code, reason, refused["details"]) == (409, "Conflict", {"name": "one", "kind": "configmaps"})
    assert message == (
        'Operation cannot be fulfilled on configmaps "one": the object has been modified; '
        "please apply your changes to the latest version and try again"
    )


def test_fact_11_an_invalid_object_is_422_with_its_causes(space: Space) -> None:
    """Invalid lists each wrong field: where it is, why, and in words."""
    wrong = pod("One_", shell(ports=[{"containerPort": 70000}]), labels={"app": "one"})
    refused = space.api.refused("POST", space.path("pods"), wrong)
    code, reason, message = status_of(refused)
    assert (code, reason) == (422, "Invalid") and message.startswith('Pod "One_" is invalid: [')
    details = refused["details"]
    assert (details["name"], details["kind"]) == ("One_", "Pod")
    causes = {c["field"]: c for c in details["causes"]}
    assert causes.keys() == {"metadata.name", "spec.containers[0].ports[0].containerPort"}
    port = causes["spec.containers[0].ports[0].containerPort"]
    assert port["reason"] == "FieldValueInvalid"
    assert port["message"] == "Invalid value: 70000: must be between 1 and 65535, inclusive"


def test_fact_11_nothing_is_made_in_a_namespace_that_ends(space: Space) -> None:
    """403 with the cause NamespaceTerminating."""
    api, name = space.api, f"{space.name}-b"
    api.ok("POST", path_of("namespaces"), {"metadata": {"name": name}})
    inner = Space(api, name)
    inner.create({**config_map("kept"), "metadata": {"name": "kept", "finalizers": ["example.com/keep"]}})
    api.ok("DELETE", path_of("namespaces", name=name))
    refused = api.refused("POST", inner.path("configmaps"), config_map("one"))
    code, reason, message = status_of(refused)
    assert (code, reason) == (403, "Forbidden")
    assert message == (
        f'configmaps "one" is forbidden: unable to create new content in namespace {name} '
        "because it is being terminated"
    )
    (cause,) = refused["details"]["causes"]
    assert (cause["reason"], cause["field"]) == ("NamespaceTerminating", "metadata.namespace")
    inner.patch("configmaps", "kept", {"metadata": {"finalizers": None}})


def test_fact_11_no_credentials_are_401(space: Space, cluster: RunningLab) -> None:
    """Whoever shows none is told Unauthorized, as a Status."""
    nobody = ssl.create_default_context(cafile=str(cluster.state / "pki" / "ca.crt"))
    pool = urllib3.PoolManager(ssl_context=nobody, timeout=SECONDS)
    answer = pool.request("GET", space.api.url + space.path("pods"))
    found = answer.json()
    assert (answer.status, found["kind"], found["code"]) == (401, "Status", 401)
    assert (found["reason"], found["message"]) == ("Unauthorized", "Unauthorized")
