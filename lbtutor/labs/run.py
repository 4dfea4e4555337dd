"""Running a lab: a scenario on a shell, its trace into every sink, and a verdict at the end.

    report = run_lab(scenario, on="sim")
    report.verdict, report.as_dict()

An interruption (Ctrl-C) ends the run cleanly: what was measured so far is in the report, and expectations that needed
the rest are unknown.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Literal

from msgspec.structs import replace

from lbtutor.core import Event
from lbtutor.core.algorithms import AlgorithmConfig
from lbtutor.core.events import EVERYTHING, Ended, Why
from lbtutor.labs.checks import Check, Judged, Verdict, overall
from lbtutor.labs.scenario import Scenario
from lbtutor.trace.metrics import Metrics

if TYPE_CHECKING:
    from lbtutor.core import Algorithm, Plan

Shell = Literal["live", "sim"]
Sink = Callable[[Event], None]
Own = Callable[["Plan"], "Mapping[str, Algorithm]"]
"""Makes the algorithms that choose in the pools of a plan instead of those that are configured, anew for each run."""

_DRAIN_EVERY = 0.05
"""Wall seconds between two looks at the feed of a live run."""

_LOOKS = 1000
"""How often a run says how far it is."""


class Report:
    """What a run showed: a fold over its trace."""

    def __init__(self, scenario: Scenario, on: Shell, seed: int) -> None:
        self.title = scenario.title
        self.on = on
        self.seed = seed
        self.metrics = Metrics()
        self.interrupted = False
        self._checks = [Check(expect) for expect in scenario.expect]

    def take(self, event: Event) -> None:
        """Fold one event."""
        self.metrics.take(event)
        for check in self._checks:
            check.take(event)
        if isinstance(event, Ended):
            self.interrupted = event.because == "interrupted"

    def judged(self) -> list[Judged]:
        """Each expectation with its verdict."""
        return [check.judge() for check in self._checks]

    @property
    def verdict(self) -> Verdict:
        """Of the whole run; a run of which nothing was expected has passed, unless it was interrupted."""
        if self.interrupted and not self._checks:
            return "unknown"
        return overall([judged.verdict for judged in self.judged()])

    def as_dict(self) -> dict[str, Any]:
        """The document that `lab run --json` prints."""
        expect = [{"says": one.says, "verdict": one.verdict, "measured": one.measured} for one in self.judged()]
        return {
            "scenario": self.title,
            "on": self.on,
            "seed": self.seed,
            **self.metrics.summary(),
            "expect": expect,
            "verdict": self.verdict,
        }


def run_lab(
    scenario: Scenario,
    on: Shell = "live",
    *,
    seed: int | None = None,
    algorithm: AlgorithmConfig | None = None,
    own: Own | None = None,
    speed: float | None = None,
    sinks: Iterable[Sink] = (),
    listening: Callable[[dict[str, str]], None] | None = None,
    explained: bool = True,
) -> Report:
    """Play `scenario` to its end (or to Ctrl-C) and judge it. Every event goes to each of `sinks` as it is read.

    A simulated run that need not be `explained` is quicker: no choice comes with its record. Of a live run, `speed`
    replaces the file's, and `listening` is told the address of each door. With `own`, `algorithm` is only what its
    algorithms are called. Raises `ConfigError` for an unknown algorithm and `EnvironmentFault` when the machine refuses
    what a live run needs.
    """
    plan = scenario.plan(seed=seed, algorithm=algorithm)
    algorithms = None if own is None else own(plan)
    report = Report(scenario, on, plan.seed)
    targets = (report.take, *sinks)

    def tell(event: Event) -> None:
        for target in targets:
            target(event)

    if on == "sim":
        from lbtutor.sim.simulate import simulate

        simulate(plan, tell, kinds=None if explained else EVERYTHING - {Why}, algorithms=algorithms)
    else:
        _play_live(plan if speed is None else replace(plan, speed=speed), tell, listening, algorithms)
    return report


def told_shares(lasts: float, tell: Callable[[float], None]) -> Sink:
    """A sink that tells which share (0 to 1) of a run is over, a thousand times at most."""
    step = lasts / _LOOKS
    due = step

    def take(event: Event) -> None:
        nonlocal due
        if event.at >= due:
            due = event.at + step
            tell(min(1.0, event.at / lasts))

    return take


def played(plan: Plan, on: Shell) -> Iterator[Event]:
    """The events of `plan` as they happen, for a caller who may stop listening at any time: the run then ends too."""
    if on == "sim":
        from lbtutor.sim.simulate import simulate

        told: list[Event] = []
        simulate(plan, told.append)
        yield from told
        return
    from lbtutor.live.run import LiveRun

    run = LiveRun(plan)
    feed = run.feed()
    run.start()
    try:
        while not run.ended.wait(_DRAIN_EVERY):
            yield from feed.drain()
        yield from feed.drain()
    finally:
        run.stop()


def _play_live(
    plan: Plan,
    tell: Sink,
    listening: Callable[[dict[str, str]], None] | None,
    algorithms: Mapping[str, Algorithm] | None,
) -> None:
    from lbtutor.live.run import LiveRun

    run = LiveRun(plan, algorithms=algorithms)
    feed = run.feed()
    run.start()
    try:
        if listening is not None:
            listening(run.addresses)
        while not run.ended.wait(_DRAIN_EVERY):
            for event in feed.drain():
                tell(event)
    except KeyboardInterrupt:
        run.stop("interrupted")
    finally:
        run.stop()
    for event in feed.drain():
        tell(event)
