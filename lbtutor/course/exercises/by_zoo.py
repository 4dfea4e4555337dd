"""A law that a learner wrote is judged by whom it accuses.

The learner's `holds(story)` says of a story whether the law was kept in it. It is shown what every specimen of the zoo
did in the same histories: a wrong one is caught when one of its stories is refused, a right one is accused when one of
its stories is. What counts is the wrong ones caught less the right ones accused.

Not every fault shows in every law: those that count are the ones that the exercise's own solution catches.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Sequence
from functools import cache

from msgspec import Struct
from msgspec.structs import replace

from lbtutor.course.exercises.judging import Depth, Finding, Judgement
from lbtutor.course.exercises.manifest import Exercise
from lbtutor.course.exercises.manifest import exercise as exercise_of
from lbtutor.testing.sandbox import FILE, Confined, Fault, InProcess, NotGradable, Room, Submission, read_submission
from lbtutor.testing.sandbox.faults import Raised
from lbtutor.testing.stories import Story, Told, stories

NAME = "holds"
"""The function that the learner writes, unless the exercise's settings say `function`."""


class Charge(Struct, frozen=True):
    """One specimen before the learner's law: is it wrong, and which of its stories was refused first, if one was."""

    told: Told
    refused: Story | None
    shows: Story | None
    """A story in which its fault can be seen."""

    @property
    def is_wrong(self) -> bool:
        return bool(self.told.specimen.fault)

    @property
    def is_just(self) -> bool:
        return self.is_wrong == (self.refused is not None)


class NoLaw(Exception):
    """What the file has is no law: the text says why, `line` where."""

    def __init__(self, reason: str, line: int = 0) -> None:
        super().__init__(reason)
        self.line = line


def judge(exercise: Exercise, file: Submission, depth: Depth) -> Judgement:
    """Ask the learner's law about every story of everybody."""
    began = time.perf_counter()
    seed = secrets.randbits(20) if depth.seed is None else depth.seed
    try:
        charges = _charges(exercise, file, seed, depth)
    except NoLaw as reason:
        line = f"line {reason.line} of " if reason.line else ""
        return Judgement(
            exercise.id, "fail" if reason.line else "not gradable", expected="True or False for every story",
            got=str(reason), cause=f"A law answers for every story, whatever happens in it: {reason}.",
            next=f"Mend that in {line}{exercise.gives}, and check again.", seed=seed, line=reason.line,
        )  # fmt: skip
    findings = tuple(_finding(charge) for charge in charges)
    judged = _verdict(exercise, charges, findings, seed, time.perf_counter() - began)
    for finding in findings if depth.told is not None else ():
        depth.told(finding)  # type: ignore[misc]
    return judged


def _charges(exercise: Exercise, file: Submission, seed: int, depth: Depth) -> list[Charge]:
    function = exercise.settings.get("function", NAME)
    known = _shown(exercise.id, seed)
    try:
        with Confined(file, limits=depth.limits) as room:
            written = room.describe().functions.get(function)
            if written is None:
                raise NoLaw(f"the file has no function {function}")
            asking = _asking(room, function, written.line)
            return [Charge(told, _first_refused(asking, told.stories), shows) for told, shows in known]
    except Fault as fault:
        raise NoLaw(f"it {fault}" if not isinstance(fault, NotGradable) else str(fault)) from None


def _first_refused(asking: Callable[[Story], bool], stories: Sequence[Story]) -> Story | None:
    """The first story that the law refuses, up to the row with which it does."""
    for story in stories:
        if not asking(story):
            parts = (story.upto(row) for row in range(1, len(story.rows) + 1))
            return next((part for part in parts if not asking(part)), story)
    return None


def _asking(room: Room, function: str, line: int = 0) -> Callable[[Story], bool]:
    def ask(story: Story) -> bool:
        try:
            kept = room.call(FILE, function, story.rows)
        except Fault as fault:
            raise NoLaw(f"it {fault}", (isinstance(fault, Raised) and fault.line) or line) from None
        if not isinstance(kept, bool):
            raise NoLaw(f"{function} answered {kept!r}, not True or False", line)
        return kept

    return ask


@cache
def _shown(exercise_id: str, seed: int) -> tuple[tuple[Told, Story | None], ...]:
    """Whose stories are told: all right ones', and those of the wrong ones that the exercise's own solution catches."""
    exercise = exercise_of(exercise_id)
    with InProcess(read_submission(exercise.solution)) as room:
        asking = _asking(room, exercise.settings.get("function", NAME))
        tried = [(told, _shortest(asking, told.stories)) for told in stories(exercise.component, seed)]
    return tuple((told, shows) for told, shows in tried if shows is not None or not told.specimen.fault)


def _shortest(asking: Callable[[Story], bool], told: Sequence[Story]) -> Story | None:
    """Of all stories that the law refuses, the one in which it does so first."""
    refused = (_first_refused(asking, [story]) for story in told)
    return min((story for story in refused if story is not None), key=lambda story: len(story.rows), default=None)


def _verdict(
    exercise: Exercise, charges: Sequence[Charge], findings: tuple[Finding, ...], seed: int, seconds: float
) -> Judgement:
    wrong = [charge for charge in charges if charge.is_wrong]
    accused = next((charge for charge in charges if not charge.is_wrong and not charge.is_just), None)
    free = next((charge for charge in wrong if not charge.is_just), None)
    caught = sum(charge.is_just for charge in wrong)
    amiss = sum(not charge.is_just for charge in charges) - (len(wrong) - caught)
    score = max(0, caught - amiss) / len(wrong) if wrong else 0.0
    judged = Judgement(exercise.id, "pass", findings, seed=seed, seconds=seconds, score=score)
    got = f"{caught} of {len(wrong)} wrong ones caught, {amiss} right {'one' if amiss == 1 else 'ones'} accused"
    if accused is not None:
        return replace(
            judged, outcome="fail", expected="no right one accused", got=got,
            cause=f"Your law refuses a story of a right one: {_what(accused)}",
            next="Play that story by hand: what does your law forbid in it that a right one may do?",
        )  # fmt: skip
    if free is not None:
        return replace(
            judged, outcome="fail", expected="every wrong one caught", got=got,
            cause=f"Your law accepts every story of a wrong one: {_what(free)}",
            next="Find the row in its story that no right one would have, and say in one line what is wrong there.",
        )  # fmt: skip
    return judged


def _finding(charge: Charge) -> Finding:
    specimen = charge.told.specimen
    kind = "wrong" if charge.is_wrong else "right"
    story = charge.refused or charge.shows
    return Finding(
        specimen.name,
        f"{kind}: {_what(charge)}",
        "passed" if charge.is_just else "failed",
        () if charge.is_just or story is None else story.told,
        weight=float(charge.is_wrong),
    )


def _what(charge: Charge) -> str:
    """What is right or wrong with it; which of the two shapes it has is nothing to a law about stories."""
    says = charge.told.specimen.says
    return says[6:] if says.startswith(("ours; ", "ours, ")) else says
