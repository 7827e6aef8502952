"""The chain of a look-up."""

from __future__ import annotations

from itertools import pairwise

from labsupport.domain_names.caching_resolver import Resolved, Step
from labsupport.figures import chain
from labsupport.figures.chain import ASKED, REMEMBERED
from tests.labsupport.figures.readable import assert_clear, assert_readable

ALIASES = Resolved(
    ("192.0.2.10",),
    "NOERROR",
    (
        Step("latest.lab.example.", "A", "test.lab.example.", False, 60),
        Step("test.lab.example.", "A", "lab.example.", True, 60),
        Step("lab.example.", "A", "192.0.2.10", True, 60),
    ),
)


def test_each_step_is_a_row_of_question_and_answer() -> None:
    page = chain.diagram(ALIASES)
    assert [box.text for box in page.boxes] == [
        "latest.lab.example.  A?",
        "test.lab.example.",
        "test.lab.example.  A?",
        "lab.example.",
        "lab.example.  A?",
        "192.0.2.10",
    ]
    rows = [box.y for box in page.boxes]
    assert rows[0] == rows[1] < rows[2] == rows[3] < rows[4]
    assert_clear(page)


def test_what_came_from_the_cache_looks_and_reads_different() -> None:
    page = chain.diagram(ALIASES)
    assert [box.look for box in page.boxes[::2]] == [ASKED, REMEMBERED, REMEMBERED]
    assert [label.text for label in page.labels] == ["asked the server", "from the cache", "from the cache"]
    assert ASKED.line != REMEMBERED.line


def test_an_answer_leads_to_the_next_question() -> None:
    page = chain.diagram(ALIASES)
    answers, questions = page.boxes[1::2], page.boxes[::2]
    down = [arrow for arrow in page.arrows if arrow.begin[1] != arrow.end[1]]
    assert [(a.begin[1], a.end[1]) for a in down] == [
        (answer.bottom[1], question.y) for answer, question in zip(answers, questions[1:], strict=False)
    ]
    assert all(one.y < other.y for one, other in pairwise(questions))


def test_the_alt_text_tells_the_steps() -> None:
    assert chain.alt_text(ALIASES, "An alias") == (
        "An alias. latest.lab.example. A gives test.lab.example.; "
        "test.lab.example. A gives lab.example. from the cache; lab.example. A gives 192.0.2.10 from the cache. "
        "Ends with NOERROR."
    )


def test_long_names_stay_in_their_boxes() -> None:
    name = "_redis._tcp.shop.a-rather-long-name.production.example.com."
    step = Step(name, "SRV", "2001:db8:0:1:2:3:4:5, 2001:db8:0:1:2:3:4:6, 2001:db8::7", False, 60)
    assert_readable(chain.draw(Resolved((), "NXDOMAIN", (step, step)), "Long names"))
    assert_readable(chain.draw(ALIASES))
