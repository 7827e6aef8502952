"""What the cluster says about an object: its events, as `kubectl describe` lists them."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from labsupport import errors
from labsupport.cluster import api, scope, watching
from labsupport.errors import LabError


class NoSuchEvent(LabError):
    """The event did not come; the message lists the reasons of those that did."""


def event(reference: str, reason: str, *, timeout: float = 60) -> str:
    """The message of the newest event with that reason about `kind/name`; waits for the first one.

    Events are written a little after the fact, and by several components. `timeout` is in seconds. Raises
    NoSuchEvent, Refused, NotConnected.

    >>> event("pvc/data-db-0", "ProvisioningFailed")
    'storageclass.storage.k8s.io "fast" not found'
    """
    resource, name = api.split_reference(reference)
    about = f"involvedObject.kind={resource.kind},involvedObject.name={name}"
    path = f"/api/v1/namespaces/{scope.namespace()}/events"
    watch = watching.Watch(api.api_client(), path, fields=about, timeout=timeout)
    reasons: set[str] = set()
    with errors.readable():
        for _ in watch:
            events = list(watch.objects.values())
            if wanted := [item for item in events if item.get("reason") == reason]:
                return str(max(wanted, key=_time).get("message", ""))
            reasons.update(item["reason"] for item in events if item.get("reason"))
    raise NoSuchEvent(
        f"no event {reason} about {reference} within {timeout:g} s; "
        f"there were {', '.join(sorted(reasons)) or 'none at all'}. Try `kubectl describe {reference}`."
    )


def _time(event: dict[str, Any]) -> datetime:
    """When an event was last seen: of the classic API, or of the newer one, which fills other fields."""
    series = (event.get("series") or {}).get("lastObservedTime")
    last = event.get("lastTimestamp") or series or event.get("eventTime") or event["metadata"]["creationTimestamp"]
    return datetime.fromisoformat(last)
