"""A watch event in one line: what of an object's state is compared, and nothing that differs from run to run."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import groupby
from typing import Any

JSON = dict[str, Any]

STATEFULSET_COUNTERS = ("replicas", "readyReplicas", "availableReplicas", "currentReplicas", "updatedReplicas")
REPLICASET_COUNTERS = ("replicas", "fullyLabeledReplicas", "readyReplicas", "availableReplicas")


class Names:
    """Names that a cluster makes up, numbered in the order in which they came: `rev-1`, `pod-2`."""

    def __init__(self) -> None:
        self._known: dict[str, str] = {}
        self._counts: dict[str, int] = {}

    def of(self, obj: JSON) -> str:
        """The name that is compared."""
        metadata, kind = obj["metadata"], obj["kind"]
        name = str(metadata["name"])
        if kind == "PersistentVolume":
            return self._numbered(name, f"volume of {obj['spec']['claimRef']['name']}")
        if kind == "ControllerRevision":
            return self._numbered(name, "rev")
        if kind == "EndpointSlice":
            return str(metadata["labels"]["kubernetes.io/service-name"])
        if metadata.get("generateName") and "statefulset.kubernetes.io/pod-name" not in metadata.get("labels", {}):
            return self._numbered(name, "pod")
        return name

    def revision(self, name: str | None) -> str:
        """A ControllerRevision's name as a number."""
        return self._numbered(name, "rev") if name else "none"

    def _numbered(self, name: str, what: str) -> str:
        if name not in self._known:
            self._counts[what] = self._counts.get(what, 0) + 1
            self._known[name] = f"{what}-{self._counts[what]}"
        return self._known[name]


def state(obj: JSON, names: Names) -> str:
    """What is compared of one state of an object."""
    metadata = obj["metadata"]
    words = []
    if metadata.get("deletionTimestamp"):
        grace = f" {metadata.get('deletionGracePeriodSeconds')}" if obj["kind"] == "Pod" else ""
        words.append(f"deleting{grace}")
    words += _STATES[obj["kind"]](obj, names)
    return " ".join(words)


def _pod(obj: JSON, names: Names) -> Iterable[str]:
    status = obj.get("status", {})
    yield status.get("phase", "none")
    yield "scheduled" if obj["spec"].get("nodeName") else "unscheduled"
    for container in status.get("containerStatuses") or ():
        what, detail = next(iter(container["state"].items()))
        yield f"{what}:{detail.get('reason', '')}{detail.get('exitCode', '')}" if what != "running" else what
    for condition in sorted(status.get("conditions") or (), key=lambda c: str(c["type"])):
        reason = f"({condition['reason']})" if condition.get("reason") else ""
        yield f"{condition['type']}={condition['status']}{reason}"
    for owner in metadata_owners(obj):
        yield f"of:{owner}"
    revision = obj["metadata"].get("labels", {}).get("controller-revision-hash")
    if revision:
        yield names.revision(revision)


def metadata_owners(obj: JSON) -> list[str]:
    """The controllers of an object, as Kind/name."""
    owners = obj["metadata"].get("ownerReferences") or ()
    return [f"{o['kind']}/{o['name']}" for o in owners if o.get("controller")]


def _statefulset(obj: JSON, names: Names) -> Iterable[str]:
    status = obj.get("status", {})
    yield f"generation={obj['metadata']['generation']} observed={status.get('observedGeneration', 0)}"
    yield f"wanted={obj['spec']['replicas']}"
    for counter in STATEFULSET_COUNTERS:
        yield f"{counter}={status.get(counter, 0)}"
    for revision in ("currentRevision", "updateRevision"):
        yield f"{revision}={names.revision(status.get(revision))}"


def _replicaset(obj: JSON, names: Names) -> Iterable[str]:
    status = obj.get("status", {})
    yield f"generation={obj['metadata']['generation']} observed={status.get('observedGeneration', 0)}"
    yield f"wanted={obj['spec']['replicas']}"
    for counter in REPLICASET_COUNTERS:
        yield f"{counter}={status.get(counter, 0)}"


def _claim(obj: JSON, names: Names) -> Iterable[str]:
    yield obj.get("status", {}).get("phase", "none")
    yield from sorted(obj["metadata"].get("finalizers") or ())


def _volume(obj: JSON, names: Names) -> Iterable[str]:
    yield obj.get("status", {}).get("phase", "none")


def _revision(obj: JSON, names: Names) -> Iterable[str]:
    yield f"revision={obj['revision']}"
    yield from (f"of:{owner}" for owner in metadata_owners(obj))


def _slice(obj: JSON, names: Names) -> Iterable[str]:
    for endpoint in sorted(obj.get("endpoints") or (), key=lambda e: str(e["targetRef"]["name"])):
        conditions = endpoint.get("conditions", {})
        pod = names.of({"kind": "Pod", "metadata": {"generateName": "x", **_pod_metadata(endpoint)}})
        told = [name for name in ("ready", "serving", "terminating") if conditions.get(name)]
        yield f"{pod}:{'+'.join(told) or 'none'}"


def _pod_metadata(endpoint: JSON) -> JSON:
    name = endpoint["targetRef"]["name"]
    labels = {"statefulset.kubernetes.io/pod-name": name} if endpoint.get("hostname") else {}
    return {"name": name, "labels": labels}


def _nothing(obj: JSON, names: Names) -> Iterable[str]:
    return ()


_STATES = {
    "Pod": _pod,
    "StatefulSet": _statefulset,
    "ReplicaSet": _replicaset,
    "PersistentVolumeClaim": _claim,
    "PersistentVolume": _volume,
    "ControllerRevision": _revision,
    "EndpointSlice": _slice,
    "Service": _nothing,
}
KINDS = tuple(_STATES)


def lines(events: Iterable[tuple[str, JSON]]) -> list[str]:
    """The story of (type, object) in order, `Pod redis-0 created: ...`, without what changes nothing compared."""
    names, last, told = Names(), dict[str, str](), list[str]()
    for kind, obj in events:
        name = f"{obj['kind']} {names.of(obj)}"
        now = "gone" if kind == "DELETED" else state(obj, names)
        if kind == "ADDED":
            now = f"created: {now}"
        if last.get(name) != now and last.get(name, "").removeprefix("created: ") != now:
            told.append(f"{name} {now}")
        last[name] = now
    return told


def deduplicated(values: Iterable[Any]) -> list[Any]:
    """Without repetitions of the one before."""
    return [value for value, _ in groupby(values)]
