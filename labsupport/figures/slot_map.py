"""The map of the hash slots: who serves which, at several times."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import groupby

from matplotlib.patches import Patch

from labsupport.figures.bars import Bar, draw_bars, name_rows
from labsupport.figures.drawing import BLUE, ORANGE, SKY, VERMILION, Look, Picture, legend_below, new_figure
from labsupport.redis_cluster.slots import SLOTS

Owners = Mapping[int, str]  # by slot
_COLOURS = ((SKY, ""), (BLUE, "//"), (ORANGE, ".."))
_BESIDE = 4  # slots that the close-up shows on each side


@dataclass(frozen=True)
class Chart:
    """The bars of the whole map and of the close-up, in slots; the looks by owner; the close-up's first and last."""

    whole: tuple[Bar, ...]
    close: tuple[Bar, ...]
    looks: dict[str, Look]
    low: int
    high: int


def draw(maps: Mapping[str, Owners], slot: int, title: str = "") -> Picture:
    """Who serves which slot, a row for each map, with a close-up of the neighbourhood of one slot.

    >>> slot_map.draw({"before": owners_before, "after": owners_after}, 5798)
    """
    shown = chart(maps, slot)
    figure = new_figure(9.5, 1.5 + 0.75 * len(maps), title)
    whole, close = figure.subplots(1, 2, width_ratios=(1.25, 1))
    draw_bars(whole, shown.whole)
    draw_bars(close, shown.close)
    for row in range(len(maps)):
        whole.plot([slot + 0.5] * 2, [row - 0.36, row + 0.36], color=VERMILION, linewidth=1.6)
        close.plot(
            [slot - 0.5, slot + 0.5, slot + 0.5, slot - 0.5, slot - 0.5],
            [row - 0.32, row - 0.32, row + 0.32, row + 0.32, row - 0.32],
            color=VERMILION,
            linewidth=2.4,
        )
    name_rows(whole, dict(enumerate(maps)), len(maps))
    name_rows(close, {}, len(maps))
    whole.set_xlim(0, SLOTS)
    whole.set_xticks([0, 4096, 8192, 12288, SLOTS], ["0", "4096", "8192", "12288", str(SLOTS - 1)])
    whole.set_xlabel("slot")
    close.set_xlim(shown.low - 0.6, shown.high + 0.6)
    close.set_xticks(range(shown.low, shown.high + 1, 2))
    close.set_xlabel(f"slots beside {slot}")
    patches = [look.patch(owner) for owner, look in shown.looks.items()]
    mark = Patch(facecolor="white", edgecolor=VERMILION, linewidth=2, label=f"slot {slot}")
    legend_below(figure, [*patches, mark])
    return Picture(figure, alt_text(maps, slot, title))


def chart(maps: Mapping[str, Owners], slot: int) -> Chart:
    """A row for each map. A bar of the whole map is a run of slots with one owner, one of the close-up a slot."""
    owners = sorted({owner for owned in maps.values() for owner in owned.values()})
    looks = {}
    for number, owner in enumerate(owners):
        colour, hatch = _COLOURS[number % len(_COLOURS)]
        looks[owner] = Look(colour, "white", hatch, width=0.5)
    low, high = max(0, slot - _BESIDE), min(SLOTS - 1, slot + _BESIDE)
    whole = [
        Bar(row, first, last + 1, looks[owner], 0.6)
        for row, owned in enumerate(maps.values())
        for owner, first, last in runs(owned)
    ]
    close = [
        Bar(row, number - 0.5, number + 0.5, looks[owned[number]], 0.6)
        for row, owned in enumerate(maps.values())
        for number in range(low, high + 1)
        if number in owned  # a slot that nobody serves is left white
    ]
    return Chart(tuple(whole), tuple(close), looks, low, high)


def runs(owned: Owners) -> list[tuple[str, int, int]]:
    """Stretches of slots that follow one another and have one owner: owner, first and last slot.

    >>> runs({0: "a", 1: "a", 2: "b", 4: "b"})
    [('a', 0, 1), ('b', 2, 2), ('b', 4, 4)]
    """
    stretches = []
    # Slots that follow one another and have one owner share the difference between slot and place.
    for (_, owner), run in groupby(enumerate(sorted(owned)), lambda item: (item[1] - item[0], owned[item[1]])):
        numbers = [slot for _, slot in run]
        stretches.append((owner, numbers[0], numbers[-1]))
    return stretches


def alt_text(maps: Mapping[str, Owners], slot: int, title: str = "") -> str:
    """The owner of the slot at each time, in words."""
    owner = "; ".join(f"{when}: {owned[slot]}" for when, owned in maps.items())
    return f"{title or 'Slot map'}. The owner of slot {slot}, {owner}. Its neighbours stay."
