"""The story of a finding, as a trace that the stage can show."""

from __future__ import annotations

from pathlib import Path

from msgspec import to_builtins

from lbtutor.core.errors import EnvironmentFault
from lbtutor.course.exercises.judging import Finding, Judgement
from lbtutor.course.exercises.manifest import Exercise
from lbtutor.course.found import FOLDER
from lbtutor.course.progress import state_folder
from lbtutor.testing.cases import case_of
from lbtutor.testing.report import LawReport, Report
from lbtutor.testing.scenes import events_of
from lbtutor.trace.journal import Header, Journal, JournalWriter


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


def keep_story(exercise: Exercise, judged: Judgement) -> Path | None:
    """Write the story of the first finding that has one below the state folder, in the place of the one before.

    None when none has one. Raises `EnvironmentFault` when it cannot be written.
    """
    told = (journal_of(exercise, finding, judged.seed) for finding in judged.findings)
    journal = next(filter(None, told), None)
    if journal is None:
        return None
    path = state_folder() / FOLDER / f"{exercise.id}.jsonl"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise EnvironmentFault(f"{path.parent} cannot be made: {error.strerror}") from None
    with JournalWriter(path, journal.header) as writer:
        for event in journal.events:
            writer.write(event)
    return path
