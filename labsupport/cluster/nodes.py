"""Cordoning a node for an experiment, in such a way that no node stays cordoned behind it.

A cluster is shared: a cordoned node takes nobody's pods. So the course marks the node that it cordons, and every
chapter frees the marked ones when it begins and when it ends. A node that somebody else has cordoned stays so.
Learners take turns: who cordons waits until no other learner's mark is left.
"""

from __future__ import annotations

import random
import time

from labsupport import errors
from labsupport.cluster import api, scope, waiting

MARK = "course.lab/cordoned"


def cordon(node: str, *, quiet: bool = False, timeout: float = 120) -> None:
    """Let no new pod come to a node until `uncordon`, as `kubectl cordon` does; `quiet` prints nothing.

    On a shared cluster it first waits for its turn, at most `timeout` seconds. Raises Refused, WaitFailed.

    >>> cordon("lab-worker")
    the node takes no new pods
    """
    with errors.readable():
        if scope.prefix() and not any(mark == _whose() for mark in _marks().values()):
            _take_turn(node, time.monotonic() + timeout)
        elif not api.core().read_node(node).spec.unschedulable:
            _patch(node, mark=_whose(), unschedulable=True)
    if not quiet:
        print("the node takes no new pods")


def uncordon() -> None:
    """Free every node that the course has cordoned; nothing if there is none. Raises Refused.

    >>> uncordon()
    no node is cordoned by the course
    """
    with errors.readable():
        _free()
    print("no node is cordoned by the course")


def release() -> None:
    """Free what an experiment that was left halfway has cordoned; nothing where this user may not look at nodes."""
    try:
        _free()
    except api.ApiException as error:
        if error.status != 403:
            raise


def _take_turn(node: str, deadline: float) -> None:
    """Cordon the first node of an experiment, while no other learner's is cordoned."""
    while True:
        for marked, whose in _others().items():
            waiting.until(
                api.resource("nodes"),
                marked,
                None,
                lambda node: not node or (node["metadata"].get("annotations") or {}).get(MARK) in (None, _whose()),
                f"released by {whose}, who has cordoned it and can say lab.uncordon(),",
                timeout=max(0.0, round(deadline - time.monotonic(), 1)),
            )
        before = api.core().read_node(node)
        if _others():
            continue
        if before.spec.unschedulable:
            return  # by somebody who is no learner
        try:
            _patch(node, mark=_whose(), unschedulable=True, version=before.metadata.resource_version)
        except api.ApiException as error:
            if error.status != 409:  # changed since it was read, perhaps by another learner
                raise
            continue
        if not _others():
            return
        _free()  # two have cordoned a node each at the same moment: both free theirs, and one comes first
        time.sleep(random.uniform(0, 0.5))


def _others() -> dict[str, str]:
    return {node: whose for node, whose in _marks().items() if whose != _whose()}


def _marks() -> dict[str, str]:
    """The nodes that the course has cordoned, each with who has."""
    annotations = {node.metadata.name: node.metadata.annotations or {} for node in api.core().list_node().items}
    return {name: of_node[MARK] for name, of_node in annotations.items() if MARK in of_node}


def _free() -> None:
    for node, whose in _marks().items():
        if whose == _whose():
            _patch(node, mark=None, unschedulable=None)


def _whose() -> str:
    """What the mark says: on a shared cluster a learner frees only nodes that the same learner has cordoned."""
    return scope.prefix() or "yes"


def _patch(node: str, *, mark: str | None, unschedulable: bool | None, version: str = "") -> None:
    """Change the node; with `version` only if it is still at that version. Raises ApiException, 409 if it is not."""
    metadata = {"annotations": {MARK: mark}, **({"resourceVersion": version} if version else {})}
    api.core().patch_node(node, {"metadata": metadata, "spec": {"unschedulable": unschedulable}})
