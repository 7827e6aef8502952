"""The figure of a conversation with redirects."""

from __future__ import annotations

import pytest

from labsupport.figures import sequence
from labsupport.figures.sequence import Exchange
from tests.labsupport.figures.readable import assert_readable

TALK = [
    Exchange("redis-0", "GET {basket}:0", "MOVED 7978 redis-1:6379"),
    Exchange("redis-1", "GET {basket}:0", "ASK 7978 redis-2:6379"),
    Exchange("redis-2", "ASKING", "OK"),
    Exchange("redis-2", "GET {basket}:0", "a value"),
]
MEMBERS = ["redis-0", "redis-1", "redis-2"]


def test_arrows_lead_from_the_client_to_the_member_and_back_in_order_of_time() -> None:
    page = sequence.diagram(TALK, MEMBERS)
    places = {label.text: label.at[0] for label in page.labels if label.bold}
    spoken = [arrow for arrow in page.arrows if arrow.head]
    client = places["client"]
    for exchange, question, answer in zip(TALK, spoken[::2], spoken[1::2], strict=True):
        member = places[exchange.member]
        assert (question.begin[0], question.end[0]) == (client, member)
        assert (answer.begin[0], answer.end[0]) == (member, client)
    heights = [arrow.begin[1] for arrow in spoken]
    assert heights == sorted(set(heights))


def test_there_is_a_lifeline_for_the_client_and_each_member() -> None:
    page = sequence.diagram(TALK, MEMBERS)
    lifelines = [arrow.begin[0] for arrow in page.arrows if not arrow.head]
    assert lifelines == [label.at[0] for label in page.labels if label.bold]
    assert [label.text for label in page.labels if label.bold] == ["client", *MEMBERS]


def test_redirects_are_dashed_and_dotted() -> None:
    answers = [arrow for arrow in sequence.diagram(TALK, MEMBERS).arrows if arrow.head][1::2]
    assert [arrow.line for arrow in answers] == ["--", ":", "-", "-"]


def test_no_text_reaches_the_next_lifeline() -> None:
    talk = [Exchange("redis-1", "SET a-very-long-key-that-nobody-would-use the-value-that-it-has", "OK")]
    page = sequence.diagram(talk, MEMBERS)
    apart = page.labels[1].at[0] - page.labels[0].at[0]
    for label in page.labels:
        if not label.bold:
            assert page.labels[0].at[0] < label.at[0] and label.at[0] + label.room < page.labels[0].at[0] + apart
    assert_readable(sequence.draw(talk, MEMBERS))


def test_the_alt_text_tells_the_conversation_in_order() -> None:
    picture = sequence.draw(TALK[:2], MEMBERS, "Two redirects")
    assert picture.alt == (
        "Two redirects. In this order: redis-0 is asked GET {basket}:0 and answers MOVED 7978 redis-1:6379; "
        "redis-1 is asked GET {basket}:0 and answers ASK 7978 redis-2:6379."
    )
    assert_readable(sequence.draw(TALK, MEMBERS, "Two redirects"))


def test_a_member_that_has_no_lifeline_is_an_error() -> None:
    with pytest.raises(KeyError, match="redis-9"):
        sequence.diagram([Exchange("redis-9", "PING", "PONG")], MEMBERS)
