"""How a StatefulSet comes to its number of pods (facts 13 to 18)."""

from __future__ import annotations

from tests.facts.api_port import JSON, Space
from tests.facts.sets import (
    back,
    by_hand,
    create_ready,
    deletions,
    hold,
    let_go,
    revision,
    settle,
    tell,
    template,
    uids,
)
from tests.manifests import claim, pod


def test_fact_13_the_replicas_are_the_ordinals_from_start_on(space: Space) -> None:
    """A set wants start to start+replicas-1; whatever else matches has to go, the highest first."""
    space.create(pod("web-9", labels={"app": "web"}, schedulerName="nobody"))
    tell(space, "web-9")
    with space.watched("pods") as pods:
        space.create(by_hand(2, ordinals={"start": 3}))
        for name in ("web-3", "web-4"):
            pods.until(lambda found, name=name: name in found)
            tell(space, name)
        pods.until(lambda found: found.keys() == {"web-3", "web-4"})
        space.patch("statefulsets", "web", {"spec": {"ordinals": {"start": 5}}})
        for name in ("web-5", "web-6"):
            pods.until(lambda found, name=name: name in found)
            tell(space, name)
        pods.until(lambda found: found.keys() == {"web-5", "web-6"})
        assert deletions(pods) == ["web-9", "web-4", "web-3"]
        space.patch("statefulsets", "web", {"spec": {"ordinals": None}})
        for name in ("web-0", "web-1"):
            pods.until(lambda found, name=name: name in found)
            tell(space, name)
        pods.until(lambda found: found.keys() == {"web-0", "web-1"})
        assert pods.told("ADDED") == ["web-9", "web-3", "web-4", "web-5", "web-6", "web-0", "web-1"]


def test_fact_14_pods_come_one_by_one_each_when_the_one_before_is_running_and_ready(space: Space) -> None:
    """OrderedReady creates one pod a step and stops at the first that is not Running and Ready."""
    with space.watched("pods") as pods:
        space.create(by_hand(3))
        pods.until(lambda found: found)
        for phase, ready in (("Pending", False), ("Running", False), ("Pending", True)):
            tell(space, "web-0", phase=phase, ready=ready)
            settle(space)
            assert space.names("pods") == ["web-0"], f"phase {phase}, ready {ready}"
        tell(space, "web-0")
        pods.until(lambda found: "web-1" in found)
        settle(space)
        assert space.names("pods") == ["web-0", "web-1"]
        tell(space, "web-1")
        pods.until(lambda found: "web-2" in found)


def test_fact_14_a_terminating_pod_and_one_that_is_not_available_are_waited_for(space: Space) -> None:
    """OrderedReady stops at a pod that is about to go, though it is ready, and at one not ready for minReadySeconds."""
    with space.watched("pods") as pods:
        create_ready(space, pods, by_hand(1), "web-0")
        hold(space, "web-0")
        space.delete("pods", "web-0")
        space.patch("statefulsets", "web", {"spec": {"replicas": 2}})
        settle(space)
        assert space.names("pods") == ["web-0"]
        first = pods.objects["web-0"]["metadata"]["uid"]
        space.patch("statefulsets", "web", {"spec": {"minReadySeconds": 3600}})
        let_go(space, "web-0")
        back(space, pods, "web-0", first)
        stateful_set = settle(space)
        assert space.names("pods") == ["web-0"]
        assert (stateful_set["status"]["readyReplicas"], stateful_set["status"]["availableReplicas"]) == (1, 0)
        space.patch("statefulsets", "web", {"spec": {"minReadySeconds": 0}})
        pods.until(lambda found: "web-1" in found)


def test_fact_15_a_scale_down_waits_for_the_wanted_pods_and_takes_one_at_a_time(space: Space) -> None:
    """Nothing is deleted while a wanted pod is not healthy; then the highest goes, and the next when it is gone."""
    with space.watched("pods") as pods:
        create_ready(space, pods, by_hand(4), "web-0", "web-1", "web-2", "web-3")
        hold(space, "web-3")
        tell(space, "web-0", ready=False)
        space.patch("statefulsets", "web", {"spec": {"replicas": 2}})
        settle(space)
        assert not [p for p in space.list("pods") if "deletionTimestamp" in p["metadata"]]
        tell(space, "web-0")
        pods.until(lambda found: "deletionTimestamp" in found["web-3"]["metadata"])
        settle(space)
        assert "deletionTimestamp" not in space.get("pods", "web-2")["metadata"]
        let_go(space, "web-3")
        pods.until(lambda found: found.keys() == {"web-0", "web-1"})
        assert deletions(pods) == ["web-3", "web-2"]


def test_fact_15_a_condemned_pod_that_is_not_healthy_blocks_unless_it_is_the_first_such(space: Space) -> None:
    """Of two unhealthy pods out of range the higher is not deleted: the lower one is the first unavailable pod."""
    with space.watched("pods") as pods:
        create_ready(space, pods, by_hand(3), "web-0", "web-1", "web-2")
        tell(space, "web-1", "web-2", ready=False)
        space.patch("statefulsets", "web", {"spec": {"replicas": 1}})
        settle(space)
        assert space.names("pods") == ["web-0", "web-1", "web-2"] and not deletions(pods)
        tell(space, "web-1")  # now web-2 is the first
        pods.until(lambda found: "web-2" not in found)
        pods.until(lambda found: found.keys() == {"web-0"})


def test_fact_16_scaling_goes_before_an_update(space: Space) -> None:
    """A set that has to grow and to change makes and awaits the new pods before it deletes an old one."""
    with space.watched("pods") as pods:
        create_ready(space, pods, by_hand(2), "web-0", "web-1")
        before = uids(pods)
        space.patch("statefulsets", "web", {"spec": {"replicas": 3, **template("blue")["spec"]}})
        pods.until(lambda found: "web-2" in found)
        stateful_set = settle(space)
        assert uids(pods).items() >= before.items() and not deletions(pods)
        assert revision(pods.objects["web-2"]) == stateful_set["status"]["updateRevision"]
        tell(space, "web-2")
        back(space, pods, "web-1", before["web-1"])
        back(space, pods, "web-0", before["web-0"])
        assert deletions(pods) == ["web-1", "web-0"]


def test_fact_16_scaling_down_goes_before_an_update_too(space: Space) -> None:
    """No pod is updated until the last one out of range has gone."""
    with space.watched("pods") as pods:
        create_ready(space, pods, by_hand(3), "web-0", "web-1", "web-2")
        before = uids(pods)
        hold(space, "web-2")
        space.patch("statefulsets", "web", {"spec": {"replicas": 2, **template("blue")["spec"]}})
        pods.until(lambda found: "deletionTimestamp" in found["web-2"]["metadata"])
        settle(space)
        assert deletions(pods) == ["web-2"]
        let_go(space, "web-2")
        back(space, pods, "web-1", before["web-1"])
        assert deletions(pods)[:2] == ["web-2", "web-1"]


def test_fact_16_a_set_that_is_being_deleted_only_tells_its_status(space: Space) -> None:
    """It makes no pods, scales nothing and updates nothing, but still counts."""
    with space.watched("pods") as pods:
        create_ready(space, pods, by_hand(3), "web-0", "web-1", "web-2")
        space.patch("statefulsets", "web", {"metadata": {"finalizers": ["example.com/hold"]}})
        space.delete("statefulsets", "web", propagationPolicy="Background")
        space.patch("statefulsets", "web", {"spec": {"replicas": 1, **template("blue")["spec"]}})
        space.delete("pods", "web-0")
        space.until("statefulsets", lambda found: found["web"]["status"].get("replicas") == 2)
        tell(space, "web-1", ready=False)
        space.until("statefulsets", lambda found: found["web"]["status"].get("readyReplicas") == 1)
        assert space.names("pods") == ["web-1", "web-2"]
        space.patch("statefulsets", "web", {"metadata": {"finalizers": None}})
        pods.until(lambda found: "web-0" not in found)
        assert deletions(pods)[0] == "web-0"


def going_claim(ordinal: int) -> JSON:
    """A claim that a set would want, and that is being deleted: the pod of that ordinal cannot be made."""
    obj = claim(f"data-web-{ordinal}")
    obj["metadata"]["finalizers"] = ["example.com/hold"]
    return obj


def with_claims(replicas: int) -> JSON:
    template_of_claims = {"metadata": {"name": "data"}, "spec": claim("data")["spec"]}
    return by_hand(replicas, podManagementPolicy="Parallel", volumeClaimTemplates=[template_of_claims])


def made_until_failure(space: Space, failing: int, replicas: int) -> list[int]:
    """The ordinals of the pods that a Parallel set makes when the pod of one ordinal cannot be made."""
    space.create(going_claim(failing))
    space.delete("persistentvolumeclaims", f"data-web-{failing}")
    space.create(with_claims(replicas))
    path = "reason=FailedCreate,involvedObject.name=web"
    space.until("events", lambda found: found, fieldSelector=path)
    made = sorted(int(name.removeprefix("web-")) for name in space.names("pods"))
    space.patch("persistentvolumeclaims", f"data-web-{failing}", {"metadata": {"finalizers": None}})
    return made


def test_fact_17_parallel_pods_are_made_in_batches_of_1_2_4(space: Space) -> None:
    """A batch in which a creation fails is the last one: 0, then 1 and 2, then 3 to 6, without the one that fails."""
    assert made_until_failure(space, 4, 9) == [0, 1, 2, 3, 5, 6]
    space.until("pods", lambda found: len(found) == 9)  # nothing is ready, and none waits for another


def test_fact_17_a_batch_has_500_pods_at_most(space: Space) -> None:
    """After 1, 2, 4 ... 256 the next one is 500: ordinals 511 to 1010."""
    assert made_until_failure(space, 511, 1012) == [n for n in range(1011) if n != 511]


def test_fact_17_parallel_updates_go_one_by_one(space: Space) -> None:
    """podManagementPolicy Parallel is about scaling: an update still replaces the highest first and waits for it."""
    with space.watched("pods") as pods:
        names = ("web-0", "web-1", "web-2")
        create_ready(space, pods, by_hand(3, podManagementPolicy="Parallel"), *names)
        before = uids(pods)
        space.patch("statefulsets", "web", template("blue"))
        for name in reversed(names):
            pods.until(lambda found, name=name: name in found and found[name]["metadata"]["uid"] != before[name])
            settle(space)
            assert deletions(pods) == [n for n in reversed(names) if n >= name]
            tell(space, name)


def test_fact_18_a_pod_that_has_ended_is_replaced_however_it_ended(space: Space) -> None:
    """A Failed pod is deleted and made anew, and a Succeeded one just the same."""
    with space.watched("pods") as pods:
        create_ready(space, pods, by_hand(2), "web-0", "web-1")
        for name, phase in (("web-0", "Failed"), ("web-1", "Succeeded"), ("web-0", "Succeeded")):
            uid = uids(pods)[name]
            tell(space, name, phase=phase, ready=False)
            assert back(space, pods, name, uid)["status"]["phase"] == "Pending"
