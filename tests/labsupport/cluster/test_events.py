"""Events about an object: the newest of a reason, waited for, and the others named when it does not come."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from types import SimpleNamespace as Object
from typing import Any

import pytest

from labsupport.cluster import api, scope
from labsupport.cluster import events as event_log
from labsupport.cluster.events import NoSuchEvent, event


def happened(reason: str, message: str, second: int) -> Object:
    return Object(
        reason=reason,
        message=message,
        series=None,
        last_timestamp=datetime(2030, 1, 1, 0, 0, second, tzinfo=UTC),
        event_time=None,
        metadata=Object(creation_timestamp=None),
    )


class Events:
    """The events that are there, and those that the watch brings."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, there: list[Any], later: list[Any]) -> None:
        self.there, self.later, self.asked = there, later, ""
        monkeypatch.setattr(scope, "namespace", lambda: "chapter-03")
        monkeypatch.setattr(api, "split_reference", lambda reference: (Object(kind="Pod"), "web-0"))
        monkeypatch.setattr(api, "core", lambda: self)
        monkeypatch.setattr(event_log.client_watch, "Watch", lambda: self)

    def list_namespaced_event(self, space: str, field_selector: str) -> Object:
        self.asked = field_selector
        return Object(items=self.there, metadata=Object(resource_version="7"))

    def stream(self, *_: Any, **__: Any) -> Iterator[dict[str, Any]]:
        yield from ({"object": item} for item in self.later)

    def stop(self) -> None: ...


def test_the_newest_of_that_reason_about_that_object(monkeypatch: pytest.MonkeyPatch) -> None:
    events = [happened("Failed", "old", 1), happened("Failed", "new", 3), happened("Pulled", "other", 4)]
    log = Events(monkeypatch, events, [])
    assert event("pod/web-0", "Failed") == "new"
    assert log.asked == "involvedObject.kind=Pod,involvedObject.name=web-0"


def test_an_event_that_is_not_there_yet_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    Events(monkeypatch, [happened("Pulled", "", 1)], [happened("Started", "", 2), happened("Failed", "at last", 3)])
    assert event("pod/web-0", "Failed") == "at last"


def test_one_that_never_comes_is_given_up_and_the_others_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    Events(monkeypatch, [happened("Pulled", "", 1)], [happened("Started", "", 2)])
    with pytest.raises(NoSuchEvent, match="there were Pulled, Started"):
        event("pod/web-0", "Failed", timeout=0.05)
