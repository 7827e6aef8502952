"""How a StatefulSet is updated, and what its status says meanwhile (facts 19 to 24)."""

from __future__ import annotations

import json
from typing import Any

import pytest

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
from tests.manifests import shell, workload


def strategy(**rolling: int) -> JSON:
    return {"updateStrategy": {"type": "RollingUpdate", "rollingUpdate": rolling}}


@pytest.mark.parametrize("policy", ["OrderedReady", "Parallel"])
def test_fact_19_an_update_replaces_the_highest_first_and_waits_for_it(space: Space, policy: str) -> None:
    """A pod of another revision that is not going already is deleted, and its successor awaited before the next."""
    with space.watched("pods") as pods:
        names = ("web-0", "web-1", "web-2")
        create_ready(space, pods, by_hand(3, podManagementPolicy=policy), *names)
        before = uids(pods)
        hold(space, "web-2")
        space.patch("statefulsets", "web", template("blue"))
        pods.until(lambda found: "deletionTimestamp" in found["web-2"]["metadata"])
        settle(space)
        assert deletions(pods) == ["web-2"]  # it goes, but is still there
        let_go(space, "web-2")
        pods.until(lambda found: "web-2" in found and found["web-2"]["metadata"]["uid"] != before["web-2"])
        settle(space)
        assert deletions(pods) == ["web-2"]  # its successor is not ready
        tell(space, "web-2")
        for name in ("web-1", "web-0"):
            assert revision(back(space, pods, name, before[name])) == revision(pods.objects["web-2"])
        assert deletions(pods) == ["web-2", "web-1", "web-0"]


def test_fact_19_the_partition_counts_from_start(space: Space) -> None:
    """Of the ordinals 3, 4 and 5 a partition of 1 keeps the first."""
    with space.watched("pods") as pods:
        names = ("web-3", "web-4", "web-5")
        create_ready(space, pods, by_hand(3, ordinals={"start": 3}, **strategy(partition=1)), *names)
        before = uids(pods)
        space.patch("statefulsets", "web", template("blue"))
        for name in ("web-5", "web-4"):
            back(space, pods, name, before[name])
        space.until("statefulsets", lambda found: found["web"]["status"].get("updatedReplicas") == 2)
        settle(space)
        assert deletions(pods) == ["web-5", "web-4"]


def test_fact_19_on_delete_leaves_the_pods_to_the_user(space: Space) -> None:
    """updateStrategy OnDelete deletes nothing; what the user deletes comes back with the new template."""
    with space.watched("pods") as pods:
        create_ready(space, pods, by_hand(2, updateStrategy={"type": "OnDelete"}), "web-0", "web-1")
        before = uids(pods)
        space.patch("statefulsets", "web", template("blue"))
        stateful_set = settle(space)
        assert uids(pods) == before and not deletions(pods)
        assert stateful_set["status"].get("updatedReplicas", 0) == 0
        space.delete("pods", "web-0")
        found = back(space, pods, "web-0", before["web-0"])
        assert revision(found) == stateful_set["status"]["updateRevision"]
        assert deletions(pods) == ["web-0"]


def test_fact_20_max_unavailable_counts_from_1_37_on(space: Space) -> None:
    """Its feature gate is off in 1.36: there the field is dropped without a word, and pods go one by one."""
    minor = int(space.api.ok("GET", "/version")["minor"])
    with space.watched("pods") as pods:
        obj = by_hand(3, podManagementPolicy="Parallel", **strategy(partition=0, maxUnavailable=2))
        create_ready(space, pods, obj, "web-0", "web-1", "web-2")
        stored = space.get("statefulsets", "web")["spec"]["updateStrategy"]["rollingUpdate"]
        assert stored == ({"partition": 0} if minor < 37 else {"partition": 0, "maxUnavailable": 2})
        hold(space, "web-0", "web-1", "web-2")
        space.patch("statefulsets", "web", template("blue"))
        pods.until(lambda found: "deletionTimestamp" in found["web-2"]["metadata"])
        settle(space)
        assert deletions(pods) == (["web-2"] if minor < 37 else ["web-2", "web-1"])
        let_go(space, "web-0", "web-1", "web-2")


def test_fact_21_below_the_partition_a_lost_pod_comes_back_as_it_was(space: Space) -> None:
    """A missing pod gets the current revision when its ordinal is below start + partition, else the new one."""
    with space.watched("pods") as pods:
        names = ("web-3", "web-4", "web-5")
        create_ready(space, pods, by_hand(3, ordinals={"start": 3}, **strategy(partition=2)), *names)
        old = revision(pods.objects["web-3"])
        before = uids(pods)
        space.patch("statefulsets", "web", template("blue"))
        new = revision(back(space, pods, "web-5", before["web-5"]))
        assert new != old
        for name, wanted in (("web-3", old), ("web-4", old), ("web-5", new)):
            uid = uids(pods)[name]
            space.delete("pods", name)
            found = back(space, pods, name, uid)
            assert revision(found) == wanted
            assert found["metadata"].get("annotations") == ({"colour": "blue"} if wanted == new else None)


def test_fact_21_a_rolling_update_is_stored_with_its_partition(space: Space) -> None:
    """However the strategy is left out, rollingUpdate.partition is filled in: it is never missing in a stored set."""
    for number, given in enumerate(({}, {"updateStrategy": {}}, {"updateStrategy": {"type": "RollingUpdate"}})):
        obj = by_hand(0, **given)
        obj["metadata"]["name"] = f"web{number}"
        assert space.create(obj)["spec"]["updateStrategy"] == strategy(partition=0)["updateStrategy"]
    changed = space.patch("statefulsets", "web0", {"spec": {"updateStrategy": {"rollingUpdate": None}}})
    assert changed["spec"]["updateStrategy"] == strategy(partition=0)["updateStrategy"]


def test_fact_22_a_bad_revision_is_not_left_by_a_revert_alone(space: Space) -> None:
    """The rollback trap, with real pods: one that was never ready stays after a revert until it is deleted by hand."""
    with space.watched("pods") as pods:
        space.create(workload("StatefulSet", "web", 2, shell(), volumeClaimTemplates=[]))
        space.until("statefulsets", lambda found: found["web"]["status"].get("availableReplicas") == 2)
        good, image = space.get("statefulsets", "web")["status"]["currentRevision"], shell()["image"]

        def set_image(name: str) -> None:
            containers = [{**shell(), "image": name}]
            space.patch("statefulsets", "web", {"spec": {"template": {"spec": {"containers": containers}}}})

        set_image("nobody/nothing:1")
        pods.until(lambda found: "web-1" in found and is_waiting(found["web-1"]))
        stuck = uids(pods)["web-1"]
        set_image(image)
        stateful_set = settle(space)
        assert stateful_set["status"]["updateRevision"] == good
        assert space.get("pods", "web-1")["metadata"]["uid"] == stuck
        space.delete("pods", "web-1")
        pods.until(lambda found: "web-1" in found and found["web-1"]["metadata"]["uid"] != stuck)
        space.until("statefulsets", lambda found: found["web"]["status"].get("availableReplicas") == 2)
        assert revision(space.get("pods", "web-1")) == good


def is_waiting(obj: JSON) -> bool:
    statuses = obj["status"].get("containerStatuses") or [{"state": {}}]
    waiting = statuses[0]["state"].get("waiting") or {}
    return waiting.get("reason") in ("ErrImagePull", "ImagePullBackOff")


def counters(stateful_set: JSON) -> dict[str, int]:
    names = ("replicas", "readyReplicas", "availableReplicas", "currentReplicas", "updatedReplicas")
    return {name.removesuffix("Replicas"): stateful_set["status"].get(name, 0) for name in names}


def test_fact_23_which_counters_include_terminating_pods(space: Space) -> None:
    """replicas, readyReplicas and availableReplicas do; currentReplicas and updatedReplicas do not."""
    with space.watched("pods") as pods:
        create_ready(space, pods, by_hand(3), "web-0", "web-1", "web-2")
        hold(space, "web-1")
        space.delete("pods", "web-1")
        found = settle(space)
        assert counters(found) == {"replicas": 3, "ready": 3, "available": 3, "current": 2, "updated": 2}
        tell(space, "web-1", ready=False)
        found = settle(space)
        assert counters(found) == {"replicas": 3, "ready": 2, "available": 2, "current": 2, "updated": 2}
        let_go(space, "web-1")


def test_fact_23_a_finished_update_makes_its_revision_the_current_one(space: Space) -> None:
    """currentRevision is the old one until the last pod is replaced and ready; then it is updateRevision."""
    with space.watched("pods") as pods:
        create_ready(space, pods, by_hand(2), "web-0", "web-1")
        old, before = space.get("statefulsets", "web")["status"]["currentRevision"], uids(pods)
        space.patch("statefulsets", "web", template("blue"))
        back(space, pods, "web-1", before["web-1"])
        pods.until(lambda found: found.get("web-0", {}).get("metadata", {}).get("uid") != before["web-0"])
        pods.until(lambda found: "web-0" in found)
        status = settle(space)["status"]
        assert status["currentRevision"] == old != status["updateRevision"]
        assert (status.get("currentReplicas", 0), status["updatedReplicas"]) == (0, 2)
        tell(space, "web-0")
        found = space.until("statefulsets", lambda found: found["web"]["status"]["currentRevision"] != old)
        status = found["web"]["status"]
        assert status["currentRevision"] == status["updateRevision"]
        assert (status["currentReplicas"], status["updatedReplicas"]) == (2, 2)


def test_fact_23_the_status_is_written_only_when_it_changes(space: Space) -> None:
    """A change of a pod that changes no counter leaves the set's resourceVersion as it is."""
    with space.watched("pods") as pods:
        create_ready(space, pods, by_hand(1), "web-0")
        settle(space)
        before = space.get("statefulsets", "web")
        for number in range(3):
            space.patch("pods", "web-0", {"metadata": {"annotations": {"number": str(number)}}})
        other = by_hand(1)
        other["metadata"]["name"] = "other"
        space.create(other)  # the controller comes to it after it has looked at "web" again
        pods.until(lambda found: "other-0" in found)
        assert space.get("statefulsets", "web") == before


def hash_of(data: JSON, collisions: int) -> str:
    """The end of a revision's name, as it is defined: FNV-1, 32 bits, in decimal, in letters that spell no words."""
    text = json.dumps(data, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    for special in "<>&":  # as Go's encoding/json writes them
        text = text.replace(special, f"\\u{ord(special):04x}")
    value = 2166136261
    for byte in (text + str(collisions)).encode():
        value = value * 16777619 % 2**32 ^ byte
    alphabet = "bcdfghjklmnpqrstvwxz2456789"
    return "".join(alphabet[ord(digit) % len(alphabet)] for digit in str(value))


def colour_of(obj: JSON) -> str:
    annotations: JSON = obj["data"]["spec"]["template"]["metadata"].get("annotations", {})
    return str(annotations.get("colour", ""))


def test_fact_24_a_revision_is_named_by_the_hash_of_its_template(space: Space) -> None:
    """<set>-<hash> of the template with $patch, also as a label; the data are what restores the template."""
    obj = by_hand(0)
    obj["spec"]["template"]["spec"]["containers"][0]["env"] = [{"name": "A", "value": "<b> & ü"}]
    stored = space.create(obj)
    found = space.until("controllerrevisions", lambda found: found)
    ((name, made),) = found.items()
    assert made["data"] == {"spec": {"template": {**stored["spec"]["template"], "$patch": "replace"}}}
    digest = hash_of(made["data"], 0)
    assert name == f"web-{digest}"
    assert made["metadata"]["labels"]["controller.kubernetes.io/hash"] == digest
    assert made["metadata"]["ownerReferences"][0]["uid"] == stored["metadata"]["uid"]


def test_fact_24_a_name_that_is_taken_counts_as_a_collision(space: Space) -> None:
    """Where a revision with other data has the name, the count goes up, and into the hash."""
    obj = by_hand(0)
    data = {"spec": {"template": {**space.create(obj)["spec"]["template"], "$patch": "replace"}}}
    first, second = hash_of(data, 0), hash_of(data, 1)
    space.gone("statefulsets", "web")
    space.until("controllerrevisions", lambda found: not found)
    other = {"apiVersion": "apps/v1", "kind": "ControllerRevision", "revision": 1, "data": {"spec": {}}}
    space.create({**other, "metadata": {"name": f"web-{first}"}})
    space.create(obj)
    found = space.until("statefulsets", lambda found: found["web"]["status"].get("updateRevision"))
    assert (found["web"]["status"]["updateRevision"], found["web"]["status"]["collisionCount"]) == (f"web-{second}", 1)


def test_fact_24_a_revert_takes_the_old_revision_up_again(space: Space) -> None:
    """The same template is the same ControllerRevision, which becomes the newest: no third one is made."""
    space.create(by_hand(0))
    with space.watched("controllerrevisions") as revisions:
        revisions.until(lambda found: len(found) == 1)
        ((first, made),) = revisions.objects.items()
        assert made["revision"] == 1
        space.patch("statefulsets", "web", template("blue"))
        found = revisions.until(lambda found: len(found) == 2)
        assert sorted(r["revision"] for r in found.values()) == [1, 2]
        space.patch("statefulsets", "web", {"spec": {"template": {"metadata": {"annotations": None}}}})
        found = revisions.until(lambda found: found[first]["revision"] == 3)
        assert len(found) == 2 and found[first]["data"] == made["data"]
        assert settle(space)["status"]["updateRevision"] == first


def test_fact_24_ten_revisions_are_kept_beyond_those_in_use(space: Space) -> None:
    """revisionHistoryLimit is 10 unless told otherwise; the oldest go first, and none that a pod has."""
    with space.watched("pods") as pods:
        create_ready(space, pods, by_hand(1, updateStrategy={"type": "OnDelete"}), "web-0")
        assert space.get("statefulsets", "web")["spec"]["revisionHistoryLimit"] == 10
        in_use = revision(pods.objects["web-0"])
        for number in range(15):
            changed = space.patch("statefulsets", "web", template(f"c{number:02}"))
            generation: Any = changed["metadata"]["generation"]
            space.until("statefulsets", lambda f, g=generation: f["web"]["status"]["observedGeneration"] >= g)
        found = {r["metadata"]["name"]: r for r in space.list("controllerrevisions")}
    assert all(name == f"web-{hash_of(r['data'], 0)}" for name, r in found.items())
    # The pod's, the newest, and ten of the fourteen between them.
    assert in_use in found
    assert sorted(colour_of(r) for r in found.values()) == ["", *(f"c{number:02}" for number in range(4, 15))]
