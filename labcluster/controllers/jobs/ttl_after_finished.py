"""Deletes finished jobs when their ttlSecondsAfterFinished is over (pkg/controller/ttlafterfinished)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import ClassVar

from labcluster.api.conditions import condition
from labcluster.api.objects import is_terminating, split_key, uid_of
from labcluster.api.resources import JOBS, Resource
from labcluster.api.times import age_seconds
from labcluster.controllers.controller import Controller
from labcluster.storage.registry import Change, DeleteOptions


class TTLAfterFinishedController(Controller):
    """Keys: the job's."""

    name: ClassVar[str] = "ttl-after-finished-controller"

    def sources(self) -> dict[Resource, Callable[[Change], Iterable[str]]]:
        """Jobs."""
        return {JOBS: self.own_key}

    def reconcile(self, key: str) -> float | None:
        """Delete the job with its pods, or come back when it is time."""
        job = self.registry.find(JOBS, *split_key(key))
        if job is None or is_terminating(job) or job["spec"].get("ttlSecondsAfterFinished") is None:
            return None
        ended = next((c for kind in ("Complete", "Failed") if (c := condition(job, kind))), None)
        if ended is None or ended["status"] != "True":
            return None
        left = float(job["spec"]["ttlSecondsAfterFinished"]) - age_seconds(ended["lastTransitionTime"])
        if left > 0:
            return left
        self.registry.delete(JOBS, *split_key(key), DeleteOptions(propagation="Foreground", uid=uid_of(job)))
        return None
