"""The mutations of the exercises' answers: each is changed to something that is no known wrong answer.

A test may derive several answers, and ends at the first that does not fit. So the answers are changed in rounds: in
the first that of which each test looks first, and so on.
"""

from __future__ import annotations

import ast
import itertools
import re
import subprocess
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

NAME = "the answer to exercise"
TESTS = ("tests/notebooks/test_answers.py", "tests/notebooks/test_answers_on_the_cluster.py")


def survivors(course: Path, pytest: Callable[..., subprocess.CompletedProcess[str]]) -> dict[str, str]:
    """For each exercise the test that fails when its answer is changed, or ""."""
    derived = derivations(course)
    found = dict.fromkeys(_exercises(course), "")
    originals = {file: file.read_text() for file in (course / "notebooks" / "exercises").glob("*.toml")}
    for number in itertools.count():
        round_ = {test: numbers[number] for test, numbers in derived.items() if len(numbers) > number}
        if not round_:
            return found
        for file, text in originals.items():
            for exercise in round_.values():
                text = changed(text, exercise)
            file.write_text(text)
        done = pytest("--maxfail=1000", "-rf", *round_)
        failed = set(re.findall(r"^FAILED (\S+)", done.stdout, re.MULTILINE))
        found |= {exercise: test for test, exercise in round_.items() if test in failed}


def derivations(course: Path) -> dict[str, list[str]]:
    """The exercises whose answers a test derives, in the order in which it looks at them; by the test's name."""
    found = {}
    for file in TESTS:
        for node in ast.parse((course / file).read_text()).body:
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
                numbers = re.findall(r"expect\('(\d+\.\d+)'", ast.unparse(node))
                if numbers:
                    found[f"{file}::{node.name}"] = numbers
    return found


def changed(text: str, exercise: str) -> str:
    """A file of exercises in which the answer to one is another; as it was where it has not that exercise."""
    entry = tomllib.loads(text).get(exercise)
    if entry is None:
        return text
    head, mark, rest = text.partition(f'["{exercise}"]\n')
    return (
        head + mark + re.sub(r"^answer = .*$", f"answer = {_toml(_other(entry['answer']))}", rest, count=1, flags=re.M)
    )


def _other(answer: Any) -> Any:
    """Something of the same type that is no known wrong answer."""
    if isinstance(answer, bool):
        return not answer
    if isinstance(answer, list):
        return [*answer, "one-more"]
    return answer + 1001 if isinstance(answer, int) else f"not {answer}"


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return "[" + ", ".join(map(_toml, value)) + "]" if isinstance(value, list) else repr(value).replace("'", '"')


def _exercises(course: Path) -> list[str]:
    files = sorted((course / "notebooks" / "exercises").glob("*.toml"))
    return [number for file in files for number in tomllib.loads(file.read_text())]
