"""`lbtutor replay`: a recorded run or a counterexample, told again, shown again, played again, or made a test."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lbtutor.cli.exits import Exit
from lbtutor.cli.report import print_report, teller
from lbtutor.cli.screens import Screens, is_terminal
from lbtutor.cli.text import note, say
from lbtutor.core.errors import ConfigError, JournalError

if TYPE_CHECKING:
    from lbtutor.testing.cases import Case
    from lbtutor.trace.journal import Journal


def replay(
    context: typer.Context,
    trace: Annotated[Path, typer.Argument(help="A trace that `lab run --trace` or `check` wrote.")],
    json: Annotated[bool, typer.Option("--json", help="Print the sums as one JSON document and nothing else.")] = False,
    plain: Annotated[bool, typer.Option("--plain", help="Tell it line by line, on a terminal too.")] = False,
    submission: Annotated[
        str, typer.Option(metavar="FILE.py:Class", help="Of a counterexample: does this code still break the law?")
    ] = "",
    in_process: Annotated[
        bool, typer.Option("--in-process", help="With --submission: run it right here, unprotected.")
    ] = False,
    test: Annotated[
        bool, typer.Option("--as-test", help="Of a counterexample: print it as a test for pytest.")
    ] = False,
) -> None:
    """Travel through a recorded run on the stage; without a terminal, tell it line by line and sum it up.

    Of a trace that was cut, everything up to the cut is told, and the exit code is 3. A damaged one is told up to the
    damage; the exit code is 2. With --submission the exit code is 1 while the code breaks the law, and 0 when it holds.
    """
    journal, complaint, code = _read(trace)
    if submission:
        code = _play(_case(journal, trace), submission, in_process=in_process)
    elif test:
        from lbtutor.testing.regression import as_test

        say(as_test(_case(journal, trace)).rstrip())
    elif is_terminal() and not (plain or json):
        screens: Screens = context.obj
        code = max(code, Exit(screens.replay(trace)))
    elif journal.header.case is not None and not json:
        _tell_case(_case(journal, trace))
    else:
        _tell(journal, json=json)
    if complaint:
        note(f"lbtutor: {complaint}")
    raise typer.Exit(code)


def _read(trace: Path) -> tuple[Journal, str, Exit]:
    """The journal, what is missing in it, and the exit code for that."""
    from lbtutor.trace.journal import Journal, read_journal

    try:
        journal = read_journal(trace)
    except JournalError as damage:
        if not isinstance(damage.journal, Journal):
            raise
        return damage.journal, str(damage), Exit.USAGE
    if journal.complaint:
        return journal, f"{trace} was {journal.complaint}", Exit.UNKNOWN
    return journal, "", Exit.PASSED


def _case(journal: Journal, trace: Path) -> Case:
    from lbtutor.course.found import case_in

    case = case_in(journal)
    if case is None:
        raise ConfigError(f"{trace} is the trace of a run, and no counterexample: `lbtutor check` keeps these")
    return case


def _play(case: Case, submission: str, *, in_process: bool) -> Exit:
    """Play a counterexample on that code, and tell how it ends there."""
    from lbtutor.cli.check import told
    from lbtutor.testing.cases import played_again
    from lbtutor.testing.sandbox import NotGradable

    try:
        found = played_again(case, submission, in_process=in_process)
    except NotGradable as reason:
        note(f"lbtutor: {submission.partition(':')[0]} cannot be played: {reason}")
        return Exit.FAILED
    if found is None:
        say(f"✓ it holds    {case.says}")
        say(f"  {submission} comes through this story; whether it keeps the law in others, `lbtutor check` tells")
        return Exit.PASSED
    say(f"✕ it breaks   {case.says}")
    say()
    for line in told(found, case.hint):
        say(f"    {line}")
    return Exit.FAILED


def _tell_case(case: Case) -> None:
    """The story of a counterexample, as `check` told it."""
    from lbtutor.cli.check import told

    say(f"{case.cls} of {case.file} as {case.component}: {case.says}")
    say()
    for line in told(case, case.hint):
        say(f"    {line}")


def _tell(journal: Journal, *, json: bool) -> None:
    """Every event in a line, then the sums; with `json` these alone, as a document."""
    from lbtutor.trace.metrics import Metrics

    metrics = Metrics()
    tell = None if json else teller()
    for event in journal.events:
        metrics.take(event)
        if tell is not None:
            tell(event)
    header = journal.header
    document = {"scenario": header.title, "on": header.shell, "seed": header.seed, **metrics.summary()}
    if json:
        import msgspec

        say(msgspec.json.format(msgspec.json.encode(document)).decode())
    else:
        say()
        print_report(document)
