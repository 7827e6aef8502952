"""One sync of a Deployment: new and old ReplicaSets, rolling, recreating, scaling
(deployment/sync.go, rolling.go, recreate.go)."""

from __future__ import annotations

from collections.abc import Sequence

from labcluster.api.errors import NAMESPACE_TERMINATING, ApiError
from labcluster.api.json_values import clone
from labcluster.api.objects import JSON, annotations_of, is_terminating, name_of, namespace_of, uid_of
from labcluster.api.owners import controller_of, is_controlled_by
from labcluster.api.resources import DEPLOYMENTS, REPLICA_SETS
from labcluster.controllers.deployment import revisions, sizes, status
from labcluster.controllers.deployment.sizes import active, replica_count, replicas_of, status_count
from labcluster.storage.event_recorder import EventRecorder
from labcluster.storage.registry import Registry


class Rollout:
    """A Deployment and its ReplicaSets during one sync. Methods raise ApiError as the registry does."""

    def __init__(
        self, registry: Registry, recorder: EventRecorder, deployment: JSON, replica_sets: Sequence[JSON]
    ) -> None:
        self._registry = registry
        self._recorder = recorder
        self._deployment: JSON = clone(deployment)  # its status is changed here before it is written
        self._replica_sets = list(replica_sets)
        self._find()

    def _find(self) -> None:
        self._new = revisions.find_new(self._deployment, self._replica_sets)
        self._old = [rs for rs in self._replica_sets if self._new is None or uid_of(rs) != uid_of(self._new)]

    @property
    def _all(self) -> list[JSON]:
        return [*self._old, *([self._new] if self._new else [])]

    # ------------------------------------------------------------------ the ways to sync

    def sync_status(self) -> None:
        """Only the status, for a Deployment that is being deleted (syncStatusOnly)."""
        self._sync_new_replica_set(create=False)
        self._write_status(status.calculate(self._deployment, self._all, self._new))

    def sync_scale(self) -> None:
        """Scale without rolling: when paused, and right after spec.replicas has changed (sync)."""
        self._sync_new_replica_set(create=False)
        self._scale_all()
        if self._deployment["spec"].get("paused"):
            self._clean_up()
        self._write_status(status.calculate(self._deployment, self._all, self._new))

    def is_scaling(self) -> bool:
        """Whether spec.replicas has changed since the ReplicaSets were last scaled (isScalingEvent)."""
        self._sync_new_replica_set(create=False)
        total = replicas_of(self._deployment)
        return any(sizes.desired_annotation(rs) not in (None, total) for rs in active(self._all))

    def check_paused(self) -> None:
        """Say in the condition Progressing that the Deployment was paused or resumed (checkPausedConditions)."""
        deployment = self._deployment
        progress = status.get_condition(deployment.get("status") or {}, status.PROGRESSING)
        reason = progress["reason"] if progress else ""
        if status.progress_deadline(deployment) is None or reason == "ProgressDeadlineExceeded":
            return
        new: JSON = clone(deployment.get("status") or {})
        if deployment["spec"].get("paused") and reason != "DeploymentPaused":
            status.set_condition(new, status.PROGRESSING, "Unknown", "DeploymentPaused", "Deployment is paused")
        elif not deployment["spec"].get("paused") and reason == "DeploymentPaused":
            status.set_condition(new, status.PROGRESSING, "Unknown", "DeploymentResumed", "Deployment is resumed")
        self._write_status(new)

    def roll(self) -> float | None:
        """A step of a rolling update: scale the new ReplicaSet up or the old ones down (rolloutRolling)."""
        self._sync_new_replica_set(create=True)
        if self._new is None:
            return None  # a collision of names: the next sync takes another
        if not self._scale_up_new(self._new) and not self._scale_down_old(self._new):
            self._clean_up_when_complete()
        return self._write_rollout_status()

    def recreate(self, pods: Sequence[JSON]) -> float | None:
        """A step of the strategy Recreate: no new pod is created before all old ones are gone (rolloutRecreate)."""
        self._sync_new_replica_set(create=False)
        scaled_down = [self._scale(rs, 0) for rs in active(self._old)]
        if not any(scaled_down) and not self._old_pods_run(pods):
            if self._new is None:
                self._sync_new_replica_set(create=True)
            if self._new is not None:
                self._scale(self._new, replicas_of(self._deployment))
            self._clean_up_when_complete()
        return self._write_rollout_status()

    # ------------------------------------------------------------------ the new ReplicaSet

    def _sync_new_replica_set(self, *, create: bool) -> None:
        """Bring the new ReplicaSet's revision and annotations up to date, or create it (getNewReplicaSet)."""
        number = revisions.latest(self._old) + 1
        if self._new is not None:
            self._update_new(self._new, number)
        elif create:
            self._create_new(number)

    def _update_new(self, replica_set: JSON, number: int) -> None:
        deployment = self._deployment
        wanted_set: JSON = clone(replica_set)
        revisions.annotate(deployment, wanted_set, number, exists=True)
        wanted_set["spec"]["minReadySeconds"] = deployment["spec"].get("minReadySeconds", 0)
        if wanted_set["spec"]["minReadySeconds"] == 0 and "minReadySeconds" not in replica_set["spec"]:
            del wanted_set["spec"]["minReadySeconds"]
        if wanted_set != replica_set:
            self._replace(self._registry.update(REPLICA_SETS, wanted_set))
            return
        self._set_revision(revisions.revision_of(replica_set))
        progress = status.get_condition(deployment.get("status") or {}, status.PROGRESSING)
        if status.progress_deadline(deployment) is not None and progress is None:
            self._note_progress("True", "FoundNewReplicaSet", f'Found new replica set "{name_of(replica_set)}"')

    def _create_new(self, number: int) -> None:
        deployment = self._deployment
        collisions = (deployment.get("status") or {}).get("collisionCount")
        candidate = revisions.build(deployment, collisions)
        size = sizes.new_replica_set_size(deployment, self._old, 0)
        candidate["spec"]["replicas"] = size
        revisions.annotate(deployment, candidate, number, exists=False)
        name = name_of(candidate)
        try:
            created = self._registry.create(REPLICA_SETS, candidate)
        except ApiError as error:
            if error.reason == "AlreadyExists":
                self._collide(name)
                return
            if not error.has_cause(NAMESPACE_TERMINATING):
                message = f'Failed to create new replica set "{name}": {error}'
                if status.progress_deadline(deployment) is not None:
                    self._note_progress("False", "ReplicaSetCreateError", message)
                self._recorder.event(deployment, "Warning", "ReplicaSetCreateError", message)
            raise
        if size > 0:
            message = f"Scaled up replica set {name} from 0 to {size}"
            self._recorder.event(deployment, "Normal", "ScalingReplicaSet", message)
        self._replica_sets.append(created)
        self._new = created
        self._set_revision(number)
        if status.progress_deadline(deployment) is not None:
            self._note_progress("True", "NewReplicaSetCreated", f'Created new replica set "{name}"')

    def _collide(self, name: str) -> None:
        """The name is taken: by our own ReplicaSet, or by another template of the same hash."""
        existing = self._registry.get(REPLICA_SETS, namespace_of(self._deployment), name)
        template = self._deployment["spec"]["template"]
        same = revisions.equal_ignoring_hash(existing["spec"]["template"], template)
        if same and is_controlled_by(existing, self._deployment):
            self._replica_sets.append(existing)
            self._new = existing
            return
        new: JSON = clone(self._deployment.get("status") or {})
        new["collisionCount"] = int(new.get("collisionCount") or 0) + 1
        self._write_status(new)

    def _replace(self, replica_set: JSON) -> None:
        """Take an updated ReplicaSet in the place of its former state."""
        uid = uid_of(replica_set)
        self._replica_sets = [replica_set if uid_of(rs) == uid else rs for rs in self._replica_sets]
        self._old = [replica_set if uid_of(rs) == uid else rs for rs in self._old]
        if self._new is not None and uid_of(self._new) == uid:
            self._new = replica_set

    # ------------------------------------------------------------------ sizes

    def _scale(self, replica_set: JSON, size: int) -> bool:
        """Set a ReplicaSet's size, with an event. False when it has it already."""
        before = replicas_of(replica_set)
        annotations = sizes.size_annotations(self._deployment)
        if before == size and annotations.items() <= annotations_of(replica_set).items():
            return False
        resized: JSON = clone(replica_set)
        resized["spec"]["replicas"] = size
        resized["metadata"].setdefault("annotations", {}).update(annotations)
        self._replace(self._registry.update(REPLICA_SETS, resized))
        if before != size:
            direction = "up" if size > before else "down"
            message = f"Scaled {direction} replica set {name_of(replica_set)} from {before} to {size}"
            self._recorder.event(self._deployment, "Normal", "ScalingReplicaSet", message)
        return before != size

    def _scale_up_new(self, new: JSON) -> bool:
        total, size = replicas_of(self._deployment), replicas_of(new)
        if size == total:
            return False
        target = total if size > total else sizes.new_replica_set_size(self._deployment, self._all, size)
        return target != size and self._scale(new, target)

    def _scale_down_old(self, new: JSON) -> bool:
        """Scale old ReplicaSets down as far as availability allows, their unhealthy pods first."""
        old = revisions.by_age(active(self._old))
        minimum = replicas_of(self._deployment) - sizes.max_unavailable(self._deployment)
        new_unavailable = replicas_of(new) - status_count([new], "availableReplicas")
        budget = replica_count([*old, new]) - minimum - new_unavailable
        if not old or budget <= 0:
            return False
        removed = 0
        for rs in old:
            unhealthy = replicas_of(rs) - status_count([rs], "availableReplicas")
            count = min(budget - removed, unhealthy)
            if count > 0:
                self._scale(rs, replicas_of(rs) - count)
                removed += count
        old = revisions.by_age(active(self._old))
        spare = status_count([*old, new], "availableReplicas") - minimum
        for rs in old:
            count = min(replicas_of(rs), spare)
            if count > 0:
                self._scale(rs, replicas_of(rs) - count)
                spare -= count
                removed += count
        return removed > 0

    def _scale_all(self) -> None:
        """Bring the ReplicaSets to a changed spec.replicas (sync.go, scale)."""
        deployment = self._deployment
        running = active(self._all)
        if len(running) <= 1:
            newest_old = revisions.by_age(self._old)[-1:]
            only = running[0] if running else self._new or (newest_old[0] if newest_old else None)
            if only is not None:
                self._scale(only, replicas_of(deployment))
        elif sizes.is_saturated(deployment, self._new):
            for rs in active(self._old):
                self._scale(rs, 0)
        elif sizes.is_rolling(deployment):
            for name, size in sizes.proportional_sizes(deployment, running).items():
                self._scale(next(rs for rs in running if name_of(rs) == name), size)

    def _old_pods_run(self, pods: Sequence[JSON]) -> bool:
        if status_count(self._old, "replicas") > 0:
            return True
        new = uid_of(self._new) if self._new else ""
        return any(
            (controller_of(pod) or {}).get("uid") != new
            and pod.get("status", {}).get("phase") not in ("Succeeded", "Failed")
            for pod in pods
        )

    # ------------------------------------------------------------------ history and status

    def _clean_up_when_complete(self) -> None:
        if status.is_complete(self._deployment, self._deployment.get("status") or {}):
            self._clean_up()

    def _clean_up(self) -> None:
        """Delete the old ReplicaSets of the lowest revisions beyond spec.revisionHistoryLimit."""
        limit = self._deployment["spec"].get("revisionHistoryLimit", 10)
        if limit is None or limit == status.NO_DEADLINE:
            return
        alive = sorted((rs for rs in self._old if not is_terminating(rs)), key=revisions.revision_of)
        for rs in alive[: max(len(alive) - limit, 0)]:
            observed = rs.get("status", {}).get("observedGeneration", 0)
            if replicas_of(rs) or status_count([rs], "replicas") or rs["metadata"].get("generation", 0) > observed:
                continue
            self._registry.delete(REPLICA_SETS, namespace_of(rs), name_of(rs))
            self._old.remove(rs)

    def _set_revision(self, number: int) -> None:
        if annotations_of(self._deployment).get(revisions.REVISION) == str(number):
            return

        def change(obj: JSON) -> None:
            obj["metadata"].setdefault("annotations", {})[revisions.REVISION] = str(number)

        namespace, name = namespace_of(self._deployment), name_of(self._deployment)
        self._deployment = clone(self._registry.modify(DEPLOYMENTS, namespace, name, change))

    def _note_progress(self, value: str, reason: str, message: str) -> None:
        new: JSON = clone(self._deployment.get("status") or {})
        status.set_condition(new, status.PROGRESSING, value, reason, message)
        self._write_status(new)

    def _write_rollout_status(self) -> float | None:
        """Write the status; seconds until the progress deadline has to be looked at, if it did not change."""
        new = status.calculate_rollout(self._deployment, self._all, self._new)
        self._write_status(new)
        return status.seconds_to_progress_check(self._deployment, new)

    def _write_status(self, new: JSON) -> None:
        if new == self._deployment.get("status"):
            return

        def change(obj: JSON) -> None:
            obj["status"] = new

        namespace, name = namespace_of(self._deployment), name_of(self._deployment)
        self._deployment = clone(self._registry.modify(DEPLOYMENTS, namespace, name, change, subresource="status"))
