"""What a failover looks like to those who write: writes by outcome over time, from the recorded writes and events."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from labsupport.figures.drawing import (
    BLACK,
    BLUE,
    GREY,
    ORANGE,
    PAPER,
    SKY,
    VERMILION,
    YELLOW,
    Look,
    Picture,
    keep_spines,
    legend_below,
    new_figure,
    text_width,
)
from labsupport.redis_cluster.writes import ACKNOWLEDGED, REFUSED, UNANSWERED, Write, Writes

BIN = 0.1  # seconds
LOOKS = {
    ACKNOWLEDGED: Look(BLUE, "white", width=0.4),
    REFUSED: Look("white", ORANGE, "////", width=0.4),
    UNANSWERED: Look("white", VERMILION, "xxxx", width=0.4),
}
_BACKGROUNDS = (SKY, YELLOW, GREY)
_LEAST_TOP = 8  # writes; the axis shows so many at least
_AXIS = 7.6  # inches that the axis of seconds is long, at least


@dataclass(frozen=True)
class Column:
    """The writes of one outcome in one BIN: when it begins, on how many others it stands, and how many they are."""

    begin: float
    base: int
    height: int
    outcome: str


@dataclass(frozen=True)
class Phase:
    """The time from one mark to the next, in seconds, and how high its text stands, in writes."""

    begin: float
    end: float
    text: str
    level: float


@dataclass(frozen=True)
class Chart:
    """What the figure shows; the axes end at `end` seconds and `top` writes."""

    columns: tuple[Column, ...]
    phases: tuple[Phase, ...]
    end: float
    top: float


def draw(writes: Writes, title: str) -> Picture:
    """Draw the writes of each 100 ms by their outcome; the moments marked with `Writes.mark` part the phases.

    >>> failover.draw(writes, "The primary's pod is deleted")
    """
    shown = chart(writes.outcomes, writes.marks)
    figure = new_figure(8.5, 3.6, title)
    ax = figure.subplots()
    for outcome, look in LOOKS.items():
        columns = [column for column in shown.columns if column.outcome == outcome]
        ax.bar(
            [column.begin for column in columns],
            [column.height for column in columns],
            BIN,
            [column.base for column in columns],
            align="edge",
            color=look.face,
            edgecolor=look.edge,
            hatch=look.hatch,
            linewidth=look.width,
            zorder=2,
        )
    for number, phase in enumerate(shown.phases):
        background = _BACKGROUNDS[number % len(_BACKGROUNDS)]
        ax.axvspan(phase.begin, phase.end, color=background, alpha=0.2, linewidth=0, zorder=0)
        ax.vlines(phase.begin, 0, phase.level, color=BLACK, linewidth=1.2, linestyle="--", zorder=3)
        ax.text(phase.begin, phase.level, phase.text, fontsize=9, va="center", zorder=4, bbox=PAPER)
    ax.set_xlim(0, shown.end)
    ax.set_ylim(0, shown.top)
    ax.set_xlabel("seconds since the load began")
    ax.set_ylabel("writes per 100 ms")
    keep_spines(ax, "left", "bottom")
    legend_below(figure, [look.patch(outcome) for outcome, look in LOOKS.items()])
    return Picture(figure, alt_text(writes.marks, title))


def chart(outcomes: Sequence[Write], marks: Sequence[tuple[float, str]]) -> Chart:
    """The writes in columns, one outcome on the other, and the phases between the marks (second, text).

    The first phase's text is the highest. A phase's line ends at its text, so that it crosses no other text.
    """
    columns: list[Column] = []
    below: Counter[int] = Counter()
    for outcome in LOOKS:
        heights = Counter(int(write.known / BIN) for write in outcomes if write.outcome == outcome)
        columns += [Column(place * BIN, below[place], heights[place], outcome) for place in sorted(heights)]
        below.update(heights)
    most = max([*below.values(), _LEAST_TOP])
    texts = [(begin, f"{number} {text}") for number, (begin, text) in enumerate(sorted(marks), 1)]
    # A text needs a share of the axis, however many seconds that are: the axis grows until each has its own.
    ends = [begin / max(0.1, 1 - text_width(text, 9) / _AXIS) for begin, text in texts]
    end = max([BIN, *(write.known + BIN for write in outcomes), *ends])
    begins = [*(begin for begin, _ in texts), end]
    phases = [
        Phase(begin, begins[number + 1], text, most * (1.1 + 0.11 * (len(texts) - 1 - number)))
        for number, (begin, text) in enumerate(texts)
    ]
    return Chart(tuple(columns), tuple(phases), end, most * (1.1 + 0.11 * max(1, len(texts))))


def alt_text(marks: Sequence[tuple[float, str]], title: str) -> str:
    """What the figure says, in words that do not change with the times."""
    return (
        f"{title}. Writes per 100 ms: acknowledged, then a gap in which they are refused or unanswered, "
        f"then acknowledged again. Marked: {', then '.join(text for _, text in sorted(marks))}."
    )
