"""The lifetimes of claims and of the pods that mount them: which of the two outlives the other, from a recording."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from matplotlib.lines import Line2D

from labsupport.cluster.recording import Moment, Recording
from labsupport.figures.bars import Bar
from labsupport.figures.drawing import BLACK, SKY, Look, Picture
from labsupport.figures.lanes import Lane, draw_lanes, last_second, legend_of_pods
from labsupport.figures.lives import Life, lives

CLAIM = Look("#E3F1FA", SKY)  # pale, to lie under the pods


@dataclass
class Claim:
    """A claim's name with its lives (a name may be taken again), and those of the pods that mount it, by name."""

    name: str
    lives: list[Life] = field(default_factory=list)
    pods: dict[str, list[Life]] = field(default_factory=dict)


def draw(recording: Recording, lanes: Mapping[str, str], title: str = "") -> Picture:
    """Draw the claims of a recording as pale bands, and on each the pods that mount it as bars.

    One lane for each entry of `lanes` (heading -> "kind/name" of the pods' controller). A band begins when the
    claim is made; it ends at a thick line when the claim is gone, or runs on. Time is in seconds since the recording
    began.

    >>> lifetimes.draw(recording, {"StatefulSet": "statefulset/web", "ReplicaSet": "replicaset/cache"})
    """
    moments = recording.moments
    claims = {heading: claims_of(moments, owner) for heading, owner in lanes.items()}
    end = last_second(moments)
    thick = Line2D([], [], color=BLACK, marker="|", markersize=12, markeredgewidth=4, linestyle="none")
    thick.set_label("claim gone")
    legend = [CLAIM.patch("claim"), thick, *legend_of_pods("pod ")]
    filled = [lane_of(heading, of_owner, end) for heading, of_owner in claims.items()]
    return Picture(draw_lanes(filled, end, title, 0.24, legend), alt_text(claims, title))


def claims_of(moments: Sequence[Moment], owner: str) -> list[Claim]:
    """The claims that the pods of that controller mount, in the order in which these pods appeared."""
    claims: dict[str, Claim] = {}
    for pod in lives(moments, owner=owner):
        for name in pod.claims:
            claims.setdefault(name, Claim(name)).pods.setdefault(pod.name, []).append(pod)
    for life in lives(moments, "PersistentVolumeClaim"):
        if life.name in claims:
            claims[life.name].lives.append(life)
    return list(claims.values())


def lane_of(heading: str, claims: Sequence[Claim], end: float) -> Lane:
    """A lane with a row for each name of a pod, and a band for each claim behind the rows of its pods."""
    lane = Lane(heading)
    for claim in claims:
        middle = lane.rows + (len(claim.pods) - 1) / 2
        lane.names[middle] = claim.name
        for life in claim.lives:
            stop = end * 1.1 if life.end is None else life.end  # an open end lies beyond the edge
            band = Bar(middle, life.begin, stop, CLAIM, len(claim.pods) - 0.18)
            lane.bars.append(band)
            if life.end is not None:
                lane.claims_gone.append(band)
        for row, of_name in enumerate(claim.pods.values(), lane.rows):
            for life in of_name:
                lane.add(life, row, end, 0.42)
        lane.rows += len(claim.pods)
    return lane


def alt_text(claims: Mapping[str, Sequence[Claim]], title: str) -> str:
    """What the figure says, in words that do not change from run to run."""
    counts = "; ".join(f"{heading}: {_counted(of_owner)}" for heading, of_owner in claims.items())
    return f"{title or 'Lifetimes'}. A band for each claim, and on it a bar for each pod that mounts it. {counts}."


def _counted(claims: Sequence[Claim]) -> str:
    pods = sum(len(of_name) for claim in claims for of_name in claim.pods.values())
    lifetimes = [life for claim in claims for life in claim.lives]
    gone = sum(life.end is not None for life in lifetimes)
    word = "claim" if len(lifetimes) == 1 else "claims"
    return f"{len(lifetimes)} {word}, {pods} pods, {gone} of the claims gone at the end"
