"""What a StatefulSet's pods and claims are called and whose they are; what of a set may change (facts 25 to 29)."""

from __future__ import annotations

from typing import Any

import pytest

from tests.facts.api_port import JSON, Space
from tests.facts.sets import by_hand, create_ready, deletions, settle, tell, template, uids
from tests.manifests import claim, pod

CLAIMS = [{"metadata": {"name": "data"}, "spec": claim("data")["spec"]}]


def controller(obj: JSON) -> JSON | None:
    return next((r for r in obj["metadata"].get("ownerReferences", ()) if r.get("controller")), None)


def test_fact_25_a_pod_has_labels_and_a_hostname_of_its_own(space: Space) -> None:
    """pod-name, pod-index and controller-revision-hash; hostname and subdomain from its creation on."""
    with space.watched("pods") as pods:
        space.create(by_hand(2, serviceName="db", ordinals={"start": 7}, podManagementPolicy="Parallel"))
        pods.until(lambda found: len(found) == 2)
        first = {obj["metadata"]["name"]: obj for kind, obj in pods.events if kind == "ADDED"}
    updated = settle(space)["status"]["updateRevision"]
    for ordinal in (7, 8):
        made = first[f"web-{ordinal}"]
        assert made["metadata"]["labels"] == {
            "app": "web",
            "statefulset.kubernetes.io/pod-name": f"web-{ordinal}",
            "apps.kubernetes.io/pod-index": str(ordinal),
            "controller-revision-hash": updated,
        }
        assert (made["spec"]["hostname"], made["spec"]["subdomain"]) == (f"web-{ordinal}", "db")


def test_fact_25_the_labels_of_the_identity_are_put_back(space: Space) -> None:
    """A running pod that lost its labels of identity gets them again."""
    with space.watched("pods") as pods:
        create_ready(space, pods, by_hand(1), "web-0")
        labels = pods.objects["web-0"]["metadata"]["labels"]
        lost = {"statefulset.kubernetes.io/pod-name": "x", "apps.kubernetes.io/pod-index": None}
        space.patch("pods", "web-0", {"metadata": {"labels": lost}})
        pods.until(lambda found: found["web-0"]["metadata"]["labels"] == labels)


def test_fact_26_a_claim_is_called_after_its_pod_and_made_before_it(space: Space) -> None:
    """<template>-<set>-<ordinal>, with the set's labels; the pod that mounts it comes after it."""
    with space.watched("pods") as pods, space.watched("persistentvolumeclaims") as claims:
        space.create(by_hand(2, podManagementPolicy="Parallel", volumeClaimTemplates=CLAIMS))
        pods.until(lambda found: len(found) == 2)
        claims.until(lambda found: len(found) == 2)
        for ordinal in range(2):
            made, theirs = pods.objects[f"web-{ordinal}"], claims.objects[f"data-web-{ordinal}"]
            assert made["spec"]["volumes"][0] == {
                "name": "data",
                "persistentVolumeClaim": {"claimName": f"data-web-{ordinal}"},
            }
            assert theirs["metadata"]["labels"] == {"app": "web"}
        added = [
            (int(o["metadata"]["resourceVersion"]), o["kind"])
            for k, o in [*claims.events, *pods.events]
            if k == "ADDED"
        ]
        assert [kind for _, kind in sorted(added)] == ["PersistentVolumeClaim", "Pod"] * 2


def test_fact_26_a_claim_that_is_going_holds_its_pod_back(space: Space) -> None:
    """A pod is not made while its claim is being deleted, and is once that claim is gone, with a new one."""
    going = claim("data-web-0")
    going["metadata"]["finalizers"] = ["example.com/hold"]
    old = space.create(going)["metadata"]["uid"]
    space.delete("persistentvolumeclaims", "data-web-0")
    space.create(by_hand(1, volumeClaimTemplates=CLAIMS))
    space.until("events", lambda found: found, fieldSelector="involvedObject.name=web,reason=FailedCreate")
    assert space.names("pods") == []
    assert any("pvc data-web-0 is being deleted" in message for _, message in space.events("web"))
    space.patch("persistentvolumeclaims", "data-web-0", {"metadata": {"finalizers": None}})
    space.until("pods", lambda found: "web-0" in found)
    assert space.get("persistentvolumeclaims", "data-web-0")["metadata"]["uid"] != old


def policy(deleted: str, scaled: str) -> JSON:
    return {"persistentVolumeClaimRetentionPolicy": {"whenDeleted": deleted, "whenScaled": scaled}}


def owners(space: Space, *names: str) -> list[list[tuple[str, str]]]:
    found = [space.get("persistentvolumeclaims", name)["metadata"].get("ownerReferences", []) for name in names]
    return [[(r["kind"], r["name"]) for r in references] for references in found]


def test_fact_26_when_deleted_makes_the_set_the_owner_of_the_claims(space: Space) -> None:
    """whenDeleted=Delete: the claims go with the set, but stay when it is scaled down."""
    with space.watched("pods") as pods, space.watched("persistentvolumeclaims") as claims:
        obj = by_hand(2, volumeClaimTemplates=CLAIMS, **policy("Delete", "Retain"))
        create_ready(space, pods, obj, "web-0", "web-1")
        claims.until(lambda found: len(found) == 2)
        assert owners(space, "data-web-0", "data-web-1") == [[("StatefulSet", "web")]] * 2
        space.patch("statefulsets", "web", {"spec": {"replicas": 1}})
        pods.until(lambda found: "web-1" not in found)
        settle(space)
        assert space.names("persistentvolumeclaims") == ["data-web-0", "data-web-1"]
        space.delete("statefulsets", "web")
        claims.until(lambda found: not found)


def test_fact_26_when_scaled_makes_a_condemned_pod_the_owner_of_its_claim(space: Space) -> None:
    """whenScaled=Delete: a pod out of range owns its claim, which goes with it; in range nobody does."""
    with space.watched("pods") as pods, space.watched("persistentvolumeclaims") as claims:
        obj = by_hand(2, volumeClaimTemplates=CLAIMS, **policy("Retain", "Delete"))
        create_ready(space, pods, obj, "web-0", "web-1")
        claims.until(lambda found: len(found) == 2)
        settle(space)
        assert owners(space, "data-web-0", "data-web-1") == [[], []]
        space.patch("statefulsets", "web", {"spec": {"replicas": 1}})
        claims.until(lambda found: found.keys() == {"data-web-0"})
        told = [o for _, o in claims.events if o["metadata"]["name"] == "data-web-1" and controller(o)]
        assert {(controller(o) or {})["uid"] for o in told} == {uids_of_added(pods)["web-1"]}
        assert owners(space, "data-web-0") == [[]]
        space.delete("statefulsets", "web")
        pods.until(lambda found: not found)
        assert space.names("persistentvolumeclaims") == ["data-web-0"]


def uids_of_added(pods: Any) -> dict[str, str]:
    return {o["metadata"]["name"]: o["metadata"]["uid"] for kind, o in pods.events if kind == "ADDED"}


def test_fact_27_a_set_adopts_what_matches_and_has_one_of_its_names(space: Space) -> None:
    """An orphan with the set's labels and a name <set>-N is adopted as it is; another name or label is left alone."""
    labels = {"app": "web"}
    with space.watched("pods") as pods:
        space.create(pod("web-0", labels=labels, schedulerName="nobody"))
        space.create(pod("other-1", labels=labels, schedulerName="nobody"))
        space.create(pod("web-1", labels={"app": "x"}, schedulerName="nobody"))
        tell(space, "web-0", "other-1", "web-1")
        before = {p["metadata"]["name"]: p["metadata"]["uid"] for p in space.list("pods")}
        made = space.create(by_hand(3, podManagementPolicy="Parallel"))
        pods.until(lambda found: "web-2" in found)
        found = pods.until(lambda found: controller(found["web-0"]))
        assert {name: found[name]["metadata"]["uid"] for name in before} == before
        reference = controller(found["web-0"])
        assert reference and (reference["uid"], reference["kind"]) == (made["metadata"]["uid"], "StatefulSet")
        settle(space)
        assert not controller(space.get("pods", "other-1")) and not controller(space.get("pods", "web-1"))
        assert not deletions(pods)


def test_fact_27_a_set_releases_what_no_longer_matches(space: Space) -> None:
    """A pod that loses the labels loses its owner, and runs on; with the labels again it is adopted again."""
    with space.watched("pods") as pods:
        create_ready(space, pods, by_hand(1), "web-0")
        before = uids(pods)
        space.patch("pods", "web-0", {"metadata": {"labels": {"app": "x"}}})
        pods.until(lambda found: not controller(found["web-0"]))
        space.patch("pods", "web-0", {"metadata": {"labels": {"app": "web"}}})
        pods.until(lambda found: controller(found["web-0"]))
        assert uids(pods) == before and not deletions(pods)


def test_fact_27_owners_are_told_apart_by_uid_and_not_by_name(space: Space) -> None:
    """A new set of the old one's name adopts the orphans that the old one left, under its own uid."""
    with space.watched("pods") as pods:
        create_ready(space, pods, by_hand(1), "web-0")
        before = uids(pods)
        first = space.get("statefulsets", "web")["metadata"]["uid"]
        space.gone("statefulsets", "web", propagationPolicy="Orphan")
        pods.until(lambda found: not controller(found["web-0"]))
        second = space.create(by_hand(1))["metadata"]["uid"]
        found = pods.until(lambda found: controller(found["web-0"]))
        assert (controller(found["web-0"]) or {})["uid"] == second != first
        assert uids(pods) == before and not deletions(pods)


def test_fact_28_a_set_tells_what_it_makes_and_deletes(space: Space) -> None:
    """SuccessfulCreate of the claim and of the pod, SuccessfulDelete, in upstream's words, on the set."""
    with space.watched("pods") as pods:
        create_ready(space, pods, by_hand(1, volumeClaimTemplates=CLAIMS), "web-0")
        space.patch("statefulsets", "web", {"spec": {"replicas": 0}})
        pods.until(lambda found: not found)
    settle(space)
    wanted = [
        ("SuccessfulCreate", "create Claim data-web-0 Pod web-0 in StatefulSet web success"),
        ("SuccessfulCreate", "create Pod web-0 in StatefulSet web successful"),
        ("SuccessfulDelete", "delete Pod web-0 in StatefulSet web successful"),
    ]
    space.until("events", lambda found: len(found) == 3, fieldSelector="involvedObject.name=web")
    assert space.events("web") == wanted
    (first, *_) = space.list("events", fieldSelector="involvedObject.name=web")
    assert (first["type"], first["source"]["component"]) == ("Normal", "statefulset-controller")


CHANGES: dict[str, JSON] = {
    "replicas": {"replicas": 1},
    "ordinals": {"ordinals": {"start": 1}},
    "template": template("blue")["spec"],
    "updateStrategy": {"updateStrategy": {"type": "OnDelete", "rollingUpdate": None}},
    "revisionHistoryLimit": {"revisionHistoryLimit": 3},
    "persistentVolumeClaimRetentionPolicy": policy("Delete", "Delete"),
    "minReadySeconds": {"minReadySeconds": 3},
}
FORBIDDEN: dict[str, JSON] = {
    "serviceName": {"serviceName": "other"},
    "podManagementPolicy": {"podManagementPolicy": "Parallel"},
    "volumeClaimTemplates": {"volumeClaimTemplates": CLAIMS},
    "selector": {
        "selector": {"matchLabels": {"a": "b"}},
        "template": {"metadata": {"labels": {"a": "b"}}},
    },
}


def test_fact_29_only_some_fields_of_the_spec_may_change(space: Space) -> None:
    """Each of the seven may, one by one; any other is refused with the list of those that may."""
    space.create(by_hand(0))
    for field, change in CHANGES.items():
        stored = space.patch("statefulsets", "web", {"spec": change})
        assert change[field] is not None and stored["spec"][field], field
    for change in FORBIDDEN.values():
        path = space.path("statefulsets", "web")
        refused = space.api.refused("PATCH", path, {"spec": change}, content_type="application/merge-patch+json")
        assert (refused["code"], refused["reason"]) == (422, "Invalid")
        *first, last = CHANGES
        listed = ", ".join(f"'{name}'" for name in first) + f" and '{last}'"
        assert refused["message"] == (
            f'StatefulSet.apps "web" is invalid: spec: Forbidden: updates to statefulset spec for fields other than '
            f"{listed} are forbidden"
        )


@pytest.mark.parametrize("subresource", ["", "status"])
def test_fact_29_the_generation_moves_with_the_spec_only(space: Space, subresource: str) -> None:
    """A change of labels or of the status leaves metadata.generation; a change of the spec adds one."""
    assert space.create(by_hand(0))["metadata"]["generation"] == 1
    settle(space)
    change = {"metadata": {"labels": {"a": "b"}}} if not subresource else {"status": {"replicas": 5}}
    before = space.get("statefulsets", "web")["metadata"]["generation"]
    assert space.patch("statefulsets", "web", change, subresource)["metadata"]["generation"] == before
    for nothing in ({"minReadySeconds": 0}, {"volumeClaimTemplates": []}, {"template": {"metadata": {"labels": {}}}}):
        assert space.patch("statefulsets", "web", {"spec": nothing})["metadata"]["generation"] == before
    assert space.patch("statefulsets", "web", {"spec": {"minReadySeconds": 1}})["metadata"]["generation"] == before + 1
