"""How long tests and cells took, from the JUnit files that pytest writes (--junitxml)."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from pathlib import Path


def slowest(reports: Path, number: int) -> list[tuple[str, float]]:
    """The tests and cells of a directory's JUnit files that took longest, with their seconds."""
    taken: list[tuple[str, float]] = []
    for file in reports.glob("*.xml"):
        for case in ElementTree.parse(file).iter("testcase"):
            taken.append((f"{case.get('classname', '')}::{case.get('name', '')}", float(case.get("time", 0))))
    return sorted(taken, key=lambda entry: entry[1], reverse=True)[:number]
