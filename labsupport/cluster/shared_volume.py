"""A volume made by hand on a cluster that learners share: each one's has a name, a directory and a claim of its own.

Volumes are in no namespace. Two learners in the same chapter would ask for the same name and the same directory of a
node, and the claim of one could take the volume of the other.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from labsupport.cluster import sharing


def own(document: dict[str, Any], claims: Callable[[], list[dict[str, Any]]]) -> dict[str, Any]:
    """The volume as it is made on a shared cluster; unchanged on a cluster of one's own, and for other kinds.

    `claims` lists the chapter's claims, and is asked where they matter only. The volume is kept for the first that
    waits for one of its class, as an administrator reserves a volume (kubernetes.io/docs: Persistent Volumes,
    Reserving a PersistentVolume).
    """
    mine = sharing.prefix()
    if not mine or document["kind"] != "PersistentVolume":
        return document
    metadata, spec = {**document["metadata"]}, {**document["spec"]}
    if not metadata["name"].startswith(f"{mine}-"):
        metadata["name"] = f"{mine}-{metadata['name']}"
    if "hostPath" in spec:
        spec["hostPath"] = {**spec["hostPath"], "path": f"{spec['hostPath']['path'].rstrip('/')}-{mine}"}
    if "claimRef" not in spec and (waiting := [claim for claim in claims() if _waits(claim, document)]):
        found = waiting[0]["metadata"]
        spec["claimRef"] = {"namespace": found["namespace"], "name": found["name"]}
    return {**document, "metadata": metadata, "spec": spec}


def _waits(claim: dict[str, Any], volume: dict[str, Any]) -> bool:
    wanted = claim["spec"].get("storageClassName") or ""
    return claim["status"].get("phase") == "Pending" and wanted == (volume["spec"].get("storageClassName") or "")
