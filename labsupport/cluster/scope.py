"""Which namespace the verbs work in: the one of the chapter that has begun."""

from __future__ import annotations

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
