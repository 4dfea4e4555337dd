"""The labs that are shipped hold what they promise: in both shells, and whatever the seed."""

from __future__ import annotations

import pytest

from lbtutor.labs.checks import Judged
from lbtutor.labs.library import lab_folders
from lbtutor.labs.run import Shell, run_lab
from lbtutor.labs.scenario import load_scenario

LABS = {path.stem: path for folder in lab_folders() for path in sorted(folder.glob("*.toml"))}


def disappointed(name: str, on: Shell, seed: int | None = None) -> list[Judged]:
    """The expectations of that lab that were not seen to hold."""
    return [one for one in run_lab(load_scenario(LABS[name]), on, seed=seed).judged() if one.verdict != "passed"]


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
@pytest.mark.parametrize("name", LABS)
def test_a_lab_shows_what_it_says_on_real_sockets(name: str) -> None:
    assert disappointed(name, "live") == []
