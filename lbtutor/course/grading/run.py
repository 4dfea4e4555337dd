"""Grading a class: what is known is kept, what is left is marked, and each record is written as soon as it is done.

Nothing is believed before the canaries were through: if a wrong one passes, everybody gets a grader error, and no point
is lost or won.
"""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import closing
from datetime import UTC, datetime

from msgspec import Struct
from msgspec.structs import replace

from lbtutor.course.exercises.manifest import Exercise
from lbtutor.course.grading.canary import Canary, canaries
from lbtutor.course.grading.grader import Job, Task
from lbtutor.course.grading.handed import Handed, called_otherwise
from lbtutor.course.grading.lanes import in_lanes
from lbtutor.course.grading.record import Mark, Record, Records, Terms, kit_of, unmarked
from lbtutor.course.grading.shapes import ours_of, shape_of
from lbtutor.course.grading.supervise import marked
from lbtutor.labs.crowd import Tell, at_once
from lbtutor.testing.sandbox import Submission

ROUND = 200
"""So many learners go to a cluster together; their records are kept when all of them are back."""


class Same(Struct, frozen=True):
    """The same from several learners: a note, and not a verdict. `alike` when more than the bytes was left out of
    account, and `sha256` is of what was compared: names, comments and layout."""

    exercise: str
    sha256: str
    learners: tuple[str, ...]
    alike: bool = False

    @property
    def says(self) -> str:
        """What is the same."""
        return "the same but for names, comments and layout" if self.alike else "the same file"


class Graded(Struct, frozen=True):
    """What came of it: the records in the order of those who handed in, whose files are the same, and whether it is
    all, or was interrupted. `reused` counts the marks that were known before."""

    records: tuple[Record, ...]
    same: tuple[Same, ...]
    reused: int = 0
    interrupted: bool = False


class _Case(Struct, frozen=True):
    """One learner, with what is known already and what is to be marked."""

    handed: Handed
    known: Mapping[str, Mark]
    tasks: tuple[Task, ...]


def grade(
    everybody: Sequence[Handed],
    exercises: Sequence[Exercise],
    terms: Terms,
    records: Records,
    tell: Tell,
    *,
    lanes: int | None = None,
    dask: str | None = None,
    resume: bool = False,
) -> Graded:
    """Mark everybody's files for these exercises; `tell` hears the share that is done.

    On this machine there are `lanes` graders at once (default: one a core), or else they are started on the workers of
    the Dask scheduler at `dask`. With `resume`, marks that are in `records` for the same file and kit are taken from
    there. Ctrl-C ends it with what is done. Raises `EnvironmentFault` when a record cannot be written, or for Dask.
    """
    records.open()
    cases = [_case(handed, exercises, terms, records if resume else None) for handed in everybody]
    done: dict[int, Record] = {}
    interrupted = False
    try:
        complaint = _sick_canary(exercises, terms, lanes, dask) if any(case.tasks for case in cases) else ""
        with closing(_all_marked(cases, terms, tell, lanes, dask, complaint)) as found:
            for number, marks in found:
                done[number] = _record(cases[number], exercises, marks, terms)
                records.keep(done[number])
    except KeyboardInterrupt:
        interrupted = True
    written = [done[number] for number in sorted(done)]
    reused = sum(len(cases[number].known) for number in done)
    return Graded(tuple(written), tuple(_same(everybody, exercises)), reused, interrupted)


def _case(handed: Handed, exercises: Sequence[Exercise], terms: Terms, records: Records | None) -> _Case:
    wanted = [(exercise, handed.files[exercise.gives]) for exercise in exercises if exercise.gives in handed.files]
    stored = records.known(handed.learner) if records is not None else {}
    known = {
        exercise.id: stored[exercise.id]
        for exercise, file in wanted
        if exercise.id in stored and _is_of(stored[exercise.id], exercise, file, terms)
    }
    tasks = [Task(exercise, file.name, file.data) for exercise, file in wanted if exercise.id not in known]
    return _Case(handed, known, tuple(tasks))


def _is_of(mark: Mark, exercise: Exercise, file: Submission, terms: Terms) -> bool:
    """Is it a mark for that very file, made as one would be now?"""
    same = mark.submission_sha256 == file.sha256 and mark.kit == kit_of(exercise, terms.profile)
    return same and mark.verdict != "grader_error"


# -- marking -----------------------------------------------------------------------------------------------------------


def _all_marked(
    cases: Sequence[_Case], terms: Terms, tell: Tell, lanes: int | None, dask: str | None, complaint: str
) -> Generator[tuple[int, list[Mark]]]:
    """The marks of each case by its number, as they come: first those for which there is nothing to do."""
    busy = [number for number, case in enumerate(cases) if case.tasks]
    yield from ((number, []) for number, case in enumerate(cases) if not case.tasks)
    if complaint:
        yield from ((number, _all_ours(cases[number], terms, complaint)) for number in busy)
        return
    jobs = [Job(cases[number].tasks, terms) for number in busy]
    for at, marks in _marked(jobs, tell, lanes, dask):
        yield busy[at], marks


def _marked(jobs: Sequence[Job], tell: Tell, lanes: int | None, dask: str | None) -> Iterator[tuple[int, list[Mark]]]:
    if dask is None:
        yield from in_lanes(_on_core, jobs, lanes or _cores(), tell)
        return
    for start in range(0, len(jobs), ROUND):
        results = at_once(marked, jobs[start : start + ROUND], _part_of(tell, start, len(jobs)), dask=dask)
        yield from ((start + at, marks) for at, marks in enumerate(results) if marks is not None)
        if None in results:
            raise KeyboardInterrupt


def _part_of(tell: Tell, start: int, whole: int) -> Tell:
    """What one round tells, as a share of all jobs."""
    many = min(ROUND, whole - start)
    return lambda share: tell((start + share * many) / whole)


def _on_core(job: Job, core: int | None, tell: Tell) -> list[Mark]:
    return marked(replace(job, core=core), tell)


def _sick_canary(exercises: Sequence[Exercise], terms: Terms, lanes: int | None, dask: str | None) -> str:
    """What is wrong with grading, if something is: every canary goes the way that everybody goes."""
    known = list(canaries(exercises))
    hasty = replace(terms, profile="brief")
    jobs = [Job((Task(one.exercise, one.file.name, one.file.data),), hasty) for one in known]
    complaints = [""] * len(known)
    for at, (mark,) in _marked(jobs, _nobody_hears, lanes, dask):
        complaints[at] = _complaint(known[at], mark)
    return next(filter(None, complaints), "")


def _complaint(canary: Canary, mark: Mark) -> str:
    if mark.verdict == "grader_error":
        return mark.cause
    return canary.says if canary.passes != (mark.verdict == "pass") else ""


def _all_ours(case: _Case, terms: Terms, complaint: str) -> list[Mark]:
    cause = f"grading checks itself before it begins, and {complaint}"
    return [unmarked(task.exercise, "grader_error", cause, terms) for task in case.tasks]


# -- records -----------------------------------------------------------------------------------------------------------


def _record(case: _Case, exercises: Sequence[Exercise], marks: Sequence[Mark], terms: Terms) -> Record:
    fresh = {mark.exercise: mark for mark in marks}
    handed = case.handed
    known = {**case.known, **fresh}
    every = tuple(known.get(exercise.id) or _not_taken(handed, exercise, terms) for exercise in exercises)
    return Record(handed.learner, handed.origin, datetime.now(UTC).isoformat(timespec="seconds"), every)


def _not_taken(handed: Handed, exercise: Exercise, terms: Terms) -> Mark:
    reason = handed.refusal or handed.refused.get(exercise.gives, "")
    if reason:
        return unmarked(exercise, "not_gradable", f"refused: {reason}", terms)
    instead = called_otherwise(exercise.gives, handed.others)
    told = f"no {exercise.gives} was handed in{f', but there is {instead}' if instead else ''}"
    return unmarked(exercise, "missing", told, terms)


def _same(everybody: Sequence[Handed], exercises: Sequence[Exercise]) -> Iterator[Same]:
    for exercise in exercises:
        files = [(one.learner, one.files[exercise.gives]) for one in everybody if exercise.gives in one.files]
        ours = ours_of(exercise)
        written = [(learner, file) for learner, file in files if file.data not in ours]
        same = list(_alike(exercise, [(learner, file.sha256) for learner, file in written]))
        yield from same
        known = {one.learners for one in same}
        shapes = [(learner, shape) for learner, file in written if (shape := shape_of(file, ours))]
        yield from (one for one in _alike(exercise, shapes, alike=True) if one.learners not in known)


def _alike(exercise: Exercise, digests: Sequence[tuple[str, str]], *, alike: bool = False) -> Iterator[Same]:
    owners: dict[str, list[str]] = {}
    for learner, digest in digests:
        owners.setdefault(digest, []).append(learner)
    yield from (Same(exercise.id, digest, tuple(who), alike) for digest, who in owners.items() if len(who) > 1)


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _nobody_hears(share: float) -> None:
    pass
