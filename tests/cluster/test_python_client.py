"""The calls that the documentation of the official Python client makes, on the running cluster: typed objects, patches,
watches, lists in pages, logs, threads, raw answers.
"""

from __future__ import annotations

import json
import os
import select
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from kubernetes import client, config, utils, watch
from kubernetes.client.exceptions import ApiException
from kubernetes.informer import SharedInformer

from tests.manifests import claim, pod, service, shell, workload
from tests.running_lab import SECONDS, Namespace, RunningLab

JSON = dict[str, Any]
PAUSED = {"suspend": True, "template": {"spec": {"restartPolicy": "Never", "containers": [shell()]}}}
TEMPLATE = {"metadata": {"labels": {"app": "x"}}, "spec": {"containers": [shell()]}}
BACKEND = {"service": {"name": "x", "port": {"number": 80}}}
GROUP = "rbac.authorization.k8s.io"
SELECTOR = {"matchLabels": {"app": "x"}}

# One object of each namespaced kind that a client may write: the API's class, the name of its methods, the content.
WRITTEN: list[tuple[type, str, JSON]] = [
    (client.CoreV1Api, "config_map", {"data": {"a": "1"}}),
    (client.CoreV1Api, "secret", {"stringData": {"a": "1"}}),
    (client.CoreV1Api, "service", {"spec": {"ports": [{"port": 80}]}}),
    (client.CoreV1Api, "service_account", {}),
    (client.CoreV1Api, "persistent_volume_claim", {"spec": claim("x")["spec"]}),
    (client.CoreV1Api, "endpoints", {"subsets": [{"addresses": [{"ip": "10.1.2.3"}], "ports": [{"port": 80}]}]}),
    (client.CoreV1Api, "pod", {"spec": {"terminationGracePeriodSeconds": 0, "containers": [shell()]}}),
    (client.AppsV1Api, "deployment", {"spec": {"replicas": 0, "selector": SELECTOR, "template": TEMPLATE}}),
    (client.AppsV1Api, "replica_set", {"spec": {"replicas": 0, "selector": SELECTOR, "template": TEMPLATE}}),
    (client.AppsV1Api, "stateful_set", {"spec": {"replicas": 0, "selector": SELECTOR, "template": TEMPLATE}}),
    (client.AppsV1Api, "controller_revision", {"revision": 1, "data": {"any": "thing"}}),
    (client.BatchV1Api, "job", {"spec": PAUSED}),
    (client.CoordinationV1Api, "lease", {"spec": {"holderIdentity": "me"}}),
    (client.DiscoveryV1Api, "endpoint_slice", {"addressType": "IPv4", "endpoints": [{"addresses": ["10.1.2.3"]}]}),
    (client.NetworkingV1Api, "ingress", {"spec": {"defaultBackend": BACKEND}}),
    (client.NetworkingV1Api, "network_policy", {"spec": {"podSelector": {}}}),
    (client.RbacAuthorizationV1Api, "role", {"rules": [{"verbs": ["get"], "apiGroups": [""], "resources": ["pods"]}]}),
    (client.RbacAuthorizationV1Api, "role_binding", {"roleRef": {"apiGroup": GROUP, "kind": "Role", "name": "x"}}),
    (client.PolicyV1Api, "pod_disruption_budget", {"spec": {"minAvailable": 1, "selector": SELECTOR}}),
]  # fmt: skip


@pytest.mark.parametrize(("api", "kind", "content"), WRITTEN, ids=[kind for _, kind, _ in WRITTEN])
def test_objects_are_made_read_changed_listed_and_deleted(
    namespace: Namespace, api: type, kind: str, content: JSON
) -> None:
    of, name = api(namespace.lab.client), namespace.name

    def call(verb: str) -> Callable[..., Any]:
        method: Callable[..., Any] = getattr(of, verb)
        return method

    made = call(f"create_namespaced_{kind}")(name, {"metadata": {"name": "x", "labels": {"mine": "yes"}}, **content})
    assert (made.metadata.name, made.metadata.namespace) == ("x", name)
    read = call(f"read_namespaced_{kind}")("x", name)
    assert read.metadata.uid == made.metadata.uid
    read.metadata.labels = {"mine": "replaced"}
    for _ in range(20):  # its controller may write in between
        try:
            replaced = call(f"replace_namespaced_{kind}")("x", name, read)
            break
        except ApiException as error:
            assert error.status == 409, error
            read.metadata.resource_version = call(f"read_namespaced_{kind}")("x", name).metadata.resource_version
    assert replaced.metadata.labels["mine"] == "replaced"
    patched = call(f"patch_namespaced_{kind}")("x", name, {"metadata": {"labels": {"mine": "patched"}}})
    assert patched.metadata.labels["mine"] == "patched"
    (listed,) = call(f"list_namespaced_{kind}")(name, label_selector="mine=patched").items
    assert listed.metadata.uid == made.metadata.uid
    everywhere = "list_endpoints" if kind == "endpoints" else f"list_{kind}"
    everywhere = f"{everywhere}_for_all_namespaces"
    assert made.metadata.uid in [o.metadata.uid for o in call(everywhere)(field_selector="metadata.name=x").items]
    call(f"delete_namespaced_{kind}")("x", name, grace_period_seconds=0)
    call(f"create_namespaced_{kind}")(name, {"metadata": {"name": "y", "labels": {"mine": "too"}}, **content})
    call(f"delete_collection_namespaced_{kind}")(name, label_selector="mine=too", grace_period_seconds=0)
    namespace.wait(_plural(kind), "delete", "-lmine")
    with pytest.raises(ApiException) as gone:
        call(f"read_namespaced_{kind}")("x", name)
    assert (gone.value.status, json.loads(gone.value.body)["reason"]) == (404, "NotFound")


def _plural(kind: str) -> str:
    name = kind.replace("_", "")
    return {"endpoints": name, "ingress": "ingresses", "network_policy": "networkpolicies"}.get(kind, f"{name}s")


def test_the_objects_of_the_cluster_are_read_and_written(namespace: Namespace) -> None:
    core, storage = namespace.lab.core, client.StorageV1Api(namespace.lab.client)
    nodes = core.list_node().items
    assert {"Ready": "True"}.items() <= {c.type: c.status for c in nodes[0].status.conditions}.items()
    assert core.read_node_status(nodes[0].metadata.name).status.node_info.kubelet_version.startswith("v1.")
    (standard,) = storage.list_storage_class().items
    assert standard.provisioner and standard.volume_binding_mode == "WaitForFirstConsumer"
    name = f"{namespace.name}-class"
    storage.create_storage_class({"metadata": {"name": name}, "provisioner": "example.com/none"})
    assert storage.read_storage_class(name).reclaim_policy == "Delete"
    storage.delete_storage_class(name)
    source = {"path": f"/{name}"}
    spec = {"capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"], "hostPath": source}
    volume = core.create_persistent_volume({"metadata": {"name": name}, "spec": spec})
    assert volume.spec.capacity == {"storage": "1Gi"}
    core.delete_persistent_volume(name)
    assert client.VersionApi(namespace.lab.client).get_code().major == "1"
    assert [group.name for group in client.ApisApi(namespace.lab.client).get_api_versions().groups]
    assert [
        r.kind for r in client.AppsV1Api(namespace.lab.client).get_api_resources().resources if r.name == "statefulsets"
    ]


def test_patches_of_all_kinds_are_told_apart(namespace: Namespace) -> None:
    apps, name = namespace.lab.apps, namespace.name
    namespace.apply(workload("Deployment", "web", 0, shell(env=[{"name": "A", "value": "1"}])))
    container = {"name": "main", "env": [{"name": "B", "value": "2"}]}
    more = {"spec": {"template": {"spec": {"containers": [container]}}}}
    patched = apps.patch_namespaced_deployment("web", name, more)  # strategic, for a dict
    (main,) = patched.spec.template.spec.containers
    assert ({e.name for e in main.env}, main.image) == ({"A", "B"}, "busybox:1.37")
    operations = [{"op": "replace", "path": "/spec/template/spec/containers/0/image", "value": "busybox:1"}]
    patched = apps.patch_namespaced_deployment("web", name, operations)  # JSON, for a list
    assert patched.spec.template.spec.containers[0].image == "busybox:1"
    merge = {"spec": {"template": {"spec": {"containers": [shell()]}}}}
    patched = apps.patch_namespaced_deployment("web", name, merge, _content_type="application/merge-patch+json")
    assert patched.spec.template.spec.containers[0].env is None
    whole = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "applied"}, "data": {"a": "1"}}
    applied = namespace.lab.core.patch_namespaced_config_map(
        "applied", name, whole, field_manager="me", _content_type="application/apply-patch+yaml"
    )
    assert (applied.data, applied.metadata.managed_fields[0].operation) == ({"a": "1"}, "Apply")
    with pytest.raises(ApiException) as conflict:
        namespace.lab.core.patch_namespaced_config_map(
            "applied", name, {**whole, "data": {"a": "2"}}, field_manager="other",
            _content_type="application/apply-patch+yaml",
        )  # fmt: skip
    assert conflict.value.status == 409
    assert 'conflict with "me": .data.a' in json.loads(conflict.value.body)["message"]


def test_status_and_scale_are_subresources(namespace: Namespace) -> None:
    apps, name = namespace.lab.apps, namespace.name
    namespace.apply(workload("Deployment", "web", 0, shell()))
    assert apps.read_namespaced_deployment_status("web", name).status.observed_generation == 1
    scaled = apps.replace_namespaced_deployment_scale(
        "web", name, {"metadata": {"name": "web", "namespace": name}, "spec": {"replicas": 1}}
    )
    assert (scaled.spec.replicas, scaled.kind) == (1, "Scale")
    namespace.wait("deploy/web", "jsonpath={.status.readyReplicas}=1")
    condition = {"type": "Mine", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"}
    written = apps.patch_namespaced_deployment_status("web", name, {"status": {"conditions": [condition]}})
    assert "Mine" in [c.type for c in written.status.conditions]
    kept = apps.patch_namespaced_deployment("web", name, {"status": {"replicas": 99}})
    assert kept.status.replicas != 99


def test_a_watch_ends_by_its_timeout_and_goes_on_where_it_was(namespace: Namespace) -> None:
    core, name = namespace.lab.core, namespace.name
    core.create_namespaced_config_map(name, {"metadata": {"name": "one"}})
    first = watch.Watch()
    options = {"namespace": name, "field_selector": "metadata.name=one", "timeout_seconds": 1}
    assert [e["type"] for e in first.stream(core.list_namespaced_config_map, **options)] == ["ADDED"]
    core.patch_namespaced_config_map("one", name, {"data": {"a": "1"}})
    later = watch.Watch().stream(core.list_namespaced_config_map, resource_version=first.resource_version, **options)
    assert [(e["type"], e["object"].data, e["raw_object"]["kind"]) for e in later] == [
        ("MODIFIED", {"a": "1"}, "ConfigMap")
    ]


def test_a_watch_is_stopped_from_within(namespace: Namespace) -> None:
    watching = watch.Watch()
    namespace.apply(pod("one", shell("exit 0"), restartPolicy="Never"))
    phases = []
    for event in watching.stream(namespace.lab.core.list_namespaced_pod, namespace.name, timeout_seconds=SECONDS):
        phases.append(event["object"].status.phase)
        if phases[-1] == "Succeeded":
            watching.stop()
    assert phases[-1] == "Succeeded"


def test_a_watch_from_before_the_clusters_memory_is_410(tmp_path: Path) -> None:
    lab = RunningLab(tmp_path / "state")
    lab.keep_ports()
    lab.up()
    try:
        daemon = int(lab.status()["pid"])
        held = os.pidfd_open(daemon)
        os.kill(daemon, signal.SIGKILL)
        assert select.select([held], [], [], SECONDS)[0]
        os.close(held)
        lab.up()  # what was before is in the store, and not in its history
        core = client.CoreV1Api(config.new_client_from_config(str(lab.kubeconfig)))
        with pytest.raises(ApiException) as expired:
            next(watch.Watch().stream(core.list_namespace, resource_version="1", timeout_seconds=1))
        assert (expired.value.status, "Expired" in str(expired.value.reason)) == (410, True)
    finally:
        lab.down()


def test_lists_come_in_pages_of_one_moment(namespace: Namespace) -> None:
    core, name = namespace.lab.core, namespace.name
    for n in range(5):
        core.create_namespaced_config_map(name, {"metadata": {"name": f"c{n}", "labels": {"mine": ""}}})
    first = core.list_namespaced_config_map(name, limit=2, label_selector="mine")
    core.delete_namespaced_config_map("c4", name)
    second = core.list_namespaced_config_map(name, limit=9, label_selector="mine", _continue=first.metadata._continue)
    assert [o.metadata.name for o in (*first.items, *second.items)] == [f"c{n}" for n in range(5)]
    assert (second.metadata._continue, first.metadata.resource_version) == (None, second.metadata.resource_version)
    with pytest.raises(ApiException) as refused:
        core.list_namespaced_config_map(name, _continue="nonsense")
    assert refused.value.status == 400


def test_calls_in_threads_and_raw_answers(namespace: Namespace) -> None:
    core, name = namespace.lab.core, namespace.name
    calls = [
        core.create_namespaced_config_map(name, {"metadata": {"name": f"c{n}"}}, async_req=True) for n in range(10)
    ]
    assert {call.get(SECONDS).metadata.name for call in calls} == {f"c{n}" for n in range(10)}
    with pytest.raises(ApiException, match="404"):
        core.read_namespaced_config_map("nosuch", name, async_req=True).get(SECONDS)
    raw = core.list_namespaced_config_map(name, _preload_content=False)
    assert json.loads(raw.data)["kind"] == "ConfigMapList"
    body, status, headers = core.read_namespaced_config_map_with_http_info("c1", name)
    assert (body.metadata.name, status, headers["Content-Type"]) == ("c1", 200, "application/json")
    assert core.read_namespaced_config_map("c1", name, pretty="true", _request_timeout=(3, 10)).metadata.name == "c1"


def test_logs_are_read_and_followed(namespace: Namespace) -> None:
    core, name = namespace.lab.core, namespace.name
    namespace.apply(
        pod("one", shell("echo first; until [ -e /tmp/go ]; do sleep 0.05; done; echo last; sleep infinity"))
    )
    namespace.wait("pod/one", "condition=Ready")
    assert core.read_namespaced_pod_log("one", name) == "first\n"
    following = watch.Watch().stream(core.read_namespaced_pod_log, "one", name)
    assert next(following) == "first"
    namespace.sh("one", "touch /tmp/go")
    assert next(following) == "last"
    raw = core.read_namespaced_pod_log("one", name, follow=True, _preload_content=False)
    assert next(iter(raw.stream())).startswith(b"first\n")
    raw.release_conn()
    assert core.read_namespaced_pod_log("one", name, tail_lines=1, timestamps=True).split(" ")[1] == "last\n"
    with pytest.raises(ApiException) as refused:
        core.read_namespaced_pod_log("one", name, container="nosuch")
    assert (refused.value.status, "nosuch is not valid" in refused.value.body) == (400, True)


def test_pods_are_evicted_and_bound_tokens_are_made(namespace: Namespace) -> None:
    core, name = namespace.lab.core, namespace.name
    namespace.apply(pod("one"))
    namespace.wait("pod/one", "condition=Ready")
    eviction = client.V1Eviction(metadata=client.V1ObjectMeta(name="one", namespace=name))
    core.create_namespaced_pod_eviction("one", name, eviction)
    namespace.wait("pod/one", "delete")
    core.create_namespaced_service_account(name, {"metadata": {"name": "robot"}})
    request = client.AuthenticationV1TokenRequest(spec=client.V1TokenRequestSpec(audiences=[], expiration_seconds=600))
    token = core.create_namespaced_service_account_token("robot", name, request).status.token
    mine = client.Configuration.get_default_copy()
    mine.host, mine.ssl_ca_cert = (
        namespace.lab.client.configuration.host,
        namespace.lab.client.configuration.ssl_ca_cert,
    )
    mine.api_key, mine.api_key_prefix = {"authorization": token}, {"authorization": "Bearer"}
    me = client.AuthenticationV1Api(client.ApiClient(mine)).create_self_subject_review({}).status.user_info
    assert me.username == f"system:serviceaccount:{name}:robot"


def test_manifests_are_created_from_files_and_objects(namespace: Namespace, tmp_path: Path) -> None:
    api, name = namespace.lab.client, namespace.name
    (tmp_path / "all.yaml").write_text(json.dumps(service("db", clusterIP="None")) + "\n---\n" + json.dumps(
        {"apiVersion": "v1", "kind": "List", "items": [workload("Deployment", "db", 0, shell()), claim("data")]}
    ))  # fmt: skip
    made = utils.create_from_yaml(api, str(tmp_path / "all.yaml"), namespace=name)
    assert [o.kind for objects in made for o in objects] == ["Service", "Deployment", "PersistentVolumeClaim"]
    with pytest.raises(utils.FailToCreateError) as twice:
        utils.create_from_yaml(api, str(tmp_path / "all.yaml"), namespace=name)
    assert [error.status for error in twice.value.api_exceptions] == [409, 409, 409]
    utils.create_from_yaml(api, str(tmp_path / "all.yaml"), namespace=name, apply=True)
    utils.create_from_dict(api, {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "one"}}, namespace=name)
    (tmp_path / "more").mkdir()
    (tmp_path / "more" / "one.yaml").write_text(json.dumps(pod("one")))
    utils.create_from_directory(api, str(tmp_path / "more"), namespace=name)
    assert namespace.lab.core.read_namespaced_pod("one", name).metadata.name == "one"


def test_quantities_of_the_cluster_are_numbers(namespace: Namespace) -> None:
    (first, *_) = namespace.lab.core.list_node().items
    assert utils.parse_quantity(first.status.capacity["memory"]) > 2**20
    assert utils.parse_quantity(first.status.capacity["cpu"]) >= 1


def test_conflicts_are_retried(namespace: Namespace) -> None:
    core, name = namespace.lab.core, namespace.name
    core.create_namespaced_config_map(name, {"metadata": {"name": "one"}, "data": {"n": "0"}})

    def add() -> None:
        found = core.read_namespaced_config_map("one", name)
        found.data["n"] = str(int(found.data["n"]) + 1)
        core.replace_namespaced_config_map("one", name, found)

    def often() -> None:
        for _ in range(5):
            utils.retry_on_conflict(add, utils.Backoff(steps=50, duration=0.01, factor=1.0, jitter=0.5))

    threads = [threading.Thread(target=often) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(SECONDS)
    assert core.read_namespaced_config_map("one", name).data["n"] == "20"


@pytest.fixture
def informer(namespace: Namespace) -> Iterator[SharedInformer]:
    made = SharedInformer(namespace.lab.core.list_namespaced_config_map, namespace.name, label_selector="mine")
    yield made
    made.stop()


def test_an_informer_keeps_a_cache(namespace: Namespace, informer: SharedInformer) -> None:
    core, name = namespace.lab.core, namespace.name
    core.create_namespaced_config_map(name, {"metadata": {"name": "one", "labels": {"mine": ""}}})
    told: dict[str, threading.Event] = {}
    for kind in ("ADDED", "MODIFIED", "DELETED"):
        told[kind] = threading.Event()
        informer.add_event_handler(kind, lambda obj, kind=kind: told[kind].set())
    informer.start()
    assert told["ADDED"].wait(SECONDS)
    assert informer.cache.list_keys() == [f"{name}/one"]
    core.patch_namespaced_config_map("one", name, {"data": {"a": "1"}})
    assert told["MODIFIED"].wait(SECONDS)
    assert informer.cache.get_by_key(f"{name}/one").data == {"a": "1"}
    core.delete_namespaced_config_map("one", name)
    assert told["DELETED"].wait(SECONDS)
    assert informer.cache.list_keys() == []
