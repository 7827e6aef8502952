"""The lab's map: nodes, the pods on them, and the ways in from the notebook, drawn from the live cluster."""

from __future__ import annotations

from matplotlib.axes import Axes
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

from labsupport import chapter, kube, ports
from labsupport.figures import BLUE, GREEN, GREY, ORANGE, Picture, new_figure

_SHOWN = 4  # pods a node's box has room for


def lab_map() -> Picture:
    """Draw where the notebook is, where the chapter's pods run, and what leads from the one to the others.

    >>> lab_map()
    """
    nodes = kube.core().list_node().items
    pods = kube.core().list_namespaced_pod(chapter.namespace()).items
    figure = new_figure(8.5, 4.2)
    ax = figure.subplots()
    ax.set_xlim(0, 100)
    ax.set_ylim(0, 56)
    ax.axis("off")
    _box(ax, 1, 14, 25, 28, "this notebook", GREY, "your machine,\n127.0.0.1")
    _box(ax, 42, 2, 57, 52, "the cluster", GREY, "")
    for row, node in enumerate(sorted(nodes, key=lambda n: str(n.metadata.name))):
        labels = node.metadata.labels or {}
        control = "node-role.kubernetes.io/control-plane" in labels
        here = sorted(p.metadata.name for p in pods if p.spec.node_name == node.metadata.name)
        text = "API server, controllers" if control else _names(here)
        _box(ax, 54, 35 - 15.5 * row, 43, 12.5, node.metadata.name, GREEN if control else BLUE, text)
    for y, label, colour, target in (
        (38, f"API, https {_api_port()}", GREEN, 43),
        (28, f"DNS, {ports.host_port(ports.DNS_NODE_PORT)}", ORANGE, 28),
        (18, f"NodePorts, {_range()}", BLUE, 16),
    ):
        ax.add_patch(
            FancyArrowPatch((26, y), (54, target), arrowstyle="-|>", mutation_scale=14, color=colour, linewidth=1.6)
        )
        ax.text(26.6, y + 1.6, label, fontsize=8, color="black")
    placed = sum(1 for p in pods if p.spec.node_name)
    alt = (
        f"Map of the lab. On the left this notebook, on the right a cluster of {len(nodes)} nodes with {placed} pods "
        "of this chapter. Three arrows lead in: to the API server, to DNS and to the NodePorts. "
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


def _names(pods: list[str]) -> str:
    if not pods:
        return "no pods of this chapter"
    more = f" and {len(pods) - _SHOWN} more" if len(pods) > _SHOWN else ""
    return "pods: " + ", ".join(pods[:_SHOWN]) + more


def _api_port() -> str:
    return str(kube.api_client().configuration.host).rpartition(":")[2]


def _range() -> str:
    first, last = (ports.host_port(p) for p in (ports.NODE_PORTS[0], ports.NODE_PORTS[-1]))
    return f"{first} to {last}"
