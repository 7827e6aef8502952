"""The map of a StatefulSet: its objects and their references, drawn from the live cluster."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

from labsupport import errors
from labsupport.cluster import api, scope
from labsupport.figures.drawing import BLACK, BLUE, ORANGE, VERMILION, Picture, new_figure

OWNER, NAMED = "ownerReference", "reference by name"
_STYLES: dict[str, tuple[str, Literal["-", "--"], float]] = {OWNER: (BLUE, "-", 2.0), NAMED: (ORANGE, "--", 1.8)}
_SLICES_OF = "kubernetes.io/service-name"  # the label by which an EndpointSlice belongs to a Service
_LEFT = {"set": 0.5, "slice": 21.0, "pod": 41.5, "claim": 62.0, "volume": 82.5}  # the columns' left edges
_WIDTH, _HEIGHT, _ROW = 17.0, 8.0, 14.0  # of a box, and from row to row


@dataclass(frozen=True)
class Box:
    """One object: its kind, what is written below the kind, and where the box stands."""

    kind: str
    text: str
    column: str
    row: float
    missing: bool = False

    @property
    def label(self) -> str:
        """The object in words that do not change from run to run."""
        return f"{self.kind} {self.text}".strip()


@dataclass
class ObjectGraph:
    """The objects around one StatefulSet, by key, and the references as (from, to, kind of reference)."""

    boxes: dict[str, Box] = field(default_factory=dict)
    arrows: list[tuple[str, str, str]] = field(default_factory=list)

    def add(self, name: str, box: Box) -> str:
        """Put an object on the map; returns its key."""
        key = f"{box.kind}/{name}"
        self.boxes[key] = box
        return key

    def refer(self, source: str, target: str, kind: str) -> None:
        """An arrow from the object that holds a reference to the one it names, if both are on the map."""
        if source in self.boxes and target in self.boxes:
            self.arrows.append((source, target, kind))


def object_map(name: str) -> Picture:
    """Draw a StatefulSet of the chapter with its revisions, pods, claims, volumes, Service and EndpointSlices.

    An arrow begins at the object that holds the reference and ends at the one it names. An object that is named
    but does not exist has a dashed red frame. Raises Refused when there is no such StatefulSet.

    >>> object_map("db")
    """
    graph = object_graph(name)
    rows = max(box.row for box in graph.boxes.values()) + 1
    figure = new_figure(9.5, 0.7 + 0.85 * rows)
    ax = figure.subplots()
    ax.set_xlim(0, 100)
    ax.set_ylim(_ROW * (rows - 1) + _HEIGHT + 1, -1)  # downwards, as rows are counted
    ax.axis("off")
    for source, target, kind in graph.arrows:
        _draw_arrow(ax, graph.boxes[source], graph.boxes[target], kind)
    for box in graph.boxes.values():
        _draw_box(ax, box)
    legend = [Line2D([], [], color=c, linestyle=s, linewidth=w, label=kind) for kind, (c, s, w) in _STYLES.items()]
    figure.legend(handles=legend, loc="outside lower center", ncols=2, frameon=False)
    return Picture(figure, _alt(name, graph))


def object_graph(name: str) -> ObjectGraph:
    """The objects around a StatefulSet of the chapter and their references, as the live objects hold them."""
    space, graph = scope.namespace(), ObjectGraph()
    with errors.readable():
        owner = api.apps().read_namespaced_stateful_set(name, space)
    pods = [pod for pod in api.core().list_namespaced_pod(space).items if _owned_by(pod, owner)]
    pods.sort(key=lambda pod: int(pod.metadata.name.rpartition("-")[2]))
    last = max(2, len(pods) - 1)
    key = graph.add(name, Box("StatefulSet", name, "set", last / 2))
    revisions = api.apps().list_namespaced_controller_revision(space).items
    numbers = sorted(int(item.revision) for item in revisions if _owned_by(item, owner))
    if numbers:
        text = "no. " + ", ".join(map(str, numbers))
        graph.refer(graph.add("", Box("ControllerRevision", text, "set", 0)), key, OWNER)
    for row, pod in enumerate(pods):
        _add_pod(graph, pod, key, row)
    _add_service(graph, owner.spec.service_name or "", key, last)
    return graph


def _add_pod(graph: ObjectGraph, pod: Any, owner: str, row: int) -> None:
    """A pod, the claims that its volumes name, and the volumes that these are bound to, in one row."""
    key = graph.add(pod.metadata.name, Box("Pod", pod.metadata.name, "pod", row))
    graph.refer(key, owner, OWNER)
    for volume in pod.spec.volumes or ():
        if volume.persistent_volume_claim is None:
            continue
        name = volume.persistent_volume_claim.claim_name
        claim = _find(api.core().read_namespaced_persistent_volume_claim, name, scope.namespace())
        of_claim = graph.add(name, Box("PersistentVolumeClaim", name, "claim", row, missing=claim is None))
        graph.refer(key, of_claim, NAMED)
        if claim is None:
            continue
        for reference in claim.metadata.owner_references or ():
            graph.refer(of_claim, f"{reference.kind}/{reference.name}", OWNER)
        bound = claim.spec.volume_name or ""
        found = _find(api.core().read_persistent_volume, bound) if bound else None
        text = f"of {name}" if found else "none bound"
        of_volume = graph.add(bound or name, Box("PersistentVolume", text, "volume", row, missing=found is None))
        if found:
            graph.refer(of_claim, of_volume, NAMED)
            graph.refer(of_volume, of_claim, NAMED)  # its claimRef


def _add_service(graph: ObjectGraph, name: str, owner: str, row: float) -> None:
    """The Service that the set names, its slices, and the pods that these list."""
    if not name:
        return
    service = _find(api.core().read_namespaced_service, name, scope.namespace())
    key = graph.add(name, Box("Service", name, "set", row, missing=service is None))
    graph.refer(owner, key, NAMED)
    slices = api.resource("endpointslices").get(namespace=scope.namespace(), label_selector=f"{_SLICES_OF}={name}")
    if not slices.items:
        return
    of_slice = graph.add("", Box("EndpointSlice", f"of {name}", "slice", row))
    graph.refer(of_slice, key, OWNER)
    targets = {e.targetRef.name for item in slices.items for e in item.endpoints or () if e.targetRef}
    for target in sorted(targets):
        graph.refer(of_slice, f"Pod/{target}", NAMED)


def _draw_box(ax: Axes, box: Box) -> None:
    x, y = _LEFT[box.column], box.row * _ROW
    colour, line = (VERMILION, "--") if box.missing else (BLACK, "-")
    style = "round,pad=0,rounding_size=1.2"
    frame = FancyBboxPatch((x, y), _WIDTH, _HEIGHT, boxstyle=style, facecolor="white", edgecolor=colour)
    frame.set(linestyle=line, linewidth=1.6, zorder=3)
    ax.add_patch(frame)
    text = f"{box.text}: not there" if box.missing and box.kind != "PersistentVolume" else box.text
    ax.text(x + _WIDTH / 2, y + 2.6, box.kind, fontsize=7.6, fontweight="bold", ha="center", va="center", zorder=4)
    ax.text(x + _WIDTH / 2, y + 5.7, text, fontsize=7.6, color=colour, ha="center", va="center", zorder=4)


def _draw_arrow(ax: Axes, source: Box, target: Box, kind: str) -> None:
    colour, line, width = _STYLES[kind]
    arrow = FancyArrowPatch(*_ends(source, target), arrowstyle="-|>", mutation_scale=12, shrinkA=0, shrinkB=0)
    arrow.set(color=colour, linestyle=line, linewidth=width, zorder=2)
    ax.add_patch(arrow)


def _ends(source: Box, target: Box) -> tuple[tuple[float, float], tuple[float, float]]:
    """Where an arrow leaves one box and meets the other: at the sides, or in a column at top and bottom."""
    if source.column == target.column:
        x, down = _LEFT[source.column] + _WIDTH / 2, target.row > source.row
        leaves = source.row * _ROW + (_HEIGHT if down else 0)
        return (x, leaves), (x, target.row * _ROW + (0 if down else _HEIGHT))
    right = _LEFT[target.column] > _LEFT[source.column]
    ys = [box.row * _ROW + _HEIGHT / 2 for box in (source, target)]
    if source.column == "slice" and right:  # clear of the pods' own arrows, which leave on the same side
        ys = [source.row * _ROW + 1, target.row * _ROW + _HEIGHT * 0.8]
    return (
        (_LEFT[source.column] + (_WIDTH if right else 0), ys[0]),
        (_LEFT[target.column] + (0 if right else _WIDTH), ys[1]),
    )


def _alt(name: str, graph: ObjectGraph) -> str:
    told = []
    for kind in (OWNER, NAMED):
        pairs = [f"{graph.boxes[a].label} to {graph.boxes[b].label}" for a, b, k in graph.arrows if k == kind]
        told.append(f"{kind}: {', '.join(pairs) or 'none'}")
    missing = [box.label for box in graph.boxes.values() if box.missing]
    gone = f" Not there: {', '.join(missing)}." if missing else ""
    return f"The objects of StatefulSet {name} and their references. {'. '.join(told)}.{gone}"


def _owned_by(item: Any, owner: Any) -> bool:
    return any(reference.uid == owner.metadata.uid for reference in item.metadata.owner_references or ())


def _find(read: Callable[..., Any], *words: str) -> Any:
    """What `read` returns, or None when it is not there."""
    try:
        return read(*words)
    except api.ApiException as error:
        if error.status != 404:
            raise
        return None
