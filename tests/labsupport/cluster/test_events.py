"""Events about an object: the newest of a reason, waited for, and the others named when it does not come."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from labsupport.cluster import api
from labsupport.cluster.events import NoSuchEvent, event
from labsupport.errors import Refused
from tests.labsupport.cluster.fake_api import FakeApi


@pytest.fixture
def events(server: FakeApi, monkeypatch: pytest.MonkeyPatch) -> FakeApi:
    server.kind = "Event"
    monkeypatch.setattr(api, "split_reference", lambda reference: (api.resource("pods"), "web-0"))
    return server


def happened(server: FakeApi, reason: str, message: str, second: int, **times: Any) -> None:
    when = times or {"lastTimestamp": f"2030-01-01T00:00:{second:02}Z"}
    server.put(f"{reason}-{message}", reason=reason, message=message, **when)


def test_the_newest_of_that_reason_about_that_object(events: FakeApi) -> None:
    happened(events, "Failed", "old", 1)
    happened(events, "Failed", "new", 3)
    happened(events, "Pulled", "other", 4)
    assert event("pod/web-0", "Failed") == "new"
    (path, query) = events.requests[0]
    assert path == "/api/v1/namespaces/chapter-01/events"
    assert query == {"fieldSelector": "involvedObject.kind=Event,involvedObject.name=web-0"}


def test_the_newest_is_found_among_those_of_both_apis(events: FakeApi) -> None:
    happened(events, "Failed", "classic", 3)
    happened(events, "Failed", "newer", 0, eventTime="2030-01-01T00:00:03.500000Z", lastTimestamp=None)
    happened(events, "Failed", "first of a series", 0, series={"lastObservedTime": "2030-01-01T00:00:02.000000Z"})
    assert event("pod/web-0", "Failed") == "newer"


def test_an_event_that_is_not_there_yet_is_waited_for(events: FakeApi) -> None:
    happened(events, "Pulled", "", 1)

    def later() -> None:
        events.await_watches(1)
        happened(events, "Started", "", 2)
        happened(events, "Failed", "at last", 3)

    thread = threading.Thread(target=later)
    thread.start()
    assert event("pod/web-0", "Failed") == "at last"
    thread.join()


def test_one_that_never_comes_is_given_up_and_the_others_are_named(events: FakeApi) -> None:
    happened(events, "Pulled", "", 1)
    happened(events, "Started", "", 2)
    with pytest.raises(NoSuchEvent, match=r"no event Failed about pod/web-0 within 0.05 s; there were Pulled, Started"):
        event("pod/web-0", "Failed", timeout=0.05)


def test_without_any_event_that_is_said(events: FakeApi) -> None:
    with pytest.raises(NoSuchEvent, match="there were none at all"):
        event("pod/web-0", "Failed", timeout=0.05)


def test_who_may_not_look_at_events_is_told(events: FakeApi) -> None:
    events.refuse = 403
    with pytest.raises(Refused, match="not for you"):
        event("pod/web-0", "Failed")
