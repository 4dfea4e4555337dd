"""The audit as text, a line at a time: for the command line, a screen reader, a log.

`tell_audit` is a generator of lines of at most 80 columns. Where a prediction is wanted it calls `ask`; each run is
played before its lines are told.
"""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Generator, Iterator

from lbtutor.course.challenge.audit import Hunt, Item, RunSpec, design_of, shown
from lbtutor.course.challenge.design import Design
from lbtutor.course.challenge.unfold import Day, play_day
from lbtutor.course.lesson import Question

WIDTH = 80

Ask = Callable[[Question], str | None]
"""Answers what the person typed, or None when there is nobody to ask."""

INTRODUCTION = (
    "The chapter ends in a design and ticks off every requirement. Some of its numbers contradict each other. Say what "
    "you expect; then a day of Black Friday is played with just that number, and you see."
)


def tell_audit(
    hunt: Hunt, *, ask: Ask, everything: bool = False, play: Callable[[Design], Day] = play_day
) -> Iterator[str]:
    """Tell the questions that the learner has not answered yet; all of them when there are none, or when asked to."""
    items = list(hunt.items) if everything or not hunt.left else hunt.left
    yield from _wrapped(INTRODUCTION)
    if len(items) < len(hunt.items):
        yield from _wrapped(f"{len(hunt.items) - len(items)} of {len(hunt.items)} you have answered before.")
    for item in items:
        yield ""
        yield from _item(hunt, item, ask, play)
    yield ""
    yield from _wrapped(farewell(hunt))


def _item(hunt: Hunt, item: Item, ask: Ask, play: Callable[[Design], Day]) -> Iterator[str]:
    heading = f"{hunt.items.index(item) + 1} of {len(hunt.items)}. {item.title}"
    yield from (heading, "-" * len(heading))
    yield from _wrapped(f"The chapter: {item.chapter}")
    yield ""
    yield from _wrapped(f"Question: {item.question.ask}")
    for choice in item.question.choices:
        yield from _wrapped(f"{choice.key}) {choice.text}", "  ", "     ")
    key = yield from _answer(item.question, ask)
    worth = item.question.solution if key is None else hunt.answer(item, key).says
    yield ""
    for run in item.runs:
        yield from told_run(run, play(design_of(run)))
    yield ""
    yield from _wrapped(worth)


def _answer(question: Question, ask: Ask) -> Generator[str, None, str | None]:
    """Ask until there is an answer; which one is what the generator returns (None: nobody is there)."""
    while (typed := ask(question)) is not None:
        if question.choice(typed) is not None:
            return typed
        letters = ", ".join(choice.key for choice in question.choices)
        yield f"There is no choice {typed.strip()!r}: type one of {letters}."
    return None


def told_run(run: RunSpec, day: Day, width: int = WIDTH) -> list[str]:
    """What was run, and what it showed."""
    lines = _wrapped(f"Run: {run.says}.", width=width)
    for one in shown(day, run):
        lines += _wrapped(one.says, "  - ", "    ", width=width)
    return lines


def farewell(hunt: Hunt) -> str:
    """How far the learner is."""
    right = sum(choice is not None and choice.right for choice in map(hunt.answered, hunt.items))
    left = len(hunt.left)
    if left == len(hunt.items):
        return "Nothing is recorded: nobody answered."
    rest = f"{left} are left for another time. " if left else ""
    hits = f"{right} of {len(hunt.items)} predictions were right."
    return f"{hits} {rest}`lbtutor challenge` lets you write a better design."


def _wrapped(text: str, first: str = "", rest: str = "", width: int = WIDTH) -> list[str]:
    return textwrap.wrap(text, width, initial_indent=first, subsequent_indent=rest, break_on_hyphens=False)
