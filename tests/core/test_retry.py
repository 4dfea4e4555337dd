"""Retries: what may be tried again, what it costs, and how long it waits."""

from __future__ import annotations

from collections.abc import Mapping
from random import Random
from typing import Any, TypeVar, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lbtutor.core.balancer import Balancer
from lbtutor.core.errors import ConfigError, ContractError
from lbtutor.core.events import BackedOff, ContractBroken, Event, Finished, Picked, Rejected
from lbtutor.core.messages import (
    BackendConfig,
    Disable,
    Enable,
    Forward,
    Outcome,
    OutcomeKind,
    Reject,
    Request,
    Wait,
)
from lbtutor.core.pool import PoolConfig
from lbtutor.core.retry import FLOOR, IDEMPOTENT, LONGEST_WAIT, MOST_SAVED, Budget, Retries, Retry
from lbtutor.core.routing import Route
from lbtutor.core.units import Seconds

UNSENT: set[OutcomeKind] = {"refused", "unreachable", "untrusted"}

EVERYTHING = Retry(attempts=3, on=("connect", "close", "invalid", "timeout", "503"))


def forbids(
    outcome: Outcome, method: str = "GET", attempt: int = 1, repeatable: bool = True, others: bool = True
) -> str:
    request = Request(1, 0.0, method=method, attempt=attempt)
    return Retries(EVERYTHING).forbids(request, outcome, repeatable=repeatable, others=others)


@pytest.mark.parametrize(
    ("on", "kinds"),
    [
        (("connect",), UNSENT),
        (("close",), {"closed"}),
        (("invalid",), {"invalid"}),
        (("timeout",), {"timed_out"}),
        ((), set()),
        (("connect", "close", "invalid", "timeout"), UNSENT | {"closed", "invalid", "timed_out"}),
    ],
)
def test_a_word_stands_for_its_failures(on: tuple[str, ...], kinds: set[str]) -> None:
    retries = Retries(Retry(attempts=2, on=on))
    wanted = {kind for kind in get_args(OutcomeKind) if retries.wants(Outcome(kind, 502))}
    assert wanted == kinds


def test_a_status_stands_for_answers_with_it() -> None:
    retries = Retries(Retry(attempts=2, on=("502", "503")))
    assert [status for status in (200, 500, 502, 503, 504) if retries.wants(Outcome.answered(status))] == [502, 503]
    assert not retries.wants(Outcome.failed("closed")), "its status is 502, but nobody answered that"


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"])
def test_an_idempotent_request_may_go_again_after_it_was_sent(method: str) -> None:
    assert forbids(Outcome.failed("closed"), method) == ""
    assert forbids(Outcome.answered(503), method) == ""


@pytest.mark.parametrize("method", ["POST", "PATCH", "CONNECT", "LOCK", "get", "TCP", "UDP"])
def test_any_other_request_may_go_again_only_if_no_connection_was_made(method: str) -> None:
    for kind in ("closed", "invalid", "timed_out"):
        assert forbids(Outcome.failed(kind), method) == f"{method} is not idempotent"
    assert forbids(Outcome.answered(503), method) == f"{method} is not idempotent"
    for kind in UNSENT:
        assert forbids(Outcome.failed(kind), method) == ""


def test_a_body_that_is_gone_is_sent_to_nobody_else() -> None:
    assert forbids(Outcome.failed("closed"), "PUT", repeatable=False) == "its body cannot be sent again"
    assert forbids(Outcome.failed("refused"), "POST", repeatable=False) == "its body cannot be sent again"


def test_attempts_count_all_tries() -> None:
    assert [forbids(Outcome.failed("refused"), attempt=attempt) for attempt in (1, 2, 3)] == [
        "",
        "",
        "3 of 3 tries made",
    ]


def test_somebody_must_be_left_to_try() -> None:
    assert forbids(Outcome.failed("refused"), others=False) == "no other backend is available"


def test_a_failure_that_is_not_listed_is_excused_and_an_answer_is_not() -> None:
    retries = Retries(Retry(attempts=2))
    assert retries.excuse(Outcome.failed("timed_out")) == "`on` does not list timeout"
    assert [retries.excuse(outcome) for outcome in (Outcome.answered(500), Outcome.failed("cancelled"))] == ["", ""]


# -- the budget


def test_a_quiet_pool_can_save_its_first_failures() -> None:
    retries = Retries(Retry(attempts=2, budget=0.1))
    budget, refused = retries.budget, Outcome.failed("refused")
    assert budget is not None
    for _ in range(FLOOR):
        assert retries.forbids(Request(1, 0.0), refused, repeatable=True, others=True) == ""
        budget.spend()
    assert retries.forbids(Request(1, 0.0), refused, repeatable=True, others=True) == "the retry budget is spent"


@pytest.mark.parametrize(("share", "requests"), [(0.1, 10), (0.2, 5), (0.01, 100), (1.0, 1)])
def test_a_retry_is_earned_by_exactly_its_share_of_requests(share: float, requests: int) -> None:
    budget = Budget(share)
    for _ in range(FLOOR):
        budget.spend()
    spent = []
    for _ in range(requests):
        spent.append(budget.is_spent)
        budget.earn()
    assert spent == [True] * requests
    assert not budget.is_spent


def test_a_long_calm_saves_up_only_so_much() -> None:
    budget = Budget(0.5)
    for _ in range(10 * MOST_SAVED):
        budget.earn()
    for _ in range(MOST_SAVED):
        assert not budget.is_spent
        budget.spend()
    assert budget.is_spent


@given(st.integers(0, 100), st.lists(st.sampled_from(["request", "retry", "retry"]), max_size=300))
def test_retries_never_exceed_the_floor_and_their_share_of_the_requests(percent: int, program: list[str]) -> None:
    budget = Budget(percent / 100)
    requests = retries = 0
    for step in program:
        if step == "request":
            budget.earn()
            requests += 1
        elif not budget.is_spent:
            budget.spend()
            retries += 1
        else:
            assert retries + 1 > FLOOR + percent * requests / 100 - 1e-9, "nothing is refused that was earned"
        assert retries * 100 <= FLOOR * 100 + percent * requests


# -- the wait


def test_without_a_back_off_nothing_waits_and_no_die_is_rolled() -> None:
    rng = Random(1)
    before = rng.getstate()
    assert Retries(Retry(attempts=2)).wait(1, rng) == 0
    assert rng.getstate() == before


@given(st.integers(1, 50), st.integers(0, 1000))
def test_a_wait_is_between_nothing_and_its_bound(attempt: int, seed: int) -> None:
    wait = Retries(Retry(attempts=99, backoff=Seconds(0.025))).wait(attempt, Random(seed))
    assert 0 <= wait <= 0.025 * min(2**attempt, LONGEST_WAIT)


def test_waits_double_in_the_mean_up_to_five_times_the_back_off() -> None:
    retries, rng = Retries(Retry(attempts=9, backoff=Seconds(1))), Random(1)
    means = [sum(retries.wait(attempt, rng) for _ in range(4000)) / 4000 for attempt in (1, 2, 3, 4, 9)]
    assert means == pytest.approx([1, 2, 4, 5, 5], rel=0.05)


# -- the words


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ({"attempts": 0}, "`attempts` counts all tries"),
        ({"budget": -0.1}, "`budget` is a share"),
        ({"budget": 1.5}, "`budget` is a share"),
        ({"budget": float("nan")}, "`budget` is a share"),
        ({"backoff": Seconds(-1)}, "`backoff` is 0 or longer"),
        ({"backoff": Seconds("inf")}, "`backoff` is 0 or longer"),
        ({"on": ("conect",)}, "`on` knows no 'conect'; did you mean 'connect'?"),
        ({"on": ("timed_out",)}, "did you mean 'timeout'?"),
        ({"on": ("5xx",)}, "`on` knows no '5xx'; there is connect, close, invalid, timeout, 503"),
        ({"on": ("99",)}, "`on` knows no '99'"),
        ({"on": ("600",)}, "`on` knows no '600'"),
        ({"on": ("5030",)}, "`on` knows no '5030'"),
        ({"on": ("²²²",)}, "`on` knows no"),
        ({"on": ("",)}, "`on` knows no ''"),
    ],
)
def test_wishes_that_cannot_be_are_refused(words: Mapping[str, Any], says: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Retry(**words)
    assert says in str(caught.value)


# -- in the balancer


_E = TypeVar("_E")

REFUSED, CLOSED = Outcome.failed("refused"), Outcome.failed("closed")


class Stage:
    """A balancer that retries, and everything that it told."""

    def __init__(self, retry: Retry, names: str = "abc", seed: int = 1, **options: Any) -> None:
        self.events: list[Event] = []
        pool = PoolConfig("web", backends=tuple(map(BackendConfig, names)), retry=retry, **options)
        self.balancer = Balancer([pool], [Route("web")], rng=Random(seed), report=self.events.append)
        self.requests = 0

    def arrive(self, at: float = 0.0, method: str = "GET") -> Forward:
        self.requests += 1
        decision = self.balancer.arrive(Request(self.requests, at, method=method))
        assert isinstance(decision, Forward)
        return decision

    def told(self, kind: type[_E]) -> list[_E]:
        return [event for event in self.events if isinstance(event, kind)]

    @property
    def last(self) -> Finished:
        return self.told(Finished)[-1]


@pytest.mark.parametrize(
    ("retry", "method", "outcomes", "because"),
    [
        (Retry(attempts=2), "GET", [REFUSED, REFUSED], "2 of 2 tries made"),
        (Retry(attempts=9), "GET", [REFUSED, REFUSED, REFUSED], "no other backend is available"),
        (Retry(attempts=2), "POST", [CLOSED], "POST is not idempotent"),
        (Retry(attempts=2), "TCP", [CLOSED], "TCP is not idempotent"),
        (Retry(attempts=2), "GET", [Outcome.failed("timed_out")], "`on` does not list timeout"),
        (Retry(attempts=2), "GET", [Outcome.answered(200)], ""),
        (Retry(attempts=2), "GET", [Outcome.answered(503)], ""),
        (Retry(attempts=2), "GET", [Outcome.failed("cancelled")], ""),
        (Retry(), "GET", [REFUSED], ""),
    ],
)
def test_the_last_end_says_why_it_is_the_last(retry: Retry, method: str, outcomes: list[Outcome], because: str) -> None:
    stage = Stage(retry)
    stage.arrive(method=method)
    answers = [stage.balancer.finish(1, outcome, 1.0) for outcome in outcomes]
    assert [answer is None for answer in answers] == [False] * (len(outcomes) - 1) + [True]
    assert [(event.final, event.because) for event in stage.told(Finished)] == [(False, "")] * (len(outcomes) - 1) + [
        (True, because)
    ]


def test_a_body_that_is_gone_ends_the_request_at_its_first_failure() -> None:
    stage = Stage(Retry(attempts=3))
    stage.arrive(method="PUT")
    assert stage.balancer.finish(1, CLOSED, 1.0, repeatable=False) is None
    assert stage.last.because == "its body cannot be sent again"


def test_an_answer_worth_another_try_is_dropped_and_told() -> None:
    stage = Stage(Retry(attempts=2, on=("503",)))
    stage.arrive()
    sorry = Outcome.answered(503)
    assert stage.balancer.wants_again(1, sorry, 0.5)
    assert not stage.balancer.wants_again(1, Outcome.answered(502), 0.5)
    assert not stage.balancer.wants_again(1, sorry, 0.5, repeatable=False)
    assert isinstance(stage.balancer.finish(1, sorry, 0.5), Forward)
    assert (stage.last.outcome, stage.last.status, stage.last.final) == ("answered 503", 503, False)
    assert not stage.balancer.wants_again(1, sorry, 1.0), "two tries are all it has"
    assert stage.balancer.finish(1, sorry, 1.0) is None


def test_to_ask_for_another_try_changes_nothing() -> None:
    stage = Stage(Retry(attempts=2, budget=0.0, backoff=Seconds(1)))
    for _ in range(FLOOR):
        stage.arrive()
    told = list(stage.events)
    for request in range(1, FLOOR + 1):
        assert [stage.balancer.wants_again(request, REFUSED, 1.0) for _ in range(9)] == [True] * 9
    assert stage.events == told
    waits = [stage.balancer.finish(request, REFUSED, 1.0) for request in range(1, FLOOR + 1)]
    other = Stage(Retry(attempts=2, budget=0.0, backoff=Seconds(1)))
    for _ in range(FLOOR):
        other.arrive()
    assert waits == [other.balancer.finish(request, REFUSED, 1.0) for request in range(1, FLOOR + 1)]


def test_to_ask_about_what_is_not_under_way_is_a_broken_contract() -> None:
    with pytest.raises(ContractError, match="request 7 has no attempt under way"):
        Stage(Retry(attempts=2)).balancer.wants_again(7, REFUSED, 0.0)


def test_a_spent_budget_ends_what_could_have_been_saved_until_requests_earn_more() -> None:
    stage = Stage(Retry(attempts=2, budget=0.25))
    retried = []
    for number in range(1, 13):
        stage.arrive()
        again = stage.balancer.finish(number, REFUSED, 0.0)
        retried.append(again is not None)
        if again is not None:
            stage.balancer.finish(number, Outcome.answered(200), 0.0)
        else:
            assert stage.last.because == "the retry budget is spent"
    assert retried == [True, True, True, True, False, False, False, True, False, False, False, True]


# -- the back-off


def test_after_a_back_off_the_backend_is_chosen_then_and_not_before() -> None:
    stage = Stage(Retry(attempts=2, backoff=Seconds(1)))
    stage.arrive(at=1.0)
    wait = stage.balancer.finish(1, REFUSED, 2.0)
    assert isinstance(wait, Wait)
    assert 2.0 < wait.until <= 4.0
    assert stage.events[-1] == BackedOff(2.0, 1, "web", 2, wait.until)
    assert [event.final for event in stage.told(Finished)] == [False]
    assert stage.balancer.next_alarm == wait.until
    stage.balancer.command(Disable("web", "b"), 2.0)
    stage.balancer.tick(wait.until)
    (forward,) = stage.balancer.take_decided()
    assert isinstance(forward, Forward)
    assert (forward.backend.name, forward.attempt) == ("c", 2)
    assert stage.told(Picked)[-1].at == wait.until
    assert stage.balancer.finish(1, Outcome.answered(200), 9.0) is None
    assert stage.balancer.open_requests == stage.balancer.waiting_requests == 0


def test_when_nobody_is_there_after_a_back_off_the_client_gets_the_status_of_the_last_end() -> None:
    stage = Stage(Retry(attempts=2, backoff=Seconds(1), on=("timeout",)), "ab")
    stage.arrive()
    wait = stage.balancer.finish(1, Outcome.failed("timed_out"), 2.0)
    assert isinstance(wait, Wait)
    stage.balancer.command(Disable("web", "b"), 2.0)
    stage.balancer.tick(wait.until)
    assert stage.balancer.take_decided() == [Reject(1, 504, "no other backend is available")]
    (rejected,) = stage.told(Rejected)
    assert (rejected.at, rejected.status) == (wait.until, 504)
    assert stage.balancer.open_requests == stage.balancer.waiting_requests == 0


def test_a_client_may_leave_during_a_back_off() -> None:
    stage = Stage(Retry(attempts=2, backoff=Seconds(1)))
    stage.arrive()
    wait = stage.balancer.finish(1, REFUSED, 0.0)
    assert isinstance(wait, Wait)
    assert stage.balancer.finish(1, Outcome.failed("cancelled"), 0.001) is None
    assert stage.events[-1] == Rejected(
        0.001, 1, 499, "the client left first", "web", stage.told(Rejected)[-1].candidates
    )
    stage.balancer.tick(9.0)
    assert stage.balancer.take_decided() == []
    assert len(stage.told(Picked)) == 1


def test_waits_come_from_the_dice_of_the_balancer() -> None:
    def wait(seed: int) -> object:
        stage = Stage(Retry(attempts=2, backoff=Seconds(1)), seed=seed)
        stage.arrive()
        return stage.balancer.finish(1, REFUSED, 0.0)

    assert wait(1) == wait(1)
    assert wait(1) != wait(2)


# -- laws


kinds = st.sampled_from([kind for kind in get_args(OutcomeKind) if kind != "served"])
steps = st.tuples(
    st.sampled_from(["arrive", "arrive", "finish", "finish", "finish", "tick", "toggle"]),
    st.integers(0, 7),
    kinds,
    st.sampled_from([*sorted(IDEMPOTENT), "POST", "PATCH", "TCP"]),
    st.booleans(),
)


@given(
    st.integers(1, 4),
    st.none() | st.integers(0, 50),
    st.sampled_from([0.0, 0.5]),
    st.sets(st.sampled_from(["connect", "close", "invalid", "timeout", "503"])),
    st.lists(steps, max_size=60),
)
def test_the_laws_of_retries_hold_in_any_run(
    attempts: int, percent: int | None, backoff: float, on: set[str], program: list[Any]
) -> None:
    """Never after a request that is not idempotent was sent, nor when its body is gone; no more tries than allowed, no
    backend twice, no more retries than the budget; and `wants_again` tells what `finish` then does."""
    budget = None if percent is None else percent / 100
    stage = Stage(Retry(attempts, budget, tuple(on), Seconds(backoff)))
    open_: dict[int, str] = {}
    methods: dict[int, str] = {}
    tried: dict[int, list[str]] = {}
    now, retries = 0.0, 0

    def sent(forward: Forward) -> None:
        open_[forward.request] = forward.backend.name
        assert forward.backend.name not in tried.setdefault(forward.request, [])
        tried[forward.request].append(forward.backend.name)
        assert forward.attempt == len(tried[forward.request]) <= attempts

    for what, which, kind, method, repeatable in program:
        now += 0.25
        if what == "arrive":
            stage.requests += 1
            methods[stage.requests] = method
            decision = stage.balancer.arrive(Request(stage.requests, now, method=method))
            if isinstance(decision, Forward):
                sent(decision)
        elif what == "finish" and open_:
            request = list(open_)[which % len(open_)]
            outcome = Outcome.answered(503) if kind == "answered" else Outcome.failed(kind)
            wanted = stage.balancer.wants_again(request, outcome, now, repeatable)
            again = stage.balancer.finish(request, outcome, now, repeatable)
            del open_[request]
            assert (again is not None) == wanted
            retries += again is not None
            if again is not None:
                assert repeatable
                assert kind in UNSENT or methods[request] in IDEMPOTENT
                assert kind not in ("cut", "cancelled")
            if isinstance(again, Forward):
                sent(again)
        elif what == "tick":
            stage.balancer.tick(now)
        elif what == "toggle":
            name = "abc"[which % 3]
            stage.balancer.command(Disable("web", name) if repeatable else Enable("web", name), now)
        for decided in stage.balancer.take_decided():
            if isinstance(decided, Forward):
                sent(decided)
        assert budget is None or retries <= FLOOR + budget * stage.requests + 1e-9
    assert stage.balancer.open_requests == len(open_)
    assert not stage.told(ContractBroken)
