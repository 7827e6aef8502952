"""A recorder: what happens to the chapter's pods and claims, with the time of each event as the watch brought it."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from typing import Any, Self

from kubernetes import watch as client_watch

from labsupport.cluster import api, scope

_WATCH_SECONDS = 300
_REVISION = "controller-revision-hash"


@dataclass(frozen=True)
class Moment:
    """One thing that happened: seconds since the recording began, what, and to whom."""

    seconds: float
    what: str  # created, scheduled, running, ready, unready, terminating, deleted, bound; mark
    kind: str  # "" of a mark
    name: str  # a mark's text
    uid: str
    owner: str  # "kind/name" of the controller, or ""
    revision: str = ""  # the name of the ControllerRevision that a StatefulSet's pod was made from
    claims: tuple[str, ...] = ()  # the claims that a pod mounts


class Recording:
    """Watches the chapter's pods and claims from the moment it is made until `stop`.

    >>> with Recording() as recording:
    ...     scale("statefulset/web", 3)
    ...     wait("statefulset/web", "Ready")
    >>> recording.order("ready")
    ['web-0', 'web-1', 'web-2']
    """

    def __init__(self, kinds: tuple[str, ...] = ("pods", "persistentvolumeclaims")) -> None:
        """Begin at once. Objects that exist already are part of it from second 0 on."""
        self._namespace = scope.namespace()
        self._started = time.monotonic()
        self._moments: list[Moment] = []
        self._lock = threading.Lock()
        self._seen: dict[str, set[str]] = {}  # uid -> the moments it had
        self._stopped = threading.Event()
        self._watchers: list[client_watch.Watch] = []
        self._threads: list[threading.Thread] = []
        for kind in kinds:
            resource = api.resource(kind)
            alive: dict[str, dict[str, Any]] = {}
            version = self._list(resource, alive)
            watcher = client_watch.Watch()
            thread = threading.Thread(target=self._follow, args=(watcher, resource, version, alive), daemon=True)
            self._watchers.append(watcher)
            self._threads.append(thread)
            thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.stop()

    @property
    def moments(self) -> list[Moment]:
        """All that was recorded, in order of time."""
        with self._lock:
            return sorted(self._moments, key=lambda m: m.seconds)

    def order(self, what: str, owner: str = "") -> list[str]:
        """The names in the order in which it happened to them, optionally of one controller only."""
        return [m.name for m in self.moments if m.what == what and (not owner or m.owner == owner)]

    def when(self, what: str, owner: str = "") -> list[float]:
        """The seconds at which it happened, in order."""
        return [m.seconds for m in self.moments if m.what == what and (not owner or m.owner == owner)]

    def mark(self, text: str) -> None:
        """Note that something is done now, for a figure to show.

        >>> recording.mark("rollback")
        """
        with self._lock:
            self._moments.append(Moment(time.monotonic() - self._started, "mark", "", text, "", ""))

    def stop(self) -> None:
        """End the recording; what was recorded stays. The server has a moment to bring the last events."""
        self._stopped.set()
        for watcher in self._watchers:
            watcher.stop()
        for thread in self._threads:
            thread.join(timeout=0.3)

    def _follow(
        self, watcher: client_watch.Watch, resource: Any, version: str, alive: dict[str, dict[str, Any]]
    ) -> None:
        """Watch until stopped. A server ends each watch after a while: then the list tells what was missed."""
        while not self._stopped.is_set():
            try:
                for event in watcher.stream(
                    resource.get,
                    namespace=self._namespace,
                    resource_version=version,
                    serialize=False,
                    timeout_seconds=_WATCH_SECONDS,
                ):
                    self._note(event["type"], event["object"])
                    _keep(alive, event["type"], event["object"])
                version = "" if self._stopped.is_set() else self._list(resource, alive)
            except Exception as error:  # a stopped watch may fail in any way: its connection is taken from it
                if self._stopped.is_set():
                    return
                if getattr(error, "status", None) != 410:  # too old a version
                    raise
                version = self._list(resource, alive)

    def _list(self, resource: Any, alive: dict[str, dict[str, Any]]) -> str:
        """Note what is there, and what of `alive` (by uid) no longer is; returns the version to watch from."""
        listed = resource.get(namespace=self._namespace)
        found = {item.metadata.uid: item.to_dict() for item in listed.items}
        for uid in alive.keys() - found.keys():
            self._note("DELETED", alive.pop(uid))
        for obj in found.values():
            self._note("ADDED", obj)
        alive |= found
        return str(listed.metadata.resourceVersion)

    def _note(self, event: str, obj: dict[str, Any]) -> None:
        seconds = time.monotonic() - self._started
        metadata = obj["metadata"]
        owner = next((o for o in metadata.get("ownerReferences") or () if o.get("controller")), None)
        by = f"{owner['kind'].lower()}/{owner['name']}" if owner else ""
        revision = (metadata.get("labels") or {}).get(_REVISION, "")
        claims = _claims_of(obj) if obj["kind"] == "Pod" else ()
        with self._lock:
            seen = self._seen.setdefault(metadata["uid"], set())
            for what in _happened(event, obj, seen):
                self._moments.append(
                    Moment(seconds, what, obj["kind"], metadata["name"], metadata["uid"], by, revision, claims)
                )


def _keep(alive: dict[str, dict[str, Any]], event: str, obj: dict[str, Any]) -> None:
    if event == "DELETED":
        alive.pop(obj["metadata"]["uid"], None)
    else:
        alive[obj["metadata"]["uid"]] = obj


def _claims_of(pod: dict[str, Any]) -> tuple[str, ...]:
    """The names of the claims a pod mounts; that of a generic ephemeral volume is made of the pod's and its own."""
    names: list[str] = []
    for volume in pod["spec"].get("volumes") or ():
        if claim := volume.get("persistentVolumeClaim"):
            names.append(claim["claimName"])
        elif volume.get("ephemeral"):
            names.append(f"{pod['metadata']['name']}-{volume['name']}")
    return tuple(names)


def _happened(event: str, obj: dict[str, Any], seen: set[str]) -> list[str]:
    """What this state shows that the states before it did not; `seen` is brought up to date."""
    if event == "DELETED":
        return ["deleted"]
    status = obj.get("status") or {}
    conditions = {c["type"]: c["status"] for c in status.get("conditions") or ()}
    now: set[str] = {"created"}
    if obj["spec"].get("nodeName"):
        now.add("scheduled")
    if status.get("phase") == "Running":
        now.add("running")
    if status.get("phase") == "Bound":
        now.add("bound")
    if obj["metadata"].get("deletionTimestamp"):
        now.add("terminating")
    new: list[str] = [w for w in ("created", "scheduled", "running", "bound", "terminating") if w in now - seen]
    seen |= now
    ready = conditions.get("Ready") == "True"
    if ready and "ready" not in seen:
        new.append("ready")
        seen.add("ready")
        seen.discard("unready")
    elif not ready and "ready" in seen:
        new.append("unready")
        seen.discard("ready")
    return new
