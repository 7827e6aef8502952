"""The figures of the chapter on redirects: the map of the slots, and redirects per 1,000 commands."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import groupby

from matplotlib.axes import Axes
from matplotlib.patches import Patch

from labsupport.figures.drawing import BLACK, BLUE, ORANGE, SKY, VERMILION, Picture, new_figure
from labsupport.redis_cluster.slots import SLOTS

_LOOKS = ((SKY, ""), (BLUE, "//"), (ORANGE, ".."))
_BESIDE = 4  # slots that the close-up shows on each side


def slot_map(maps: Mapping[str, Mapping[int, str]], slot: int, title: str = "") -> Picture:
    """Who serves which slot, a row for each map, with a close-up of the neighbourhood of one slot.

    >>> slot_map({"before": owners_before, "after": owners_after}, 5798)
    """
    names = sorted({owner for owned in maps.values() for owner in owned.values()})
    looks = {name: _LOOKS[place % len(_LOOKS)] for place, name in enumerate(names)}
    figure = new_figure(9.5, 1.5 + 0.75 * len(maps))
    whole, close = figure.subplots(1, 2, width_ratios=(1.25, 1))
    low, high = max(0, slot - _BESIDE), min(SLOTS - 1, slot + _BESIDE)
    for row, owned in enumerate(maps.values()):
        for owner, first, last in _runs(owned):
            _bar(whole, row, first, last + 1, looks[owner])
        for number in range(low, high + 1):
            _bar(close, row, number - 0.5, number + 0.5, looks[owned[number]])
        whole.plot([slot, slot], [row - 0.36, row + 0.36], color=VERMILION, linewidth=1.6)
        close.plot(
            [slot - 0.5, slot + 0.5, slot + 0.5, slot - 0.5, slot - 0.5],
            [row - 0.32, row - 0.32, row + 0.32, row + 0.32, row - 0.32],
            color=VERMILION,
            linewidth=2.4,
        )
    whole.set_xlim(0, SLOTS)
    whole.set_xticks([0, 4096, 8192, 12288, SLOTS], ["0", "4096", "8192", "12288", "16383"])
    whole.set_xlabel("slot")
    close.set_xlim(low - 0.6, high + 0.6)
    close.set_xticks(range(low, high + 1, 2))
    close.set_xlabel(f"slots beside {slot}")
    for ax in (whole, close):
        ax.set_ylim(len(maps) - 0.5, -0.5)
        ax.set_yticks(range(len(maps)), list(maps) if ax is whole else [""] * len(maps))
        ax.tick_params(axis="y", length=0)
        ax.spines[["top", "right", "left"]].set_visible(False)
    patches = [
        Patch(facecolor=colour, edgecolor="white", hatch=hatch, label=name) for name, (colour, hatch) in looks.items()
    ]
    mark = Patch(facecolor="white", edgecolor=VERMILION, linewidth=2, label=f"slot {slot}")
    figure.legend(handles=[*patches, mark], loc="outside lower center", ncols=4, frameon=False, fontsize=9)
    if title:
        figure.suptitle(title)
    told = "; ".join(f"{when}: {owned[slot]}" for when, owned in maps.items())
    return Picture(figure, f"{title or 'Slot map'}. The owner of slot {slot}, {told}. Its neighbours stay.")


def redirect_bars(counted: Mapping[str, int], title: str = "") -> Picture:
    """Bars of the redirects per 1,000 commands, a bar for each kind of client.

    >>> redirect_bars({"no map": 667, "whole map": 1})
    """
    figure = new_figure(7.5, 1.2 + 0.55 * len(counted))
    ax = figure.subplots()
    for row, redirects in enumerate(counted.values()):
        colour, hatch = _LOOKS[row % len(_LOOKS)]
        ax.barh(row, redirects, height=0.6, facecolor=colour, edgecolor=BLACK, linewidth=0.6, hatch=hatch)
        ax.text(redirects + 12, row, str(redirects), va="center", fontsize=9)
    ax.set_yticks(range(len(counted)), list(counted))
    ax.set_ylim(len(counted) - 0.5, -0.5)
    ax.set_xlim(0, 1000)
    ax.set_xlabel("redirects per 1,000 commands")
    ax.tick_params(axis="y", length=0)
    ax.spines[["top", "right"]].set_visible(False)
    if title:
        ax.set_title(title)
    told = ", ".join(f"{client}: {redirects}" for client, redirects in counted.items())
    return Picture(figure, f"{title or 'Redirects per 1,000 commands'}. {told}.")


def _runs(owned: Mapping[int, str]) -> list[tuple[str, int, int]]:
    """Stretches of slots with one owner: owner, first and last slot."""
    found = []
    for owner, run in groupby(sorted(owned), owned.__getitem__):
        numbers = list(run)
        found.append((owner, numbers[0], numbers[-1]))
    return found


def _bar(ax: Axes, row: int, left: float, right: float, look: tuple[str, str]) -> None:
    colour, hatch = look
    ax.barh(row, right - left, left=left, height=0.6, facecolor=colour, edgecolor="white", hatch=hatch, linewidth=0.5)
