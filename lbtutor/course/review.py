"""`Review`: the questions that are due today, from all lessons, the longest waiting first."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from msgspec import Struct

from lbtutor.core import ConfigError, ContractError
from lbtutor.course.catalog import load_lesson
from lbtutor.course.lesson import Feedback, Lesson, Question
from lbtutor.course.progress import Progress


class Returning(Struct, frozen=True):
    """A question that came back, and the lesson that asked it first."""

    lesson: str
    title: str
    question: Question


def returning(
    progress: Progress, now: datetime, lesson_by_id: Callable[[str], Lesson] = load_lesson
) -> tuple[Returning, ...]:
    """The questions due for review. Those whose lesson or question is gone, or cannot be read, are passed over."""
    found = []
    for due in progress.due(now):
        try:
            lesson = lesson_by_id(due.lesson)
        except ConfigError:
            continue
        questions = (step.question for step in lesson.steps if step.question is not None)
        found += [Returning(lesson.id, lesson.title, question) for question in questions if question.id == due.question]
    return tuple(found)


def answer(progress: Progress, asked: Returning, key: str, now: datetime) -> Feedback:
    """Record the choice with that letter, which also decides when the question comes back.

    Raises `ContractError` for a letter that is not offered.
    """
    choice = asked.question.choice(key)
    if choice is None:
        raise ContractError(f"question {asked.question.id} offers no choice {key!r}")
    progress.record_answer(asked.lesson, asked.question, choice, now)
    return asked.question.judge(choice)
