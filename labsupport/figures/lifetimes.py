"""The lifetimes of claims and of the pods that mount them: which of the two outlives the other, from a recording."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from labsupport.cluster.recording import Moment, Recording
from labsupport.figures.drawing import BLACK, SKY, Picture, new_figure
from labsupport.figures.timeline import draw_life, legend_of_lives

_PALE = "#E3F1FA"
Lives = dict[str, list[Moment]]  # uid -> its moments, in order of time


@dataclass
class Claim:
    """A claim's name with what happened to it, and to the pods that mount it."""

    name: str
    lives: Lives = field(default_factory=dict)  # a name may be taken again by a new claim
    pods: dict[str, Lives] = field(default_factory=dict)  # by the pods' names


def lifetimes(recording: Recording, lanes: Mapping[str, str], title: str = "") -> Picture:
    """Draw the claims of a recording as pale bands, and on each the pods that mount it as bars.

    One lane for each entry of `lanes` (heading -> "kind/name" of the pods' controller). A band begins when the
    claim is made; it ends at a thick line when the claim is gone, or runs on. Time is in seconds since the recording
    began.

    >>> lifetimes(recording, {"StatefulSet": "statefulset/web", "ReplicaSet": "replicaset/cache"})
    """
    claims = {heading: claims_of(recording, owner) for heading, owner in lanes.items()}
    heights = [max(1, sum(_rows(claim) for claim in found)) for found in claims.values()]
    figure = new_figure(8.5, 1.3 + 0.24 * sum(heights) + 0.34 * len(lanes))
    axes: list[Axes] = list(
        figure.subplots(len(lanes), 1, sharex=True, squeeze=False, gridspec_kw={"height_ratios": heights})[:, 0]
    )
    end = max((m.seconds for m in recording.moments), default=1.0) * 1.03
    for ax, (heading, found) in zip(axes, claims.items(), strict=True):
        _draw_lane(ax, heading, found, end)
    axes[-1].set_xlabel("seconds since the recording began")
    if title:
        figure.suptitle(title)
    *states, pod_gone = legend_of_lives()
    for handle in states:
        handle.set_label(f"pod {handle.get_label()}")
    pod_gone.set_label("pod gone")
    figure.legend(
        handles=[
            Patch(facecolor=_PALE, edgecolor=SKY, label="claim"),
            Line2D([], [], color=BLACK, marker="|", markersize=12, markeredgewidth=4, linestyle="none",
                   label="claim gone"),
            *states,
            pod_gone,
        ],
        loc="outside lower center",
        ncols=6,
        frameon=False,
        fontsize=8.5,
        columnspacing=1.4,
    )  # fmt: skip
    return Picture(figure, _alt(title, claims))


def claims_of(recording: Recording, owner: str) -> list[Claim]:
    """The claims that the pods of that controller mount, in the order in which these pods appeared."""
    found: dict[str, Claim] = {}
    for moment in recording.moments:
        if moment.kind == "Pod" and moment.owner == owner:
            for name in moment.claims:
                lives = found.setdefault(name, Claim(name)).pods.setdefault(moment.name, {})
                lives.setdefault(moment.uid, []).append(moment)
    for moment in recording.moments:
        if moment.kind == "PersistentVolumeClaim" and moment.name in found:
            found[moment.name].lives.setdefault(moment.uid, []).append(moment)
    return list(found.values())


def _rows(claim: Claim) -> int:
    """One for each name of a pod that mounts it."""
    return len(claim.pods)


def _draw_lane(ax: Axes, heading: str, claims: list[Claim], end: float) -> None:
    top, ticks = 0, []
    for claim in claims:
        ticks.append(top + (_rows(claim) - 1) / 2)
        for moments in claim.lives.values():
            _draw_band(ax, top, _rows(claim), moments, end)
        for row, lives in enumerate(claim.pods.values()):
            for moments in lives.values():
                draw_life(ax, top + row, moments, end, height=0.42)
        top += _rows(claim)
    ax.set_yticks(ticks, [claim.name for claim in claims])
    ax.set_ylim(max(top, 1) - 0.4, -0.6)
    ax.set_xlim(0, end)
    ax.set_title(heading, loc="left", fontsize=10, fontweight="bold")
    for side in ("top", "right", "left"):
        ax.spines[side].set_visible(False)
    ax.tick_params(axis="y", length=0)


def _draw_band(ax: Axes, top: int, rows: int, moments: list[Moment], end: float) -> None:
    """The band of one claim, behind the rows of its pods."""
    first, last = moments[0], moments[-1]
    gone = last.what == "deleted"
    stop = last.seconds if gone else end * 1.1  # its open end lies beyond the edge
    middle, height = top + (rows - 1) / 2, rows - 0.18
    ax.barh(middle, stop - first.seconds, left=first.seconds, height=height, facecolor=_PALE, edgecolor=SKY, zorder=0.5)
    if gone:
        ax.vlines(stop, middle - height / 2, middle + height / 2, color=BLACK, linewidth=4)


def _alt(title: str, claims: Mapping[str, list[Claim]]) -> str:
    """What the figure says, in words that do not change from run to run."""
    told = "; ".join(f"{heading}: {_told(found)}" for heading, found in claims.items())
    return f"{title or 'Lifetimes'}. A band for each claim, and on it a bar for each pod that mounts it. {told}."


def _told(claims: list[Claim]) -> str:
    pods = sum(len(lives) for claim in claims for lives in claim.pods.values())
    made = sum(len(claim.lives) for claim in claims)
    gone = sum(moments[-1].what == "deleted" for claim in claims for moments in claim.lives.values())
    return f"{made} {'claim' if made == 1 else 'claims'}, {pods} pods, {gone} of the claims gone at the end"
