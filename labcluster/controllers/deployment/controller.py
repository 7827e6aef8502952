"""The Deployment controller (pkg/controller/deployment/deployment_controller.go)."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from labcluster.api.objects import is_terminating, namespace_of, split_key, uid_of
from labcluster.api.owners import controller_of
from labcluster.api.resources import DEPLOYMENTS, PODS, REPLICA_SETS, Resource
from labcluster.controllers import adoption
from labcluster.controllers.controller import Controller
from labcluster.controllers.deployment.rollout import Rollout
from labcluster.controllers.deployment.sizes import is_rolling
from labcluster.storage.event_recorder import EventRecorder
from labcluster.storage.registry import Change, Registry


class DeploymentController(Controller):
    """Rolls from one ReplicaSet to the next when the template changes."""

    name = "deployment-controller"

    def __init__(self, registry: Registry) -> None:
        super().__init__(registry)
        self._recorder = EventRecorder(registry, self.name)

    def sources(self) -> dict[Resource, Callable[[Change], Iterable[str]]]:
        """Deployments, their ReplicaSets, and the end of pods (which the strategy Recreate waits for)."""
        return {
            DEPLOYMENTS: self.own_key,
            REPLICA_SETS: lambda change: adoption.owner_keys(self.registry, DEPLOYMENTS, change),
            PODS: self._of_ended_pod,
        }

    def _of_ended_pod(self, change: Change) -> list[str]:
        owner = controller_of(change.object)
        if change.type != "DELETED" or owner is None or owner.get("kind") != REPLICA_SETS.kind:
            return []
        namespace = namespace_of(change.object)
        replica_set = self.registry.find(REPLICA_SETS, namespace, owner["name"])
        above = controller_of(replica_set) if replica_set is not None else None
        if above is None or above.get("kind") != DEPLOYMENTS.kind:
            return []
        deployment = self.registry.find(DEPLOYMENTS, namespace, above["name"])
        return [f"{namespace}/{above['name']}"] if deployment is not None and not is_rolling(deployment) else []

    def reconcile(self, key: str) -> float | None:
        """One step of the rollout, and the status (syncDeployment)."""
        deployment = self.registry.find(DEPLOYMENTS, *split_key(key))
        if deployment is None:
            return None
        if not deployment["spec"].get("selector"):
            message = "This deployment is selecting all pods. A non-empty selector is required."
            self._recorder.event(deployment, "Warning", "SelectingAll", message)
            return None
        namespace = namespace_of(deployment)
        replica_sets = adoption.claim(
            self.registry, DEPLOYMENTS, deployment, REPLICA_SETS, self.registry.list(REPLICA_SETS, namespace)
        )
        rollout = Rollout(self.registry, self._recorder, deployment, replica_sets)
        if is_terminating(deployment):
            rollout.sync_status()
            return None
        rollout.check_paused()
        if deployment["spec"].get("paused") or rollout.is_scaling():
            rollout.sync_scale()
            return None
        if is_rolling(deployment):
            return rollout.roll()
        uids = {uid_of(rs) for rs in replica_sets}
        pods = self.registry.list(PODS, namespace)
        return rollout.recreate([pod for pod in pods if (controller_of(pod) or {}).get("uid") in uids])
