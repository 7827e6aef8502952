"""DaemonSets: one pod on each node, tolerations, revisions and status, as upstream's controller does it."""

from __future__ import annotations

from typing import Any

import pytest

from labcluster.api.objects import JSON, labels_of, name_of
from labcluster.api.owners import controller_of
from labcluster.api.resources import CONTROLLER_REVISIONS, DAEMON_SETS, NODES, PODS
from labcluster.controllers.daemonset.controller import LONGEST_BACKOFF, DaemonSetController
from labcluster.controllers.daemonset.nodes import node_of, should_run
from labcluster.controllers.garbage_collector import GarbageCollector
from labcluster.controllers.scheduling.scheduler import Scheduler
from labcluster.storage.registry import DeleteOptions
from tests.labcluster.control_plane import CONTROL_PLANE_TAINT, NAMESPACE, ControlPlane
from tests.labcluster.fake_kubelet import FakeCluster
from tests.labcluster.workload_objects import daemon_set, web_template

ONE, TWO = "lab-worker", "lab-worker2"
EVERYWHERE = {"operator": "Exists"}
OWN_TOLERATIONS = [
    {"key": "node.kubernetes.io/not-ready", "operator": "Exists", "effect": "NoExecute"},
    {"key": "node.kubernetes.io/unreachable", "operator": "Exists", "effect": "NoExecute"},
    {"key": "node.kubernetes.io/disk-pressure", "operator": "Exists", "effect": "NoSchedule"},
    {"key": "node.kubernetes.io/memory-pressure", "operator": "Exists", "effect": "NoSchedule"},
    {"key": "node.kubernetes.io/pid-pressure", "operator": "Exists", "effect": "NoSchedule"},
    {"key": "node.kubernetes.io/unschedulable", "operator": "Exists", "effect": "NoSchedule"},
]


class Clock:
    """Seconds that pass when a test says so."""

    seconds = 100.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def cluster(clock: Clock) -> FakeCluster:
    cluster = FakeCluster(lambda registry: DaemonSetController(registry, clock), GarbageCollector)
    node(cluster, "lab-control-plane", taints=[CONTROL_PLANE_TAINT])
    node(cluster, ONE)
    node(cluster, TWO)
    return cluster


def node(cluster: FakeCluster, name: str, *, labels: dict[str, str] | None = None, **spec: Any) -> None:
    cluster.registry.create(NODES, {"metadata": {"name": name, "labels": labels or {}}, "spec": spec})


def change_node(cluster: FakeCluster, name: str, **spec: Any) -> None:
    cluster.registry.modify(NODES, "", name, lambda new: new["spec"].update(spec))


def started(cluster: FakeCluster, **spec: Any) -> FakeCluster:
    cluster.registry.create(DAEMON_SETS, daemon_set(**spec))
    cluster.settle()
    cluster.changes.clear()
    return cluster


def nodes(cluster: FakeCluster) -> list[str]:
    return sorted(str(node_of(pod)) for pod in cluster.registry.list(PODS))


def pod_on(cluster: FakeCluster, name: str) -> JSON:
    (pod,) = (pod for pod in cluster.registry.list(PODS) if node_of(pod) == name)
    return pod


def status(cluster: FakeCluster) -> JSON:
    found: JSON = cluster.get(DAEMON_SETS, "web")["status"]
    return found


def tolerating(*tolerations: JSON, **spec: Any) -> JSON:
    template = web_template()
    template["spec"].update(tolerations=list(tolerations), **spec)
    return template


# ---------------------------------------------------------------- which nodes


def test_each_node_that_is_not_tainted_has_a_pod(cluster: FakeCluster) -> None:
    started(cluster)
    assert nodes(cluster) == [ONE, TWO]
    assert status(cluster) == {
        "desiredNumberScheduled": 2,
        "currentNumberScheduled": 2,
        "numberMisscheduled": 0,
        "numberReady": 2,
        "updatedNumberScheduled": 2,
        "numberAvailable": 2,
        "observedGeneration": 1,
    }
    assert sorted(cluster.events("SuccessfulCreate")) == sorted(f"Created pod: {name}" for name in cluster.names(PODS))


def test_a_toleration_brings_it_to_the_control_plane(cluster: FakeCluster) -> None:
    started(cluster, template=tolerating(EVERYWHERE))
    assert nodes(cluster) == ["lab-control-plane", ONE, TWO]


def test_a_new_node_gets_a_pod_and_a_deleted_one_is_not_counted(cluster: FakeCluster) -> None:
    started(cluster)
    node(cluster, "lab-worker3")
    cluster.settle()
    assert nodes(cluster) == [ONE, TWO, "lab-worker3"] and status(cluster)["desiredNumberScheduled"] == 3
    cluster.registry.delete(NODES, "", "lab-worker3")
    cluster.settle()
    assert status(cluster)["desiredNumberScheduled"] == 2


def test_a_pod_that_was_never_placed_goes_with_its_node(cluster: FakeCluster) -> None:
    cluster.kubelet.starts = lambda pod: node_of(pod) == ONE
    started(cluster)
    assert nodes(cluster) == [ONE, TWO]
    cluster.registry.delete(NODES, "", TWO)
    cluster.settle()
    assert nodes(cluster) == [ONE]


def test_the_node_selector_and_the_labels_of_nodes_decide(cluster: FakeCluster) -> None:
    started(cluster, template=tolerating(nodeSelector={"disk": "fast"}))
    assert nodes(cluster) == [] and status(cluster)["desiredNumberScheduled"] == 0
    cluster.registry.modify(NODES, "", TWO, lambda new: new["metadata"].update(labels={"disk": "fast"}))
    cluster.settle()
    assert nodes(cluster) == [TWO]
    cluster.registry.modify(NODES, "", TWO, lambda new: new["metadata"].update(labels={}))
    cluster.settle()
    assert nodes(cluster) == []


def test_a_cordoned_node_gets_its_pod_all_the_same(cluster: FakeCluster) -> None:
    taint = {"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"}
    change_node(cluster, TWO, unschedulable=True, taints=[taint])
    started(cluster)
    assert nodes(cluster) == [ONE, TWO]


def test_a_later_taint_leaves_the_pod_and_calls_it_misscheduled(cluster: FakeCluster) -> None:
    started(cluster)
    change_node(cluster, TWO, taints=[{"key": "special", "effect": "NoSchedule"}])
    cluster.settle()
    assert nodes(cluster) == [ONE, TWO]
    assert (status(cluster)["numberMisscheduled"], status(cluster)["desiredNumberScheduled"]) == (1, 1)
    change_node(cluster, TWO, taints=[{"key": "special", "effect": "NoExecute"}])
    cluster.settle()
    assert nodes(cluster) == [ONE] and status(cluster)["numberMisscheduled"] == 0


def test_a_heartbeat_wakes_nobody(cluster: FakeCluster) -> None:
    started(cluster)
    cluster.registry.modify(NODES, "", ONE, lambda new: new.update(status={"conditions": []}), subresource="status")
    assert not cluster._queue


def test_a_template_that_names_its_node_runs_there_only(cluster: FakeCluster) -> None:
    started(cluster, template=tolerating(nodeName=TWO))
    assert nodes(cluster) == [TWO]


@pytest.mark.parametrize(
    ("effect", "expected"),
    [("PreferNoSchedule", (True, True)), ("NoSchedule", (False, True)), ("NoExecute", (False, False))],
)
def test_what_an_effect_means_for_coming_and_for_staying(effect: str, expected: tuple[bool, bool]) -> None:
    tainted = {"metadata": {"name": "n"}, "spec": {"taints": [{"key": "a", "effect": effect}]}}
    assert should_run(daemon_set(), tainted) == expected
    assert should_run(daemon_set(template=tolerating({"key": "a", "operator": "Exists"})), tainted) == (True, True)


# ---------------------------------------------------------------- its pods


def test_a_pod_is_tied_to_its_node_and_tolerates_its_troubles(cluster: FakeCluster) -> None:
    affinity = {"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": []}, "podAffinity": {}}
    started(cluster, template=tolerating({"key": "own", "operator": "Exists"}, affinity=affinity))
    pod = pod_on(cluster, TWO)
    required = pod["spec"]["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
    assert required == {
        "nodeSelectorTerms": [{"matchFields": [{"key": "metadata.name", "operator": "In", "values": [TWO]}]}]
    }
    assert pod["spec"]["tolerations"] == [{"key": "own", "operator": "Exists"}, *OWN_TOLERATIONS]
    (revision,) = cluster.registry.list(CONTROLLER_REVISIONS)
    assert labels_of(pod) == {
        "app": "web",
        "controller-revision-hash": labels_of(revision)["controller-revision-hash"],
        "pod-template-generation": "1",
    }
    assert name_of(revision) == f"web-{labels_of(pod)['controller-revision-hash']}"
    assert name_of(pod).startswith("web-") and len(name_of(pod)) == len("web-") + 5
    owner = controller_of(pod)
    assert owner is not None and (owner["kind"], owner["name"]) == ("DaemonSet", "web")


def test_a_toleration_with_an_end_loses_it_and_the_host_network_has_one_more(cluster: FakeCluster) -> None:
    with_an_end = {**OWN_TOLERATIONS[0], "tolerationSeconds": 5}
    started(cluster, template=tolerating(with_an_end, hostNetwork=True))
    network = {"key": "node.kubernetes.io/network-unavailable", "operator": "Exists", "effect": "NoSchedule"}
    assert pod_on(cluster, ONE)["spec"]["tolerations"] == [*OWN_TOLERATIONS, network]


def test_a_lost_pod_comes_back_on_its_node(cluster: FakeCluster) -> None:
    started(cluster)
    lost = name_of(pod_on(cluster, TWO))
    cluster.registry.delete(PODS, "default", lost, DeleteOptions(grace_seconds=0))
    cluster.settle()
    assert nodes(cluster) == [ONE, TWO] and name_of(pod_on(cluster, TWO)) != lost


def test_a_matching_orphan_is_adopted_and_of_two_on_a_node_the_older_stays(cluster: FakeCluster) -> None:
    for name in ("a", "b"):
        spec = {**web_template()["spec"], "nodeName": ONE}
        metadata = {"name": name, "namespace": "default", "labels": {"app": "web"}}
        cluster.registry.create(PODS, {"metadata": metadata, "spec": spec})
    started(cluster, updateStrategy={"type": "OnDelete"})
    assert name_of(pod_on(cluster, ONE)) == "a"
    assert (controller_of(pod_on(cluster, ONE)) or {})["name"] == "web"
    assert status(cluster)["updatedNumberScheduled"] == 1, "an orphan is of no revision"


def test_a_pod_that_no_longer_matches_is_released_and_replaced(cluster: FakeCluster) -> None:
    started(cluster)
    released = name_of(pod_on(cluster, ONE))
    cluster.change(PODS, released, lambda pod: pod["metadata"].update(labels={}))
    cluster.settle()
    assert controller_of(cluster.get(PODS, released)) is None
    assert nodes(cluster) == [ONE, ONE, TWO]


def test_a_failed_pod_is_replaced_at_once_and_then_after_a_back_off(cluster: FakeCluster, clock: Clock) -> None:
    started(cluster)
    first = pod_on(cluster, ONE)
    cluster.kubelet.set_phase(first, "Failed")
    cluster.settle()
    second = pod_on(cluster, ONE)
    assert name_of(second) != name_of(first)
    assert cluster.events("FailedDaemonPod") == [
        f"Found failed daemon pod default/{name_of(first)} on node {ONE}, will try to kill it"
    ]
    cluster.kubelet.set_phase(second, "Failed")
    cluster.settle()
    assert name_of(pod_on(cluster, ONE)) == name_of(second) and cluster.delays[-1] == 1.0
    clock.seconds += 1.0
    cluster.change(DAEMON_SETS, "web", lambda new: new["metadata"].update(labels={"wake": "up"}))
    cluster.settle()
    assert name_of(pod_on(cluster, ONE)) != name_of(second)


def test_failures_of_long_ago_are_forgotten(cluster: FakeCluster, clock: Clock) -> None:
    controller = DaemonSetController(cluster.registry, clock)
    failed = {"metadata": {"name": "one", "namespace": "default"}, "status": {"phase": "Failed"}}

    def delay(generation: int) -> float:
        metadata = {"name": "web", "namespace": "default", "uid": "1"}
        daemon_set = {
            "apiVersion": "apps/v1",
            "kind": "DaemonSet",
            "metadata": metadata,
            "status": {"observedGeneration": generation},
        }
        return controller.removal_delay(daemon_set, ONE, failed)

    assert [delay(generation) for generation in (1, 2, 3)] == [0.0, 0.0, 0.0]
    assert delay(3) == 1.0
    clock.seconds += 2 * LONGEST_BACKOFF + 1
    assert delay(3) == 0.0
    assert len(controller._backoff) == 1
    assert delay(3) == 1.0


def test_a_succeeded_pod_is_replaced(cluster: FakeCluster) -> None:
    started(cluster)
    ended = pod_on(cluster, ONE)
    cluster.kubelet.set_phase(ended, "Succeeded")
    cluster.settle()
    assert name_of(pod_on(cluster, ONE)) != name_of(ended)
    assert cluster.events("SucceededDaemonPod") == [
        f"Found succeeded daemon pod default/{name_of(ended)} on node {ONE}, will try to delete it"
    ]


def test_a_pod_that_has_to_be_ready_for_some_time_is_looked_at_again(cluster: FakeCluster) -> None:
    started(cluster, minReadySeconds=30)
    assert (status(cluster)["numberReady"], status(cluster).get("numberAvailable")) == (2, None)
    assert status(cluster)["numberUnavailable"] == 2
    assert 28 < cluster.delays[-1] <= 30


# ---------------------------------------------------------------- revisions and deletion


def test_a_change_of_the_template_is_a_revision_and_going_back_reuses_the_old_one(cluster: FakeCluster) -> None:
    started(cluster)
    for image in ("nginx:1.28", "nginx:1.27"):
        cluster.change(DAEMON_SETS, "web", lambda new, image=image: new["spec"].update(template=web_template(image)))
        cluster.settle()
    found = {
        r["data"]["spec"]["template"]["spec"]["containers"][0]["image"]: r["revision"]
        for r in cluster.registry.list(CONTROLLER_REVISIONS)
    }
    assert found == {"nginx:1.28": 2, "nginx:1.27": 3}
    assert {labels_of(pod)["pod-template-generation"] for pod in cluster.registry.list(PODS)} == {"3"}


def test_revisions_beyond_the_limit_go_but_not_those_in_use(cluster: FakeCluster) -> None:
    started(cluster, revisionHistoryLimit=1, updateStrategy={"type": "OnDelete"})
    for number in range(3):
        template = web_template(f"nginx:2.{number}")
        cluster.change(DAEMON_SETS, "web", lambda new, template=template: new["spec"].update(template=template))
        cluster.settle()
    numbers = sorted(r["revision"] for r in cluster.registry.list(CONTROLLER_REVISIONS))
    assert numbers == [1, 4], "the pods are of the first one"


def test_deleting_it_deletes_pods_and_revisions(cluster: FakeCluster) -> None:
    started(cluster)
    cluster.registry.delete(DAEMON_SETS, "default", "web")
    cluster.settle()
    assert cluster.names(PODS) == cluster.names(CONTROLLER_REVISIONS) == []


def test_pods_that_were_left_are_taken_over_with_their_revisions(cluster: FakeCluster) -> None:
    started(cluster)
    before = sorted(cluster.names(PODS))
    cluster.registry.delete(DAEMON_SETS, "default", "web", DeleteOptions(propagation="Orphan"))
    cluster.settle()
    assert sorted(cluster.names(PODS)) == before and cluster.names(DAEMON_SETS) == []
    started(cluster)
    assert sorted(cluster.names(PODS)) == before
    assert status(cluster)["updatedNumberScheduled"] == 2 and len(cluster.names(CONTROLLER_REVISIONS)) == 1


def test_while_it_is_being_deleted_nothing_is_made(cluster: FakeCluster) -> None:
    started(cluster)
    cluster.kubelet.ends = lambda pod: False
    cluster.registry.delete(DAEMON_SETS, "default", "web", DeleteOptions(propagation="Foreground"))
    cluster.settle()
    assert len(cluster.names(PODS)) == 2 and cluster.names(DAEMON_SETS) == ["web"]


# ---------------------------------------------------------------- with the scheduler


def test_the_scheduler_places_each_pod_on_its_node() -> None:
    plane = ControlPlane(DaemonSetController, Scheduler)
    made = daemon_set()
    made["metadata"]["namespace"] = NAMESPACE
    plane.registry.modify(NODES, "", TWO, lambda new: new["spec"].update(unschedulable=True))
    plane.registry.create(DAEMON_SETS, made)
    plane.settle()
    assert sorted(pod["spec"].get("nodeName", "") for pod in plane.registry.list(PODS)) == [ONE, TWO]


def test_a_pod_that_does_not_fit_its_node_is_not_tried_elsewhere() -> None:
    plane = ControlPlane(DaemonSetController, Scheduler)
    plane.registry.modify(
        NODES, "", ONE, lambda new: new["status"]["allocatable"].update(cpu="1"), subresource="status"
    )
    template = web_template()
    template["spec"]["containers"][0]["resources"] = {"requests": {"cpu": "1500m"}}
    made = daemon_set(template=template)
    made["metadata"]["namespace"] = NAMESPACE
    plane.registry.create(DAEMON_SETS, made)
    plane.settle()
    (waiting,) = (pod for pod in plane.registry.list(PODS) if not pod["spec"].get("nodeName"))
    assert node_of(waiting) == ONE
    (message,) = plane.events(name_of(waiting), "FailedScheduling")
    assert message.startswith(
        "0/3 nodes are available: 1 Insufficient cpu, 2 node(s) didn't satisfy plugin(s) [NodeAffinity]."
    )
