"""The faces for Hypothesis: the grammar as a strategy, and a balancer as a state machine."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis.stateful import run_state_machine_as_test

from lbtutor.core.errors import ConfigError
from lbtutor.testing import Program, machine_for, programs
from lbtutor.testing.draw import LENGTHS
from lbtutor.testing.machines import Balancing
from lbtutor.testing.sandbox import Confined
from lbtutor.testing.worlds.balancer import KINDS
from lbtutor.testing.zoo import specimens


class Counting:
    """Whoever counts each end, or (with `leaks`) only those that went well."""

    leaks = False

    def __init__(self, backends: Any) -> None:
        self.open = {name: 0 for name, _ in backends}
        self.up = set(self.open)

    def pick(self, client: Any, now: Any) -> Any:
        up = [name for name in self.open if name in self.up]
        return min(up, key=self.open.__getitem__) if up else None

    def started(self, name: Any, now: Any) -> None:
        self.open[name] += name in self.open

    def finished(self, name: Any, now: Any, latency: Any, ok: Any) -> None:
        if name in self.open and (ok or not self.leaks):
            self.open[name] = max(0, self.open[name] - 1)

    def set_healthy(self, name: Any, healthy: Any) -> None:
        (self.up.add if healthy else self.up.discard)(name)

    def add(self, name: Any, weight: Any = 1) -> None:
        self.open.setdefault(name, 0)
        self.up.add(name)

    def remove(self, name: Any) -> None:
        self.open.pop(name, None)
        self.up.discard(name)


class Leaking(Counting):
    leaks = True


def tried(machine: type[Balancing], examples: int) -> None:
    how = settings(
        machine.TestCase.settings, max_examples=examples, database=None, phases=(Phase.generate, Phase.shrink),
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    run_state_machine_as_test(seed(7)(machine), settings=how)


def test_a_machine_that_finds_nothing_says_so() -> None:
    machine = machine_for(Counting, "least_connections")
    tried(machine, 20)
    assert machine.found() is None


@pytest.mark.slow
def test_what_a_machine_finds_is_made_short_by_our_own_reducer() -> None:
    machine = machine_for(Leaking, "least_connections")
    with pytest.raises(AssertionError, match="fewest requests open"):
        tried(machine, 300)
    found = machine.found()
    assert found is not None
    assert found.counterexample is not None
    assert len(found.counterexample.program.ops) <= 5
    assert any("fails" in line for line in found.counterexample.story)


def test_rules_are_kept_as_the_program_that_they_are() -> None:
    machine = machine_for(Leaking, "least_connections")()
    machine.pool(2)
    first, second = machine.serve(0), machine.serve(0)
    machine.finish(second, False, 10)
    with pytest.raises(AssertionError, match="a has 1 open, b has 0 open"):
        machine.pick(0)
    assert (first, second) == (1, 2)
    name, program = type(machine).broken or ("", Program({}))
    assert name == "the_least_busy_is_chosen"
    assert program.ops == (("serve", 0), ("serve", 0), ("finish", 1, False, 10), ("pick", 0))


def test_a_confined_machine_holds_a_stranger_to_the_same_laws() -> None:
    wrong = next(one for one in specimens("least_connections") if one.name == "FailuresNeverEnd")
    machine = machine_for(wrong.file, "least_connections", cls=wrong.name, confined=True)
    try:
        one = machine()
        one.pool(2)
        one.serve(0)
        second = one.serve(0)
        one.finish(second, False, 10)
        with pytest.raises(AssertionError, match="a has 1 open, b has 0 open"):
            one.pick(0)
        assert isinstance(machine.held.room, Confined)
        assert machine.held.where == "in a process of its own"
    finally:
        machine.close()


def test_a_class_that_is_here_already_cannot_be_confined() -> None:
    with pytest.raises(ConfigError, match="in this process already"):
        machine_for(Counting, "least_connections", confined=True)


def test_what_is_no_balancer_has_no_machine() -> None:
    health = next(one for one in specimens("health") if not one.fault)
    with pytest.raises(ConfigError, match="chooses no servers"):
        machine_for(health.file, "health", cls=health.name)


@given(programs("weighted_round_robin"))
@settings(max_examples=30, database=None)
def test_the_strategy_draws_programs_of_the_grammar(program: Program) -> None:
    assert len(program.setting["servers"]) <= 6
    assert {op[0] for op in program.ops} <= KINDS.keys()
    assert len(program.ops) in LENGTHS
