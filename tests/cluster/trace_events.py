"""What a namespace's Events say, an object at a time: the lines that are compared."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

JSON = dict[str, Any]
Events = dict[str, list[str]]  # of each object, as Kind/name

# Recorded where volumes bound at once: there a pod first failed to be scheduled, and volumes had another provisioner.
_BY_NATURE = {"FailedScheduling", "Unhealthy", "ProvisioningSucceeded", "ExternalProvisioning", "Provisioning"}
_BY_NATURE |= {"WaitForFirstConsumer", "WaitForPodScheduled"}
_BY_NATURE |= {"FailedMount"}  # once, as the recorded API server learned later than its kubelet whose pod it was

# Texts of the kubelet that became others between the recorded 1.34 and 1.36.
NEWER = (
    (r"^(Created|Started) container:? .*", lambda match: f"Container {match[1].lower()}"),
    (r"already present on machine$", lambda match: "already present on machine and can be accessed by the pod"),
)


def told(events: Iterable[JSON], made_up: dict[str, str], namespace: str) -> Events:
    """The different texts of each object's Events in order; `made_up` are the names that the cluster made up."""
    found: Events = {}
    for event in events:
        if event["reason"] in _BY_NATURE:
            continue
        involved = event["involvedObject"]
        text = event["message"].replace(namespace, "NAMESPACE")
        for name, called in made_up.items():
            text = re.sub(rf"\b{re.escape(name)}\b", called, text)
        text = re.sub(r" to [\w-]+$", " to NODE", text)
        component = event.get("source", {}).get("component") or event.get("reportingComponent", "")
        line = f"{event['type']} {event['reason']} {component}: {text}"
        of_object = found.setdefault(f"{involved['kind']}/{made_up.get(involved['name'], involved['name'])}", [])
        if line not in of_object:
            of_object.append(line)
    return found


def newer(text: str) -> str:
    """A recorded text as Kubernetes 1.36 has it."""
    for old, new in NEWER:
        text = re.sub(old, new, text)
    return text
