"""A learner's class behind the real balancer, in both shells: whom it chooses, and what becomes of its mistakes."""

from __future__ import annotations

from pathlib import Path

import pytest

from lbtutor.core import ConfigError, Event
from lbtutor.core.events import Arrived, ContractBroken, Finished, Picked, Rejected
from lbtutor.course.deputy import ENOUGH, IN_SIM, ON_LIVE, deputies
from lbtutor.labs.compare import compare
from lbtutor.labs.run import Shell, run_lab
from lbtutor.labs.scenario import Scenario, load_scenario

LAB = """\
title = "Three"
lasts = "3s"
speed = 10
[pool.web]
algorithm = "round_robin"
backends = [{ name = "a" }, { name = "b" }, { name = "c" }]
[[traffic]]
to = "front"
rate = 20
arrivals = "steady"
"""

LAST = """\
class Last:
    def pick(self, request, backends):
        return backends[-1]
"""
RAISES = """\
class Raises:
    def __init__(self):
        self.count = 0

    def pick(self, request, backends):
        self.count += 1
        return backends[0] if self.count % 2 else {}[self.count]
"""
HANGS = """\
class Hangs:
    def pick(self, request, backends):
        while True:
            pass
"""
HANGS_ONCE = """\
class HangsOnce:
    def __init__(self):
        self.count = 0

    def pick(self, request, backends):
        self.count += 1
        while self.count == 20:
            pass
        return backends[0]
"""
STRANGER = """\
class Stranger:
    def pick(self, request, backends):
        return "a"
"""
LISTENS = """\
class Listens:
    def __init__(self, rng):
        self.heard = 0
        self.rng = rng

    def observe(self, event):
        self.heard += 1

    def pick(self, request, backends):
        return backends[2] if self.heard > 9 else backends[self.rng.randrange(2)]
"""


@pytest.fixture
def lab(tmp_path: Path) -> Scenario:
    (tmp_path / "lab.toml").write_text(LAB)
    return load_scenario(tmp_path / "lab.toml")


def events_of(lab: Scenario, folder: Path, source: str, on: Shell = "sim", call: float = IN_SIM) -> list[Event]:
    """Of a run with the class in that text."""
    path = folder / "mine.py"
    path.write_text(source)
    told: list[Event] = []
    with deputies(str(path), call=call) as own:
        run_lab(lab, on, algorithm="mine.py", own=own, sinks=(told.append,))
    return told


def picked(events: list[Event]) -> list[str]:
    return [event.backend for event in events if isinstance(event, Picked)]


def broken(events: list[Event]) -> list[str]:
    return [event.because for event in events if isinstance(event, ContractBroken)]


@pytest.mark.parametrize("on", ["sim", "live"])
def test_the_learners_class_chooses_in_the_real_balancer(lab: Scenario, tmp_path: Path, on: Shell) -> None:
    events = events_of(lab, tmp_path, LAST, on)
    assert len(picked(events)) > 20
    assert set(picked(events)) == {"c"}
    assert broken(events) == []


@pytest.mark.parametrize("on", ["sim", "live"])
def test_what_it_raises_is_told_with_its_line_and_that_request_is_answered_500(
    lab: Scenario, tmp_path: Path, on: Shell
) -> None:
    events = events_of(lab, tmp_path, RAISES, on)
    assert broken(events)[0] == (
        "it raised KeyError: 2 in line 7: return backends[0] if self.count % 2 else {}[self.count]"
    )
    assert {event.algorithm for event in events if isinstance(event, ContractBroken)} == {"Raises"}
    refused = [event.status for event in events if isinstance(event, Rejected)]
    assert refused == [500] * len(broken(events))
    assert len(picked(events)) >= len(refused) > 5, "every other request was served"


@pytest.mark.slow
@pytest.mark.parametrize("on", ["sim", "live"])
def test_one_that_hangs_is_given_up_and_after_enough_of_these_asked_no_more(
    lab: Scenario, tmp_path: Path, on: Shell
) -> None:
    told = broken(events_of(lab, tmp_path, HANGS, on, ON_LIVE))
    assert told[:ENOUGH] == ["its pick took longer than 0.05 s"] * ENOUGH
    assert set(told[ENOUGH:]) == {f"its process was ended {ENOUGH} times, and it is asked no more"}


def test_after_a_hang_it_begins_anew_and_the_balancer_goes_on(lab: Scenario, tmp_path: Path) -> None:
    events = events_of(lab, tmp_path, HANGS_ONCE, call=ON_LIVE)
    assert set(broken(events)) == {"its pick took longer than 0.05 s"}
    arrived = sum(isinstance(event, Arrived) for event in events)
    assert len(broken(events)) == arrived // 20
    assert len(picked(events)) == arrived - len(broken(events))


def test_what_was_not_offered_is_a_broken_contract(lab: Scenario, tmp_path: Path) -> None:
    told = broken(events_of(lab, tmp_path, STRANGER))
    assert told[0] == "its pick returned 'a', which is not one of the backends offered"


def test_it_hears_how_attempts_ended_and_has_the_same_chances_every_time(lab: Scenario, tmp_path: Path) -> None:
    events = events_of(lab, tmp_path, LISTENS)
    tenth = [event for event in events if isinstance(event, Finished)][9]
    after = [event.backend for event in events if isinstance(event, Picked) and event.at > tenth.at]
    before = [event.backend for event in events if isinstance(event, Picked) and event.at <= tenth.at]
    assert set(after) == {"c"}
    assert set(before) == {"a", "b"}
    assert picked(events) == picked(events_of(lab, tmp_path, LISTENS))


def test_it_can_be_compared_with_ours(lab: Scenario, tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text(LAST)
    with deputies(f"{path}:Last", call=IN_SIM) as own:
        differs = compare(lab, ("mine", "round_robin"), own={"mine": own}).differs
    assert differs is not None
    assert [choice.backend for choice in differs.choices] == ["web/c", "web/a"]
    assert differs.choices[0].because == "chosen by mine (it gives no reason)"


@pytest.mark.parametrize(
    ("target", "source", "says"),
    [
        ("mine.py", "def", "line 1"),
        ("mine.py:Lst", LAST, "did you mean 'Last'"),
        ("mine.py:Health", "class Health:\n    pass\n", "cannot run the balancer"),
        ("other.py:Last", LAST, "other.py"),
    ],
)
def test_what_cannot_run_the_balancer_is_refused_before_it_begins(
    tmp_path: Path, target: str, source: str, says: str
) -> None:
    (tmp_path / "mine.py").write_text(source)
    with pytest.raises(ConfigError, match=says), deputies(str(tmp_path / target), call=IN_SIM):
        pass
