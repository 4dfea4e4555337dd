"""Several seeds of one lab: is it so, or was it luck?

    series = run_seeds(scenario, range(1, 9))
    series.verdict, series.as_dict()

Each seed is a run of its own, simulated by a crowd (see `crowd`); the document holds the very reports that the runs one
by one would have given, in the order of the seeds.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from msgspec import Struct

from lbtutor.core.algorithms import AlgorithmConfig
from lbtutor.labs.checks import Verdict, overall
from lbtutor.labs.crowd import Tell, at_once
from lbtutor.labs.run import run_lab, told_shares
from lbtutor.labs.scenario import Scenario


class Job(Struct, frozen=True):
    """One seed of a lab."""

    scenario: Scenario
    seed: int
    algorithm: AlgorithmConfig | None


class Series(Struct, frozen=True):
    """What the runs showed: for each seed that was played to its end, the document of `lab run --json`."""

    title: str
    seeds: tuple[int, ...]
    runs: tuple[dict[str, Any], ...]

    @property
    def interrupted(self) -> bool:
        """Is a seed missing?"""
        return len(self.runs) < len(self.seeds)

    @property
    def verdict(self) -> Verdict:
        """Failed when a seed failed, else unknown when one is or is missing, else passed."""
        return overall([run["verdict"] for run in self.runs] + ["unknown"] * self.interrupted)

    def judged(self) -> Iterator[dict[str, Any]]:
        """Each expectation, with the seeds by what they say of it."""
        for position, expected in enumerate(self.runs[0]["expect"] if self.runs else ()):
            seeds: dict[Verdict, list[int]] = {}
            for run in self.runs:
                seeds.setdefault(run["expect"][position]["verdict"], []).append(run["seed"])
            yield {"says": expected["says"], "verdict": overall(list(seeds)), "seeds": seeds}

    def as_dict(self) -> dict[str, Any]:
        """The document that `lab run --seeds N --json` prints."""
        return {
            "scenario": self.title,
            "on": "sim",
            "seeds": list(self.seeds),
            "runs": list(self.runs),
            "expect": list(self.judged()),
            "verdict": self.verdict,
            "interrupted": self.interrupted,
        }


def run_seeds(
    scenario: Scenario,
    seeds: Sequence[int],
    *,
    algorithm: AlgorithmConfig | None = None,
    tell: Tell | None = None,
    dask: str | None = None,
) -> Series:
    """Simulate `scenario` with each of `seeds`, on all cores or the cluster at `dask`; `tell` hears the share done.

    Ctrl-C ends it with the seeds that are complete. Raises `ConfigError` for an algorithm that there is not, and
    `EnvironmentFault` as `at_once` does.
    """
    scenario.plan(algorithm=algorithm)
    done = at_once(_play, [Job(scenario, seed, algorithm) for seed in seeds], tell, dask=dask)
    return Series(scenario.title, tuple(seeds), tuple(run for run in done if run is not None))


def _play(job: Job, tell: Tell) -> dict[str, Any] | None:
    sinks = (told_shares(job.scenario.lasts, tell),)
    report = run_lab(job.scenario, "sim", seed=job.seed, algorithm=job.algorithm, sinks=sinks, explained=False)
    return None if report.interrupted else report.as_dict()
