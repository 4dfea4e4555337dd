"""`lbtutor challenge`: a design goes through Black Friday, and the chapter's requirements are judged."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from lbtutor.cli.exits import OF_VERDICT, Exit
from lbtutor.cli.progress import progress
from lbtutor.cli.text import say

if TYPE_CHECKING:
    from lbtutor.course.challenge.run import Result

challenge = typer.Typer(
    name="challenge",
    help="The chapter's design challenge: write a design, and see what Black Friday does to it.",
    rich_markup_mode=None,
)

_MARKS = {"passed": "✓", "failed": "✕", "unknown": "?"}

Name = Annotated[
    str, typer.Argument(metavar="DESIGN.toml|NAME", help="Your file, or a shipped design (`lbtutor challenge list`).")
]
Reveal = Annotated[bool, typer.Option("--reveal", help="Also the one that passes.")]

_START = """\
The challenge: 1 000 000 requests a second, four services, 1 % failures, carts, WebSockets. Your design, one day.

  lbtutor challenge run chapter              what the day does to the chapter's own solution
  lbtutor challenge list                     the designs that ship, most of them instructive failures
  lbtutor challenge show chapter > mine.toml a file to begin with
  lbtutor challenge run mine.toml            the same for yours; --seeds 5 for five different days

There is no editor for designs in the TUI yet: write the file in your own."""


@challenge.callback(invoke_without_command=True)
def start(context: typer.Context) -> None:
    """The chapter's design challenge; without a command, where to start."""
    if context.invoked_subcommand is None:
        say(_START)


@challenge.command()
def run(
    name: Name,
    seeds: Annotated[int, typer.Option(min=1, max=1000, help="So many different days, numbered from 1.")] = 1,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON document and nothing else.")] = False,
    exact: Annotated[
        bool, typer.Option("--exact", help="Also play two seconds of the peak request by request (wants numba).")
    ] = False,
) -> None:
    """Play the day and judge each requirement; exit code 1 when one failed.

    Over several seeds, each requirement is told as in the one where it held least. Ctrl-C ends it with the seeds that
    are complete.
    """
    from lbtutor.course.challenge.design import find_design, load_design
    from lbtutor.course.challenge.run import name_of, run_challenge

    path = find_design(name)
    design = load_design(path)
    result = run_challenge(design, name_of(path), range(1, seeds + 1), progress(design.title), exact=exact)
    if json:
        import msgspec

        say(msgspec.json.format(msgspec.json.encode(result.as_dict())).decode())
    else:
        _print(result)
    raise typer.Exit(Exit.INTERRUPTED if len(result.seeds) < seeds else OF_VERDICT[result.verdict])


@challenge.command(name="list")
def list_(reveal: Reveal = False) -> None:
    """The designs that ship, by name."""
    from lbtutor.course.challenge.design import HIDDEN, design_names, load_design

    names = {name: path for name, path in design_names().items() if reveal or name != HIDDEN}
    width = max(map(len, names), default=0)
    for name, path in names.items():
        say(f"  {name:<{width}}  {load_design(path).title}")


@challenge.command()
def show(name: Name, reveal: Reveal = False) -> None:
    """Print a design as it is written."""
    from lbtutor.course.challenge.design import HIDDEN, designs_folder, find_design

    path = find_design(name)
    if path == designs_folder() / f"{HIDDEN}.toml" and not reveal:
        raise typer.BadParameter("that is a design which passes; `--reveal` shows it all the same")
    say(path.read_text(encoding="utf-8").rstrip())


def _print(result: Result) -> None:
    say(f"{result.title}   {_days(len(result.seeds))}")
    say()
    for one in result.requirements:
        when = "" if one.first_broken_at is None else f"; first broken at {_clock(one.first_broken_at)}"
        say(f"  {_MARKS[one.verdict]} {one.verdict:<7}  {one.says}: {one.measured}{when}")
    say()
    say(f"  {_MARKS[result.verdict]} {result.verdict}")
    say(f"  told by the {result.told_by}")
    if result.exact is not None:
        say(f"  {result.exact.says}")


def _days(count: int) -> str:
    return "one day (seed 1)" if count == 1 else f"{count} days (seeds 1 to {count}), each line from the worst of them"


def _clock(second: float) -> str:
    return f"{int(second) // 60}:{int(second) % 60:02d}"
