"""Numbers of pods that nobody has room for: a part of them is made, and the cluster goes on."""

from __future__ import annotations

import pytest

from labcluster.api.objects import JSON
from labcluster.api.resources import JOBS, PODS, REPLICA_SETS, STATEFUL_SETS, Resource
from labcluster.controllers import workload_pods
from labcluster.controllers.jobs.job import JobController
from labcluster.controllers.replicaset import ReplicaSetController
from labcluster.controllers.statefulset.controller import StatefulSetController
from tests.labcluster.control_plane import NAMESPACE, ControlPlane

HUGE = 2**31 - 1
LABELS = {"app": "huge"}
TEMPLATE = {"metadata": {"labels": LABELS}, "spec": {"containers": [{"name": "main", "image": "busybox"}]}}
ONCE = {**TEMPLATE, "spec": {**TEMPLATE["spec"], "restartPolicy": "Never"}}  # type: ignore[dict-item]
SET: JSON = {"replicas": HUGE, "selector": {"matchLabels": LABELS}, "template": TEMPLATE}


@pytest.mark.parametrize(
    ("resource", "spec", "made"),
    [
        (REPLICA_SETS, SET, 30),
        (JOBS, {"parallelism": HUGE, "completions": HUGE, "template": ONCE}, 30),
        (STATEFUL_SETS, {**SET, "serviceName": "huge", "podManagementPolicy": "Parallel"}, 30),
        (STATEFUL_SETS, {**SET, "serviceName": "huge"}, 1),
    ],
    ids=["ReplicaSet", "Job", "StatefulSet, Parallel", "StatefulSet"],
)
def test_two_billion_pods(resource: Resource, spec: JSON, made: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workload_pods, "MAX_PODS", 30)
    cluster = ControlPlane(ReplicaSetController, JobController, StatefulSetController)
    cluster.registry.create(resource, {"metadata": {"name": "huge", "namespace": NAMESPACE}, "spec": spec})
    cluster.settle()
    assert len(cluster.registry.list(PODS, NAMESPACE)) == made
