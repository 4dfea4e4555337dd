"""Counterexamples, kept: each is a journal like that of any run, whose header says how to play it again.

path = keep_found(report, adapter=adapter)       # the first broken law's; None when none is broken
case = case_in(read_journal(path))               # the `Case`, or None for the journal of an ordinary run
"""

from __future__ import annotations

from pathlib import Path

from lbtutor.core.errors import EnvironmentFault
from lbtutor.course.progress import state_folder
from lbtutor.testing.adapt import Adapter
from lbtutor.testing.cases import Case, case_of, read_case
from lbtutor.testing.report import LawReport, Report
from lbtutor.testing.scenes import events_of
from lbtutor.trace.journal import Header, Journal, JournalWriter

FOLDER = "found"
"""Where they are kept, below the state folder."""

SHELL = "check"
"""What the header of such a journal calls the place where it ran."""


def first_broken(report: Report) -> LawReport | None:
    """The first law that is broken, in the laws' order."""
    return next((law for law in report.laws if law.counterexample is not None), None)


def keep_found(report: Report, path: Path | None = None, adapter: Adapter | None = None) -> Path | None:
    """Write the first counterexample to a journal, and say where; None when there is none.

    Without a path it goes below the state folder, named after the class and what it was checked as, in the place of the
    one before. Raises `EnvironmentFault` when it cannot be written.
    """
    law = first_broken(report)
    if law is None:
        return None
    return keep_law(report, law, path or _usual(report), adapter)


def keep_law(report: Report, law: LawReport, path: Path, adapter: Adapter | None = None) -> Path:
    """Write the counterexample of one law to that journal."""
    import msgspec

    case = case_of(report, law, adapter)
    events = events_of(law, report.component)
    header = Header(
        title=law.says, seed=report.seed, shell=SHELL, lasts=events[-1].at, pools={"pool": case.cls},
        case=msgspec.to_builtins(case),
    )  # fmt: skip
    with JournalWriter(path, header) as journal:
        for event in events:
            journal.write(event)
    return path


def case_in(journal: Journal) -> Case | None:
    """The counterexample that a journal is of. Raises `ConfigError` for one that this lbtutor cannot read."""
    return None if journal.header.case is None else read_case(journal.header.case)


def _usual(report: Report) -> Path:
    folder = state_folder() / FOLDER
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise EnvironmentFault(f"{folder} cannot be made: {error.strerror}") from None
    _, _, cls = report.target.rpartition(":")
    return folder / f"{report.component}-{cls}.jsonl"
