"""What a wrong file looks like: a mistake that is known, named in a remark. It is a guess, and never the verdict.

Two ways to know one. A wrong specimen of the zoo that answers like the file, in the very programs that broke it and in
a dozen more, has made the same mistake, and its words say which. Where there is none, some laws are rarely broken
without a certain belief; those are in the catalogue of misconceptions.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

from lbtutor.core.errors import LbtutorError
from lbtutor.course.exercises.judging import Judgement
from lbtutor.course.exercises.manifest import Exercise
from lbtutor.course.grading.record import Terms
from lbtutor.course.questions import read_misconceptions
from lbtutor.labs.library import library_folder
from lbtutor.testing.adapt import Adapter
from lbtutor.testing.checking import recognised
from lbtutor.testing.components import COMPONENTS, Target, family
from lbtutor.testing.draw import Dice
from lbtutor.testing.program import Program
from lbtutor.testing.report import Counterexample
from lbtutor.testing.sandbox import Confined, Fault, InProcess, Room, Submission
from lbtutor.testing.zoo import Specimen, specimens

PROGRAMS = 12
"""So many ordinary programs are played beside those that broke a law."""
ALIKE = 0.95
"""From this share of equal answers on, two make the same mistake."""

BELIEFS = {
    "a_change_robs_nobody_of_a_turn": "M24",
    "turns_are_spread": "M14",
    "nobody_else_moves": "M10",
    "few_others_move": "M10",
    "who_was_never_measured_is_tried": "M06",
    "open_requests_do_not_attract": "M06",
    "two_are_looked_at_and_not_all": "M03",
    "a_large_load_is_even": "M13",
    "it_falls_after_that_many_failures_in_a_row": "M23",
    "nobody_goes_before_so_many_failures_in_a_row": "M23",
    "it_rises_after_that_many_successes_in_a_row": "M25",
    "never_are_too_many_out": "M08",
    "an_outage_is_not_made_worse": "M09",
    "what_may_have_been_done_is_not_repeated": "M09",
}
"""Who breaks this law often believes that (an id of lessons/misconceptions.toml)."""

_CRASHES = ("it_never_fails", "it_always_answers")
"""Who broke these gave no answers that could be compared."""

_SHAPE = re.compile(r"^ours[;,] ")
"""Which of the two shapes a specimen has is nothing to a learner."""

Answers = list[Any]


def looks_like(exercise: Exercise, file: Submission, judged: Judgement, terms: Terms) -> list[str]:
    """At most one remark: "looks like: …". Empty where nothing is known, or the file cannot be asked."""
    broken = {finding.name: finding.counterexample for finding in judged.findings if finding.verdict == "failed"}
    if not COMPONENTS.keys() & {exercise.component} or any(name in broken for name in _CRASHES):
        return []
    found = [found for found in broken.values() if isinstance(found, Counterexample) and not found.repeats]
    try:
        twin = _twin(exercise, file, found, terms) if found else None
    except (Fault, LbtutorError):
        twin = None
    if twin is not None:
        return [f"looks like: {_SHAPE.sub('', twin.fault)}"]
    return [f"looks like the belief that: {belief}" for belief in _beliefs(broken)][:1]


def _beliefs(broken: dict[str, Any]) -> Iterator[str]:
    known = read_misconceptions(library_folder("lessons") / "misconceptions.toml")
    for name in broken:
        if BELIEFS.get(name) in known:
            yield known[BELIEFS[name]].belief


def _twin(exercise: Exercise, file: Submission, found: Sequence[Counterexample], terms: Terms) -> Specimen | None:
    """The wrong specimen that answers most like the file, if it does so nearly always and in what broke it always."""
    telling = [one.program for one in found if len(one.program.ops) < 100]
    programs = telling + list(_ordinary(exercise.component, terms.seed))
    with Confined(file, limits=terms.limits) as room:
        theirs = _answers(room, exercise, exercise.cls, programs)
    likeness = {
        specimen.name: (_likeness(theirs, ours, len(telling)), specimen)
        for specimen in specimens(exercise.component)
        if specimen.fault and (ours := _of(specimen, exercise, programs)) is not None
    }
    share, best = max(likeness.values(), key=lambda pair: pair[0], default=(0.0, None))
    return best if share >= ALIKE else None


def _ordinary(component: str, seed: int) -> Iterator[Program]:
    dice, kind = Dice(seed), family(COMPONENTS[component].family)
    for _ in range(PROGRAMS):
        yield kind.grammar(dice, component)


def _of(specimen: Specimen, exercise: Exercise, programs: Sequence[Program]) -> list[Answers] | None:
    with InProcess(specimen.file) as room:
        return _answers(room, exercise, specimen.name, programs)


def _answers(room: Room, exercise: Exercise, name: str, programs: Sequence[Program]) -> list[Answers]:
    strict = {claim: said.strict for claim, said in COMPONENTS[exercise.component].claims.items()}
    found = recognised(room.describe(), name, exercise.component)
    target = Target(found.cls, found.shape, found.component, strict | dict(exercise.claims), Adapter())
    return [_played(room, target, program) for program in programs]


def _played(room: Room, target: Target, program: Program) -> Answers:
    """What was answered, in order; a fault is an answer too, and the last one."""
    moments: list[Any] = []
    fault: list[str] = []
    try:
        room.fresh()
        world = family(COMPONENTS[target.component].family).world(room, target, program.setting)
        moments = world.moments
        for number, op in enumerate(program.ops):
            world.do(number, op)
    except Fault as ended:
        fault = [type(ended).__name__]
    return [moment.answer for moment in moments if moment.asked] + fault


def _likeness(theirs: Sequence[Answers], ours: Sequence[Answers], telling: int) -> float:
    """The share of equal answers; 0 when they differ in one of the first `telling` programs, which broke a law."""
    if any(a != b for a, b in zip(theirs[:telling], ours[:telling], strict=True)):
        return 0.0
    pairs = [pair for a, b in zip(theirs, ours, strict=True) for pair in zip(a, b, strict=False)]
    return sum(a == b for a, b in pairs) / len(pairs) if pairs else 0.0
