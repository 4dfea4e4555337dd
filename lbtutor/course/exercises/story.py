"""The story of a finding, as a trace that the stage can show."""

from __future__ import annotations

from msgspec import to_builtins

from lbtutor.course.exercises.judging import Finding
from lbtutor.course.exercises.manifest import Exercise
from lbtutor.testing.cases import case_of
from lbtutor.testing.report import LawReport, Report
from lbtutor.testing.scenes import events_of
from lbtutor.trace.journal import Header, Journal


def journal_of(exercise: Exercise, finding: Finding, seed: int) -> Journal | None:
    """The counterexample of a law that was broken; None for a finding that has none."""
    if finding.counterexample is None or not exercise.component:
        return None
    law = LawReport(
        finding.name, finding.says, "failed", finding.examples, {}, counterexample=finding.counterexample
    )  # fmt: skip
    report = Report(
        f"{exercise.gives}:{exercise.cls}", exercise.component, "", dict(exercise.claims), seed, (law,), 0.0
    )  # fmt: skip
    events = events_of(law, exercise.component)
    case = to_builtins(case_of(report, law))
    header = Header(
        title=law.says, seed=seed, shell="check", lasts=events[-1].at, pools={"pool": exercise.cls}, case=case
    )  # fmt: skip
    return Journal(header, events)
