"""The chain of a look-up: each question, who answered it, and what came back."""

from __future__ import annotations

from labsupport.domain_names.caching_resolver import Resolved
from labsupport.figures.diagram import Arrow, Box, Diagram, Label
from labsupport.figures.drawing import BLUE, ORANGE, Look, Picture

ASKED, REMEMBERED = Look("white", BLUE, width=1.8), Look("white", ORANGE, line="--", width=1.8)
_WIDTH, _BOX, _HEIGHT, _STEP = 8.0, 3.2, 0.5, 0.85  # inches: the page, a box's width and height, from row to row


def draw(resolved: Resolved, title: str = "") -> Picture:
    """Draw the steps of a look-up from top to bottom: what was asked, and what was answered.

    A step that was asked over the wire has a solid blue frame, one from the cache a dashed orange one.

    >>> chain.draw(resolver.resolve("news.lab.example."))
    """
    return diagram(resolved, title).picture(alt_text(resolved, title))


def diagram(resolved: Resolved, title: str = "") -> Diagram:
    """A row for each step: the question's box, an arrow that says who answered, and the answer's box."""
    page = Diagram(_WIDTH, _STEP * len(resolved.steps) - 0.15, title)
    last = None
    for row, step in enumerate(resolved.steps):
        look, source = (REMEMBERED, "from the cache") if step.cached else (ASKED, "asked the server")
        y = 0.1 + row * _STEP
        question = Box(0.1, y, _BOX, _HEIGHT, f"{step.name}  {step.type}?", look=look)
        answer = Box(_WIDTH - 0.1 - _BOX, y, _BOX, _HEIGHT, step.answer, look=look)
        page.boxes += [question, answer]
        page.arrows.append(Arrow(question.right, answer.left, look.edge, look.line))
        page.labels.append(Label((_WIDTH / 2, y + 0.13), source, 1.2, "center", size=8))
        if last:  # the answer is the next question
            page.arrows.append(Arrow((last.x + 0.4, last.bottom[1]), (question.x + _BOX - 0.4, question.y), width=1))
        last = answer
    return page


def alt_text(resolved: Resolved, title: str = "") -> str:
    """The steps in words."""
    steps = "; ".join(
        f"{step.name} {step.type} gives {step.answer}{' from the cache' if step.cached else ''}"
        for step in resolved.steps
    )
    return f"{title or 'The chain of a look-up'}. {steps}. Ends with {resolved.status}."
