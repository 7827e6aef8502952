"""The API of the running cluster through the official Python client, and its refusals through kubectl."""

from __future__ import annotations

import json
from typing import Any
from urllib.error import HTTPError

import pytest
from kubernetes import client, watch
from kubernetes.client.exceptions import ApiException
from kubernetes.stream import stream

from tests.manifests import pod, service, shell, workload
from tests.running_lab import Namespace

JSON = dict[str, Any]


def config_map(name: str, **metadata: Any) -> JSON:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, **metadata}, "data": {"a": "1"}}


def reason(error: ApiException) -> str:
    return str(json.loads(error.body)["reason"])


def events_of(space: Namespace, **query: Any) -> list[JSON]:
    """What a watch of the namespace's config maps sends until it ends by its timeout."""
    with space.lab.request(f"namespaces/{space.name}/configmaps", watch="true", timeoutSeconds=1, **query) as answer:
        return [json.loads(line) for line in answer]


def test_a_watch_tells_every_change_in_order(namespace: Namespace) -> None:
    core, name = namespace.lab.core, namespace.name
    start = core.list_namespaced_config_map(name).metadata.resource_version
    core.create_namespaced_config_map(name, config_map("one"))
    core.patch_namespaced_config_map("one", name, {"data": {"a": "2"}})
    core.delete_namespaced_config_map("one", name)
    watching = watch.Watch().stream(
        core.list_namespaced_config_map, name, resource_version=start, field_selector="metadata.name=one",
        timeout_seconds=1,
    )  # fmt: skip
    told = [(e["type"], (e["object"].data or {}).get("a")) for e in watching]
    assert told == [("ADDED", "1"), ("MODIFIED", "2"), ("DELETED", "2")]


def test_a_watch_list_sends_what_there_is_and_then_a_bookmark(namespace: Namespace) -> None:
    for name in ("one", "two"):
        namespace.lab.core.create_namespaced_config_map(namespace.name, config_map(name))
    told = events_of(
        namespace,
        sendInitialEvents="true",
        resourceVersionMatch="NotOlderThan",
        allowWatchBookmarks="true",
        labelSelector="!kube",
    )
    names = [e["object"]["metadata"].get("name") for e in told if e["type"] == "ADDED"]
    assert {"one", "two"} <= set(names)
    mark = next(e for e in told if e["type"] == "BOOKMARK")
    assert mark["object"]["metadata"]["annotations"] == {"k8s.io/initial-events-end": "true"}


def test_a_watch_from_the_future_is_refused(namespace: Namespace) -> None:
    with pytest.raises(HTTPError) as refused:
        events_of(namespace, resourceVersion=10**9)
    status = json.load(refused.value)
    assert (status["code"], status["reason"]) == (504, "Timeout")
    assert "Too large resource version" in status["message"]


def test_a_list_comes_in_chunks(namespace: Namespace) -> None:
    core, names, token = namespace.lab.core, [], None
    for n in range(7):
        core.create_namespaced_config_map(namespace.name, config_map(f"c{n}", labels={"mine": "yes"}))
    while True:
        page = core.list_namespaced_config_map(namespace.name, limit=3, _continue=token, label_selector="mine=yes")
        assert len(page.items) <= 3
        names += [item.metadata.name for item in page.items]
        token = page.metadata._continue
        if not token:
            break
    assert names == [f"c{n}" for n in range(7)]


def test_a_stale_update_is_a_conflict(namespace: Namespace) -> None:
    core, name = namespace.lab.core, namespace.name
    first = core.create_namespaced_config_map(name, config_map("one"))
    core.patch_namespaced_config_map("one", name, {"data": {"b": "2"}})
    with pytest.raises(ApiException) as refused:
        core.replace_namespaced_config_map("one", name, first)
    assert (refused.value.status, reason(refused.value)) == (409, "Conflict")
    with pytest.raises(ApiException) as refused:
        core.create_namespaced_config_map(name, config_map("one"))
    assert (refused.value.status, reason(refused.value)) == (409, "AlreadyExists")


def test_the_three_kinds_of_patches_that_kubectl_sends(namespace: Namespace) -> None:
    namespace.apply(workload("Deployment", "web", 0, shell(env=[{"name": "A", "value": "1"}])))
    more = {"spec": {"template": {"spec": {"containers": [{"name": "main", "env": [{"name": "B", "value": "2"}]}]}}}}
    namespace.kubectl("patch", "deploy/web", "--type=strategic", "-p", json.dumps(more))
    (container,) = namespace.get("deploy/web")["spec"]["template"]["spec"]["containers"]
    assert {e["name"] for e in container["env"]} == {"A", "B"}
    assert container["image"] == "busybox:1.37"
    namespace.kubectl("patch", "deploy/web", "--type=merge", "-p", '{"metadata":{"labels":{"colour":"blue"}}}')
    operation = [{"op": "replace", "path": "/metadata/labels/colour", "value": "green"}]
    namespace.kubectl("patch", "deploy/web", "--type=json", "-p", json.dumps(operation))
    assert namespace.get("deploy/web")["metadata"]["labels"]["colour"] == "green"
    test = [{"op": "test", "path": "/metadata/labels/colour", "value": "red"}, operation[0]]
    namespace.refused("patch", "deploy/web", "--type=json", "-p", json.dumps(test))


def test_a_dry_run_changes_nothing(namespace: Namespace) -> None:
    core, name = namespace.lab.core, namespace.name
    assert core.create_namespaced_config_map(name, config_map("one"), dry_run="All").metadata.uid
    with pytest.raises(ApiException, match="404"):
        core.read_namespaced_config_map("one", name)
    namespace.apply(config_map("two"))
    assert "(server dry run)" in namespace.kubectl("delete", "configmap", "two", "--dry-run=server")
    assert namespace.get("configmap/two")
    with pytest.raises(ApiException) as refused:
        core.create_namespaced_pod(name, {"metadata": {"name": "x"}, "spec": {"containers": []}}, dry_run="All")
    assert refused.value.status == 422


def test_unknown_fields_are_named(namespace: Namespace) -> None:
    wrong = json.dumps(pod("one", shell(comand=["sh"])))
    told = namespace.refused("apply", "-f", "-", stdin=wrong)
    assert 'unknown field "spec.containers[0].comand"' in told
    warned = namespace.lab.request(
        f"namespaces/{namespace.name}/pods", body=json.loads(wrong), fieldValidation="Warn", dryRun="All"
    )
    assert 'unknown field \\"spec.containers[0].comand\\"' in warned.headers["Warning"]


def test_invalid_objects_are_refused_with_upstreams_words(namespace: Namespace) -> None:
    wrong = workload("StatefulSet", "Web_1", 1, shell(ports=[{"containerPort": 70000}]))
    told = namespace.refused("apply", "-f", "-", stdin=json.dumps(wrong))
    assert 'The StatefulSet "Web_1" is invalid' in told
    assert "metadata.name: Invalid value" in told
    assert "must be between 1 and 65535, inclusive" in told


def test_names_can_be_generated(namespace: Namespace) -> None:
    body = {"metadata": {"generateName": "c-"}}
    names = {namespace.lab.core.create_namespaced_config_map(namespace.name, body).metadata.name for _ in range(5)}
    assert len(names) == 5
    assert all(name.startswith("c-") and len(name) == 7 for name in names)


def test_a_finalizer_keeps_an_object_until_it_is_taken_away(namespace: Namespace) -> None:
    core, name = namespace.lab.core, namespace.name
    core.create_namespaced_config_map(name, config_map("one", finalizers=["example.com/keep"]))
    core.delete_namespaced_config_map("one", name)
    kept = core.read_namespaced_config_map("one", name)
    assert kept.metadata.deletion_timestamp is not None
    core.patch_namespaced_config_map("one", name, {"metadata": {"finalizers": None}})
    with pytest.raises(ApiException, match="404"):
        core.read_namespaced_config_map("one", name)


def test_what_an_object_owns_goes_with_it(namespace: Namespace) -> None:
    core, name = namespace.lab.core, namespace.name
    owner = core.create_namespaced_config_map(name, config_map("owner"))
    reference = {"apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": owner.metadata.uid}
    core.create_namespaced_config_map(name, config_map("owned", ownerReferences=[reference]))
    core.delete_namespaced_config_map("owner", name, propagation_policy="Background")
    namespace.wait("configmap/owned", "delete")


def test_the_client_execs_and_scales(namespace: Namespace) -> None:
    lab, name = namespace.lab, namespace.name
    namespace.apply(service("web", clusterIP="None"), workload("Deployment", "web", 1, shell()))
    lab.apps.patch_namespaced_deployment_scale("web", name, {"spec": {"replicas": 2}})
    namespace.wait("deploy/web", "jsonpath={.status.readyReplicas}=2")
    assert lab.apps.read_namespaced_deployment_scale("web", name).spec.replicas == 2
    first = lab.core.list_namespaced_pod(name, label_selector="app=web").items[0].metadata.name
    command = ["sh", "-c", "echo out; echo err >&2"]
    told = stream(
        lab.core.connect_get_namespaced_pod_exec, first, name, command=command, stdout=True, stderr=True, stdin=False,
        tty=False,
    )  # fmt: skip
    assert sorted(told.split()) == ["err", "out"]


def test_kubectl_describes_and_explains(namespace: Namespace) -> None:
    namespace.apply(service("db", clusterIP="None"), workload("StatefulSet", "db", 1, shell()))
    namespace.wait("sts/db", "jsonpath={.status.readyReplicas}=1")
    described = namespace.kubectl("describe", "sts/db")
    assert "1 Running / 0 Waiting" in described and "SuccessfulCreate" in described
    told = namespace.kubectl("describe", "pod/db-0")
    for event in ("Scheduled", "Pulled", "Created", "Started"):
        assert event in told
    assert "Used By:       db-0" in namespace.kubectl("describe", "pvc/data-db-0")
    assert "podManagementPolicy" in namespace.kubectl("explain", "sts.spec")
    assert "Started" in namespace.kubectl("events", "--for=pod/db-0")
    for node in ("lab-control-plane", "lab-worker"):
        assert "Ready" in namespace.kubectl("describe", "node", node)
    listed = namespace.kubectl("get", "nodes")
    assert listed.count(" Ready ") == 3 and "control-plane" in listed


def test_what_is_not_served_says_so(namespace: Namespace) -> None:
    with pytest.raises(ApiException) as refused:
        client.AutoscalingV2Api(namespace.lab.client).list_namespaced_horizontal_pod_autoscaler(namespace.name)
    assert refused.value.status == 404
    assert reason(refused.value) == "NotFound"
    assert "does not serve horizontalpodautoscalers.autoscaling, on purpose" in str(refused.value.body)


def test_a_namespace_ends_with_all_that_is_in_it(namespace: Namespace) -> None:
    core = namespace.lab.core
    core.create_namespace({"metadata": {"name": f"{namespace.name}-b"}})
    inner = Namespace(namespace.lab, f"{namespace.name}-b")
    inner.apply(service("db", clusterIP="None"), workload("StatefulSet", "db", 2, shell()))
    core.create_namespaced_config_map(inner.name, config_map("one", finalizers=["example.com/keep"]))
    inner.kubectl("rollout", "status", "sts/db", "--timeout=30s")
    core.delete_namespace(inner.name)
    assert core.read_namespace(inner.name).status.phase == "Terminating"
    assert "is being terminated" in inner.refused("create", "-f", "-", stdin=json.dumps(config_map("two")))
    core.patch_namespaced_config_map("one", inner.name, {"metadata": {"finalizers": None}})
    namespace.lab.kubectl("wait", f"ns/{inner.name}", "--for=delete", "--timeout=30s")
    assert not [v for v in core.list_persistent_volume().items if v.spec.claim_ref.namespace == inner.name]
