"""`lbtutor lab run|compare|show`: play a scenario and judge it, with many seeds, with two algorithms; see it whole."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from lbtutor.cli.exits import OF_VERDICT, Exit
from lbtutor.cli.progress import progress
from lbtutor.cli.report import print_comparison, print_report, print_series, teller
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
    seeds: Annotated[
        int | None, typer.Option(min=1, max=10_000, help="Simulate so many seeds, this one and those after it.")
    ] = None,
) -> None:
    """Play a lab, then print what was measured and a verdict on each expectation.

    Several seeds are played at once on all cores. Ctrl-C ends it cleanly with what was measured so far (exit code 130).
    """
    from lbtutor.labs.run import run_lab
    from lbtutor.labs.scenario import find_scenario, load_scenario
    from lbtutor.trace.journal import Header, JournalWriter

    if plain and json:
        raise typer.BadParameter("--plain and --json are two ways to print the same run: choose one")
    if seeds is not None and (on is Shell.LIVE or plain or trace is not None):
        raise typer.BadParameter("--seeds goes with --on sim, and without --plain and --trace, which tell one run")
    scenario = load_scenario(find_scenario(name))
    if seeds is not None:
        _run_seeds(scenario, seeds, seed, algorithm, json=json)
    with ExitStack() as stack:
        sinks: list[Callable[[Event], None]] = []
        if trace is not None:
            header = Header.of(scenario.plan(seed=seed, algorithm=algorithm), scenario=name, shell=on.value)
            sinks.append(stack.enter_context(JournalWriter(trace, header)).write)
        if plain:
            sinks.append(teller())
        elif (tell := progress(scenario.title)) is not None:
            sinks.append(_progress(scenario, tell))
        report = run_lab(
            scenario,
            on.value,
            seed=seed,
            algorithm=algorithm,
            speed=speed,
            sinks=sinks,
            listening=None if json else _tell_addresses,
            explained=plain or trace is not None,
        )
    if json:
        _say_json(report.as_dict())
    else:
        print_report(report.as_dict(), interrupted=report.interrupted)
    raise typer.Exit(Exit.INTERRUPTED if report.interrupted else OF_VERDICT[report.verdict])


def _run_seeds(scenario: Scenario, count: int, seed: int | None, algorithm: str | None, *, json: bool) -> NoReturn:
    from lbtutor.labs.seeds import run_seeds

    first = scenario.seed if seed is None else seed
    series = run_seeds(scenario, range(first, first + count), algorithm=algorithm, tell=progress(scenario.title))
    if json:
        _say_json(series.as_dict())
    else:
        print_series(series.as_dict())
    raise typer.Exit(Exit.INTERRUPTED if series.interrupted else OF_VERDICT[series.verdict])


@lab.command()
def compare(
    name: Name,
    algorithm: Annotated[list[str], typer.Option(help="To be given twice: the two to compare, in every pool.")],
    seed: Annotated[int | None, typer.Option(help="Replaces the file's seed.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON document and nothing else.")] = False,
) -> None:
    """Simulate a lab with two algorithms: where they first differ and why, and what came of it.

    Ctrl-C ends it with nothing (exit code 130): half a comparison says nothing.
    """
    from lbtutor.labs.compare import compare as compare_algorithms
    from lbtutor.labs.scenario import find_scenario, load_scenario

    if len(set(algorithm)) != 2 or len(algorithm) != 2:
        raise typer.BadParameter("--algorithm is given twice, with two names", param_hint="--algorithm")
    scenario = load_scenario(find_scenario(name))
    tell = progress(scenario.title)
    try:
        comparison = compare_algorithms(scenario, (algorithm[0], algorithm[1]), seed=seed, tell=tell)
    except KeyboardInterrupt:
        comparison = None
    if tell is not None:
        tell(1.0)
    if comparison is None:
        note("lbtutor: interrupted")
        raise typer.Exit(Exit.INTERRUPTED)
    if json:
        _say_json(comparison.as_dict())
    else:
        print_comparison(comparison.as_dict())


@lab.command()
def show(name: Name) -> None:
    """Print a scenario with every default filled in."""
    import tomli_w

    from lbtutor.labs.scenario import find_scenario, load_scenario, with_every_default

    say(tomli_w.dumps(with_every_default(load_scenario(find_scenario(name)))).rstrip())


def _say_json(document: object) -> None:
    import msgspec

    say(msgspec.json.format(msgspec.json.encode(document)).decode())


def _tell_addresses(addresses: dict[str, str]) -> None:
    for name, address in addresses.items():
        note(f"{name} listens on http://{address} while the lab runs: curl -i http://{address}/")


def _progress(scenario: Scenario, tell: Callable[[float], None]) -> Callable[[Event], None]:
    """Tells how far the run is, and that it is over."""
    from lbtutor.core.events import Ended
    from lbtutor.labs.run import told_shares

    tick = told_shares(scenario.lasts, tell)

    def take(event: Event) -> None:
        tick(event)
        if isinstance(event, Ended):
            tell(1.0)

    return take
