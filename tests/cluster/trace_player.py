"""Plays a recorded scenario on a cluster and tells what happened there, in the words of the recording."""

from __future__ import annotations

import json
import re
import ssl
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.request import urlopen

from trace_states import KINDS, Names, lines

from conftest import Namespace

JSON = dict[str, Any]
SCENARIOS = Path(__file__).parent.parent / "traces"

_NAMESPACED = {
    "Pod": "api/v1/{}/pods",
    "Service": "api/v1/{}/services",
    "PersistentVolumeClaim": "api/v1/{}/persistentvolumeclaims",
    "PersistentVolume": "api/v1/persistentvolumes",
    "StatefulSet": "apis/apps/v1/{}/statefulsets",
    "ReplicaSet": "apis/apps/v1/{}/replicasets",
    "ControllerRevision": "apis/apps/v1/{}/controllerrevisions",
    "EndpointSlice": "apis/discovery.k8s.io/v1/{}/endpointslices",
    "Event": "api/v1/{}/events",
}
# Recorded where volumes bound at once: there a pod first failed to be scheduled, and volumes had another provisioner.
_BY_NATURE = {"FailedScheduling", "Unhealthy", "ProvisioningSucceeded", "ExternalProvisioning", "Provisioning"}
_BY_NATURE |= {"WaitForFirstConsumer", "WaitForPodScheduled"}


@dataclass(frozen=True)
class Told:
    """What happened in a scenario: the story in order, and what the Events of each object said."""

    story: list[str]
    events: dict[str, list[str]]


def load(name: str) -> JSON:
    """A recorded scenario."""
    scenario: JSON = json.loads((SCENARIOS / f"{name}.json").read_text())
    return scenario


def play(scenario: JSON, space: Namespace) -> Told:
    """Run the steps of a scenario. Raises AssertionError for a step that does not do what it did."""
    start = _get(space, _NAMESPACED["Pod"].format(f"namespaces/{space.name}"))["metadata"]["resourceVersion"]
    chosen: dict[str, str] = {}
    for step in scenario["steps"]:
        words = [_chosen(word, chosen, space) if word.startswith("$") else word for word in step["kubectl"]]
        said = space.kubectl(*words, stdin=step.get("stdin"))
        assert said == step.get("stdout", said), words
    return _told(space, start)


def _chosen(word: str, chosen: dict[str, str], space: Namespace) -> str:
    """`$first` and `$last` are the oldest and the youngest pod of the set; `$last again` the one chosen last time."""
    if word not in chosen:
        names = space.kubectl("get", "pods", "-lapp=redis", "--sort-by=.metadata.creationTimestamp", "-oname").split()
        chosen[word] = chosen["$again"] = names[0 if word == "$first" else -1].removeprefix("pod/")
    return chosen[word]


def _told(space: Namespace, start: str) -> Told:
    """All changes since a revision. The cluster remembers them; so nothing needs to watch while the steps run."""
    with ThreadPoolExecutor(len(_NAMESPACED)) as pool:
        watched = dict(zip(_NAMESPACED, pool.map(lambda kind: _watch(space, kind, start), _NAMESPACED), strict=True))
    changes = [(kind, obj) for of_kind in KINDS for kind, obj in watched[of_kind]]
    changes = [c for c in changes if c[1]["metadata"]["name"] != "kube-root-ca.crt" and _mine(c[1], space)]
    changes.sort(key=lambda change: int(change[1]["metadata"]["resourceVersion"]))
    names = Names()
    made_up = {str(obj["metadata"]["name"]): names.of(obj) for _, obj in changes}
    return Told(lines(changes), _events([obj for _, obj in watched["Event"]], made_up, space.name))


def _mine(obj: JSON, space: Namespace) -> bool:
    return obj["kind"] != "PersistentVolume" or obj["spec"]["claimRef"]["namespace"] == space.name


def _events(events: list[JSON], made_up: dict[str, str], namespace: str) -> dict[str, list[str]]:
    told: dict[str, list[str]] = {}
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
        lines_of = told.setdefault(f"{involved['kind']}/{made_up.get(involved['name'], involved['name'])}", [])
        if line not in lines_of:
            lines_of.append(line)
    return told


def _watch(space: Namespace, kind: str, since: str) -> list[tuple[str, JSON]]:
    path = _NAMESPACED[kind].format(f"namespaces/{space.name}")
    query = f"watch=true&resourceVersion={since}&allowWatchBookmarks=true&timeoutSeconds=1"
    with _open(space, f"{path}?{query}") as stream:
        told = [json.loads(line) for line in stream]
    assert all(t["type"] != "ERROR" for t in told), told
    return [(t["type"], {**t["object"], "kind": kind}) for t in told if t["type"] != "BOOKMARK"]


def _get(space: Namespace, path: str) -> JSON:
    with _open(space, path) as answer:
        found: JSON = json.load(answer)
    return found


def _open(space: Namespace, path: str) -> Any:
    lab = space.lab
    context = ssl.create_default_context(cafile=str(lab.state / "pki" / "ca.crt"))
    context.load_cert_chain(lab.state / "pki" / "admin.crt", lab.state / "pki" / "admin.key")
    return urlopen(f"{lab.client.configuration.host}/{path}", context=context, timeout=30)
