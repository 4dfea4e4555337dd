"""`lbtutor replay`: a recorded run, told again."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lbtutor.cli.exits import Exit
from lbtutor.cli.report import print_report, teller
from lbtutor.cli.text import note, say
from lbtutor.core.errors import JournalError


def replay(
    trace: Annotated[Path, typer.Argument(help="A trace that `lab run --trace` wrote.")],
    json: Annotated[bool, typer.Option("--json", help="Print the sums as one JSON document and nothing else.")] = False,
) -> None:
    """Tell a recorded run again, line by line, and sum it up.

    Of a trace that was cut, everything up to the cut is told, and the exit code is 3. A damaged one is told up to the
    damage; the exit code is 2.
    """
    from lbtutor.trace.journal import Journal, read_journal
    from lbtutor.trace.metrics import Metrics

    code, metrics = Exit.PASSED, Metrics()
    try:
        journal = read_journal(trace)
        complaint = journal.complaint and f"{trace} was {journal.complaint}"
        code = Exit.UNKNOWN if complaint else Exit.PASSED
    except JournalError as damage:
        if not isinstance(damage.journal, Journal):
            raise
        journal, complaint, code = damage.journal, str(damage), Exit.USAGE
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
    if complaint:
        note(f"lbtutor: {complaint}")
    raise typer.Exit(code)
