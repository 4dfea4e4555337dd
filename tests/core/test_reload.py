"""Reload: all at once or not at all, and whatever stays keeps its past."""

from __future__ import annotations

from collections import Counter
from random import Random
from typing import Any, TypeVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lbtutor.core.affinity import Sticky
from lbtutor.core.algorithms import AlgorithmConfig
from lbtutor.core.backend import Backend
from lbtutor.core.balancer import Balancer
from lbtutor.core.ejection import PassiveCheck
from lbtutor.core.errors import ConfigError
from lbtutor.core.events import (
    Event,
    Finished,
    HealthChanged,
    Joined,
    Left,
    Picked,
    Readmitted,
    Rejected,
    Reloaded,
    WeightChanged,
)
from lbtutor.core.health import HealthCheck
from lbtutor.core.messages import (
    Add,
    BackendConfig,
    Disable,
    Drain,
    Forward,
    Outcome,
    ProbeResult,
    Reject,
    Request,
    SetWeight,
    Shift,
    Wait,
)
from lbtutor.core.pool import PoolConfig
from lbtutor.core.reload import what_changed
from lbtutor.core.retry import FLOOR, Retry
from lbtutor.core.routing import Route
from lbtutor.core.units import Seconds

_E = TypeVar("_E")

OK, REFUSED = Outcome.answered(200), Outcome.failed("refused")


def web(names: str = "ab", **options: Any) -> PoolConfig:
    return PoolConfig("web", backends=tuple(map(BackendConfig, names)), **options)


class Stage:
    """A balancer, and everything that it told."""

    def __init__(self, *pools: PoolConfig, routes: tuple[Route, ...] = (Route("web"),)) -> None:
        self.events: list[Event] = []
        self.balancer = Balancer(pools, routes, rng=Random(1), report=self.events.append)
        self.requests = 0

    def ask(self, at: float = 0.0, **more: Any) -> Forward:
        self.requests += 1
        decision = self.balancer.arrive(Request(self.requests, at, **more))
        assert isinstance(decision, Forward)
        return decision

    def get(self, at: float = 0.0, **more: Any) -> str:
        forward = self.ask(at, **more)
        self.balancer.finish(forward.request, OK, at)
        return forward.backend.name

    def reload(self, *pools: PoolConfig, routes: tuple[Route, ...] = (Route("web"),), at: float = 1.0) -> list[Event]:
        """Reconfigure; what was told of it."""
        told = len(self.events)
        self.balancer.reconfigure(pools, routes, at)
        return self.events[told:]

    def told(self, kind: type[_E]) -> list[_E]:
        return [event for event in self.events if isinstance(event, kind)]

    def members(self) -> list[str]:
        return [f"{pool.name}/{backend.name}" for pool in self.balancer.snapshot() for backend in pool.backends]


# -- members


def test_members_come_and_go_and_those_that_stay_are_the_same() -> None:
    stage = Stage(web("ab"))
    a = stage.ask().backend
    told = stage.reload(web("ca"))
    assert told == [
        Left(1.0, "web", "b", 0),
        Joined(1.0, "web", "c", 1, "up"),
        Reloaded(1.0, "pool web: c joins, b leaves"),
    ]
    assert stage.members() == ["web/c", "web/a"]
    assert (stage.balancer.has(a), a.in_flight) == (True, 1)
    stage.balancer.finish(1, OK, 2.0)
    assert (a.in_flight, a.latency) == (0, 2.0)


def test_a_namesake_at_another_address_is_another_backend() -> None:
    def at(address: str) -> PoolConfig:
        return PoolConfig("web", backends=(BackendConfig("a", address=address),))

    stage = Stage(at("10.0.0.1:80"))
    old = stage.ask().backend
    told = stage.reload(at("10.0.0.2:80"))
    assert told == [
        Left(1.0, "web", "a", 1),
        Joined(1.0, "web", "a", 1, "up"),
        Reloaded(1.0, "pool web: a has another address"),
    ]
    assert not stage.balancer.has(old)
    assert stage.ask(2.0).backend is not old
    stage.balancer.finish(1, OK, 3.0)
    assert old.in_flight == 0
    assert stage.balancer.snapshot()[0].backends[0].in_flight == 1


def test_weight_limit_and_backup_are_those_of_the_file() -> None:
    stage = Stage(web("ab"))
    stage.balancer.command(SetWeight("web", "b", 7), 0.0)
    told = stage.reload(
        PoolConfig("web", backends=(BackendConfig("a", weight=3, limit=1), BackendConfig("b", backup=True)))
    )
    assert [(event.backend, event.was, event.now) for event in told if isinstance(event, WeightChanged)] == [
        ("a", 1, 3),
        ("b", 7, 1),
    ]
    assert [stage.ask(1.0).backend.name for _ in range(3)] == ["a", "b", "b"]


def test_what_the_hand_did_and_no_file_can_say_stays() -> None:
    stage = Stage(web("abc"))
    stage.balancer.command(Drain("web", "a"), 0.0)
    stage.balancer.command(Disable("web", "b"), 0.0)
    stage.reload(web("abc", algorithm="least_connections"))
    assert {stage.get(2.0) for _ in range(3)} == {"c"}
    stage.balancer.command(Add("web", BackendConfig("d")), 3.0)
    assert stage.reload(web("abc"), at=4.0)[0] == Left(4.0, "web", "d", 0)


def test_a_belief_outlives_its_check() -> None:
    def checked(**words: Any) -> PoolConfig:
        return web("ab", health=HealthCheck(interval=Seconds(10), timeout=Seconds(1), **words))

    stage = Stage(checked(fall=1))
    for probe in stage.balancer.tick(9.0):
        stage.balancer.probed(probe.backend, ProbeResult(probe.backend.name == "b", "so"), 9.0)
    assert [one.health for one in stage.balancer.snapshot()[0].backends] == ["down", "up"]
    stage.reload(checked(fall=3, rise=1, initial="unchecked"), at=9.5)
    assert [one.health for one in stage.balancer.snapshot()[0].backends] == ["down", "up"]
    stage.reload(web("ab"), at=9.6)
    assert [one.health for one in stage.balancer.snapshot()[0].backends] == ["up", "up"]
    stage.reload(checked(initial="unchecked"), at=9.7)
    assert [one.health for one in stage.balancer.snapshot()[0].backends] == ["up", "up"], "nobody said otherwise"


def test_a_shorter_interval_counts_at_once_and_a_probe_on_its_way_is_heard() -> None:
    def checked(interval: float) -> PoolConfig:
        return web("a", health=HealthCheck(interval=Seconds(interval), timeout=Seconds(1), fall=1))

    stage = Stage(checked(60))
    (probe,) = stage.balancer.tick(0.0)
    stage.reload(checked(2))
    stage.balancer.probed(probe.backend, ProbeResult(False, "so"), 1.5)
    assert stage.told(HealthChanged)[0].now == "down"
    assert stage.balancer.next_deadline() == 3.0


def test_a_newcomer_is_probed_at_once() -> None:
    check = HealthCheck(interval=Seconds(10), initial="unchecked")
    stage = Stage(web("a", health=check))
    stage.reload(web("ab", health=check), at=5.0)
    assert "b" in [probe.backend.name for probe in stage.balancer.tick(5.0)]


def test_a_newcomer_starts_slowly_and_those_that_stay_do_not() -> None:
    stage = Stage(web("a", slow_start=Seconds(10)))
    stage.reload(web("ab", slow_start=Seconds(10)))
    assert [one.weight for one in stage.balancer.snapshot()[0].backends] == [1, 0.1]


def test_a_newcomer_that_has_to_be_checked_first_starts_slowly_then() -> None:
    check = HealthCheck(initial="unchecked")
    stage = Stage(web("", slow_start=Seconds(10), health=check))
    stage.reload(web("a", slow_start=Seconds(10), health=check))
    (probe,) = stage.balancer.tick(1.0)
    stage.balancer.probed(probe.backend, ProbeResult(True, "200"), 2.0)
    assert probe.backend.weight == 0.1


PASSIVE = PassiveCheck(fails=1, eject=Seconds(30))


@pytest.mark.parametrize(("after", "still"), [(PASSIVE, True), (PassiveCheck(fails=9), True), (None, False)])
def test_an_ejection_lasts_as_long_as_there_is_a_passive_check(after: PassiveCheck | None, still: bool) -> None:
    stage = Stage(web("ab", passive=PASSIVE))
    stage.ask()
    stage.balancer.finish(1, REFUSED, 0.5)
    told = stage.reload(web("ab", passive=after))
    assert [event for event in told if isinstance(event, Readmitted)] == (
        [] if still else [Readmitted(1.0, "web", "a")]
    )
    assert {stage.get(2.0) for _ in range(4)} == ({"b"} if still else {"a", "b"})
    assert stage.balancer.next_alarm == (30.5 if still else float("inf"))
    stage.balancer.tick(31.0)
    assert {stage.get(31.0) for _ in range(4)} == {"a", "b"}


def test_what_was_due_about_one_that_left_is_due_no_more() -> None:
    stage = Stage(web("ab", passive=PASSIVE))
    stage.ask()
    stage.balancer.finish(1, REFUSED, 0.5)
    stage.reload(web("b", passive=PASSIVE))
    assert stage.balancer.next_alarm == float("inf")


# -- what pools remember


class Counting:
    """A learner's algorithm, and what it was offered."""

    def __init__(self) -> None:
        self.offered: list[tuple[Backend, ...]] = []

    def pick(self, request: Request, backends: tuple[Backend, ...]) -> Backend:
        self.offered.append(backends)
        return backends[0]


@pytest.mark.parametrize(("after", "turn"), [("round_robin", "b"), ({"name": "round_robin"}, "a")])
def test_an_algorithm_goes_on_where_it_was_as_long_as_it_is_configured_alike(after: AlgorithmConfig, turn: str) -> None:
    stage = Stage(web("ab"))
    assert stage.get() == "a"
    stage.reload(web("ab", algorithm=after, retry=Retry(attempts=2)))
    assert stage.get(2.0) == turn


def test_the_algorithm_of_a_learner_stays_in_its_place() -> None:
    mine = Counting()
    balancer = Balancer([web("ab")], [Route("web")], rng=Random(1), algorithms={"web": mine})
    balancer.reconfigure([web("abc", algorithm="random")], [Route("web")], 1.0)
    balancer.arrive(Request(1, 2.0))
    assert [[backend.name for backend in offered] for offered in mine.offered] == [["a", "b", "c"]]


@pytest.mark.parametrize("sticky", [Sticky(cookie="S"), Sticky(source=True)], ids=["cookie", "source"])
def test_clients_stay_where_they_are_until_stickiness_is_configured_otherwise(sticky: Sticky) -> None:
    stage = Stage(web("ab", sticky=sticky))
    jar = {"cookie": stage.ask().set_cookie.partition(";")[0]}
    stage.get()
    stage.reload(web("abc", sticky=sticky, algorithm="random"))
    assert {stage.get(2.0, headers=jar) for _ in range(8)} == {"a"}
    other = Sticky(sticky.cookie, sticky.source, ttl=Seconds(99))
    stage.reload(web("abc", sticky=other), at=3.0)
    before = len(stage.told(Picked))
    stage.get(3.0, headers=jar)
    assert stage.told(Picked)[before].because == "algorithm"


def test_the_cookie_of_a_newcomer_is_known() -> None:
    sticky = Sticky(cookie="S")
    stage = Stage(web("a", sticky=sticky))
    stage.reload(web("b", sticky=sticky))
    jar = {"cookie": stage.ask(2.0).set_cookie.partition(";")[0]}
    stage.reload(web("ab", sticky=sticky), at=3.0)
    assert {stage.get(3.0, headers=jar) for _ in range(4)} == {"b"}


@pytest.mark.parametrize(("attempts", "fresh"), [(2, False), (3, True)])
def test_a_budget_that_was_spent_stays_spent_until_the_rule_is_another(attempts: int, fresh: bool) -> None:
    stage = Stage(web("ab", retry=Retry(attempts=2, budget=0.0)))

    def is_retried() -> bool:
        forward = stage.ask()
        again = stage.balancer.finish(forward.request, REFUSED, 0.0)
        if again is not None:
            stage.balancer.finish(forward.request, OK, 0.0)
        return again is not None

    assert [is_retried() for _ in range(FLOOR + 1)] == [True] * FLOOR + [False]
    stage.reload(web("ab", retry=Retry(attempts=attempts, budget=0.0)), at=0.0)
    assert is_retried() == fresh


# -- pools and routes


def test_requests_of_a_pool_that_is_gone_still_end() -> None:
    stage = Stage(web("ab", retry=Retry(attempts=2)))
    backend = stage.ask().backend
    told = stage.reload(PoolConfig("api", backends=(BackendConfig("a"),)), routes=(Route("api"),))
    assert told == [
        Left(1.0, "web", "a", 1),
        Left(1.0, "web", "b", 0),
        Joined(1.0, "api", "a", 1, "up"),
        Reloaded(1.0, "pool api is new; pool web is gone; route / to 'api' is new; route / to 'web' is gone"),
    ]
    assert stage.ask(2.0).pool == "api"
    assert stage.balancer.finish(1, REFUSED, 3.0) is None
    assert stage.told(Finished)[-1].because == "no other backend is available"
    stage.balancer.probed(backend, ProbeResult(True, "200"), 4.0)
    assert not stage.balancer.has(backend)


def test_who_waits_for_a_pool_that_is_gone_is_turned_away() -> None:
    full = PoolConfig("web", backends=(BackendConfig("a", limit=1),), queue=Seconds(9))
    stage = Stage(full)
    stage.ask()
    assert isinstance(stage.balancer.arrive(Request(9, 0.0)), Wait)
    stage.reload(PoolConfig("api"), routes=(Route("api"),))
    assert stage.balancer.take_decided() == [Reject(9, 503, "pool web is gone")]
    assert [(event.request, event.at) for event in stage.told(Rejected)] == [(9, 1.0)]
    assert (stage.balancer.waiting_requests, stage.balancer.next_alarm) == (0, float("inf"))


def test_who_waits_for_room_is_let_in_by_a_newcomer() -> None:
    def limited(names: str) -> PoolConfig:
        members = tuple(BackendConfig(name, limit=1) for name in names)
        return PoolConfig("web", backends=members, queue=Seconds(9))

    stage = Stage(limited("a"))
    stage.ask()
    stage.balancer.arrive(Request(9, 0.0))
    stage.reload(limited("ab"))
    (forward,) = stage.balancer.take_decided()
    assert isinstance(forward, Forward)
    assert forward.backend.name == "b"


def test_who_backs_off_is_tried_among_the_members_of_that_moment() -> None:
    stage = Stage(web("ab", retry=Retry(attempts=2, backoff=Seconds(1))))
    stage.ask()
    wait = stage.balancer.finish(1, REFUSED, 0.5)
    assert isinstance(wait, Wait)
    stage.reload(web("ac"))
    stage.balancer.tick(wait.until)
    (forward,) = stage.balancer.take_decided()
    assert isinstance(forward, Forward)
    assert forward.backend.name == "c"


def test_routes_are_the_new_ones_and_a_shift_is_over() -> None:
    pools = (web("a"), PoolConfig("green", backends=(BackendConfig("g"),)))
    routes = (Route("web", name="main"),)
    stage = Stage(*pools, routes=routes)
    stage.balancer.command(Shift("main", {"green": 1}), 0.0)
    assert stage.get() == "g"
    stage.reload(*pools, routes=routes)
    assert stage.get(2.0) == "a"


NEVER = [
    ((web(algorithm="random"), PoolConfig("x", "no_such")), (Route("web"),)),
    ((web("abc"), web("d")), (Route("web"),)),
    ((web("aa"),), (Route("web"),)),
    ((web("abc"),), (Route("wbe"),)),
    ((PoolConfig("web", backends=(BackendConfig("a", weight=-1),)),), (Route("web"),)),
    ((web("abc"),), (Route("web", name="x"), Route("web", path="/y", name="x"))),
]


@pytest.mark.parametrize(("pools", "routes"), NEVER, ids=["algorithm", "pool", "member", "route", "weight", "name"])
def test_what_cannot_be_changes_nothing(pools: tuple[PoolConfig, ...], routes: tuple[Route, ...]) -> None:
    def run(tried: bool) -> tuple[object, ...]:
        retry = Retry(attempts=2, backoff=Seconds(1))
        stage = Stage(web("abc", algorithm="random", retry=retry, sticky=Sticky(cookie="S")))
        stage.ask()
        if tried:
            with pytest.raises(ConfigError):
                stage.reload(*pools, routes=routes)
        picks = [stage.get(2.0) for _ in range(8)]
        return picks, stage.balancer.finish(1, REFUSED, 3.0), stage.balancer.snapshot(), stage.events

    assert run(True) == run(False)


def test_a_configuration_that_is_the_same_changes_nothing_but_says_so() -> None:
    stage = Stage(web("ab"))
    assert stage.get() == "a"
    assert stage.reload(web("ab")) == [Reloaded(1.0, "nothing is different")]
    assert stage.get(2.0) == "b"


def test_what_is_different_is_told_in_words() -> None:
    before = [web("ab"), PoolConfig("old"), PoolConfig("same")]
    after = [
        PoolConfig("web", "random", (BackendConfig("c"), BackendConfig("b", 3, limit=2)), panic=0.5),
        PoolConfig("new"),
        PoolConfig("same"),
    ]
    routes = (Route("web"), Route("same", path="/same"))
    assert what_changed(before, after, routes, (Route("new", path="/new", host="a.com"), Route("web"))) == (
        "pool new is new; pool old is gone; pool web: c joins, a leaves, b has another weight and limit, "
        "another algorithm and panic; route a.com/new to 'new' is new; route /same to 'same' is gone"
    )
    assert what_changed([web("ab")], [web("ba")], routes, routes[::-1]) == (
        "pool web: another order; the routes are in another order"
    )


# -- any order of things


names = st.lists(st.sampled_from("abcd"), unique=True, max_size=4)
pools = st.builds(
    lambda members, algorithm, limit, retry, passive, sticky, queue: PoolConfig(
        "web",
        algorithm,
        tuple(BackendConfig(name, limit=limit, address=f"10.0.0.1:{80 + (limit or 0)}") for name in members),
        retry=Retry(attempts=2, backoff=Seconds(1)) if retry else Retry(),
        passive=PASSIVE if passive else None,
        sticky=Sticky(source=True) if sticky else None,
        queue=Seconds(3) if queue else None,
    ),
    names,
    st.sampled_from(["round_robin", "least_connections", "random"]),
    st.sampled_from([None, 1, 2]),
    *[st.booleans()] * 4,
)
others = st.none() | names.map(lambda members: PoolConfig("other", backends=tuple(map(BackendConfig, members))))
steps = st.tuples(st.sampled_from(["ask", "ask", "ask", "ok", "fail", "tick"]), st.integers(0, 5)) | st.tuples(
    pools, others
)


@given(pools, st.lists(steps, max_size=30))
def test_counts_stay_true_and_every_request_ends_once_in_any_run(first: PoolConfig, program: list[Any]) -> None:
    stage, deaf = Stage(first), Balancer([first], [Route("web")], rng=Random(1))
    open_: dict[int, Backend] = {}
    now = 0.0

    def took(decision: object, other: object) -> None:
        assert type(decision) is type(other)
        if isinstance(decision, Forward):
            assert isinstance(other, Forward)
            assert decision.backend.name == other.backend.name
            open_[decision.request] = decision.backend

    for what, which in program:
        now += 0.5
        if isinstance(what, PoolConfig):
            after = [what] if which is None else [what, which]
            routes = [Route("web")] if which is None else [Route("web"), Route("other", path="/o")]
            for balancer in (stage.balancer, deaf):
                balancer.reconfigure(after, routes, now)
            assert stage.members() == [f"{pool.name}/{member.name}" for pool in after for member in pool.backends]
        elif what == "ask":
            stage.requests += 1
            request = Request(stage.requests, now, client=f"10.0.0.{which}", path="/o" if which == 5 else "/")
            took(stage.balancer.arrive(request), deaf.arrive(request))
        elif what == "tick":
            stage.balancer.tick(now)
            deaf.tick(now)
        elif open_:
            request_id = list(open_)[which % len(open_)]
            del open_[request_id]
            outcome = OK if what == "ok" else REFUSED
            took(stage.balancer.finish(request_id, outcome, now), deaf.finish(request_id, outcome, now))
        for decided, other in zip(stage.balancer.take_decided(), deaf.take_decided(), strict=True):
            took(decided, other)
        held = Counter(id(backend) for backend in open_.values())
        assert all(backend.in_flight == held[id(backend)] for backend in open_.values())
        assert sum(one.in_flight for pool in stage.balancer.snapshot() for one in pool.backends) == sum(
            stage.balancer.has(backend) for backend in open_.values()
        )
        assert stage.balancer.open_requests == len(open_)
        assert stage.balancer.snapshot() == deaf.snapshot()
    ends = [event.request for event in stage.told(Rejected)]
    ends += [event.request for event in stage.told(Finished) if event.final]
    assert max(Counter(ends).values(), default=0) <= 1
    assert len(ends) + len(open_) + stage.balancer.waiting_requests == stage.requests
