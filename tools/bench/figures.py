"""Figures: what was measured, how they are printed, how they are written."""

from __future__ import annotations

import re
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

_COLOURS = re.compile(r"\x1b\[[0-9;]*m")


@dataclass(frozen=True)
class Figure:
    """One measured quantity: the samples of several runs."""

    name: str
    unit: str
    samples: Sequence[float]
    at_most: float | None = None  # the aim for the median, in the same unit

    @property
    def median(self) -> float:
        """The middle sample."""
        return statistics.median(self.samples)

    @property
    def missed(self) -> bool:
        """Whether there is an aim, and the median is above it."""
        return self.at_most is not None and self.median > self.at_most

    def __str__(self) -> str:
        return f"{self.name}: {number(self.median)} {self.unit}" + (" (misses its aim)" if self.missed else "")


@dataclass(frozen=True)
class Failure:
    """A measurement that did not come about, while others of its group may have."""

    name: str
    error: Exception

    def __str__(self) -> str:
        words = _COLOURS.sub("", str(self.error)).strip().splitlines() or [""]
        return f"{self.name}: {type(self.error).__name__}: {words[-1][:300]}"


@dataclass(frozen=True)
class Row:
    """A figure of the embedded cluster and, where it was measured there too, of the given one."""

    group: str
    embedded: Figure
    given: Figure | None = None

    @property
    def ratio(self) -> float | None:
        """How many times the embedded cluster's median the given one's is."""
        return self.given.median / self.embedded.median if self.given and self.embedded.median else None

    def to_json(self) -> dict[str, Any]:
        """As it stands in bench.json."""
        figure = self.embedded
        told: dict[str, Any] = {"group": self.group, "name": figure.name, "unit": figure.unit, "aim": figure.at_most}
        told |= _numbers(figure)
        if self.given:
            told |= {"given": _numbers(self.given), "ratio": self.ratio}
        return told


def _numbers(figure: Figure) -> dict[str, Any]:
    samples = [float(f"{sample:.6g}") for sample in figure.samples]
    return {"median": statistics.median(samples), "min": min(samples), "max": max(samples), "samples": samples}


def number(value: float) -> str:
    """Three digits that matter."""
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"


def table(rows: Iterable[Row]) -> str:
    """The rows as text; the columns of the given cluster only where there is one."""
    rows = list(rows)
    compared = any(row.given for row in rows)
    lines = [["figure", "unit", "median", "min–max", "aim"] + (["given cluster", "given/embedded"] if compared else [])]
    for row in rows:
        figure = row.embedded
        aim = "" if figure.at_most is None else f"≤ {figure.at_most:g}" + (" missed" if figure.missed else "")
        spread = f"{number(min(figure.samples))}–{number(max(figure.samples))}"
        line = [figure.name, figure.unit, number(figure.median), spread, aim]
        if compared:
            line += [number(row.given.median), f"{number(row.ratio or 0)} ×"] if row.given else ["", ""]
        lines.append(line)
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    lines.insert(1, ["─" * width for width in widths])
    return "\n".join("  ".join(cell.ljust(w) for cell, w in zip(line, widths, strict=True)).rstrip() for line in lines)
