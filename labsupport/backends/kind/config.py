"""What kind-config.yaml says: the cluster's name, its nodes, and the ports that lead to it from 127.0.0.1."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from labsupport import paths
from labsupport.backends.contract import CommandError
from labsupport.settings import DNS_NODE_PORT


@dataclass(frozen=True)
class Config:
    """The parts of the file that the lab itself needs."""

    path: Path
    name: str
    api_port: int
    roles: tuple[str, ...]
    mappings: tuple[tuple[int, int, str], ...]  # (port of the node, port on 127.0.0.1, "TCP" or "UDP")

    @property
    def nodes(self) -> list[str]:
        """The names that kind gives the nodes."""
        seen: dict[str, int] = {}
        names = []
        for role in self.roles:
            seen[role] = seen.get(role, 0) + 1
            names.append(f"{self.name}-{role}{seen[role] if seen[role] > 1 else ''}")
        return names

    @property
    def workers(self) -> list[str]:
        """The nodes that ordinary pods run on."""
        return [name for name, role in zip(self.nodes, self.roles, strict=True) if role == "worker"]

    @property
    def host_ports(self) -> list[tuple[int, str]]:
        """Every (port, protocol) that has to be free on 127.0.0.1."""
        return [(self.api_port, "TCP"), *((host, protocol) for _, host, protocol in self.mappings)]

    def ports_json(self, api_port: int) -> dict[str, Any]:
        """The content of ports.json, which labsupport.paths.host_port answers from."""
        tcp = {node: host for node, host, protocol in self.mappings if protocol == "TCP"}
        dns = tcp.pop(DNS_NODE_PORT)
        return {"api": api_port, "dns": dns, "nodePorts": {str(node): host for node, host in tcp.items()}}


def read(path: Path | None = None) -> Config:
    """Read the file that LAB_KIND_CONFIG names, else the course's kind-config.yaml. Raises CommandError."""
    path = path or Path(os.environ.get("LAB_KIND_CONFIG") or paths.course_root() / "kind-config.yaml")
    try:
        content = yaml.safe_load(path.read_text())
        mappings = [
            (int(m["containerPort"]), int(m["hostPort"]), str(m.get("protocol", "TCP")))
            for node in content["nodes"]
            for m in node.get("extraPortMappings") or ()
        ]
        roles = tuple(str(node["role"]) for node in content["nodes"])
        return Config(path, content["name"], int(content["networking"]["apiServerPort"]), roles, tuple(mappings))
    except (OSError, yaml.YAMLError, KeyError, TypeError, ValueError) as error:
        raise CommandError(f"{path} cannot be read: {error!r}. `git checkout {path.name}` brings it back.") from error
