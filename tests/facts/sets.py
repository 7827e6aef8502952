"""StatefulSets whose pods nobody starts: the tests say themselves what a kubelet would, so nothing is a matter of time.

The pods ask for a scheduler that there is not. All else is real: the API, the controllers, their order.
"""

from __future__ import annotations

import datetime as dt
from typing import Any

from tests.facts.api_port import JSON, STRATEGIC, Space, Watched
from tests.manifests import shell, workload

HOLD = "example.com/hold"


def by_hand(replicas: int, *, kind: str = "StatefulSet", **spec: Any) -> JSON:
    """The set "web", without claims unless `volumeClaimTemplates` are given."""
    if kind == "StatefulSet":
        spec = {"volumeClaimTemplates": [], **spec}
    obj = workload(kind, "web", replicas, shell(), **spec)
    obj["spec"]["template"]["spec"]["schedulerName"] = "nobody"
    return obj


def template(colour: str) -> JSON:
    """A change of the template."""
    return {"spec": {"template": {"metadata": {"annotations": {"colour": colour}}}}}


def tell(space: Space, *pods: str, phase: str = "Running", ready: bool = True) -> None:
    """Say of pods what their kubelet would."""
    time = dt.datetime.now(dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    condition = {"type": "Ready", "status": str(ready), "lastTransitionTime": time}
    for pod in pods:
        space.patch("pods", pod, {"status": {"phase": phase, "conditions": [condition]}}, "status", STRATEGIC)


def hold(space: Space, *pods: str) -> None:
    """Let pods stay when they are deleted: terminating, and otherwise as they were."""
    for pod in pods:
        space.patch("pods", pod, {"metadata": {"finalizers": [HOLD]}})


def let_go(space: Space, *pods: str) -> None:
    """Let held pods go."""
    for pod in pods:
        space.patch("pods", pod, {"metadata": {"finalizers": None}})


def settle(space: Space, plural: str = "statefulsets") -> JSON:
    """Wait until the controller has seen all that was written before now; returns the set then.

    A change of the spec that changes nothing else is seen after what was written before it, and its
    generation is in the status that ends the controller's step.
    """
    seconds = space.get(plural, "web")["spec"].get("minReadySeconds", 0)
    if plural == "statefulsets":
        limit = space.get(plural, "web")["spec"]["revisionHistoryLimit"]
        changed = space.patch(plural, "web", {"spec": {"revisionHistoryLimit": limit + 1}})
    else:
        changed = space.patch(plural, "web", {"spec": {"minReadySeconds": 1 - min(seconds, 1)}})
    generation = changed["metadata"]["generation"]
    found = space.until(plural, lambda sets: sets["web"]["status"].get("observedGeneration", 0) >= generation)
    return found["web"]


def create_ready(space: Space, pods: Watched, obj: JSON, *names: str) -> None:
    """Create a set and bring its pods up one after the other, as they come; then its status knows them all."""
    space.create(obj)
    for name in names:
        pods.until(lambda found, name=name: name in found)  # type: ignore[misc]
        tell(space, name)
    space.until("statefulsets", lambda found: found["web"]["status"].get("readyReplicas", 0) == len(names))


def back(space: Space, pods: Watched, name: str, uid: str) -> JSON:
    """Wait for the successor of the pod of that uid, and bring it up."""
    found = pods.until(lambda found: name in found and found[name]["metadata"]["uid"] != uid)
    tell(space, name)
    return found[name]


def deletions(pods: Watched) -> list[str]:
    """The names of the pods that have been asked to go by now, in that order."""
    pods.catch_up()
    asked: dict[str, str] = {}
    for kind, obj in pods.events:
        if kind == "DELETED" or "deletionTimestamp" in obj["metadata"]:
            asked.setdefault(obj["metadata"]["uid"], obj["metadata"]["name"])
    return list(asked.values())


def uids(pods: Watched) -> dict[str, str]:
    """The uids that the pods have now, by name."""
    pods.catch_up()
    return {name: pod["metadata"]["uid"] for name, pod in pods.objects.items()}


def revision(pod: JSON) -> str:
    """The revision that a pod was made from."""
    return str(pod["metadata"]["labels"]["controller-revision-hash"])
