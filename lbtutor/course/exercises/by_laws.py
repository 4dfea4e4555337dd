"""What is implemented or repaired is judged by the laws of its component."""

from __future__ import annotations

from collections.abc import Callable

from msgspec.structs import replace

from lbtutor.core.errors import ConfigError
from lbtutor.course.exercises.judging import Depth, Finding, Judgement
from lbtutor.course.exercises.manifest import Exercise
from lbtutor.testing.checking import check
from lbtutor.testing.report import LawReport, Report
from lbtutor.testing.sandbox import Fault, NotGradable, Submission

LONG = 12
"""Lines of a story that a learner still plays by hand."""

_END = 3
"""The last lines of a longer one, which are told."""


def judge(exercise: Exercise, file: Submission, depth: Depth) -> Judgement:
    """Hold the class that the exercise names to its component's laws; hidden ones only when it is graded."""
    hidden = () if depth.graded else exercise.hidden
    teller = _Teller(exercise, hidden, depth.told)
    try:
        report = check(
            file, exercise.component, cls=exercise.cls, claims=exercise.claims, profile=depth.profile, seed=depth.seed,
            limits=depth.limits, told=teller.law,
        )  # fmt: skip
    except (Fault, ConfigError) as reason:  # as it stands, or as soon as it is run
        return _not_gradable(exercise, reason)
    teller.rest()
    laws = [law for law in report.laws if law.name not in hidden]
    return _judgement(exercise, report, laws, len(hidden))


class _Teller:
    """Tells each law when its verdict comes; but one that failed only after the law that the gap is about.

    The first that fails is told with its story, and a story of what the exercise asks helps more than one of something
    that followed from it and happened to be found earlier.
    """

    def __init__(self, exercise: Exercise, hidden: tuple[str, ...], told: Callable[[Finding], None] | None) -> None:
        self._exercise = exercise
        self._hidden = hidden
        self._told = told
        self._held: list[LawReport] | None = []

    def law(self, law: LawReport) -> None:
        if law.name == self._exercise.fails:
            self._tell(law)
            self.rest()
        elif self._held is not None and law.verdict == "failed":
            self._held.append(law)
        else:
            self._tell(law)

    def rest(self) -> None:
        """Tell what was held back; from now on nothing is."""
        held, self._held = self._held or [], None
        for law in held:
            self._tell(law)

    def _tell(self, law: LawReport) -> None:
        if self._told is not None and law.name not in self._hidden:
            self._told(_finding(self._exercise, law))


def _not_gradable(exercise: Exercise, reason: BaseException) -> Judgement:
    got = reason.reason if isinstance(reason, NotGradable) else str(reason)
    line = getattr(reason, "line", 0)
    action = f"Mend line {line} of {exercise.gives}" if line else f"Mend that in {exercise.gives}"
    return Judgement(
        exercise.id, "not gradable", expected=f"a class {exercise.cls} that can be run", got=got, cause=got,
        next=f"{action}, and check again.", line=line,
    )  # fmt: skip


def _judgement(exercise: Exercise, report: Report, laws: list[LawReport], hidden: int) -> Judgement:
    findings = tuple(_finding(exercise, law) for law in laws if law.verdict != "not checked")
    verdicts = {finding.verdict for finding in findings}
    failed = [law for law in laws if law.verdict == "failed"]
    worst = next((law for law in failed if law.name == exercise.fails), next(iter(failed), None))
    judged = Judgement(
        exercise.id, "pass", findings, hidden=hidden, seed=report.seed, seconds=report.seconds
    )  # fmt: skip
    if worst is not None and worst.counterexample is not None:
        found = worst.counterexample
        return replace(
            judged,
            outcome="fail",
            expected=found.expected,
            got=found.got,
            cause=worst.says,
            next=_next(exercise, worst),
        )
    if "unknown" in verdicts or not findings:
        law = next((law for law in laws if law.verdict == "unknown"), None)
        return replace(
            judged, outcome="unknown", expected="enough seen to judge", got=law.why if law else "no law was tried",
            cause=law.says if law else "", next="Check again with --thorough.",
        )  # fmt: skip
    return judged


def _next(exercise: Exercise, law: LawReport) -> str:
    found = law.counterexample
    if found is not None and found.line:
        return f"Look at line {found.line} of {exercise.gives}."
    return law.hint or f"Play the story by hand through {exercise.gives}."


def _finding(exercise: Exercise, law: LawReport) -> Finding:
    found = law.counterexample
    told = _in_brief(found.story) if found is not None else ((law.why,) if law.why else ())
    line = found.line if found is not None else 0
    after = _next(exercise, law) if law.verdict == "failed" else ""
    return Finding(law.name, law.says, law.verdict, told, line, found, next=after, examples=law.examples)


def _in_brief(story: tuple[str, ...]) -> tuple[str, ...]:
    """How it begins and how it ends; the whole of it is on the stage."""
    if len(story) <= LONG:
        return story
    return (*story[: LONG - _END - 1], "     …  and so on, as the stage shows", *story[-_END:])
