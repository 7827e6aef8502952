"""Whose lab this is: on a cluster that several learners share, each one's namespaces start with a word of their own.

On a cluster of one's own there is no such word, and a NodePort is always free. On a shared one two learners may ask
for the same NodePort: then the Service gets another one, and the port forwarder leads to it all the same.
"""

from __future__ import annotations

import json
from typing import Any

from kubernetes.client.exceptions import ApiException

from labsupport import paths
from labsupport.errors import LabError

RECORD = "learner.json"
LABEL = "course.lab/learner"
NODE_PORTS = "course.lab/node-ports"  # annotation: which NodePorts a Service was meant to have, by port


def prefix() -> str:
    """The learner's own word; "" on a cluster of one's own."""
    try:
        return str(json.loads((paths.state_dir() / RECORD).read_text())["prefix"])
    except FileNotFoundError:
        return ""


def namespace(name: str) -> str:
    """The full name of a namespace of the course.

    >>> namespace("chapter-01")
    'ann-chapter-01'
    """
    mine = prefix()
    return f"{mine}-{name}" if mine else name


def labels() -> dict[str, str]:
    """The labels of all that is the learner's own."""
    mine = prefix()
    return {LABEL: mine} if mine else {}


def is_for_all(document: dict[str, Any]) -> bool:
    """Whether an object is one for the whole cluster, whoever was the first to make it: a kind that is added to it."""
    return str(document["kind"]) == "CustomResourceDefinition"


def adapted(document: dict[str, Any], live: dict[str, Any] | None, *, namespaced: bool) -> dict[str, Any]:
    """A learner's own manifest as it is sent to a shared cluster, given the object that is there already (or None).

    Outside of namespaces it gets the learner's label. Raises LabError where the object there is somebody else's.
    """
    if not prefix():
        return document
    metadata = live["metadata"] if live else {}
    if not namespaced:
        if live and (metadata.get("labels") or {}).get(LABEL) != prefix():
            raise LabError(
                f"{live['kind']} {metadata['name']} is there already and is not yours. This cluster is shared: "
                "give yours another name."
            )
        own = {**(document["metadata"].get("labels") or {}), **labels()}
        return {**document, "metadata": {**document["metadata"], "labels": own}}
    if NODE_PORTS in (metadata.get("annotations") or {}):
        return without_node_ports(document)
    return document


def is_taken_node_port(error: ApiException) -> bool:
    """Whether a shared cluster has refused a Service because another one has its NodePort."""
    return error.status == 422 and "provided port is already allocated" in str(error.body) and bool(prefix())


def without_node_ports(service: dict[str, Any]) -> dict[str, Any]:
    """The Service without its wishes for NodePorts, which are kept in an annotation for the port forwarder."""
    ports = service["spec"].get("ports") or []
    wishes = {str(port["port"]): port["nodePort"] for port in ports if "nodePort" in port}
    metadata = {**service["metadata"]}
    metadata["annotations"] = {**(metadata.get("annotations") or {}), NODE_PORTS: json.dumps(wishes, sort_keys=True)}
    spec = {**service["spec"], "ports": [{k: v for k, v in port.items() if k != "nodePort"} for port in ports]}
    return {**service, "metadata": metadata, "spec": spec}
