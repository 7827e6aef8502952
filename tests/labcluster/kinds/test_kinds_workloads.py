"""ReplicaSets, Deployments and StatefulSets as they are stored, scaled and printed."""

from __future__ import annotations

import pytest

from labcluster.api.errors import ApiError
from labcluster.api.json_values import clone
from labcluster.api.objects import JSON
from labcluster.api.resources import (
    CONTROLLER_REVISIONS,
    DAEMON_SETS,
    DEPLOYMENTS,
    NAMESPACES,
    REPLICA_SETS,
    STATEFUL_SETS,
    Resource,
)
from labcluster.kinds import KINDS
from labcluster.kinds.scale_subresource import apply_scale, scale_of
from labcluster.storage.registry import Registry
from labcluster.storage.store import Store

POD_SPEC = {
    "containers": [
        {
            "name": "redis",
            "image": "redis:7",
            "resources": {},
            "terminationMessagePath": "/dev/termination-log",
            "terminationMessagePolicy": "File",
            "imagePullPolicy": "IfNotPresent",
        }
    ],
    "restartPolicy": "Always",
    "terminationGracePeriodSeconds": 30,
    "dnsPolicy": "ClusterFirst",
    "securityContext": {},
    "schedulerName": "default-scheduler",
}
TEMPLATE = {"metadata": {"labels": {"app": "redis"}}, "spec": POD_SPEC}
SELECTOR = {"matchLabels": {"app": "redis"}}


@pytest.fixture
def registry() -> Registry:
    registry = Registry(Store(":memory:"))
    registry.create(NAMESPACES, {"metadata": {"name": "default"}})
    return registry


def workload(**spec: object) -> JSON:
    template = {
        "metadata": {"labels": {"app": "redis"}},
        "spec": {"containers": [{"name": "redis", "image": "redis:7"}]},
    }
    return {
        "metadata": {"name": "redis", "namespace": "default"},
        "spec": {"selector": clone(SELECTOR), "template": template, **spec},
    }


def test_a_stateful_set_is_stored_with_its_defaults(registry: Registry) -> None:
    claim = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "100Mi"}}}
    claims = [{"metadata": {"name": "data"}, "spec": claim}]
    made = registry.create(STATEFUL_SETS, workload(serviceName="redis", volumeClaimTemplates=claims))
    assert made["spec"] == {
        "replicas": 1,
        "selector": SELECTOR,
        "template": TEMPLATE,
        "volumeClaimTemplates": [
            {
                "kind": "PersistentVolumeClaim",
                "apiVersion": "v1",
                "metadata": {"name": "data"},
                "spec": {**claim, "volumeMode": "Filesystem"},
                "status": {"phase": "Pending"},
            }
        ],
        "serviceName": "redis",
        "podManagementPolicy": "OrderedReady",
        "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"partition": 0}},
        "revisionHistoryLimit": 10,
        "persistentVolumeClaimRetentionPolicy": {"whenDeleted": "Retain", "whenScaled": "Retain"},
    }
    assert made["status"] == {"replicas": 0, "availableReplicas": 0}
    assert made["metadata"]["generation"] == 1


def test_on_delete_has_no_rolling_update_and_max_unavailable_is_dropped(registry: Registry) -> None:
    made = registry.create(STATEFUL_SETS, workload(updateStrategy={"type": "OnDelete"}))
    assert made["spec"]["updateStrategy"] == {"type": "OnDelete"}
    gated = workload(updateStrategy={"rollingUpdate": {"maxUnavailable": 2}})
    gated["metadata"]["name"] = "gated"
    made = registry.create(STATEFUL_SETS, gated)
    assert made["spec"]["updateStrategy"]["rollingUpdate"] == {"partition": 0}


def test_a_deployment_is_stored_with_its_defaults(registry: Registry) -> None:
    made = registry.create(DEPLOYMENTS, workload())
    assert made["spec"] == {
        "replicas": 1,
        "selector": SELECTOR,
        "template": TEMPLATE,
        "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": "25%", "maxSurge": "25%"}},
        "revisionHistoryLimit": 10,
        "progressDeadlineSeconds": 600,
    }
    assert made["status"] == {} and made["metadata"]["generation"] == 1


def test_a_replica_set_is_stored_with_its_defaults(registry: Registry) -> None:
    made = registry.create(REPLICA_SETS, workload())
    assert made["spec"] == {"replicas": 1, "selector": SELECTOR, "template": TEMPLATE}
    assert made["status"] == {"replicas": 0} and made["metadata"]["generation"] == 1


def test_a_daemon_set_is_stored_with_its_defaults(registry: Registry) -> None:
    made = registry.create(DAEMON_SETS, workload())
    assert made["spec"] == {
        "selector": SELECTOR,
        "template": TEMPLATE,
        "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 1, "maxSurge": 0}},
        "revisionHistoryLimit": 10,
    }
    counters = ("currentNumberScheduled", "numberMisscheduled", "desiredNumberScheduled", "numberReady")
    assert made["status"] == dict.fromkeys(counters, 0) and made["metadata"]["generation"] == 1
    assert made["metadata"]["annotations"] == {"deprecated.daemonset.template.generation": "1"}


def test_a_daemon_set_counts_the_changes_of_its_template(registry: Registry) -> None:
    new = clone(registry.create(DAEMON_SETS, workload()))
    new["metadata"]["annotations"] = {"own": "x"}
    new["spec"]["minReadySeconds"] = 5
    new = clone(registry.update(DAEMON_SETS, new))
    assert new["metadata"]["annotations"] == {"own": "x", "deprecated.daemonset.template.generation": "1"}
    new["spec"]["template"]["spec"]["containers"][0]["image"] = "redis:8"
    made = registry.update(DAEMON_SETS, new)
    assert made["metadata"]["annotations"]["deprecated.daemonset.template.generation"] == "2"
    assert made["metadata"]["generation"] == 3


@pytest.mark.parametrize("resource", [STATEFUL_SETS, DEPLOYMENTS, REPLICA_SETS, DAEMON_SETS])
def test_defaults_are_a_fixed_point(registry: Registry, resource: Resource) -> None:
    made = registry.create(resource, workload())
    assert registry.update(resource, clone(made)) is made


@pytest.mark.parametrize("resource", [STATEFUL_SETS, DEPLOYMENTS, REPLICA_SETS])
def test_scale_shows_and_sets_the_replicas(registry: Registry, resource: Resource) -> None:
    made = registry.create(resource, workload(replicas=3))
    scale = scale_of(made)
    assert (scale["kind"], scale["apiVersion"]) == ("Scale", "autoscaling/v1")
    assert scale["metadata"]["resourceVersion"] == made["metadata"]["resourceVersion"]
    assert scale["spec"] == {"replicas": 3}
    assert scale["status"] == {"replicas": 0, "selector": "app=redis"}
    scaled = registry.update(resource, {**scale, "spec": {"replicas": 5}}, subresource="scale")
    assert scaled["spec"]["replicas"] == 5 and scaled["metadata"]["generation"] == 2
    with pytest.raises(ApiError) as caught:  # the Scale is older than the workload now
        registry.update(resource, {**scale, "spec": {"replicas": 7}}, subresource="scale")
    assert caught.value.reason == "Conflict"
    named = {"metadata": {key: scale["metadata"][key] for key in ("namespace", "name")}}
    nothing = registry.update(resource, named, subresource="scale")
    assert nothing["spec"] == {**scaled["spec"], "replicas": 0}


def test_a_negative_scale_is_refused(registry: Registry) -> None:
    made = registry.create(STATEFUL_SETS, workload())
    with pytest.raises(ApiError) as caught:
        apply_scale(made, {"spec": {"replicas": -1}})
    assert caught.value.message == (
        'Scale.autoscaling "redis" is invalid: spec.replicas: Invalid value: -1: must be greater than or equal to 0'
    )


def test_the_rows_of_workloads() -> None:
    obj = {
        "metadata": {"name": "redis"},
        "spec": {"replicas": 3, "selector": SELECTOR, "template": TEMPLATE},
        "status": {"replicas": 2, "readyReplicas": 1, "updatedReplicas": 2, "availableReplicas": 1},
    }
    wide = ["redis", "redis:7"]
    assert KINDS[STATEFUL_SETS].cells(obj) == ["redis", "1/3", "<unknown>", *wide]
    assert KINDS[DEPLOYMENTS].cells(obj) == ["redis", "1/3", 2, 1, "<unknown>", *wide, "app=redis"]
    assert KINDS[REPLICA_SETS].cells(obj) == ["redis", 3, 2, 1, "<unknown>", *wide, "app=redis"]


def test_the_row_of_a_daemon_set() -> None:
    obj = {
        "metadata": {"name": "redis"},
        "spec": {
            "selector": SELECTOR,
            "template": {**TEMPLATE, "spec": {**TEMPLATE["spec"], "nodeSelector": {"a": "b"}}},
        },
        "status": {
            "desiredNumberScheduled": 5,
            "currentNumberScheduled": 4,
            "numberReady": 3,
            "updatedNumberScheduled": 2,
            "numberAvailable": 1,
        },
    }
    wide = ["redis", "redis:7", "app=redis"]
    assert KINDS[DAEMON_SETS].cells(obj) == ["redis", 5, 4, 3, 2, 1, "a=b", "<unknown>", *wide]


def test_the_row_of_a_controller_revision() -> None:
    owner = {"apiVersion": "apps/v1", "kind": "StatefulSet", "name": "redis", "uid": "1", "controller": True}
    obj = {"metadata": {"name": "redis-1", "ownerReferences": [owner]}, "revision": 2}
    assert KINDS[CONTROLLER_REVISIONS].cells(obj) == ["redis-1", "statefulset.apps/redis", 2, "<unknown>"]
    assert KINDS[CONTROLLER_REVISIONS].cells({"metadata": {"name": "a"}, "revision": 1})[1] == "<none>"


@pytest.mark.parametrize("resource", [STATEFUL_SETS, DEPLOYMENTS, REPLICA_SETS, DAEMON_SETS, CONTROLLER_REVISIONS])
def test_every_column_has_a_cell(resource: Resource) -> None:
    kind = KINDS[resource]
    obj = {"metadata": {"name": "a"}, "spec": {"selector": SELECTOR, "template": TEMPLATE}, "status": {}}
    assert len(kind.cells(obj)) == len(kind.columns)


@pytest.mark.parametrize(
    ("counters", "expected"),
    [
        (
            {"replicas": 1, "readyReplicas": 2},
            "status.readyReplicas: Invalid value: 2: cannot be greater than status.replicas",
        ),
        ({"replicas": -1}, "status.replicas: Invalid value: -1: must be greater than or equal to 0"),
    ],
)
def test_an_impossible_status_is_refused(registry: Registry, counters: JSON, expected: str) -> None:
    new = clone(registry.create(STATEFUL_SETS, workload()))
    new["status"] = counters
    with pytest.raises(ApiError) as caught:
        registry.update(STATEFUL_SETS, new, subresource="status")
    assert expected in caught.value.message
