"""Which object makes which name: Services on the left, the names they publish on the right."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from labsupport.cluster import api, scope
from labsupport.figures.diagram import Arrow, Box, Diagram
from labsupport.figures.drawing import BLUE, GREEN, ORANGE, PURPLE, Look, Picture

_ROW, _HEIGHT = 0.42, 0.34  # inches: from name to name, and of a box


@dataclass(frozen=True)
class Publisher:
    """A Service: what it is, the colour of its kind, and the names that DNS has for it, with their record types."""

    text: str
    colour: str
    names: tuple[str, ...]


def draw() -> Picture:
    """Draw the chapter's Services and the names that the cluster's DNS publishes for each.

    >>> name_map.draw()
    """
    services = api.core().list_namespaced_service(scope.namespace()).items
    pods = api.core().list_namespaced_pod(scope.namespace()).items
    publishers = publishers_of(services, [pod.metadata.name for pod in pods])
    return diagram(publishers).picture(alt_text(publishers))


def publishers_of(services: Sequence[Any], pods: Sequence[str]) -> list[Publisher]:
    """The Services by name, with the names they publish; a headless one has those pods whose names begin with its."""
    return [_publisher(service, sorted(pods)) for service in sorted(services, key=lambda s: str(s.metadata.name))]


def diagram(publishers: Sequence[Publisher]) -> Diagram:
    """A box for each Service in the middle of the boxes of its names, with an arrow to each."""
    page = Diagram(8.5, 0.15 + _ROW * sum(len(publisher.names) for publisher in publishers))
    row = 0
    for publisher in publishers:
        look = Look("white", publisher.colour, width=1.8)
        middle = row + (len(publisher.names) - 1) / 2
        service = Box(0.1, 0.1 + _ROW * middle, 2.6, _HEIGHT, publisher.text, look=look, centred=False)
        page.boxes.append(service)
        for name in publisher.names:
            box = Box(3.8, 0.1 + _ROW * row, 4.6, _HEIGHT, name, look=look, centred=False)
            page.boxes.append(box)
            page.arrows.append(Arrow(service.right, box.left, publisher.colour, width=1.5))
            row += 1
    return page


def alt_text(publishers: Sequence[Publisher]) -> str:
    """Services and names in words."""
    published = "; ".join(f"{publisher.text} publishes {', '.join(publisher.names)}" for publisher in publishers)
    return f"Services and the names they publish. {published}."


def _publisher(service: Any, pods: Sequence[str]) -> Publisher:
    spec, name = service.spec, service.metadata.name
    if spec.type == "ExternalName":
        return Publisher(f"{name}: ExternalName", PURPLE, (f"{name}  CNAME {spec.external_name}",))
    ports = [f"_{port.name}._tcp.{name}  SRV" for port in spec.ports or () if port.name]
    if spec.cluster_ip != "None":
        return Publisher(f"{name}: one address", BLUE, (f"{name}  A", *ports))
    own = [f"{pod}.{name}  A" for pod in pods if pod.startswith(f"{name}-")]
    if not own:
        return Publisher(f"{name}: headless, no pods", ORANGE, (f"{name}  NXDOMAIN",))
    shown = [own[0], f"... {own[-1]}"] if len(own) > 2 else own
    return Publisher(f"{name}: headless, {len(own)} pods", GREEN, (f"{name}  A, one for each pod", *shown, *ports))
