"""Which object makes which name: Services on the left, the names they publish on the right."""

from __future__ import annotations

from matplotlib.axes import Axes
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

from labsupport.cluster import api, scope
from labsupport.figures.drawing import BLUE, GREEN, ORANGE, PURPLE, Picture, new_figure

_ROW = 9.0


def names_map() -> Picture:
    """Draw the chapter's Services and the names that the cluster's DNS publishes for each.

    >>> names_map()
    """
    services = api.core().list_namespaced_service(scope.namespace()).items
    pods = sorted(p.metadata.name for p in api.core().list_namespaced_pod(scope.namespace()).items)
    groups = [_names(service, pods) for service in sorted(services, key=_order)]
    rows = sum(len(names) for _, _, names in groups)
    figure = new_figure(8.5, 0.6 + 0.42 * rows)
    ax = figure.subplots()
    ax.set_xlim(0, 100)
    ax.set_ylim(-1, rows * _ROW + 1)
    ax.axis("off")
    y = rows * _ROW
    for kind, colour, names in groups:
        height = len(names) * _ROW
        middle = y - height / 2
        _box(ax, 1, middle - 3.6, 30, kind, colour)
        for name in names:
            y -= _ROW
            _box(ax, 45, y + 0.9, 54, name, colour)
            arrow = FancyArrowPatch((31.6, middle), (44.6, y + 4.5), arrowstyle="-|>", mutation_scale=11)
            arrow.set(color=colour, linewidth=1.5)
            ax.add_patch(arrow)
    told = "; ".join(f"{kind} publishes {', '.join(names)}" for kind, _, names in groups)
    return Picture(figure, f"Services and the names they publish. {told}.")


def _order(service: object) -> str:
    return str(service.metadata.name)  # type: ignore[attr-defined]


def _names(service: object, pods: list[str]) -> tuple[str, str, list[str]]:
    """What a Service is, its colour, and its names with the record types."""
    spec, name = service.spec, service.metadata.name  # type: ignore[attr-defined]
    if spec.type == "ExternalName":
        return f"{name}: ExternalName", PURPLE, [f"{name}  CNAME {spec.external_name}"]
    ports = [f"_{port.name}._tcp.{name}  SRV" for port in spec.ports or () if port.name]
    if spec.cluster_ip != "None":
        return f"{name}: one address", BLUE, [f"{name}  A", *ports]
    mine = [f"{pod}.{name}  A" for pod in pods if pod.startswith(f"{name}-")]
    if not mine:
        return f"{name}: headless, no pods", ORANGE, [f"{name}  NXDOMAIN"]
    shown = [mine[0], f"... {mine[-1]}"] if len(mine) > 2 else mine
    return f"{name}: headless, {len(mine)} pods", GREEN, [f"{name}  A, one for each pod", *shown, *ports]


def _box(ax: Axes, x: float, y: float, width: float, text: str, colour: str) -> None:
    box = FancyBboxPatch((x, y), width, 7.2, boxstyle="round,pad=0.1,rounding_size=1")
    box.set(facecolor="white", edgecolor=colour, linewidth=1.8)
    ax.add_patch(box)
    ax.text(x + 1.5, y + 3.6, text, va="center", fontsize=9)
