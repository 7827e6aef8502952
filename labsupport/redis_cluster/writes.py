"""A load of writes with an outcome for each: acknowledged, refused or unanswered; and which of them were lost."""

from __future__ import annotations

import functools
import itertools
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Self

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from labsupport import paths
from labsupport.cluster import asking
from labsupport.cluster.api import ApiException
from labsupport.cluster.asking import NotInTime
from labsupport.errors import LabError

ACKNOWLEDGED, REFUSED, UNANSWERED = "acknowledged", "refused", "unanswered"
NEWS = {"+sdown": "a voter misses it", "+odown": "two agree", "+switch-master": "a new primary is named"}
PATIENCE = 0.4  # seconds that one write waits for its answer, unless told otherwise
_READING = 10.0  # seconds for the one question after the load


@dataclass(frozen=True)
class Write:
    """One write: its number, when it was sent and when its outcome was known (seconds since the start), and that."""

    number: int
    sent: float
    known: float
    outcome: str  # acknowledged, refused (certainly not written), unanswered (nobody knows)
    why: str = ""


def eventually(ask: Callable[[], Any], expected: Any, *, timeout: float = 30) -> Any:
    """Ask every 50 ms until the answer is what is expected, and return it. A question that fails is asked again.

    `timeout` is in seconds. Raises NotInTime with the last answer.

    >>> eventually(lambda: client.get("greeting"), "hello")
    'hello'
    """
    return asking.until(
        ask,
        lambda answer: answer == expected,
        what=f"the answer is {expected!r}",
        timeout=timeout,
        longest_pause=0.05,
        not_yet=(redis.RedisError, LabError, OSError, ApiException),
        advice="Look at: !kubectl get pods --show-labels, and lab.logs('redis-2', container='voter', tail=20)",
    )


def connect(node_port: int, password: str, *, timeout: float = 2) -> redis.Redis:
    """A client of the server behind a NodePort. It never tries again by itself; `timeout` is in seconds.

    >>> connect(30005, "secret").ping()
    True
    """
    return redis.Redis(
        host="127.0.0.1",
        port=paths.host_port(node_port),
        password=password,
        decode_responses=True,
        socket_timeout=timeout,
        socket_connect_timeout=timeout,
        retry=Retry(NoBackoff(), 0),
        max_connections=2,
    )


class Writes:
    """Writes `rate` keys a second through a NodePort, from the moment it is made until `stop`, each key once.

    A write is sent over one connection, and over a new one after anything but an acknowledgement: so it goes where
    the Service points by then. One that waits for its answer, `patience` seconds at most, holds up those behind it;
    they are not made up for.

    >>> with Writes(30005, "secret") as writes:
    ...     delete("pod/redis-0")
    ...     writes.wait_for(50)
    >>> writes.count("acknowledged") >= 50
    True
    """

    def __init__(self, node_port: int, password: str, *, rate: float = 50, patience: float = PATIENCE) -> None:
        """Begin at once. `rate` is in writes a second; `patience` is in seconds."""
        self._client = connect(node_port, password, timeout=patience)
        self._connect_anew = functools.partial(connect, node_port, password, timeout=_READING)
        self._period = 1 / rate
        self.prefix = f"write:{time.time_ns()}"
        self._began = time.monotonic()
        self._outcomes: list[Write] = []
        self._marks: list[tuple[float, str]] = []
        self._changed = threading.Condition()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.stop()

    @property
    def outcomes(self) -> list[Write]:
        """All writes so far, in the order in which they were sent."""
        with self._changed:
            return list(self._outcomes)

    @property
    def marks(self) -> list[tuple[float, str]]:
        """What was marked: (seconds since the start, text)."""
        with self._changed:
            return list(self._marks)

    def mark(self, text: str) -> None:
        """Note a moment, for the figure."""
        with self._changed:
            self._marks.append((time.monotonic() - self._began, text))

    def hear(self, event: dict[str, Any]) -> None:
        """Mark a voter's news about the primary, as its channel carries it: the first of each kind, while writing."""
        text = NEWS.get(event["channel"], "")
        of_primary = event["data"].startswith(("master ", "redis "))
        with self._changed:
            if text and of_primary and not self._stopping.is_set() and text not in [t for _, t in self._marks]:
                self.mark(text)

    def count(self, outcome: str) -> int:
        """How many writes had that outcome."""
        return sum(w.outcome == outcome for w in self.outcomes)

    def reasons(self) -> Counter[str]:
        """Why writes were not acknowledged, with how often."""
        return Counter(w.why for w in self.outcomes if w.why)

    def wait_for(self, number: int, outcome: str = ACKNOWLEDGED, *, timeout: float = 60) -> None:
        """Wait for so many more writes of an outcome in a row. Raises NotInTime after `timeout` seconds."""
        with self._changed:
            first = len(self._outcomes)
            if not self._changed.wait_for(lambda: self._in_a_row(outcome, first) >= number, timeout):
                last = Counter(f"{w.outcome} {w.why}".strip() for w in self._outcomes[first:][-20:])
                raise NotInTime(
                    f"there were not {number} {outcome} writes in a row within {timeout:g} s. The last ones: "
                    f"{', '.join(f'{n} × {what}' for what, n in last.items()) or 'none'}. "
                    "Who has the role: lab.get('pods', selector='app=redis'), and !kubectl get pods --show-labels"
                )

    def _in_a_row(self, outcome: str, first: int) -> int:
        """How many of the last writes had that outcome, back to the first one that had another, or to `first`."""
        last = itertools.takewhile(lambda write: write.outcome == outcome, reversed(self._outcomes[first:]))
        return sum(1 for _ in last)

    @property
    def outage(self) -> float:
        """The longest time in seconds without an acknowledgement, from the first write to the last one's outcome."""
        outcomes = self.outcomes
        known = [w.known for w in outcomes if w.outcome == ACKNOWLEDGED]
        ends = [outcomes[0].sent, *known, outcomes[-1].known] if outcomes else []
        return max((b - a for a, b in itertools.pairwise(ends)), default=0.0)

    def lost(self) -> list[int]:
        """The numbers of the writes that were acknowledged and that the primary of today does not have.

        It is asked over a new connection: one from before a failover may still lead to the old primary. Raises
        redis.RedisError when nobody answers.
        """
        numbers = [w.number for w in self.outcomes if w.outcome == ACKNOWLEDGED]
        if not numbers:
            return []
        with self._connect_anew() as server:
            values = server.mget([self._key(n) for n in numbers])
        return [n for n, value in zip(numbers, values, strict=True) if value != str(n)]

    def stop(self) -> None:
        """End the load; what was recorded stays."""
        self._stopping.set()
        self._thread.join(timeout=5)
        self._client.close()

    def _key(self, number: int) -> str:
        return f"{self.prefix}:{number}"

    def _run(self) -> None:
        number, due = 0, time.monotonic()
        while not self._stopping.wait(max(0.0, due - time.monotonic())):
            number += 1
            sent = time.monotonic() - self._began
            outcome, why = self._write(number)
            with self._changed:
                self._outcomes.append(Write(number, sent, time.monotonic() - self._began, outcome, why))
                self._changed.notify_all()
            due = max(due + self._period, time.monotonic())

    def _write(self, number: int) -> tuple[str, str]:
        try:
            connection = self._client.connection_pool.get_connection()
        except (redis.RedisError, OSError) as error:  # nobody has even seen the write
            return REFUSED, _reason(error, "no connection")
        healthy = False
        try:
            connection.send_command("SET", self._key(number), str(number))  # type: ignore[no-untyped-call]
            connection.read_response()
            healthy = True
            return ACKNOWLEDGED, ""
        except redis.ResponseError as error:  # the server said no
            return REFUSED, _reason(error, "")
        except (redis.RedisError, OSError) as error:  # sent, and then silence: written or not, nobody knows
            return UNANSWERED, "no answer in time" if isinstance(error, redis.TimeoutError) else "connection ended"
        finally:
            if not healthy:
                connection.disconnect()  # type: ignore[no-untyped-call]
            self._client.connection_pool.release(connection)


def _reason(error: Exception, otherwise: str) -> str:
    """READONLY, NOREPLICAS and the like: what a server's refusal begins with."""
    if otherwise and not isinstance(error, redis.ResponseError):
        return otherwise
    if isinstance(error, redis.ReadOnlyError):
        return "READONLY"
    first = str(error).split(" ", 1)[0]
    return first if first.isupper() else str(error) or type(error).__name__
