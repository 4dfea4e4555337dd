"""The laws of balancing algorithms: what the zoo does not show."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import lbtutor.core.algorithms
from lbtutor.testing.adapt import Adapter
from lbtutor.testing.checking import check
from lbtutor.testing.report import Report
from lbtutor.testing.sandbox import Submission, read_submission, submission
from lbtutor.testing.zoo import specimens

OURS = {
    "round_robin": "turns.py:RoundRobin",
    "weighted_round_robin": "turns.py:WeightedRoundRobin",
    "least_connections": "load.py:LeastConnections",
    "least_response_time": "load.py:LeastResponseTime",
    "power_of_two": "chance.py:PowerOfTwo",
}

PEAK_EWMA = """
from lbtutor.core.algorithms.ewma import PeakEwma as Core
from lbtutor.core.events import Finished

class PeakEwma(Core):
    def observe(self, event):
        got = (event.outcome, event.status, event.took, event.ok)
        super().observe(Finished(event.at, 1, event.attempt, "pool", event.backend, *got, final=True))
"""

RELEASES = """
class NobodyThere(Exception):
    pass

class Pool:
    def __init__(self, servers):
        self.open = {name: 0 for name, _ in servers}
        self.dead = set()

    def pick(self, client):
        alive = [name for name in self.open if name not in self.dead]
        if not alive:
            raise NobodyThere
        chosen = min(alive, key=self.open.get)
        self.open[chosen] += 1
        return chosen

    def started(self, name):
        raise RuntimeError("choosing has counted it")

    def release(self, name):
        if self.open.get(name):
            self.open[name] -= 1

    def mark(self, name, up):
        (self.dead.discard if up else self.dead.add)(name)

    def add(self, name):
        self.open.setdefault(name, 0)

    def remove(self, name):
        self.open.pop(name, None)
        self.dead.discard(name)
"""

COMPLAINS = """
class Pool:
    def __init__(self, servers):
        self.open = {name: 0 for name, _ in servers}
        self.down = set()

    def pick(self, client, now):
        up = [name for name in self.open if name not in self.down]
        return min(up, key=self.open.get) if up else None

    def started(self, name):
        self.open[name] += 1

    def finished(self, name):
        if not self.open[name]:
            raise ValueError(f"{name} has nothing open")
        self.open[name] -= 1

    def set_healthy(self, name, up):
        (self.down.discard if up else self.down.add)(name)

    def add(self, name, weight):
        if name in self.open:
            raise ValueError(f"{name} is there")
        self.open[name] = 0
"""


RETRY_FORGETS = """
class LongestAgo:
    def __init__(self):
        self.clock, self.chosen_at = 0, {}

    def pick(self, request, backends):
        if request.attempt > 1:
            self.chosen_at.clear()
        chosen = min(backends, key=lambda b: self.chosen_at.get(b, 0))
        self.clock += 1
        self.chosen_at[chosen] = self.clock
        return chosen
"""


def held(file: Submission | str, component: str, cls: str = "", **more: object) -> Report:
    text = submission("file.py", file.encode()) if isinstance(file, str) else file
    return check(text, component, cls=cls, seed=5, in_process=True, **more)  # type: ignore[arg-type]


def of_the_zoo(component: str, name: str, **more: object) -> Report:
    specimen = next(specimen for specimen in specimens(component) if specimen.name == name)
    return held(specimen.file, component, name, **more)


def verdicts(report: Report) -> dict[str, str]:
    return {law.name: law.verdict for law in report.laws}


@pytest.mark.parametrize("component", OURS)
def test_our_own_algorithms_obey_their_laws(component: str) -> None:
    module, _, name = OURS[component].partition(":")
    file = read_submission(str(Path(lbtutor.core.algorithms.__file__).with_name(module)))
    report = held(file, component, name)
    assert report.verdict == "passed", verdicts(report)


def test_our_own_peak_ewma_obeys_its_laws() -> None:
    report = held(PEAK_EWMA, "peak_ewma", "PeakEwma")
    assert report.verdict == "passed", verdicts(report)


@pytest.mark.parametrize(
    ("component", "name", "claims", "law"),
    [
        ("round_robin", "CountOverHealthy", {"strict": False}, "a_change_robs_nobody_of_a_turn"),
        ("weighted_round_robin", "InARow", {"spread": "any"}, "turns_are_spread"),
        ("peak_ewma", "NeverFades", {"revisits": False}, "who_was_slow_is_tried_again"),
        ("power_of_two", "MaybeTwice", {"distinct": False}, "the_busiest_is_never_chosen"),
    ],
)
def test_what_is_not_claimed_is_not_checked(component: str, name: str, claims: dict[str, object], law: str) -> None:
    report = of_the_zoo(component, name, claims=claims)
    assert report.verdict == "passed", verdicts(report)
    assert report.law(law).verdict == "not checked"
    assert next(iter(claims)) in report.law(law).why


def test_foreign_code_is_held_to_the_lenient_claims() -> None:
    assert of_the_zoo("round_robin", "CountOverHealthy", lenient=True).verdict == "passed"


def test_a_tier_of_three_is_stricter_than_one_for_each_server() -> None:
    claims = {"spread": "smooth"}
    assert of_the_zoo("weighted_round_robin", "Smooth", claims=claims).verdict == "passed"
    assert of_the_zoo("weighted_round_robin", "InARow", claims=claims).law("turns_are_spread").verdict == "failed"


def test_an_adapter_speaks_a_strangers_words() -> None:
    adapter = Adapter(finished="release(name)", set_healthy="mark", counts_in_pick=True, none="NobodyThere")
    report = held(RELEASES, "least_connections", "Pool", adapter=adapter)
    assert report.verdict == "passed", verdicts(report)
    assert report.law("to_ask_is_not_to_start").verdict == "not checked"


def test_for_one_that_counts_when_it_chooses_every_choice_is_a_start() -> None:
    adapter = Adapter(finished="release(name)", set_healthy="mark", counts_in_pick=True, none="NobodyThere")
    report = held(RELEASES, "power_of_two", "Pool", adapter=adapter)
    assert report.law("the_busiest_is_never_chosen").verdict == "passed"


def test_without_the_adapter_the_same_class_is_accused() -> None:
    assert held(RELEASES, "least_connections", "Pool").law("it_never_fails").verdict == "failed"


def test_who_may_raise_for_what_is_odd_is_not_accused_of_it() -> None:
    assert held(COMPLAINS, "least_connections", "Pool", claims={"unknown": "ignore"}).verdict == "failed"
    report = held(COMPLAINS, "least_connections", "Pool", claims={"unknown": "raise"})
    assert "failed" not in verdicts(report).values(), verdicts(report)


def test_what_a_class_has_no_method_for_is_not_held_against_it() -> None:
    law = held(COMPLAINS, "least_connections", "Pool").law("who_left_and_returned_starts_clean")
    assert (law.verdict, law.why) == ("not checked", "it has no method for this: remove")


def test_a_retry_that_makes_it_forget_all_turns_is_told_as_one() -> None:
    report = held(RETRY_FORGETS, "round_robin", "LongestAgo")
    found = report.law("a_change_robs_nobody_of_a_turn").counterexample
    assert found is not None
    assert any(op[0] == "retry" for op in found.program.ops)
    assert any("refuses it" in line for line in found.story)


def test_chances_of_its_own_are_no_sign_of_a_second_balancer() -> None:
    for seed in range(3):
        specimen = next(one for one in specimens("power_of_two") if one.name == "DrawsAgain")
        report = check(specimen.file, "power_of_two", cls="DrawsAgain", seed=seed, in_process=True)
        assert report.law("two_balancers_share_nothing").verdict == "passed"


def test_a_long_story_is_told_from_its_beginning_and_its_end() -> None:
    found = of_the_zoo("power_of_two", "FirstEight").law("a_large_load_is_even").counterexample
    assert found is not None
    assert len(found.story) < 50
    assert any("more like these" in line for line in found.story)
    assert found.story[-1].endswith("X")


@pytest.mark.parametrize(("claims", "verdict"), [({}, "failed"), ({"explores": False}, "passed")])
def test_a_start_value_that_bars_newcomers_is_wrong_unless_nothing_better_is_claimed(
    claims: dict[str, object], verdict: str
) -> None:
    (file,) = {specimen.file for specimen in specimens("peak_ewma")}
    report = check(file, "peak_ewma", cls="DefaultThatStays", claims=claims, seed=1, in_process=True)
    assert report.law("who_was_never_measured_is_tried").verdict == verdict


HEALTH_ALONE = """
class FromTheTop:
    def __init__(self, servers):
        self.up = [name for name, _ in servers]
        self.place = -1
    def pick(self, client, now):
        if self.up:
            self.place = (self.place + 1) % len(self.up)
            return self.up[self.place]
    def set_healthy(self, name, healthy):
        self.up = [other for other in self.up if other != name] + [name] * healthy
        self.place = -1
"""


def test_a_law_about_changes_holds_for_who_hears_of_one_kind_of_change_alone() -> None:
    report = check(submission("top.py", HEALTH_ALONE), "round_robin", cls="FromTheTop", seed=1, in_process=True)
    assert report.law("a_change_robs_nobody_of_a_turn").verdict == "failed"


REFUSES = """
class Refuses:
    def __init__(self, servers):
        self.weights, self.current = {}, {}
        for name, weight in servers:
            self.add(name, weight)
    def pick(self, client, now):
        for name, weight in self.weights.items():
            self.current[name] += weight
        best = max(self.current, key=self.current.get, default=None)
        if best is not None:
            self.current[best] -= sum(self.weights.values())
        return best
    def add(self, name, weight):
        if weight <= 0:
            raise ValueError("a weight is above 0")
        self.weights[name], self.current[name] = weight, 0
"""


def test_weight_zero_may_be_refused_by_who_claims_so_and_is_served_by_nobody() -> None:
    file = submission("refuses.py", REFUSES)
    refusing: dict[str, Any] = {"claims": {"zero": "reject"}, "seed": 1, "in_process": True}
    assert check(file, "weighted_round_robin", cls="Refuses", **refusing).verdict == "passed"
    assert check(file, "weighted_round_robin", cls="Refuses", seed=1, in_process=True).verdict == "failed"
    (zoo,) = {specimen.file for specimen in specimens("weighted_round_robin")}
    served = check(zoo, "weighted_round_robin", cls="AtLeastOne", **refusing)
    assert served.law("weight_zero_gets_nothing").verdict == "failed"
