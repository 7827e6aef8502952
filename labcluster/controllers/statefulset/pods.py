"""Creating, repairing and deleting a StatefulSet's pods, each with its event (statefulset/stateful_pod_control.go)."""

from __future__ import annotations

from labcluster.api.errors import ApiError
from labcluster.api.json_values import clone
from labcluster.api.objects import JSON, name_of, namespace_of
from labcluster.api.resources import PODS
from labcluster.controllers.statefulset import claims
from labcluster.controllers.statefulset.identity import identity_matches, set_identity, set_storage, storage_matches
from labcluster.storage.event_recorder import EventRecorder
from labcluster.storage.registry import Registry


class StatefulPodControl:
    """The writes of one StatefulSet's sync."""

    def __init__(self, registry: Registry, recorder: EventRecorder, stateful_set: JSON) -> None:
        self._registry = registry
        self._recorder = recorder
        self._set = stateful_set

    def has_stale_claim(self, pod: JSON) -> bool:
        """Whether a claim still goes with a former pod of that name."""
        return claims.has_stale_claim(self._registry, self._set, pod)

    def create(self, pod: JSON) -> None:
        """Create the pod, its claims first. Raises ApiError."""
        try:
            claims.create_claims(self._registry, self._recorder, self._set, pod)
            self._registry.create(PODS, pod)
        except ApiError as error:
            if error.reason != "AlreadyExists":
                self._record("create", pod, error)
            raise
        self._record("create", pod)
        self._apply_policy(pod)

    def create_missing_claims(self, pod: JSON) -> None:
        """Create the claims that a pending pod lacks. Raises ApiError."""
        claims.create_claims(self._registry, self._recorder, self._set, pod)
        self._apply_policy(pod)

    def repair(self, pod: JSON) -> None:
        """Give a running pod its identity, its volumes and its claims' owners back. Raises ApiError."""
        matches = claims.claims_match_policy(self._registry, self._set, pod)
        if identity_matches(self._set, pod) and storage_matches(self._set, pod) and matches:
            return
        fixed: JSON = clone(pod)
        set_identity(self._set, fixed)
        try:
            if not storage_matches(self._set, fixed):
                set_storage(self._set, fixed)
                claims.create_claims(self._registry, self._recorder, self._set, fixed)
            claims.apply_policy(self._registry, self._set, fixed)
            self._registry.update(PODS, fixed)
        except ApiError as error:
            self._record("update", pod, error)
            raise
        self._record("update", pod)

    def repair_claims(self, pod: JSON) -> None:
        """Give the claims of a pod that is to go the owners that the retention policy wants. Raises ApiError."""
        claims.apply_policy(self._registry, self._set, pod)

    def delete(self, pod: JSON) -> None:
        """Ask for the pod's deletion. Raises ApiError."""
        try:
            self._registry.delete(PODS, namespace_of(pod), name_of(pod))
        except ApiError as error:
            self._record("delete", pod, error)
            raise
        self._record("delete", pod)

    def _apply_policy(self, pod: JSON) -> None:
        try:
            claims.apply_policy(self._registry, self._set, pod)
        except ApiError as error:
            self._record("update", pod, error)
            raise

    def _record(self, verb: str, pod: JSON, error: ApiError | None = None) -> None:
        what = f"{verb} Pod {name_of(pod)} in StatefulSet {name_of(self._set)}"
        if error is None:
            self._recorder.event(self._set, "Normal", f"Successful{verb.title()}", f"{what} successful")
        else:
            message = f"{what} failed error: {error}"
            self._recorder.event(self._set, "Warning", f"Failed{verb.title()}", message)
