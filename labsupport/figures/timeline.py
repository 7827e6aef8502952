"""The timeline: a lane for each workload, a bar for each pod, from a recording."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from labsupport.cluster.recording import Moment, Recording
from labsupport.figures.drawing import Picture
from labsupport.figures.lanes import Lane, draw_lanes, last_second, legend_of_pods
from labsupport.figures.lives import by_name, lives


def draw(recording: Recording, lanes: Mapping[str, str], title: str = "") -> Picture:
    """Draw the pods of a recording: one lane for each entry of `lanes` (heading -> "kind/name" of the controller).

    A lane has a row for each name; a pod that took over a name is a second bar in its row. A bar begins when the
    pod is created, is filled while the pod is Ready and ends when it is gone; the cross marks that end. Time is in
    seconds since the recording began.

    >>> timeline.draw(recording, {"ReplicaSet": "replicaset/web", "StatefulSet": "statefulset/db"})
    """
    moments = recording.moments
    filled = [lane_of(moments, heading, owner) for heading, owner in lanes.items()]
    figure = draw_lanes(filled, last_second(moments), title, 0.32, legend_of_pods())
    return Picture(figure, alt_text(moments, lanes, title))


def lane_of(moments: Sequence[Moment], heading: str, owner: str) -> Lane:
    """The lane of one controller: a row for each pod name, in the order of creation."""
    lane, end = Lane(heading), last_second(moments)
    for name, of_name in by_name(lives(moments, owner=owner)).items():
        lane.names[lane.rows] = name
        for life in of_name:
            lane.add(life, lane.rows, end)
        lane.rows += 1
    return lane


def alt_text(moments: Sequence[Moment], lanes: Mapping[str, str], title: str) -> str:
    """What the figure says, in words that do not change from run to run."""
    counts = []
    for heading, owner in lanes.items():
        pods = lives(moments, owner=owner)
        counts.append(f"{heading}: {len(by_name(pods))} names, {len(pods)} pods")
    return (
        f"{title or 'Timeline'}. A row for each name, a bar for each pod from creation over Ready to its end. "
        f"{'; '.join(counts)}."
    )
