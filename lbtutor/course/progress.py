"""`Progress`: what a learner did, kept in one file (see `record`).

Every change is saved at once: the file is read again under a lock, united with what is in memory and replaced in one
step, so that two terminals do not lose each other's answers. A file that cannot be read is set aside, never
overwritten; one written by a newer lbtutor is left alone. Neither stops anybody from learning: `notices` says what
happened.
"""

from __future__ import annotations

import json
import os
from datetime import datetime, timedelta
from pathlib import Path

from msgspec import Struct

from lbtutor.core import ConfigError, Seconds
from lbtutor.core.units import say_duration
from lbtutor.course.keeping import alone, replace_whole
from lbtutor.course.lesson import Choice, Question
from lbtutor.course.record import FORMAT, NewerFormat, Table, counts, read_record, stamp, united, when
from lbtutor.course.spacing import due_at


class Due(Struct, frozen=True):
    """A question that is due for review, and since when."""

    lesson: str
    question: str
    since: datetime


def state_folder() -> Path:
    """Where progress lives: `LBTUTOR_STATE`, or the place that the platform has for such things."""
    if own := os.environ.get("LBTUTOR_STATE"):
        return Path(own)
    from platformdirs import user_state_path

    return user_state_path("lbtutor")


class Progress:
    """One learner's progress. Each change is saved at once; what cannot be saved is kept in memory, with a notice."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "progress.json"
        self.notices: list[str] = []
        self._data: Table = {"format": FORMAT}
        self._read_only = False

    @classmethod
    def load(cls, folder: Path | None = None) -> Progress:
        """What is recorded in `folder` (default: `state_folder()`). Never raises: `notices` says what was wrong."""
        progress = cls(state_folder() if folder is None else folder)
        progress._take_in_file()
        return progress

    def __repr__(self) -> str:
        return f"<Progress {self.path} {len(self._lessons)} lessons>"

    # -- what is known --------------------------------------------------------------------------------------------

    @property
    def resume(self) -> tuple[str, str] | None:
        """Lesson id and step id where the learner was; None at the very beginning, and after a reset of that lesson."""
        place = self._data.get("resume")
        if place is None or not counts(place["at"], self._lessons.get(place["lesson"], {})):
            return None
        return place["lesson"], place["step"]

    def answered(self, lesson: str, question: Question) -> Choice | None:
        """The latest choice; None if there is none, or if the lesson does not offer it any more."""
        texts = [answer["choice"] for answer in self._answers(lesson).get(question.id, [])]
        return next((choice for choice in question.choices if texts and choice.text == texts[-1]), None)

    def done(self, lesson: str) -> frozenset[str]:
        """The ids of the steps that were done."""
        return frozenset(self._lessons.get(lesson, {}).get("steps", {}))

    def finished(self, lesson: str) -> bool:
        """Whether the lesson was once done to its end."""
        return bool(self._lessons.get(lesson, {}).get("finished"))

    def due(self, now: datetime) -> tuple[Due, ...]:
        """The questions that are due for review, the longest waiting first."""
        found = [
            Due(lesson, question, since)
            for lesson in self._lessons
            for question, answers in self._answers(lesson).items()
            if (since := _due(answers)) is not None and since <= now
        ]
        return tuple(sorted(found, key=lambda due: (due.since, due.lesson, due.question)))

    # -- what happens ---------------------------------------------------------------------------------------------

    def record_answer(self, lesson: str, question: Question, choice: Choice, now: datetime) -> None:
        """Record one more answer, with the misconception that it shows."""
        answer: Table = {"at": stamp(now), "choice": choice.text, "right": choice.right}
        if choice.misconception is not None:
            answer["misconception"] = choice.misconception
        if question.returns_after is not None:
            answer["returns_after"] = say_duration(question.returns_after)
        self.unite_with({"lessons": {lesson: {"answers": {question.id: [answer]}}}})

    def record_step(self, lesson: str, step: str, now: datetime, *, last: bool = False) -> None:
        """Record that a step was done; with `last`, the whole lesson too."""
        done: Table = {"steps": {step: stamp(now)}}
        if last:
            done["finished"] = stamp(now)
        self.unite_with({"lessons": {lesson: done}})

    def record_place(self, lesson: str, step: str, now: datetime) -> None:
        """Record where to resume."""
        self.unite_with({"resume": {"at": stamp(now), "lesson": lesson, "step": step}})

    def reset(self, lesson: str, now: datetime) -> None:
        """Forget what was answered and done in this lesson up to now."""
        self.unite_with({"lessons": {lesson: {"reset": stamp(now)}}})

    # -- what others keep beside the lessons ----------------------------------------------------------------------

    def part(self, name: str) -> Table:
        """A part of the record by its name, such as `exercises`; not to be changed. Empty if there is none."""
        part: Table = self._data.get(name) or {}
        return part

    def unite_with(self, change: Table) -> None:
        """Record what `change` says, in the shape of a record, and save it."""
        self._data = united(self._data, change)
        self.save()

    # -- the file -------------------------------------------------------------------------------------------------

    def save(self) -> None:
        """Unite with what the file holds by now and replace it in one step. Never raises."""
        if self._read_only:
            return
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with alone(self.path.with_suffix(".lock")):
                self._take_in_file()
                if not self._read_only:
                    text = json.dumps(self._data, indent=2, sort_keys=True, ensure_ascii=False)
                    replace_whole(self.path, text + "\n")
        except OSError as error:
            self._notice(f"{self.path} cannot be written ({error.strerror}): progress is kept until you quit")

    def _take_in_file(self) -> None:
        """Unite with the file's content; set it aside when it is broken, leave it alone when it is newer."""
        try:
            self._data = united(self._data, read_record(self.path.read_bytes()))
        except FileNotFoundError:
            pass
        except NewerFormat as newer:
            self._read_only = True
            self._notice(
                f"{self.path} was written by a newer lbtutor ({newer}; this one knows format {FORMAT}). It is left as "
                "it is and nothing is saved: `pip install -U lbtutor`, or set LBTUTOR_STATE to another folder"
            )
        except ConfigError as error:
            self._set_aside(error)
        except OSError as error:
            self._read_only = True
            self._notice(f"{self.path} cannot be read ({error.strerror}): it is left as it is and nothing is saved")

    def _set_aside(self, error: Exception) -> None:
        number = 1
        while (aside := self.path.with_name(f"{self.path.name}.broken-{number}")).exists():
            number += 1
        try:
            os.replace(self.path, aside)
        except FileNotFoundError:
            return  # another lbtutor has set it aside meanwhile
        except OSError as refused:
            self._read_only = True
            self._notice(f"{self.path} is {error}, and cannot be set aside ({refused.strerror}): nothing is saved")
        else:
            self._notice(f"{self.path} is {error}. It was set aside as {aside.name}, and progress starts afresh")

    def _notice(self, says: str) -> None:
        if says not in self.notices:
            self.notices.append(says)

    @property
    def _lessons(self) -> Table:
        lessons: Table = self._data.get("lessons", {})
        return lessons

    def _answers(self, lesson: str) -> dict[str, list[Table]]:
        answers: dict[str, list[Table]] = self._lessons.get(lesson, {}).get("answers", {})
        return answers


def _due(answers: list[Table]) -> datetime | None:
    """When a question is due, from its recorded answers; None for one that does not come back."""
    rest = answers[-1].get("returns_after")
    if rest is None:
        return None
    told = [(when(answer["at"]), answer["right"]) for answer in answers]
    return due_at(told, timedelta(seconds=Seconds.parse(rest)))
