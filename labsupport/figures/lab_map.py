"""The lab's map: nodes, the pods on them, and the ways in from the notebook, drawn from the live cluster."""

from __future__ import annotations

from matplotlib.axes import Axes
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

from labsupport import paths, settings
from labsupport.cluster import api, scope
from labsupport.figures.drawing import BLACK, BLUE, GREEN, GREY, ORANGE, VERMILION, Picture, new_figure

_SHOWN = 4  # pods a node's box has room for


def lab_map() -> Picture:
    """Draw where the notebook is, where the chapter's pods run, and what leads from the one to the others.

    >>> lab_map()
    """
    nodes = api.core().list_node().items
    pods = api.core().list_namespaced_pod(scope.namespace()).items
    figure = new_figure(8.5, 4.2)
    ax = figure.subplots()
    ax.set_xlim(0, 100)
    ax.set_ylim(0, 56)
    ax.axis("off")
    _box(ax, 1, 6, 18, 43, "this notebook", GREY, "on 127.0.0.1")
    _box(ax, 28, 2, 71, 52, "the cluster", GREY, "")
    for row, node in enumerate(sorted(nodes, key=lambda n: str(n.metadata.name))):
        labels = node.metadata.labels or {}
        control = "node-role.kubernetes.io/control-plane" in labels
        here = sorted(p.metadata.name for p in pods if p.spec.node_name == node.metadata.name)
        text = "takes orders and decides" if control else _names(here)
        _box(ax, 61, 35 - 15.5 * row, 36, 12.5, node.metadata.name, BLACK, text)
    ways = (
        (38, "API server", f"port {_api_port()}", GREEN),
        (24.5, "DNS", f"port {paths.host_port(settings.DNS_NODE_PORT)}", ORANGE),
        (11, "NodePorts", _range(), BLUE),
    )
    for y, title, text, colour in ways:
        _box(ax, 31, y, 19, 10, title, colour, text)
        _arrow(ax, (19.4, y + 5), (30.6, y + 5), colour)
    _arrow(ax, (50.6, 43), (60.6, 43), GREEN)
    _arrow(ax, (50.6, 16), (60.6, 24), BLUE)
    _arrow(ax, (50.6, 16), (60.6, 10), BLUE)
    ax.text(31, 5.2, "no way in: pod addresses", fontsize=8.5, color=VERMILION, va="center")
    placed = sum(1 for p in pods if p.spec.node_name)
    alt = (
        f"Map of the lab. On the left this notebook, on the right a cluster of {len(nodes)} nodes with {placed} pods "
        "of this chapter. Three ways lead in: the API server, DNS and the NodePorts. "
        "None leads to a pod's own address."
    )
    return Picture(figure, alt)


def _box(ax: Axes, x: float, y: float, width: float, height: float, title: str, colour: str, text: str) -> None:
    style = "round,pad=0.2,rounding_size=1.5"
    ax.add_patch(
        FancyBboxPatch((x, y), width, height, boxstyle=style, facecolor="white", edgecolor=colour, linewidth=2)
    )
    ax.text(x + 1.5, y + height - 1, title, fontsize=9, fontweight="bold", va="top")
    ax.text(x + 1.5, y + height - 5.6, text, fontsize=8.5, va="top")


def _arrow(ax: Axes, begin: tuple[float, float], end: tuple[float, float], colour: str) -> None:
    arrow = FancyArrowPatch(begin, end, arrowstyle="-|>", mutation_scale=14)
    arrow.set(color=colour, linewidth=1.6)
    ax.add_patch(arrow)


def _names(pods: list[str]) -> str:
    if not pods:
        return "no pods of this chapter"
    more = f" and {len(pods) - _SHOWN} more" if len(pods) > _SHOWN else ""
    return "pods: " + ", ".join(pods[:_SHOWN]) + more


def _api_port() -> str:
    return str(api.api_client().configuration.host).rpartition(":")[2]


def _range() -> str:
    first, last = (paths.host_port(p) for p in (settings.NODE_PORTS[0], settings.NODE_PORTS[-1]))
    return f"{first} to {last}"
