"""What a real cluster says when it refuses a workload, word for word."""

from __future__ import annotations

from typing import Any

import pytest

from labcluster.api.errors import ApiError
from labcluster.api.json_values import clone
from labcluster.api.objects import JSON
from labcluster.api.resources import (
    CONTROLLER_REVISIONS,
    DAEMON_SETS,
    DEPLOYMENTS,
    NAMESPACES,
    PODS,
    REPLICA_SETS,
    SERVICE_ACCOUNTS,
    STATEFUL_SETS,
    Resource,
)
from labcluster.storage.registry import Registry
from labcluster.storage.store import Store

MISMATCH = "`selector` does not match template `labels`"
STATEFUL_SET_FIXED = (
    "spec: Forbidden: updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', "
    "'updateStrategy', 'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' "
    "are forbidden"
)
LABEL = (
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end "
    "with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is "
    "'[a-z0-9]([-a-z0-9]*[a-z0-9])?')"
)
SUBDOMAIN = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start "
    "and end with an alphanumeric character (e.g. 'example.com', regex used for validation is "
    r"'[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
)


@pytest.fixture
def registry() -> Registry:
    registry = Registry(Store(":memory:"))
    registry.create(NAMESPACES, {"metadata": {"name": "default"}})
    if registry.find(SERVICE_ACCOUNTS, "default", "default") is None:
        registry.create(SERVICE_ACCOUNTS, {"metadata": {"name": "default", "namespace": "default"}})
    return registry


def template(**labels: str) -> JSON:
    return {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "c", "image": "redis"}]}}


def redis() -> JSON:
    container = {
        "name": "redis",
        "image": "redis:7",
        "ports": [{"name": "redis", "containerPort": 6379}],
        "readinessProbe": {"exec": {"command": ["redis-cli", "ping"]}, "periodSeconds": 1},
        "volumeMounts": [{"name": "data", "mountPath": "/data"}],
    }
    claim = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "100Mi"}}}
    return {
        "metadata": {"name": "redis", "namespace": "default"},
        "spec": {
            "serviceName": "redis",
            "replicas": 1,
            "selector": {"matchLabels": {"app": "redis"}},
            "template": {"metadata": {"labels": {"app": "redis"}}, "spec": {"containers": [container]}},
            "volumeClaimTemplates": [{"metadata": {"name": "data"}, "spec": claim}],
        },
    }


def causes(error: ApiError) -> list[str]:
    return [f"{cause['field']}: {cause['message']}" for cause in error.details["causes"]]


def merge(target: JSON, patch: JSON) -> None:
    for key, value in patch.items():
        if isinstance(value, dict) and isinstance(target.get(key), dict):
            merge(target[key], value)
        else:
            target[key] = value


def refused(registry: Registry, resource: Resource, spec: Any, name: str = "x") -> list[str]:
    with pytest.raises(ApiError) as caught:
        registry.create(resource, {"metadata": {"name": name, "namespace": "default"}, "spec": spec})
    assert caught.value.code == 422
    return causes(caught.value)


@pytest.mark.parametrize(
    ("patch", "expected"),
    [
        ({"serviceName": "other"}, [STATEFUL_SET_FIXED]),
        ({"podManagementPolicy": "Parallel"}, [STATEFUL_SET_FIXED]),
        (
            {"selector": {"matchLabels": {"app": "x"}}},
            [f'spec.template.metadata.labels: Invalid value: {{"app":"redis"}}: {MISMATCH}', STATEFUL_SET_FIXED],
        ),
        ({"replicas": -1}, ["spec.replicas: Invalid value: -1: must be greater than or equal to 0"]),
        (
            {"template": {"metadata": {"labels": {"app": "x"}}}},
            [f'spec.template.metadata.labels: Invalid value: {{"app":"x"}}: {MISMATCH}'],
        ),
        (
            {"updateStrategy": {"type": "Bogus"}},
            [
                'spec.updateStrategy: Invalid value: {"Type":"Bogus","RollingUpdate":{"Partition":0,'
                "\"MaxUnavailable\":null}}: must be 'RollingUpdate' or 'OnDelete'"
            ],
        ),
        (
            {"updateStrategy": {"rollingUpdate": {"partition": -1}}},
            ["spec.updateStrategy.rollingUpdate.partition: Invalid value: -1: must be greater than or equal to 0"],
        ),
        (
            {"template": {"spec": {"restartPolicy": "Never"}}},
            ['spec.template.spec.restartPolicy: Unsupported value: "Never": supported values: "Always"'],
        ),
        (
            {
                "volumeClaimTemplates": [
                    {
                        "metadata": {"name": "data"},
                        "spec": {
                            "accessModes": ["ReadWriteOnce"],
                            "resources": {"requests": {"storage": "200Mi"}},
                        },
                    }
                ]
            },
            [STATEFUL_SET_FIXED],
        ),
    ],
)
def test_a_change_to_a_stateful_set_is_refused(registry: Registry, patch: JSON, expected: list[str]) -> None:
    new = clone(registry.create(STATEFUL_SETS, redis()))
    merge(new["spec"], patch)
    with pytest.raises(ApiError) as caught:
        registry.update(STATEFUL_SETS, new)
    assert causes(caught.value) == expected
    text = expected[0] if len(expected) == 1 else "[" + ", ".join(expected) + "]"
    assert caught.value.message == f'StatefulSet.apps "redis" is invalid: {text}'


@pytest.mark.parametrize(
    "patch",
    [
        {"replicas": 0},
        {"revisionHistoryLimit": 5},
        {"template": {"metadata": {"labels": {"more": "x"}}}},
        {"updateStrategy": {"rollingUpdate": {"partition": 2}}},
        {"persistentVolumeClaimRetentionPolicy": {"whenScaled": "Delete"}},
        {"minReadySeconds": 3},
        {"ordinals": {"start": 1}},
    ],
)
def test_these_fields_of_a_stateful_set_may_change(registry: Registry, patch: JSON) -> None:
    new = clone(registry.create(STATEFUL_SETS, redis()))
    merge(new["spec"], patch)
    assert registry.update(STATEFUL_SETS, new)["metadata"]["generation"] == 2


def test_all_that_is_wrong_with_a_stateful_set_is_said_at_once(registry: Registry) -> None:
    assert refused(registry, STATEFUL_SETS, {}, "Bad_Name") == [
        f'metadata.name: Invalid value: "Bad_Name": {LABEL}',
        "spec.selector: Required value",
        f"spec.template.metadata.labels: Invalid value: null: {MISMATCH}",
        "spec.template.spec.containers: Required value",
    ]


@pytest.mark.parametrize("resource", [STATEFUL_SETS, REPLICA_SETS, DEPLOYMENTS, DAEMON_SETS])
def test_a_template_must_match_the_selector(registry: Registry, resource: Resource) -> None:
    spec = {"serviceName": "x", "selector": {"matchLabels": {"a": "b"}}, "template": template(c="d")}
    if resource != STATEFUL_SETS:
        del spec["serviceName"]
    assert refused(registry, resource, spec) == [
        f'spec.template.metadata.labels: Invalid value: {{"c":"d"}}: {MISMATCH}'
    ]


@pytest.mark.parametrize("resource", [REPLICA_SETS, DEPLOYMENTS, DAEMON_SETS])
def test_the_selector_of_a_workload_is_immutable(registry: Registry, resource: Resource) -> None:
    spec = {"selector": {"matchLabels": {"a": "b"}}, "template": template(a="b", c="d")}
    new = clone(registry.create(resource, {"metadata": {"name": "x", "namespace": "default"}, "spec": spec}))
    new["spec"]["selector"] = {"matchLabels": {"c": "d"}}
    with pytest.raises(ApiError) as caught:
        registry.update(resource, new)
    assert causes(caught.value) == ['spec.selector: Invalid value: {"matchLabels":{"c":"d"}}: field is immutable']


@pytest.mark.parametrize(
    ("patch", "expected"),
    [
        ({"selector": {}}, "spec.selector: Invalid value: {}: empty selector is invalid for deployment"),
        (
            {"strategy": {"type": "Bogus"}},
            'spec.strategy.type: Unsupported value: "Bogus": supported values: "Recreate", "RollingUpdate"',
        ),
        (
            {"strategy": {"type": "Recreate", "rollingUpdate": {"maxSurge": 1}}},
            "spec.strategy.rollingUpdate: Forbidden: may not be specified when strategy `type` is 'Recreate'",
        ),
        (
            {"strategy": {"rollingUpdate": {"maxSurge": 0, "maxUnavailable": 0}}},
            "spec.strategy.rollingUpdate.maxUnavailable: Invalid value: 0: may not be 0 when `maxSurge` is 0",
        ),
        (
            {"progressDeadlineSeconds": 5, "minReadySeconds": 5},
            "spec.progressDeadlineSeconds: Invalid value: 5: must be greater than minReadySeconds",
        ),
    ],
)
def test_a_deployment_is_refused(registry: Registry, patch: JSON, expected: str) -> None:
    spec = {"selector": {"matchLabels": {"a": "b"}}, "template": template(a="b"), **patch}
    assert refused(registry, DEPLOYMENTS, spec) == [expected]


def pod_with(**container: Any) -> JSON:
    return {"containers": [{"name": "c", "image": "redis:7", **container}]}


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({"containers": []}, ["spec.containers: Required value"]),
        (
            pod_with(volumeMounts=[{"name": "v", "mountPath": "/x"}]),
            ['spec.containers[0].volumeMounts[0].name: Not found: "v"'],
        ),
        ({"containers": [{"image": "redis"}]}, ["spec.containers[0].name: Required value"]),
        ({"containers": [{"name": "c"}]}, ["spec.containers[0].image: Required value"]),
        (pod_with(name="C"), [f'spec.containers[0].name: Invalid value: "C": {LABEL}']),
        (
            {"containers": [{"name": "c", "image": "a"}, {"name": "c", "image": "b"}]},
            ['spec.containers[1].name: Duplicate value: "c"'],
        ),
        (
            pod_with(imagePullPolicy="Often"),
            [
                'spec.containers[0].imagePullPolicy: Unsupported value: "Often": '
                'supported values: "Always", "IfNotPresent", "Never"'
            ],
        ),
        (
            pod_with(ports=[{"containerPort": 70000}]),
            ["spec.containers[0].ports[0].containerPort: Invalid value: 70000: must be between 1 and 65535, inclusive"],
        ),
        (
            pod_with(ports=[{"containerPort": 1, "protocol": "HTTP"}]),
            ['spec.containers[0].ports[0].protocol: Unsupported value: "HTTP": supported values: "SCTP", "TCP", "UDP"'],
        ),
        (
            pod_with(resources={"requests": {"memory": "200Mi"}, "limits": {"memory": "100Mi"}}),
            [
                'spec.containers[0].resources.requests: Invalid value: "200Mi": '
                "must be less than or equal to memory limit of 100Mi"
            ],
        ),
        (
            pod_with(readinessProbe={"periodSeconds": 1}),
            ["spec.containers[0].readinessProbe: Required value: must specify a handler type"],
        ),
        (
            pod_with(livenessProbe={"tcpSocket": {"port": 6379}, "successThreshold": 2}),
            ["spec.containers[0].livenessProbe.successThreshold: Invalid value: 2: must be 1"],
        ),
        (
            {
                **pod_with(),
                "initContainers": [{"name": "i", "image": "a", "livenessProbe": {"exec": {"command": ["x"]}}}],
            },
            [
                "spec.initContainers[0].livenessProbe: Forbidden: "
                "may not be set for init containers without restartPolicy=Always"
            ],
        ),
        (
            {**pod_with(), "initContainers": [{"name": "c", "image": "a"}]},
            ['spec.initContainers[0].name: Duplicate value: "c"'],
        ),
        (
            {**pod_with(), "restartPolicy": "Sometimes"},
            ['spec.restartPolicy: Unsupported value: "Sometimes": supported values: "Always", "OnFailure", "Never"'],
        ),
        (
            {**pod_with(), "volumes": [{"name": "v"}, {"name": "v"}]},
            ['spec.volumes[1].name: Duplicate value: "v"'],
        ),
        (
            {**pod_with(), "volumes": [{"name": "v", "emptyDir": {}, "hostPath": {"path": "/"}}]},
            ["spec.volumes[0].hostPath: Forbidden: may not specify more than 1 volume type"],
        ),
        (
            {**pod_with(), "tolerations": [{"key": "a", "operator": "Like"}]},
            ['spec.tolerations[0].operator: Unsupported value: "Like": supported values: "Equal", "Exists"'],
        ),
        ({**pod_with(), "hostname": "a.b"}, ['spec.hostname: Invalid value: "a.b": must not contain dots']),
        (
            pod_with(env=[{"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "status.phase"}}}]),
            [
                'spec.containers[0].env[0].valueFrom.fieldRef.fieldPath: Unsupported value: "status.phase": '
                'supported values: "metadata.name", "metadata.namespace", "metadata.uid", "spec.nodeName", '
                '"spec.serviceAccountName", "status.hostIP", "status.hostIPs", "status.podIP", "status.podIPs"'
            ],
        ),
    ],
)
def test_a_pod_is_refused(registry: Registry, spec: JSON, expected: list[str]) -> None:
    assert refused(registry, PODS, spec) == expected


def test_a_pod_name_is_a_subdomain(registry: Registry) -> None:
    assert refused(registry, PODS, pod_with(), "A") == [f'metadata.name: Invalid value: "A": {SUBDOMAIN}']


def test_a_pod_asks_for_a_service_account_that_exists(registry: Registry) -> None:
    spec = {**pod_with(), "serviceAccountName": "robot"}
    with pytest.raises(ApiError) as caught:
        registry.create(PODS, {"metadata": {"name": "p", "namespace": "default"}, "spec": spec})
    why = 'error looking up service account default/robot: serviceaccount "robot" not found'
    assert (caught.value.code, caught.value.message) == (403, f'pods "p" is forbidden: {why}')
    with pytest.raises(ApiError) as caught:
        registry.create(PODS, {"metadata": {"generateName": "p-", "namespace": "default"}, "spec": spec})
    assert caught.value.message == f'pods "p-" is forbidden: {why}'


def test_a_pod_is_nearly_immutable(registry: Registry) -> None:
    new = clone(registry.create(PODS, {"metadata": {"name": "p", "namespace": "default"}, "spec": pod_with()}))
    new["spec"]["nodeName"] = "other"
    with pytest.raises(ApiError) as caught:
        registry.update(PODS, new)
    first, _, difference = caught.value.message.partition("\n")
    assert first == (
        'Pod "p" is invalid: spec: Forbidden: pod updates may not change fields other than '
        "`spec.containers[*].image`,`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` "
        "(only additions to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if "
        "it was previously negative)"
    )
    assert difference.startswith("@@ ") and '+ "nodeName": "other",' in difference


def test_the_image_of_a_pod_may_change(registry: Registry) -> None:
    new = clone(registry.create(PODS, {"metadata": {"name": "p", "namespace": "default"}, "spec": pod_with()}))
    new["spec"]["containers"][0]["image"] = "redis:8"
    assert registry.update(PODS, new)["metadata"]["generation"] == 2


def test_scheduling_gates_are_only_opened(registry: Registry) -> None:
    spec = {**pod_with(), "schedulingGates": [{"name": "example.com/a"}]}
    made = registry.create(PODS, {"metadata": {"name": "p", "namespace": "default"}, "spec": spec})
    assert made["status"]["conditions"][0]["reason"] == "SchedulingGated"
    more, none = clone(made), clone(made)
    more["spec"]["schedulingGates"].append({"name": "example.com/b"})
    del none["spec"]["schedulingGates"]
    with pytest.raises(ApiError) as caught:
        registry.update(PODS, more)
    assert causes(caught.value) == [
        "spec.schedulingGates: Forbidden: only deletion is allowed, but found new scheduling gate 'example.com/b'"
    ]
    assert "schedulingGates" not in registry.update(PODS, none)["spec"]


def test_a_pod_keeps_its_containers_and_tolerations(registry: Registry) -> None:
    made = registry.create(PODS, {"metadata": {"name": "p", "namespace": "default"}, "spec": pod_with()})
    more, fewer = clone(made), clone(made)
    more["spec"]["containers"].append({"name": "d", "image": "x"})
    fewer["spec"]["tolerations"].pop()
    for new, expected in (
        (more, "spec.containers: Forbidden: pod updates may not add or remove containers"),
        (
            fewer,
            "spec.tolerations: Forbidden: existing toleration can not be modified except its tolerationSeconds",
        ),
    ):
        with pytest.raises(ApiError) as caught:
            registry.update(PODS, new)
        assert causes(caught.value) == [expected]


def test_the_data_of_a_controller_revision_is_immutable(registry: Registry) -> None:
    revision = {"metadata": {"name": "web-1", "namespace": "default"}, "data": {"spec": {}}, "revision": 1}
    new = clone(registry.create(CONTROLLER_REVISIONS, revision))
    new["revision"] = 3
    new = clone(registry.update(CONTROLLER_REVISIONS, new))
    new["data"] = {"spec": {"x": 1}}
    with pytest.raises(ApiError) as caught:
        registry.update(CONTROLLER_REVISIONS, new)
    assert causes(caught.value) == ['data: Invalid value: {"spec":{"x":1}}: field is immutable']


def test_a_claim_template_is_a_complete_claim(registry: Registry) -> None:
    bad = redis()
    del bad["spec"]["volumeClaimTemplates"][0]["spec"]["accessModes"]
    assert refused(registry, STATEFUL_SETS, bad["spec"]) == [
        "spec.volumeClaimTemplates[0].spec.accessModes: Required value: at least 1 access mode is required"
    ]


def test_a_stateful_set_pod_may_mount_its_claims_only(registry: Registry) -> None:
    bad = redis()
    bad["spec"]["template"]["spec"]["containers"][0]["volumeMounts"][0]["name"] = "other"
    assert refused(registry, STATEFUL_SETS, bad["spec"]) == [
        'spec.template.spec.containers[0].volumeMounts[0].name: Not found: "other"'
    ]


@pytest.mark.parametrize(
    ("patch", "expected"),
    [
        (
            {"updateStrategy": {"rollingUpdate": {"maxSurge": 1}}},
            "spec.updateStrategy.rollingUpdate.maxSurge: Invalid value: 1: "
            "may not be set when maxUnavailable is non-zero",
        ),
        (
            {"updateStrategy": {"rollingUpdate": {"maxUnavailable": 0}}},
            "spec.updateStrategy.rollingUpdate.maxUnavailable: Required value: cannot be 0 when maxSurge is 0",
        ),
        (
            {"updateStrategy": {"rollingUpdate": {"maxUnavailable": "101%"}}},
            'spec.updateStrategy.rollingUpdate.maxUnavailable: Invalid value: "101%": must not be greater than 100%',
        ),
        (
            {"updateStrategy": {"type": "Recreate"}},
            'spec.updateStrategy: Unsupported value: {"Type":"Recreate","RollingUpdate":null}: '
            'supported values: "RollingUpdate", "OnDelete"',
        ),
        ({"selector": {}}, "spec.selector: Invalid value: {}: empty selector is invalid for daemonset"),
        ({"selector": None}, f'spec.template.metadata.labels: Invalid value: {{"a":"b"}}: {MISMATCH}'),
        ({"minReadySeconds": -1}, "spec.minReadySeconds: Invalid value: -1: must be greater than or equal to 0"),
    ],
)
def test_what_a_daemon_set_cannot_be(registry: Registry, patch: JSON, expected: str) -> None:
    spec = {"selector": {"matchLabels": {"a": "b"}}, "template": template(a="b"), **patch}
    assert refused(registry, DAEMON_SETS, spec) == [expected]
