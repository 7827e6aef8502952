"""Choosing among SRV records: RFC 2782's rules, and the judge of a learner's own choice."""

from __future__ import annotations

import random
from collections.abc import Sequence

import pytest

from labsupport.chapter.checks import check
from labsupport.domain_names.srv import Srv, chi_square, choose, in_order, judge, parse, shares

A, B, C = Srv(10, 60, 1, "a."), Srv(10, 30, 2, "b."), Srv(10, 10, 3, "c.")
LATER, IDLE = Srv(20, 100, 4, "later."), Srv(10, 0, 5, "idle.")


def test_records_are_read_as_dns_writes_them() -> None:
    assert parse(["10 60 6379 www.lab.example."]) == [Srv(10, 60, 6379, "www.lab.example.")]
    with pytest.raises(ValueError):
        parse(["10 60 www.lab.example."])


def test_only_the_lowest_priority_is_chosen() -> None:
    assert shares(choose, [LATER, A])[LATER] == 0


def test_weights_are_kept_within_chance() -> None:
    assert chi_square(shares(choose, [A, B, C, LATER])) < 5.99
    assert chi_square({A: 5000, B: 4000, C: 1000, LATER: 0}) > 100


def test_a_weight_of_zero_has_a_small_chance_and_not_none() -> None:
    counted = shares(choose, [A, B, C, IDLE], draws=50_000)
    assert 0 < counted[IDLE] < 1000


def test_records_of_weight_zero_only_are_chosen_all_the_same() -> None:
    assert choose([IDLE], random.Random(1)) == IDLE


def test_a_client_tries_all_records_lower_priorities_first() -> None:
    tried = list(in_order([LATER, A, B, C], random.Random(1)))
    assert tried[-1] == LATER and sorted(tried) == sorted([A, B, C, LATER])


def test_the_judge_takes_the_right_choice_and_leaves_the_untouched_one() -> None:
    assert judge(choose) is True
    assert judge(...) is ...


def first(records: Sequence[Srv], chance: random.Random) -> Srv:
    return min(records)


def any_of_them(records: Sequence[Srv], chance: random.Random) -> Srv:
    return chance.choice(list(records))


def evenly(records: Sequence[Srv], chance: random.Random) -> Srv:
    return chance.choice([r for r in records if r.priority == min(x.priority for x in records)])


def invented(records: Sequence[Srv], chance: random.Random) -> Srv:
    return Srv(1, 1, 1, "mine.")


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        (first, "always the same"),
        (any_of_them, "priority ignored"),
        (evenly, "weight ignored"),
        (invented, "not one of the records"),
        (42, "not a function"),
    ],
)
def test_the_judge_says_what_is_wrong(wrong: object, why: str) -> None:
    assert judge(wrong) == why


def test_a_choice_that_raises_is_told_its_error(capsys: pytest.CaptureFixture[str]) -> None:
    """Not that its kind is wrong: the learner has written a function, as asked."""
    check("8.1", judge(lambda records, chance: records[99]))
    assert capsys.readouterr().out == "8.1 TRY AGAIN: it raised IndexError: list index out of range. " + (
        "lab.hint('8.1') helps.\n"
    )
