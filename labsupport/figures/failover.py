"""What a failover looks like to those who write: the figures of chapter 05, drawn from recorded writes and events."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from matplotlib.patches import Patch

from labsupport.figures.drawing import BLACK, BLUE, GREY, ORANGE, SKY, VERMILION, YELLOW, Picture, new_figure
from labsupport.redis_cluster.writes import ACKNOWLEDGED, REFUSED, UNANSWERED, Writes

BIN = 0.1  # seconds
_PLAIN = {"facecolor": "white", "alpha": 0.8, "linewidth": 0, "pad": 1}  # behind a text that crosses a line
_LOOKS = {ACKNOWLEDGED: (BLUE, ""), REFUSED: (ORANGE, "////"), UNANSWERED: (VERMILION, "xxxx")}


def failover(writes: Writes, title: str) -> Picture:
    """Draw the writes of each 100 ms by their outcome; the moments marked with `Writes.mark` part the phases.

    >>> failover(writes, "The primary's pod is deleted")
    """
    outcomes, marks = writes.outcomes, sorted(writes.marks)
    end = max((w.known for w in outcomes), default=1.0) + BIN
    figure = new_figure(8.5, 3.6)
    ax = figure.subplots()
    below: Counter[int] = Counter()
    for outcome, (colour, hatch) in _LOOKS.items():
        heights = Counter(int(w.known / BIN) for w in outcomes if w.outcome == outcome)
        filled = sorted(heights)  # a bar of no height would still be drawn as a line
        ax.bar(
            [place * BIN for place in filled],
            [heights[place] for place in filled],
            BIN,
            [below[place] for place in filled],
            align="edge",
            color="white" if hatch else colour,
            edgecolor=colour if hatch else "white",
            linewidth=0.4,
            hatch=hatch,
            zorder=2,
        )
        below.update(heights)
    top = max([*below.values(), 8])
    edges = [seconds for seconds, _ in marks] + [end]
    for number, (seconds, text) in enumerate(marks):
        ax.axvline(seconds, color=BLACK, linewidth=1.2, linestyle="--", zorder=3)
        ax.axvspan(seconds, edges[number + 1], color=(SKY, YELLOW, GREY)[number % 3], alpha=0.2, linewidth=0, zorder=0)
        ax.text(
            seconds,
            top * (1.36 - 0.12 * (number % 4)),
            f" {number + 1} {text}",
            fontsize=9,
            va="top",
            zorder=4,
            bbox=_PLAIN,
        )
    ax.set_xlim(0, end)
    ax.set_ylim(0, top * 1.4)
    ax.set_xlabel("seconds since the load began")
    ax.set_ylabel("writes per 100 ms")
    ax.set_title(title, loc="left", fontsize=10, fontweight="bold")
    for side in ("top", "right"):
        ax.spines[side].set_visible(False)
    keys = [  # by hand: an outcome that did not occur has its place too
        Patch(facecolor="white" if hatch else colour, edgecolor=colour, hatch=hatch, label=outcome)
        for outcome, (colour, hatch) in _LOOKS.items()
    ]
    figure.legend(handles=keys, loc="outside lower center", ncols=3, frameon=False)
    told = ", then ".join(text for _, text in marks)
    return Picture(
        figure,
        f"{title}. Writes per 100 ms: acknowledged, then a gap in which they are refused or unanswered, "
        f"then acknowledged again. Marked: {told}.",
    )


def patience(points: Sequence[tuple[float, float]], title: str = "Patience and outage") -> Picture:
    """Draw how long nobody took writes against down-after-milliseconds: points of (setting in ms, outage in s).

    >>> patience([(500, 1.7), (1000, 2.3), (3000, 4.1)])
    """
    figure = new_figure(6.5, 3.6)
    ax = figure.subplots()
    settings = [ms / 1000 for ms, _ in points]
    ax.plot(settings, [s for _, s in points], color=BLUE, marker="o", linewidth=2, label="time without a primary")
    ax.plot([0, *settings], [0, *settings], color=GREY, linestyle="--", label="down-after-milliseconds itself")
    ax.set_xlim(0, max(settings) * 1.08)
    ax.set_ylim(0, max([*(s for _, s in points), *settings]) * 1.15)
    ax.set_xlabel("down-after-milliseconds, in seconds")
    ax.set_ylabel("seconds without a primary")
    ax.set_title(title, loc="left", fontsize=10, fontweight="bold")
    ax.grid(alpha=0.3)
    for side in ("top", "right"):
        ax.spines[side].set_visible(False)
    figure.legend(loc="outside lower center", ncols=2, frameon=False)
    return Picture(
        figure,
        f"{title}. A curve of {len(points)} points: the longer the voters wait, the longer nobody takes writes. "
        "A dashed line shows the waiting alone.",
    )
