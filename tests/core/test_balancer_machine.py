"""The balancer against a dumb model, step by step, in any order of facts and commands.

The model keeps for each member what was done to it and a list of open attempts, and works out from scratch at each step
who may be offered, who waits in line, and what is due next. Beside the balancer that is listened to runs a second one
that nobody listens to: it must decide the same.
"""

from __future__ import annotations

from collections import Counter
from itertools import pairwise
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
    Calmed,
    ContractBroken,
    Drained,
    Draining,
    Event,
    Finished,
    HealthChanged,
    Joined,
    Left,
    Panicked,
    Picked,
    Queued,
    Rejected,
)
from lbtutor.core.health import HealthCheck
from lbtutor.core.messages import (
    Add,
    BackendConfig,
    Command,
    Cut,
    Decided,
    Decision,
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
    Wait,
)
from lbtutor.core.pool import PoolConfig
from lbtutor.core.retry import Retry
from lbtutor.core.routing import Route
from lbtutor.core.units import Seconds

RISE, FALL = 2, 3
FAILS, WINDOW, EJECT = 2, 20.0, 15.0
PATIENCE, WITHIN, SLOW = 5.0003, 7.00007, 8.000009
"""No two kinds of dates fall on the same moment by chance, so that the model need not know who was put down first."""

NAMES = sorted(set(ALGORITHMS) - {"maglev"})
"""Not the one whose tables take long to build; what is tried here is the balancer."""

index = st.integers(min_value=0, max_value=9)


class ModelBackend:
    """One member as the model knows it; `results` are the probes since its health last changed."""

    def __init__(self, name: str, weight: float, limit: int | None = None, backup: bool = False) -> None:
        self.name = name
        self.full_weight = weight
        self.limit = limit
        self.backup = backup
        self.up = True
        self.results: list[bool] = []
        self.draining = False
        self.disabled = False
        self.bad: list[float] = []
        self.ejected_until: float | None = None
        self.ejections = 0
        self.back = 0.0
        self.cut_at: float | None = None
        self.grown = 10
        self.grows_at: float | None = None
        self.since = 0.0
        self.known = False

    @property
    def weight(self) -> float:
        return self.full_weight * self.grown / 10

    @property
    def is_in(self) -> bool:
        return self.willing and self.up and self.ejected_until is None

    @property
    def willing(self) -> bool:
        return not self.draining and not self.disabled and self.full_weight > 0

    def config(self) -> BackendConfig:
        return BackendConfig(self.name, weight=self.full_weight, limit=self.limit, backup=self.backup)

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

    def readmitted(self, now: float) -> None:
        self.ejected_until, self.back, self.bad = None, now, []

    def grow(self, step: int) -> None:
        self.grown = step
        self.grows_at = self.since + SLOW * (step + 1) / 10 if step < 10 else None


class ModelRequest:
    """One open request: where its attempt is and since when, and which members it has tried."""

    def __init__(self, at: ModelBackend, began: float) -> None:
        self.at = at
        self.began = began
        self.tried = [at]
        self.cut = False


class BalancerMachine(RuleBasedStateMachine):
    """Facts and commands in any order, on one pool."""

    def __init__(self) -> None:
        super().__init__()
        self.events: list[Event] = []
        self.now = 0.0
        self.arrived = 0
        self.joined = 0
        self.open: dict[int, ModelRequest] = {}
        self.line: dict[int, float] = {}
        self.were_in: list[ModelBackend] = []
        self.probes: list[tuple[Probe, Probe, ModelBackend]] = []

    @initialize(
        algorithm=st.sampled_from(NAMES),
        limits=st.lists(st.sampled_from([None, 1, 1, 2]), max_size=4),
        backups=st.integers(min_value=0, max_value=2),
        attempts=st.integers(min_value=1, max_value=4),
        all_down=st.sampled_from(["reject", "fail_open"]),
        passive=st.booleans(),
        queue=st.booleans(),
        panic=st.sampled_from([0.0, 0.5, 1.0]),
        slowly=st.booleans(),
    )
    def begin(
        self,
        algorithm: str,
        limits: list[int | None],
        backups: int,
        attempts: int,
        all_down: Any,
        passive: bool,
        queue: bool,
        panic: float,
        slowly: bool,
    ) -> None:
        self.members = [
            ModelBackend(f"n{number}", 1 + number, limit, backup=number < backups)
            for number, limit in enumerate(limits)
        ]
        pool = PoolConfig(
            "web",
            algorithm,
            tuple(member.config() for member in self.members),
            HealthCheck(interval=Seconds(10), timeout=Seconds(2), rise=RISE, fall=FALL),
            Retry(attempts),
            all_down,
            passive=PassiveCheck(FAILS, Seconds(WINDOW), Seconds(EJECT)) if passive else None,
            queue=Seconds(PATIENCE) if queue else None,
            panic=panic,
            slow_start=Seconds(SLOW) if slowly else None,
        )
        self.passive, self.queue, self.panic, self.slowly = passive, queue, panic, slowly
        self.attempts, self.fail_open, self.joined = attempts, all_down == "fail_open", len(limits)
        self.balancer = Balancer([pool], [Route("web")], rng=Random(1), report=self.events.append)
        self.unheard = Balancer([pool], [Route("web")], rng=Random(1))
        self.settle([])

    def candidates(self) -> tuple[list[ModelBackend], list[ModelBackend]]:
        """Who would be offered if nobody were full: these, and those when none of these has room."""
        willing = [member for member in self.members if member.willing]
        up = [member for member in willing if member.is_in]
        if self.panics() or (not up and self.fail_open):
            return willing, []
        return [member for member in up if not member.backup], [member for member in up if member.backup]

    def panics(self) -> bool:
        willing = [member for member in self.members if member.willing]
        return sum(member.is_in for member in willing) < self.panic * len(willing)

    def offered(self) -> list[ModelBackend]:
        first, second = ([one for one in group if not self.is_full(one)] for group in self.candidates())
        return first or second

    def is_full(self, member: ModelBackend) -> bool:
        return member.limit is not None and self.in_flight(member) >= member.limit

    def in_flight(self, member: ModelBackend) -> int:
        return sum(entry.at is member for entry in self.open.values())

    def model_of(self, forward: Forward) -> ModelBackend:
        return next(member for member in self.members if member.name == forward.backend.name)

    def decided(self) -> list[Decided]:
        """What both balancers have decided of requests that waited, and of those to be cut off."""
        decided, unheard = self.balancer.take_decided(), self.unheard.take_decided()
        assert self.balancer.take_decided() == []
        assert [told(one) for one in decided] == [told(one) for one in unheard]
        return decided

    def settle(self, decided: list[Decided]) -> None:
        """Who came in or went out; and who is first in line goes on, as long as somebody has room."""
        up = [member for member in self.members if member.is_in]
        for member in self.were_in:
            member.grows_at = member.grows_at if member in up else None
        for member in up:
            if member not in self.were_in:
                member.since = self.now
                if member.known and self.slowly:
                    member.grow(1)
                member.known = True
        self.were_in = up
        while self.line and self.offered():
            forward, first = decided.pop(0), next(iter(self.line))
            assert isinstance(forward, Forward)
            assert forward.request == first
            assert forward.attempt == 1
            self.sent(forward)
            del self.line[first]

    def sent(self, forward: Forward) -> None:
        member = self.model_of(forward)
        assert member in self.offered()
        self.open[forward.request] = ModelRequest(member, self.now)

    @rule(client=index, wait=st.sampled_from([0.0, 0.01, 1.0]))
    def arrive(self, client: int, wait: float) -> None:
        self.now += wait
        self.arrived += 1
        request = Request(id=self.arrived, at=self.now, client=f"10.0.0.{client}")
        decision, unheard = self.balancer.arrive(request), self.unheard.arrive(request)
        assert told(decision) == told(unheard)
        if isinstance(decision, Forward):
            self.sent(decision)
            return
        assert not self.offered()
        if not any(self.candidates()):
            assert decision == Reject(request.id, 503, "no backend is available")
        elif not self.queue:
            assert decision == Reject(request.id, 503, "every backend is full")
        else:
            assert decision == Wait(request.id, self.now + PATIENCE)
            self.line[request.id] = self.now + PATIENCE

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
        if self.passive and entry.at in self.members and not entry.cut:
            ejected = sum(member.ejected_until is not None for member in self.members)
            is_room = len(self.members) > 1 and (not ejected or ejected + 1 <= len(self.members) / 2)
            entry.at.ended(entry.began, self.now, kind != "answered", is_room)
        if not self.in_flight(entry.at):
            entry.at.cut_at = None
        untried = [member for member in self.offered() if member not in entry.tried]
        if kind != "refused" or len(entry.tried) >= self.attempts or not untried:
            assert again is unheard is None
        else:
            assert isinstance(again, Forward)
            assert told(again) == told(unheard)
            self.sent(again)
            assert self.open[request_id].at in untried
            self.open[request_id].tried = [*entry.tried, self.open[request_id].at]
            assert again.attempt == len(self.open[request_id].tried)
        self.settle_after()

    def settle_after(self) -> None:
        decided = self.decided()
        self.settle(decided)
        assert not decided

    @precondition(lambda self: self.line)
    @rule(which=index, wait=st.sampled_from([0.0, 0.5]))
    def leave_the_line(self, which: int, wait: float) -> None:
        self.now += wait
        request_id = list(self.line)[which % len(self.line)]
        del self.line[request_id]
        for balancer in (self.balancer, self.unheard):
            assert balancer.finish(request_id, Outcome.failed("cancelled"), self.now) is None
        assert not self.decided()

    @rule(times=st.sampled_from([1, 2, 3, 8]))
    def storm(self, times: int) -> None:
        """So many requests one after the other, and none gets an answer."""
        for _ in range(times):
            self.arrive(0, 0.01)
            if self.open:
                self.finish(len(self.open) - 1, "timed_out", 0.001)

    @rule(times=st.sampled_from([2, 4, 8]))
    def crowd(self, times: int) -> None:
        """So many requests at once."""
        for client in range(times):
            self.arrive(client, 0.0)

    @rule(wait=st.sampled_from([0.7, 1.0, 5.0, 10.0, 35.0]))
    def tick(self, wait: float) -> None:
        self.now += wait
        sent, unheard = self.balancer.tick(self.now), self.unheard.tick(self.now)
        assert [probe.backend.name for probe in sent] == [probe.backend.name for probe in unheard]
        decided = self.decided()
        while (due := min(self.dates(), default=(inf, "", 0)))[0] <= self.now:
            self.attend(due[1], due[2], decided)
        assert not decided
        by_name = {member.name: member for member in self.members}
        for probe, other in zip(sent, unheard, strict=True):
            assert not by_name[probe.backend.name].disabled
            self.probes.append((probe, other, by_name[probe.backend.name]))

    def dates(self) -> list[tuple[float, str, int]]:
        """Everything that is due at some time: when, what, and the request or the position of the member."""
        dates = [(until, "queue", request_id) for request_id, until in self.line.items()]
        for position, member in enumerate(self.members):
            own = (("readmission", member.ejected_until), ("drain", member.cut_at), ("growth", member.grows_at))
            dates += [(at, what, position) for what, at in own if at is not None]
        return dates

    def attend(self, what: str, which: int, decided: list[Decided]) -> None:
        if what == "queue":
            assert decided.pop(0) == Reject(which, 503, f"waited {PATIENCE:g} s in the queue")
            del self.line[which]
            return
        member = self.members[which]
        if what == "drain":
            here = [request_id for request_id, entry in self.open.items() if entry.at is member]
            assert [type(cut) for cut in decided[: len(here)]] == [Cut] * len(here)
            assert sorted(cut.request for cut in decided[: len(here)]) == sorted(here)
            del decided[: len(here)]
            for request_id in here:
                self.open[request_id].cut = True
            member.cut_at = None
        elif what == "readmission":
            member.readmitted(self.now)
            self.settle(decided)
        else:
            member.grow(member.grown + 1)

    @precondition(lambda self: self.probes)
    @rule(ok=st.booleans(), several=st.booleans())
    def answer_probes(self, ok: bool, several: bool) -> None:
        for probe, other, member in self.probes if several else self.probes[:1]:
            self.balancer.probed(probe.backend, ProbeResult(ok, "so"), self.now)
            self.unheard.probed(other.backend, ProbeResult(ok, "so"), self.now)
            member.probed(ok)
            self.settle_after()
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

    @rule(weight=st.sampled_from([0, 1, 3]), limit=st.sampled_from([None, 1, 3]), backup=st.booleans())
    def add(self, weight: float, limit: int | None, backup: bool) -> None:
        member = ModelBackend(f"n{self.joined}", weight, limit, backup)
        member.known = True
        self.joined += 1
        self.members.append(member)
        self.command(Add("web", member.config()))

    @precondition(lambda self: self.members)
    @rule(which=index)
    def remove(self, which: int) -> None:
        member = self.members.pop(which % len(self.members))
        self.command(Remove("web", member.name))

    @precondition(lambda self: self.members)
    @rule(which=index, weight=st.sampled_from([0, 0.5, 1, 4]))
    def set_weight(self, which: int, weight: float) -> None:
        member = self.members[which % len(self.members)]
        member.full_weight = weight
        self.command(SetWeight("web", member.name, weight))

    @precondition(lambda self: self.members)
    @rule(which=index, within=st.sampled_from([None, WITHIN]))
    def drain(self, which: int, within: float | None) -> None:
        member = self.members[which % len(self.members)]
        member.draining = True
        if within is not None and self.in_flight(member):
            member.cut_at = self.now + within
        self.command(Drain("web", member.name, None if within is None else Seconds(within)))

    @precondition(lambda self: self.members)
    @rule(which=index)
    def disable(self, which: int) -> None:
        member = self.members[which % len(self.members)]
        member.disabled = True
        self.command(Disable("web", member.name))

    @precondition(lambda self: self.members)
    @rule(which=index)
    def enable(self, which: int) -> None:
        member = self.members[which % len(self.members)]
        member.draining, member.disabled, member.cut_at = False, False, None
        self.command(Enable("web", member.name))

    def command(self, command: Command) -> None:
        self.balancer.command(command, self.now)
        self.unheard.command(command, self.now)
        self.settle_after()

    @invariant()
    def in_flight_is_the_number_of_open_attempts(self) -> None:
        (pool,) = self.balancer.snapshot()
        attempts = Counter(entry.at.name for entry in self.open.values())
        assert {backend.name: backend.in_flight for backend in pool.backends} == {
            member.name: attempts[member.name] for member in self.members
        }
        assert self.balancer.open_requests == len(self.open)

    @invariant()
    def nobody_has_more_in_flight_than_its_limit(self) -> None:
        for member in self.members:
            assert member.limit is None or self.in_flight(member) <= member.limit

    @invariant()
    def nobody_waits_while_somebody_who_is_offered_has_room(self) -> None:
        (pool,) = self.balancer.snapshot()
        assert self.balancer.waiting_requests == pool.waiting == len(self.line)
        assert not (self.line and any(backend.excluded is None for backend in pool.backends))

    @invariant()
    def the_numbers_are_those_of_the_model_and_of_the_one_that_nobody_hears(self) -> None:
        (pool,) = self.balancer.snapshot()
        offered = self.offered()
        assert [(one.name, one.weight, one.health, one.excluded is None) for one in pool.backends] == [
            (
                one.name,
                one.weight,
                "up" if one.up else "down",
                one.is_in and not self.is_full(one) and (not one.backup or one in offered),
            )
            for one in self.members
        ]
        assert self.unheard.snapshot() == self.balancer.snapshot()

    @invariant()
    def nobody_broke_a_contract(self) -> None:
        assert not any(isinstance(event, ContractBroken) for event in self.events)

    @invariant()
    def the_next_deadline_is_told_alike(self) -> None:
        assert self.balancer.next_deadline() == self.unheard.next_deadline()

    @invariant()
    def the_next_alarm_is_that_of_the_model(self) -> None:
        alarm = min((at for at, _, _ in self.dates()), default=inf)
        assert self.balancer.next_alarm == self.unheard.next_alarm == alarm

    @invariant()
    def the_panic_that_was_told_of_is_the_panic_that_is(self) -> None:
        changes = [type(event) for event in self.events if isinstance(event, Panicked | Calmed)]
        assert changes == [Panicked, Calmed] * (len(changes) // 2) + [Panicked] * self.panics()

    def teardown(self) -> None:
        """When everybody has left, nothing is left."""
        for request_id in list(self.line):
            self.balancer.finish(request_id, Outcome.failed("cancelled"), self.now)
        for request_id in list(self.open):
            self.balancer.finish(request_id, Outcome.answered(200), self.now)
        assert self.balancer.take_decided() == []
        assert self.balancer.open_requests == self.balancer.waiting_requests == 0
        (pool,) = self.balancer.snapshot()
        assert not any(backend.in_flight for backend in pool.backends)
        check_trace(self.events)


def told(decision: Decision | Decided | None) -> Any:
    """A decision in values that can be compared between two balancers."""
    if isinstance(decision, Forward):
        return decision.request, decision.backend.name, decision.attempt
    return decision


def check_trace(events: list[Event]) -> None:
    """Every arrival has exactly one end; attempts begin and end in pairs; time never goes back; drains end once."""
    assert [event.at for event in events] == sorted(event.at for event in events)
    arrived = [event.request for event in events if isinstance(event, Arrived)]
    ended = [event.request for event in events if isinstance(event, Rejected | Answered)]
    ended += [event.request for event in events if isinstance(event, Finished) and event.final]
    assert sorted(arrived) == sorted(ended)
    begun = Counter((event.request, event.attempt, event.backend) for event in events if isinstance(event, Picked))
    over = Counter((event.request, event.attempt, event.backend) for event in events if isinstance(event, Finished))
    assert over == begun
    assert max([*begun.values(), 0]) <= 1
    served = [event.request for event in events if isinstance(event, Picked) and event.attempt == 1]
    queued = [event.request for event in events if isinstance(event, Queued)]
    assert [request for request in served if request in queued] == [request for request in queued if request in served]
    for name in {event.backend for event in events if isinstance(event, Joined)}:
        drains = [type(event) for event in events if isinstance(event, Draining | Drained) and event.backend == name]
        assert not any(was is now is Drained for was, now in pairwise(drains)), "a drain ends once"
    left: set[str] = set()
    for event in events:
        if isinstance(event, Left):
            left.add(event.backend)
        assert not (isinstance(event, Picked | Drained | HealthChanged) and event.backend in left)


BalancerMachine.TestCase.settings = settings(max_examples=80, stateful_step_count=40, deadline=None, derandomize=True)
TestBalancer = BalancerMachine.TestCase
