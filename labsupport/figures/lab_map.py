"""The lab's map: nodes, the pods on them, and the ways in from the notebook, drawn from the live cluster."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from labsupport import paths, settings
from labsupport.cluster import api, scope
from labsupport.figures.diagram import Arrow, Box, Diagram, Label
from labsupport.figures.drawing import BLACK, BLUE, GREEN, GREY, ORANGE, VERMILION, Look, Picture

_ROW = 1.2  # inches from node to node
_PODS_SHOWN = 4  # a node's box has room for as many lines
_CONTROL_PLANE = "node-role.kubernetes.io/control-plane"


@dataclass(frozen=True)
class Ports:
    """The ports on 127.0.0.1 that lead into the cluster; of the NodePorts the first and the last."""

    api: int
    dns: int
    node_ports: tuple[int, int]


def draw() -> Picture:
    """Draw where the notebook is, where the chapter's pods run, and what leads from the one to the others.

    >>> lab_map.draw()
    """
    nodes = api.core().list_node().items
    pods = api.core().list_namespaced_pod(scope.namespace()).items
    ports = Ports(
        int(str(api.api_client().configuration.host).rpartition(":")[2]),
        paths.host_port(settings.DNS_NODE_PORT),
        (paths.host_port(settings.NODE_PORTS[0]), paths.host_port(settings.NODE_PORTS[-1])),
    )
    return diagram(nodes, pods, ports).picture(alt_text(nodes, pods))


def diagram(nodes: Sequence[Any], pods: Sequence[Any], ports: Ports) -> Diagram:
    """On the left the notebook, in the middle the ways in, on the right the nodes with their pods' names."""
    rows = max(3, len(nodes))  # there are three ways in
    page = Diagram(8.5, 0.6 + _ROW * rows)
    notebook = _box(0.1, 0.35, 1.6, page.height - 0.7, "this notebook", "on 127.0.0.1", GREY)
    cluster = _box(2.4, 0.1, 6.0, page.height - 0.2, "the cluster", "", GREY)
    ways = [
        _box(2.65, 0.61 + _ROW * row, 1.7, 0.7, title, text, colour)
        for row, (title, text, colour) in enumerate(
            (
                ("API server", f"port {ports.api}", GREEN),
                ("DNS", f"port {ports.dns}", ORANGE),
                ("NodePorts", "{} to {}".format(*ports.node_ports), BLUE),
            )
        )
    ]
    page.boxes += [cluster, notebook, *ways]
    page.arrows += [Arrow((notebook.right[0], way.left[1]), way.left, way.look.edge) for way in ways]
    has_workers = not all(map(_is_control_plane, nodes))
    for row, node in enumerate(sorted(nodes, key=lambda node: (not _is_control_plane(node), node.metadata.name))):
        text = _node_text(node, [pod.metadata.name for pod in pods if pod.spec.node_name == node.metadata.name])
        box = _box(5.15, 0.45 + _ROW * row, 3.05, 1.02, node.metadata.name, text, BLACK)
        page.boxes.append(box)
        if _is_control_plane(node):
            page.arrows.append(Arrow(ways[0].right, box.left, GREEN))
        if not (_is_control_plane(node) and has_workers):
            page.arrows.append(Arrow(ways[2].right, box.left, BLUE))
    below = (ways[2].x, ways[2].bottom[1] + 0.22)
    page.labels.append(Label(below, "no way in: pod addresses", 2.3, ink=VERMILION))
    return page


def alt_text(nodes: Sequence[Any], pods: Sequence[Any]) -> str:
    """What the map says, in words that are the same on every cluster of that many nodes."""
    placed = sum(1 for pod in pods if pod.spec.node_name)
    return (
        f"Map of the lab. On the left this notebook, on the right a cluster of {len(nodes)} nodes with {placed} pods "
        "of this chapter. Three ways lead in: the API server, DNS and the NodePorts. "
        "None leads to a pod's own address."
    )


def _box(x: float, y: float, width: float, height: float, title: str, text: str, colour: str) -> Box:
    return Box(x, y, width, height, text, title, Look("white", colour, width=2), centred=False)


def _is_control_plane(node: Any) -> bool:
    return _CONTROL_PLANE in (node.metadata.labels or {})


def _node_text(node: Any, pods: list[str]) -> str:
    """The pods by line, as many as there is room for; of a node without any, why it has none."""
    if not pods:
        return "takes orders and decides" if _is_control_plane(node) else "no pods of this chapter"
    lines = [f"pod {name}" for name in sorted(pods)]
    if len(lines) > _PODS_SHOWN:
        lines[_PODS_SHOWN - 1 :] = [f"and {len(lines) - _PODS_SHOWN + 1} more"]
    return "\n".join(lines)
