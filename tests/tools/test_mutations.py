"""The mutations: each applies, and one that nothing catches is told."""

from __future__ import annotations

import filecmp
import sys
import tomllib
from pathlib import Path

import pytest

from labsupport.chapter.checks import exercises
from tools import mutated_answers, mutations
from tools.chapters import ROOT
from tools.mutation_list import FORM, MUTATIONS, Mutation, make_specimen


@pytest.fixture(scope="module")
def course(tmp_path_factory: pytest.TempPathFactory) -> Path:
    copy = mutations.scratch_copy(tmp_path_factory.mktemp("mutations"))
    make_specimen(copy)
    return copy


def test_there_are_many_with_names_of_their_own() -> None:
    assert len(MUTATIONS) >= 20
    assert len({mutation.name for mutation in MUTATIONS}) == len(MUTATIONS)


def test_a_copy_has_what_the_course_is_and_nothing_else(course: Path) -> None:
    assert filecmp.cmp(ROOT / "conftest.py", course / "conftest.py", shallow=False)
    assert not (course / ".git").exists() and not (course / ".venv").exists()


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.name)
def test_every_mutation_changes_something(mutation: Mutation, course: Path) -> None:
    kept = {file: file.read_bytes() for file in course.rglob("*") if file.is_file()}
    try:
        mutation.change(course)
        now = {file: file.read_bytes() for file in course.rglob("*") if file.is_file()}
        assert now != kept
    finally:
        for file in course.rglob("*"):
            if file.is_file() and file not in kept:
                file.unlink()
        for file, content in kept.items():
            if not file.exists() or file.read_bytes() != content:
                file.write_bytes(content)


# Instead of pytest, a check that is quicker: it fails where the notebook of chapter 02 is stripped.
LOOK = """
from pathlib import Path
(notebook,) = Path("notebooks").glob("02_*.ipynb")
if '"execution_count": null' in notebook.read_text():
    raise SystemExit("FAILED test_look - stripped")
"""


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    stripped = next(mutation for mutation in MUTATIONS if mutation.name == "a notebook is stripped")
    monkeypatch.setattr(mutations, "PYTEST", [sys.executable])
    monkeypatch.setattr(mutations, "CHECKS", {FORM: ["-c", LOOK]})
    monkeypatch.setattr(mutations, "MUTATIONS", (stripped, Mutation("nothing is stripped", FORM, lambda course: None)))


@pytest.mark.usefixtures("quick")
def test_a_mutation_is_caught_and_one_that_changes_nothing_is_not(capsys: pytest.CaptureFixture[str]) -> None:
    assert mutations.main(["is stripped"]) == 1
    caught, missed, total = capsys.readouterr().out.splitlines()
    assert caught.split() == ["yes", "a", "notebook", "is", "stripped", "test_look"]
    assert missed.split() == ["NO", "nothing", "is", "stripped", "nothing"]
    assert total == "1 of 2 mutations are caught"
    assert mutations.main(["a notebook is stripped"]) == 0


@pytest.mark.usefixtures("quick")
def test_a_check_that_fails_by_itself_catches_nothing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(mutations, "CHECKS", {FORM: ["-c", "raise SystemExit('broken')"]})
    assert mutations.main(["a notebook is stripped"]) == 1
    assert "fails without any mutation:\nbroken" in capsys.readouterr().out


def test_every_answer_is_changed_to_something_that_is_no_known_wrong_one() -> None:
    for file in sorted((ROOT / "notebooks" / "exercises").glob("*.toml")):
        for number in tomllib.loads(file.read_text()):
            new = tomllib.loads(mutated_answers.changed(file.read_text(), number))
            exercise = exercises()[number]
            answer = new.pop(number)["answer"]
            assert type(answer) is type(exercise["answer"]) and answer != exercise["answer"]
            wrong = [known["answer"] for known in exercise["wrong"]]
            assert answer not in wrong or isinstance(answer, bool), "of True and False there is only the other one"
            assert new == {n: e for n, e in tomllib.loads(file.read_text()).items() if n != number}


def test_every_exercise_has_a_test_that_derives_its_answer() -> None:
    derived = mutated_answers.derivations(ROOT)
    assert sorted(number for numbers in derived.values() for number in numbers) == sorted(exercises())
