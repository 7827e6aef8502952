"""What the cluster says about an object: its events, as `kubectl describe` lists them."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

from kubernetes import watch as client_watch

from labsupport.cluster import api, scope
from labsupport.errors import LabError


class NoSuchEvent(LabError):
    """The event did not come; the message lists the reasons of those that did."""


def event(reference: str, reason: str, *, timeout: float = 60) -> str:
    """The message of the newest event with that reason about `kind/name`; waits for the first one.

    Events are written a little after the fact, and by several components. `timeout` is in seconds. Raises
    NoSuchEvent.

    >>> event("pvc/data-db-0", "ProvisioningFailed")
    'storageclass.storage.k8s.io "fast" not found'
    """
    resource, name = api.split_reference(reference)
    about = f"involvedObject.kind={resource.kind},involvedObject.name={name}"
    seen: set[str] = set()
    deadline = time.monotonic() + timeout
    while (left := deadline - time.monotonic()) > 0:
        listed = api.core().list_namespaced_event(scope.namespace(), field_selector=about)
        if found := [item for item in listed.items if item.reason == reason]:
            return str(max(found, key=_time).message)
        seen.update(str(item.reason) for item in listed.items)
        for item in _coming(about, listed.metadata.resource_version, left):
            seen.add(str(item.reason))
            if item.reason == reason:
                return str(item.message)
    raise NoSuchEvent(
        f"no event {reason} about {reference} within {timeout:g} s; "
        f"there were {', '.join(sorted(seen)) or 'none at all'}. Try `kubectl describe {reference}`."
    )


def _coming(about: str, version: str, seconds: float) -> Iterator[Any]:
    """The events from now on, for so many seconds at most; ends early when `version` has become too old."""
    watcher = client_watch.Watch()
    try:
        for change in watcher.stream(
            api.core().list_namespaced_event,
            scope.namespace(),
            field_selector=about,
            resource_version=version,
            timeout_seconds=max(1, round(seconds)),
        ):
            yield change["object"]
    except api.ApiException as error:
        if error.status != 410:
            raise
    finally:
        watcher.stop()


def _time(item: Any) -> float:
    """When an event was last seen: of the classic API, or of the newer one, which fills other fields."""
    series = item.series.last_observed_time if item.series else None
    last = item.last_timestamp or series or item.event_time or item.metadata.creation_timestamp
    return float(last.timestamp())
