"""How the cells of notebooks ended, read from the JUnit file of `pytest --nbval`."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass
from pathlib import Path

_STATES = {"failure": "failed", "error": "failed", "skipped": "skipped"}


@dataclass(frozen=True)
class CellResult:
    """One cell: its notebook, its name (`drain [16]`), its seconds, how it ended, and what a failure says."""

    notebook: str
    name: str
    seconds: float
    state: str  # passed, failed, skipped
    text: str


def read(junit: Path) -> list[CellResult]:
    """The cells in the order in which they ran."""
    results = []
    for case in ElementTree.parse(junit).iter("testcase"):
        ended = next((child for child in case if child.tag in _STATES), None)
        results.append(
            CellResult(
                notebook=case.get("classname", "").removesuffix(".ipynb").rpartition(".")[2],
                name=case.get("name", ""),
                seconds=float(case.get("time", 0)),
                state="passed" if ended is None else _STATES[ended.tag],
                text="" if ended is None else ended.text or ended.get("message", ""),
            )
        )
    return results


def by_notebook(results: list[CellResult]) -> dict[str, list[CellResult]]:
    """The same, under the names of their notebooks."""
    grouped: dict[str, list[CellResult]] = {}
    for result in results:
        grouped.setdefault(result.notebook, []).append(result)
    return grouped


def summary(results: list[CellResult]) -> str:
    """In a line: how many ended how, and how long all of them took."""
    counts = ((sum(r.state == state for r in results), state) for state in ("passed", "failed", "skipped"))
    told = ", ".join(f"{count} {state}" for count, state in counts if count or state == "passed")
    return f"{told}, {sum(r.seconds for r in results):.1f} s"
