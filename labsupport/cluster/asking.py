"""Asking again and again, for what no watch tells: the state of a server, an answer of DNS, a proxy's routes.

What the Kubernetes API tells is watched instead (`waiting`).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, TypeVar

from labsupport.errors import LabError

T = TypeVar("T")

_FIRST_PAUSE = 0.05  # seconds between the first two questions; each pause after it is longer by half
_ADVICE = "Look at: !kubectl get pods,endpointslices -o wide, and lab.logs(<a pod>)"
_LONGEST_ANSWER = 300  # characters of the last answer in a message


class NotInTime(LabError):
    """What was waited for did not come. `last` is the last answer, or the exception that came in its place."""

    def __init__(self, message: str, last: Any = None) -> None:
        super().__init__(message)
        self.last = last


def until(
    ask: Callable[[], T],
    is_enough: Callable[[T], object] = bool,
    *,
    what: str,
    timeout: float = 30,
    longest_pause: float = 0.5,
    not_yet: tuple[type[Exception], ...] = (),
    advice: str = _ADVICE,
) -> T:
    """Ask until the answer is enough, and return it; the pauses between the questions grow to `longest_pause`.

    `timeout` and `longest_pause` are in seconds; it is asked once at least, and once more at the very end.
    An exception of the types `not_yet` counts as an answer that is not enough, any other one is raised.
    Raises NotInTime, which says `what` did not come, the last answer, and `advice`.

    >>> until(lambda: client.get("visits"), lambda visits: int(visits) > 9, what="ten visits are counted")
    '10'
    """
    deadline, pause = time.monotonic() + timeout, min(_FIRST_PAUSE, longest_pause)
    while True:
        last: T | Exception
        try:
            last = answer = ask()
        except not_yet as error:
            last = error
        else:
            if is_enough(answer):
                return answer
        left = deadline - time.monotonic()
        if left <= 0:
            raise NotInTime(
                f"still waiting after {timeout:g} s until {what}.{_in_a_sentence(last)} {advice}".strip(), last
            )
        time.sleep(min(pause, left))
        pause = min(1.5 * pause, longest_pause)


def wait_until(holds: Callable[[], object], what: str, *, timeout: float = 30) -> None:
    """Ask until something holds: `until` for a yes or no, for a cell's last line. Raises NotInTime.

    `timeout` is in seconds.

    >>> wait_until(lambda: "ready" in lab.logs("traefik"), "Traefik is ready")
    """
    until(holds, what=what, timeout=timeout)


def _in_a_sentence(last: object) -> str:
    """The last answer as a sentence; that a test said no goes without saying."""
    if last is False:
        return ""
    text = repr(last)
    return f" The last answer: {text if len(text) <= _LONGEST_ANSWER else text[:_LONGEST_ANSWER] + ' ...'}."
