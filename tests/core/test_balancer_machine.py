"""The balancer against a dumb model, step by step, in any order of facts and commands.

The model keeps for each member what was done to it and a list of open attempts, and works out from scratch at each step
who may be offered. Beside the balancer that is listened to runs a second one that nobody listens to: it must decide the
same.
"""

from __future__ import annotations

from collections import Counter
from math import inf
from random import Random
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from lbtutor.core.algorithms import ALGORITHMS
from lbtutor.core.balancer import Balancer
from lbtutor.core.ejection import PassiveCheck
from lbtutor.core.events import (
    Answered,
    Arrived,
    ContractBroken,
    Drained,
    Event,
    Finished,
    HealthChanged,
    Left,
    Picked,
    Rejected,
)
from lbtutor.core.health import HealthCheck
from lbtutor.core.messages import (
    Add,
    BackendConfig,
    Command,
    Disable,
    Drain,
    Enable,
    Forward,
    Outcome,
    OutcomeKind,
    Probe,
    ProbeResult,
    Reject,
    Remove,
    Request,
    SetWeight,
)
from lbtutor.core.pool import PoolConfig
from lbtutor.core.retry import Retry
from lbtutor.core.routing import Route
from lbtutor.core.units import Seconds

RISE, FALL = 2, 3
FAILS, WINDOW, EJECT = 2, 20.0, 15.0

NAMES = sorted(set(ALGORITHMS) - {"maglev"})
"""Not the one whose tables take long to build; what is tried here is the balancer."""

index = st.integers(min_value=0, max_value=9)


class ModelBackend:
    """One member as the model knows it; `results` are the probes since its health last changed."""

    def __init__(self, name: str, weight: float) -> None:
        self.name = name
        self.weight = weight
        self.up = True
        self.results: list[bool] = []
        self.draining = False
        self.disabled = False
        self.bad: list[float] = []
        self.ejected_until: float | None = None
        self.ejections = 0
        self.back = 0.0

    @property
    def available(self) -> bool:
        return self.willing and self.up and self.ejected_until is None

    @property
    def willing(self) -> bool:
        return not self.draining and not self.disabled and self.weight > 0

    def probed(self, ok: bool) -> None:
        self.results.append(ok)
        needed = FALL if self.up else RISE
        if len(self.results) >= needed and all(result != self.up for result in self.results[-needed:]):
            self.up, self.results = not self.up, []

    def ended(self, began: float, now: float, bad: bool, is_room: bool) -> None:
        """An attempt there ended: perhaps it was one failure too many."""
        if self.ejected_until is not None or began < self.back:
            return
        self.bad = [*self.bad, now] if bad else []
        if sum(at >= now - WINDOW for at in self.bad[-FAILS:]) == FAILS and self.willing and is_room:
            self.ejections = max(self.ejections - int((now - self.back) // EJECT), 0) + 1
            self.ejected_until = now + EJECT * min(self.ejections, 10)

    def time_passes(self, now: float) -> None:
        if self.ejected_until is not None and self.ejected_until <= now:
            self.ejected_until, self.back, self.bad = None, now, []


class ModelRequest:
    """One open request: where its attempt is and since when, and which members it has tried."""

    def __init__(self, at: ModelBackend, began: float) -> None:
        self.at = at
        self.began = began
        self.tried = [at]


class BalancerMachine(RuleBasedStateMachine):
    """Facts and commands in any order, on one pool."""

    def __init__(self) -> None:
        super().__init__()
        self.events: list[Event] = []
        self.now = 0.0
        self.arrived = 0
        self.joined = 0
        self.open: dict[int, ModelRequest] = {}
        self.probes: list[tuple[Probe, Probe, ModelBackend]] = []

    @initialize(
        algorithm=st.sampled_from(NAMES),
        size=st.integers(min_value=0, max_value=4),
        attempts=st.integers(min_value=1, max_value=4),
        all_down=st.sampled_from(["reject", "fail_open"]),
        passive=st.booleans(),
    )
    def begin(self, algorithm: str, size: int, attempts: int, all_down: Any, passive: bool) -> None:
        check = HealthCheck(interval=Seconds(10), timeout=Seconds(2), rise=RISE, fall=FALL)
        self.members = [ModelBackend(f"n{number}", 1 + number) for number in range(size)]
        rule_of_thumb = PassiveCheck(FAILS, Seconds(WINDOW), Seconds(EJECT))
        self.passive = passive
        backends = tuple(BackendConfig(member.name, weight=member.weight) for member in self.members)
        pool = PoolConfig(
            "web", algorithm, backends, check, Retry(attempts), all_down, passive=rule_of_thumb if passive else None
        )
        self.attempts, self.fail_open, self.joined = attempts, all_down == "fail_open", size
        self.balancer = Balancer([pool], [Route("web")], rng=Random(1), report=self.events.append)
        self.unheard = Balancer([pool], [Route("web")], rng=Random(1))

    def offered(self) -> list[ModelBackend]:
        willing = [member for member in self.members if member.willing]
        up = [member for member in willing if member.available]
        return up or (willing if self.fail_open else [])

    def model_of(self, forward: Forward) -> ModelBackend:
        return next(member for member in self.members if member.name == forward.backend.name)

    @rule(client=index, wait=st.sampled_from([0.0, 0.01, 1.0]))
    def arrive(self, client: int, wait: float) -> None:
        self.now += wait
        self.arrived += 1
        request = Request(id=self.arrived, at=self.now, client=f"10.0.0.{client}")
        decision, unheard = self.balancer.arrive(request), self.unheard.arrive(request)
        if isinstance(decision, Reject):
            assert not self.offered()
            assert decision == unheard == Reject(request.id, 503, "no backend is available")
            return
        assert isinstance(decision, Forward)
        assert isinstance(unheard, Forward)
        assert decision.backend.name == unheard.backend.name
        assert self.model_of(decision) in self.offered()
        self.open[request.id] = ModelRequest(self.model_of(decision), self.now)

    @precondition(lambda self: self.open)
    @rule(
        which=index,
        kind=st.sampled_from(["answered", "answered", "refused", "refused", "timed_out"]),
        took=st.sampled_from([0.001, 0.5]),
    )
    def finish(self, which: int, kind: OutcomeKind, took: float) -> None:
        self.now += took
        request_id = list(self.open)[which % len(self.open)]
        entry = self.open.pop(request_id)
        outcome = Outcome.answered(200) if kind == "answered" else Outcome.failed(kind)
        again = self.balancer.finish(request_id, outcome, self.now)
        unheard = self.unheard.finish(request_id, outcome, self.now)
        if self.passive and entry.at in self.members:
            ejected = sum(member.ejected_until is not None for member in self.members)
            is_room = len(self.members) > 1 and (not ejected or ejected + 1 <= len(self.members) / 2)
            entry.at.ended(entry.began, self.now, kind != "answered", is_room)
        untried = [member for member in self.offered() if member not in entry.tried]
        if kind != "refused" or len(entry.tried) >= self.attempts or not untried:
            assert again is unheard is None
            return
        assert again is not None
        assert unheard is not None
        assert again.backend.name == unheard.backend.name
        entry.at, entry.began = self.model_of(again), self.now
        assert entry.at in untried
        entry.tried.append(entry.at)
        assert again.attempt == len(entry.tried)
        self.open[request_id] = entry

    @rule(times=st.sampled_from([1, 2, 3, 8]))
    def storm(self, times: int) -> None:
        """So many requests one after the other, and none gets an answer."""
        for _ in range(times):
            self.arrive(0, 0.01)
            if self.open:
                self.finish(len(self.open) - 1, "timed_out", 0.001)

    @rule(wait=st.sampled_from([1.0, 5.0, 10.0, 35.0]))
    def tick(self, wait: float) -> None:
        self.now += wait
        sent, unheard = self.balancer.tick(self.now), self.unheard.tick(self.now)
        assert [probe.backend.name for probe in sent] == [probe.backend.name for probe in unheard]
        for member in self.members:
            member.time_passes(self.now)
        by_name = {member.name: member for member in self.members}
        for probe, other in zip(sent, unheard, strict=True):
            assert not by_name[probe.backend.name].disabled
            self.probes.append((probe, other, by_name[probe.backend.name]))

    @precondition(lambda self: self.probes)
    @rule(ok=st.booleans(), several=st.booleans())
    def answer_probes(self, ok: bool, several: bool) -> None:
        for probe, other, member in self.probes if several else self.probes[:1]:
            self.balancer.probed(probe.backend, ProbeResult(ok, "so"), self.now)
            self.unheard.probed(other.backend, ProbeResult(ok, "so"), self.now)
            member.probed(ok)
        del self.probes[: len(self.probes) if several else 1]

    @precondition(lambda self: self.members)
    @rule(sick=st.sets(index, max_size=3), times=st.sampled_from([1, 2, 3, 4]))
    def check(self, sick: set[int], times: int) -> None:
        """Whole rounds of probes, each answered at once: by the sick ones badly."""
        names = {self.members[which % len(self.members)].name for which in sick}
        self.answer_probes(True, True)
        for _ in range(times):
            self.tick(10.0)
            while self.probes:
                self.answer_probes(self.probes[0][0].backend.name not in names, False)

    @rule(weight=st.sampled_from([0, 1, 3]))
    def add(self, weight: float) -> None:
        member = ModelBackend(f"n{self.joined}", weight)
        self.joined += 1
        self.members.append(member)
        self.command(Add("web", BackendConfig(member.name, weight=weight)))

    @precondition(lambda self: self.members)
    @rule(which=index)
    def remove(self, which: int) -> None:
        member = self.members.pop(which % len(self.members))
        self.command(Remove("web", member.name))

    @precondition(lambda self: self.members)
    @rule(which=index, weight=st.sampled_from([0, 0.5, 1, 4]))
    def set_weight(self, which: int, weight: float) -> None:
        member = self.members[which % len(self.members)]
        member.weight = weight
        self.command(SetWeight("web", member.name, weight))

    @precondition(lambda self: self.members)
    @rule(which=index, kind=st.sampled_from([Drain, Disable, Enable]))
    def operate(self, which: int, kind: type[Drain] | type[Disable] | type[Enable]) -> None:
        member = self.members[which % len(self.members)]
        if kind is Enable:
            member.draining = member.disabled = False
        elif kind is Drain:
            member.draining = True
        else:
            member.disabled = True
        self.command(kind("web", member.name))

    def command(self, command: Command) -> None:
        self.balancer.command(command, self.now)
        self.unheard.command(command, self.now)

    @invariant()
    def in_flight_is_the_number_of_open_attempts(self) -> None:
        (pool,) = self.balancer.snapshot()
        attempts = Counter(entry.at.name for entry in self.open.values())
        assert {backend.name: backend.in_flight for backend in pool.backends} == {
            member.name: attempts[member.name] for member in self.members
        }
        assert self.balancer.open_requests == len(self.open)

    @invariant()
    def the_numbers_are_those_of_the_model_and_of_the_one_that_nobody_hears(self) -> None:
        (pool,) = self.balancer.snapshot()
        assert [(one.name, one.weight, one.health, one.excluded is None) for one in pool.backends] == [
            (one.name, one.weight, "up" if one.up else "down", one.available) for one in self.members
        ]
        assert self.unheard.snapshot() == self.balancer.snapshot()

    @invariant()
    def nobody_broke_a_contract(self) -> None:
        assert not any(isinstance(event, ContractBroken) for event in self.events)

    @invariant()
    def the_next_deadline_is_told_alike(self) -> None:
        assert self.balancer.next_deadline() == self.unheard.next_deadline()

    @invariant()
    def the_next_readmission_is_that_of_the_model(self) -> None:
        ends = [member.ejected_until for member in self.members if member.ejected_until is not None]
        assert self.balancer.next_readmission == self.unheard.next_readmission == min(ends, default=inf)

    def teardown(self) -> None:
        check_trace(self.events, self.open)


def check_trace(events: list[Event], still_open: dict[int, ModelRequest]) -> None:
    """Every arrival has exactly one end or is open; attempts begin and end in pairs; time never goes back."""
    assert [event.at for event in events] == sorted(event.at for event in events)
    arrived = [event.request for event in events if isinstance(event, Arrived)]
    ended = [event.request for event in events if isinstance(event, Rejected | Answered)]
    ended += [event.request for event in events if isinstance(event, Finished) and event.final]
    assert sorted(arrived) == sorted([*ended, *still_open])
    begun = Counter((event.request, event.attempt, event.backend) for event in events if isinstance(event, Picked))
    over = Counter((event.request, event.attempt, event.backend) for event in events if isinstance(event, Finished))
    assert over <= begun
    assert {request for request, _, _ in begun - over} == set(still_open)
    assert max([*begun.values(), 0]) <= 1
    left: set[str] = set()
    for event in events:
        if isinstance(event, Left):
            left.add(event.backend)
        assert not (isinstance(event, Picked | Drained | HealthChanged) and event.backend in left)


BalancerMachine.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None, derandomize=True)
TestBalancer = BalancerMachine.TestCase
