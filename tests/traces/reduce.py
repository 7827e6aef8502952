"""Makes tests/traces from recordings of a real cluster: `python -m tests.traces.reduce RECORDINGS`.

RECORDINGS has a folder for each scenario, with `trace.json` (what kubectl did and a watch saw) and `objects.json`
(the objects at the end, whole). Of each scenario this writes

- `<scenario>.json`: `steps` with what is to be typed, `story` with a line for each state that a watch saw, `events`
  with what the Events said. The steps of the scenarios that wait are translated by hand (a note of the recording became
  a `kubectl wait`) and kept; those of `validation_and_printing` are the recorded commands and their outputs;
- `objects/<scenario>.yaml`: the objects at the end, by the rules of `tests/cluster/trace_objects.py`.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

import yaml

from tests.cluster.trace_events import newer, told
from tests.cluster.trace_objects import made_up, played, reduced
from tests.cluster.trace_states import KINDS, Names, lines
from tests.cluster.trace_texts import NOT_COMPARED, compared

HERE = Path(__file__).parent
JSON = dict[str, Any]
TYPED = ("validation_and_printing",)  # the steps are what was typed
_READY = re.compile(r"statefulset (\w+) at (\d+) ready replicas .*")


def as_object(event: JSON) -> JSON:
    """The object of a recorded watch event, as far as its state is compared: the recordings are flat."""
    metadata = {
        "name": event["name"],
        "labels": event.get("labels") or {},
        "ownerReferences": event.get("ownerReferences") or [],
        "finalizers": event.get("finalizers") or [],
        "generation": event.get("generation"),
        "deletionTimestamp": event["deletionTimestamp"],
        "deletionGracePeriodSeconds": event["deletionGracePeriodSeconds"],
    }
    spec: JSON = {"nodeName": event.get("nodeName"), "replicas": event.get("specReplicas")}
    status: JSON = event.get("status") or {"phase": event.get("phase")}
    match event["kind"]:
        case "Pod":
            if any(o["kind"] == "ReplicaSet" for o in metadata["ownerReferences"]) or "-" in event["name"]:
                metadata["generateName"] = event["name"].rpartition("-")[0] + "-"
            reasons = event["conditionReasons"]
            told = [{"type": t, "status": s, "reason": reasons.get(t)} for t, s in event["conditions"].items()]
            status |= {"conditions": told, "containerStatuses": event["containers"]}
        case "PersistentVolume":
            spec["claimRef"] = {"name": event["claim"]}
    endpoints = [{**e, "targetRef": {"name": e["targetRef"]}} for e in event.get("endpoints") or ()]
    return {
        "kind": event["kind"],
        "metadata": metadata,
        "spec": spec,
        "status": status,
        "endpoints": endpoints,
        "revision": event.get("revision"),
    }


def as_event(event: JSON) -> JSON:
    """A recorded Event as the API has it, as far as it is compared, with the texts of 1.36."""
    kind, _, name = event["involved"].partition("/")
    return {
        "type": event["type_"],
        "reason": event["reason"],
        "message": newer(played(event["message"])),
        "source": {"component": event["component"]},
        "involvedObject": {"kind": kind, "name": name},
    }


def steps(actions: list[JSON], names: dict[str, str]) -> list[JSON]:
    """What was typed, and what it printed. Where the recording notes that it waited, `kubectl wait` does."""
    found: list[JSON] = []
    for action in actions:
        if noted := _READY.match(action.get("note", "")):
            wanted = f"--for=jsonpath={{.status.readyReplicas}}={noted[2]}"
            found.append({"kubectl": ["wait", f"sts/{noted[1]}", wanted]})
        if "command" not in action:
            continue
        command = action["command"].removeprefix("kubectl ")
        plain, _, patch = command.partition(" -p ")
        if plain in NOT_COMPARED:
            continue
        step: JSON = {"kubectl": [*plain.split(), *(["-p", patch] if patch else [])]}
        if action["stdin"]:
            step["stdin"] = played(action["stdin"])
        texts = {out: compared(played(action[out]), names) for out in ("stdout", "stderr")}
        found.append({**step, "rc": action["rc"], **texts})
    return found


def reduce(recording: Path) -> None:
    """Write what is kept of one scenario."""
    trace = json.loads((recording / "trace.json").read_text())
    objects = json.loads(played((recording / "objects.json").read_text()))
    events = [e for e in trace["events"] if e["kind"] in KINDS and e["name"] != "client"]
    changes = [(e["type"], as_object(e)) for e in events]
    numbered = Names()
    called = {obj["metadata"]["name"]: numbered.of(obj) for _, obj in changes}
    of_events = [as_event(e) for e in trace["k8sEvents"] if not e["involved"].endswith("/client")]
    kept = HERE / f"{recording.name}.json"
    scenario: JSON = json.loads(kept.read_text()) if kept.exists() else {"together": False, "ordered": False}
    scenario["title"] = trace["title"]
    if recording.name in TYPED:
        scenario["steps"] = steps(trace["actions"], made_up(objects, trace["namespace"]))
    scenario["story"] = lines(changes)
    scenario["events"] = told(of_events, called, trace["namespace"])
    kept.write_text(written(scenario))
    at_end = reduced(objects, trace["namespace"])
    (HERE / "objects" / f"{recording.name}.yaml").write_text(yaml.safe_dump(at_end, sort_keys=False, width=120))


def written(scenario: JSON) -> str:
    """JSON with a line for each step and each line of a story."""
    shown = []
    for key, value in scenario.items():
        text = json.dumps(value, indent=1, ensure_ascii=False)
        if key == "steps":
            text = "[\n" + ",\n".join(f" {json.dumps(step, ensure_ascii=False)}" for step in value) + "\n]"
        shown.append(" " + json.dumps(key) + ": " + text.replace("\n", "\n "))
    return "{\n" + ",\n".join(shown) + "\n}\n"


if __name__ == "__main__":
    (HERE / "objects").mkdir(exist_ok=True)
    for folder in sorted(Path(sys.argv[1]).iterdir()):
        if folder.is_dir():
            reduce(folder)
