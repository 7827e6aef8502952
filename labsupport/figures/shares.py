"""The figures of the chapter on SRV: drawn against expected shares, and outage against the time to live."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from labsupport.domain_names.srv import Srv
from labsupport.figures.drawing import BLUE, ORANGE, VERMILION, Picture, new_figure


def shares_figure(counted: Mapping[Srv, int], title: str = "") -> Picture:
    """Bars of the drawn and the expected share of each record, in percent.

    >>> shares_figure(srv.shares(srv.choose, records), "10,000 draws")
    """
    total = sum(counted.values())
    lowest = min(record.priority for record in counted)
    weights = sum(record.weight for record in counted if record.priority == lowest)
    expected = [100 * r.weight / weights if r.priority == lowest and weights else 0.0 for r in counted]
    drawn = [100 * count / total for count in counted.values()]
    figure = new_figure(7.5, 3.4)
    ax = figure.subplots()
    places = range(len(counted))
    ax.bar([p - 0.2 for p in places], expected, 0.38, label="expected", color="white", edgecolor=ORANGE, hatch="////")
    ax.bar([p + 0.2 for p in places], drawn, 0.38, label="drawn", color=BLUE)
    for place, value in zip(places, drawn, strict=True):
        ax.text(place + 0.2, value + 1, f"{value:.1f}", ha="center", fontsize=8)
    names = [f"{r.target.split('.')[0]}\npriority {r.priority}, weight {r.weight}" for r in counted]
    ax.set_xticks(list(places), names)
    ax.set_ylabel("share in percent")
    ax.set_ylim(0, max(*expected, *drawn) * 1.15 + 2)
    ax.legend(frameon=False)
    ax.spines[["top", "right"]].set_visible(False)
    if title:
        ax.set_title(title)
    told = ", ".join(f"{r.target.split('.')[0]} {value:.0f} percent" for r, value in zip(counted, drawn, strict=True))
    return Picture(figure, f"{title or 'Shares'}. Drawn: {told}; the expected shares stand beside them.")


def outage_figure(outages: Mapping[int, Sequence[float]], interval: float) -> Picture:
    """The outage of each client against the TTL, both in seconds, with the bound of TTL plus test interval.

    >>> outage_figure({5: [1.0, 4.5], 60: [3.0, 58.0]}, interval=2)
    """
    figure = new_figure(7.5, 3.6)
    ax = figure.subplots()
    for place, (ttl, seconds) in enumerate(outages.items()):
        ax.plot([place] * len(seconds), seconds, "o", color=BLUE, alpha=0.35, markersize=5)
        ax.plot([place - 0.25, place + 0.25], [sum(seconds) / len(seconds)] * 2, color=ORANGE, linewidth=3)
        ax.plot([place - 0.3, place + 0.3], [ttl + interval] * 2, color=VERMILION, linewidth=1.6, linestyle="--")
    ax.plot([], [], "o", color=BLUE, label="one client")
    ax.plot([], [], color=ORANGE, linewidth=3, label="mean")
    ax.plot([], [], color=VERMILION, linewidth=1.6, linestyle="--", label="TTL + test interval")
    ax.set_xticks(range(len(outages)), [str(ttl) for ttl in outages])
    ax.set_xlabel("TTL in seconds")
    ax.set_ylabel("outage in seconds")
    ax.set_ylim(bottom=0)
    ax.legend(frameon=False, loc="upper left")
    ax.spines[["top", "right"]].set_visible(False)
    told = "; ".join(f"TTL {ttl}: at most {max(s):.0f}, on average {sum(s) / len(s):.0f}" for ttl, s in outages.items())
    return Picture(figure, f"Outage of simulated clients against the TTL, in seconds. {told}.")
