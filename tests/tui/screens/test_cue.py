"""What the cue bar asks of the learner, case by case, without a screen."""

from __future__ import annotations

from pathlib import Path

import pytest

from lbtutor.core.events import HealthChanged, OriginChanged, Picked, Why
from lbtutor.course.lesson import Choice, Feedback, GoalState, Lesson, Question
from lbtutor.course.progress import Progress
from lbtutor.course.session import LessonSession
from lbtutor.tui.screens.bars import caption_line, cue_lines
from lbtutor.tui.screens.cue import Cue, broken, of_step, review

SERVERS = [f"web/srv-{n}" for n in range(1, 5)]


@pytest.fixture
def session(lesson: Lesson, tmp_path: Path) -> LessonSession:
    return LessonSession(lesson, Progress(tmp_path))


def go(session: LessonSession, step: str) -> None:
    session.go([each.id for each in session.steps].index(step))


def test_an_open_prediction_is_asked(session: LessonSession) -> None:
    cue = of_step(session, SERVERS, {})
    assert (cue.tone, cue.head, cue.says) == ("ask", "Predict", "What about guess?")
    assert [choice.key for choice in cue.choices] == ["a", "b", "c", "d"]
    assert cue.then == ()


def test_a_prediction_that_was_made_waits_for_its_goals(session: LessonSession) -> None:
    session.answer("a")
    cue = of_step(session, SERVERS, {})
    assert (cue.tone, cue.head) == ("plain", "Noted")
    assert [goal.says for goal in cue.goals] == ["request 3 has its server"]


def test_a_wrong_answer_may_be_given_again_or_left(session: LessonSession) -> None:
    go(session, "look")
    session.answer("a")
    cue = of_step(session, SERVERS, {})
    assert (cue.tone, cue.head) == ("wrong", "Expected")
    assert cue.says.startswith("right so. You chose: wrong so.")
    assert cue.then == ("a-d: answer again", "n: next step")


def test_a_task_names_the_key_that_does_what_is_to_be_done(session: LessonSession) -> None:
    go(session, "crash")
    assert of_step(session, SERVERS, {}).then == ("2: crash srv-2",)
    session.watch(OriginChanged(1.0, "web", "srv-2", "crash", 0.0, "hand"))
    cue = of_step(session, SERVERS, {"web/srv-2": "crash"})
    assert [goal.done for goal in cue.goals] == [True, False]
    assert cue.then == ()


def test_the_key_that_heals_is_named_only_while_there_is_something_to_heal(session: LessonSession) -> None:
    go(session, "heal")
    assert of_step(session, SERVERS, {}).then == ()
    assert of_step(session, SERVERS, {"web/srv-2": "crash"}).then == ("2: heal srv-2",)
    assert of_step(session, SERVERS, {"web/srv-2": "heal"}).then == ()


def test_a_task_that_is_done_says_so_and_how_to_go_on(session: LessonSession) -> None:
    go(session, "heal")
    why = Why("", "lowest", "", ())
    session.watch(HealthChanged(1.0, "web", "srv-2", "up", "down", ""))
    session.watch(HealthChanged(2.0, "web", "srv-2", "down", "up", ""))
    session.watch(Picked(2.5, 1, 1, "web", "srv-2", "algorithm", why))
    cue = of_step(session, SERVERS, {})
    assert (cue.tone, cue.head, cue.then) == ("right", "Done", ("n: next step",))


def test_where_nothing_is_asked_the_prediction_is_kept_in_sight(session: LessonSession, lesson: Lesson) -> None:
    session.answer("a")
    go(session, "short")
    assert of_step(session, SERVERS, {}).says == "", "that was about another scene"
    assert of_step(session, SERVERS, {}).head == "A short scene"


def test_the_last_step_says_what_was_left_out(session: LessonSession) -> None:
    go(session, "other")
    assert of_step(session, SERVERS, {}).then == ("n: finish the lesson",)
    session.next()
    (still_open,) = of_step(session, SERVERS, {}).then
    assert still_open == "still open: Guess first, Look, Crash it, Heal it, A short scene"


def test_what_is_broken_comes_with_what_to_try() -> None:
    assert broken("port 8080 is in use").then == ("r: try again",)


QUESTION = Question("q", "What?", (Choice("a", "this", right=True, because="So."),), then="Look.")


def test_a_question_from_another_day_may_be_left_for_another() -> None:
    cue = review(QUESTION, "Small", None)
    assert (cue.head, cue.says, cue.then) == ("From Small", "What?", ("n: another day",))
    assert review(QUESTION, "Small", Feedback(right=True, says="Right: this. So.")).then == ("n: go on",)


# -- as text ----------------------------------------------------------------------------------------------------------


def choices(*texts: str) -> tuple[Choice, ...]:
    return tuple(Choice("abcd"[at], text, right=False, because="") for at, text in enumerate(texts))


def lines(cue: Cue, width: int) -> list[str]:
    return [line.rstrip() for line in cue_lines(cue, width).plain.split("\n")]


def test_short_choices_stand_on_one_line_and_long_ones_below_each_other() -> None:
    asked = Cue("ask", "Predict", "How many?", choices("none", "one", "all"))
    assert lines(asked, 80) == ["Predict  How many?", "a none   b one   c all"]
    long = Cue("ask", "Predict", "How many?", choices("x" * 30, "y" * 30, "z" * 30))
    assert lines(long, 40) == ["Predict  How many?", "a " + "x" * 30, "b " + "y" * 30, "c " + "z" * 30]


def test_how_to_go_on_stands_at_the_end_of_the_last_line_where_it_fits() -> None:
    cue = Cue("right", "Right", "It is.", then=("n: next step",))
    assert lines(cue, 40) == ["Right  It is." + " " * 16 + "n next step"]
    assert lines(cue, 20) == ["Right  It is.", "n next step"]


def test_goals_show_whether_they_are_reached_without_a_colour() -> None:
    goals = (GoalState("crashed", done=True, detail=""), GoalState("over", done=False, detail="1 of 3"))
    cue = Cue("ask", "Task", "Do it.", goals=goals)
    assert lines(cue, 40) == ["Task  Do it.", "[x] crashed", "[ ] over  1 of 3"]


def test_no_line_of_a_cue_is_wider_than_the_bar() -> None:
    says = "A rather long sentence that has to be broken somewhere, or it would run off the screen. " * 3
    cue = Cue("wrong", "Expected", says, choices("one", "two"), then=("n: next step",))
    for width in (57, 77, 117):
        assert max(len(line) for line in lines(cue, width)) <= width


def test_the_numbers_give_way_to_a_long_sentence() -> None:
    assert caption_line("srv-2 is down", "16 r/s", 30).plain == " srv-2 is down         16 r/s "
    assert (
        caption_line("srv-2 is down: 3 probes failed", "16 r/s", 34).plain.rstrip() == " srv-2 is down: 3 probes failed"
    )
    assert caption_line("srv-2 is down: 3 probes in a row", "", 20).plain.rstrip() == " srv-2 is down: 3 …"
