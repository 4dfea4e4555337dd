"""A learner's way through a lesson: gates, predictions, tasks, and coming back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from lbtutor.core import ContractError, Event
from lbtutor.course.lesson import Lesson
from lbtutor.course.loader import load
from lbtutor.course.progress import Progress
from lbtutor.course.session import LessonSession


@pytest.fixture
def lesson(write_lesson: Any) -> Lesson:
    return load(write_lesson())


@pytest.fixture
def session(lesson: Lesson, tmp_path: Path, clock: Any) -> LessonSession:
    return LessonSession(lesson, Progress.load(tmp_path / "state"), clock=clock)


def told(session: LessonSession) -> tuple[bool | None, str]:
    """Whether the recorded answer was right, and what is said to it."""
    feedback = session.feedback
    assert feedback is not None
    return feedback.right, feedback.says


def gate(session: LessonSession) -> str | None:
    return session.gate


def see(session: LessonSession, *events: Event) -> None:
    for event in events:
        session.watch(event)


def reach_the_second_step(session: LessonSession, trace: Any) -> None:
    session.answer("a")
    for backend in ("a", "b", "a"):
        see(session, *trace.request(backend))
    assert session.next().id == "second"


def crash_and_fail_over(session: LessonSession, trace: Any) -> None:
    see(session, trace.befell("a", "crash"), trace.believed("a", "down"), *trace.request("b"), *trace.request("b"))


def test_a_prediction_holds_the_scene_and_the_way_on(session: LessonSession) -> None:
    assert session.held == "Say first what you expect; then the scene runs."
    assert gate(session) == session.held
    assert session.next().id == "first"


def test_a_prediction_made_lets_the_scene_run_and_gives_nothing_away(session: LessonSession) -> None:
    feedback = session.answer("b")
    assert (feedback.right, feedback.misconception) == (None, None)
    assert told(session) == (None, "Noted: b's. The stage will tell.")
    assert session.held is None
    assert gate(session) == "Not yet: three requests came (request 0 of 3)."


def test_a_prediction_stands_once_it_is_made(session: LessonSession) -> None:
    session.answer("b")
    session.answer("a")
    assert session.answered == "b"


def test_a_prediction_is_settled_when_the_stage_has_shown_it(session: LessonSession, trace: Any) -> None:
    session.answer("b")
    see(session, *trace.request("a"), *trace.request("b"), *trace.request("a"))
    feedback = session.feedback
    assert feedback is not None
    assert feedback.right is False
    assert feedback.says == "Expected: a's. You chose: b's. b had the second. Count."
    assert feedback.misconception == "X01"


def test_a_prediction_is_shown_beside_what_happens(session: LessonSession, trace: Any) -> None:
    reach_the_second_step(session, trace)
    prediction = session.prediction
    assert prediction is not None
    assert (prediction.step, prediction.choice.text, prediction.feedback.right) == ("first", "a's", True)


def test_a_prediction_without_a_task_is_settled_by_going_on(
    write_lesson: Any, tmp_path: Path, clock: Any, trace: Any
) -> None:
    task = '[task]\nsays = "Let three requests come."\ngoals = [{ says = "three requests came", decided = 3 }]\n'
    session = LessonSession(load(write_lesson(("lesson.md", task, ""))), Progress.load(tmp_path / "state"), clock=clock)
    session.answer("a")
    assert told(session)[0] is None
    session.next()
    prediction = session.prediction
    assert prediction is not None
    assert prediction.feedback.right is True


def test_goals_say_how_far_they_are_and_open_the_way_when_reached(session: LessonSession, trace: Any) -> None:
    reach_the_second_step(session, trace)
    see(session, trace.befell("a", "crash"), trace.probed("a", 1, 2))
    assert [(goal.done, goal.detail) for goal in session.goals] == [
        (True, "the balancer was not told"),
        (False, "1 of 2 probes failed, 0 requests failed there so far"),
    ]
    assert gate(session) == ("Not yet: traffic failed over (1 of 2 probes failed, 0 requests failed there so far).")
    assert session.next().id == "second"
    see(session, trace.believed("a", "down"), *trace.request("b"), *trace.request("b"))
    assert gate(session) is None
    assert session.next().id == "third"


def test_what_happened_on_the_stage_before_a_task_counts_for_it(session: LessonSession, trace: Any) -> None:
    session.answer("a")
    see(session, trace.befell("a", "crash"))
    for _ in range(3):
        see(session, *trace.request("b"))
    session.next()
    assert [goal.done for goal in session.goals] == [True, False]


def test_a_new_run_begins_open_goals_anew_and_keeps_reached_ones(session: LessonSession, trace: Any) -> None:
    reach_the_second_step(session, trace)
    see(session, trace.befell("a", "crash"), trace.believed("a", "down"), *trace.request("b"))
    plan = session.begin_run(seed=9)
    assert (plan.seed, plan.title) == (9, "A pair")
    assert [(goal.done, goal.detail) for goal in session.goals] == [
        (True, "the balancer was not told"),
        (False, "a is up"),
    ]


def test_the_stage_stays_while_steps_name_no_other(session: LessonSession, trace: Any) -> None:
    assert session.stage == ("pair", None)
    reach_the_second_step(session, trace)
    assert session.stage == ("pair", None)
    assert session.scene is session.lesson.scenes["pair"]
    assert [act.at for act in session.rehearsal] == [2.0]


def test_a_step_may_change_the_algorithm(write_lesson: Any, tmp_path: Path, clock: Any) -> None:
    folder = write_lesson(("lesson.md", 'id = "third"', 'id = "third"\nalgorithm = "least_connections"'))
    session = LessonSession(load(folder), Progress.load(tmp_path / "state"), clock=clock)
    session.go(2)
    assert session.stage == ("pair", "least_connections")
    assert session.begin_run().pools[0].algorithm == "least_connections"


def test_a_prediction_is_not_shown_beside_another_stage(write_lesson: Any, tmp_path: Path, clock: Any) -> None:
    folder = write_lesson(("lesson.md", 'id = "third"', 'id = "third"\nalgorithm = "least_connections"'))
    session = LessonSession(load(folder), Progress.load(tmp_path / "state"), clock=clock)
    session.answer("a")
    session.go(2)
    assert session.prediction is None


def test_a_run_needs_a_scene(write_lesson: Any, tmp_path: Path, clock: Any) -> None:
    extra = '## Zero\n\n```step\nid = "zero"\nkind = "explain"\n```\n\nWords.\n\n## First'
    session = LessonSession(
        load(write_lesson(("lesson.md", "## First", extra))), Progress.load(tmp_path / "state"), clock=clock
    )
    assert session.scene is None
    with pytest.raises(ContractError, match="zero has no scene"):
        session.begin_run()


def test_an_ordinary_question_may_be_answered_again(session: LessonSession, trace: Any) -> None:
    session.go(2)
    assert gate(session) == "The question is still open."
    assert session.answer("a").right is False
    assert gate(session) is None
    assert session.answer("B").right is True
    assert session.answered == "b"


def test_a_letter_that_is_not_offered_is_a_mistake_of_the_caller(session: LessonSession) -> None:
    with pytest.raises(ContractError, match="offers no choice 'x'"):
        session.answer("x")
    session.go(1)
    with pytest.raises(ContractError, match="offers no choice 'a'"):
        session.answer("a")


def test_skipping_goes_on_and_leaves_the_step_undone(session: LessonSession) -> None:
    assert session.skip().id == "second"
    assert session.skip().id == "third"
    session.answer("b")
    session.next()
    assert not session.finished
    assert [step.id for step in session.left] == ["first", "second"]
    assert not session.progress.finished("small")


def test_the_last_step_left_finishes_the_lesson_wherever_it_stands(session: LessonSession, trace: Any) -> None:
    session.skip()
    crash_and_fail_over(session, trace)
    session.next()
    session.answer("b")
    session.next()
    session.go(0)
    session.answer("a")
    for _ in range(3):
        see(session, *trace.request("b"))
    session.next()
    assert session.finished
    assert session.progress.finished("small")


def test_steps_stay_within_the_lesson(session: LessonSession) -> None:
    assert session.previous().id == "first"
    assert session.go(99).id == "third"
    assert session.skip().id == "third"
    assert session.go(-5).id == "first"


def test_going_back_keeps_what_was_reached(session: LessonSession, trace: Any) -> None:
    reach_the_second_step(session, trace)
    crash_and_fail_over(session, trace)
    session.previous()
    session.next()
    assert [goal.done for goal in session.goals] == [True, True]


def test_a_lesson_resumes_at_the_step_where_it_was_left(
    session: LessonSession, lesson: Lesson, trace: Any, tmp_path: Path, clock: Any
) -> None:
    reach_the_second_step(session, trace)
    again = LessonSession(lesson, Progress.load(tmp_path / "state"), clock=clock)
    assert again.step.id == "second"
    assert again.previous().id == "first"
    assert again.answered == "a"
    assert again.held is None
    assert again.gate is None


def test_a_lesson_left_for_another_resumes_at_the_first_step_not_done(
    session: LessonSession, lesson: Lesson, trace: Any, tmp_path: Path, clock: Any
) -> None:
    reach_the_second_step(session, trace)
    session.progress.record_place("another", "step", clock())
    again = LessonSession(lesson, Progress.load(tmp_path / "state"), clock=clock)
    assert again.step.id == "second"


def test_a_step_that_is_gone_from_the_lesson_is_no_hindrance(
    session: LessonSession, lesson: Lesson, tmp_path: Path, clock: Any
) -> None:
    session.progress.record_place("small", "renamed", clock())
    assert LessonSession(lesson, Progress.load(tmp_path / "state"), clock=clock).step.id == "first"


def test_a_finished_lesson_begins_again_at_its_first_step(
    session: LessonSession, lesson: Lesson, trace: Any, tmp_path: Path, clock: Any
) -> None:
    reach_the_second_step(session, trace)
    crash_and_fail_over(session, trace)
    session.next()
    session.answer("b")
    session.next()
    assert session.finished
    again = LessonSession(lesson, Progress.load(tmp_path / "state"), clock=clock)
    assert again.step.id == "first"
    assert again.gate is None
