"""The timeline: a lane for each workload, a bar for each pod, from a recording."""

from __future__ import annotations

from collections.abc import Mapping

from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from labsupport.cluster.recording import Moment, Recording
from labsupport.figures.drawing import BLUE, GREY, ORANGE, VERMILION, Picture, new_figure

_STARTING, _READY, _ENDING = GREY, BLUE, ORANGE


def timeline(recording: Recording, lanes: Mapping[str, str], title: str = "") -> Picture:
    """Draw the pods of a recording: one lane for each entry of `lanes` (heading -> "kind/name" of the controller).

    A lane has a row for each name; a pod that took over a name is a second bar in its row. A bar begins when the
    pod is created, is filled while the pod is Ready and ends when it is gone; the cross marks that end. Time is in
    seconds since the recording began.

    >>> timeline(recording, {"ReplicaSet": "replicaset/web", "StatefulSet": "statefulset/db"})
    """
    pods = {heading: _pods(recording, owner) for heading, owner in lanes.items()}
    rows = max(1, sum(len(found) for found in pods.values()))
    figure = new_figure(8.5, 1.5 + 0.32 * rows + 0.25 * len(lanes))
    heights = [max(1, len(found)) for found in pods.values()]
    axes: list[Axes] = list(
        figure.subplots(len(lanes), 1, sharex=True, squeeze=False, gridspec_kw={"height_ratios": heights})[:, 0]
    )
    end = max((m.seconds for m in recording.moments), default=1.0) * 1.03
    for ax, (heading, found) in zip(axes, pods.items(), strict=True):
        _draw_lane(ax, heading, found, end)
    axes[-1].set_xlabel("seconds since the recording began")
    if title:
        figure.suptitle(title)
    figure.legend(
        handles=legend_of_lives(),
        loc="outside lower center",
        ncols=4,
        frameon=False,
    )
    return Picture(figure, _alt(title, pods))


def legend_of_lives() -> list[Patch | Line2D]:
    """What the bars of `draw_life` mean."""
    return [
        Patch(facecolor="white", edgecolor=_STARTING, hatch="////", label="starting"),
        Patch(facecolor=_READY, label="Ready"),
        Patch(facecolor="white", edgecolor=_ENDING, hatch="....", label="terminating"),
        Line2D([], [], color=VERMILION, marker="x", linestyle="none", label="gone"),
    ]


def _pods(recording: Recording, owner: str) -> dict[str, list[list[Moment]]]:
    """For each pod name of that controller the lives it had, each as its moments, in the order of their creation."""
    by_uid: dict[str, list[Moment]] = {}
    for moment in recording.moments:
        if moment.kind == "Pod" and moment.owner == owner:
            by_uid.setdefault(moment.uid, []).append(moment)
    by_name: dict[str, list[list[Moment]]] = {}
    for moments in by_uid.values():
        by_name.setdefault(moments[0].name, []).append(moments)
    return by_name


def _draw_lane(ax: Axes, heading: str, pods: Mapping[str, list[list[Moment]]], end: float) -> None:
    for row, lives in enumerate(pods.values()):
        for moments in lives:
            draw_life(ax, row, moments, end)
    ax.set_yticks(range(len(pods)), list(pods))
    ax.set_ylim(len(pods) - 0.4, -0.6)
    ax.set_xlim(0, end)
    ax.set_title(heading, loc="left", fontsize=10, fontweight="bold")
    ax.grid(axis="x", alpha=0.3)
    for side in ("top", "right", "left"):
        ax.spines[side].set_visible(False)
    ax.tick_params(axis="y", length=0)


def draw_life(ax: Axes, row: float, moments: list[Moment], end: float, height: float = 0.62) -> None:
    """Draw the life of one pod as a bar, up to the second `end` if it still lives; its moments in order of time."""
    for begin, stop, state in _spans(moments, end):
        width = max(stop - begin, end / 400)
        if state == "ready":
            ax.barh(row, width, left=begin, height=height, color=_READY)
        else:
            colour, hatch = (_STARTING, "////") if state == "starting" else (_ENDING, "....")
            ax.barh(row, width, left=begin, height=height, facecolor="white", edgecolor=colour, hatch=hatch)
    if moments[-1].what == "deleted":
        ax.plot(moments[-1].seconds, row, marker="x", color=VERMILION, markersize=7, markeredgewidth=2)


def _spans(moments: list[Moment], end: float) -> list[tuple[float, float, str]]:
    """The stretches of a pod's life: (from, to, "starting" | "ready" | "terminating")."""
    spans: list[tuple[float, float, str]] = []
    state, since = "starting", moments[0].seconds
    for moment in moments:
        after = {"ready": "ready", "unready": state, "terminating": "terminating"}.get(moment.what, state)
        if moment.what == "unready" and state == "ready":
            after = "starting"
        if moment.what == "deleted":
            spans.append((since, moment.seconds, state))
            return spans
        if after != state:
            spans.append((since, moment.seconds, state))
            state, since = after, moment.seconds
    spans.append((since, end, state))
    return spans


def _alt(title: str, pods: Mapping[str, Mapping[str, list[list[Moment]]]]) -> str:
    """What the figure says, in words that do not change from run to run."""
    told = "; ".join(
        f"{heading}: {len(found)} names, {sum(len(lives) for lives in found.values())} pods"
        for heading, found in pods.items()
    )
    return (
        f"{title or 'Timeline'}. A row for each name, a bar for each pod from creation over Ready to its end. {told}."
    )
