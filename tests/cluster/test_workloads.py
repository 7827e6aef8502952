"""StatefulSets, ReplicaSets, Deployments, DaemonSets and CronJobs in the running cluster, with real pods."""

from __future__ import annotations

from tests.manifests import claim, cron_job, daemon_set, service, shell, valkey, web, workload
from tests.running_lab import Namespace


def uids(space: Namespace, app: str) -> dict[str, str]:
    pods = [p for p in space.get("pods")["items"] if p["metadata"]["labels"].get("app") == app]
    return {p["metadata"]["name"]: p["metadata"]["uid"] for p in pods}


def test_a_statefulset_gives_each_pod_a_name_a_claim_and_its_data_back(namespace: Namespace) -> None:
    namespace.apply(service("db", port=6379, clusterIP="None"), workload("StatefulSet", "db", 3, valkey()))
    namespace.kubectl("rollout", "status", "sts/db", "--timeout=30s")
    before = uids(namespace, "db")
    assert sorted(before) == ["db-0", "db-1", "db-2"]
    assert {c["metadata"]["name"] for c in namespace.get("pvc")["items"]} == {f"data-db-{n}" for n in range(3)}
    for n in range(3):
        namespace.sh(f"db-{n}", f"valkey-cli set who {n} && valkey-cli save")

    node = namespace.get("pod/db-1")["spec"]["nodeName"]
    namespace.kubectl("delete", "pod", "db-1")
    namespace.kubectl("rollout", "status", "sts/db", "--timeout=30s")
    namespace.wait("pod/db-1", "condition=Ready")
    assert uids(namespace, "db")["db-1"] != before["db-1"]
    assert namespace.get("pod/db-1")["spec"]["nodeName"] == node, "its volume is on that node"
    assert namespace.sh("db-1", "valkey-cli get who") == "1\n"

    namespace.kubectl("scale", "sts/db", "--replicas=1")
    namespace.wait("pod/db-2", "delete")
    namespace.wait("pod/db-1", "delete")
    assert len(namespace.get("pvc")["items"]) == 3, "claims outlive a scale-down"
    namespace.kubectl("scale", "sts/db", "--replicas=3")
    namespace.wait("sts/db", "jsonpath={.status.readyReplicas}=3")
    assert namespace.sh("db-2", "valkey-cli get who") == "2\n"

    namespace.kubectl("delete", "sts/db")
    namespace.wait("pod", "delete", "-lapp=db")
    assert len(namespace.get("pvc")["items"]) == 3


def test_a_statefulset_rolls_out_from_the_highest_pod_down_and_back(namespace: Namespace) -> None:
    namespace.apply(
        service("db", clusterIP="None"),
        workload("StatefulSet", "db", 3, shell(), podManagementPolicy="Parallel", volumeClaimTemplates=[]),
    )
    namespace.kubectl("rollout", "status", "sts/db", "--timeout=30s")
    before = uids(namespace, "db")
    namespace.kubectl("patch", "sts/db", "-p", '{"spec":{"updateStrategy":{"rollingUpdate":{"partition":2}}}}')
    namespace.kubectl("set", "env", "sts/db", "COLOUR=blue")
    namespace.kubectl("rollout", "status", "sts/db", "--timeout=30s")
    changed = uids(namespace, "db")
    assert {name for name in before if changed[name] != before[name]} == {"db-2"}
    assert namespace.sh("db-2", "echo $COLOUR") == "blue\n"

    assert len(namespace.get("controllerrevisions")["items"]) == 2
    assert namespace.kubectl("rollout", "undo", "sts/db") == "statefulset.apps/db rolled back\n"
    namespace.wait("pod/db-2", "jsonpath={.metadata.labels.controller-revision-hash}=" + revision(namespace, "db-0"))
    namespace.wait("pod/db-2", "condition=Ready")
    assert namespace.sh("db-2", "echo $COLOUR") == "\n"


def revision(space: Namespace, pod: str) -> str:
    return str(space.get(f"pod/{pod}")["metadata"]["labels"]["controller-revision-hash"])


def test_claims_can_go_with_the_set(namespace: Namespace) -> None:
    policy = {"whenDeleted": "Delete", "whenScaled": "Delete"}
    set_ = workload("StatefulSet", "db", 2, shell(), persistentVolumeClaimRetentionPolicy=policy)
    namespace.apply(service("db", clusterIP="None"), set_)
    namespace.kubectl("rollout", "status", "sts/db", "--timeout=30s")
    volume = namespace.get("pvc/data-db-1")["spec"].get("volumeName")
    namespace.kubectl("scale", "sts/db", "--replicas=1")
    namespace.wait("pvc/data-db-1", "delete")
    if volume:
        namespace.wait(f"pv/{volume}", "delete")
    namespace.kubectl("delete", "sts/db")
    namespace.wait("pvc/data-db-0", "delete")


def test_a_replicaset_replaces_a_lost_pod_by_another_one(namespace: Namespace) -> None:
    namespace.apply(workload("ReplicaSet", "web", 3, shell()))
    namespace.wait("rs/web", "jsonpath={.status.readyReplicas}=3")
    before = uids(namespace, "web")
    lost = sorted(before)[0]
    namespace.kubectl("delete", "pod", lost)
    namespace.wait("rs/web", "jsonpath={.status.readyReplicas}=3")
    after = uids(namespace, "web")
    assert lost not in after
    assert len(after) == 3
    assert len(after.keys() & before.keys()) == 2


def test_a_replicaset_leaves_its_pods_when_it_is_told_to(namespace: Namespace) -> None:
    namespace.apply(workload("ReplicaSet", "web", 2, shell()))
    namespace.wait("rs/web", "jsonpath={.status.readyReplicas}=2")
    namespace.kubectl("delete", "rs/web", "--cascade=orphan")
    pods = namespace.get("pods")["items"]
    assert len(pods) == 2
    assert all("ownerReferences" not in p["metadata"] for p in pods)


def test_a_deployment_rolls_out_and_back(namespace: Namespace) -> None:
    namespace.apply(workload("Deployment", "web", 3, web(env=[{"name": "COLOUR", "value": "green"}])))
    assert "successfully rolled out" in namespace.kubectl("rollout", "status", "deploy/web", "--timeout=30s")
    namespace.kubectl("set", "env", "deploy/web", "COLOUR=blue")
    assert "successfully rolled out" in namespace.kubectl("rollout", "status", "deploy/web", "--timeout=30s")
    assert namespace.sh("deploy/web", "echo $COLOUR") == "blue\n"
    history = namespace.kubectl("rollout", "history", "deploy/web")
    assert [line.split()[0] for line in history.splitlines()[2:] if line] == ["1", "2"]
    namespace.kubectl("rollout", "undo", "deploy/web")
    namespace.kubectl("rollout", "status", "deploy/web", "--timeout=30s")
    assert namespace.sh("deploy/web", "echo $COLOUR") == "green\n"
    assert namespace.kubectl("rollout", "restart", "deploy/web") == "deployment.apps/web restarted\n"
    namespace.kubectl("rollout", "status", "deploy/web", "--timeout=30s")
    namespace.kubectl("delete", "deploy/web")
    namespace.wait("rs", "delete", "-lapp=web")


def test_pods_that_share_a_claim_are_put_on_its_node(namespace: Namespace) -> None:
    set_ = workload("ReplicaSet", "web", 3, shell(volumeMounts=[{"name": "data", "mountPath": "/data"}]))
    set_["spec"]["template"]["spec"]["volumes"] = [{"name": "data", "persistentVolumeClaim": {"claimName": "shared"}}]
    namespace.apply(claim("shared"), set_)
    namespace.wait("rs/web", "jsonpath={.status.readyReplicas}=3")
    assert len({p["spec"]["nodeName"] for p in namespace.get("pods")["items"]}) == 1
    one, two, _ = sorted(uids(namespace, "web"))
    namespace.sh(one, "echo hello > /data/x")
    assert namespace.sh(two, "cat /data/x") == "hello\n"


def nodes_of(space: Namespace, app: str) -> dict[str, str]:
    """The node of each pod of a workload, and the pod's name."""
    pods = [p for p in space.get("pods")["items"] if p["metadata"]["labels"].get("app") == app]
    return {p["spec"]["nodeName"]: p["metadata"]["name"] for p in pods}


def test_a_daemonset_has_a_pod_on_each_worker_and_on_the_control_plane_if_it_may(namespace: Namespace) -> None:
    namespace.apply(daemon_set("agent", shell()))
    assert "successfully rolled out" in namespace.kubectl("rollout", "status", "ds/agent", "--timeout=30s")
    before = nodes_of(namespace, "agent")
    assert sorted(before) == ["lab-worker", "lab-worker2"]
    namespace.kubectl("delete", "pod", before["lab-worker2"])
    namespace.wait("ds/agent", "jsonpath={.status.numberReady}=2")
    assert nodes_of(namespace, "agent")["lab-worker"] == before["lab-worker"]
    assert nodes_of(namespace, "agent")["lab-worker2"] != before["lab-worker2"]

    everywhere = '{"spec":{"template":{"spec":{"tolerations":[{"operator":"Exists"}]}}}}'
    namespace.kubectl("patch", "ds/agent", "-p", everywhere)
    namespace.kubectl("rollout", "status", "ds/agent", "--timeout=30s")
    assert sorted(nodes_of(namespace, "agent")) == ["lab-control-plane", "lab-worker", "lab-worker2"]
    namespace.kubectl("delete", "ds/agent")
    namespace.wait("pod", "delete", "-lapp=agent")
    assert namespace.get("controllerrevisions")["items"] == []


def test_a_daemonset_surges_and_goes_back(namespace: Namespace) -> None:
    rolling = {"rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}}
    namespace.apply(daemon_set("agent", web(env=[{"name": "COLOUR", "value": "green"}]), updateStrategy=rolling))
    namespace.kubectl("rollout", "status", "ds/agent", "--timeout=30s")
    namespace.kubectl("set", "env", "ds/agent", "COLOUR=blue")
    namespace.kubectl("rollout", "status", "ds/agent", "--timeout=30s")
    for name in nodes_of(namespace, "agent").values():
        assert namespace.sh(name, "echo $COLOUR") == "blue\n"
    assert namespace.kubectl("rollout", "undo", "ds/agent") == "daemonset.apps/agent rolled back\n"
    namespace.kubectl("rollout", "status", "ds/agent", "--timeout=30s")
    for name in nodes_of(namespace, "agent").values():
        assert namespace.sh(name, "echo $COLOUR") == "green\n"
    revisions = namespace.get("controllerrevisions")["items"]
    assert sorted(r["revision"] for r in revisions) == [2, 3]


def test_a_cronjob_makes_a_job_at_its_time_and_counts_it(namespace: Namespace) -> None:
    namespace.apply(cron_job("tick", "@every 2s", shell("echo $(hostname)")))
    namespace.wait("cronjob/tick", "jsonpath={.status.lastSuccessfulTime}")
    (job, *_) = namespace.get("jobs")["items"]
    made = job["metadata"]
    assert made["name"].startswith("tick-") and made["ownerReferences"][0]["kind"] == "CronJob"
    assert namespace.kubectl("logs", f"job/{made['name']}").startswith(f"{made['name']}-")
    namespace.kubectl("patch", "cronjob/tick", "-p", '{"spec":{"suspend":true}}')
    namespace.kubectl("delete", "cronjob/tick")
    namespace.wait(f"job/{made['name']}", "delete")
