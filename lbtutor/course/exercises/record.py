"""What a learner did with exercises: a part of the record of progress (see `course.record`), in the words of exercises.

What is in it decides two things: which exercise is meant when none is named, and what may be seen (the next hint, the
solution). What was passed stays passed, also when the file is reset; hints and tries count from the reset on.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Literal

from lbtutor.course.exercises.judging import Outcome
from lbtutor.course.exercises.manifest import Exercise
from lbtutor.course.progress import Progress
from lbtutor.course.record import Table, counts, stamp

State = Literal["passed", "failed", "begun", "new"]


class ExerciseRecord:
    """One learner's exercises. Each change is saved at once; `progress.notices` says what could not be."""

    def __init__(self, progress: Progress) -> None:
        self.progress = progress

    def __repr__(self) -> str:
        return f"<ExerciseRecord {self.progress.path} {len(self.progress.part('exercises'))} exercises>"

    # -- what is known --------------------------------------------------------------------------------------------

    def state(self, exercise: Exercise) -> State:
        """`passed` once it was; `failed` if the last check found something; `begun` when there is a file."""
        known = self._of(exercise)
        if known.get("passed"):
            return "passed"
        if self._counting(exercise, "tried"):
            return "begun" if known["tried"]["outcome"] == "unknown" else "failed"
        return "begun" if known.get("started") else "new"

    def has_passed(self, exercise: Exercise) -> bool:
        """Whether it was passed, once."""
        return self.state(exercise) == "passed"

    def hints(self, exercise: Exercise) -> int:
        """How many hints were seen since it was last reset: the steps from 1 on, without a gap."""
        seen = self._of(exercise).get("hints", {})
        return next((number for number in range(len(seen) + 1) if str(number + 1) not in seen), 0)

    def was_revealed(self, exercise: Exercise) -> bool:
        """Whether the solution was looked at before it was passed."""
        return bool(self._of(exercise).get("revealed"))

    def next_of(self, exercises: Sequence[Exercise]) -> Exercise | None:
        """The first that was not passed and for which all it needs were; else the first not passed; None at the end.

        The first from the last one on that was worked on: whoever left some out is not sent back to them each time.
        """
        at = next((number for number, exercise in enumerate(exercises) if exercise.id == self.last), 0)
        left = [exercise for exercise in (*exercises[at:], *exercises[:at]) if not self.has_passed(exercise)]
        passed = {exercise.id for exercise in exercises} - {exercise.id for exercise in left}
        ready = [exercise for exercise in left if passed.issuperset(exercise.needs)]
        return next(iter([*ready, *left]), None)

    @property
    def last(self) -> str | None:
        """The id of the exercise that was worked on last."""
        name: str | None = self.progress.part("work").get("exercise")
        return name

    @property
    def folder(self) -> Path | None:
        """The workspace that was used last."""
        folder = self.progress.part("work").get("folder")
        return Path(folder) if folder else None

    # -- what happens ---------------------------------------------------------------------------------------------

    def record_start(self, exercise: Exercise, folder: Path, now: datetime) -> None:
        """It is worked on, in that workspace."""
        self._unite(exercise, {"started": stamp(now)}, {"work": _work(exercise, folder, now)})

    def record_try(self, exercise: Exercise, outcome: Outcome, folder: Path, now: datetime) -> None:
        """It was checked, and this came of it. A fault of ours is nobody's try."""
        if outcome == "grader error":
            return
        done: Table = {"tried": {"at": stamp(now), "outcome": outcome}}
        if outcome == "pass":
            done["passed"] = stamp(now)
        self._unite(exercise, done, {"work": _work(exercise, folder, now)})

    def record_hint(self, exercise: Exercise, number: int, now: datetime) -> None:
        """The hint of that number, from 1, was seen, and all before it."""
        self._unite(exercise, {"hints": {str(step): stamp(now) for step in range(1, number + 1)}})

    def record_reveal(self, exercise: Exercise, now: datetime) -> None:
        """The solution was looked at before the exercise was passed."""
        self._unite(exercise, {"revealed": stamp(now)})

    def record_reset(self, exercise: Exercise, now: datetime) -> None:
        """It begins again: hints and tries up to now do not count any more."""
        self._unite(exercise, {"reset": stamp(now)})

    def _unite(self, exercise: Exercise, change: Table, more: Table | None = None) -> None:
        self.progress.unite_with({"exercises": {exercise.id: change}, **(more or {})})

    def _of(self, exercise: Exercise) -> Table:
        known: Table = self.progress.part("exercises").get(exercise.id, {})
        return known

    def _counting(self, exercise: Exercise, what: str) -> bool:
        known = self._of(exercise)
        return what in known and counts(known[what]["at"], known)


def _work(exercise: Exercise, folder: Path, now: datetime) -> Table:
    return {"at": stamp(now), "exercise": exercise.id, "folder": str(folder.absolute())}
