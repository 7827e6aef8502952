"""POST of pods/eviction: a deletion that asks the pod's PodDisruptionBudget first.

Upstream: pkg/registry/core/pod/storage/eviction.go. Everything between reading the budget and deleting the pod is one
step here, so upstream's retries after conflicts have no counterpart.
"""

from __future__ import annotations

from dataclasses import replace

from aiohttp import web

from labcluster.api.conditions import condition, is_pod_ready
from labcluster.api.errors import ApiError, bad_request, too_many_requests
from labcluster.api.json_values import clone
from labcluster.api.objects import JSON, is_terminating, name_of
from labcluster.api.resources import POD_DISRUPTION_BUDGETS, PODS, Resource
from labcluster.api.times import now
from labcluster.http.call import Call
from labcluster.http.messages import body
from labcluster.http.messages.options import WriteOptions, delete_options
from labcluster.http.messages.responses import json_response, success
from labcluster.http.verbs.reading import namespace
from labcluster.kinds.poddisruptionbudgets import (
    ALWAYS_ALLOW,
    DISRUPTION_ALLOWED,
    SYNC_FAILED,
    selects,
    set_allowed_condition,
)
from labcluster.schema import schemas
from labcluster.storage.registry import DeleteOptions, Registry

_EVICTIONS = Resource("policy", "v1", "evictions", "Eviction")
_TOO_MANY = "Cannot evict pod as it would violate the pod's disruption budget."
_SEVERAL = "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support."
_CAUSE = "DisruptionBudget"
_RETRY_SECONDS = 10


async def evict(call: Call) -> web.Response:
    """Evict a pod. Raises ApiError 400, 404, 409 (preconditions), 429 (the budget forbids it) and 500 (several)."""
    options = WriteOptions.parse(call.request.query, "CreateOptions")
    obj = body.decode(await body.read(call.request), body.content_type(call.request), _EVICTIONS.kind)
    if obj.get("apiVersion") == "policy/v1beta1":  # upstream takes both
        obj["apiVersion"] = _EVICTIONS.api_version
    body.check_kind(obj, _EVICTIONS)
    eviction, warnings = schemas.decode(obj, _EVICTIONS, options.field_validation)
    if (eviction.get("metadata") or {}).get("name") != call.target.name:
        raise bad_request("name in URL does not match name in Eviction object")
    body.set_namespace(eviction["metadata"], namespace(call))
    given = eviction.get("deleteOptions") or {}
    if options.dry_run and not given.get("dryRun"):
        given["dryRun"] = ["All"]
    _evict(call.registry, namespace(call), call.target.name, delete_options(call.request.query, given))
    return json_response(success(code=201), 201, warnings=warnings)


def _evict(registry: Registry, where: str, name: str, options: DeleteOptions) -> None:
    pod = registry.get(PODS, where, name)
    if not _needs_no_budget(pod):
        budgets = [b for b in registry.list(POD_DISRUPTION_BUDGETS, where) if selects(b, pod)]
        if len(budgets) > 1:
            raise ApiError(500, "", _SEVERAL)
        # A failing precondition must not cost the budget a disruption.
        registry.delete(PODS, where, name, replace(options, dry_run=True))
        if budgets and not _is_uncounted(budgets[0], pod):
            _count_disruption(registry, budgets[0], pod, dry_run=options.dry_run)
        if not options.dry_run:
            registry.modify(PODS, where, name, _add_condition, subresource="status")
            options = replace(options, resource_version=None)  # checked above, and changed by the condition
    registry.delete(PODS, where, name, options)


def _needs_no_budget(pod: JSON) -> bool:
    """Whether the pod is not serving anyway (canIgnorePDB)."""
    return is_terminating(pod) or pod.get("status", {}).get("phase") in ("Succeeded", "Failed", "Pending")


def _is_uncounted(budget: JSON, pod: JSON) -> bool:
    """Whether the pod is unhealthy, and its eviction counts as no disruption."""
    if is_pod_ready(pod):
        return False
    if budget["spec"].get("unhealthyPodEvictionPolicy") == ALWAYS_ALLOW:
        return True
    desired = budget["status"].get("desiredHealthy", 0)
    return bool(budget["status"].get("currentHealthy", 0) >= desired > 0)


def _count_disruption(registry: Registry, budget: JSON, pod: JSON, *, dry_run: bool) -> None:
    """Count one disruption more (checkAndDecrement). Raises ApiError 429 when the budget has none left."""
    status, name = budget["status"], name_of(budget)
    if status.get("observedGeneration", 0) < budget["metadata"]["generation"]:
        why = f"The disruption budget {name} is still being processed by the server."
        raise too_many_requests(_TOO_MANY, _CAUSE, why, _RETRY_SECONDS)
    if status.get("disruptionsAllowed", 0) == 0:
        failed = condition(budget, DISRUPTION_ALLOWED) or {}
        why = (
            f"The disruption budget {name} needs {status.get('desiredHealthy', 0)} healthy pods "
            f"and has {status.get('currentHealthy', 0)} currently"
        )
        if failed.get("reason") == SYNC_FAILED:
            message = failed.get("message", "")
            why = (
                f"The disruption budget {name} does not allow evicting pods currently because it failed sync: {message}"
            )
        raise too_many_requests(_TOO_MANY, _CAUSE, why)
    if dry_run:
        return
    new = clone(budget)
    new["status"]["disruptionsAllowed"] -= 1
    new["status"].setdefault("disruptedPods", {})[name_of(pod)] = now()
    if new["status"]["disruptionsAllowed"] == 0:
        set_allowed_condition(new)
    registry.update(POD_DISRUPTION_BUDGETS, new, subresource="status")


def _add_condition(pod: JSON) -> None:
    """Set the pod's DisruptionTarget condition."""
    conditions = pod["status"].setdefault("conditions", [])
    conditions[:] = [entry for entry in conditions if entry["type"] != "DisruptionTarget"]
    conditions.append(
        {
            "type": "DisruptionTarget",
            "status": "True",
            "reason": "EvictionByEvictionAPI",
            "message": "Eviction API: evicting",
            "lastTransitionTime": now(),
        }
    )
