"""kind-config.yaml says what labsupport says, and settings.py names what the manifests use."""

from __future__ import annotations

import re
from pathlib import Path

import yaml

from labcluster import settings as embedded
from labcluster.node.images import image_table as embedded_images
from labsupport import paths, settings
from labsupport.backends.kind import config
from labsupport.settings import IMAGES, full_name

CONFIG = config.read(paths.course_root() / "kind-config.yaml")
CONTENT = yaml.safe_load(CONFIG.path.read_text())


def test_every_port_of_the_course_is_mapped_to_itself_on_loopback() -> None:
    dns = [(settings.DNS_NODE_PORT, settings.DNS_NODE_PORT, protocol) for protocol in ("UDP", "TCP")]
    assert sorted(CONFIG.mappings) == sorted([*((p, p, "TCP") for p in settings.NODE_PORTS), *dns])
    mappings = CONTENT["nodes"][0]["extraPortMappings"]
    assert {m["listenAddress"] for m in mappings} == {"127.0.0.1"}
    assert CONTENT["networking"] == {"apiServerAddress": "127.0.0.1", "apiServerPort": settings.API_PORT}


def test_it_is_a_configuration_of_kind() -> None:
    assert (CONTENT["kind"], CONTENT["apiVersion"]) == ("Cluster", "kind.x-k8s.io/v1alpha4")
    assert set(CONTENT) == {"kind", "apiVersion", "name", "networking", "nodes"}
    known = {"listenAddress", "hostPort", "containerPort", "protocol"}
    assert all(set(m) == known for node in CONTENT["nodes"] for m in node.get("extraPortMappings", []))


def test_the_nodes_have_the_names_of_the_embedded_cluster() -> None:
    assert CONFIG.nodes == [node.name for node in embedded.NODES]
    assert CONFIG.workers == [node.name for node in embedded.NODES if not node.control_plane]


def test_ports_json_leads_each_node_port_to_its_host_port(tmp_path: Path) -> None:
    moved = tmp_path / "config.yaml"
    moved.write_text(CONFIG.path.read_text().replace("hostPort: 30000,", "hostPort: 31000,"))
    told = config.read(moved).ports_json(api_port=1)
    assert told["nodePorts"]["30000"] == 31000
    assert (told["api"], told["dns"], len(told["nodePorts"])) == (1, settings.DNS_NODE_PORT, len(settings.NODE_PORTS))


def _images_in(files: list[Path]) -> set[str]:
    return {image for file in files for image in re.findall(r"\bimage:\s*\"?([\w./:-]+)", file.read_text())}


def test_the_images_to_load_are_those_of_the_manifests_and_notebooks() -> None:
    notebooks = paths.course_root() / "notebooks"
    used = _images_in([*notebooks.rglob("*.yaml"), *notebooks.glob("*.ipynb")])
    pullable = {image for image in used if embedded_images.parse(image).repository in _in_table()}
    assert pullable <= set(IMAGES), "labsupport/settings.py lacks an image that a chapter uses"


def _in_table() -> set[str]:
    return {embedded_images.parse(name).repository for name, _ in embedded_images.available()}


def test_the_embedded_cluster_has_every_image() -> None:
    for image in IMAGES:
        assert embedded_images.parse(image).repository in _in_table()
        assert str(embedded_images.parse(image)) == full_name(image)


def test_the_embedded_cluster_has_the_same_ports_of_its_own() -> None:
    assert (embedded.NODE_PORTS, embedded.DNS_NODE_PORT, embedded.API_PORT) == (
        settings.NODE_PORTS,
        settings.DNS_NODE_PORT,
        settings.API_PORT,
    )
