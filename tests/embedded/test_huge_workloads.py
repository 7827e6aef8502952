"""Numbers of pods that nobody has room for: a part of them is made, and the cluster goes on."""

from __future__ import annotations

import pytest
from control_plane import NAMESPACE, ControlPlane

from labsupport.embedded.controllers import workload_pods
from labsupport.embedded.controllers.job import JobController
from labsupport.embedded.controllers.replicaset import ReplicaSetController
from labsupport.embedded.controllers.statefulset import StatefulSetController
from labsupport.embedded.objects import JSON
from labsupport.embedded.resources import JOBS, PODS, REPLICA_SETS, STATEFUL_SETS, Resource

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
    monkeypatch.setattr(workload_pods, "MOST_PODS", 30)
    cluster = ControlPlane(ReplicaSetController, JobController, StatefulSetController)
    cluster.registry.create(resource, {"metadata": {"name": "huge", "namespace": NAMESPACE}, "spec": spec})
    cluster.settle()
    assert len(cluster.registry.list(PODS, NAMESPACE)) == made
