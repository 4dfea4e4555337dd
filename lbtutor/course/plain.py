"""A lesson as text: the same steps, questions, runs and goals, a line at a time.

For a screen reader, a log, a terminal without a screen. `tell` is a generator of lines of at most 80 columns. Where
it needs an answer it calls `ask`; where a scene is to run it takes events from `play`; each event becomes the sentence
that `say` makes of it. Tasks are done by their rehearsal, since nobody has a hand on the stage here.

    for line in tell(session, play=play_on_the_simulator, say=narrator.say, ask=read_a_letter):
        print(line)
"""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Generator, Iterable, Iterator
from datetime import datetime

from msgspec.structs import replace

from lbtutor.core import Act, Event, Plan
from lbtutor.course.lesson import Question
from lbtutor.course.progress import Progress
from lbtutor.course.prose import plain
from lbtutor.course.review import answer, returning
from lbtutor.course.session import LessonSession

WIDTH = 80

Play = Callable[[Plan], Iterable[Event]]
Say = Callable[[Event], str | None]
Ask = Callable[[Question], str | None]
"""Answers what the person typed, or None when there is nobody to ask."""


def tell(session: LessonSession, *, play: Play, say: Say, ask: Ask) -> Iterator[str]:
    """Tell the lesson from the session's current step to its end, step by step, recording answers on the way."""
    yield from _title(f"Lesson {session.lesson.number}: {session.lesson.title}", "=")
    yield from _wrapped(session.lesson.summary)
    teller = _Teller(session, play, say, ask)
    try:
        for _ in session.steps[session.index :]:
            yield from teller.step()
            (session.skip if session.gate else session.next)()
    finally:
        teller.let_go()
    yield ""
    yield from _wrapped(_farewell(session))


def tell_due(progress: Progress, now: datetime, *, ask: Ask) -> Iterator[str]:
    """Ask again what is due for review. Stops at the first question that nobody answers: it stays due."""
    for asked in returning(progress, now):
        yield from _wrapped(f"From an earlier day ({asked.title}): {asked.question.ask}")
        yield from _choices(asked.question)
        typed = ask(asked.question)
        while typed is not None and asked.question.choice(typed) is None:
            yield _no_such_choice(asked.question, typed)
            typed = ask(asked.question)
        if typed is None:
            return
        yield from _wrapped(answer(progress, asked, typed, now).says)
        yield ""


class _Teller:
    """Tells steps, and holds the run that goes on from one to the next."""

    def __init__(self, session: LessonSession, play: Play, say: Say, ask: Ask) -> None:
        self._session = session
        self._play = play
        self._say = say
        self._ask = ask
        self._stage: tuple[str, str | None] | None = None
        self._events: Iterator[Event] = iter(())

    def step(self) -> Iterator[str]:
        """The current step: its text, its question before the scene if it is a prediction, else after it."""
        session = self._session
        yield ""
        yield from _title(f"{session.index + 1} of {len(session.steps)}. {session.step.title}", "-")
        yield from plain(session.step.text, WIDTH)
        predicts = session.step.kind == "predict"
        if predicts:
            yield from self._question()
        if session.stage is not None:
            yield from self._scene()
        if predicts:
            yield from ("", *self._settled())
        else:
            yield from self._question()

    def let_go(self) -> None:
        """End the run that is under way, if it can be ended."""
        if isinstance(self._events, Generator):
            self._events.close()

    def _question(self) -> Iterator[str]:
        """Ask, unless it was answered before; say what there is to say to the answer."""
        session, question = self._session, self._session.step.question
        if question is None:
            return
        yield ""
        yield from _wrapped(f"Question: {question.ask}")
        yield from _choices(question)
        if session.answered is None:
            yield from self._answer(question)
        else:
            yield f"You answered before: {session.answered}."
            yield from self._settled()

    def _answer(self, question: Question) -> Iterator[str]:
        while (typed := self._ask(question)) is not None:
            if question.choice(typed) is not None:
                yield from _wrapped(self._session.answer(typed).says)
                return
            yield _no_such_choice(question, typed)
        if self._session.step.kind != "predict":
            yield from self._settled()

    def _settled(self) -> list[str]:
        """What there is to say once the stage has shown it: to the answer, or to nobody's."""
        feedback, question = self._session.feedback, self._session.step.question
        if feedback is not None:
            return _wrapped(feedback.says)
        return [] if question is None else _wrapped(question.solution)

    def _scene(self) -> Iterator[str]:
        """The run, begun anew or gone on with, until the goals are reached or enough was watched."""
        session = self._session
        if session.stage != self._stage:
            self.let_go()
            self._stage = session.stage
            plan = session.begin_run()
            self._events = iter(self._play(replace(plan, acts=_in_order(plan, session))))
            yield from ("", *_wrapped(f"Scene: {plan.title}."))
        if session.step.task is not None:
            yield from _wrapped(f"Task: {session.step.task.says} (It is done for you here.)")
        yield ""
        began: float | None = None
        for event in self._events:
            began = event.at if began is None else began
            yield from self._event(event)
            if self._seen_enough(event.at - began):
                return

    def _event(self, event: Event) -> Iterator[str]:
        session = self._session
        open_before = [goal.says for goal in session.goals if not goal.done]
        reached = [goal for goal in session.watch(event) if goal.done and goal.says in open_before]
        if sentence := self._say(event):
            stamp = f"{event.at:7.2f} s  "
            yield from _wrapped(sentence, stamp, " " * len(stamp))
        for goal in reached:
            yield from _wrapped(f"Reached: {goal.says} ({goal.detail}).")

    def _seen_enough(self, watched: float) -> bool:
        if self._session.step.task is not None:
            return all(goal.done for goal in self._session.goals)
        return watched >= self._session.step.watch


def _choices(question: Question) -> Iterator[str]:
    for choice in question.choices:
        yield from _wrapped(f"{choice.key}) {choice.text}", "  ", "     ")


def _no_such_choice(question: Question, typed: str) -> str:
    return f"There is no choice {typed.strip()!r}: type one of {', '.join(choice.key for choice in question.choices)}."


def _in_order(plan: Plan, session: LessonSession) -> tuple[Act, ...]:
    return tuple(sorted((*plan.acts, *session.rehearsal), key=lambda act: act.at))


def _farewell(session: LessonSession) -> str:
    if session.finished:
        return "This lesson is done."
    return f"Not done yet: {', '.join(step.title for step in session.left)}"


def _title(text: str, underline: str) -> Iterator[str]:
    yield text
    yield underline * min(len(text), WIDTH)


def _wrapped(text: str, first: str = "", rest: str = "") -> list[str]:
    return textwrap.wrap(text, WIDTH, initial_indent=first, subsequent_indent=rest, break_on_hyphens=False)
