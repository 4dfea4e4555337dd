"""Canaries: what must fail and what must pass before a grader is believed.

A grader that passes everybody looks like a class that has learned everything. So a wrong file goes through the very
same path first, and each grader tries one of its own before it marks anybody; a right one shows that the path is open.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from msgspec import Struct

from lbtutor.course.exercises.manifest import Exercise
from lbtutor.testing.checking import check
from lbtutor.testing.report import LawReport
from lbtutor.testing.sandbox import Submission, read_submission, submission

_RIGHT = b"""\
class Canary:
    def pick(self, request, backends):
        return min(backends, key=lambda backend: backend.in_flight)
"""
_WRONG = _RIGHT.replace(b"min(", b"max(")
_EMPTY = b"class Canary:\n    def pick(self, request, backends):\n        return None\n"
_SILENT = b"import os\nos._exit(0)\n" + _RIGHT

EXERCISE = Exercise(
    id="canary", kind="implement", section="", title="the canary", asks="", gives="canary.py", hints=("", "", ""),
    component="least_connections", cls="Canary",
)  # fmt: skip


class Canary(Struct, frozen=True):
    """A file of which it is known whether it passes."""

    exercise: Exercise
    file: Submission
    passes: bool

    @property
    def says(self) -> str:
        """What must not happen to it."""
        kind = "a right" if self.passes else "a wrong"
        return f"{kind} file for {self.exercise.title!r} {'did not pass' if self.passes else 'passed'}"


def canaries(exercises: Iterable[Exercise]) -> Iterator[Canary]:
    """Ours for the laws, and of each other kind of exercise what is given first (wrong) and what solves it (right)."""
    yield Canary(EXERCISE, submission(EXERCISE.gives, _WRONG), passes=False)
    yield Canary(EXERCISE, submission(EXERCISE.gives, _SILENT), passes=False)
    yield Canary(EXERCISE, submission(EXERCISE.gives, _RIGHT), passes=True)
    seen = {"implement", "fault"}
    for exercise in exercises:
        if exercise.kind not in seen:
            seen.add(exercise.kind)
            yield Canary(exercise, read_submission(exercise.start), passes=False)
            yield Canary(exercise, read_submission(exercise.solution), passes=True)


def a_wrong_one_fails(seed: int) -> bool:
    """Does a file that never answers fail in this very process? The first broken law is enough."""
    file = submission(EXERCISE.gives, _EMPTY)
    try:
        check(file, EXERCISE.component, cls=EXERCISE.cls, profile="brief", seed=seed, told=_end_at_failure)
    except _Failed:
        return True
    return False


class _Failed(Exception):
    """A law was broken, as it should be."""


def _end_at_failure(law: LawReport) -> None:
    if law.verdict == "failed":
        raise _Failed
