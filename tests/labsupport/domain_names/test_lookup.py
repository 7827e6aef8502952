"""Waiting for a name: asked again until it is there, and not for ever."""

from __future__ import annotations

import pytest

from labsupport.domain_names import lookup
from labsupport.domain_names.lookup import Answer, LookupFailed, wait_for_name

GONE = Answer("web.", "A", "NXDOMAIN", (), None)
THERE = Answer("web.", "A", "NOERROR", ("192.0.2.1",), 30)


def test_a_name_is_asked_for_until_it_has_records(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = iter([GONE, GONE, THERE])
    monkeypatch.setattr(lookup, "lookup", lambda name, type: next(answers))
    monkeypatch.setattr(lookup.time, "sleep", lambda seconds: None)
    assert wait_for_name("web") is THERE


def test_a_name_that_never_comes_is_given_up_with_the_last_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lookup, "lookup", lambda name, type: GONE)
    with pytest.raises(LookupFailed, match="still NXDOMAIN after"):
        wait_for_name("web", timeout=0.1)
