"""Judging: what a learner wrote for one exercise becomes a judgement.

Each kind of exercise has its judge, and all answer in the same words: for every law (or question, or specimen, or
bound) a verdict with its evidence, then one cause and one next action. A judge never raises for what the learner's
file does; what it cannot judge is `not gradable`, and our own fault is a `grader error`, which costs nobody a point.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

from msgspec import Struct

from lbtutor.core.errors import ConfigError
from lbtutor.course.exercises.manifest import Exercise
from lbtutor.testing.sandbox import Limits, Submission

LARGEST_DATA = 16 * 1024
"""The most bytes of a file that is read here, not in a confined place: for 1 MiB of dots TOML takes minutes."""

Outcome = Literal["pass", "fail", "unknown", "not gradable", "grader error"]


class Finding(Struct, frozen=True):
    """One thing that was judged: a law, a question, a specimen, a bound. `told` is its evidence, line by line."""

    name: str
    says: str
    verdict: Literal["passed", "failed", "unknown", "not checked"]
    told: tuple[str, ...] = ()
    line: int = 0
    """The line of the learner's file, where one is to blame."""
    counterexample: Any = None
    """A `lbtutor.testing.report.Counterexample` to be shown on the stage, where there is one."""
    weight: float = 1.0
    next: str = ""
    """One action that helps, where this failed."""
    examples: int = 0
    """How often it was tried, where that is what a verdict rests on."""


class Judgement(Struct, frozen=True):
    """What came of judging one file.

    `expected` and `got` come first, `cause` is one sentence, `next` is one action. `hidden` counts the laws that are
    left for the grader: while it is not 0, nobody is told that all hold.
    """

    exercise: str
    outcome: Outcome
    findings: tuple[Finding, ...] = ()
    expected: str = ""
    got: str = ""
    cause: str = ""
    next: str = ""
    line: int = 0
    """The line of the learner's file that keeps it from being judged at all."""
    hidden: int = 0
    seed: int = 0
    seconds: float = 0.0
    score: float | None = None
    """The share, where the judge counts it in another way than by the weight of the findings."""

    @property
    def share(self) -> float:
        """The part of the weight that passed, 0 to 1; 0 unless it could be judged."""
        if self.score is not None:
            return self.score
        whole = sum(finding.weight for finding in self.findings)
        return sum(finding.weight for finding in self.findings if finding.verdict == "passed") / whole if whole else 0.0


Judge = Callable[[Exercise, Submission, "Depth"], Judgement]


class Depth(Struct, frozen=True):
    """How hard to look: the profile of the search, the seed (None: drawn), the limits; `graded` tries hidden laws."""

    profile: str = "quick"
    seed: int | None = None
    graded: bool = False
    limits: Limits | None = None
    told: Callable[[Finding], None] | None = None


def judge(exercise: Exercise, file: Submission, depth: Depth | None = None) -> Judgement:
    """Judge one file for one exercise. Never raises for what the file is or does."""
    judged: Judgement = _module(exercise).judge(exercise, file, depth or Depth())
    return judged


def data_of(exercise: Exercise, file: Submission) -> str:
    """The text of a file that is data. Raises `ConfigError` for one that would take longer to read than to write."""
    if len(file.data) > LARGEST_DATA:
        raise ConfigError(f"{exercise.gives}: it is larger than {LARGEST_DATA // 1024} KiB")
    return "\n".join(file.lines)


def prepare(exercise: Exercise) -> None:
    """Load what judges this exercise, so that `judge` need not."""
    _module(exercise)


def _module(exercise: Exercise) -> Any:  # noqa: ANN401  a module, for its function `judge`
    from importlib import import_module

    return import_module(f"lbtutor.course.exercises.{_JUDGES[exercise.kind]}")


_JUDGES = {
    "implement": "by_laws",
    "fault": "by_laws",
    "law": "by_zoo",
    "break": "by_load",
    "audit": "by_answers",
}
"""The module that judges each kind."""
