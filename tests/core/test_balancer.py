"""The balancer: each promise of its docstrings, one story a test."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any, TypeVar

import pytest

from lbtutor.core.algorithms import Algorithm, Comparison
from lbtutor.core.backend import Backend
from lbtutor.core.balancer import Balancer
from lbtutor.core.ejection import PassiveCheck
from lbtutor.core.errors import ConfigError, ContractError
from lbtutor.core.events import (
    Arrived,
    Candidate,
    ContractBroken,
    Disabled,
    Drained,
    Draining,
    Ejected,
    Enabled,
    Event,
    Finished,
    HealthChanged,
    Joined,
    Left,
    Picked,
    Probed,
    ProbeSent,
    Readmitted,
    Rejected,
    WeightChanged,
)
from lbtutor.core.health import HealthCheck
from lbtutor.core.messages import (
    Add,
    BackendConfig,
    Cut,
    Decision,
    Disable,
    Drain,
    Enable,
    Forward,
    Outcome,
    OutcomeKind,
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

_E = TypeVar("_E")

OK = Outcome.answered(200)
REFUSED = Outcome.failed("refused")


class Stage:
    """A balancer with one pool, and everything that it reported."""

    def __init__(self, names: str = "abc", *, mine: Algorithm | None = None, **options: Any) -> None:
        self.events: list[Event] = []
        config = PoolConfig("web", backends=tuple(BackendConfig(name) for name in names), **options)
        replaced = {} if mine is None else {"web": mine}
        self.balancer = Balancer(
            [config], [Route("web")], rng=Random(1), report=self.events.append, algorithms=replaced
        )
        self.requests = 0

    def arrive(self, at: float = 0.0) -> Decision:
        self.requests += 1
        return self.balancer.arrive(Request(id=self.requests, at=at))

    def forward(self, at: float = 0.0) -> Forward:
        decision = self.arrive(at)
        assert isinstance(decision, Forward)
        return decision

    def told(self, kind: type[_E]) -> list[_E]:
        return [event for event in self.events if isinstance(event, kind)]

    def in_flight(self) -> dict[str, int]:
        (pool,) = self.balancer.snapshot()
        return {backend.name: backend.in_flight for backend in pool.backends}


def test_a_request_is_counted_before_anybody_else_can_decide() -> None:
    stage = Stage("ab", algorithm="least_connections")
    assert [stage.forward().backend.name for _ in range(3)] == ["a", "b", "a"]
    assert stage.in_flight() == {"a": 2, "b": 1}
    assert stage.balancer.open_requests == 3


def test_the_end_of_an_attempt_frees_its_place_and_moves_the_latency() -> None:
    stage = Stage("a")
    forward = stage.forward(at=1.0)
    assert stage.balancer.finish(forward.request, OK, now=1.25) is None
    assert stage.in_flight() == {"a": 0}
    assert (forward.backend.latency, forward.backend.latency_at) == (0.25, 1.25)
    assert stage.told(Finished) == [Finished(1.25, 1, 1, "web", "a", "answered 200", 200, 0.25, True, True)]


def test_an_answer_that_is_an_error_counts_for_the_latency() -> None:
    stage = Stage("a")
    backend = stage.forward().backend
    stage.balancer.finish(1, Outcome.answered(500), now=0.5)
    assert backend.latency == 0.5


@pytest.mark.parametrize("kind", ["refused", "unreachable", "closed", "invalid", "timed_out", "cut", "cancelled"])
def test_a_failure_without_an_answer_leaves_the_latency_alone(kind: OutcomeKind) -> None:
    stage = Stage("a")
    backend = stage.forward().backend
    stage.balancer.finish(1, Outcome.failed(kind), now=9.0)
    assert (backend.latency, backend.latency_at) == (None, None)


def test_the_trace_of_one_request_is_arrived_picked_finished() -> None:
    stage = Stage("a")
    stage.forward()
    stage.balancer.finish(1, OK, now=0.5)
    assert [type(event) for event in stage.events] == [Joined, Arrived, Picked, Finished]


def test_what_cannot_finish_is_a_broken_contract() -> None:
    stage = Stage("a")
    with pytest.raises(ContractError, match="request 1 has no attempt under way"):
        stage.balancer.finish(1, OK, now=0.0)
    stage.forward()
    stage.balancer.finish(1, OK, now=0.0)
    with pytest.raises(ContractError, match="request 1 has no attempt under way"):
        stage.balancer.finish(1, OK, now=0.0)
    assert stage.in_flight() == {"a": 0}


def test_two_requests_under_way_cannot_share_an_id() -> None:
    stage = Stage("a")
    stage.forward()
    with pytest.raises(ContractError, match="request 1 is under way already"):
        stage.balancer.arrive(Request(id=1, at=0.0))
    assert stage.in_flight() == {"a": 1}
    assert len(stage.told(Arrived)) == 1


def test_without_a_route_the_answer_is_404() -> None:
    events: list[Event] = []
    balancer = Balancer([PoolConfig("web")], [Route("web", path="/api")], rng=Random(1), report=events.append)
    assert balancer.arrive(Request(id=1, at=0.0, host="a.com", path="/")) == Reject(1, 404, "no route for a.com/")
    assert events[1:] == [Rejected(0.0, 1, 404, "no route for a.com/", None, ())]


def test_with_nobody_available_the_answer_is_503_and_says_why() -> None:
    stage = Stage("ab")
    stage.balancer.command(Drain("web", "a"), now=0.0)
    stage.balancer.command(SetWeight("web", "b", 0), now=0.0)
    assert stage.arrive() == Reject(1, 503, "no backend is available")
    (rejected,) = stage.told(Rejected)
    assert rejected.candidates == (Candidate("a", None, "draining"), Candidate("b", None, "weight 0"))
    assert stage.balancer.open_requests == 0


def test_a_route_to_a_pool_that_does_not_exist_is_refused_with_the_ones_that_do() -> None:
    with pytest.raises(ConfigError, match="leads to pool 'wbe', which does not exist; there is web, api"):
        Balancer([PoolConfig("web"), PoolConfig("api")], [Route("wbe")], rng=Random(1))


def test_two_pools_of_one_name_are_refused() -> None:
    with pytest.raises(ConfigError, match="two pools are named 'web'"):
        Balancer([PoolConfig("web"), PoolConfig("web")], [], rng=Random(1))


def test_a_refused_request_is_tried_elsewhere_once_each_until_tries_or_backends_run_out() -> None:
    stage = Stage("abc", retry=Retry(attempts=9))
    tried = [stage.forward().backend.name]
    while isinstance(again := stage.balancer.finish(1, REFUSED, now=1.0), Forward):
        assert again.attempt == len(tried) + 1
        tried.append(again.backend.name)
    assert tried == ["a", "b", "c"]
    assert [finished.final for finished in stage.told(Finished)] == [False, False, True]
    assert [picked.because for picked in stage.told(Picked)] == ["algorithm", "retry", "retry"]
    assert stage.in_flight() == {"a": 0, "b": 0, "c": 0}


def test_attempts_count_all_tries() -> None:
    stage = Stage("abc", retry=Retry(attempts=2))
    stage.forward()
    assert stage.balancer.finish(1, REFUSED, now=0.0) is not None
    assert stage.balancer.finish(1, REFUSED, now=0.0) is None


@pytest.mark.parametrize(
    ("outcome", "again"),
    [
        (OK, False),
        (Outcome.answered(503), False),
        (REFUSED, True),
        (Outcome.failed("unreachable"), True),
        (Outcome.failed("closed"), True),
        (Outcome.failed("invalid"), False),
        (Outcome.failed("timed_out"), False),
        (Outcome.failed("cut", 200), False),
        (Outcome.failed("cancelled"), False),
    ],
)
def test_what_is_tried_again_is_what_on_lists(outcome: Outcome, again: bool) -> None:
    stage = Stage("ab", retry=Retry(attempts=2))
    stage.forward()
    assert (stage.balancer.finish(1, outcome, now=0.0) is not None) == again


def test_a_retry_waits_for_its_own_answer_alone() -> None:
    stage = Stage("ab", retry=Retry(attempts=2))
    stage.forward(at=1.0)
    again = stage.balancer.finish(1, REFUSED, now=4.0)
    assert isinstance(again, Forward)
    stage.balancer.finish(1, OK, now=4.5)
    assert again.backend.latency == 0.5


def test_a_retry_leaves_the_pool_the_tuple_that_it_had() -> None:
    offered: list[tuple[Backend, ...]] = []

    class Notes:
        def pick(self, request: Request, backends: tuple[Backend, ...]) -> Backend:
            offered.append(backends)
            return backends[0]

    stage = Stage("abc", mine=Notes(), retry=Retry(attempts=2))
    stage.forward()
    stage.balancer.finish(1, REFUSED, now=0.0)
    stage.forward()
    assert [len(one) for one in offered] == [3, 2, 3]
    assert offered[0] is offered[2]


def test_the_only_one_available_is_told_as_such() -> None:
    stage = Stage("ab")
    stage.balancer.command(Drain("web", "a"), now=0.0)
    stage.forward()
    (picked,) = stage.told(Picked)
    assert picked.because == "only"
    assert picked.why.candidates == (Candidate("a", None, "draining"), Candidate("b", 0, None))


def test_a_drained_backend_gets_no_new_requests_and_ends_those_it_has() -> None:
    stage = Stage("ab")
    stage.forward()
    stage.balancer.command(Drain("web", "a"), now=1.0)
    assert [stage.forward().backend.name for _ in range(3)] == ["b", "b", "b"]
    assert stage.told(Draining) == [Draining(1.0, "web", "a", 1)]
    assert stage.told(Drained) == []
    stage.balancer.finish(1, OK, now=2.0)
    assert stage.told(Drained) == [Drained(2.0, "web", "a")]


def test_an_idle_backend_is_drained_at_once() -> None:
    stage = Stage("ab")
    stage.balancer.command(Drain("web", "b"), now=1.0)
    assert stage.events[-2:] == [Draining(1.0, "web", "b", 0), Drained(1.0, "web", "b")]


def test_when_the_time_to_drain_is_over_all_that_is_in_flight_there_is_to_be_cut_off() -> None:
    stage = Stage("ab", algorithm="round_robin")
    for _ in range(4):
        stage.forward()
    stage.balancer.command(Drain("web", "a", within=Seconds(5)), now=1.0)
    assert stage.balancer.next_deadline() == stage.balancer.next_alarm == 6.0
    stage.balancer.finish(1, OK, now=2.0)
    stage.balancer.tick(5.9)
    assert stage.balancer.take_decided() == []
    stage.balancer.tick(6.0)
    assert stage.balancer.take_decided() == [Cut(3, "the time to drain web/a is over")]
    assert stage.told(Drained) == []
    stage.balancer.finish(3, Outcome.failed("cut"), now=6.1)
    assert [end.because for end in stage.told(Finished)] == ["", "cut off by the end of its drain"]
    assert stage.told(Drained) == [Drained(6.1, "web", "a")]
    assert stage.balancer.next_deadline() is None


def test_a_drain_that_ends_before_its_time_leaves_no_deadline_behind() -> None:
    for end in (lambda stage: stage.balancer.finish(1, OK, 2.0), *map(_commanding, (Enable, Remove))):
        stage = Stage("ab")
        stage.forward()
        stage.balancer.command(Drain("web", "a", within=Seconds(5)), now=1.0)
        end(stage)
        assert stage.balancer.next_deadline() is None


def _commanding(kind: Callable[[str, str], Any]) -> Callable[[Stage], None]:
    return lambda stage: stage.balancer.command(kind("web", "a"), 2.0)


def test_a_drain_may_be_given_a_time_or_another_one_later_and_is_told_once() -> None:
    stage = Stage("ab")
    stage.forward()
    deadlines = []
    for within in (None, Seconds(9), None, Seconds(3)):
        stage.balancer.command(Drain("web", "a", within), now=1.0)
        deadlines.append(stage.balancer.next_deadline())
    assert deadlines == [None, 10.0, 10.0, 4.0]
    stage.balancer.command(Disable("web", "a"), now=2.0)
    assert stage.balancer.next_deadline() == 4.0, "maintenance ends nothing"
    stage.balancer.finish(1, OK, now=3.0)
    stage.balancer.command(Drain("web", "a", Seconds(3)), now=3.0)
    assert [len(stage.told(kind)) for kind in (Draining, Drained)] == [1, 1]


def test_what_we_cut_off_ourselves_is_not_held_against_the_backend() -> None:
    stage = Stage("ab", passive=PassiveCheck(fails=1))
    stage.forward()
    stage.balancer.command(Drain("web", "a", within=Seconds(1)), now=1.0)
    stage.balancer.tick(2.0)
    stage.balancer.command(Enable("web", "a"), now=2.0)
    stage.balancer.finish(1, Outcome.failed("cut"), now=2.1)
    assert stage.told(Ejected) == []


def test_maintenance_ends_nothing_that_is_under_way() -> None:
    stage = Stage("a")
    stage.forward()
    stage.balancer.command(Disable("web", "a"), now=1.0)
    assert stage.balancer.take_decided() == []
    assert stage.balancer.finish(1, OK, now=2.0) is None
    assert stage.told(Drained) == []


def test_a_check_by_tcp_asks_for_a_connection() -> None:
    stage = Stage("a", health=HealthCheck(mode="tcp"))
    (probe,) = stage.balancer.tick(0.0)
    assert probe.mode == "tcp"


def test_one_that_left_while_draining_is_not_heard_of_again() -> None:
    stage = Stage("ab")
    stage.forward()
    stage.balancer.command(Drain("web", "a"), now=1.0)
    stage.balancer.command(Remove("web", "a"), now=2.0)
    stage.balancer.finish(1, OK, now=3.0)
    assert stage.told(Left) == [Left(2.0, "web", "a", 1)]
    assert stage.told(Drained) == []
    assert [type(event) for event in stage.events[-2:]] == [Left, Finished]


def test_a_disabled_backend_gets_neither_requests_nor_probes() -> None:
    stage = Stage("ab", health=HealthCheck(interval=Seconds(10)))
    stage.balancer.command(Disable("web", "a"), now=0.0)
    assert [probe.backend.name for probe in stage.balancer.tick(now=9.0)] == ["b"]
    assert stage.forward().backend.name == "b"
    stage.balancer.command(Enable("web", "a"), now=12.0)
    assert [probe.backend.name for probe in stage.balancer.tick(now=12.0)] == ["a"]
    assert stage.told(Disabled) == [Disabled(0.0, "web", "a")]
    assert stage.told(Enabled) == [Enabled(12.0, "web", "a")]


def test_since_is_when_a_backend_last_became_available() -> None:
    stage = Stage("ab")
    backend = stage.forward().backend
    stage.balancer.command(Disable("web", "a"), now=1.0)
    stage.balancer.command(Drain("web", "a"), now=2.0)
    stage.balancer.command(SetWeight("web", "a", 5), now=3.0)
    assert backend.since == 0.0
    stage.balancer.command(Enable("web", "a"), now=4.0)
    assert backend.since == 4.0
    stage.balancer.command(SetWeight("web", "a", 7), now=5.0)
    assert backend.since == 4.0, "it was available all the time"


def test_a_newcomer_joins_at_the_end_and_is_probed_at_once() -> None:
    stage = Stage("a", health=HealthCheck(interval=Seconds(10)))
    stage.balancer.command(Add("web", BackendConfig("0", weight=2)), now=3.0)
    assert stage.told(Joined)[-1] == Joined(3.0, "web", "0", 2, "up")
    assert [probe.backend.name for probe in stage.balancer.tick(now=3.0)] == ["a", "0"]
    assert [backend.name for backend in stage.balancer.snapshot()[0].backends] == ["a", "0"]


def test_a_namesake_starts_with_nothing_in_flight() -> None:
    stage = Stage("a")
    stage.forward()
    stage.balancer.command(Remove("web", "a"), now=1.0)
    stage.balancer.command(Add("web", BackendConfig("a")), now=2.0)
    stage.balancer.finish(1, OK, now=3.0)
    assert stage.in_flight() == {"a": 0}


def test_a_weight_is_set_and_told_once() -> None:
    stage = Stage("a")
    for _ in range(2):
        stage.balancer.command(SetWeight("web", "a", 2.5), now=1.0)
    assert stage.told(WeightChanged) == [WeightChanged(1.0, "web", "a", 1, 2.5)]


@pytest.mark.parametrize("command", [Drain("web", "a"), Disable("web", "a"), SetWeight("web", "a", 3)])
def test_asking_twice_changes_nothing(command: Any) -> None:
    stage = Stage("ab")
    stage.balancer.command(command, now=1.0)
    told, seen = len(stage.events), stage.balancer.snapshot()
    stage.balancer.command(command, now=2.0)
    assert (len(stage.events), stage.balancer.snapshot()) == (told, seen)


@pytest.mark.parametrize(
    ("command", "says"),
    [
        (Drain("wbe", "a"), "there is no pool 'wbe'; there is web"),
        (Remove("web", "z"), "pool web has no backend 'z'; there is a, b"),
        (Add("web", BackendConfig("a")), "'a' is already a member"),
        (Add("web", BackendConfig("z", weight=-1)), "must be 0 or more"),
        (SetWeight("web", "a", -1), "must be 0 or more"),
        (SetWeight("web", "a", float("nan")), "must be 0 or more"),
    ],
)
def test_a_command_that_cannot_be_is_refused_and_changes_nothing(command: Any, says: str) -> None:
    stage = Stage("ab")
    told, seen = len(stage.events), stage.balancer.snapshot()
    with pytest.raises(ConfigError, match=says):
        stage.balancer.command(command, now=1.0)
    assert (len(stage.events), stage.balancer.snapshot()) == (told, seen)


def test_three_failed_probes_take_a_backend_out_and_two_good_ones_bring_it_back() -> None:
    stage = Stage("ab", health=HealthCheck(interval=Seconds(2), timeout=Seconds(1), rise=2, fall=3))
    believed = []
    for turn in range(5):
        for probe in stage.balancer.tick(now=2.0 * turn):
            sick = probe.backend.name == "a" and turn < 3
            result = ProbeResult(False, "connection refused") if sick else ProbeResult(True, "200")
            stage.balancer.probed(probe.backend, result, now=2.0 * turn)
        believed.append(stage.balancer.snapshot()[0].backends[0].health)
    assert believed == ["up", "up", "down", "down", "up"]
    assert stage.told(HealthChanged) == [
        HealthChanged(4.0, "web", "a", "up", "down", "3 probes in a row failed, the last with: connection refused"),
        HealthChanged(8.0, "web", "a", "down", "up", "2 probes in a row passed, the last with: 200"),
    ]


def test_an_unchecked_backend_gets_nothing_until_its_first_probe_passed() -> None:
    stage = Stage("a", health=HealthCheck(initial="unchecked"))
    assert isinstance(stage.arrive(), Reject)
    (probe,) = stage.balancer.tick(now=1.0)
    stage.balancer.probed(probe.backend, ProbeResult(True, "200"), now=1.5)
    assert stage.forward().backend.since == 1.5
    assert stage.told(HealthChanged) == [HealthChanged(1.5, "web", "a", "unchecked", "up", "one probe passed: 200")]


def test_every_probe_is_told_when_sent_and_when_answered() -> None:
    stage = Stage("a", health=HealthCheck())
    (probe,) = stage.balancer.tick(now=0.0)
    assert (probe.pool, probe.path, probe.timeout) == ("web", "/health", 5.0)
    stage.balancer.probed(probe.backend, ProbeResult(False, "no answer in 5 s"), now=5.0)
    assert stage.events[1:] == [
        ProbeSent(0.0, "web", "a"),
        Probed(5.0, "web", "a", False, "no answer in 5 s", 1, 3, "down"),
    ]


def test_the_probe_of_one_that_left_is_ignored() -> None:
    stage = Stage("a", health=HealthCheck(fall=1))
    (probe,) = stage.balancer.tick(now=0.0)
    stage.balancer.command(Remove("web", "a"), now=1.0)
    stage.balancer.command(Add("web", BackendConfig("a")), now=1.0)
    stage.balancer.probed(probe.backend, ProbeResult(False, "connection refused"), now=2.0)
    assert stage.told(Probed) == []
    assert stage.forward().backend.name == "a"


def test_the_next_deadline_is_the_earliest_probe_that_is_not_under_way() -> None:
    stage = Stage("ab", health=HealthCheck(interval=Seconds(10)))
    assert stage.balancer.next_deadline() == 0.0
    (probe,) = stage.balancer.tick(now=0.0)
    assert stage.balancer.next_deadline() == 5.0
    stage.balancer.command(Disable("web", "b"), now=0.0)
    assert stage.balancer.next_deadline() is None
    stage.balancer.probed(probe.backend, ProbeResult(True, "200"), now=1.0)
    assert stage.balancer.next_deadline() == 10.0
    assert Stage("a").balancer.next_deadline() is None


STRICT = PassiveCheck(fails=2, window=Seconds(10), eject=Seconds(30))


class Strict(Stage):
    """A stage with passive checks, on which requests can be failed at one backend."""

    def __init__(self, names: str = "abc", check: PassiveCheck = STRICT, **options: Any) -> None:
        super().__init__(names, passive=check, **options)

    def serve(self, at: float, *bad: str, outcome: Outcome = REFUSED) -> str:
        """One request after another until each of `bad` had one, which fails there; who was picked."""
        missing, picked = set(bad), ""
        while missing:
            forward: Forward | Wait | None = self.forward(at)
            while isinstance(forward, Forward):
                name = forward.backend.name
                picked += name
                missing.discard(name)
                forward = self.balancer.finish(forward.request, outcome if name in bad else OK, at)
        return picked

    def out(self) -> dict[str, str]:
        (pool,) = self.balancer.snapshot()
        return {backend.name: backend.excluded for backend in pool.backends if backend.excluded}


def test_a_backend_is_ejected_for_its_answers_long_before_a_probe() -> None:
    stage = Strict(health=HealthCheck())
    stage.serve(1.0, "b")
    assert stage.out() == {}
    stage.serve(2.0, "b")
    assert stage.out() == {"b": "ejected until 32.0 s"}
    assert stage.told(Ejected) == [
        Ejected(2.0, "web", "b", 32.0, "2 attempts in a row failed, the last with: connection refused")
    ]
    assert stage.told(HealthChanged) == []
    assert {stage.forward(at=3.0).backend.name for _ in range(9)} == {"a", "c"}


def test_an_ejection_is_told_after_the_failure_that_caused_it() -> None:
    stage = Strict()
    stage.serve(1.0, "a")
    stage.serve(1.0, "a")
    assert [type(event).__name__ for event in stage.events[-2:]] == ["Finished", "Ejected"]


def test_a_retry_already_knows_that_the_first_was_ejected() -> None:
    stage = Strict("ab", PassiveCheck(fails=1), retry=Retry(2))
    assert stage.serve(1.0, "a") == "ab"
    assert [type(event).__name__ for event in stage.events[-4:]] == ["Finished", "Ejected", "Picked", "Finished"]
    assert stage.told(Picked)[-1].why.candidates[0] == Candidate("a", None, "ejected until 31.0 s")


def test_it_is_readmitted_at_the_next_deadline_and_not_before() -> None:
    stage = Strict()
    assert stage.balancer.next_deadline() is None
    stage.serve(1.0, "b")
    stage.serve(2.0, "b")
    assert stage.balancer.next_deadline() == stage.balancer.next_alarm == 32.0
    stage.balancer.tick(31.9)
    assert stage.out() == {"b": "ejected until 32.0 s"}
    stage.balancer.tick(32.0)
    assert stage.told(Readmitted) == [Readmitted(32.0, "web", "b")]
    assert stage.out() == {}
    assert stage.balancer.next_deadline() is None
    assert "b" in {stage.forward(at=33.0).backend.name for _ in range(3)}


def test_the_next_deadline_is_a_probe_or_a_readmission_whichever_comes_first() -> None:
    stage = Strict("ab", health=HealthCheck(interval=Seconds(50), timeout=Seconds(5)))
    for probe in stage.balancer.tick(0.0):
        stage.balancer.probed(probe.backend, ProbeResult(True, "200"), now=0.0)
    stage.serve(1.0, "b")
    stage.serve(2.0, "b")
    assert stage.balancer.next_deadline() == 25.0
    for probe in stage.balancer.tick(25.0):
        stage.balancer.probed(probe.backend, ProbeResult(True, "200"), now=25.0)
    assert stage.balancer.next_deadline() == 32.0
    stage.balancer.tick(32.0)
    assert stage.balancer.next_deadline() == 50.0


def test_since_starts_anew_with_the_readmission() -> None:
    stage = Strict("ab", PassiveCheck(fails=1))
    stage.serve(1.0, "a")
    stage.balancer.tick(31.5)
    backend = next(one for one in (stage.forward(32.0).backend for _ in range(2)) if one.name == "a")
    assert backend.since == 31.5


def test_a_passed_probe_does_not_readmit_and_a_failed_one_stays_its_own_matter() -> None:
    stage = Strict("ab", PassiveCheck(fails=1), health=HealthCheck(interval=Seconds(10), fall=1, rise=1))
    (probe,) = stage.balancer.tick(0.0)
    stage.serve(1.0, "a")
    stage.balancer.probed(probe.backend, ProbeResult(True, "200"), now=2.0)
    assert stage.out() == {"a": "ejected until 31.0 s"}
    (probe, _) = stage.balancer.tick(15.0)
    stage.balancer.probed(probe.backend, ProbeResult(False, "500"), now=15.0)
    assert stage.out() == {"a": "down"}
    stage.balancer.tick(31.0)
    assert stage.out() == {"a": "down"}, "readmitted, and still believed down"
    assert stage.told(Readmitted) == [Readmitted(31.0, "web", "a")]


def test_who_fails_while_nobody_more_may_be_ejected_goes_when_there_is_room_again() -> None:
    stage = Strict("abc", PassiveCheck(fails=1, eject=Seconds(5)))
    stage.serve(1.0, "a")
    stage.serve(2.0, "b")
    assert stage.out() == {"a": "ejected until 6.0 s"}
    stage.balancer.tick(6.0)
    stage.serve(7.0, "b")
    assert stage.out() == {"b": "ejected until 12.0 s"}


def test_the_only_member_is_never_ejected() -> None:
    stage = Strict("a", PassiveCheck(fails=1, max_ejected=1.0))
    stage.serve(1.0, "a")
    assert stage.out() == {}
    stage.balancer.command(Add("web", BackendConfig("b")), now=1.0)
    stage.serve(2.0, "a")
    assert stage.out() == {"a": "ejected until 32.0 s"}


def test_when_all_are_ejected_they_are_rejected_or_offered_as_the_pool_says() -> None:
    everybody = PassiveCheck(fails=1, max_ejected=1.0)
    closed, open_ = Strict("ab", everybody), Strict("ab", everybody, all_down="fail_open")
    for stage in (closed, open_):
        stage.serve(1.0, "a")
        stage.serve(1.0, "b")
        assert set(stage.out()) == {"a", "b"}
    assert closed.arrive(2.0) == Reject(3, 503, "no backend is available")
    assert open_.serve(2.0, "a", "b") in ("ab", "ba")
    assert len(open_.told(Ejected)) == 2, "what they answer meanwhile changes nothing"


@pytest.mark.parametrize("command", [Drain("web", "a"), Disable("web", "a"), SetWeight("web", "a", 0)])
def test_who_gets_nothing_by_the_operators_wish_is_not_ejected(
    command: Drain | Disable | SetWeight,
) -> None:
    stage = Strict("ab", PassiveCheck(fails=1))
    forward = stage.forward(1.0)
    stage.balancer.command(command, now=1.0)
    stage.balancer.finish(forward.request, REFUSED, now=2.0)
    assert stage.told(Ejected) == []


def test_who_left_is_not_ejected_and_who_was_ejected_leaves_no_deadline_behind() -> None:
    stage = Strict("ab", PassiveCheck(fails=1))
    late = stage.forward(1.0)
    stage.serve(1.0, "b")
    assert stage.balancer.next_deadline() == 31.0
    stage.balancer.command(Remove("web", "b"), now=2.0)
    assert stage.balancer.next_deadline() is None
    stage.balancer.command(Remove("web", "a"), now=2.0)
    stage.balancer.command(Add("web", BackendConfig("a")), now=2.0)
    stage.balancer.command(Add("web", BackendConfig("b")), now=2.0)
    stage.balancer.finish(late.request, REFUSED, now=3.0)
    assert len(stage.told(Ejected)) == 1
    assert stage.out() == {}, "a namesake has no past"


def raising(error: BaseException) -> Callable[..., Backend]:
    def pick(self: object, request: Request, backends: tuple[Backend, ...]) -> Backend:
        raise error

    return pick


class Unshowable:
    def __repr__(self) -> str:
        raise RuntimeError("not even this")


STRANGER = Backend(BackendConfig("stranger"), now=0.0)


@pytest.mark.parametrize(
    ("pick", "says"),
    [
        (raising(ZeroDivisionError("division by zero")), "it raised ZeroDivisionError: division by zero"),
        (raising(SystemExit(3)), "it raised SystemExit: 3"),
        (raising(KeyError(Unshowable())), "it raised KeyError: a KeyError that cannot be shown"),
        (lambda self, request, backends: None, "it picked None, which was not offered"),
        (lambda self, request, backends: backends[0].name, "it picked 'a', which was not offered"),
        (lambda self, request, backends: STRANGER, "it picked <Backend stranger"),
        (lambda self, request, backends: Unshowable(), "it picked a Unshowable that cannot be shown"),
        (lambda self, request, backends: "x" * 9999, "x…, which was not offered"),
    ],
)
def test_an_algorithm_that_breaks_its_contract_costs_that_request_alone(
    pick: Callable[..., Backend], says: str
) -> None:
    broken = type("Broken", (), {"pick": pick})
    stage = Stage("ab", mine=broken())
    assert stage.arrive() == Reject(1, 500, "the algorithm broke its contract")
    (told,) = stage.told(ContractBroken)
    assert (told.request, told.algorithm) == (1, "Broken")
    assert says in told.because
    assert len(told.because) < 300
    assert [type(event) for event in stage.events[-3:]] == [Arrived, ContractBroken, Rejected]
    assert stage.balancer.open_requests == 0
    assert isinstance(stage.arrive(), Reject), "and the balancer goes on"


def test_a_stop_by_the_person_at_the_keyboard_is_nobodys_broken_contract() -> None:
    stage = Stage("ab", mine=type("Interrupted", (), {"pick": raising(KeyboardInterrupt())})())
    with pytest.raises(KeyboardInterrupt):
        stage.arrive()


def test_a_broken_retry_leaves_the_client_the_first_outcome() -> None:
    class OnlyOnce:
        def pick(self, request: Request, backends: tuple[Backend, ...]) -> Backend:
            if request.attempt > 1:
                raise LookupError("again?")
            return backends[0]

    stage = Stage("ab", mine=OnlyOnce(), retry=Retry(attempts=2))
    stage.forward()
    assert stage.balancer.finish(1, REFUSED, now=1.0) is None
    finished, broken = stage.events[-2:]
    assert isinstance(finished, Finished)
    assert finished.final
    assert isinstance(broken, ContractBroken)
    assert stage.in_flight() == {"a": 0, "b": 0}


class Talkative:
    """Picks the last; what it says of it is given."""

    def __init__(self, says: Callable[[], Any]) -> None:
        self._says = says

    def pick(self, request: Request, backends: tuple[Backend, ...]) -> Backend:
        return backends[-1]

    def compare(self, request: Request, backends: tuple[Backend, ...]) -> Any:
        return self._says()


@pytest.mark.parametrize(
    ("compare", "says"),
    [
        (lambda: 1 / 0, "its compare raised ZeroDivisionError: division by zero"),
        (lambda: None, "its compare raised AttributeError"),
        (lambda: Comparison("rule", (1.0,), "lowest", ""), "its compare raised ValueError: 1 numbers for 2 backends"),
        (lambda: Comparison("rule", ("x", "y"), "lowest", ""), "its compare raised ValueError"),  # type: ignore[arg-type]
    ],
)
def test_one_that_cannot_explain_itself_still_chooses(compare: Callable[[], Any], says: str) -> None:
    stage = Stage("ab", mine=Talkative(compare))
    assert stage.forward().backend.name == "b"
    _, broken, picked = stage.events[-3:]
    assert isinstance(broken, ContractBroken)
    assert says in broken.because
    assert isinstance(picked, Picked)
    assert picked.why.rule == ""


def test_an_algorithm_that_learns_hears_every_end_whether_or_not_anybody_listens() -> None:
    heard: list[Event] = []

    class Learns:
        def pick(self, request: Request, backends: tuple[Backend, ...]) -> Backend:
            return backends[0]

        def observe(self, event: Event) -> None:
            heard.append(event)

    pool = PoolConfig("web", backends=(BackendConfig("a"), BackendConfig("b")), retry=Retry(attempts=2))
    balancer = Balancer([pool], [Route("web")], rng=Random(1), algorithms={"web": Learns()})
    balancer.arrive(Request(id=1, at=0.0))
    balancer.finish(1, REFUSED, now=0.5)
    balancer.finish(1, OK, now=0.75)
    assert heard == [
        Finished(0.5, 1, 1, "web", "a", "connection refused", 502, 0.5, False, False),
        Finished(0.75, 1, 2, "web", "b", "answered 200", 200, 0.25, True, True),
    ]


def test_one_that_fails_to_learn_costs_nobody_anything() -> None:
    class CannotLearn:
        def pick(self, request: Request, backends: tuple[Backend, ...]) -> Backend:
            return backends[0]

        def observe(self, event: Event) -> None:
            raise ValueError("too much")

    stage = Stage("ab", mine=CannotLearn(), retry=Retry(attempts=2))
    stage.forward()
    assert stage.balancer.finish(1, REFUSED, now=0.5) is not None
    assert stage.balancer.finish(1, OK, now=0.75) is None
    assert [event.because for event in stage.told(ContractBroken)] == ["its observe raised ValueError: too much"] * 2
    assert stage.in_flight() == {"a": 0, "b": 0}


def test_each_pool_has_dice_of_its_own_from_the_one_seed() -> None:
    class Dice:
        def __init__(self, rng: Random) -> None:
            self.rng = rng

        def pick(self, request: Request, backends: tuple[Backend, ...]) -> Backend:
            return self.rng.choice(backends)

    from lbtutor.core.algorithms import ALGORITHMS

    members = tuple(BackendConfig(name) for name in "abcdef")
    pools = [PoolConfig(name, "dice", members) for name in ("one", "two")]
    routes = [Route("one", path="/one"), Route("two")]

    def play(seed: int) -> str:
        balancer = Balancer(pools, routes, rng=Random(seed))
        picked = ""
        for number in range(60):
            decision = balancer.arrive(Request(id=number, at=0.0, path="/one" if number < 30 else "/two"))
            assert isinstance(decision, Forward)
            picked += decision.backend.name
        return picked

    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(ALGORITHMS, "dice", Dice)
        assert play(1) == play(1)
        assert play(1) != play(2)
        assert play(1)[:30] != play(1)[30:]


def test_its_repr_tells_its_state_in_a_line() -> None:
    assert repr(Stage("a").balancer) == (
        "<Balancer [<Pool web RoundRobin [<Backend a weight=1 in_flight=0 available>]>] open=0>"
    )
