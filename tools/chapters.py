"""Which notebooks are meant: `05`, `5` and `notebooks/05_primary_secondary_arbiter.ipynb` are all chapter 05."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
NOTEBOOKS = ROOT / "notebooks"


class NoSuchChapter(Exception):
    """A word that is neither a chapter's number nor a notebook's path; the message names those that there are."""


def files(words: Iterable[str]) -> list[Path]:
    """The notebooks that the words name, without doubles; without words, all. Raises NoSuchChapter."""
    everything = sorted(NOTEBOOKS.glob("[0-9][0-9]_*.ipynb"))
    chosen: dict[Path, None] = {}
    for word in words:
        path = Path(word).resolve()
        named = [file for file in everything if path == file or (word.isdigit() and file.name[:2] == word.zfill(2))]
        if not named:
            numbers = ", ".join(file.name[:2] for file in everything)
            raise NoSuchChapter(f"there is no chapter {word}. There are: {numbers}.")
        chosen |= dict.fromkeys(named)
    return list(chosen) or everything
