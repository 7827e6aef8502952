"""Plays a recorded scenario on a cluster and tells what happened there, in the words of the recording."""

from __future__ import annotations

import json
import ssl
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import yaml

from tests.cluster.trace_events import Events, told
from tests.cluster.trace_objects import KINDS as WHOLE
from tests.cluster.trace_objects import Objects, made_up, reduced
from tests.cluster.trace_states import KINDS, Names, lines
from tests.running_lab import Namespace

JSON = dict[str, Any]
SCENARIOS = Path(__file__).parent.parent / "traces"

_PATHS = {
    "Pod": "api/v1/{}/pods",
    "Service": "api/v1/{}/services",
    "PersistentVolumeClaim": "api/v1/{}/persistentvolumeclaims",
    "PersistentVolume": "api/v1/persistentvolumes",
    "StatefulSet": "apis/apps/v1/{}/statefulsets",
    "ReplicaSet": "apis/apps/v1/{}/replicasets",
    "ControllerRevision": "apis/apps/v1/{}/controllerrevisions",
    "EndpointSlice": "apis/discovery.k8s.io/v1/{}/endpointslices",
    "Event": "api/v1/{}/events",
    "Endpoints": "api/v1/{}/endpoints",
    "Deployment": "apis/apps/v1/{}/deployments",
}


@dataclass(frozen=True)
class Output:
    """How a command ended, and what it printed."""

    rc: int
    stdout: str
    stderr: str


@dataclass(frozen=True)
class Told:
    """What happened in a scenario: the story in order, what the Events of each object said, the objects at the end.

    `outputs` has, for a step whose output is compared, what it printed, and `names` the names that the cluster made up.
    """

    story: list[str]
    events: Events
    objects: Objects
    outputs: list[Output | None]
    names: dict[str, str]


def load(name: str) -> JSON:
    """A recorded scenario."""
    scenario: JSON = json.loads((SCENARIOS / f"{name}.json").read_text())
    return scenario


def load_objects(name: str) -> Objects:
    """The objects at the end of a recorded scenario."""
    objects: Objects = yaml.safe_load((SCENARIOS / "objects" / f"{name}.yaml").read_text())
    return objects


def play(scenario: JSON, space: Namespace) -> Told:
    """Run the steps of a scenario. Raises AssertionError for a step that does not do what it did."""
    start = _get(space, _PATHS["Pod"].format(f"namespaces/{space.name}"))["metadata"]["resourceVersion"]
    chosen: dict[str, str] = {}
    outputs: list[Output | None] = []
    for step in scenario["steps"]:
        words = [_chosen(word, chosen, space) if word.startswith("$") else word for word in step["kubectl"]]
        if "rc" in step:
            done = space.lab.run_kubectl("-n", space.name, *words, stdin=step.get("stdin"))
            outputs.append(Output(done.returncode, done.stdout, done.stderr))
            continue
        said = space.kubectl(*words, stdin=step.get("stdin"))
        assert said == step.get("stdout", said), words
        outputs.append(None)
    return _told(space, start, outputs)


def _chosen(word: str, chosen: dict[str, str], space: Namespace) -> str:
    """`$first` and `$last` are the oldest and the youngest pod of the set; `$last again` the one chosen last time."""
    if word not in chosen:
        names = space.kubectl("get", "pods", "-lapp=redis", "--sort-by=.metadata.creationTimestamp", "-oname").split()
        chosen[word] = chosen["$again"] = names[0 if word == "$first" else -1].removeprefix("pod/")
    return chosen[word]


def _told(space: Namespace, start: str, outputs: list[Output | None]) -> Told:
    """All changes since a revision. The cluster remembers them; so nothing needs to watch while the steps run."""
    watching = (*KINDS, "Event")
    with ThreadPoolExecutor(len(watching)) as pool:
        watched = dict(zip(watching, pool.map(lambda kind: _watch(space, kind, start), watching), strict=True))
    changes = [(kind, obj) for of_kind in KINDS for kind, obj in watched[of_kind]]
    changes = [c for c in changes if c[1]["metadata"]["name"] != "kube-root-ca.crt" and _mine(c[1], space)]
    changes.sort(key=lambda change: int(change[1]["metadata"]["resourceVersion"]))
    names = Names()
    called = {str(obj["metadata"]["name"]): names.of(obj) for _, obj in changes}
    events = told([obj for _, obj in watched["Event"]], called, space.name)
    objects = _objects(space)
    return Told(lines(changes), events, reduced(objects, space.name), outputs, made_up(objects, space.name))


def _objects(space: Namespace) -> Objects:
    """The objects as they are now."""
    lists = {kind: _get(space, _PATHS[kind].format(f"namespaces/{space.name}"))["items"] for kind in WHOLE}
    volumes = [o for o in lists["PersistentVolume"] if o["spec"]["claimRef"]["namespace"] == space.name]
    return {**lists, "PersistentVolume": volumes}


def _mine(obj: JSON, space: Namespace) -> bool:
    return obj["kind"] != "PersistentVolume" or obj["spec"]["claimRef"]["namespace"] == space.name


def _watch(space: Namespace, kind: str, since: str) -> list[tuple[str, JSON]]:
    path = _PATHS[kind].format(f"namespaces/{space.name}")
    query = f"watch=true&resourceVersion={since}&allowWatchBookmarks=true&timeoutSeconds=1"
    with _open(space, f"{path}?{query}") as stream:
        changes = [json.loads(line) for line in stream]
    assert all(c["type"] != "ERROR" for c in changes), changes
    return [(c["type"], {**c["object"], "kind": kind}) for c in changes if c["type"] != "BOOKMARK"]


def _get(space: Namespace, path: str) -> JSON:
    with _open(space, path) as answer:
        found: JSON = json.load(answer)
    return found


def _open(space: Namespace, path: str) -> Any:
    lab = space.lab
    context = ssl.create_default_context(cafile=str(lab.state / "pki" / "ca.crt"))
    context.load_cert_chain(lab.state / "pki" / "admin.crt", lab.state / "pki" / "admin.key")
    return urlopen(f"{lab.client.configuration.host}/{path}", context=context, timeout=30)
