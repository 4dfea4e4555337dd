"""What a lesson is made of: frozen records that an author writes and a learner walks through.

A lesson is a row of steps. A step shows a short text and may put a scene on the stage, ask a question and set a task:

    predict   asks first; the scene is held until the learner has committed to an answer
    run       starts something to look at
    observe   asks what was seen, beside what was predicted
    explain   says why
    change    one thing is different now, by the scene or by its algorithm
    task      something to do by hand; done when the trace shows it
    recall    a closing question that comes back another day

The kind is a promise to the reader. What a step does follows from what it holds: any kind may have a question or a
task.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

from msgspec import Struct

from lbtutor.core.units import Seconds
from lbtutor.core.workload import Act
from lbtutor.course.goals import Condition

if TYPE_CHECKING:
    from lbtutor.labs.checks import Expect
    from lbtutor.labs.scenario import Scenario

Kind = Literal["predict", "run", "observe", "explain", "change", "task", "recall"]
KINDS: tuple[str, ...] = get_args(Kind)


class Misconception(Struct, frozen=True):
    """A belief that many hold, and what is true instead; named by a distractor, counted for learner and teacher."""

    id: str
    belief: str
    truth: str


class Choice(Struct, frozen=True):
    """One answer offered: `key` is the letter to press, `because` what is told to whoever chose it."""

    key: str
    text: str
    right: bool
    because: str
    misconception: str | None = None


class Feedback(Struct, frozen=True):
    """What is said to an answer, in this order: what was expected, one cause, one next action. `says` is all of it.

    `right` is None while a prediction waits for the stage to settle it: then nothing here gives the answer away.
    """

    right: bool | None
    says: str
    misconception: str | None = None


class Question(Struct, frozen=True):
    """A question with exactly one right choice.

    `then` is the one thing to do next for whoever was wrong. With `returns_after` the question comes back in review
    that long after a right answer, and at growing gaps from then on.
    """

    id: str
    ask: str
    choices: tuple[Choice, ...]
    then: str
    returns_after: Seconds | None = None

    @property
    def right(self) -> Choice:
        """The right choice."""
        return next(choice for choice in self.choices if choice.right)

    def choice(self, key: str) -> Choice | None:
        """The choice with that letter, in either case; None when there is none."""
        return next((choice for choice in self.choices if choice.key == key.strip().lower()), None)

    @property
    def solution(self) -> str:
        """The right answer and its reason, for whoever did not answer."""
        return f"The answer is: {_ended(self.right.text)} {self.right.because}"

    def judge(self, chosen: Choice) -> Feedback:
        """What there is to say to this choice."""
        if chosen.right:
            return Feedback(right=True, says=f"Right: {_ended(chosen.text)} {chosen.because}")
        expected = f"Expected: {_ended(self.right.text)} You chose: {_ended(chosen.text)}"
        return Feedback(
            right=False, says=f"{expected} {chosen.because} {self.then}", misconception=chosen.misconception
        )


def _ended(text: str) -> str:
    """The text as a sentence: with a full stop unless it has an end of its own."""
    return text if text[-1:] in ".!?" else f"{text}."


class Prediction(Struct, frozen=True):
    """What the learner committed to before the scene ran, to be shown beside what happened."""

    step: str
    ask: str
    choice: Choice
    feedback: Feedback


class Goal(Struct, frozen=True):
    """One thing that the trace must show."""

    says: str
    condition: Condition


class GoalState(Struct, frozen=True):
    """How far a goal is: `detail` is one short sentence of progress ("2 of 3 probes failed")."""

    says: str
    done: bool
    detail: str


class Task(Struct, frozen=True):
    """Something to do. `rehearse` are acts that do it, in scenario time from the start of the scene."""

    says: str
    goals: tuple[Goal, ...]
    rehearse: tuple[Act, ...] = ()


class Step(Struct, frozen=True):
    """One screen of a lesson; `text` is Markdown.

    `scene` names the scene on the stage. A step that names the scene (and `algorithm`) of the step before it lets the
    run go on; a step without one leaves the stage as it is. `algorithm` replaces that of every pool of the scene.
    `watch` is how much scenario time a listener without a stage is told. `claims` are what the text asserts about the
    scene with the task rehearsed; a test holds the lesson to them.
    """

    id: str
    title: str
    kind: Kind
    text: str
    scene: str | None = None
    question: Question | None = None
    task: Task | None = None
    algorithm: str | None = None
    watch: Seconds = Seconds(6)
    claims: tuple[Expect | Goal, ...] = ()


def stage_at(steps: Sequence[Step], index: int) -> tuple[str, str | None] | None:
    """Scene and algorithm (None: the scene's own) on the stage in that step; None before the first scene."""
    so_far = steps[index::-1]
    scene = next((step.scene for step in so_far if step.scene), None)
    setting = next((step for step in so_far if step.scene or step.algorithm), None)
    return None if scene is None or setting is None else (scene, setting.algorithm)


def rehearsal_at(steps: Sequence[Step], index: int) -> tuple[Act, ...]:
    """The acts that do every task of the run that goes on in that step, from the first task to the last.

    A lesson is refused unless each task of a run rehearses what the ones before it did, and then its own.
    """
    acts: tuple[Act, ...] = ()
    for other, step in enumerate(steps):
        if step.task is not None and _same_run(steps, index, other) and len(step.task.rehearse) > len(acts):
            acts = step.task.rehearse
    return acts


def _same_run(steps: Sequence[Step], one: int, other: int) -> bool:
    """Whether the stage stays the same all the way between two steps."""
    between = range(min(one, other), max(one, other) + 1)
    return len({stage_at(steps, index) for index in between}) == 1


class Lesson(Struct, frozen=True):
    """One lesson. `number` is its place in the course, `section` the part of the chapter that it teaches, `words` the
    words it teaches with their meanings."""

    id: str
    number: int
    title: str
    section: str
    summary: str
    minutes: int
    words: dict[str, str]
    steps: tuple[Step, ...]
    scenes: dict[str, Scenario]
    folder: Path
