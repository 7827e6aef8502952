"""The controllers of ReplicaSets, endpoints, owners, namespaces and volumes (facts 30, 31, 32, 34, 35, 36)."""

from __future__ import annotations

import datetime as dt
import time
from typing import Any

import pytest

from tests.facts.api_port import JSON, Space, path_of
from tests.facts.sets import by_hand, deletions, hold, let_go
from tests.manifests import claim, pod, service, shell

NOW = dt.datetime.now(dt.UTC)
HOUR_AGO, MINUTE_AGO = ((NOW - dt.timedelta(minutes=m)).strftime("%Y-%m-%dT%H:%M:%SZ") for m in (60, 1))


def config_map(name: str, *owners: JSON, **metadata: Any) -> JSON:
    references = [
        {"apiVersion": "v1", "kind": "ConfigMap", "name": o["metadata"]["name"], "uid": o["metadata"]["uid"]}
        for o in owners
    ]
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, "ownerReferences": references, **metadata},
    }


def place(space: Space, name: str, *, node: str, cost: int | None = None, **status: Any) -> None:
    """A pod for the set "web" with a status of its own, on a node that is not there: nobody looks after it."""
    obj = pod(name, labels={"app": "web"}, schedulerName="nobody", **({"nodeName": node} if node else {}))
    if cost is not None:
        obj["metadata"]["annotations"] = {"controller.kubernetes.io/pod-deletion-cost": str(cost)}
    space.create(obj)
    since, restarts = status.get("since", HOUR_AGO), status.get("restarts", 0)
    ready = {"type": "Ready", "status": str(status.get("ready", True)), "lastTransitionTime": since}
    container = {"name": "main", "ready": True, "restartCount": restarts, "image": "x", "imageID": "x"}
    told = {"phase": status.get("phase", "Running"), "conditions": [ready], "containerStatuses": [container]}
    space.patch("pods", name, {"status": told}, "status")


def test_fact_30_which_pods_a_replicaset_deletes_first(space: Space) -> None:
    """Without a node, Pending, not ready, cheap, crowded, newly ready, often restarted, young: in that order."""
    place(space, "web-old", node="n1")
    place(space, "web-no-node", node="")
    place(space, "web-pending", node="n2", phase="Pending", since=HOUR_AGO)
    place(space, "web-not-ready", node="n3", ready=False)
    place(space, "web-cheap", node="n4", cost=-1)
    place(space, "web-crowded", node="n5")
    place(space, "web-crowded-newly-ready", node="n5", since=MINUTE_AGO)
    place(space, "web-newly-ready", node="n6", since=MINUTE_AGO)
    place(space, "web-restarted", node="n7", restarts=5)
    place(space, "web-dear", node="n5", cost=1, since=MINUTE_AGO)
    time.sleep(2.2)  # an age counts by its logarithm, and nobody but the server says when a pod was created
    place(space, "web-young", node="n8")
    with space.watched("pods") as pods:
        space.create(by_hand(len(pods.objects), kind="ReplicaSet"))
        space.until("replicasets", lambda found: found["web"]["status"].get("replicas") == len(pods.objects))
        pods.until(lambda found: all(p["metadata"].get("ownerReferences") for p in found.values()))
        space.patch("replicasets", "web", {"spec": {"replicas": 0}})
        pods.until(lambda found: all("deletionTimestamp" in p["metadata"] for p in found.values()))
        assert [name.removeprefix("web-") for name in deletions(pods)] == [
            "no-node",
            "pending",
            "not-ready",
            "cheap",
            "crowded-newly-ready",
            "crowded",
            "newly-ready",
            "restarted",
            "young",
            "old",
            "dear",
        ]
    for name in space.names("pods"):
        space.delete("pods", name, gracePeriodSeconds=0)


def test_fact_30_pods_are_made_in_batches_that_begin_with_one(space: Space) -> None:
    """A cause that fails every creation costs one try a step: the first batch is one pod."""
    obj = by_hand(8, kind="ReplicaSet")
    obj["spec"]["template"]["spec"]["serviceAccountName"] = "missing"
    with space.watched("events") as events, space.watched("replicasets") as sets:
        space.create(obj)
        sets.until(lambda found: "web" in found and found["web"].get("status", {}).get("conditions"))
        reported = int(sets.objects["web"]["metadata"]["resourceVersion"])

        def is_later(event: JSON) -> bool:
            return int(event["metadata"]["resourceVersion"]) > reported

        events.until(lambda found: any(is_later(event) for event in found.values()))  # of the next step
        tried = [event for _, event in events.events if not is_later(event)]
    assert [(e["reason"], e["count"]) for e in tried] == [("FailedCreate", 1)]
    assert "error looking up service account" in tried[0]["message"]


def backing(space: Space, name: str, ip: str, *, ready: bool = True, phase: str = "Running", **spec: Any) -> None:
    """A pod behind the services that select app=web, with that address."""
    space.create(pod(name, labels={"app": "web"}, schedulerName="nobody", **spec))
    condition = {"type": "Ready", "status": str(ready), "lastTransitionTime": HOUR_AGO}
    status: JSON = {"phase": phase, "conditions": [condition]}
    if ip:
        status |= {"podIP": ip, "podIPs": [{"ip": ip}]}
    space.patch("pods", name, {"status": status}, "status")


def addresses(endpoints: JSON) -> dict[str, list[str]]:
    """The names of the pods of each kind of address."""
    found: dict[str, list[str]] = {"addresses": [], "notReadyAddresses": []}
    for subset in endpoints.get("subsets") or ():
        for kind, names in found.items():
            names += [address["targetRef"]["name"] for address in subset.get(kind, ())]
    return found


def conditions(slices: dict[str, JSON], name: str) -> dict[str, tuple[bool, bool, bool]]:
    """ready, serving and terminating of each pod in the slices of a Service."""
    return {
        endpoint["targetRef"]["name"]: tuple(endpoint["conditions"][k] for k in ("ready", "serving", "terminating"))
        for part in slices.values()
        if part["metadata"]["labels"]["kubernetes.io/service-name"] == name
        for endpoint in part["endpoints"] or ()
    }


def test_fact_31_which_pods_are_endpoints_and_when_they_are_ready(space: Space) -> None:
    """Endpoints skip ended pods, pods without IP, ExternalName and selectorless services; slices keep leaving pods."""
    space.create(service("web"), service("early", "web", publishNotReadyAddresses=True))
    space.create(service("outside", "web", type="ExternalName", externalName="example.com"))
    nobody = service("nobody")
    del nobody["spec"]["selector"]
    space.create(nobody)
    backing(space, "good", "10.244.9.1")
    backing(space, "unready", "10.244.9.2", ready=False)
    backing(space, "failed", "10.244.9.3", phase="Failed")
    backing(space, "succeeded", "10.244.9.4", phase="Succeeded")
    backing(space, "homeless", "")
    backing(space, "leaving", "10.244.9.5")
    hold(space, "leaving")
    space.delete("pods", "leaving")
    backing(space, "last", "10.244.9.9")

    def is_seen(found: dict[str, JSON]) -> bool:
        return all("last" in conditions(found, name) for name in ("web", "early"))

    slices = space.until("endpointslices", is_seen)
    assert conditions(slices, "web") == {
        "good": (True, True, False),
        "unready": (False, False, False),
        "leaving": (False, True, True),
        "last": (True, True, False),
    }
    assert conditions(slices, "early") == {
        "good": (True, True, False),
        "unready": (True, False, False),
        "leaving": (True, True, True),
        "last": (True, True, False),
    }
    endpoints = space.until(
        "endpoints", lambda found: all("last" in addresses(found.get(n, {}))["addresses"] for n in ("web", "early"))
    )
    assert endpoints.keys() == {"web", "early"}
    assert {s["metadata"]["labels"]["kubernetes.io/service-name"] for s in slices.values()} == {"web", "early"}
    assert addresses(endpoints["web"]) == {"addresses": ["good", "last"], "notReadyAddresses": ["unready"]}
    let_go(space, "leaving")


@pytest.mark.parametrize("name", ["", "kubernetes"])
def test_fact_31_endpoints_are_deprecated(space: Space, name: str) -> None:
    """Whoever reads Endpoints gets a warning header since 1.33."""
    answer = space.api("GET", path_of("endpoints", "default", name))
    warning = '299 - "v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice"'
    assert (answer.status, answer.headers["Warning"]) == (200, warning)
    assert "Warning" not in space.api("GET", path_of("endpointslices", "default")).headers


def test_fact_32_an_endpoint_has_a_hostname_only_behind_its_own_service(space: Space) -> None:
    """pod.hostname is set, pod.subdomain is the Service, both in one namespace: else the endpoint has none."""
    space.create(service("web", clusterIP="None"), service("other", "web", clusterIP="None"))
    backing(space, "both", "10.244.9.1", hostname="host", subdomain="web")
    backing(space, "no-subdomain", "10.244.9.2", hostname="host")
    backing(space, "no-hostname", "10.244.9.3", subdomain="web")
    backing(space, "elsewhere", "10.244.9.4", hostname="host", subdomain="elsewhere")
    backing(space, "last", "10.244.9.9")

    def is_seen(found: dict[str, JSON]) -> bool:
        return all("last" in conditions(found, name) for name in ("web", "other"))

    slices = space.until("endpointslices", is_seen)
    found = {
        (part["metadata"]["labels"]["kubernetes.io/service-name"], e["targetRef"]["name"]): e["hostname"]
        for part in slices.values()
        for e in part["endpoints"]
        if "hostname" in e
    }
    assert found == {("web", "both"): "host"}
    endpoints = space.until("endpoints", lambda found: "last" in addresses(found.get("web", {}))["addresses"])
    listed = endpoints["web"]["subsets"][0]["addresses"]
    assert {a["targetRef"]["name"]: a["hostname"] for a in listed if "hostname" in a} == {"both": "host"}


def test_fact_34_owners_are_compared_by_uid(space: Space) -> None:
    """An object whose owner's uid is not there any more goes, though another object has that owner's name."""
    owner = space.create(config_map("owner"))
    space.create(config_map("mine", owner))
    stranger = {"metadata": {"name": "owner", "uid": "00000000-0000-4000-8000-000000000000"}}
    with space.watched("configmaps") as found:
        space.create(config_map("theirs", stranger))
        space.create(config_map("both", owner, stranger))
        found.until(lambda objects: "theirs" not in objects and "both" in objects)
        found.until(lambda objects: len(objects["both"]["metadata"]["ownerReferences"]) == 1)
        assert found.objects["both"]["metadata"]["ownerReferences"][0]["uid"] == owner["metadata"]["uid"]
        space.delete("configmaps", "owner", propagationPolicy="Background")
        found.until(lambda objects: not {"owner", "mine", "both"} & objects.keys())


def test_fact_34_a_foreground_deletion_waits_for_the_dependents_that_block(space: Space) -> None:
    """The owner stays, terminating, until the last dependent with blockOwnerDeletion has gone; others do not count."""
    owner = space.create(config_map("owner"))
    for name, blocks in (("blocks", True), ("does-not", False)):
        obj = config_map(name, owner, finalizers=["example.com/hold"])
        obj["metadata"]["ownerReferences"][0]["blockOwnerDeletion"] = blocks
        space.create(obj)
    with space.watched("configmaps") as found:
        space.delete("configmaps", "owner", propagationPolicy="Foreground")
        found.until(lambda objects: all("deletionTimestamp" in objects[n]["metadata"] for n in ("blocks", "does-not")))
        assert space.get("configmaps", "owner")["metadata"]["finalizers"] == ["foregroundDeletion"]
        assert "deletionTimestamp" in space.get("configmaps", "owner")["metadata"]
        space.patch("configmaps", "blocks", {"metadata": {"finalizers": None}})
        found.until(lambda objects: "owner" not in objects)
        assert "does-not" in space.names("configmaps")
        assert found.told("DELETED") == ["blocks", "owner"]
        space.patch("configmaps", "does-not", {"metadata": {"finalizers": None}})


def test_fact_34_orphaning_strips_the_references_and_then_the_finalizer(space: Space) -> None:
    """The owner gets the finalizer `orphan`, its dependents lose their references, and only then it goes."""
    owner = space.create(config_map("owner"))
    for name in ("one", "two"):
        space.create(config_map(name, owner))
    with space.watched("configmaps") as found:
        space.delete("configmaps", "owner", propagationPolicy="Orphan")
        found.until(lambda objects: "owner" not in objects)
        mine = [(k, o) for k, o in found.events if o["metadata"]["name"] in ("owner", "one", "two") and k != "ADDED"]
        assert [(k, o["metadata"]["name"]) for k, o in mine] == [
            ("MODIFIED", "owner"),
            ("MODIFIED", "one"),
            ("MODIFIED", "two"),
            ("DELETED", "owner"),
        ]
        assert mine[0][1]["metadata"]["finalizers"] == ["orphan"]
        assert all("ownerReferences" not in o["metadata"] for _, o in mine[1:3])
    assert {"one", "two"} <= set(space.names("configmaps"))


def test_fact_35_a_namespace_ends_with_its_pods_first(space: Space) -> None:
    """Terminating at once; while a pod is there the rest stays, then it goes too; nothing new comes in."""
    api, name = space.api, f"{space.name}-b"
    api.ok("POST", path_of("namespaces"), {"metadata": {"name": name}})
    inner = Space(api, name)
    inner.create(config_map("one"), service("two"), pod("three", schedulerName="nobody"))
    inner.until("configmaps", lambda found: "kube-root-ca.crt" in found)
    hold(inner, "three")
    with inner.watched("pods") as pods, inner.watched("configmaps") as maps:
        ended = api.ok("DELETE", path_of("namespaces", name=name))
        assert ended["status"]["phase"] == "Terminating"
        pods.until(lambda found: "deletionTimestamp" in found["three"]["metadata"])
        told = api.watch(path_of("namespaces"), fieldSelector=f"metadata.name={name}")
        remaining = next(e for e in told if e["object"]["status"].get("conditions"))["object"]
        (content,) = (c for c in remaining["status"]["conditions"] if c["type"] == "NamespaceContentRemaining")
        assert content["message"] == "Some resources are remaining: pods. has 1 resource instances"
        assert "one" in inner.names("configmaps") and inner.names("services") == ["two"]
        refused = api.refused("POST", inner.path("configmaps"), config_map("late"))
        assert (refused["code"], refused["reason"]) == (403, "Forbidden")
        assert refused["details"]["causes"][0]["reason"] == "NamespaceTerminating"
        let_go(inner, "three")
        maps.until(lambda found: not found)
        gone = {o["metadata"]["name"]: int(o["metadata"]["resourceVersion"]) for k, o in [*pods.events, *maps.events]}
        assert gone["three"] < gone["one"]
        assert next(e for e in told if e["type"] == "DELETED")["object"]["metadata"]["name"] == name
        told.close()  # type: ignore[attr-defined]


def volume(name: str, size: str, storage_class: str, **spec: Any) -> JSON:
    spec = {"capacity": {"storage": size}, "accessModes": ["ReadWriteOnce"], "storageClassName": storage_class, **spec}
    spec["hostPath"] = {"path": f"/var/local-path-provisioner/{name}"}
    return {"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": name}, "spec": spec}


def of_class(name: str, storage_class: str | None, size: str = "10Mi") -> JSON:
    obj = claim(name)
    obj["spec"]["resources"]["requests"]["storage"] = size
    if storage_class is not None:
        obj["spec"]["storageClassName"] = storage_class
    return obj


def using(name: str, claim_name: str) -> JSON:
    mounts = [{"name": "data", "mountPath": "/data"}]
    volumes = [{"name": "data", "persistentVolumeClaim": {"claimName": claim_name}}]
    return pod(name, shell(volumeMounts=mounts), volumes=volumes)


def phase(found: dict[str, JSON], name: str) -> str:
    return str(found.get(name, {}).get("status", {}).get("phase", ""))


def test_fact_36_a_claim_takes_the_smallest_volume_that_fits(space: Space) -> None:
    """A claim is matched with what there is: class and size; on its end a volume is kept or not, as it says."""
    api, volumes = space.api, path_of("persistentvolumes")
    names = [f"{space.name}-{size}" for size in ("5", "20", "30")]
    for name, size in zip(names, ("5Mi", "20Mi", "30Mi"), strict=True):
        api.ok("POST", volumes, volume(name, size, "by-hand", persistentVolumeReclaimPolicy="Retain"))
    space.create(of_class("mine", "by-hand"), of_class("too-big", "by-hand", "1Gi"))
    found = space.until("persistentvolumeclaims", lambda found: phase(found, "mine") == "Bound")
    assert found["mine"]["spec"]["volumeName"] == names[1]
    assert phase(found, "too-big") == "Pending"
    space.gone("persistentvolumeclaims", "mine")
    kept = space.until("persistentvolumes", lambda found: phase(found, names[1]) == "Released")
    assert kept[names[1]]["spec"]["claimRef"]["name"] == "mine"
    for name in names:
        api.ok("DELETE", f"{volumes}/{name}")


def test_fact_36_without_a_class_a_claim_gets_the_default_one(space: Space) -> None:
    """No storageClassName: the default class. An empty one: no class, no provisioning."""
    (default,) = (
        c["metadata"]["name"]
        for c in space.api.ok("GET", path_of("storageclasses"))["items"]
        if c["metadata"].get("annotations", {}).get("storageclass.kubernetes.io/is-default-class") == "true"
    )
    space.create(of_class("none", ""))
    assert space.create(of_class("mine", None))["spec"]["storageClassName"] == default
    for name, reason in (("mine", "WaitForFirstConsumer"), ("none", "FailedBinding")):
        space.until("events", lambda found: found, fieldSelector=f"involvedObject.name={name},reason={reason}")
        assert space.get("persistentvolumeclaims", name)["status"]["phase"] == "Pending"
    assert space.get("persistentvolumeclaims", "none")["spec"]["storageClassName"] == ""


def test_fact_36_a_volume_is_made_where_the_first_pod_is_and_goes_with_its_claim(space: Space) -> None:
    """WaitForFirstConsumer: bound after scheduling, pinned to the node; protected while used; gone with the claim."""
    space.create(of_class("data", None))
    assert space.get("persistentvolumeclaims", "data")["metadata"]["finalizers"] == ["kubernetes.io/pvc-protection"]
    space.until("events", lambda found: found, fieldSelector="involvedObject.name=data,reason=WaitForFirstConsumer")
    assert "volumeName" not in space.get("persistentvolumeclaims", "data")["spec"]
    space.create(using("one", "data"))
    found = space.until("pods", lambda found: phase(found, "one") == "Running")
    node = found["one"]["spec"]["nodeName"]
    bound = space.get("persistentvolumeclaims", "data")
    assert bound["metadata"]["annotations"]["volume.kubernetes.io/selected-node"] == node
    made = space.api.ok("GET", path_of("persistentvolumes", name=bound["spec"]["volumeName"]))
    (term,) = made["spec"]["nodeAffinity"]["required"]["nodeSelectorTerms"]
    assert term == {"matchExpressions": [{"key": "kubernetes.io/hostname", "operator": "In", "values": [node]}]}
    assert made["spec"]["persistentVolumeReclaimPolicy"] == "Delete"

    with space.watched("persistentvolumeclaims") as claims:
        space.delete("persistentvolumeclaims", "data")
        claims.until(lambda found: "deletionTimestamp" in found["data"]["metadata"])
        space.create(of_class("later", ""))
        claims.until(lambda found: phase(found, "later") == "Pending")
        assert space.get("persistentvolumeclaims", "data")["metadata"]["finalizers"] == ["kubernetes.io/pvc-protection"]
        assert phase(claims.objects, "data") == "Bound"
        with space.watched("persistentvolumes") as volumes:
            space.delete("pods", "one", gracePeriodSeconds=0)
            claims.until(lambda found: "data" not in found)
            volumes.until(lambda found: made["metadata"]["name"] not in found)


def test_fact_36_a_volume_whose_policy_is_retain_stays(space: Space) -> None:
    """A provisioned volume that was told to stay is Released when its claim goes."""
    space.create(of_class("data", None), using("one", "data"))
    found = space.until("persistentvolumeclaims", lambda found: phase(found, "data") == "Bound")
    path = path_of("persistentvolumes", name=found["data"]["spec"]["volumeName"])
    change = {"spec": {"persistentVolumeReclaimPolicy": "Retain"}}
    name = space.api.ok("PATCH", path, change, content_type="application/merge-patch+json")["metadata"]["name"]
    space.gone("pods", "one", gracePeriodSeconds=0)
    space.gone("persistentvolumeclaims", "data")
    space.until("persistentvolumes", lambda found: phase(found, name) == "Released")
    space.api.ok("DELETE", path)
