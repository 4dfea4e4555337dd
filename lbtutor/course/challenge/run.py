"""A design goes through its day, once for each seed, and every requirement gets a verdict.

    result = run_challenge(design, "mine", range(1, 6))
    result.verdict, result.as_dict()

Each day of each design is a job of its own (see `labs.crowd`): several are played at once, on all cores or a cluster,
and what comes out is what the days one by one would have given.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from msgspec import Struct, to_builtins

from lbtutor.course.challenge.day import LASTS, drains_of, world_of
from lbtutor.course.challenge.design import Design
from lbtutor.course.challenge.exact import Exact, play_peak, seen_exactly
from lbtutor.course.challenge.judge import Cost, Judged, cost_of, judge, worst
from lbtutor.labs.checks import Verdict, overall
from lbtutor.labs.crowd import Tell, at_once
from lbtutor.sim import kernel
from lbtutor.sim.flow import play_flow

TOLD_BY = (
    "flow model: the whole hour in steps of a second, as means without chance (no bursts, no unlucky hash). "
    "Held against the exact simulation in small worlds, it serves, sheds and loses within 3 % of what is offered, "
    "6 % where all requests lean on an instance that has no WebSockets yet. A crowd that retries itself into a "
    "collapse it does not see; the exact window of the peak does"
)
"""What the numbers are worth; shown wherever they are. tests/agreement/test_flow_and_kernel.py holds it to that."""

_HOUR = 0.3
"""How much of a day's work is the flow model's hour, where its peak is played exactly too: measured, 1 s of 3.5."""


class Result(Struct, frozen=True):
    """What a design's day came to. Where seeds differ, each requirement is told as in the seed where it held least.

    `seeds` are those that were played to their end: all, unless it was `interrupted`. `exact` is the worst of what the
    exact windows of these seeds say of the flow model; None when none was played.
    """

    design: str
    verdict: Verdict
    requirements: list[Judged]
    cost: Cost
    seeds: list[int]
    interrupted: bool
    title: str
    told_by: str = TOLD_BY
    exact: Exact | None = None

    def as_dict(self) -> dict[str, Any]:
        """The document of `challenge run --json`."""
        document: dict[str, Any] = to_builtins(self)
        return document


class Day(Struct, frozen=True):
    """One job: a design, on the day of one seed."""

    design: Design
    seed: int
    exact: bool


class Played(Struct, frozen=True):
    """What one day showed."""

    seed: int
    requirements: list[Judged]
    cost: Cost
    exact: Exact | None


def run_challenge(
    design: Design,
    name: str,
    seeds: Iterable[int],
    tell: Tell | None = None,
    *,
    exact: bool | None = None,
    dask: str | None = None,
) -> Result:
    """`run_challenges` of one design."""
    (result,) = run_challenges({name: design}, seeds, tell, exact=exact, dask=dask)
    return result


def run_challenges(
    designs: Mapping[str, Design],
    seeds: Iterable[int],
    tell: Tell | None = None,
    *,
    exact: bool | None = None,
    dask: str | None = None,
) -> list[Result]:
    """Play the day of each seed with each of the designs, and judge them; `tell` hears the share that is done.

    With `exact`, two seconds of each day's peak are also played request by request; None means where that takes
    seconds (see `exact_is_quick`). Ctrl-C ends it with the days that are complete: a design that has none is left out,
    and when that is every design, `KeyboardInterrupt` is raised. Raises `EnvironmentFault` as `at_once` does, and when
    `exact` is asked for without numba.
    """
    exactly = exact_is_quick() if exact is None else exact
    chosen = list(seeds)
    days = [Day(design, seed, exactly) for design in designs.values() for seed in chosen]
    played = at_once(_play, days, tell, dask=dask)
    results = []
    for position, (name, design) in enumerate(designs.items()):
        of_it = played[position * len(chosen) : (position + 1) * len(chosen)]
        if complete := [day for day in of_it if day is not None]:
            results.append(_result(name, design, complete, interrupted=len(complete) < len(chosen)))
    if not results:
        raise KeyboardInterrupt
    return results


def exact_is_quick() -> bool:
    """Are the exact windows a matter of seconds? Not without numba, nor before its machine code is made."""
    return kernel.AVAILABLE and kernel.is_made()


def name_of(path: Path) -> str:
    """How a design is called in what is printed."""
    return path.stem


def _play(day: Day, tell: Tell) -> Played:
    share = _HOUR if day.exact else 1.0
    world = world_of(day.design, day.seed)
    tape = play_flow(world, drains_of(day.design), lambda second: tell(second / LASTS * share)).tape
    cost = cost_of(day.design, tape)
    if not day.exact:
        return Played(day.seed, judge(day.design, tape), cost, None)
    peak = play_peak(day.design, tape, day.seed, lambda done: tell(share + done * (1 - share)))
    return Played(day.seed, seen_exactly(judge(day.design, tape, peak.busiest), peak), cost, peak)


def _result(name: str, design: Design, days: list[Played], *, interrupted: bool) -> Result:
    requirements = worst([day.requirements for day in days])
    missing: list[Verdict] = ["unknown"] if interrupted else []
    return Result(
        design=name,
        verdict=overall([*(one.verdict for one in requirements), *missing]),
        requirements=requirements,
        cost=max((day.cost for day in days), key=lambda cost: cost.total),
        seeds=[day.seed for day in days],
        interrupted=interrupted,
        title=design.title,
        exact=max((day.exact for day in days if day.exact), key=lambda exact: exact.off, default=None),
    )
