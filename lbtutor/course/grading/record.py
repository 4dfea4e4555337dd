"""What is kept of grading: a record for each learner, and in it a mark for each exercise.

Records are private: they hold the seed, and what hidden laws found. Only whoever grades writes them, whole or not at
all. `FORMAT` is in each; one of another format is graded again.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from lbtutor import __version__
from lbtutor.core.errors import EnvironmentFault
from lbtutor.course.exercises.manifest import Exercise
from lbtutor.course.keeping import replace_whole
from lbtutor.testing.report import Verdict as Held
from lbtutor.testing.sandbox import Limits

FORMAT = 1

Verdict = Literal["pass", "fail", "unknown", "not_gradable", "missing", "grader_error"]
"""`missing`: there was no such file. `grader_error` is ours: it says nothing of the file, and costs nobody a point."""


class Terms(Struct, frozen=True):
    """What is the same for everybody in one run: the secret seed, how hard to look, what confinement is demanded.

    `patience` is how many seconds a grader may take for one exercise before it is given up.
    """

    seed: int
    profile: str = "grade"
    limits: Limits = Limits()
    require: tuple[str, ...] = ()
    patience: float = 300.0


class Failure(Struct, frozen=True):
    """How a law was broken: the shortest way that was found. `repeats` is "" if every time, else such as "14 of 20"."""

    expected: str
    got: str
    because: str = ""
    story: tuple[str, ...] = ()
    line: int = 0
    repeats: str = ""
    trace: Any = None
    """The program, `{"setting": …, "ops": …}`, which can be played again."""


class Suite(Struct, frozen=True):
    """One law (or question, specimen, bound): its verdict and its share of the points."""

    id: str
    says: str
    verdict: Held
    examples: int
    weight: float
    score: float
    max_score: float
    hidden: bool = False
    failure: Failure | None = None


class Mark(Struct, frozen=True):
    """What one learner gets for one exercise.

    `kit` says with what it was marked; the same file and the same kit need not be marked again. `is_whole` when the
    points are of the exercise as a whole and not the sum over the laws. `remarks` are no part of the verdict.
    """

    exercise: str
    verdict: Verdict
    score: float
    max_score: float
    title: str = ""
    kit: str = ""
    submission_sha256: str = ""
    seed: int = 0
    seconds: float = 0.0
    platform: str = ""
    suites: tuple[Suite, ...] = ()
    is_whole: bool = False
    expected: str = ""
    got: str = ""
    cause: str = ""
    remarks: tuple[str, ...] = ()


class Record(Struct, frozen=True):
    """One learner: where the files came from, when they were marked (UTC), and the marks in the manifest's order."""

    learner: str
    origin: str
    started: str
    marks: tuple[Mark, ...]
    schema: int = FORMAT
    tool_version: str = __version__

    @property
    def score(self) -> float:
        """Points of all exercises together."""
        return round(float(sum(mark.score for mark in self.marks)), 6)

    @property
    def max_score(self) -> float:
        """Points that there were to get; where grading itself failed, there were none."""
        return round(float(sum(mark.max_score for mark in self.marks if mark.verdict != "grader_error")), 6)


def kit_of(exercise: Exercise, profile: str) -> str:
    """With what an exercise is marked: this version, the exercise as the manifest has it, how hard one looks."""
    digest = hashlib.sha256(msgspec.json.encode(exercise)).hexdigest()
    return f"{__version__} {digest[:12]} {profile}"


def unmarked(exercise: Exercise, verdict: Verdict, cause: str, terms: Terms, sha256: str = "") -> Mark:
    """A mark without points, for what was not even run."""
    return Mark(
        exercise.id, verdict, 0.0, float(exercise.points), title=exercise.title, kit=kit_of(exercise, terms.profile),
        submission_sha256=sha256, seed=terms.seed, cause=cause,
    )  # fmt: skip


def is_faulty(records: Iterable[Record]) -> bool:
    """Did grading itself fail anywhere?"""
    return any(mark.verdict == "grader_error" for record in records for mark in record.marks)


class Records:
    """The records of a class in one folder, closed to other users."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def open(self) -> None:
        """Make the folder. Raises `EnvironmentFault`."""
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise EnvironmentFault(f"{self.folder} cannot be made: {error.strerror}") from None

    def path(self, learner: str) -> Path:
        """The file for a learner, whatever characters the name is made of."""
        digest = hashlib.sha256(learner.encode("utf-8", "backslashreplace")).hexdigest()
        return self.folder / f"{re.sub(r'[^A-Za-z0-9_-]+', '-', learner)[:60]}-{digest[:8]}.json"

    def keep(self, record: Record) -> None:
        """Put it there, whole, beside the marks for exercises of other runs.

        Raises `EnvironmentFault`, and then there is the old record or none.
        """
        path = self.path(record.learner)
        fresh = {mark.exercise for mark in record.marks}
        others = [mark for name, mark in self.known(record.learner).items() if name not in fresh]
        record = replace(record, marks=(*record.marks, *others))
        try:
            replace_whole(path, msgspec.json.format(msgspec.json.encode(record)).decode() + "\n")
        except OSError as error:
            raise EnvironmentFault(f"{path} cannot be written: {error.strerror}") from None

    def known(self, learner: str) -> dict[str, Mark]:
        """The marks from earlier runs, by exercise; none from a record that cannot be read, or is of another format."""
        try:
            record = msgspec.json.decode(self.path(learner).read_bytes(), type=Record)
        except (OSError, msgspec.DecodeError):
            return {}
        return {mark.exercise: mark for mark in record.marks} if record.schema == FORMAT else {}
