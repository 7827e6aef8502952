"""Waiting for a state: by watching, within a bound, and failing early on what cannot recover."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from labsupport import errors
from labsupport.cluster import api, scope, states, watching
from labsupport.errors import LabError

Predicate = Callable[[dict[str, Any] | None], bool]


class WaitFailed(LabError):
    """The state did not come: too late, or it never can. Says what was last seen and what to type next."""


def wait(reference: str, state: str = "Ready", *, timeout: float = 60, quiet: bool = False) -> None:
    """Wait until `kind/name` is in a state, and say so in one line (unless `quiet`, for names that are random).

    States: Ready, Running, Pending, Succeeded, Failed, Bound, Deleted, Complete (a rollout, up to its partition),
    Observed (a set whose controller has acted on the last change), Stuck (a pod that cannot start), Unschedulable
    (a pod that no node takes); of a set "2 ready", and "1 left" when no more pods than that exist, stopping ones
    included; of a PodDisruptionBudget "1 allowed"; of a custom kind Established (it is served). Fails early when the
    state cannot come any more, for example when an image cannot be pulled. `timeout` is in seconds.
    Raises WaitFailed, Refused, NotConnected, ValueError.

    >>> wait("statefulset/web", "Ready")
    statefulset/web is Ready
    """
    resource, name = api.split_reference(reference)
    reached = _with_pods(resource.kind, state, states.reached(resource.kind, state))
    hopeless = states.hopeless(resource.kind, state, pods_of)
    space = scope.of(resource)
    deadline = time.monotonic() + timeout
    with errors.readable():
        until(resource, name, space, reached, state, timeout=timeout, hopeless=hopeless)
        if state.endswith(" left"):
            _await_endings(resource.get(name=name, namespace=space).to_dict(), deadline)
    if not quiet:
        print(f"{reference} is {state}" if not state[0].isdigit() else f"{reference} has {state}")


def until(
    resource: Any,
    name: str,
    namespace: str | None,
    reached: Predicate,
    state: str,
    *,
    timeout: float,
    hopeless: Callable[[dict[str, Any] | None], str] = lambda obj: "",
) -> None:
    """Watch one object until `reached` holds for it (None: it is not there). Raises WaitFailed.

    `hopeless` returns why the state can no longer come, or "". `timeout` is in seconds. What `watching` cannot
    survive is raised as it is: ApiException, urllib3's HTTPError, NotConnected.
    """
    kind = resource.kind.lower()
    last: dict[str, Any] | None = None
    path = resource.path(namespace=namespace)
    watch = watching.Watch(api.api_client(), path, fields=f"metadata.name={name}", timeout=timeout)
    for _ in watch:
        last = next(iter(watch.objects.values()), None)
        if reached(last):
            return
        if why := hopeless(last):
            raise WaitFailed(
                f"{kind}/{name} cannot become {state}: {why}. Last seen: {states.describe(resource.kind, last)}."
            )
    raise WaitFailed(
        f"{kind}/{name} was not {state} within {timeout:g} s. Last seen: {states.describe(resource.kind, last)}. "
        f"Look at it with: !kubectl -n {namespace or 'default'} describe {kind} {name}"
    )


def gone(resource: Any, name: str, namespace: str | None, uid: str, *, timeout: float = 60) -> None:
    """Wait until the object with that uid is no more; another one may have taken its name. Raises WaitFailed."""

    def reached(obj: dict[str, Any] | None) -> bool:
        return obj is None or bool(obj["metadata"]["uid"] != uid)

    until(resource, name, namespace, reached, "Deleted", timeout=timeout)


def _with_pods(kind: str, state: str, reached: Predicate) -> Predicate:
    """For a set that should be Ready, look at its pods too: its status still counts one that is stopping."""
    if kind not in states.SETS or state not in ("Ready", "Complete"):
        return reached

    def also_by_its_pods(owner: dict[str, Any] | None) -> bool:
        if owner is None or not reached(owner):
            return False
        pods = pods_of(owner["spec"]["selector"].get("matchLabels") or {})
        return bool(sum(states.is_ready(pod) for pod in pods) >= owner["spec"].get("replicas", 1))

    return also_by_its_pods


def _await_endings(owner: dict[str, Any], deadline: float) -> None:
    """Wait for the pods of a set that are stopping: before 1.35 a ReplicaSet's status does not count them."""
    pods = api.resource("pods")
    for pod in pods_of(owner["spec"]["selector"].get("matchLabels") or {}):
        if pod["metadata"].get("deletionTimestamp"):
            name, left = pod["metadata"]["name"], max(0.0, deadline - time.monotonic())
            until(pods, name, scope.namespace(), lambda obj: obj is None, "Deleted", timeout=left)


def pods_of(selector: dict[str, str]) -> list[dict[str, Any]]:
    """The chapter's pods with those labels, as JSON."""
    text = ",".join(f"{k}={v}" for k, v in selector.items())
    listed = api.resource("pods").get(namespace=scope.namespace(), label_selector=text)
    return [item.to_dict() for item in listed.items]
