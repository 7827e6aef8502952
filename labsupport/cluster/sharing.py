"""How objects are applied to a cluster that learners share, so that no two of them get in each other's way.

- A NodePort that another Service has: the Service gets another one, and the port forwarder leads to it all the same.
- A volume made by hand: volumes are in no namespace, so two learners in the same chapter would ask for the same name
  and the same directory of a node, and the claim of one could take the volume of the other. Each one's volume has a
  name, a directory and a claim of its own.
- Whatever else is in no namespace gets the learner's label, and is left alone where it is somebody else's.
- A kind that is added to the cluster is for all, whoever was the first to add it.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from labsupport.cluster import api, scope
from labsupport.errors import LabError

NODE_PORTS = "course.lab/node-ports"  # annotation: which NodePorts a Service was meant to have, by port

Object = dict[str, Any]


def apply(document: Object, send: Callable[[Object], str]) -> tuple[Object, str]:
    """Apply an object by `send`, adapted where the cluster is shared; the object as it was sent, and what came of it.

    `send` says what it did: created, configured or unchanged. Raises LabError for somebody else's, ApiException.
    """
    if not scope.prefix():
        return document, send(document)
    if document["kind"] == "PersistentVolume":
        document = own_volume(document, _claims())
    resource = api.resource(document["kind"], document["apiVersion"])
    live = api.read(resource, document["metadata"]["name"], document["metadata"].get("namespace") or scope.of(resource))
    if document["kind"] == "CustomResourceDefinition":
        return document, "unchanged" if live else _create(resource, document)
    if not resource.namespaced:
        document = _labelled(document, live)
    elif NODE_PORTS in ((live or {}).get("metadata", {}).get("annotations") or {}):
        document = without_node_ports(document)
    try:
        return document, send(document)
    except api.ApiException as error:
        if error.status != 422 or "provided port is already allocated" not in str(error.body):
            raise
    document = without_node_ports(document)
    return document, send(document)


def own_volume(volume: Object, claims: list[Object]) -> Object:
    """A volume as it is made on a shared cluster, where the chapter has these claims.

    It is kept for the first that waits for one of its class, as an administrator reserves a volume
    (kubernetes.io/docs: Persistent Volumes, Reserving a PersistentVolume).
    """
    mine = scope.prefix()
    metadata, spec = {**volume["metadata"]}, {**volume["spec"]}
    if not metadata["name"].startswith(f"{mine}-"):
        metadata["name"] = f"{mine}-{metadata['name']}"
    if "hostPath" in spec:
        spec["hostPath"] = {**spec["hostPath"], "path": f"{spec['hostPath']['path'].rstrip('/')}-{mine}"}
    if "claimRef" not in spec and (waiting := [claim for claim in claims if _waits(claim, volume)]):
        first = waiting[0]["metadata"]
        spec["claimRef"] = {"namespace": first["namespace"], "name": first["name"]}
    return {**volume, "metadata": metadata, "spec": spec}


def without_node_ports(service: Object) -> Object:
    """The Service without its wishes for NodePorts, which are kept in an annotation for the port forwarder."""
    ports = service["spec"].get("ports") or []
    wishes = {str(port["port"]): port["nodePort"] for port in ports if "nodePort" in port}
    metadata = {**service["metadata"]}
    metadata["annotations"] = {**(metadata.get("annotations") or {}), NODE_PORTS: json.dumps(wishes, sort_keys=True)}
    spec = {**service["spec"], "ports": [{k: v for k, v in port.items() if k != "nodePort"} for port in ports]}
    return {**service, "metadata": metadata, "spec": spec}


def _labelled(document: Object, live: Object | None) -> Object:
    """An object outside of namespaces with the learner's label. Raises LabError where `live` is somebody else's."""
    if live and (live["metadata"].get("labels") or {}).get(scope.LABEL) != scope.prefix():
        raise LabError(
            f"{live['kind']} {live['metadata']['name']} is there already and is not yours. This cluster is shared: "
            "give yours another name."
        )
    labels = {**(document["metadata"].get("labels") or {}), **scope.labels()}
    return {**document, "metadata": {**document["metadata"], "labels": labels}}


def _create(resource: Any, document: Object) -> str:
    """Make what others will use as it is: `create` cannot change what somebody has made meanwhile."""
    try:
        resource.create(body=document, field_manager=api.MANAGER)
    except api.ApiException as error:
        if error.status != 409:
            raise
        return "unchanged"
    return "created"


def _claims() -> list[Object]:
    """The chapter's claims, by name."""
    listed = api.resource("persistentvolumeclaims").get(namespace=scope.namespace())
    return sorted((claim.to_dict() for claim in listed.items), key=lambda claim: str(claim["metadata"]["name"]))


def _waits(claim: Object, volume: Object) -> bool:
    wanted = claim["spec"].get("storageClassName") or ""
    return claim["status"].get("phase") == "Pending" and wanted == (volume["spec"].get("storageClassName") or "")
