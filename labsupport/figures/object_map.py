"""The map of a StatefulSet: its objects and their references, drawn from the live cluster."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from labsupport import errors
from labsupport.cluster import api, scope
from labsupport.figures.diagram import Arrow, Box, Diagram, Point
from labsupport.figures.drawing import BLACK, BLUE, ORANGE, VERMILION, Look, Picture

OWNER, NAMED = "ownerReference", "reference by name"
STYLES = {OWNER: Arrow((0, 0), (0, 0), BLUE, "-", 2.0), NAMED: Arrow((0, 0), (0, 0), ORANGE, "--", 1.8)}
_SLICES_OF = "kubernetes.io/service-name"  # the label by which an EndpointSlice belongs to a Service
_LEFT = {"set": 0.05, "slice": 2.0, "pod": 3.94, "claim": 5.89, "volume": 7.84}  # the columns' left edges, in inches
_WIDTH, _HEIGHT, _ROW = 1.61, 0.56, 0.95  # inches: of a box, and from row to row


@dataclass
class Objects:
    """What the cluster has around one StatefulSet, as the client's objects."""

    owner: Any
    revisions: list[Any]
    pods: list[Any]
    claims: dict[str, Any] = field(default_factory=dict)  # by name; None where a pod names one that does not exist
    volumes: dict[str, Any] = field(default_factory=dict)  # by name; None where a claim names one that does not exist
    service: Any = None  # None where the set names one that does not exist
    slices: list[Any] = field(default_factory=list)


@dataclass(frozen=True)
class Item:
    """One object on the map: its kind, what is written below the kind, and the column and row where it stands."""

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
class Graph:
    """The objects by key, and the references as (from, to, kind of reference)."""

    items: dict[str, Item] = field(default_factory=dict)
    references: list[tuple[str, str, str]] = field(default_factory=list)

    def add(self, name: str, item: Item) -> str:
        """Put an object on the map; returns its key."""
        key = f"{item.kind}/{name}"
        self.items[key] = item
        return key

    def refer(self, source: str, target: str, kind: str) -> None:
        """A reference from the object that holds it to the one it names, if both are on the map."""
        if source in self.items and target in self.items:
            self.references.append((source, target, kind))


def draw(name: str) -> Picture:
    """Draw a StatefulSet of the chapter with its revisions, pods, claims, volumes, Service and EndpointSlices.

    An arrow begins at the object that holds the reference and ends at the one it names. An object that is named
    but does not exist has a dashed red frame. Raises Refused when there is no such StatefulSet.

    >>> object_map.draw("db")
    """
    shown = graph(read(name))
    return diagram(shown).picture(alt_text(name, shown))


def read(name: str) -> Objects:
    """Read a StatefulSet of the chapter and the objects around it. Raises Refused when it does not exist."""
    space = scope.namespace()
    with errors.readable():
        owner = api.apps().read_namespaced_stateful_set(name, space)
    revisions = _owned(api.apps().list_namespaced_controller_revision(space).items, owner)
    objects = Objects(owner, revisions, _owned(api.core().list_namespaced_pod(space).items, owner))
    if service := owner.spec.service_name:
        objects.service = _read(api.core().read_namespaced_service, service, space)
        selector = f"{_SLICES_OF}={service}"
        objects.slices = api.resource("endpointslices").get(namespace=space, label_selector=selector).items
    for claim_name in (name for pod in objects.pods for name in _claims_of(pod)):
        claim = _read(api.core().read_namespaced_persistent_volume_claim, claim_name, space)
        objects.claims[claim_name] = claim
        if claim and claim.spec.volume_name:
            objects.volumes[claim.spec.volume_name] = _read(api.core().read_persistent_volume, claim.spec.volume_name)
    return objects


def graph(objects: Objects) -> Graph:
    """The objects in columns and rows, a row for each pod's claim, and their references, as the objects hold them."""
    shown = Graph()
    name, service = objects.owner.metadata.name, objects.owner.spec.service_name
    pods = sorted(objects.pods, key=lambda pod: int(pod.metadata.name.rpartition("-")[2]))
    # The slices stand in a row below the pods, so that no arrow from a pod to the set passes behind them.
    last = max(2, sum(max(1, len(_claims_of(pod))) for pod in pods))
    owner = shown.add(name, Item("StatefulSet", name, "set", last / 2))
    numbers = sorted(int(revision.revision) for revision in objects.revisions)
    if numbers:
        text = "no. " + ", ".join(map(str, numbers))
        shown.refer(shown.add("", Item("ControllerRevision", text, "set", 0)), owner, OWNER)
    row = 0
    for pod in pods:
        key = shown.add(pod.metadata.name, Item("Pod", pod.metadata.name, "pod", row))
        shown.refer(key, owner, OWNER)
        for number, claim in enumerate(_claims_of(pod)):
            _add_claim(shown, objects, claim, key, row + number)
        row += max(1, len(_claims_of(pod)))
    if service:
        _add_service(shown, objects, service, owner, last)
    return shown


def diagram(shown: Graph) -> Diagram:
    """Boxes and arrows of the map; what is missing has a dashed red frame."""
    rows = max(item.row for item in shown.items.values())
    page = Diagram(9.5, 0.1 + _ROW * rows + _HEIGHT + 0.1, legend=STYLES)
    for item in shown.items.values():
        says_so = not item.missing or item.kind == "PersistentVolume"
        text = item.text if says_so else f"{item.text}: not there"
        colour = VERMILION if item.missing else BLACK
        look = Look("white", colour, line="--" if item.missing else "-", width=1.6)
        x, y = _corner(item)
        page.boxes.append(Box(x, y, _WIDTH, _HEIGHT, text, item.kind, look, colour, size=7.8))
    for source, target, kind in shown.references:
        style = STYLES[kind]
        ends = _ends(shown.items[source], shown.items[target])
        page.arrows.append(Arrow(*ends, style.colour, style.line, style.width))
    return page


def alt_text(name: str, shown: Graph) -> str:
    """The references in words, by kind, and what is missing."""
    by_kind = []
    for kind in (OWNER, NAMED):
        pairs = [f"{shown.items[a].label} to {shown.items[b].label}" for a, b, k in shown.references if k == kind]
        by_kind.append(f"{kind}: {', '.join(pairs) or 'none'}")
    missing = [item.label for item in shown.items.values() if item.missing]
    not_there = f" Not there: {', '.join(missing)}." if missing else ""
    return f"The objects of StatefulSet {name} and their references. {'. '.join(by_kind)}.{not_there}"


def _add_claim(shown: Graph, objects: Objects, name: str, pod: str, row: int) -> None:
    """A claim that a pod names, and the volume that it is bound to, in a row."""
    claim = objects.claims[name]
    key = shown.add(name, Item("PersistentVolumeClaim", name, "claim", row, missing=claim is None))
    shown.refer(pod, key, NAMED)
    if claim is None:
        return
    for reference in claim.metadata.owner_references or ():
        shown.refer(key, f"{reference.kind}/{reference.name}", OWNER)
    bound = claim.spec.volume_name or ""
    exists = objects.volumes.get(bound) is not None
    text = f"of {name}" if exists else "none bound"
    volume = shown.add(bound or name, Item("PersistentVolume", text, "volume", row, missing=not exists))
    if exists:
        shown.refer(key, volume, NAMED)
        shown.refer(volume, key, NAMED)  # its claimRef


def _add_service(shown: Graph, objects: Objects, name: str, owner: str, row: int) -> None:
    """The Service that the set names, its slices, and the pods that these list."""
    service = shown.add(name, Item("Service", name, "set", row, missing=objects.service is None))
    shown.refer(owner, service, NAMED)
    if not objects.slices:
        return
    of_slice = shown.add("", Item("EndpointSlice", f"of {name}", "slice", row))
    shown.refer(of_slice, service, OWNER)
    targets = {e.targetRef.name for item in objects.slices for e in item.endpoints or () if e.targetRef}
    for target in sorted(targets):
        shown.refer(of_slice, f"Pod/{target}", NAMED)


def _corner(item: Item) -> Point:
    return _LEFT[item.column], 0.1 + item.row * _ROW


def _ends(source: Item, target: Item) -> tuple[Point, Point]:
    """Where an arrow leaves one box and meets the other: at the sides, or in a column at top and bottom."""
    (x, y), (to_x, to_y) = _corner(source), _corner(target)
    if source.column == target.column:
        middle, down = x + _WIDTH / 2, to_y > y
        return (middle, y + (_HEIGHT if down else 0)), (middle, to_y + (0 if down else _HEIGHT))
    right = to_x > x
    heights = _HEIGHT / 2, _HEIGHT / 2
    if source.column == "slice" and right:  # clear of the pods' own arrows, which leave on the same side
        heights = 0.08, _HEIGHT * 0.8
    return (x + (_WIDTH if right else 0), y + heights[0]), (to_x + (0 if right else _WIDTH), to_y + heights[1])


def _claims_of(pod: Any) -> list[str]:
    """The names of the claims that a pod's volumes name."""
    volumes = pod.spec.volumes or ()
    return [v.persistent_volume_claim.claim_name for v in volumes if v.persistent_volume_claim is not None]


def _owned(items: Iterable[Any], owner: Any) -> list[Any]:
    """Those that have an ownerReference to the owner."""
    uid = owner.metadata.uid
    return [item for item in items if any(r.uid == uid for r in item.metadata.owner_references or ())]


def _read(read_one: Callable[..., Any], *words: str) -> Any:
    """What `read_one` returns, or None when it does not exist."""
    try:
        return read_one(*words)
    except api.ApiException as error:
        if error.status != 404:
            raise
        return None
