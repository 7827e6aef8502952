"""A recorder: what happens to the chapter's pods and claims, with the time of each event as the watch brought it."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Self

from labsupport import errors
from labsupport.cluster import api, scope, watching
from labsupport.errors import LabError

_STOP_SECONDS = 30  # the longest that `stop` waits for what the cluster has to tell
_REVISION = "controller-revision-hash"


class RecordingFailed(LabError):
    """The recording is not whole: something that happened may be missing from it. Says why."""


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

    A connection that breaks loses nothing. Where the cluster can no longer be watched, the recording says so when it
    is read or stopped: RecordingFailed.

    >>> with Recording() as recording:
    ...     scale("statefulset/web", 3)
    ...     wait("statefulset/web", "Ready")
    >>> recording.order("ready")
    ['web-0', 'web-1', 'web-2']
    """

    def __init__(self, kinds: tuple[str, ...] = ("pods", "persistentvolumeclaims")) -> None:
        """Begin at once. Objects that exist already are part of it from second 0 on. Raises Refused, NotConnected."""
        self._namespace = scope.namespace()
        self._started = time.monotonic()
        self._moments: list[Moment] = []
        self._lock = threading.Lock()
        self._seen: dict[str, set[str]] = {}  # uid -> the moments it had
        self._failure = ""
        self._watches: list[watching.Watch] = []
        self._threads: list[threading.Thread] = []
        with errors.readable():
            for kind in kinds:
                path = api.resource(kind).path(namespace=self._namespace)
                watch = watching.Watch(api.api_client(), path)
                changes = iter(watch)
                self._note(next(changes))
                self._watches.append(watch)
                self._threads.append(threading.Thread(target=self._follow, args=(kind, changes), daemon=True))
        for thread in self._threads:
            thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self._end()
        if exc[0] is None:  # an error of the block says more than that of the recording
            self._raise_failure()

    @property
    def moments(self) -> list[Moment]:
        """All that was recorded, in order of time. Raises RecordingFailed."""
        self._raise_failure()
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
        """End the recording, with all that has happened until now; what was recorded stays. Raises RecordingFailed."""
        self._end()
        self._raise_failure()

    def _end(self) -> None:
        for watch in self._watches:
            watch.stop()
        deadline = time.monotonic() + _STOP_SECONDS
        for thread in self._threads:
            thread.join(timeout=max(0.0, deadline - time.monotonic()))
        if any(thread.is_alive() for thread in self._threads):
            self._failure = self._failure or f"the cluster did not answer within {_STOP_SECONDS} s at its end"

    def _raise_failure(self) -> None:
        if self._failure:
            raise RecordingFailed(f"the recording is not whole: {self._failure}. Begin the experiment again.")

    def _follow(self, kind: str, changes: Iterator[list[watching.Change]]) -> None:
        """Take down what a watch brings until it is stopped; runs in a thread, so a failure is kept for who reads."""
        try:
            with errors.readable():
                for some in changes:
                    self._note(some)
        except Exception as error:
            seconds = time.monotonic() - self._started
            self._failure = f"{kind} could no longer be watched after {seconds:.0f} s ({type(error).__name__}: {error})"

    def _note(self, changes: list[watching.Change]) -> None:
        seconds = time.monotonic() - self._started
        for event, obj in changes:
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
