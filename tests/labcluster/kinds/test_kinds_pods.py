"""Pods as they are stored, deleted and printed."""

from __future__ import annotations

import re
from typing import Any

import pytest

from labcluster.api.json_values import clone
from labcluster.api.objects import JSON
from labcluster.api.resources import NAMESPACES, PODS, SERVICE_ACCOUNTS
from labcluster.kinds.pod_admission import qos_class
from labcluster.kinds.pod_defaults import default_pod
from labcluster.kinds.pods import PodKind
from labcluster.storage.registry import DeleteOptions, Registry
from labcluster.storage.store import Store

TOKEN_PATH = "/var/run/secrets/kubernetes.io/serviceaccount"


@pytest.fixture
def registry() -> Registry:
    registry = Registry(Store(":memory:"))
    registry.create(NAMESPACES, {"metadata": {"name": "default"}})
    if registry.find(SERVICE_ACCOUNTS, "default", "default") is None:
        registry.create(SERVICE_ACCOUNTS, {"metadata": {"name": "default", "namespace": "default"}})
    return registry


def pod(spec: JSON | None = None, **container: Any) -> JSON:
    spec = {"containers": [{"name": "redis", "image": "redis:7", **container}], **(spec or {})}
    return {"metadata": {"name": "p", "namespace": "default"}, "spec": spec}


def test_a_created_pod_is_completed_as_on_a_real_cluster(registry: Registry) -> None:
    probe = {"exec": {"command": ["redis-cli", "ping"]}, "initialDelaySeconds": 1, "periodSeconds": 1}
    ports = [{"name": "redis", "containerPort": 6379}]
    made = registry.create(PODS, pod(ports=ports, readinessProbe=probe))
    volume = made["spec"]["volumes"][0]["name"]
    assert volume.startswith("kube-api-access-") and len(volume) == len("kube-api-access-") + 5
    not_ready, unreachable = (
        {"key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300}
        for key in ("node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable")
    )
    namespace = {"path": "namespace", "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.namespace"}}
    assert made["spec"] == {
        "volumes": [
            {
                "name": volume,
                "projected": {
                    "sources": [
                        {"serviceAccountToken": {"expirationSeconds": 3607, "path": "token"}},
                        {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
                        {"downwardAPI": {"items": [namespace]}},
                    ],
                    "defaultMode": 420,
                },
            }
        ],
        "containers": [
            {
                "name": "redis",
                "image": "redis:7",
                "ports": [{"name": "redis", "containerPort": 6379, "protocol": "TCP"}],
                "resources": {},
                "volumeMounts": [{"name": volume, "readOnly": True, "mountPath": TOKEN_PATH}],
                "readinessProbe": {
                    "exec": {"command": ["redis-cli", "ping"]},
                    "initialDelaySeconds": 1,
                    "timeoutSeconds": 1,
                    "periodSeconds": 1,
                    "successThreshold": 1,
                    "failureThreshold": 3,
                },
                "terminationMessagePath": "/dev/termination-log",
                "terminationMessagePolicy": "File",
                "imagePullPolicy": "IfNotPresent",
            }
        ],
        "restartPolicy": "Always",
        "terminationGracePeriodSeconds": 30,
        "dnsPolicy": "ClusterFirst",
        "serviceAccountName": "default",
        "serviceAccount": "default",
        "securityContext": {},
        "schedulerName": "default-scheduler",
        "tolerations": [not_ready, unreachable],
        "priority": 0,
        "enableServiceLinks": True,
        "preemptionPolicy": "PreemptLowerPriority",
    }
    assert made["status"] == {"phase": "Pending", "qosClass": "BestEffort"}
    assert made["metadata"]["generation"] == 1


@pytest.mark.parametrize(
    ("image", "policy"),
    [
        ("redis", "Always"),
        ("redis:latest", "Always"),
        ("localhost:5000/redis", "Always"),
        ("redis:7", "IfNotPresent"),
        ("localhost:5000/redis:7", "IfNotPresent"),
        ("redis@sha256:" + "a" * 64, "IfNotPresent"),
    ],
)
def test_the_pull_policy_follows_the_tag(image: str, policy: str) -> None:
    obj = pod(image=image)
    default_pod(obj)
    assert obj["spec"]["containers"][0]["imagePullPolicy"] == policy


def test_volumes_get_modes_and_a_bare_one_is_empty_dir() -> None:
    obj = pod({"volumes": [{"name": "a"}, {"name": "b", "configMap": {"name": "x"}}]})
    default_pod(obj)
    assert obj["spec"]["volumes"] == [
        {"name": "a", "emptyDir": {}},
        {"name": "b", "configMap": {"name": "x", "defaultMode": 420}},
    ]


def test_a_limit_is_a_request_and_the_host_port_is_the_container_port_on_the_host_network() -> None:
    limits = {"cpu": "1", "memory": "1Gi"}
    obj = pod(
        {"hostNetwork": True}, resources={"limits": limits, "requests": {"cpu": "500m"}}, ports=[{"containerPort": 80}]
    )
    default_pod(obj)
    container = obj["spec"]["containers"][0]
    assert container["resources"]["requests"] == {"cpu": "500m", "memory": "1Gi"}
    assert container["ports"] == [{"containerPort": 80, "protocol": "TCP", "hostPort": 80}]


def test_hooks_and_probes_over_http_get_path_and_scheme() -> None:
    lifecycle = {"preStop": {"httpGet": {"port": 80}}, "stopSignal": "SIGINT"}
    obj = pod(lifecycle=lifecycle, livenessProbe={"httpGet": {"port": 80}})
    default_pod(obj)
    container = obj["spec"]["containers"][0]
    expected = {"port": 80, "path": "/", "scheme": "HTTP"}
    assert container["livenessProbe"]["httpGet"] == container["lifecycle"]["preStop"]["httpGet"] == expected
    assert container["lifecycle"]["stopSignal"] == "SIGINT"


@pytest.mark.parametrize("where", ["pod", "account"])
def test_the_token_is_left_out_where_it_is_not_wanted(registry: Registry, where: str) -> None:
    obj = pod()
    if where == "pod":
        obj["spec"]["automountServiceAccountToken"] = False
    else:
        registry.modify(SERVICE_ACCOUNTS, "default", "default", lambda o: o.update(automountServiceAccountToken=False))
    made = registry.create(PODS, obj)
    assert "volumes" not in made["spec"] and "volumeMounts" not in made["spec"]["containers"][0]


def test_a_pod_created_from_a_stored_one_keeps_its_token_volume(registry: Registry) -> None:
    copy = clone(registry.create(PODS, pod()))
    copy["metadata"] = {"name": "q", "namespace": "default"}
    assert registry.create(PODS, copy)["spec"] == copy["spec"]


def test_an_update_without_change_adds_nothing(registry: Registry) -> None:
    made = registry.create(PODS, pod())
    assert registry.update(PODS, clone(made)) is made


def test_own_tolerations_replace_the_default_ones(registry: Registry) -> None:
    everything = [{"operator": "Exists"}]
    assert registry.create(PODS, pod({"tolerations": everything}))["spec"]["tolerations"] == everything


@pytest.mark.parametrize(
    ("resources", "expected"),
    [
        ([{}], "BestEffort"),
        ([{"requests": {"cpu": "0"}}], "BestEffort"),
        ([{"requests": {"cpu": "100m"}}], "Burstable"),
        ([{"limits": {"cpu": "1"}, "requests": {"cpu": "1"}}], "Burstable"),
        ([{"limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "1000m", "memory": "1024Mi"}}], "Guaranteed"),
        ([{"limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "1", "memory": "1Gi"}}, {}], "Burstable"),
    ],
)
def test_the_qos_class_follows_requests_and_limits(resources: list[JSON], expected: str) -> None:
    assert qos_class({"containers": [{"name": "c", "resources": r} for r in resources]}) == expected


@pytest.mark.parametrize(
    ("spec", "status", "wanted", "seconds"),
    [
        ({"nodeName": "n", "terminationGracePeriodSeconds": 30}, {"phase": "Running"}, None, 30),
        ({"nodeName": "n", "terminationGracePeriodSeconds": 30}, {"phase": "Running"}, 5, 5),
        ({"nodeName": "n", "terminationGracePeriodSeconds": 30}, {"phase": "Running"}, 0, 0),
        ({"nodeName": "n", "terminationGracePeriodSeconds": -1}, {"phase": "Running"}, None, 1),
        ({"terminationGracePeriodSeconds": 30}, {"phase": "Pending"}, None, 0),
        ({"nodeName": "n", "terminationGracePeriodSeconds": 30}, {"phase": "Succeeded"}, None, 0),
        ({"nodeName": "n", "terminationGracePeriodSeconds": 30}, {"phase": "Failed"}, 20, 0),
    ],
)
def test_the_grace_period(spec: JSON, status: JSON, wanted: int | None, seconds: int) -> None:
    assert PodKind().grace_seconds({"spec": spec, "status": status}, wanted) == seconds


def test_a_scheduled_pod_stays_until_its_grace_is_over(registry: Registry) -> None:
    bound = clone(registry.create(PODS, pod()))
    bound["spec"]["nodeName"] = "lab-worker"
    bound["status"]["phase"] = "Running"
    registry.update(PODS, bound, subresource="binding")
    registry.delete(PODS, "default", "p")
    metadata = registry.get(PODS, "default", "p")["metadata"]
    assert metadata["deletionGracePeriodSeconds"] == 30 and metadata["generation"] == 2
    registry.delete(PODS, "default", "p", DeleteOptions(grace_seconds=0))
    assert registry.find(PODS, "default", "p") is None


RUNNING = {"running": {"startedAt": "2026-01-01T00:00:00Z"}}
READY = {"type": "Ready", "status": "True"}
INITIALIZED = {"type": "Initialized", "status": "True"}


def container(
    state: JSON, *, ready: bool = False, restarts: int = 0, last: JSON | None = None, name: str = "c"
) -> JSON:
    return {"name": name, "state": state, "lastState": last or {}, "ready": ready, "restartCount": restarts}


def row_of(status: JSON) -> list[Any]:
    spec = {"containers": [{"name": "c"}]}
    return PodKind().cells({"metadata": {"name": "p"}, "spec": spec, "status": status})


def waiting(reason: str) -> JSON:
    return {"waiting": {"reason": reason}}


def terminated(code: int, reason: str = "", **more: Any) -> JSON:
    return {"terminated": {"exitCode": code, **({"reason": reason} if reason else {}), **more}}


@pytest.mark.parametrize(
    ("status", "ready", "text"),
    [
        ({"phase": "Pending"}, "0/1", "Pending"),
        (
            {"phase": "Pending", "containerStatuses": [container(waiting("ContainerCreating"))]},
            "0/1",
            "ContainerCreating",
        ),
        ({"phase": "Pending", "containerStatuses": [container(waiting("ErrImagePull"))]}, "0/1", "ErrImagePull"),
        (
            {"phase": "Running", "containerStatuses": [container(RUNNING, ready=True)], "conditions": [READY]},
            "1/1",
            "Running",
        ),
        ({"phase": "Running", "containerStatuses": [container(RUNNING)]}, "0/1", "Running"),
        ({"phase": "Succeeded", "containerStatuses": [container(terminated(0, "Completed"))]}, "0/1", "Completed"),
        ({"phase": "Failed", "containerStatuses": [container(terminated(1, "Error"))]}, "0/1", "Error"),
        ({"phase": "Failed", "containerStatuses": [container(terminated(137, signal=9))]}, "0/1", "Signal:9"),
        ({"phase": "Failed", "containerStatuses": [container(terminated(3))]}, "0/1", "ExitCode:3"),
        ({"phase": "Failed", "reason": "Evicted"}, "0/1", "Evicted"),
        (
            {
                "phase": "Pending",
                "conditions": [{"type": "PodScheduled", "status": "False", "reason": "SchedulingGated"}],
            },
            "0/1",
            "SchedulingGated",
        ),
    ],
)
def test_the_row_of_a_pod(status: JSON, ready: str, text: str) -> None:
    row = row_of(status)
    assert row[:4] == ["p", ready, text, "0"]
    assert row[5:] == ["<none>", "<none>", "<none>", "<none>"]


def test_restarts_say_when_the_last_one_was() -> None:
    last = terminated(1, "Error", finishedAt="2020-01-01T00:00:00Z")
    row = row_of(
        {"phase": "Running", "containerStatuses": [container(waiting("CrashLoopBackOff"), restarts=3, last=last)]}
    )
    assert row[2] == "CrashLoopBackOff"
    assert re.fullmatch(r"3 \(\d+y\d*d? ago\)", row[3])


@pytest.mark.parametrize(
    ("states", "text"),
    [
        ([RUNNING, waiting("PodInitializing")], "Init:0/2"),
        ([terminated(0, "Completed"), RUNNING], "Init:1/2"),
        ([terminated(1, "Error"), waiting("PodInitializing")], "Init:Error"),
        ([waiting("CrashLoopBackOff"), waiting("PodInitializing")], "Init:CrashLoopBackOff"),
        ([terminated(0, "Completed"), terminated(0, "Completed")], "PodInitializing"),
    ],
)
def test_the_status_of_an_initialising_pod(states: list[JSON], text: str) -> None:
    spec = {"initContainers": [{"name": "a"}, {"name": "b"}], "containers": [{"name": "c"}]}
    status = {
        "phase": "Pending",
        "initContainerStatuses": [container(s, name=n) for s, n in zip(states, "ab", strict=True)],
        "containerStatuses": [container(waiting("PodInitializing"))],
    }
    obj = {"metadata": {"name": "p"}, "spec": spec, "status": status}
    assert PodKind().cells(obj)[2] == text


def test_a_started_sidecar_counts_as_a_container() -> None:
    spec = {"initContainers": [{"name": "s", "restartPolicy": "Always"}], "containers": [{"name": "c"}]}
    sidecar = {**container(RUNNING, ready=True, restarts=2, name="s"), "started": True}
    status = {
        "phase": "Running",
        "conditions": [READY, INITIALIZED],
        "initContainerStatuses": [sidecar],
        "containerStatuses": [container(RUNNING, ready=True, restarts=1)],
        "podIPs": [{"ip": "10.244.1.7"}],
    }
    obj = {"metadata": {"name": "p"}, "spec": {**spec, "nodeName": "n"}, "status": status}
    row = PodKind().cells(obj)
    assert row[1:4] == ["2/2", "Running", "3"] and row[5:7] == ["10.244.1.7", "n"]


@pytest.mark.parametrize(("phase", "text"), [("Running", "Terminating"), ("Succeeded", "Completed")])
def test_a_deleted_pod_is_terminating_unless_it_has_finished(phase: str, text: str) -> None:
    state = RUNNING if phase == "Running" else terminated(0, "Completed")
    obj = {
        "metadata": {"name": "p", "deletionTimestamp": "2026-01-01T00:00:00Z"},
        "spec": {"containers": [{"name": "c"}]},
        "status": {"phase": phase, "containerStatuses": [container(state)]},
    }
    assert PodKind().cells(obj)[2] == text


def test_readiness_gates_are_counted() -> None:
    gates = [{"conditionType": "a"}, {"conditionType": "b"}]
    status = {"phase": "Running", "conditions": [{"type": "a", "status": "True"}]}
    spec = {"containers": [{"name": "c"}], "readinessGates": gates}
    assert PodKind().cells({"metadata": {"name": "p"}, "spec": spec, "status": status})[8] == "1/2"
