"""`lbtutor lab run|show`: play a scenario and judge it; see it with every default filled in."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import ExitStack
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lbtutor.cli.exits import OF_VERDICT, Exit
from lbtutor.cli.report import print_report, teller
from lbtutor.cli.text import note, say

if TYPE_CHECKING:
    from lbtutor.core import Event
    from lbtutor.labs.scenario import Scenario

lab = typer.Typer(
    name="lab",
    help="Run scenarios, on real sockets or simulated.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

Name = Annotated[
    str, typer.Argument(metavar="FILE|NAME", help="A lab's name (`lbtutor list labs`) or a scenario file.")
]


class Shell(StrEnum):
    """Where a lab runs."""

    LIVE = "live"
    SIM = "sim"


@lab.command()
def run(
    name: Name,
    on: Annotated[Shell, typer.Option(help="live: real sockets on loopback. sim: a virtual clock.")] = Shell.LIVE,
    algorithm: Annotated[str | None, typer.Option(help="Replaces the file's, in every pool.")] = None,
    seed: Annotated[int | None, typer.Option(help="Replaces the file's seed.")] = None,
    speed: Annotated[
        float | None, typer.Option(min=0.01, max=1000, help="Live: scenario seconds per second of wall time.")
    ] = None,
    plain: Annotated[bool, typer.Option("--plain", help="Tell the run, one line an event.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON document and nothing else.")] = False,
    trace: Annotated[Path | None, typer.Option(help="Write the trace to this file (JSON Lines).")] = None,
) -> None:
    """Play a lab, then print what was measured and a verdict on each expectation.

    Ctrl-C ends it cleanly with what was measured so far (exit code 130).
    """
    from lbtutor.labs.run import run_lab
    from lbtutor.labs.scenario import find_scenario, load_scenario
    from lbtutor.trace.journal import Header, JournalWriter

    if plain and json:
        raise typer.BadParameter("--plain and --json are two ways to print the same run: choose one")
    scenario = load_scenario(find_scenario(name))
    with ExitStack() as stack:
        sinks: list[Callable[[Event], None]] = []
        if trace is not None:
            header = Header.of(scenario.plan(seed=seed, algorithm=algorithm), scenario=name, shell=on.value)
            sinks.append(stack.enter_context(JournalWriter(trace, header)).write)
        if plain:
            sinks.append(teller())
        elif sys.stderr.isatty():
            sinks.append(_progress(scenario))
        report = run_lab(
            scenario,
            on.value,
            seed=seed,
            algorithm=algorithm,
            speed=speed,
            sinks=sinks,
            listening=None if json else _tell_addresses,
        )
    if json:
        import msgspec

        say(msgspec.json.format(msgspec.json.encode(report.as_dict())).decode())
    else:
        print_report(report.as_dict(), interrupted=report.interrupted)
    raise typer.Exit(Exit.INTERRUPTED if report.interrupted else OF_VERDICT[report.verdict])


@lab.command()
def show(name: Name) -> None:
    """Print a scenario with every default filled in."""
    import tomli_w

    from lbtutor.labs.scenario import find_scenario, load_scenario, with_every_default

    say(tomli_w.dumps(with_every_default(load_scenario(find_scenario(name)))).rstrip())


def _tell_addresses(addresses: dict[str, str]) -> None:
    for name, address in addresses.items():
        note(f"{name} listens on http://{address} while the lab runs: curl -i http://{address}/")


def _progress(scenario: Scenario) -> Callable[[Event], None]:
    """A line on stderr that counts scenario seconds, rewritten at each hundredth of the run."""
    from lbtutor.core.events import Ended

    step = scenario.lasts / 100
    due = step

    def tick(event: Event) -> None:
        nonlocal due
        if event.at >= due:
            due = event.at + step
            sys.stderr.write(f"\r{scenario.title}: {event.at:.0f} of {scenario.lasts:.0f} s \x1b[K")
        if isinstance(event, Ended):
            sys.stderr.write("\r\x1b[K")
        sys.stderr.flush()

    return tick
