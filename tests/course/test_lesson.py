"""What is said to an answer, and which run a step belongs to."""

from __future__ import annotations

from lbtutor.core import Act, Fault
from lbtutor.course.goals import Decided
from lbtutor.course.lesson import Choice, Goal, Question, Step, Task, rehearsal_at, stage_at

QUESTION = Question(
    "whose",
    "Whose turn is it?",
    (
        Choice("a", "srv-1", right=True, because="It is first."),
        Choice("b", "Nobody's!", right=False, because="Somebody is due.", misconception="M21"),
    ),
    "Look again.",
)


def test_a_wrong_answer_is_told_the_expected_then_the_cause_then_what_to_do() -> None:
    feedback = QUESTION.judge(QUESTION.choices[1])
    assert feedback.right is False
    assert feedback.says == "Expected: srv-1. You chose: Nobody's! Somebody is due. Look again."
    assert feedback.misconception == "M21"


def test_a_right_answer_is_told_why_it_is_right() -> None:
    feedback = QUESTION.judge(QUESTION.choices[0])
    assert (feedback.right, feedback.says, feedback.misconception) == (True, "Right: srv-1. It is first.", None)


def test_a_choice_is_found_by_its_letter_in_either_case() -> None:
    assert QUESTION.choice(" B\n") is QUESTION.choices[1]
    assert QUESTION.choice("c") is None
    assert QUESTION.choice("") is None


def step(id_: str, scene: str | None = None, algorithm: str | None = None, rehearse: tuple[Act, ...] = ()) -> Step:
    task = Task("Do it.", (Goal("done", Decided(1)),), rehearse) if rehearse else None
    return Step(id_, id_, "run", "", scene, None, task, algorithm)


CRASH = Act(2.0, Fault("crash", "web", "a"))
HEAL = Act(9.0, Fault("heal", "web", "a"))


def test_a_run_goes_on_until_scene_or_algorithm_change() -> None:
    steps = [
        step("0"),
        step("1", "even"),
        step("2"),
        step("3", algorithm="least_connections"),
        step("4"),
        step("5", "even"),
        step("6", "odd"),
    ]
    assert [stage_at(steps, index) for index in range(7)] == [
        None,
        ("even", None),
        ("even", None),
        ("even", "least_connections"),
        ("even", "least_connections"),
        ("even", None),
        ("odd", None),
    ]


def test_the_rehearsal_of_a_run_is_that_of_its_last_task() -> None:
    steps = [step("0", "even", rehearse=(CRASH,)), step("1"), step("2", rehearse=(CRASH, HEAL)), step("3", "odd")]
    assert [rehearsal_at(steps, index) for index in range(4)] == [(CRASH, HEAL)] * 3 + [()]


def test_a_scene_that_returns_later_is_another_run() -> None:
    steps = [step("0", "even", rehearse=(CRASH,)), step("1", "odd"), step("2", "even")]
    assert rehearsal_at(steps, 2) == ()
