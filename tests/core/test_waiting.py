"""The agenda against a dumb model; and who waits in a pool's queue, and how that ends."""

from __future__ import annotations

from math import inf
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lbtutor.core.balancer import Balancer
from lbtutor.core.errors import ConfigError, ContractError
from lbtutor.core.events import Candidate, Event, Picked, Queued, Rejected
from lbtutor.core.health import HealthCheck
from lbtutor.core.messages import (
    Add,
    BackendConfig,
    Decision,
    Disable,
    Drain,
    Enable,
    Forward,
    Outcome,
    ProbeResult,
    Reject,
    Remove,
    Request,
    SetWeight,
    Wait,
)
from lbtutor.core.pool import PoolConfig
from lbtutor.core.routing import Route
from lbtutor.core.units import Seconds
from lbtutor.core.waiting import LONGEST_LINE, Agenda

OK = Outcome.answered(200)
LEFT = Outcome.failed("cancelled")


class Diary:
    """Does what is due by writing it down."""

    def __init__(self) -> None:
        self.agenda = Agenda()
        self.done: list[tuple[str, str, float]] = []

    def wash(self, who: str, now: float) -> None:
        self.done.append(("wash", who, now))

    def feed(self, who: str, now: float) -> None:
        self.done.append(("feed", who, now))


def test_what_is_due_is_done_in_the_order_of_its_dates_and_then_of_its_entry() -> None:
    diary = Diary()
    for at, do, who in ((3.0, diary.wash, "a"), (1.0, diary.feed, "a"), (3.0, diary.feed, "b"), (2.0, diary.wash, "b")):
        diary.agenda.put(at, do, who)
    assert diary.agenda.next == 1.0
    diary.agenda.attend(2.9)
    assert diary.done == [("feed", "a", 2.9), ("wash", "b", 2.9)]
    diary.agenda.attend(3.0)
    assert diary.done[2:] == [("wash", "a", 3.0), ("feed", "b", 3.0)]
    assert (diary.agenda.next, len(diary.agenda)) == (inf, 0)


def test_what_an_entry_puts_down_for_now_is_done_at_once() -> None:
    diary = Diary()

    def twice(who: str, now: float) -> None:
        diary.agenda.put(now, diary.wash, who)

    diary.agenda.put(1.0, twice, "a")
    diary.agenda.attend(1.0)
    assert diary.done == [("wash", "a", 1.0)]


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["put", "put", "drop", "attend"]),
            st.sampled_from(["wash", "feed"]),
            st.sampled_from("abc"),
            st.integers(min_value=0, max_value=5),
        ),
        max_size=80,
    )
)
def test_the_agenda_is_a_dumb_list_of_one_date_for_each_matter(steps: list[tuple[str, str, str, int]]) -> None:
    diary, dates, now, number = Diary(), dict[tuple[str, str], tuple[float, int]](), 0.0, 0
    for step, what, who, wait in steps:
        do = diary.wash if what == "wash" else diary.feed
        if step == "put":
            number += 1
            dates[what, who] = (now + wait, number)
            diary.agenda.put(now + wait, do, who)
        elif step == "drop":
            dates.pop((what, who), None)
            diary.agenda.drop(do, who)
        else:
            now += wait
            due = sorted((date, matter) for matter, date in dates.items() if date[0] <= now)
            diary.agenda.attend(now)
            assert diary.done == [(*matter, now) for _, matter in due]
            diary.done.clear()
            for _, matter in due:
                del dates[matter]
        assert diary.agenda.next == min((at for at, _ in dates.values()), default=inf)
        assert len(diary.agenda) == len(dates)


def test_dates_that_were_dropped_do_not_pile_up() -> None:
    diary = Diary()
    diary.agenda.put(0.5, diary.wash, "first")
    for number in range(10_000):
        diary.agenda.put(1000.0, diary.feed, str(number))
        diary.agenda.drop(diary.feed, str(number))
    assert len(diary.agenda._heap) < 100
    assert (diary.agenda.next, len(diary.agenda)) == (0.5, 1)


class Stage:
    """A balancer with one pool whose members take one request at a time, and a queue of two seconds."""

    def __init__(self, names: str = "ab", *, limit: int | None = 1, **options: Any) -> None:
        self.events: list[Event] = []
        members = tuple(BackendConfig(name, limit=limit) for name in names)
        options = {"queue": Seconds(2)} | options
        config = PoolConfig("web", "least_connections", members, **options)
        self.balancer = Balancer([config], [Route("web")], rng=Random(1), report=self.events.append)
        self.requests = 0

    def arrive(self, at: float = 0.0) -> Decision:
        self.requests += 1
        return self.balancer.arrive(Request(id=self.requests, at=at))

    def fill(self, count: int, at: float = 0.0) -> list[Decision]:
        return [self.arrive(at) for _ in range(count)]

    def decided(self) -> list[str]:
        """Who goes where, and who is turned away: "3 to a", "4: 503"."""
        return [
            f"{one.request} to {one.backend.name}" if isinstance(one, Forward) else f"{one.request}: {one.status}"
            for one in self.balancer.take_decided()
            if isinstance(one, Forward | Reject)
        ]

    def told(self, kind: type[Any]) -> list[Any]:
        return [event for event in self.events if isinstance(event, kind)]


def test_who_finds_everybody_full_waits_its_turn_and_the_first_in_line_goes_first() -> None:
    stage = Stage()
    assert [type(decision) for decision in stage.fill(4)] == [Forward, Forward, Wait, Wait]
    assert stage.told(Queued) == [
        Queued(0.0, 3, "web", 1, 2.0, "every backend is full"),
        Queued(0.0, 4, "web", 2, 2.0, "every backend is full"),
    ]
    assert stage.decided() == []
    stage.balancer.finish(2, OK, now=1.0)
    assert stage.decided() == ["3 to b"]
    stage.balancer.finish(1, OK, now=1.5)
    assert stage.decided() == ["4 to a"]
    assert [(picked.at, picked.attempt) for picked in stage.told(Picked)[2:]] == [(1.0, 1), (1.5, 1)]
    assert (stage.balancer.open_requests, stage.balancer.waiting_requests) == (2, 0)


def test_time_in_the_queue_is_no_latency_of_the_backend() -> None:
    stage = Stage("a")
    stage.fill(2)
    stage.balancer.finish(1, OK, now=1.0)
    (forward,) = stage.balancer.take_decided()
    assert isinstance(forward, Forward)
    stage.balancer.finish(2, OK, now=2.0)
    assert forward.backend.latency == 1.0


def test_patience_ends_in_a_503_that_says_how_long_it_was() -> None:
    stage = Stage("a")
    stage.fill(1)
    stage.fill(1, at=0.5)
    assert stage.balancer.next_deadline() == stage.balancer.next_alarm == 2.5
    stage.balancer.tick(2.4)
    assert stage.balancer.take_decided() == []
    stage.balancer.tick(2.5)
    assert stage.balancer.take_decided() == [Reject(2, 503, "waited 2 s in the queue")]
    assert stage.told(Rejected) == [
        Rejected(2.5, 2, 503, "waited 2 s in the queue", "web", (Candidate("a", None, "full, 1 of 1"),))
    ]
    assert stage.balancer.next_deadline() is None


def test_a_client_that_leaves_the_line_lets_the_next_one_move_up() -> None:
    stage = Stage("a")
    stage.fill(3)
    assert stage.balancer.finish(2, LEFT, now=1.0) is None
    assert [(event.status, event.because) for event in stage.told(Rejected)] == [(499, "the client left first")]
    stage.balancer.finish(1, OK, now=1.5)
    assert stage.decided() == ["3 to a"]


def test_what_waits_has_no_attempt_that_could_end() -> None:
    stage = Stage("a")
    stage.fill(2)
    with pytest.raises(ContractError, match="request 2 has no attempt under way"):
        stage.balancer.finish(2, OK, now=1.0)
    with pytest.raises(ContractError, match="request 2 is under way already"):
        stage.balancer.arrive(Request(id=2, at=1.0))
    assert stage.balancer.waiting_requests == 1


def test_without_a_queue_the_full_turn_requests_away() -> None:
    stage = Stage("a", queue=None)
    assert stage.fill(2)[1] == Reject(2, 503, "every backend is full")


def test_nobody_waits_for_those_that_are_not_there() -> None:
    stage = Stage("a")
    stage.balancer.command(Disable("web", "a"), now=0.0)
    assert stage.arrive() == Reject(1, 503, "no backend is available")


def test_a_line_has_an_end() -> None:
    stage = Stage("a")
    stage.fill(1 + LONGEST_LINE)
    refused = stage.arrive()
    assert refused == Reject(stage.requests, 503, f"every backend is full, and so is the queue with {LONGEST_LINE}")


@pytest.mark.parametrize(
    "command",
    [Add("web", BackendConfig("c")), Enable("web", "b"), SetWeight("web", "b", 2)],
    ids=["a newcomer", "an end of maintenance", "a weight"],
)
def test_whoever_comes_in_is_given_those_that_wait(command: Any) -> None:
    stage = Stage()
    stage.balancer.command(SetWeight("web", "b", 0) if isinstance(command, SetWeight) else Disable("web", "b"), 0.0)
    stage.fill(2)
    assert stage.decided() == []
    stage.balancer.command(command, now=1.0)
    assert stage.decided() == [f"2 to {'c' if isinstance(command, Add) else 'b'}"]


def test_those_that_wait_outlast_a_pool_that_goes_down_and_up_again() -> None:
    stage = Stage("a", health=HealthCheck(interval=Seconds(1), timeout=Seconds(1), rise=1, fall=1))
    stage.fill(2)
    (probe,) = stage.balancer.tick(0.0)
    stage.balancer.probed(probe.backend, ProbeResult(False, "500"), 0.1)
    stage.balancer.finish(1, OK, now=0.2)
    assert stage.decided() == []
    stage.balancer.tick(1.0)
    stage.balancer.probed(probe.backend, ProbeResult(True, "200"), 1.1)
    assert stage.decided() == ["2 to a"]


@pytest.mark.parametrize("command", [Drain("web", "a"), Disable("web", "a"), Remove("web", "a")])
def test_who_waits_is_not_given_one_that_the_operator_took_out(command: Any) -> None:
    stage = Stage()
    stage.fill(3)
    stage.balancer.command(command, now=0.5)
    stage.balancer.finish(1, OK, now=1.0)
    assert stage.decided() == []
    stage.balancer.finish(2, OK, now=1.5)
    assert stage.decided() == ["3 to b"]


def test_one_whose_limit_is_lowered_takes_nobody_until_it_is_below() -> None:
    stage = Stage("a", limit=3)
    stage.fill(4)
    pool = PoolConfig("web", "least_connections", (BackendConfig("a", limit=1),), queue=Seconds(2))
    stage.balancer.reconfigure([pool], [Route("web")], now=0.5)
    for request, decided in ((1, []), (2, []), (3, ["4 to a"])):
        stage.balancer.finish(request, OK, now=1.0)
        assert stage.decided() == decided


def test_a_limit_that_is_raised_lets_in_those_that_wait() -> None:
    stage = Stage("a", limit=1)
    stage.fill(4)
    pool = PoolConfig("web", "least_connections", (BackendConfig("a", limit=3),), queue=Seconds(2))
    stage.balancer.reconfigure([pool], [Route("web")], now=0.5)
    assert stage.decided() == ["2 to a", "3 to a"]


def test_an_algorithm_that_breaks_its_contract_in_mid_queue_costs_that_request_alone() -> None:
    stage = Stage("a")
    stage.fill(3)

    def broken(request: Request, backends: object) -> object:
        raise RuntimeError("no")

    pool = stage.balancer._pools["web"]
    pick, pool.algorithm.pick = pool.algorithm.pick, broken  # type: ignore[method-assign, assignment]
    stage.balancer.finish(1, OK, now=1.0)
    assert stage.decided() == ["2: 500", "3: 500"]
    pool.algorithm.pick = pick  # type: ignore[method-assign]
    assert isinstance(stage.arrive(2.0), Forward)


@pytest.mark.parametrize("wrong", [{"queue": Seconds(0)}, {"slow_start": Seconds(0)}])
def test_a_wait_is_longer_than_nothing(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="must be longer than 0; leave it out"):
        PoolConfig("web", **wrong)
