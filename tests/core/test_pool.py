"""A pool keeps its promise about the tuple: the same object means the same members and weights."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

import pytest

from lbtutor.core.algorithms.base import Part, whole_of
from lbtutor.core.algorithms.load import LeastConnections
from lbtutor.core.backend import Backend
from lbtutor.core.balancer import Balancer
from lbtutor.core.ejection import PassiveCheck
from lbtutor.core.errors import ConfigError
from lbtutor.core.events import Calmed, Candidate, Event, Panicked, Picked, WeightChanged
from lbtutor.core.health import HealthCheck
from lbtutor.core.messages import (
    Add,
    BackendConfig,
    Command,
    Disable,
    Enable,
    Forward,
    Outcome,
    ProbeResult,
    Reject,
    Remove,
    Request,
    SetWeight,
)
from lbtutor.core.pool import Pool, PoolConfig
from lbtutor.core.retry import Retry
from lbtutor.core.routing import Route
from lbtutor.core.units import Seconds


def pool_of(*names: str, **options: Any) -> Pool:
    backends = tuple(BackendConfig(name) for name in names)
    return Pool(PoolConfig("web", backends=backends, **options), Random(1), now=0.0)


def names(backends: tuple[Backend, ...]) -> str:
    return "".join(backend.name for backend in backends)


def test_the_available_are_in_configuration_order_and_a_newcomer_goes_last() -> None:
    pool = pool_of("b", "a")
    pool.join(BackendConfig("0"), now=1.0)
    assert names(pool.available) == "ba0"


def test_the_tuple_is_the_same_object_until_something_changes() -> None:
    pool = pool_of("a", "b")
    before = pool.available
    pool.members["a"].in_flight += 3
    pool.members["a"].answered(0.2, now=1.0)
    assert pool.available is before


@pytest.mark.parametrize(
    "change",
    [
        lambda pool: pool.join(BackendConfig("c"), now=1.0),
        lambda pool: pool.leave("a"),
        lambda pool: pool.changed(),
    ],
    ids=["a newcomer", "a leaver", "a weight or a health"],
)
def test_a_change_makes_a_new_tuple_around_the_same_backends(change: Callable[[Pool], Any]) -> None:
    pool = pool_of("a", "b")
    before = pool.available
    change(pool)
    assert pool.available is not before
    assert pool.available is pool.available
    assert pool.members["b"] in before


def test_a_retry_gets_a_tuple_of_its_own_and_the_next_request_the_old_object() -> None:
    pool = pool_of("a", "b", "c")
    before = pool.available
    assert names(pool.available_without([pool.members["b"]])) == "ac"
    assert pool.available is before


def test_with_nobody_up_reject_offers_none_and_fail_open_all_the_willing() -> None:
    check = HealthCheck(fall=1)
    for policy, offered in (("reject", ""), ("fail_open", "ab")):
        pool = pool_of("a", "b", "draining", "disabled", "weightless", health=check, all_down=policy)
        for backend in pool.members.values():
            assert backend.health is not None
            backend.health.result(False)
        pool.members["draining"].draining = True
        pool.members["disabled"].disabled = True
        pool.members["weightless"].weight = 0
        pool.changed()
        assert names(pool.available) == offered


def test_fail_open_offers_only_those_who_are_up_while_one_is() -> None:
    pool = pool_of("a", "b", health=HealthCheck(fall=1), all_down="fail_open")
    health = pool.members["a"].health
    assert health is not None
    health.result(False)
    pool.changed()
    assert names(pool.available) == "b"


def test_the_members_take_turns_within_the_first_interval() -> None:
    pool = pool_of("a", "b", "c", "d", health=HealthCheck(interval=Seconds(8)))
    due = [backend.health.next_probe for backend in pool.members.values() if backend.health is not None]
    assert due == [0.0, 2.0, 4.0, 6.0]


def test_a_name_is_given_once() -> None:
    with pytest.raises(ConfigError, match="pool web: a backend named 'a' is already a member"):
        pool_of("a", "a")


def test_a_name_that_left_and_returned_is_a_new_backend() -> None:
    pool = pool_of("a")
    old = pool.leave("a")
    new = pool.join(BackendConfig("a"), now=1.0)
    assert new is not old
    assert pool.has(new)
    assert not pool.has(old)


@pytest.mark.parametrize("weight", [-1, float("nan"), float("inf")])
def test_a_weight_is_a_number_from_0_up(weight: float) -> None:
    with pytest.raises(ConfigError, match="the weight of 'a' must be 0 or more"):
        Pool(PoolConfig("web", backends=(BackendConfig("a", weight=weight),)), Random(1), now=0.0)


def test_leaving_needs_a_member() -> None:
    with pytest.raises(KeyError):
        pool_of("a").leave("b")


@pytest.mark.parametrize("wrong", [{"connect_timeout": Seconds(0)}, {"response_timeout": Seconds(0)}])
def test_a_timeout_is_longer_than_nothing(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="must be longer than 0"):
        PoolConfig("web", **wrong)


def test_a_request_is_tried_at_least_once() -> None:
    with pytest.raises(ConfigError, match="must be at least 1"):
        Retry(attempts=0)


def test_an_algorithm_that_is_handed_in_replaces_the_configured_one() -> None:
    mine = LeastConnections()
    pool = Pool(PoolConfig("web", backends=(BackendConfig("a"),)), Random(1), now=0.0, algorithm=mine)
    assert pool.algorithm is mine


def test_explaining_and_observing_are_optional() -> None:
    class Bare:
        def pick(self, request: Request, backends: tuple[Backend, ...]) -> Backend:
            return backends[0]

    pool = Pool(PoolConfig("web", backends=(BackendConfig("a"),)), Random(1), now=0.0, algorithm=Bare())
    assert pool.compare is None
    assert pool.observe is None


def test_its_repr_tells_its_state_in_a_line() -> None:
    assert repr(pool_of("a")) == "<Pool web RoundRobin [<Backend a weight=1 in_flight=0 available>]>"


OK = Outcome.answered(200)


def limited(limit: int | None = 2, **options: Any) -> Pool:
    backends = tuple(BackendConfig(name, limit=limit) for name in "abc")
    return Pool(PoolConfig("web", backends=backends, **options), Random(1), now=0.0)


def test_the_full_are_left_out_and_the_same_object_comes_back_when_nobody_is() -> None:
    pool = limited()
    before, b = pool.available, pool.members["b"]
    b.in_flight = 2
    pool.filled_or_freed()
    part = pool.available
    assert names(part) == "ac"
    assert pool.available is part
    assert type(part) is Part
    assert part.whole is whole_of(part) is before
    b.in_flight = 1
    pool.filled_or_freed()
    assert pool.available is whole_of(before) is before


@pytest.mark.parametrize("limit", [0, -1])
def test_a_limit_lets_somebody_in(limit: int) -> None:
    with pytest.raises(ConfigError, match=f"pool web: the limit of 'a' must be 1 or more, not {limit}"):
        limited(limit)


@pytest.mark.parametrize("panic", [-0.1, 1.1, float("nan")])
def test_panic_is_a_share(panic: float) -> None:
    with pytest.raises(ConfigError, match="`panic` is a share of the members, 0 to 1"):
        PoolConfig("web", panic=panic)


class Stage:
    """A balancer with one pool, whose probes can be answered; members are "a", "b*2" (limit 2), "c+" (backup)."""

    def __init__(self, *members: str, algorithm: str = "least_connections", **options: Any) -> None:
        self.events: list[Event] = []
        check = HealthCheck(interval=Seconds(10), timeout=Seconds(5), rise=1, fall=1)
        config = PoolConfig("web", algorithm, tuple(map(member, members)), **({"health": check} | options))
        self.balancer = Balancer([config], [Route("web")], rng=Random(1), report=self.events.append)
        self.requests = 0

    def goes_to(self, count: int = 1, at: float = 0.0) -> str:
        """Where so many new requests go; a dash for each that is turned away."""
        gone = ""
        for _ in range(count):
            self.requests += 1
            decision = self.balancer.arrive(Request(self.requests, at))
            assert isinstance(decision, Forward | Reject)
            gone += decision.backend.name if isinstance(decision, Forward) else "-"
        return gone

    def down(self, *sick: str, at: float) -> None:
        """A round of probes: these fail and the others pass."""
        for probe in self.balancer.tick(at):
            self.balancer.probed(probe.backend, ProbeResult(probe.backend.name not in sick, "so"), at)

    def weights(self) -> list[float]:
        (pool,) = self.balancer.snapshot()
        return [round(backend.weight, 9) for backend in pool.backends]

    def told(self, *kinds: type[Any]) -> list[Any]:
        return [event for event in self.events if isinstance(event, kinds)]


def member(written: str) -> BackendConfig:
    name, _, limit = written.rstrip("+").partition("*")
    return BackendConfig(name, limit=int(limit) if limit else None, backup=written.endswith("+"))


def test_nobody_is_given_more_at_once_than_its_limit() -> None:
    stage = Stage("a*1", "b*2", algorithm="round_robin")
    assert stage.goes_to(4) == "abb-"
    assert stage.told(Picked)[-1].why.candidates == (Candidate("a", None, "full, 1 of 1"), Candidate("b", 0.0, None))
    stage.balancer.finish(1, OK, now=1.0)
    assert stage.goes_to(2) == "a-"


def test_a_retry_goes_past_the_full() -> None:
    stage = Stage("a", "b*1", "c", retry=Retry(3), algorithm="round_robin")
    assert stage.goes_to(3) == "abc"
    again = stage.balancer.finish(1, Outcome.failed("refused"), now=1.0)
    assert isinstance(again, Forward)
    assert again.backend.name == "c"


def test_backups_get_nothing_while_a_member_is_available() -> None:
    stage = Stage("a", "b+", "c+")
    assert stage.goes_to(3) == "aaa"
    assert stage.told(Picked)[0].why.candidates[1:] == (Candidate("b", None, "backup"), Candidate("c", None, "backup"))


def test_when_no_member_is_available_all_the_backups_take_over_until_one_is_back() -> None:
    stage = Stage("a", "b+", "c+")
    stage.down("a", at=9.99)
    assert stage.goes_to(4, at=9.99) == "bcbc"
    stage.down(at=19.99)
    assert stage.goes_to(2, at=19.99) == "aa"


def test_the_backups_take_what_the_full_members_cannot() -> None:
    stage = Stage("a*2", "b*1+")
    assert stage.goes_to(4) == "aab-"
    stage.balancer.finish(1, OK, now=1.0)
    assert stage.goes_to(1) == "a"


def test_when_too_few_are_up_all_the_willing_are_offered_and_that_is_told_once() -> None:
    stage = Stage("a", "b", "c", "d", panic=0.5)
    stage.down("b", "c", at=9.99)
    assert stage.goes_to(4, at=9.99) == "adad"
    stage.down("b", "c", "d", at=19.99)
    assert sorted(stage.goes_to(6, at=19.99)) == sorted("bcbcda"), "the fewest in flight, healthy or not"
    stage.down("b", "c", at=29.99)
    assert [event for event in stage.told(Panicked, Calmed) if event.at < 30] == [
        Panicked(19.99, "web", 1, 4, 0.5),
        Calmed(29.99, "web", 2, 4),
    ]


def test_whom_the_operator_took_out_is_neither_offered_in_panic_nor_counted() -> None:
    stage = Stage("a", "b", "c", panic=0.5)
    for name in "bc":
        stage.balancer.command(Disable("web", name), now=0.0)
    assert stage.told(Panicked) == []
    stage.balancer.command(Enable("web", "b"), now=1.0)
    stage.down("a", "b", at=10.99)
    assert stage.told(Panicked) == [Panicked(10.99, "web", 0, 2, 0.5)]
    assert set(stage.goes_to(4, at=11.0)) == {"a", "b"}


def test_a_limit_holds_in_panic_too() -> None:
    stage = Stage("a*1", "b*1", panic=1.0)
    stage.down("a", at=9.99)
    assert stage.goes_to(3, at=10.0) == "ab-"


def test_a_share_that_is_just_reached_is_no_panic() -> None:
    check = HealthCheck(interval=Seconds(10), timeout=Seconds(5), initial="unchecked")
    stage = Stage(*(f"n{number}" for number in range(25)), panic=0.28, health=check)
    for probe in stage.balancer.tick(9.99)[:7]:
        stage.balancer.probed(probe.backend, ProbeResult(True, "200"), 9.99)
    assert [type(event) for event in stage.told(Panicked, Calmed)] == [Panicked, Calmed]


SLOW = Seconds(10)


def test_at_the_start_of_the_process_everybody_has_all_its_weight() -> None:
    stage = Stage("a", "b", slow_start=SLOW)
    assert stage.weights() == [1, 1]
    check = HealthCheck(interval=Seconds(10), timeout=Seconds(5), initial="unchecked")
    stage = Stage("a", "b", slow_start=SLOW, health=check)
    stage.down(at=9.99)
    assert stage.weights() == [1, 1]


COMEBACKS: dict[str, list[Command]] = {
    "maintenance": [Disable("web", "b"), Enable("web", "b")],
    "weight": [SetWeight("web", "b", 0), SetWeight("web", "b", 1)],
    "newcomer": [Add("web", BackendConfig("b"))],
}


@pytest.mark.parametrize("how", COMEBACKS)
def test_who_becomes_available_again_gets_its_weight_by_tenths(how: str) -> None:
    stage = Stage("a", slow_start=SLOW) if how == "newcomer" else Stage("a", "b", slow_start=SLOW)
    for command in COMEBACKS[how]:
        stage.balancer.command(command, now=100.0)
    seen = []
    for _ in range(9):
        seen.append((stage.weights()[1], stage.balancer.next_alarm))
        stage.balancer.tick(stage.balancer.next_alarm)
    assert seen == [(step / 10, 100.0 + step + 1) for step in range(1, 10)]
    assert stage.weights() == [1, 1]
    assert stage.balancer.next_alarm == float("inf")
    assert stage.told(WeightChanged)[-2:] == [
        WeightChanged(109.0, "web", "b", 0.8, 0.9, "slow start, 90% of weight 1"),
        WeightChanged(110.0, "web", "b", 0.9, 1, ""),
    ]


def test_health_and_readmission_start_slowly_too() -> None:
    stage = Stage("a", "b", slow_start=SLOW, passive=PassiveCheck(fails=1, eject=Seconds(30)))
    stage.down("b", at=9.99)
    stage.down(at=19.99)
    assert stage.weights() == [1, 0.1]
    stage.balancer.tick(40.0)
    assert stage.weights() == [1, 1]
    assert stage.goes_to(1, at=50.0) == "a"
    stage.balancer.finish(1, Outcome.failed("refused"), now=50.0)
    stage.balancer.tick(80.0)
    assert stage.weights() == [0.1, 1]


def test_who_goes_out_again_stops_growing_and_starts_anew() -> None:
    stage = Stage("a", "b", slow_start=SLOW)
    for command in (Disable("web", "b"), Enable("web", "b")):
        stage.balancer.command(command, now=100.0)
    stage.balancer.tick(105.0)
    assert stage.weights() == [1, 0.5]
    stage.balancer.command(Disable("web", "b"), now=105.0)
    assert stage.balancer.next_alarm == float("inf")
    stage.balancer.command(Enable("web", "b"), now=106.0)
    assert (stage.weights(), stage.balancer.next_alarm) == ([1, 0.1], 108.0)


def test_one_that_left_grows_no_more() -> None:
    leavings: list[Callable[[Balancer], None]] = [
        lambda balancer: balancer.command(Remove("web", "b"), 101.0),
        lambda balancer: balancer.reconfigure([], [], 101.0),
    ]
    for leave in leavings:
        stage = Stage("a", "b", slow_start=SLOW)
        for command in (Disable("web", "b"), Enable("web", "b")):
            stage.balancer.command(command, now=100.0)
        leave(stage.balancer)
        assert stage.balancer.next_alarm == float("inf")


def test_a_slow_start_shows_in_the_shares_and_in_the_record() -> None:
    stage = Stage("a", "b", slow_start=SLOW, algorithm="weighted_round_robin")
    for command in (Disable("web", "b"), Enable("web", "b")):
        stage.balancer.command(command, now=100.0)
    assert stage.goes_to(22, at=100.0).count("b") == 2
    assert stage.told(Picked)[0].why.candidates[1].note == "slow start, 10% of weight 1"


def test_each_step_of_growth_makes_a_new_tuple() -> None:
    class Remembers:
        def __init__(self) -> None:
            self.seen: list[tuple[Backend, ...]] = []

        def pick(self, request: Request, backends: tuple[Backend, ...]) -> Backend:
            if not self.seen or backends is not self.seen[-1]:
                self.seen.append(backends)
            return backends[0]

    mine = Remembers()
    pool = PoolConfig("web", backends=(BackendConfig("a"),), slow_start=SLOW)
    balancer = Balancer([pool], [Route("web")], rng=Random(1), algorithms={"web": mine})
    balancer.command(Disable("web", "a"), 0.0)
    balancer.command(Enable("web", "a"), 0.0)
    for number in range(40):
        balancer.tick(number / 2)
        balancer.arrive(Request(number, number / 2))
    assert len(mine.seen) == 10
