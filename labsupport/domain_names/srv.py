"""Choosing among SRV records, as RFC 2782 says ("Usage rules"): by priority first, then by chance and weight."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, order=True)
class Srv:
    """One SRV record."""

    priority: int
    weight: int
    port: int
    target: str


Choose = Callable[[Sequence[Srv], random.Random], Srv]


def parse(records: Iterable[str]) -> list[Srv]:
    """Read records as DNS writes them, "10 60 6379 www.lab.example.". Raises ValueError.

    >>> parse(["10 60 6379 www.lab.example."])[0].port
    6379
    """
    fields = [text.split() for text in records]
    return [Srv(int(priority), int(weight), int(port), target) for priority, weight, port, target in fields]


def choose(records: Sequence[Srv], chance: random.Random) -> Srv:
    """The record to try first. Raises ValueError without records.

    Of those with the lowest priority, one by weight: the ones of weight 0 are put in front, a number between 0 and
    the sum of the weights is drawn, both included, and the first record whose running sum reaches it is taken. So a
    weight of 0 has a small chance, and not none. In whole numbers the 0 would be one chance too many for whoever
    stands first, so it is drawn only where a record of weight 0 is there to take it.
    """
    lowest = min(record.priority for record in records)
    equals = sorted((r for r in records if r.priority == lowest), key=lambda r: r.weight > 0)
    drawn = chance.randint(min(1, equals[0].weight), sum(record.weight for record in equals))
    running = 0
    for record in equals:
        running += record.weight
        if running >= drawn:
            return record
    raise AssertionError("the last running sum is the sum of all weights")


def in_order(records: Sequence[Srv], chance: random.Random) -> Iterator[Srv]:
    """All records in the order in which a client tries them: `choose`, and again among those that are left."""
    left = list(records)
    while left:
        record = choose(left, chance)
        left.remove(record)
        yield record


def shares(chooser: Choose, records: Sequence[Srv], draws: int = 10_000, seed: int = 2782) -> dict[Srv, int]:
    """How often each record is chosen; the seed makes the draws the same on every run."""
    chance = random.Random(seed)
    counted = Counter(chooser(records, chance) for _ in range(draws))
    return {record: counted[record] for record in records}


def chi_square(counted: dict[Srv, int]) -> float:
    """Pearson's statistic of the counts against the weights, over the records in use whose weight is not 0.

    For k records it stays below its critical value in 95 of 100 cases: 3.84 for k = 2, 5.99 for 3, 7.81 for 4.
    """
    lowest = min(record.priority for record in counted)
    weighted = {r: count for r, count in counted.items() if r.priority == lowest and r.weight}
    total, weights = sum(weighted.values()), sum(record.weight for record in weighted)
    expected = {record: total * record.weight / weights for record in weighted}
    return sum((count - expected[record]) ** 2 / expected[record] for record, count in weighted.items())


def judge(chooser: object) -> object:
    """Try a learner's chooser out: `...` for the untouched one, True when it is right, else what is wrong with it.

    What the chooser raises is what is wrong with it, too.
    """
    if chooser is ...:
        return ...
    if not callable(chooser):
        return "not a function"
    one, other = Srv(10, 75, 1, "a."), Srv(10, 25, 2, "b.")
    later, never = Srv(20, 100, 3, "c."), Srv(10, 0, 4, "d.")
    try:
        counted = shares(chooser, [later, one, other])
        if set(counted) != {later, one, other} or sum(counted.values()) != 10_000:
            return "not one of the records"
        if counted[later]:
            return "priority ignored"
        if not counted[other] or not counted[one]:
            return "always the same"
        if chi_square({one: counted[one], other: counted[other]}) > 10.8:  # one right answer in a thousand fails
            return "weight ignored"
        alone = shares(chooser, [never], draws=10)
    except Exception as error:
        return error
    return True if alone[never] == 10 else "not one of the records"
