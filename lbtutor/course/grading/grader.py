"""The grader: a process that marks one learner's files, started by `supervise` and by nobody else.

It reads one `Job` from its standard input and writes one line of JSON for each thing that it knows: first a `Hello`,
with what holds learner code in and whether the canary died as it must, then a `Mark` for each exercise, in order. No
learner's path is on its `sys.path`, nobody of the same user may look into its memory, and it ends with its supervisor.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator

import msgspec
from msgspec import Struct

from lbtutor.course.exercises.manifest import Exercise
from lbtutor.course.grading.canary import a_wrong_one_fails
from lbtutor.course.grading.marking import mark
from lbtutor.course.grading.record import Mark, Terms
from lbtutor.testing.sandbox import Confinement, Submission, confinement, doors


class Task(Struct, frozen=True):
    """One exercise, and the file for it."""

    exercise: Exercise
    name: str
    data: bytes


class Job(Struct, frozen=True):
    """What one grader is to do: a learner's tasks, on the terms of the run, on that core (None: wherever)."""

    tasks: tuple[Task, ...]
    terms: Terms
    core: int | None = None


class Hello(Struct, frozen=True):
    """The first word of a grader: what is in force, what of the demanded is not, and whether its canary died."""

    platform: str
    lacks: tuple[str, ...]
    canary: bool


def main() -> None:
    """Do one job."""
    _close()
    job = msgspec.json.decode(sys.stdin.buffer.read(), type=Job)
    if job.core is not None and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {job.core})
    with os.fdopen(_own_output(), "wb", buffering=0) as out:
        for said in told(job):
            out.write(msgspec.json.encode(said) + b"\n")


def told(job: Job) -> Iterator[Hello | Mark]:
    """All that a grader says of a job."""
    held = confinement()
    yield Hello(str(held), tuple(held.lacks(job.terms.require)), a_wrong_one_fails(job.terms.seed))
    for task in job.tasks:
        yield mark(task.exercise, Submission(task.name, task.data), job.terms, _shown(held))


def _shown(held: Confinement) -> str:
    """What is in force, in the same words for everybody: a worker's user id is only a number that nobody has."""
    return str(held._replace(user="own") if held.user.startswith("uid") else held)


def _close() -> None:
    doors.die_with_parent()
    doors.dumpable(on=False)


def _own_output() -> int:
    """Where only this module writes: whatever else prints here does so to standard error."""
    own = os.dup(1)
    os.dup2(2, 1)
    return own


if __name__ == "__main__":
    main()
