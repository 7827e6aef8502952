"""The embedded cluster does what a real one did: scenarios recorded from Kubernetes 1.34, played here and compared.

`tests/traces/<scenario>.json` holds what kubectl did (`steps`), what a watch of the namespace then showed, a line for
each state in order (`story`), and what the Events said (`events`); `tests/traces/objects/<scenario>.yaml` the objects
at the end, whole. `tests/traces/reduce.py` makes them from the recordings:

- of the story, uids, resourceVersions, times, addresses, nodes and annotations are left out, names that a cluster makes
  up became numbers in the order of their first appearance (`rev-1`, `pod-2`), what did not change a line was dropped;
- `trace_objects.py`, `trace_texts.py` and `trace_events.py` list what of objects, outputs and Events is left out;
- the image redis:7 became valkey/valkey:8.1.8, and its probe has no initial delay; servers
  that share a claim keep their data in memory (three that write the same files fail now and then).

What is compared, and what is not:

- each object's life, state by state. A status is written when a controller gets to it, so of counters and endpoints
  each one's own values are compared in order; those that one cluster skipped may be missing;
- the order in which pods come, get ready, are marked and go. Where pods start or end at the same time (`together`), the
  order among those does not count;
- what has to come before what, whatever the kind (`causes`), which holds for the recordings, too;
- the Events of each object, in order for pods;
- the objects at the end, field by field;
- what kubectl printed and how it ended, where the scenario is about that.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from difflib import unified_diff
from itertools import groupby

import pytest
import yaml

from tests.cluster.trace_objects import reduced
from tests.cluster.trace_player import JSON, SCENARIOS, Output, Told, load, load_objects, play
from tests.cluster.trace_states import deduplicated
from tests.cluster.trace_texts import compared
from tests.running_lab import Namespace

NAMES = sorted(path.stem for path in SCENARIOS.glob("*.json"))
COUNTED = ("StatefulSet", "ReplicaSet", "EndpointSlice")
REPEATED = ("ControllerRevision",)


def split(line: str) -> tuple[str, str, str]:
    """(kind, name, state) of a line of a story."""
    match = re.fullmatch(r"(\w+) (volume of [\w-]+|[\w.-]+) ?(.*)", line)
    assert match, line
    return match[1], match[2], match[3]


def lives(story: list[str]) -> dict[str, list[list[str]]]:
    """The lives of each object: for a name that is used again, one for each time."""
    found: dict[str, list[list[str]]] = {}
    for kind, name, state in map(split, story):
        if kind not in COUNTED and not is_optional(state):
            of_name = found.setdefault(f"{kind} {name}", [])
            if state.startswith("created") or not of_name:
                of_name.append([])
            of_name[-1].append(state)
    for key, of_name in found.items():
        if key.split()[0] in REPEATED:  # collected while its owner goes, and made again, as often as they race
            found[key] = deduplicated(of_name)
    return found


def is_optional(state: str) -> bool:
    """States that are there or not, as the updates happen to be sent together."""
    return "PodScheduled=False(Unschedulable)" in state or "waiting:ContainerCreating" in state


def milestones(story: list[str], kind: str = "Pod") -> list[str]:
    """When objects of a kind came, got ready, were marked for deletion and went."""
    found, seen = list[str](), set[str]()
    for of_kind, name, state in map(split, story):
        if of_kind != kind:
            continue
        what = milestone(state)
        if what == "created":
            seen -= {f"{name} {word}" for word in ("created", "ready", "deleted", "gone")}
        if what and f"{name} {what}" not in seen:
            seen.add(f"{name} {what}")
            found.append(f"{name} {what}")
    return found


def milestone(state: str) -> str:
    if state.startswith("created"):
        return "created"
    if state == "gone":
        return "gone"
    if state.startswith("deleting"):
        return "deleted"
    return "ready" if re.search(r"\bReady=True", state) else ""


def apart_from_races(order: list[str]) -> list[str]:
    """The same, with what happened side by side sorted, and without when a pod's end is over: another's start comes
    before or after it, as it happens."""
    order = [line for line in order if line.split()[-1] != "gone"]
    runs = groupby(order, lambda line: line.rpartition(" ")[2] in ("created", "ready"))
    return [line for _, run in runs for line in sorted(run)]


def counters(story: list[str], kind: str) -> dict[str, list[str]]:
    """The values that each counter, revision or endpoint of the objects of a kind took, in order."""
    found: dict[str, list[str]] = {}
    for of_kind, name, state in map(split, story):
        if of_kind != kind:
            continue
        for word in state.removeprefix("created: ").split():
            key, _, value = word.partition(":" if kind == "EndpointSlice" else "=")
            found.setdefault(f"{name} {key}", []).append(value)
    return {key: deduplicated(values) for key, values in found.items()}


def is_within(short: Iterable[str], long: Iterable[str]) -> bool:
    """Whether `short` is `long` with some left out."""
    rest = iter(long)
    return all(any(value == other for other in rest) for value in short)


def broken_causes(story: list[str], *, ordered: bool) -> list[str]:
    """What happened before what has to be before it."""
    now: dict[tuple[str, str], str] = {}
    broken = []
    for number, line in enumerate(story):
        kind, name, state = split(line)
        last = now.get((kind, name), "gone")
        if state.startswith("created") and kind == "Pod":
            if last != "gone":
                broken.append(f"{number}: {name} was made before the one of that name had gone")
            claim = ("PersistentVolumeClaim", f"data-{name}")
            if name.startswith("redis-") and now.get(claim, "gone").startswith(("gone", "deleting")):
                broken.append(f"{number}: {name} was made before its claim")
            lower = [n for k, n in now if k == "Pod" and n < name]
            late = [n for n in lower if ordered and milestone(now["Pod", n]) != "ready"]
            broken += [f"{number}: {name} was made before {n} was ready" for n in late]
        if kind == "PersistentVolumeClaim" and state == "gone":
            pod = name.removeprefix("data-")
            if now.get(("Pod", pod), "gone") != "gone":
                broken.append(f"{number}: the claim of {pod} went before the pod")
        if kind == "PersistentVolume" and state == "gone":
            claim_name = name.removeprefix("volume of ").rpartition("-")[0]
            if not last.startswith("deleting Released"):
                broken.append(f"{number}: the volume of {claim_name} went before it was released")
        if kind == "EndpointSlice":
            for endpoint in state.removeprefix("created:").split():
                pod, _, conditions = endpoint.partition(":")
                if conditions.startswith("ready") and not re.search(r"\bReady=True", now.get(("Pod", pod), "")):
                    broken.append(f"{number}: {pod} was a ready endpoint before it was ready")
        now[kind, name] = state
    return broken


@pytest.mark.parametrize("name", NAMES)
def test_the_recording_keeps_to_the_order_of_causes(name: str) -> None:
    recorded = load(name)
    assert recorded["story"]
    assert broken_causes(recorded["story"], ordered=recorded["ordered"]) == []


@pytest.mark.parametrize("name", NAMES)
def test_the_cluster_does_what_a_real_one_did(name: str, namespace: Namespace) -> None:
    recorded = load(name)
    told = play(recorded, namespace)
    assert broken_causes(told.story, ordered=recorded["ordered"]) == []
    compare_lives(recorded, told)
    compare_order(recorded, told)
    compare_counters(recorded, told)
    compare_events(recorded, told)
    compare_objects(name, told)
    compare_outputs(recorded, told)


@pytest.mark.parametrize("name", NAMES)
def test_nothing_is_left_in_a_recording_that_differs_by_nature(name: str) -> None:
    objects = load_objects(name)
    assert reduced(objects, "NAMESPACE") == objects


def compare_lives(recorded: JSON, told: Told) -> None:
    real, ours = lives(recorded["story"]), lives(told.story)
    if any(key.startswith("Pod pod-") for key in real):  # which of equal pods goes first is a matter of chance
        assert states_of_pods(ours) == states_of_pods(real)
        real, ours = ({k: v for k, v in of.items() if not k.startswith("Pod ")} for of in (real, ours))
    assert ours == real


def states_of_pods(of: dict[str, list[list[str]]]) -> dict[str, int]:
    """How often pods were in each state."""
    return Counter(
        state for key, all_lives in of.items() if key.startswith("Pod ") for life in all_lives for state in life
    )


def compare_order(recorded: JSON, told: Told) -> None:
    real, ours = milestones(recorded["story"]), milestones(told.story)
    if any(line.startswith("pod-") for line in real):
        real, ours = ([line.split()[1] for line in of] for of in (real, ours))
    if recorded["together"]:
        real, ours = apart_from_races(real), apart_from_races(ours)
    assert ours == real


def compare_counters(recorded: JSON, told: Told) -> None:
    for kind in COUNTED:
        real, ours = counters(recorded["story"], kind), counters(told.story, kind)
        if kind == "EndpointSlice" and any(key.split()[1].startswith("pod-") for key in real):
            continue
        assert set(ours) == set(real), kind
        for key, values in real.items():
            assert values[-1] == ours[key][-1], f"{kind} {key}"
            fits = is_within(ours[key], values) or is_within(values, ours[key])
            fits = fits or (recorded["together"] and set(ours[key]) <= set(values))
            assert fits, f"{kind} {key} was {ours[key]}, and really {values}"


def compare_events(recorded: JSON, told: Told) -> None:
    for key in sorted({*recorded["events"], *told.events}):
        real, ours = (of.get(key, []) for of in (recorded["events"], told.events))
        if key.startswith("Pod/pod-"):
            continue
        if key.startswith("Pod/"):
            assert ours == real, key
        elif recorded["together"]:
            assert {unnumbered(text) for text in ours} == {unnumbered(text) for text in real}, key
        else:
            assert sorted(ours) == sorted(real), key


def compare_objects(name: str, told: Told) -> None:
    real, ours = (yaml.safe_dump(objects).splitlines() for objects in (load_objects(name), told.objects))
    difference = "\n".join(unified_diff(real, ours, "real", "ours", lineterm="", n=8))
    assert not difference, difference


def compare_outputs(recorded: JSON, told: Told) -> None:
    for step, output in zip(recorded["steps"], told.outputs, strict=True):
        if output is None:
            continue
        real = Output(step["rc"], step["stdout"], step["stderr"])
        ours = Output(output.rc, compared(output.stdout, told.names), compared(output.stderr, told.names))
        if step["kubectl"] == ["api-resources"]:  # not all kinds are served here
            assert is_within(ours.stdout.splitlines(), real.stdout.splitlines())
        else:
            assert ours == real, step["kubectl"]


def unnumbered(text: str) -> str:
    """Without the pods' numbers: which of those that come together is told of first is a matter of chance."""
    return re.sub(r"\b(pod|redis)-\d+", r"\1-N", text)
