"""Exercises: `check("1.1", answer)` says TODO, PASS or TRY AGAIN with the reason, and never raises.

The exercises are data, a file of `exercises/` for each chapter; a check compares the learner's answer with what is
expected and, for a wrong answer that is known, says what that answer would mean.
"""

from __future__ import annotations

import functools
import tomllib
from typing import Any

from labsupport import paths

_FOLDER = paths.course_root() / "notebooks" / "exercises"


def check(exercise: str, answer: object = ...) -> None:
    """Print whether the answer to an exercise is right. `...` is the answer of the untouched notebook.

    >>> check("1.1", ...)
    1.1 TODO: which pod is created first?
    """
    try:
        entry = _exercises().get(exercise)
        print(_verdict(exercise, entry, answer))
    except Exception as error:  # a check must never stop a notebook
        print(f"{exercise} TRY AGAIN: the check could not read the answer {answer!r} ({error})")


def hint(exercise: str, number: int = 1) -> None:
    """Print a hint of an exercise, the first one unless told.

    >>> hint("1.1")
    Hint 1 of 2: look at the order in which the pods became Ready. lab.hint('1.1', 2) says more.
    """
    hints = (_exercises().get(exercise) or {}).get("hints") or []
    if not 1 <= number <= len(hints):
        print(f"{exercise} has {len(hints)} hints.")
        return
    more = f" lab.hint({exercise!r}, {number + 1}) says more." if number < len(hints) else ""
    print(f"Hint {number} of {len(hints)}: {hints[number - 1]}{more}")


def exercises() -> dict[str, dict[str, Any]]:
    """All exercises by their number, for the tests of the notebooks."""
    return _exercises()


@functools.cache
def _exercises() -> dict[str, dict[str, Any]]:
    entries: dict[str, dict[str, Any]] = {}
    for file in sorted(_FOLDER.glob("*.toml")):
        entries |= tomllib.loads(file.read_text())
    return entries


def _verdict(exercise: str, entry: dict[str, Any] | None, answer: object) -> str:
    if entry is None:
        return f"{exercise} TRY AGAIN: there is no exercise of that number; there are {', '.join(_exercises())}."
    if answer is ...:
        return f"{exercise} TODO: {entry['question']}"
    if isinstance(answer, Exception):  # of a function that is the answer
        return f"{exercise} TRY AGAIN: it raised {type(answer).__name__}: {answer}. lab.hint({exercise!r}) helps."
    expected = entry["answer"]
    if entry.get("any_order") and isinstance(answer, (list, tuple)):
        answer = set(answer)
    if _same(answer, expected):
        return f"{exercise} PASS: {entry['because']}"
    for wrong in entry.get("wrong") or ():
        if _same(answer, wrong["answer"]):
            return f"{exercise} TRY AGAIN: you said {_shown(answer)}. {wrong['because']}"
    kind = _kind_of(expected)
    if _kind_of(answer) != kind:
        return f"{exercise} TRY AGAIN: expected {kind}, found {_kind_of(answer)}: {_shown(answer)}."
    return f"{exercise} TRY AGAIN: {_shown(answer)} is not it. lab.hint({exercise!r}) helps."


def _same(answer: object, expected: object) -> bool:
    """Equality that forgives case and blanks in texts, tuples for lists, and ignores order only in sets."""
    if isinstance(expected, str):
        return isinstance(answer, str) and _plain(answer) == _plain(expected)
    if isinstance(expected, bool) or isinstance(answer, bool):
        return type(answer) is type(expected) and answer == expected
    if isinstance(expected, list):
        if isinstance(answer, (set, frozenset)):
            return len(answer) == len(expected) and all(any(_same(a, e) for a in answer) for e in expected)
        if not isinstance(answer, (list, tuple)) or len(answer) != len(expected):
            return False
        return all(_same(a, e) for a, e in zip(answer, expected, strict=True))
    return bool(answer == expected)


def _plain(text: str) -> str:
    """A text without what does not matter: case, blanks, a full stop or quotes around it."""
    return " ".join(text.lower().split()).strip(" .\"'`")


def _shown(answer: object) -> str:
    text = repr(sorted(answer, key=str) if isinstance(answer, (set, frozenset)) else answer)
    return text if len(text) <= 60 else text[:57] + "..."


def _kind_of(value: object) -> str:
    for types, name in (
        (bool, "True or False"),
        ((int, float), "a number"),
        (str, "a text"),
        ((list, tuple, set, frozenset), "a list"),
    ):
        if isinstance(value, types):
            return name
    return "nothing (None)" if value is None else f"something else ({type(value).__name__})"
