"""`lbtutor lab run|compare|show`: play a scenario and judge it, with many seeds, with two algorithms; see it whole."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from lbtutor.cli.document import check_keepable, keep_json, say_json
from lbtutor.cli.exits import OF_VERDICT, Exit
from lbtutor.cli.progress import progressing
from lbtutor.cli.report import print_comparison, print_report, print_series, teller
from lbtutor.cli.text import note, say

if TYPE_CHECKING:
    from lbtutor.core import Event
    from lbtutor.labs.run import Own
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
    algorithm: Annotated[
        str | None,
        typer.Option(
            metavar="NAME|FILE.py:Class", help="Replaces the file's, in every pool; a class of your own, too."
        ),
    ] = None,
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
    out: Annotated[Path | None, typer.Option(help="Put the JSON document into this file, too.")] = None,
    dask: Annotated[
        str | None,
        typer.Option(metavar="ADDRESS", help="Play the seeds on the cluster of this Dask scheduler (tcp://HOST:PORT)."),
    ] = None,
) -> None:
    """Play a lab, then print what was measured and a verdict on each expectation.

    Several seeds are played at once on all cores. Ctrl-C ends it cleanly with what was measured so far (exit code 130).
    A class of your own runs in a process of its own, and answers each `pick` within 0.05 s (1 s with --on sim).
    """
    from lbtutor.labs.run import run_lab, told_shares
    from lbtutor.labs.scenario import find_scenario, load_scenario
    from lbtutor.trace.journal import Header, JournalWriter

    if plain and json:
        raise typer.BadParameter("--plain and --json are two ways to print the same run: choose one")
    if seeds is not None and (on is Shell.LIVE or plain or trace is not None):
        raise typer.BadParameter("--seeds goes with --on sim, and without --plain and --trace, which tell one run")
    if dask is not None and seeds is None:
        raise typer.BadParameter("--dask goes with --seeds: one run is for one machine")
    if seeds is not None and _is_own(algorithm):
        raise typer.BadParameter("--seeds is for the algorithms by name: a class of your own plays one seed at a time")
    scenario = load_scenario(find_scenario(name))
    check_keepable(out)
    if seeds is not None:
        _run_seeds(scenario, seeds, seed, algorithm, json=json, out=out, dask=dask)
    with ExitStack() as stack:
        own = _own(stack, algorithm, on)
        sinks: list[Callable[[Event], None]] = []
        if trace is not None:
            header = Header.of(scenario.plan(seed=seed, algorithm=algorithm), scenario=name, shell=on.value)
            sinks.append(stack.enter_context(JournalWriter(trace, header)).write)
        if plain:
            sinks.append(teller())
        elif (tell := stack.enter_context(progressing(scenario.title))) is not None:
            sinks.append(told_shares(scenario.lasts, tell))
        report = run_lab(
            scenario,
            on.value,
            seed=seed,
            algorithm=algorithm,
            own=own,
            speed=speed,
            sinks=sinks,
            listening=None if json else _tell_addresses,
            explained=plain or trace is not None,
        )
    if json:
        say_json(report.as_dict())
    else:
        print_report(report.as_dict(), interrupted=report.interrupted)
    keep_json(out, report.as_dict())
    raise typer.Exit(Exit.INTERRUPTED if report.interrupted else OF_VERDICT[report.verdict])


def _run_seeds(
    scenario: Scenario,
    count: int,
    seed: int | None,
    algorithm: str | None,
    *,
    json: bool,
    out: Path | None,
    dask: str | None,
) -> NoReturn:
    from lbtutor.labs.seeds import run_seeds

    first = scenario.seed if seed is None else seed
    with progressing(scenario.title) as tell:
        series = run_seeds(scenario, range(first, first + count), algorithm=algorithm, tell=tell, dask=dask)
    if json:
        say_json(series.as_dict())
    else:
        print_series(series.as_dict())
    keep_json(out, series.as_dict())
    raise typer.Exit(Exit.INTERRUPTED if series.interrupted else OF_VERDICT[series.verdict])


@lab.command()
def compare(
    name: Name,
    algorithm: Annotated[
        list[str],
        typer.Option(
            metavar="NAME|FILE.py:Class", help="To be given twice: the two to compare, in every pool; your own, too."
        ),
    ],
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
    with ExitStack() as stack:
        own = {name: made for name in algorithm if (made := _own(stack, name, Shell.SIM)) is not None}
        tell = stack.enter_context(progressing(scenario.title))
        comparison = compare_algorithms(scenario, (algorithm[0], algorithm[1]), seed=seed, own=own, tell=tell)
    if json:
        say_json(comparison.as_dict())
    else:
        print_comparison(comparison.as_dict())


@lab.command()
def show(name: Name) -> None:
    """Print a scenario with every default filled in."""
    import tomli_w

    from lbtutor.labs.scenario import find_scenario, load_scenario, with_every_default

    say(tomli_w.dumps(with_every_default(load_scenario(find_scenario(name)))).rstrip())


def _is_own(algorithm: str | None) -> bool:
    """Whether that is a class in a file, and no name of ours."""
    return algorithm is not None and ".py" in algorithm


def _own(stack: ExitStack, algorithm: str | None, on: Shell) -> Own | None:
    """What makes the algorithms of a run, where that is a class of the learner's; its room closes with `stack`."""
    if algorithm is None or not _is_own(algorithm):
        return None
    from lbtutor.course.deputy import IN_SIM, ON_LIVE, deputies

    return stack.enter_context(deputies(algorithm, call=ON_LIVE if on is Shell.LIVE else IN_SIM))


def _tell_addresses(addresses: dict[str, str]) -> None:
    for name, address in addresses.items():
        note(f"{name} listens on http://{address} while the lab runs: curl -i http://{address}/")
