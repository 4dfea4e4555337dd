"""The labs that are shipped hold what they promise: in both shells, and whatever the seed."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from lbtutor.labs.checks import Judged
from lbtutor.labs.library import lab_folders
from lbtutor.labs.run import Shell, run_lab
from lbtutor.labs.scenario import load_scenario

LABS = {path.stem: path for folder in lab_folders() for path in sorted(folder.glob("*.toml"))}

ON_SOCKETS = [name for name, path in LABS.items() if not load_scenario(path).balancer]
"""All but those with several balancers, which are played in the simulator only."""

AT_ONCE = 6

UNHURRIED = 1.5
"""Scenario seconds a second at which a lab is played here at most."""


def disappointed(name: str, on: Shell, seed: int | None = None) -> list[Judged]:
    """The expectations of that lab that were not seen to hold."""
    scenario = load_scenario(LABS[name])
    report = run_lab(scenario, on, seed=seed, speed=min(scenario.speed, UNHURRIED))
    return [one for one in report.judged() if one.verdict != "passed"]


@pytest.mark.parametrize("name", LABS)
def test_a_lab_expects_something_and_tells_a_story(name: str) -> None:
    scenario = load_scenario(LABS[name])
    assert scenario.expect
    assert len(scenario.story) > 40


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("name", LABS)
def test_a_lab_shows_what_it_says_in_the_simulator(name: str, seed: int) -> None:
    assert disappointed(name, "sim", seed) == []


@pytest.mark.slow
def test_every_lab_shows_what_it_says_on_real_sockets() -> None:
    """Several at a time, for they mostly wait; and not too fast, so that a busy machine still keeps their time."""
    with ThreadPoolExecutor(AT_ONCE) as stages:
        shown = dict(zip(ON_SOCKETS, stages.map(lambda name: disappointed(name, "live"), ON_SOCKETS), strict=True))
    assert {name: judged for name, judged in shown.items() if judged} == {}
