"""Cordoning a node for an experiment, in such a way that no node stays cordoned behind it.

A cluster is shared: a cordoned node takes nobody's pods. So the course marks the node that it cordons, and every
chapter frees the marked ones when it begins and when it ends. A node that somebody else has cordoned stays so.
"""

from __future__ import annotations

from labsupport import errors, kube, learner

MARK = "course.lab/cordoned"


def cordon(node: str, *, quiet: bool = False) -> None:
    """Let no new pod come to a node until `uncordon`, as `kubectl cordon` does; `quiet` prints nothing. Raises Refused.

    >>> cordon("lab-worker")
    the node takes no new pods
    """
    with errors.readable():
        if not kube.core().read_node(node).spec.unschedulable:
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
    except kube.ApiException as error:
        if error.status != 403:
            raise


def _free() -> None:
    for node in kube.core().list_node().items:
        if (node.metadata.annotations or {}).get(MARK) == _whose():
            _patch(node.metadata.name, mark=None, unschedulable=None)


def _whose() -> str:
    """What the mark says: on a shared cluster a learner frees only nodes that the same learner has cordoned."""
    return learner.prefix() or "yes"


def _patch(node: str, *, mark: str | None, unschedulable: bool | None) -> None:
    change = {"metadata": {"annotations": {MARK: mark}}, "spec": {"unschedulable": unschedulable}}
    kube.core().patch_node(node, change)
