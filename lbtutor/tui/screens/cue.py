"""What the cue bar says: the one thing that the learner should do now, decided from the state of the lesson.

One table of cases, the first that holds wins:

    something is broken             what, and what to try
    a question from another day     ask it, or say what the answer was worth
    a question not yet answered     ask it
    a question answered             what the answer was worth, and the goals that will settle it
    a task                          how far each of its goals is, and which key brings it further
    otherwise                       where to look, and how to go on
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

from lbtutor.core.events import FaultKind
from lbtutor.course.goals import HealthyAgain, Struck
from lbtutor.course.lesson import Choice, Feedback, GoalState, Question
from lbtutor.course.session import LessonSession

Tone = Literal["ask", "plain", "right", "wrong", "broken"]


class Cue(NamedTuple):
    """The content of the cue bar: `head` is one or two words, `says` sentences, `then` which keys come next."""

    tone: Tone
    head: str
    says: str
    choices: tuple[Choice, ...] = ()
    goals: tuple[GoalState, ...] = ()
    then: tuple[str, ...] = ()


def broken(says: str) -> Cue:
    """Something does not work on this machine; `says` also tells what to try."""
    return Cue("broken", "Trouble", says, then=("r: try again",))


def review(question: Question, lesson: str, feedback: Feedback | None) -> Cue:
    """A question from an earlier day, or what its answer was worth."""
    if feedback is None:
        return Cue("ask", f"From {lesson}", question.ask, question.choices, then=("n: another day",))
    return _judged(feedback)._replace(then=("n: go on",))


def of_step(session: LessonSession, servers: Sequence[str], faults: Mapping[str, FaultKind]) -> Cue:
    """What this step of the lesson asks for.

    `servers` are the backends' labels in the order of the number keys, `faults` what has befallen their machines.
    """
    step, feedback, goals = session.step, session.feedback, session.goals
    if step.question is not None and feedback is None:
        return Cue("ask", "Predict" if step.kind == "predict" else "Question", step.question.ask, step.question.choices)
    if step.question is not None and feedback is not None:
        again = feedback.right is False and step.kind != "predict"
        ways = (
            *_hands(session, servers, faults),
            *((f"{_letters(step.question)}: answer again",) if again else ()),
            *_onward(session),
        )
        return _judged(feedback)._replace(goals=() if all(goal.done for goal in goals) else goals, then=ways)
    if step.task is not None:
        done = all(goal.done for goal in goals)
        ways = (*_hands(session, servers, faults), *_onward(session))
        return Cue("right" if done else "ask", "Done" if done else "Task", step.task.says, goals=goals, then=ways)
    predicted = session.prediction
    says = "" if predicted is None else f"You predicted: {predicted.choice.text.rstrip('.')}."
    return Cue("plain", step.title, says, then=_onward(session))


def _judged(feedback: Feedback) -> Cue:
    """The first word of what is said ("Right: ...", "Expected: ...", "Noted: ...") becomes the head."""
    head, _, says = feedback.says.partition(": ")
    tone: Tone = "plain" if feedback.right is None else "right" if feedback.right else "wrong"
    return Cue(tone, head, says)


def _hands(session: LessonSession, servers: Sequence[str], faults: Mapping[str, FaultKind]) -> tuple[str, ...]:
    """The key for the first goal that is still open, where a key does it."""
    conditions = () if session.step.task is None else tuple(goal.condition for goal in session.step.task.goals)
    still_open = [each for each, goal in zip(conditions, session.goals, strict=False) if not goal.done]
    match still_open[:1]:
        case [Struck(fault="slow", backend=label)] if label in servers:
            return (f"s {servers.index(label) + 1}: slow {_name(label)} down",)
        case [Struck(backend=label)] if label in servers:
            return (f"{servers.index(label) + 1}: crash {_name(label)}",)
        case [HealthyAgain(healthy_again=label)] if label in servers and faults.get(label, "heal") != "heal":
            return (f"{servers.index(label) + 1}: heal {_name(label)}",)
        case _:
            return ()


def _letters(question: Question) -> str:
    return f"{question.choices[0].key}-{question.choices[-1].key}"


def _name(label: str) -> str:
    return label.rpartition("/")[2]


def _onward(session: LessonSession) -> tuple[str, ...]:
    if session.gate is not None:
        return ()
    if session.index + 1 < len(session.steps):
        return ("n: next step",)
    if session.step in session.left:
        return ("n: finish the lesson",)
    skipped = ", ".join(step.title for step in session.left)
    return (f"still open: {skipped}",) if skipped else ("the lesson is done", "h: other lessons", "q: leave")
