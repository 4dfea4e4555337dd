"""`lbtutor challenge`: a design goes through Black Friday, and the chapter's requirements are judged."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lbtutor.cli.audit import audit
from lbtutor.cli.document import check_keepable, keep_json, say_json
from lbtutor.cli.exits import OF_VERDICT, Exit
from lbtutor.cli.progress import progressing
from lbtutor.cli.report import print_table
from lbtutor.cli.screens import Screens, is_terminal
from lbtutor.cli.text import note, say

if TYPE_CHECKING:
    from lbtutor.course.challenge.judge import Judged
    from lbtutor.course.challenge.run import Result

challenge = typer.Typer(
    name="challenge",
    help="The chapter's design challenge: write a design, and see what Black Friday does to it.",
    rich_markup_mode=None,
)
challenge.command()(audit)

_MARKS = {"passed": "✓", "failed": "✕", "unknown": "?"}

Name = Annotated[
    str, typer.Argument(metavar="DESIGN.toml|NAME", help="Your file, or a shipped design (`lbtutor challenge list`).")
]
Names = Annotated[
    list[str], typer.Argument(metavar="DESIGN.toml|NAME...", help="Your files, or shipped designs, by their names.")
]
Reveal = Annotated[bool, typer.Option("--reveal", help="Also the one that passes.")]

_START = """\
The challenge: 1 000 000 requests a second, four services, 1 % failures, carts, WebSockets. Your design, one day.

  lbtutor challenge run chapter              what the day does to the chapter's own solution
  lbtutor challenge list                     the designs that ship, most of them instructive failures
  lbtutor challenge show chapter > mine.toml a file to begin with
  lbtutor challenge run mine.toml            the same for yours; --seeds 5 for five different days
  lbtutor challenge audit                    a hunt through the chapter's numbers: predict, run, see

In a terminal, `lbtutor challenge` opens the TUI: choose a design, edit it, watch its day, read the verdicts."""


@challenge.callback(invoke_without_command=True)
def start(context: typer.Context) -> None:
    """The chapter's design challenge; without a command, the TUI, or where there is no terminal how to start."""
    if context.invoked_subcommand is not None:
        return
    if is_terminal():
        screens: Screens = context.obj
        raise typer.Exit(screens.challenge())
    say(_START)


@challenge.command()
def run(
    names: Names,
    seeds: Annotated[int, typer.Option(min=1, max=1000, help="So many different days, numbered from 1.")] = 1,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON document and nothing else.")] = False,
    exact: Annotated[
        bool | None,
        typer.Option(help="Also play two seconds of each peak request by request (default: where numba is at hand)."),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Put the JSON document into this file, too.")] = None,
    dask: Annotated[
        str | None,
        typer.Option(metavar="ADDRESS", help="Play on the cluster of this Dask scheduler (tcp://HOST:PORT)."),
    ] = None,
) -> None:
    """Play the day and judge each requirement; exit code 1 when one failed.

    Several designs or seeds are played at once, on all cores. Over several seeds, each requirement is told as in the
    one where it held least. Ctrl-C ends it with the seeds that are complete (exit code 130).
    """
    from lbtutor.course.challenge.design import load_design
    from lbtutor.course.challenge.run import run_challenges
    from lbtutor.labs.checks import overall

    paths = _by_name(names)
    designs = {name: load_design(path) for name, path in paths.items()}
    check_keepable(out)
    _warn_of_compiling(exact)
    with progressing(next(iter(designs.values())).title if len(designs) == 1 else f"{len(designs)} designs") as tell:
        results = run_challenges(designs, range(1, seeds + 1), tell, exact=exact, dask=dask)
    document = [result.as_dict() for result in results] if len(names) > 1 else results[0].as_dict()
    if json:
        say_json(document)
    else:
        _print_all(results, seeds)
    keep_json(out, document)
    _record_passes([result for result in results if not _is_shipped(paths[result.design])])
    interrupted = len(results) < len(designs) or any(result.interrupted for result in results)
    raise typer.Exit(Exit.INTERRUPTED if interrupted else OF_VERDICT[overall([result.verdict for result in results])])


@challenge.command(name="list")
def list_(reveal: Reveal = False) -> None:
    """The designs that ship, by name."""
    from lbtutor.course.challenge.design import HIDDEN, design_names, load_design

    is_open = _is_open(reveal=reveal)
    names = {name: path for name, path in design_names().items() if is_open or name != HIDDEN}
    width = max(map(len, names), default=0)
    for name, path in names.items():
        say(f"  {name:<{width}}  {load_design(path).title}")


@challenge.command()
def show(name: Name, reveal: Reveal = False) -> None:
    """Print a design as it is written."""
    from lbtutor.course.challenge.design import HIDDEN, designs_folder, find_design

    path = find_design(name)
    if path == designs_folder() / f"{HIDDEN}.toml" and not _is_open(reveal=reveal):
        raise typer.BadParameter(
            "that is a design which passes: it is shown once yours has passed, and `--reveal` shows it all the same"
        )
    say(path.read_text(encoding="utf-8").rstrip())


def _by_name(names: Sequence[str]) -> dict[str, Path]:
    """Each design's file by what it is called: its stem, or the whole path where two have the same."""
    from lbtutor.course.challenge.design import find_design
    from lbtutor.course.challenge.run import name_of

    paths = list(dict.fromkeys(map(find_design, names)))
    stems = [name_of(path) for path in paths]
    return {stem if stems.count(stem) == 1 else str(path): path for stem, path in zip(stems, paths, strict=True)}


def _is_shipped(path: Path) -> bool:
    from lbtutor.course.challenge.design import design_names

    return path in design_names().values()


def _warn_of_compiling(exact: bool | None) -> None:
    from lbtutor.sim.kernel import is_made

    if exact and not is_made():
        note("the compiled simulator is made first: half a minute, once")


def _is_open(*, reveal: bool) -> bool:
    """May the design that passes be seen? To ask for it is recorded."""
    from datetime import UTC, datetime

    from lbtutor.course.challenge.record import ChallengeRecord

    record = ChallengeRecord()
    if reveal:
        record.record_reveal(datetime.now(UTC))
    if record.notice:
        note(f"lbtutor: {record.notice}")
    return record.is_open


def _record_passes(results: Sequence[Result]) -> None:
    from datetime import UTC, datetime

    from lbtutor.course.challenge.design import HIDDEN
    from lbtutor.course.challenge.record import ChallengeRecord

    passed = [result for result in results if result.verdict == "passed"]
    if not passed:
        return
    record = ChallengeRecord()
    first = not record.passed
    for result in passed:
        record.record_pass(result.design, len(result.seeds), datetime.now(UTC))
    if record.notice:
        note(f"lbtutor: {record.notice}")
    elif first:
        note(f"You have passed the challenge. `lbtutor challenge show {HIDDEN}` shows a design that ships.")


def _print_all(results: Sequence[Result], seeds: int) -> None:
    for result in results:
        _print(result, seeds)
        say()
    if len(results) > 1:
        _print_side_by_side(results)
        say()
    say(f"told by the {results[0].told_by}")


def _print(result: Result, seeds: int) -> None:
    say(f"{result.title}   {_days(result, seeds)}")
    say()
    for one in result.requirements:
        when = "" if one.first_broken_at is None else f"; first broken at {_clock(one.first_broken_at)}"
        say(f"  {_MARKS[one.verdict]} {one.verdict:<7}  {one.says}: {one.measured}{when}")
    say()
    say(f"  {_MARKS[result.verdict]} {result.verdict}")
    say(f"  {_NOT_EXACT if result.exact is None else result.exact.says}")


_NOT_EXACT = "not held against the exact simulation: `--exact` does that (it wants numba)"


def _print_side_by_side(results: Sequence[Result]) -> None:
    rows = [[same[0].id, *map(_in_short, same)] for same in zip(*(one.requirements for one in results), strict=True)]
    prices = ["price", *(f"{result.cost.total:g}" for result in results)]
    print_table([["", *(result.design for result in results)], *rows, prices])


def _in_short(one: Judged) -> str:
    when = "" if one.first_broken_at is None else f"{_clock(one.first_broken_at)} "
    return f"{when}{_MARKS[one.verdict]}"


def _days(result: Result, wanted: int) -> str:
    if result.interrupted:
        seeds = ", ".join(map(str, result.seeds))
        return f"interrupted: {len(result.seeds)} of {wanted} days (seed {seeds}), each line from the worst of them"
    if wanted == 1:
        return "one day (seed 1)"
    return f"{wanted} days (seeds 1 to {wanted}), each line from the worst of them"


def _clock(second: float) -> str:
    return f"{int(second) // 60}:{int(second) % 60:02d}"
