"""Which notebooks are meant by what somebody types."""

from __future__ import annotations

import pytest

from tools.chapters import NOTEBOOKS, NoSuchChapter, files

ALL = sorted(NOTEBOOKS.glob("*.ipynb"))


def test_a_number_means_a_chapter_with_and_without_its_zero() -> None:
    assert [file.name[:2] for file in files(["05", "5", "11"])] == ["05", "11"]


def test_a_path_means_a_chapter() -> None:
    assert files([str(ALL[3])]) == [ALL[3]]


def test_without_words_all_are_meant() -> None:
    assert files([]) == ALL and len(ALL) > 10


@pytest.mark.parametrize("word", ["99", "five", "README.md", "notebooks/99_nothing.ipynb", ""])
def test_what_is_no_chapter_is_answered_with_those_that_are(word: str) -> None:
    with pytest.raises(NoSuchChapter, match=r"there is no chapter .*There are: 00, 01, .*, 11\."):
        files([word])
