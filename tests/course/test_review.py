"""Questions that come back."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from lbtutor.core import ConfigError, ContractError
from lbtutor.course.lesson import Lesson
from lbtutor.course.loader import load
from lbtutor.course.progress import Progress
from lbtutor.course.review import answer, returning
from lbtutor.course.session import LessonSession

DAY = timedelta(days=1)


@pytest.fixture
def lesson(write_lesson: Any) -> Lesson:
    return load(write_lesson())


@pytest.fixture
def progress(lesson: Lesson, tmp_path: Path, clock: Any) -> Progress:
    """Both questions of the lesson answered right."""
    session = LessonSession(lesson, Progress.load(tmp_path / "state"), clock=clock)
    session.answer("a")
    session.go(2)
    session.answer("b")
    return session.progress


def test_a_question_comes_back_the_next_day_and_then_after_three(
    lesson: Lesson, progress: Progress, clock: Any
) -> None:
    assert returning(progress, clock(), lambda _: lesson) == ()
    tomorrow = clock() + DAY
    (asked,) = returning(progress, tomorrow, lambda _: lesson)
    assert (asked.lesson, asked.title, asked.question.id) == ("small", "Small", "later")
    assert answer(progress, asked, "b", tomorrow).right is True
    assert returning(progress, tomorrow + 3 * DAY - timedelta(seconds=1), lambda _: lesson) == ()
    assert len(returning(progress, tomorrow + 3 * DAY, lambda _: lesson)) == 1


def test_a_wrong_answer_brings_it_back_in_ten_minutes(lesson: Lesson, progress: Progress, clock: Any) -> None:
    tomorrow = clock() + DAY
    (asked,) = returning(progress, tomorrow, lambda _: lesson)
    assert answer(progress, asked, "a", tomorrow).right is False
    assert len(returning(progress, tomorrow + timedelta(minutes=10), lambda _: lesson)) == 1


def test_a_letter_that_is_not_offered_is_refused(lesson: Lesson, progress: Progress, clock: Any) -> None:
    (asked,) = returning(progress, clock() + DAY, lambda _: lesson)
    with pytest.raises(ContractError, match="offers no choice 'x'"):
        answer(progress, asked, "x", clock())


def test_a_lesson_that_is_gone_asks_nothing(progress: Progress, clock: Any) -> None:
    def gone(_: str) -> Lesson:
        raise ConfigError("there is no such lesson")

    assert returning(progress, clock() + DAY, gone) == ()


def test_a_question_that_is_gone_is_not_asked(write_lesson: Any, progress: Progress, clock: Any) -> None:
    steps = ("lesson.md", 'kind = "recall"\nquestion = "later"', 'kind = "explain"')
    changed = load(write_lesson(steps, name="02-small"))
    assert returning(progress, clock() + DAY, lambda _: changed) == ()
