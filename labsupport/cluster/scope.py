"""Whose lab this is, and which namespace the verbs work in: the one of the chapter that has begun.

On a cluster that several learners share, each one's namespaces begin with a prefix of the learner's own, and carry a
label. On a cluster of one's own there is neither.
"""

from __future__ import annotations

import json
from typing import Any

from labsupport import paths

RECORD = "learner.json"
LABEL = "course.lab/learner"

_current: str | None = None


def enter(namespace: str | None) -> None:
    """Let the verbs work in a namespace from now on; None: no chapter has begun."""
    global _current
    _current = namespace


def namespace() -> str:
    """The namespace of the chapter at hand. Raises RuntimeError before `begin`.

    >>> namespace()
    'chapter-01'
    """
    if _current is None:
        raise RuntimeError('no chapter has begun. Run the first cell, the one with lab.begin("...").')
    return _current


def of(resource: Any) -> str | None:
    """The namespace in which the verbs look for objects of a resource; None for one that is in no namespace."""
    return namespace() if resource.namespaced else None


def prefix() -> str:
    """The learner's prefix on a shared cluster; "" on a cluster of one's own."""
    try:
        return str(json.loads((paths.state_dir() / RECORD).read_text())["prefix"])
    except FileNotFoundError:
        return ""


def prefixed(name: str) -> str:
    """The full name of a namespace of the course.

    >>> prefixed("chapter-01")
    'ann-chapter-01'
    """
    mine = prefix()
    return f"{mine}-{name}" if mine else name


def labels() -> dict[str, str]:
    """The labels of all that is the learner's own."""
    mine = prefix()
    return {LABEL: mine} if mine else {}
