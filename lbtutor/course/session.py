"""`LessonSession`: a lesson being learnt, without any screen.

It knows where the learner is, what they committed to, and what the trace has shown. A screen, or a voice, uses it so:

    session = LessonSession(lesson, progress)
    plan = session.begin_run()                   # whenever `session.stage` differs from what is being played
    ...                                          # the scene's clock stands while `session.held` is not None
    feedback = session.answer("b")               # a prediction made: now the clock may run
    goals = session.watch(event)                 # every event of the run
    session.next()                               # stays where it is while `session.gate` is not None

Watching a demonstration teaches little to those who did not first say what they expect (Crouch and others 2004). So a
prediction holds its scene, stands once it is made, and is settled only by what the stage then shows.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

from lbtutor.core import Act, ContractError, Event, Plan
from lbtutor.course.lesson import Choice, Feedback, GoalState, Lesson, Prediction, Step, rehearsal_at, stage_at
from lbtutor.course.progress import Progress
from lbtutor.course.watches import Stage, Watch, watch
from lbtutor.labs.scenario import Scenario


def _now() -> datetime:
    return datetime.now(UTC)


class LessonSession:
    """One learner in one lesson, at the step where they were, or at the first one again if they had finished."""

    def __init__(self, lesson: Lesson, progress: Progress, *, clock: Callable[[], datetime] = _now) -> None:
        self.lesson = lesson
        self.progress = progress
        self._clock = clock
        self._stage = Stage()
        self._watches: dict[str, list[Watch]] = {}
        self._index = self._where_they_were()
        self._enter(self._index)

    def __repr__(self) -> str:
        return f"<LessonSession {self.lesson.id} step {self._index + 1} of {len(self.steps)}: {self.step.id}>"

    # -- where ----------------------------------------------------------------------------------------------------

    @property
    def steps(self) -> tuple[Step, ...]:
        """All steps of the lesson."""
        return self.lesson.steps

    @property
    def index(self) -> int:
        """Position of the current step, from 0."""
        return self._index

    @property
    def step(self) -> Step:
        """The current step."""
        return self.steps[self._index]

    @property
    def left(self) -> tuple[Step, ...]:
        """The steps not done yet, skipped ones among them."""
        done = self.progress.done(self.lesson.id)
        return tuple(step for step in self.steps if step.id not in done)

    @property
    def finished(self) -> bool:
        """Whether every step is done. The last one is when `next` was called on it."""
        return not self.left

    def next(self) -> Step:
        """Go on, unless there is a `gate`; answers the step that is current then."""
        if self.gate is None:
            last = self.left in ((), (self.step,))
            self.progress.record_step(self.lesson.id, self.step.id, self._clock(), last=last)
            self._enter(self._index + 1)
        return self.step

    def skip(self) -> Step:
        """Go on without doing this step; it stays among those `left`."""
        return self._enter(self._index + 1)

    def previous(self) -> Step:
        """Go back one step; what was answered and reached stays so."""
        return self._enter(self._index - 1)

    def go(self, index: int) -> Step:
        """Go to any step, counted from 0."""
        return self._enter(index)

    def _enter(self, index: int) -> Step:
        self._index = min(max(index, 0), len(self.steps) - 1)
        if self.step.task is not None and self.step.id not in self._watches:
            self._watches[self.step.id] = [watch(goal.condition, self._stage) for goal in self.step.task.goals]
        self.progress.record_place(self.lesson.id, self.step.id, self._clock())
        return self.step

    def _where_they_were(self) -> int:
        if self.finished:
            return 0
        place = self.progress.resume
        at = place[1] if place is not None and place[0] == self.lesson.id else None
        first_left = self.left[0].id
        ids = [step.id for step in self.steps]
        return next(ids.index(name) for name in (at, first_left) if name in ids)

    # -- the stage ------------------------------------------------------------------------------------------------

    @property
    def stage(self) -> tuple[str, str | None] | None:
        """Scene and algorithm (None: the scene's own) on the stage. While they stay the same, the run goes on."""
        return stage_at(self.steps, self._index)

    @property
    def scene(self) -> Scenario | None:
        """The scene on the stage; None while there is none."""
        return None if self.stage is None else self.lesson.scenes[self.stage[0]]

    def begin_run(self, seed: int | None = None) -> Plan:
        """The plan for a new run of the scene on the stage. Goals not yet reached begin anew.

        Raises `ContractError` when the stage is empty.
        """
        if self.stage is None or self.scene is None:
            raise ContractError(f"step {self.step.id} has no scene to run")
        self._stage = Stage()
        self._watches = {
            step: [seen if seen.done else watch(seen.condition, self._stage) for seen in watches]
            for step, watches in self._watches.items()
        }
        return self.scene.plan(seed=seed, algorithm=self.stage[1])

    @property
    def rehearsal(self) -> tuple[Act, ...]:
        """What to add to the acts of the plan to have the tasks of this run done without a hand."""
        return rehearsal_at(self.steps, self._index)

    @property
    def held(self) -> str | None:
        """Why the scene may not run yet; None when it may."""
        if self.step.kind == "predict" and self.answered is None:
            return "Say first what you expect; then the scene runs."
        return None

    @property
    def gate(self) -> str | None:
        """Why the learner cannot go on yet; None when they can."""
        if self.held is not None:
            return self.held
        if self.step.question is not None and self.answered is None:
            return "The question is still open."
        if self.step.id in self.progress.done(self.lesson.id):
            return None
        open_goal = next((goal for goal in self.goals if not goal.done), None)
        return None if open_goal is None else f"Not yet: {open_goal.says} ({open_goal.detail})."

    def watch(self, event: Event) -> tuple[GoalState, ...]:
        """Fold one event of the run; answers the goals of this step as they are now."""
        self._stage.take(event)
        for seen in self._watches.get(self.step.id, ()):
            seen.take(event)
        return self.goals

    @property
    def goals(self) -> tuple[GoalState, ...]:
        """The goals of this step's task; empty when it has none."""
        goals = () if self.step.task is None else self.step.task.goals
        watches = self._watches.get(self.step.id, [])
        return tuple(GoalState(goal.says, seen.done, seen.detail) for goal, seen in zip(goals, watches, strict=False))

    # -- questions ------------------------------------------------------------------------------------------------

    @property
    def answered(self) -> str | None:
        """The letter of the choice recorded for this step's question, today or earlier; None when there is none."""
        choice = self._choice_at(self._index)
        return None if choice is None else choice.key

    def answer(self, key: str) -> Feedback:
        """Choose an answer by its letter. A prediction stands once made; any other question may be answered again.

        Raises `ContractError` for a step that asks nothing and for a letter that is not offered.
        """
        question = self.step.question
        choice = None if question is None else question.choice(key)
        if question is None or choice is None:
            raise ContractError(f"step {self.step.id} offers no choice {key!r}")
        if not (self.step.kind == "predict" and self.answered is not None):
            self.progress.record_answer(self.lesson.id, question, choice, self._clock())
        return self._feedback_at(self._index) or question.judge(choice)

    @property
    def feedback(self) -> Feedback | None:
        """What there is to say to the recorded choice; None when there is none.

        Of a prediction nothing is given away (`right` is None) until the goals of its step are reached, or, without
        goals, until the learner has gone on.
        """
        return self._feedback_at(self._index)

    @property
    def prediction(self) -> Prediction | None:
        """The latest prediction about what is on the stage, in this step or before, to be shown beside what happens."""
        for index in range(self._index, -1, -1):
            step, choice, feedback = self.steps[index], self._choice_at(index), self._feedback_at(index)
            if stage_at(self.steps, index) != self.stage:
                return None
            if step.kind == "predict" and step.question and choice and feedback:
                return Prediction(step.id, step.question.ask, choice, feedback)
        return None

    # -- any step -------------------------------------------------------------------------------------------------

    def _choice_at(self, index: int) -> Choice | None:
        question = self.steps[index].question
        return None if question is None else self.progress.answered(self.lesson.id, question)

    def _feedback_at(self, index: int) -> Feedback | None:
        step, choice = self.steps[index], self._choice_at(index)
        if step.question is None or choice is None:
            return None
        if step.kind == "predict" and not self._settled(index):
            return Feedback(None, f"Noted: {choice.text.rstrip('.')}. The stage will tell.")
        return step.question.judge(choice)

    def _settled(self, index: int) -> bool:
        """Whether the stage has shown what was predicted at this step."""
        step = self.steps[index]
        if step.id in self.progress.done(self.lesson.id):
            return True
        watches = self._watches.get(step.id, [])
        return all(seen.done for seen in watches) if step.task is not None else index < self._index
