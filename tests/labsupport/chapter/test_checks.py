"""Each exercise: TODO untouched, PASS with its answer, TRY AGAIN with a reason for what is wrong."""

from __future__ import annotations

from typing import Any

import pytest

from labsupport.chapter.checks import check, exercises, hint

ALL = sorted(exercises().items())
WRONG = [(number, wrong) for number, exercise in ALL for wrong in exercise.get("wrong", ())]
NUMBERS = [number for number, _ in ALL]


def said(capsys: pytest.CaptureFixture[str], number: str, answer: object) -> str:
    check(number, answer)
    return capsys.readouterr().out.strip()


@pytest.mark.parametrize("number", NUMBERS)
def test_the_untouched_exercise_says_todo(number: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert said(capsys, number, ...) == f"{number} TODO: {exercises()[number]['question']}"


@pytest.mark.parametrize(("number", "exercise"), ALL, ids=NUMBERS)
def test_the_answer_passes(number: str, exercise: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    assert said(capsys, number, exercise["answer"]) == f"{number} PASS: {exercise['because']}"


@pytest.mark.parametrize(("number", "wrong"), WRONG, ids=[f"{n}={w['answer']}" for n, w in WRONG])
def test_a_known_wrong_answer_is_told_why(
    number: str, wrong: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    text = said(capsys, number, wrong["answer"])
    assert text.startswith(f"{number} TRY AGAIN: ") and wrong["because"] in text


@pytest.mark.parametrize(("number", "exercise"), ALL, ids=NUMBERS)
@pytest.mark.parametrize("strange", [None, object(), 10**9, "?", [], {}, {"a": 1}, float("nan"), [[1]], b"x", int])
def test_nothing_a_learner_may_say_raises(
    number: str, exercise: dict[str, Any], strange: object, capsys: pytest.CaptureFixture[str]
) -> None:
    if strange == exercise["answer"]:
        pytest.skip("this is the answer")
    assert said(capsys, number, strange).startswith(f"{number} TRY AGAIN: ")


@pytest.mark.parametrize(("number", "exercise"), ALL, ids=NUMBERS)
def test_every_exercise_has_hints_in_stages_and_known_wrong_answers(number: str, exercise: dict[str, Any]) -> None:
    assert len(exercise["hints"]) >= 2
    assert exercise.get("wrong"), f"{number} explains no wrong answer"
    assert set(exercise) <= {"question", "answer", "because", "hints", "wrong", "any_order"}


def test_hints_are_counted(capsys: pytest.CaptureFixture[str]) -> None:
    hint("1.1")
    assert capsys.readouterr().out.startswith("Hint 1 of 2: ")
    hint("1.1", 3)
    assert capsys.readouterr().out == "1.1 has 2 hints.\n"


def test_texts_are_compared_without_case_and_blanks(capsys: pytest.CaptureFixture[str]) -> None:
    assert "PASS" in said(capsys, "0.2", " nxdomain. ")


def test_any_order_and_sets_are_taken_where_order_does_not_matter(capsys: pytest.CaptureFixture[str]) -> None:
    assert "PASS" in said(capsys, "1.2", ["address", "uid"])
    assert "PASS" in said(capsys, "1.2", {"uid", "address"})
    assert "TRY AGAIN" in said(capsys, "1.1", ["db-1", "db-0", "db-2"])


def test_a_number_that_does_not_exist_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    assert "there is no exercise of that number" in said(capsys, "99.9", 1)
