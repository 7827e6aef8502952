"""The figure of what each way to a server costs: a dot for each measurement, a line at the median."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import median, quantiles

from labsupport.figures.drawing import BLUE, GREY, ORANGE, Picture, new_figure

Ways = Mapping[str, Sequence[float]]


def latency(groups: Mapping[str, Ways], title: str) -> Picture:
    """Draw milliseconds by way, a panel for each group of ways that were measured alike.

    The axis of a panel ends behind its longest 95th percentile; what lies beyond is not drawn.

    >>> latency({"from a pod": {"the pod itself": [0.1, 0.2], "a proxy": [0.3, 0.4]}}, "a GET by way")
    """
    figure = new_figure(8.6, 1.0 + sum(0.55 + 0.42 * len(ways) for ways in groups.values()))
    axes = figure.subplots(len(groups), 1, squeeze=False, height_ratios=[1 + len(w) for w in groups.values()])[:, 0]
    told = []
    for ax, (group, ways) in zip(axes, groups.items(), strict=True):
        end = 1.15 * max(quantiles(values, n=20)[-1] for values in ways.values())
        for place, (way, values) in enumerate(ways.items()):
            spread = [place + 0.16 * ((n % 5) - 2) / 2 for n in range(len(values))]
            ax.plot(list(values), spread, "o", color=BLUE, alpha=0.3, markersize=4)
            middle = median(values)
            ax.plot([middle] * 2, [place - 0.36, place + 0.36], color=ORANGE, linewidth=3)
            ax.text(end * 1.01, place, f"{middle:.2f} ms", va="center", fontsize=9)
            told.append(f"{group}, {way}: median {middle:.2f} ms")
        ax.set_xlim(0, end)
        ax.set_ylim(len(ways) - 0.5, -0.5)
        ax.set_yticks(range(len(ways)), list(ways), fontsize=9)
        ax.set_title(group, fontsize=9.5, loc="left")
        ax.grid(axis="x", color=GREY, alpha=0.3)
        ax.spines[["top", "right", "left"]].set_visible(False)
        ax.tick_params(axis="y", length=0)
    axes[-1].set_xlabel("milliseconds for a GET and its answer; orange: the median")
    figure.suptitle(title, fontsize=11)
    return Picture(figure, f"{title}. {'; '.join(told)}.")
