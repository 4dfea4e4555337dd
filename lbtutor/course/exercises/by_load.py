"""A load that a learner made is judged by what it does: one algorithm breaks under it, another one bears it.

The exercise's folder has the stage, `stage.toml`: pools and machines. The learner's file adds `[[traffic]]` and
`[[timeline]]`, within a budget, and the whole is simulated with several seeds and both algorithms. It is data only, so
it runs right here; what it may cost is settled before it runs.

    settings.breaks   the algorithm that is to break      settings.bears   the one that is to bear it
    settings.measure  `p99` (seconds) or `failed` (the share of requests)
    settings.above    what the first must exceed          settings.below   what the second must stay under
    settings.budget   { requests, rate, clients, acts, by }, each the most there may be
    settings.acts     the kinds of timeline entries that may be used
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from typing import Any

from msgspec import Struct, field
from msgspec.structs import replace

from lbtutor.core import ConfigError, Traffic
from lbtutor.course.exercises.judging import Depth, Finding, Judgement, data_of
from lbtutor.course.exercises.manifest import Exercise
from lbtutor.labs.reading import read_toml
from lbtutor.labs.run import Report, run_lab
from lbtutor.labs.scenario import Scenario, checked, load_scenario
from lbtutor.labs.timeline import TimelineEntry
from lbtutor.testing.sandbox import Submission

SEEDS = (1, 2, 3)
WITHIN = "within the budget"
"""The finding about what a load costs; the others are those of `Bound`."""


class Load(Struct, frozen=True, forbid_unknown_fields=True):
    """A learner's file."""

    traffic: tuple[Traffic, ...] = field(default_factory=tuple)
    timeline: tuple[TimelineEntry, ...] = field(default_factory=tuple)


class Bound(Struct, frozen=True):
    """One side of the exercise: under `algorithm`, the measure is to be above (or below) `limit`."""

    name: str
    algorithm: str
    measure: str
    above: bool
    limit: float

    @property
    def says(self) -> str:
        side = "over" if self.above else "less than"
        return f"with {_title(self.algorithm)}, {_MEASURES[self.measure]} {side} {_shown(self.limit, self.measure)}"

    def holds(self, value: float) -> bool:
        return value > self.limit if self.above else value < self.limit


_MEASURES = {
    "p99": "the slowest hundredth of the requests takes",
    "failed": "the share of requests that fail is",
}


def judge(exercise: Exercise, file: Submission, depth: Depth) -> Judgement:
    """Is it within the budget, and does it do to both algorithms what it should?"""
    began = time.perf_counter()
    try:
        scenario = staged(exercise, file)
    except ConfigError as error:
        return Judgement(
            exercise.id, "not gradable", expected="[[traffic]] and [[timeline]] tables, as in a scenario file",
            got=str(error), cause=str(error), next=f"Mend that in {exercise.gives}, and check again.",
        )  # fmt: skip
    findings: list[Finding] = []
    for finding in _findings(exercise, scenario):
        findings.append(finding)
        if depth.told is not None:
            depth.told(finding)
    judged = Judgement(exercise.id, "pass", tuple(findings), seed=SEEDS[0], seconds=time.perf_counter() - began)
    amiss = next((finding for finding in findings if finding.verdict == "failed"), None)
    if amiss is None:
        return judged
    expected, got, cause, following = _explained(exercise, amiss)
    return replace(judged, outcome="fail", expected=expected, got=got, cause=cause, next=following)


def staged(exercise: Exercise, file: Submission) -> Scenario:
    """The exercise's stage with the learner's load on it. Raises `ConfigError`."""
    text = data_of(exercise, file)
    load = read_toml(text, exercise.gives, Load)
    stage = load_scenario(exercise.folder / "stage.toml")
    return checked(replace(stage, traffic=load.traffic, timeline=load.timeline), text, exercise.gives)


def _findings(exercise: Exercise, scenario: Scenario) -> Iterator[Finding]:
    """First what it costs: a load beyond the budget is not run."""
    amiss = list(_beyond(exercise, scenario))
    yield Finding(WITHIN, "the load keeps to its budget", "failed" if amiss else "passed", tuple(amiss))
    if not amiss:
        for bound in _bounds(exercise.settings):
            yield _held(bound, scenario)


def _beyond(exercise: Exercise, scenario: Scenario) -> Iterator[str]:
    """What there is too much of, or what may not be at all."""
    if not scenario.traffic:
        yield "there is no [[traffic]]"
    if any(rule.websocket is not None for rule in scenario.traffic):
        yield "`websocket` is not among what may happen here"
    for entry in scenario.timeline:
        if entry.kind not in exercise.settings.get("acts", ()):
            yield f"`{entry.kind}` is not among what may happen here"
    for what, value, most in _spent(exercise, scenario):
        if not value <= most:
            yield f"{what}: {value:g}, and there may be {most:g}"


def _bounds(settings: Mapping[str, Any]) -> tuple[Bound, Bound]:
    measure = settings.get("measure", "p99")
    return (
        Bound("it breaks", settings["breaks"], measure, above=True, limit=settings["above"]),
        Bound("it bears", settings["bears"], measure, above=False, limit=settings["below"]),
    )


def _spent(exercise: Exercise, scenario: Scenario) -> Iterator[tuple[str, float, float]]:
    """Each thing that is limited: what it is called, how much there is of it, how much there may be."""
    budget = exercise.settings["budget"]
    traffic, lasts = scenario.traffic, scenario.lasts
    values = {
        "requests": sum(rule.rate * rule.requests * _duration(rule, lasts) for rule in traffic),
        "rate": max((_rate_at(rule.start, traffic, lasts) for rule in traffic), default=0),
        "clients": max((rule.clients for rule in traffic), default=0),
        "acts": len(scenario.timeline),
        "by": max((entry.slow.by for entry in scenario.timeline if entry.slow is not None), default=0),
    }
    yield from ((_LIMITED[name], values[name], most) for name, most in budget.items())


_LIMITED = {
    "requests": "requests in all",
    "rate": "requests a second",
    "clients": "clients",
    "acts": "things that happen",
    "by": "times as slow",
}


def _duration(rule: Traffic, lasts: float) -> float:
    return max(0.0, (lasts if rule.stop is None else min(rule.stop, lasts)) - rule.start)


def _rate_at(at: float, traffic: tuple[Traffic, ...], lasts: float) -> float:
    """The rate of all rules together, at the start of one of them: where else should it be largest?

    What follows on a connection counts as if it came at once.
    """
    return sum(rule.rate * rule.requests for rule in traffic if rule.start <= at < rule.start + _duration(rule, lasts))


def _held(bound: Bound, scenario: Scenario) -> Finding:
    reports = [run_lab(scenario, "sim", seed=seed, algorithm=bound.algorithm, explained=False) for seed in SEEDS]
    values = [_measured(report, bound.measure) for report in reports]
    told = tuple(f"seed {seed}: {_shown(value, bound.measure)}" for seed, value in zip(SEEDS, values, strict=True))
    return Finding(bound.name, bound.says, "passed" if all(map(bound.holds, values)) else "failed", told)


def _measured(report: Report, measure: str) -> float:
    """Of no request at all, the p99 is 0."""
    summary = report.metrics.summary()
    if measure == "p99":
        return float(summary["latency"]["p99"] or 0.0)
    requests = summary["requests"]
    return float((requests["failed"] + requests["rejected"]) / max(1, requests["total"]))


def _explained(exercise: Exercise, amiss: Finding) -> tuple[str, str, str, str]:
    """Expected, got, cause, next."""
    got = "; ".join(amiss.told)
    if amiss.name == WITHIN:
        return "a load within the budget", got, f"{amiss.told[0]}.", f"Put that right in {exercise.gives}."
    settings = exercise.settings
    broken, borne = _title(settings["breaks"]), _title(settings["bears"])
    causes = {
        "it breaks": (
            f"This load does too little harm to {broken}.",
            f"What does {broken} not look at? Make that the thing that matters.",
        ),
        "it bears": (
            f"This load is too much for {borne} as well, so it says nothing against {broken}.",
            f"Take back what hurts both, and keep what only {broken} does not see.",
        ),
    }
    return amiss.says, got, *causes[amiss.name]


def _title(algorithm: str) -> str:
    return algorithm.replace("_", " ").replace("ip hash", "IP hash")


def _shown(value: float, measure: str) -> str:
    return f"{value * 1000:.0f} ms" if measure == "p99" else f"{value:.1%}"
