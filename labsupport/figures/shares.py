"""How often each SRV record was chosen, against the share that its weight promises."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from labsupport.domain_names.srv import Srv
from labsupport.figures.drawing import BLUE, ORANGE, Look, Picture, keep_spines, legend_below, new_figure

EXPECTED, DRAWN = Look("white", ORANGE, "////"), Look(BLUE, BLUE)


@dataclass(frozen=True)
class Share:
    """A record: the first label of its target, priority and weight, and its expected and drawn share in percent."""

    name: str
    priority: int
    weight: int
    expected: float
    drawn: float


def draw(counted: Mapping[Srv, int], title: str = "") -> Picture:
    """Bars of the drawn and the expected share of each record, in percent.

    >>> shares.draw(srv.shares(srv.choose, records), "10,000 draws")
    """
    shares = shares_of(counted)
    figure = new_figure(7.5, 3.6, title)
    ax = figure.subplots()
    for offset, look, heights in (
        (-0.2, EXPECTED, [share.expected for share in shares]),
        (0.2, DRAWN, [share.drawn for share in shares]),
    ):
        places = [place + offset for place, height in enumerate(heights) if height]
        tall = [height for height in heights if height]  # a bar of no height would still be drawn as a line
        ax.bar(places, tall, 0.38, color=look.face, edgecolor=look.edge, hatch=look.hatch)
    for place, share in enumerate(shares):
        ax.text(place + 0.2, share.drawn + 1, f"{share.drawn:.1f}", ha="center", fontsize=8)
    names = [f"{share.name}\npriority {share.priority}\nweight {share.weight}" for share in shares]
    ax.set_xticks(range(len(shares)), names, fontsize=9)
    ax.set_xlim(-0.6, len(shares) - 0.4)
    ax.set_ylabel("share in percent")
    ax.set_ylim(0, max(max(share.expected, share.drawn) for share in shares) * 1.15 + 2)
    keep_spines(ax, "left", "bottom")
    legend_below(figure, [EXPECTED.patch("expected"), DRAWN.patch("drawn")])
    return Picture(figure, alt_text(shares, title))


def shares_of(counted: Mapping[Srv, int]) -> list[Share]:
    """The records with their shares: only those of the lowest priority are expected, by weight (RFC 2782)."""
    total = sum(counted.values())
    lowest = min(record.priority for record in counted)
    weights = sum(record.weight for record in counted if record.priority == lowest)
    return [
        Share(
            record.target.split(".")[0],
            record.priority,
            record.weight,
            100 * record.weight / weights if record.priority == lowest and weights else 0.0,
            100 * count / total,
        )
        for record, count in counted.items()
    ]


def alt_text(shares: list[Share], title: str = "") -> str:
    """The drawn shares in words."""
    drawn = ", ".join(f"{share.name} {share.drawn:.0f} percent" for share in shares)
    return f"{title or 'Shares'}. Drawn: {drawn}; the expected shares stand beside them."
