"""The life of a pod in the running cluster: volumes, environment, probes, restarts, ends."""

from __future__ import annotations

import time
from typing import Any

from tests.manifests import FOREVER, claim, pod, shell
from tests.running_lab import Namespace


def mount(name: str, path: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "mountPath": path, **more}


def container(space: Namespace, name: str, index: int = 0) -> dict[str, Any]:
    status: dict[str, Any] = space.get(f"pod/{name}")["status"]["containerStatuses"][index]
    return status


def events(space: Namespace, name: str) -> list[str]:
    return [e["reason"] for e in space.get("events")["items"] if e["involvedObject"]["name"] == name]


def test_config_maps_secrets_and_the_downward_api_reach_a_pod(namespace: Namespace) -> None:
    field = {"fieldRef": {"fieldPath": "metadata.name"}}
    namespace.apply(
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings"}, "data": {"colour": "blue"}},
        {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "key"}, "stringData": {"password": "s3cret"}},
        pod(
            "one",
            shell(
                env=[
                    {"name": "COLOUR", "valueFrom": {"configMapKeyRef": {"name": "settings", "key": "colour"}}},
                    {"name": "NAME", "valueFrom": field},
                    {"name": "BOTH", "value": "$(NAME)-$(COLOUR)"},
                ],
                envFrom=[{"secretRef": {"name": "key"}, "prefix": "KEY_"}],
                volumeMounts=[mount("settings", "/settings"), mount("key", "/key"), mount("me", "/me")],
            ),
            labels={"app": "one", "tier": "first"},
            volumes=[
                {"name": "settings", "configMap": {"name": "settings"}},
                {"name": "key", "secret": {"secretName": "key", "defaultMode": 0o400}},
                {"name": "me", "downwardAPI": {"items": [{"path": "name", **field}]}},
            ],
        ),
    )
    namespace.wait("pod/one", "condition=Ready")
    assert namespace.sh("one", "echo $COLOUR $NAME $BOTH $KEY_password") == "blue one one-blue s3cret\n"
    assert namespace.sh("one", "cat /settings/colour /key/password /me/name") == "blues3cretone"
    assert namespace.sh("one", "stat -L -c %a /key/password") == "400\n"
    assert "Read-only" in namespace.refused("exec", "one", "--", "touch", "/settings/x")

    waiting = "until grep -q green /settings/colour; do sleep 0.1; done"
    namespace.kubectl("patch", "configmap", "settings", "-p", '{"data":{"colour":"green"}}')
    namespace.sh("one", waiting)


def test_an_empty_dir_is_shared_by_containers_and_outlives_a_restart(namespace: Namespace) -> None:
    shared = [mount("scratch", "/scratch")]
    once = "test -e /scratch/again && { echo back; sleep infinity & wait; }; touch /scratch/again; exit 3"
    namespace.apply(
        pod(
            "one",
            shell(once, volumeMounts=shared),
            shell(FOREVER, volumeMounts=shared) | {"name": "other"},
            volumes=[{"name": "scratch", "emptyDir": {}}],
        )
    )
    namespace.wait("pod/one", "jsonpath={.status.containerStatuses[0].restartCount}=1")
    namespace.wait("pod/one", "condition=Ready")
    status = container(namespace, "one")
    assert status["lastState"]["terminated"]["exitCode"] == 3
    assert namespace.kubectl("exec", "one", "-c", "other", "--", "ls", "/scratch") == "again\n"
    assert container(namespace, "one", 1)["restartCount"] == 0


def test_a_claim_binds_when_its_first_pod_comes_and_keeps_the_data(namespace: Namespace) -> None:
    namespace.apply(claim("data"))
    assert namespace.get("pvc/data")["status"]["phase"] == "Pending"
    user = pod("one", shell(volumeMounts=[mount("data", "/data")]))
    user["spec"]["volumes"] = [{"name": "data", "persistentVolumeClaim": {"claimName": "data"}}]
    namespace.apply(user)
    namespace.wait("pod/one", "condition=Ready")
    namespace.sh("one", "echo kept > /data/x")
    namespace.kubectl("delete", "pvc", "data", "--wait=false")
    assert namespace.get("pvc/data")["metadata"]["finalizers"], "a claim in use is protected"
    assert namespace.sh("one", "cat /data/x") == "kept\n"
    volume = namespace.get("pvc/data")["spec"]["volumeName"]
    namespace.kubectl("delete", "pod", "one")
    namespace.wait("pvc/data", "delete")
    namespace.wait(f"pv/{volume}", "delete")


def test_init_containers_run_one_after_another_before_the_rest(namespace: Namespace) -> None:
    order = [mount("order", "/order")]
    namespace.apply(
        pod(
            "one",
            shell("cat /order/log; " + FOREVER, volumeMounts=order),
            initContainers=[
                shell(f"echo {n} >> /order/log", volumeMounts=order) | {"name": f"init-{n}"} for n in range(3)
            ],
            volumes=[{"name": "order", "emptyDir": {}}],
        )
    )
    namespace.wait("pod/one", "condition=Ready")
    assert namespace.kubectl("logs", "one") == "0\n1\n2\n"
    finished = namespace.get("pod/one")["status"]["initContainerStatuses"]
    assert [s["state"]["terminated"]["reason"] for s in finished] == ["Completed"] * 3


def test_a_failing_init_container_holds_the_pod(namespace: Namespace) -> None:
    namespace.apply(pod("one", initContainers=[shell("exit 7") | {"name": "init"}], restartPolicy="Never"))
    namespace.wait("pod/one", "jsonpath={.status.phase}=Failed")
    assert "Init:Error" in namespace.kubectl("get", "pod", "one")
    assert namespace.get("pod/one")["status"]["containerStatuses"][0]["state"] == {
        "waiting": {"reason": "PodInitializing"}
    }


def test_a_pod_that_ends_well_has_succeeded(namespace: Namespace) -> None:
    namespace.apply(pod("one", shell("echo done"), restartPolicy="OnFailure"))
    namespace.wait("pod/one", "jsonpath={.status.phase}=Succeeded")
    assert "Completed" in namespace.kubectl("get", "pod", "one")
    assert namespace.kubectl("logs", "one") == "done\n"


def test_a_crashing_container_is_restarted_with_a_growing_back_off(namespace: Namespace) -> None:
    namespace.apply(pod("one", shell("echo run $(date +%s%N); exit 1")))
    namespace.wait("pod/one", "jsonpath={.status.containerStatuses[0].state.waiting.reason}=CrashLoopBackOff")
    status = container(namespace, "one")
    assert status["restartCount"] >= 1
    assert status["state"]["waiting"]["message"].startswith("back-off 10s restarting failed container=main")
    assert "CrashLoopBackOff" in namespace.kubectl("get", "pod", "one")
    assert namespace.kubectl("logs", "one", "--previous").startswith("run ")
    assert "BackOff" in events(namespace, "one")


def test_an_unknown_image_is_refused_as_a_registry_refuses_it(namespace: Namespace) -> None:
    namespace.apply(pod("one", shell() | {"image": "nobody/nothing:1"}))
    namespace.wait("pod/one", "jsonpath={.status.containerStatuses[0].state.waiting.reason}=ImagePullBackOff")
    assert {"Failed", "Pulling", "BackOff"} <= set(events(namespace, "one"))


def test_a_failing_liveness_probe_restarts_the_container(namespace: Namespace) -> None:
    alive = {"exec": {"command": ["test", "!", "-e", "/tmp/ill"]}, "periodSeconds": 1, "failureThreshold": 1}
    namespace.apply(pod("one", shell(livenessProbe=alive)))
    namespace.wait("pod/one", "condition=Ready")
    namespace.sh("one", "touch /tmp/ill")
    namespace.wait("pod/one", "jsonpath={.status.containerStatuses[0].restartCount}=1")
    namespace.wait("pod/one", "condition=Ready")
    assert namespace.sh("one", "ls /tmp") == "", "a new container has a new file system"
    assert {"Unhealthy", "Killing"} <= set(events(namespace, "one"))


def test_a_startup_probe_holds_the_others_back(namespace: Namespace) -> None:
    up = {"exec": {"command": ["test", "-e", "/tmp/up"]}, "periodSeconds": 1, "failureThreshold": 30}
    never = {"exec": {"command": ["test", "-e", "/tmp/up"]}, "periodSeconds": 1, "failureThreshold": 1}
    namespace.apply(pod("one", shell("sleep 2.5; touch /tmp/up; " + FOREVER, startupProbe=up, livenessProbe=never)))
    namespace.wait("pod/one", "condition=Ready")
    assert container(namespace, "one")["restartCount"] == 0


def test_a_pod_ends_kindly_in_its_grace_period(namespace: Namespace) -> None:
    kind = "trap 'sleep 0.5; echo bye > /out/last; exit 0' TERM; touch /tmp/up; sleep infinity & wait"
    ready = {"exec": {"command": ["test", "-e", "/tmp/up"]}, "periodSeconds": 1}
    data = {"name": "out", "persistentVolumeClaim": {"claimName": "out"}}
    hook = {"preStop": {"exec": {"command": ["sh", "-c", "echo hook > /out/first"]}}}
    first = shell(kind, readinessProbe=ready, lifecycle=hook, volumeMounts=[mount("out", "/out")])
    second = shell(volumeMounts=[mount("out", "/out")])
    namespace.apply(claim("out"), pod("one", first, volumes=[data], terminationGracePeriodSeconds=20))
    namespace.wait("pod/one", "condition=Ready")
    namespace.kubectl("delete", "pod", "one", "--wait=false")
    assert "Terminating" in namespace.kubectl("get", "pod", "one")
    namespace.wait("pod/one", "delete", seconds=15)
    namespace.apply(pod("two", second, volumes=[data]))
    namespace.wait("pod/two", "condition=Ready")
    assert namespace.sh("two", "cat /out/first /out/last") == "hook\nbye\n"


def test_a_pod_that_does_not_listen_is_killed_after_its_grace_period(namespace: Namespace) -> None:
    namespace.apply(pod("one", shell("trap '' TERM; touch /tmp/up; while :; do sleep 1; done")))
    namespace.wait("pod/one", "condition=Ready")
    started = time.monotonic()
    namespace.kubectl("delete", "pod", "one", "--grace-period=2")
    assert time.monotonic() - started >= 2
    assert "NotFound" in namespace.refused("get", "pod", "one")


def test_logs_are_followed_while_they_grow(namespace: Namespace) -> None:
    namespace.apply(pod("one", shell("for i in 1 2 3; do echo $i; sleep 0.3; done"), restartPolicy="Never"))
    namespace.wait("pod/one", "jsonpath={.status.containerStatuses[0].started}=true")
    assert namespace.kubectl("logs", "-f", "one") == "1\n2\n3\n"
    assert namespace.kubectl("logs", "one", "--tail=1") == "3\n"
    stamped = namespace.kubectl("logs", "one", "--timestamps").splitlines()
    assert [line.split()[1] for line in stamped] == ["1", "2", "3"]


def test_exec_passes_input_output_and_the_exit_code(namespace: Namespace) -> None:
    namespace.apply(pod("one"))
    namespace.wait("pod/one", "condition=Ready")
    assert namespace.kubectl("exec", "-i", "one", "--", "sh", "-c", "cat; echo $HOSTNAME", stdin="hi\n") == "hi\none\n"
    big = "x" * 500_000
    assert namespace.kubectl("exec", "-i", "one", "--", "cat", stdin=big) == big
    done = namespace.lab.run_kubectl("-n", namespace.name, "exec", "one", "--", "sh", "-c", "echo oops >&2; exit 42")
    assert (done.returncode, done.stdout) == (42, "")
    assert done.stderr.startswith("oops\n")
    assert "executable file not found" in namespace.refused("exec", "one", "--", "nonesuch")


def test_a_cordoned_node_gets_no_pods(namespace: Namespace) -> None:
    on = {"kubernetes.io/hostname": "lab-worker2"}
    namespace.kubectl("cordon", "lab-worker2")
    try:
        namespace.apply(pod("one", nodeSelector=on))
        namespace.wait("pod/one", "condition=PodScheduled=false")
        (scheduled,) = namespace.get("pod/one")["status"]["conditions"]
        assert "unschedulable" in scheduled["message"]
    finally:
        namespace.kubectl("uncordon", "lab-worker2")
    namespace.wait("pod/one", "condition=Ready")
    assert namespace.get("pod/one")["spec"]["nodeName"] == "lab-worker2"
