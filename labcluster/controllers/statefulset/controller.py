"""The StatefulSet controller (pkg/controller/statefulset/stateful_set.go)."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from labcluster.api.objects import JSON, is_terminating, key_of, name_of, namespace_of, split_key
from labcluster.api.resources import PERSISTENT_VOLUME_CLAIMS, PODS, STATEFUL_SETS, Resource
from labcluster.api.selectors import LabelSelector
from labcluster.controllers import adoption, history
from labcluster.controllers.controller import Controller
from labcluster.controllers.statefulset import status
from labcluster.controllers.statefulset.identity import claim_templates, is_member, parent_and_ordinal, revision_of
from labcluster.controllers.statefulset.pods import StatefulPodControl
from labcluster.controllers.statefulset.step import Step
from labcluster.controllers.workload_pods import next_availability
from labcluster.storage.event_recorder import EventRecorder
from labcluster.storage.registry import Change, Registry


class StatefulSetController(Controller):
    """Keeps pods with an identity: each with its own name, claims and revision."""

    name = "statefulset-controller"

    def __init__(self, registry: Registry) -> None:
        super().__init__(registry)
        self._recorder = EventRecorder(registry, self.name)

    def sources(self) -> dict[Resource, Callable[[Change], Iterable[str]]]:
        """Sets themselves, the sets of pods, and those that wait for a name to become free."""
        return {
            STATEFUL_SETS: self.own_key,
            PODS: lambda change: [
                *adoption.owner_keys(self.registry, STATEFUL_SETS, change),
                *self._waiting_for_name(change),
            ],
            PERSISTENT_VOLUME_CLAIMS: self._waiting_for_name,
        }

    def _waiting_for_name(self, change: Change) -> list[str]:
        """The sets to which the name of a deleted pod or claim belongs. Upstream only retries, with back-off."""
        if change.type != "DELETED":
            return []
        stem, ordinal = parent_and_ordinal(change.object)
        sets = self.registry.list(STATEFUL_SETS, namespace_of(change.object)) if ordinal >= 0 else []
        if change.resource == PODS:
            return [key_of(s) for s in sets if name_of(s) == stem]
        return [key_of(s) for s in sets if any(f"{name_of(t)}-{name_of(s)}" == stem for t in claim_templates(s))]

    def reconcile(self, key: str) -> float | None:
        """One step of the set, and its status."""
        stateful_set = self.registry.find(STATEFUL_SETS, *split_key(key))
        if stateful_set is None:
            return None
        selector = LabelSelector.from_object(stateful_set["spec"].get("selector"))
        history.adopt_orphans(self.registry, STATEFUL_SETS, stateful_set, selector)
        pods = adoption.claim(
            self.registry,
            STATEFUL_SETS,
            stateful_set,
            PODS,
            self.registry.list(PODS, namespace_of(stateful_set)),
            lambda pod: is_member(stateful_set, pod),
        )
        self._sync(stateful_set, pods, selector)
        min_ready = int(stateful_set["spec"].get("minReadySeconds") or 0)
        return next_availability([pod for pod in pods if not is_terminating(pod)], min_ready)

    def _sync(self, stateful_set: JSON, pods: list[JSON], selector: LabelSelector) -> None:
        revisions = history.list_revisions(self.registry, stateful_set, selector)
        collisions = int(stateful_set.get("status", {}).get("collisionCount") or 0)
        number = revisions[-1]["revision"] + 1 if revisions else 1
        candidate = history.new_revision(stateful_set, stateful_set["spec"]["template"], number, collisions)
        update, collisions = history.store_revision(self.registry, stateful_set, revisions, candidate, collisions)
        current_name = stateful_set.get("status", {}).get("currentRevision")
        current = next((r for r in revisions if name_of(r) == current_name), update)

        control = StatefulPodControl(self.registry, self._recorder, stateful_set)
        step = Step(stateful_set, pods, current, update, control)
        try:
            step.run()
        finally:
            built = status.build(stateful_set, step.counters, name_of(current), name_of(update), collisions)
            self.write_status(STATEFUL_SETS, stateful_set, built)
            live = {name_of(current), name_of(update), *map(revision_of, pods)}
            limit = stateful_set["spec"].get("revisionHistoryLimit")
            history.truncate(self.registry, revisions, live, 10 if limit is None else int(limit))
