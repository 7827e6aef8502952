"""Asking again: with growing pauses, not for ever, and with the last answer told. The time is played."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from labsupport.cluster import asking
from labsupport.cluster.asking import NotInTime, until, wait_until
from tests.labsupport.fake_time import FakeTime


@pytest.fixture
def time(monkeypatch: pytest.MonkeyPatch) -> FakeTime:
    fake = FakeTime()
    monkeypatch.setattr(asking, "time", fake)
    return fake


def answering(*answers: Any) -> Callable[[], Any]:
    """A question with these answers in turn; an exception among them is raised."""
    rest = iter(answers)

    def ask() -> Any:
        answer = next(rest)
        if isinstance(answer, Exception):
            raise answer
        return answer

    return ask


def test_the_first_answer_that_is_enough_is_returned(time: FakeTime) -> None:
    assert until(answering(1, 2, 3, 4), lambda n: n > 2, what="it is more than 2") == 3
    assert len(time.pauses) == 2


def test_an_answer_that_is_enough_at_once_costs_no_pause(time: FakeTime) -> None:
    assert until(answering("yes"), what="it says yes", timeout=0) == "yes"
    assert time.pauses == []


def test_without_a_test_a_truthy_answer_is_enough(time: FakeTime) -> None:
    assert until(answering(None, 0, "", [], "there"), what="it is there") == "there"


def test_the_pauses_grow_up_to_the_longest(time: FakeTime) -> None:
    until(answering(*[False] * 9, True), what="it holds", longest_pause=0.3)
    assert time.pauses == pytest.approx([0.05, 0.075, 0.1125, 0.16875, 0.253125, 0.3, 0.3, 0.3, 0.3])


def test_it_ends_at_the_timeout_after_a_last_question(time: FakeTime) -> None:
    asked: list[float] = []

    def ask() -> None:
        asked.append(time.now)

    with pytest.raises(NotInTime):
        until(ask, what="it comes", timeout=10)
    assert (asked[0], asked[-1]) == (1000, 1010)
    assert sum(time.pauses) == pytest.approx(10)


def test_what_did_not_come_the_last_answer_and_what_to_look_at_are_told(time: FakeTime) -> None:
    with pytest.raises(NotInTime) as raised:
        until(lambda: 3, lambda n: n > 3, what="there are four", timeout=2, advice="Look at: lab.get('pods')")
    assert str(raised.value) == (
        "still waiting after 2 s until there are four. The last answer: 3. Look at: lab.get('pods')"
    )
    assert raised.value.last == 3


def test_of_a_test_that_failed_and_of_a_long_answer_little_is_told(time: FakeTime) -> None:
    with pytest.raises(NotInTime, match=r"until it holds\. Look at: !kubectl"):
        until(lambda: False, what="it holds")
    with pytest.raises(NotInTime) as raised:
        until(lambda: "x" * 10_000, len_is_zero, what="it is empty")
    assert len(str(raised.value)) < 500


def len_is_zero(text: str) -> bool:
    return not text


def test_an_exception_that_is_expected_means_not_yet(time: FakeTime) -> None:
    assert until(answering(OSError("refused"), "up"), what="it is up", not_yet=(OSError,)) == "up"
    refused = ConnectionError("refused")
    with pytest.raises(NotInTime, match=r"The last answer: ConnectionError\('refused'\)") as raised:
        until(answering(*[refused] * 99), what="it is up", timeout=5, not_yet=(OSError,))
    assert raised.value.last is refused


def test_any_other_exception_ends_the_wait(time: FakeTime) -> None:
    with pytest.raises(KeyError):
        until(answering(KeyError("name"), "up"), what="it is up", not_yet=(OSError,))


def test_an_exception_of_the_test_itself_is_an_error(time: FakeTime) -> None:
    with pytest.raises(ZeroDivisionError):
        until(answering(0, 1), lambda n: 1 // n > 0, what="it is 1", not_yet=(ArithmeticError,))


def test_waiting_for_a_yes_returns_nothing_to_show(time: FakeTime) -> None:
    assert wait_until(answering(False, True), "it holds") is None
    with pytest.raises(NotInTime, match=r"after 5 s until it holds\."):
        wait_until(lambda: False, "it holds", timeout=5)
