"""A design goes through its day, once for each seed, and every requirement gets a verdict."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from msgspec import Struct, to_builtins

from lbtutor.course.challenge.day import LASTS, drains_of, world_of
from lbtutor.course.challenge.design import Design
from lbtutor.course.challenge.exact import Exact, play_peak
from lbtutor.course.challenge.judge import Cost, Judged, cost_of, judge, worst
from lbtutor.labs.checks import Verdict, overall
from lbtutor.sim.flow import play_flow
from lbtutor.sim.tape import Tape

TOLD_BY = (
    "flow model: the whole hour in steps of a second, as means without chance (no bursts, no unlucky hash). "
    "Held against the exact simulation in small worlds, it serves, sheds and loses within 3 % of what is offered, "
    "6 % where all requests lean on an instance that has no WebSockets yet"
)
"""What the numbers are worth; shown wherever they are. tests/agreement/test_flow_and_kernel.py holds it to that."""


class Result(Struct, frozen=True):
    """What a design's day came to. Where seeds differ, each requirement is told as in the seed where it held least."""

    design: str
    title: str
    verdict: Verdict
    requirements: list[Judged]
    cost: Cost
    seeds: list[int]
    told_by: str = TOLD_BY
    exact: Exact | None = None

    def as_dict(self) -> dict[str, Any]:
        """The document of `challenge run --json`."""
        document: dict[str, Any] = to_builtins(self)
        return document


def run_challenge(
    design: Design,
    name: str,
    seeds: Iterable[int],
    progress: Callable[[float], None] | None = None,
    *,
    exact: bool = False,
) -> Result:
    """Play the day for each seed and judge it; `progress` is told the share that is done.

    With `exact`, two seconds of the first seed's peak are also played request by request. `KeyboardInterrupt` ends it
    with the seeds that are complete (`Result.seeds` says which), if there is one.
    """
    chosen = list(seeds)
    runs: list[list[Judged]] = []
    costs: list[Cost] = []
    peak: Exact | None = None
    try:
        for number, seed in enumerate(chosen):
            tape = _play(design, seed, number, len(chosen), progress)
            if exact and peak is None:
                peak = play_peak(design, tape, seed)
            judged, cost = judge(design, tape, peak.busiest if peak else None), cost_of(design, tape)
            runs.append(judged)
            costs.append(cost)
    except KeyboardInterrupt:
        if not runs:
            raise
    requirements = worst(runs)
    verdict = overall([one.verdict for one in requirements])
    dearest = max(costs, key=lambda one: one.total)
    return Result(name, design.title, verdict, requirements, dearest, chosen[: len(costs)], exact=peak)


def _play(design: Design, seed: int, number: int, of: int, progress: Callable[[float], None] | None) -> Tape:
    def passed(second: float) -> None:
        if progress is not None:
            progress((number + second / LASTS) / of)

    return play_flow(world_of(design, seed), drains_of(design), passed).tape


def name_of(path: Path) -> str:
    """How a design is called in what is printed."""
    return path.stem
