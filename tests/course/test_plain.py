"""The lesson as text: everything that a screen would show, in the order in which it matters."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from lbtutor.core import Event, Plan
from lbtutor.core.events import OriginChanged, Picked
from lbtutor.course.lesson import Question
from lbtutor.course.loader import load
from lbtutor.course.plain import tell
from lbtutor.course.progress import Progress
from lbtutor.course.session import LessonSession
from lbtutor.sim.simulate import simulate


def play(plan: Plan) -> list[Event]:
    events: list[Event] = []
    simulate(plan, events.append)
    return events


def say(event: Event) -> str | None:
    match event:
        case Picked():
            return f"r{event.request} to {event.backend}"
        case OriginChanged():
            return f"{event.backend} does this: {event.fault}"
    return None


def answers(*typed: str) -> Callable[[Question], str | None]:
    left = iter(typed)
    return lambda _: next(left, None)


@pytest.fixture
def session(write_lesson: Any, tmp_path: Path, clock: Any) -> LessonSession:
    return LessonSession(load(write_lesson()), Progress.load(tmp_path / "state"), clock=clock)


def test_a_lesson_is_told_from_its_title_to_its_end(session: LessonSession) -> None:
    told = list(tell(session, play=play, say=say, ask=answers("b", "b")))
    assert told == [
        "Lesson 1: Small",
        "===============",
        "A lesson for tests.",
        "",
        "1 of 3. First",
        "-------------",
        "Some text.",
        "",
        "Question: Whose turn is the third?",
        "  a) a's",
        "  b) b's",
        "Noted: b's. The stage will tell.",
        "",
        "Scene: A pair.",
        "Task: Let three requests come. (It is done for you here.)",
        "",
        "   0.50 s  r1 to a",
        "   1.00 s  r2 to b",
        "   1.50 s  r3 to a",
        "Reached: three requests came (request 3 went to a).",
        "",
        "Expected: a's. You chose: b's. b had the second. Count.",
        "",
        "2 of 3. Second",
        "--------------",
        "More text.",
        "Task: Crash a. (It is done for you here.)",
        "",
        "   2.00 s  a does this: crash",
        "Reached: a crashed (the balancer was not told).",
        "   2.00 s  r4 to b",
        "   2.50 s  r5 to a",
        "   3.00 s  r6 to b",
        "   3.50 s  r7 to b",
        "   4.00 s  r8 to b",
        "Reached: traffic failed over (1 request failed at a; the next 2 were answered",
        "elsewhere).",
        "",
        "3 of 3. Third",
        "-------------",
        "The end.",
        "",
        *[f"{at:7.2f} s  r{number} to b" for number, at in enumerate((4.5, 5.0, 5.5, 6.0), 9)],
        *[f"{at / 2:7.2f} s  r{at} to b" for at in range(13, 21)],
        "",
        "Question: And the fifth?",
        "  a) b's",
        "  b) a's",
        "Right: a's. Five is odd.",
        "",
        "This lesson is done.",
    ]
    assert session.progress.finished("small")


def test_without_anybody_to_ask_the_answers_are_told_and_nothing_is_recorded(session: LessonSession) -> None:
    told = list(tell(session, play=play, say=say, ask=answers()))
    before, after = told.index("Scene: A pair."), told.index("The answer is: a's. Two make a round.")
    assert before < after
    assert "The answer is: a's. Five is odd." in told
    assert told[-1] == "Not done yet: First, Third"
    assert session.progress.answered("small", session.steps[2].question) is None  # type: ignore[arg-type]


def test_a_letter_that_is_not_offered_is_asked_again(session: LessonSession) -> None:
    told = list(tell(session, play=play, say=say, ask=answers("x", "a", "b")))
    assert "There is no choice 'x': type one of a, b." in told
    assert session.progress.finished("small")


def test_what_was_answered_before_is_said_and_not_asked(session: LessonSession) -> None:
    session.go(2)
    session.answer("b")
    told = list(tell(session, play=play, say=say, ask=answers()))
    assert told[-4:-2] == ["You answered before: b.", "Right: a's. Five is odd."]


def test_no_line_is_longer_than_eighty_columns(write_lesson: Any, tmp_path: Path, clock: Any) -> None:
    folder = write_lesson(("lesson.md", "Some *text*.", "Some *text* " * 40))
    session = LessonSession(load(folder), Progress.load(tmp_path / "state"), clock=clock)
    told = tell(session, play=play, say=lambda event: f"{event!r}", ask=answers("a", "b"))
    assert max(map(len, told)) == 80


def test_a_run_is_ended_when_the_stage_changes_and_at_the_end(write_lesson: Any, tmp_path: Path, clock: Any) -> None:
    happened: list[str] = []
    kept: list[Iterator[Event]] = []  # so that nothing is ended by being forgotten

    def play_and_tell(plan: Plan) -> Iterator[Event]:
        happened.append(f"begin {plan.pools[0].algorithm}")
        try:
            yield from play(plan)
        finally:
            happened.append(f"end {plan.pools[0].algorithm}")

    def play_and_keep(plan: Plan) -> Iterator[Event]:
        kept.append(play_and_tell(plan))
        return kept[-1]

    folder = write_lesson(("lesson.md", 'id = "third"', 'id = "third"\nalgorithm = "least_connections"'))
    session = LessonSession(load(folder), Progress.load(tmp_path / "state"), clock=clock)
    list(tell(session, play=play_and_keep, say=say, ask=answers("a", "b")))
    assert happened == ["begin round_robin", "end round_robin", "begin least_connections", "end least_connections"]
