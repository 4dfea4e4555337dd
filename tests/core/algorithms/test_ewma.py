"""Peak EWMA: the vectors of Finagle's, and what becomes of the slow, the new and the dead."""

from __future__ import annotations

from collections import Counter
from math import exp
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lbtutor.core.algorithms.ewma import UNMEASURED, Cost, PeakEwma
from lbtutor.core.backend import Backend
from lbtutor.core.balancer import Balancer
from lbtutor.core.errors import ConfigError
from lbtutor.core.events import Finished, Joined
from lbtutor.core.messages import BackendConfig, Forward, Outcome, Request
from lbtutor.core.pool import PoolConfig
from lbtutor.core.retry import Retry
from lbtutor.core.routing import Route


def backends(*weights: float) -> tuple[Backend, ...]:
    """a, b, c … with these weights."""
    return tuple(
        Backend(BackendConfig(name, weight=weight), now=0.0) for name, weight in zip("abcdefgh", weights, strict=False)
    )


def request(at: float = 0.0, attempt: int = 1) -> Request:
    return Request(id=1, at=at, attempt=attempt)


def finished(backend: str, took: float, at: float = 0.0, outcome: Outcome | None = None) -> Finished:
    ended = outcome or Outcome.answered(200)
    return Finished(at, 1, 1, "web", backend, ended.says, ended.status, took, ended.ok, final=True)


def measured(pool: tuple[Backend, ...], *seconds: float, at: float = 0.0) -> PeakEwma:
    """A balancer of its own to which each of `pool` has answered once."""
    algorithm = PeakEwma()
    algorithm.pick(request(), pool)
    for backend, took in zip(pool, seconds, strict=False):
        algorithm.observe(finished(backend.name, took, at))
    return algorithm


def loads(algorithm: PeakEwma, pool: tuple[Backend, ...], at: float = 0.0) -> tuple[float | None, ...]:
    return algorithm.compare(request(at), pool).numbers


@pytest.mark.parametrize(("idle", "left"), [(0, 100), (5, 60.653), (10, 36.788), (20, 13.534)])
def test_a_cost_fades_as_if_answers_took_no_time(idle: float, left: float) -> None:
    assert Cost(100, at=3).now(3 + idle, tau=10) == pytest.approx(left, abs=0.001)


@pytest.mark.parametrize(
    ("cost", "took", "after", "becomes"),
    [
        (100, 20, 5, 68.52),
        (20, 100, 5, 100),
        (100, 100, 5, 100),
        (100, 80, 5, 92.13),
        (100, 20, 0, 100),
        (0, 20, 5, 20),
        (100, 20, 1e9, 20),
    ],
)
def test_a_peak_counts_at_once_and_anything_better_slowly(
    cost: float, took: float, after: float, becomes: float
) -> None:
    seen = Cost(cost, at=3).seen(took, 3 + after, tau=10)
    assert seen.seconds == pytest.approx(becomes, abs=0.005)
    assert seen.at == 3 + after


@given(
    st.lists(st.tuples(st.floats(0.001, 10), st.floats(0, 100)), min_size=1, max_size=20),
    st.floats(0.1, 100),
)
def test_a_cost_lies_between_the_last_answer_and_the_slowest(answers: list[tuple[float, float]], tau: float) -> None:
    cost, now = Cost(0, at=0), 0.0
    for took, after in answers:
        now += after
        cost = cost.seen(took, now, tau)
        slack = 1e-9 * cost.seconds
        assert took - slack <= cost.seconds <= max(took for took, _ in answers) + slack


def test_load_is_the_faded_cost_times_the_requests_it_would_have_by_weight() -> None:
    pool = backends(1, 1, 4)
    algorithm = measured(pool, 0.1, 0.2, 0.4)
    pool[1].in_flight, pool[2].in_flight = 2, 1
    assert loads(algorithm, pool) == pytest.approx((0.1, 0.2 * 3, 0.4 * 2 / 4))
    assert loads(algorithm, pool, at=10) == pytest.approx((0.1 / exp(1), 0.6 / exp(1), 0.2 / exp(1)))


def test_reading_a_cost_changes_nothing() -> None:
    pool = backends(1, 1)
    heard, alone = measured(pool, 0.1, 0.2), measured(pool, 0.1, 0.2)
    for at in (1.0, 2.0, 3.0):
        heard.compare(request(at), pool)
        heard.pick(request(at, attempt=2), pool)
    for algorithm in (heard, alone):
        algorithm.observe(finished("a", 0.05, at=4.0))
    assert loads(heard, pool, at=5) == loads(alone, pool, at=5)


@given(st.lists(st.floats(0.001, 2), min_size=2, max_size=6), st.integers(min_value=1, max_value=60))
def test_a_burst_does_not_herd(seconds: list[float], count: int) -> None:
    """Nobody got a request that another would have answered sooner."""
    pool = backends(*[1] * len(seconds))
    algorithm = measured(pool, *seconds)
    for _ in range(count):
        algorithm.pick(request(), pool).in_flight += 1
    expected = [took * backend.in_flight for took, backend in zip(seconds, pool, strict=True)]
    offered = [took * (backend.in_flight + 1) for took, backend in zip(seconds, pool, strict=True)]
    assert max(expected) <= min(offered) * (1 + 1e-9)


def test_one_that_never_answered_gets_one_request_and_no_second() -> None:
    pool = backends(1, 1, 1)
    algorithm = measured(pool, 0.5, 0.5)
    assert loads(algorithm, pool) == (0.5, 0.5, 0)
    assert algorithm.pick(request(), pool) is pool[2]
    pool[2].in_flight = 1
    assert loads(algorithm, pool) == (0.5, 0.5, UNMEASURED + 1)
    assert {algorithm.pick(request(), pool).name for _ in range(10)} == {"a", "b"}


def test_before_anything_is_known_a_pool_is_served_in_rotation() -> None:
    pool, algorithm = backends(1, 1, 1), PeakEwma()
    picked = []
    for _ in range(7):
        picked.append(algorithm.pick(request(), pool))
        picked[-1].in_flight += 1
    assert "".join(backend.name for backend in picked) == "abcabca"


def test_answers_that_took_no_time_tell_nothing_but_the_requests_in_flight() -> None:
    pool = backends(1, 1)
    algorithm = measured(pool, 0.0, 0.0)
    pool[0].in_flight, pool[1].in_flight = 3, 2
    assert loads(algorithm, pool) == (UNMEASURED + 3, UNMEASURED + 2)


def test_one_that_was_out_is_unmeasured_when_it_is_back() -> None:
    pool = backends(1, 1)
    algorithm = measured(pool, 0.1, 0.1)
    algorithm.pick(request(), pool[1:])
    algorithm.observe(finished("a", 9.0))
    back = (*pool,)
    assert algorithm.pick(request(), back) is pool[0]
    assert loads(algorithm, back) == (0, 0.1)


def test_a_retry_spends_nobodys_place_in_the_rotation() -> None:
    algorithm, pool = PeakEwma(), backends(1, 1, 1)
    assert algorithm.pick(request(), pool).name == "a"
    assert algorithm.pick(request(attempt=2), pool[1:]).name == "b"
    assert algorithm.pick(request(), pool).name == "b"


def test_one_slow_answer_is_enough_to_be_spared_until_it_has_faded() -> None:
    pool = backends(1, 1)
    algorithm = measured(pool, 0.01, 0.01)
    algorithm.observe(finished("a", 1.0, at=1.0))
    asked = []
    for tenth in range(10, 1000):
        chosen = algorithm.pick(request(tenth / 10), pool)
        asked.append(chosen.name)
        algorithm.observe(finished(chosen.name, 0.01, tenth / 10 + 0.01))
    spared = asked.index("a") / 10
    assert spared == pytest.approx(46, abs=1), "1 s fades to 10 ms in tau * ln 100 = 46 s"


def test_tau_says_how_soon_it_fades() -> None:
    pool, quick = backends(1), PeakEwma(tau=1)
    quick.pick(request(), pool)
    quick.observe(finished("a", 100.0))
    assert loads(quick, pool, at=1.0) == pytest.approx((36.788,), abs=0.001)


@pytest.mark.parametrize("kind", ["refused", "unreachable", "closed", "invalid", "timed_out", "cut"])
def test_an_attempt_that_brought_no_answer_counts_as_tau_at_least(kind: str) -> None:
    pool = backends(1, 1)
    for took, counted in ((0.001, 10.0), (60.0, 60.0)):
        algorithm = measured(pool, 0.02)
        algorithm.observe(finished("b", took, 0.0, Outcome.failed(kind)))  # type: ignore[arg-type]
        assert loads(algorithm, pool) == (0.02, counted)


@pytest.mark.parametrize("outcome", [Outcome.answered(200), Outcome.answered(500), Outcome.failed("cancelled")])
def test_errors_that_were_answered_and_clients_that_left_count_for_what_they_took(outcome: Outcome) -> None:
    pool = backends(1)
    algorithm = measured(pool)
    algorithm.observe(finished("a", 0.3, 0.0, outcome))
    assert loads(algorithm, pool) == (0.3,)


def test_one_that_refuses_at_once_is_asked_once_in_a_while_and_not_by_everybody() -> None:
    config = PoolConfig("web", "peak_ewma", tuple(BackendConfig(name) for name in "ab"), retry=Retry(2))
    balancer, asked = Balancer([config], [Route("web")], rng=Random(1)), Counter[str]()
    for number in range(3000):
        now = number / 10
        tried: Forward | None = None
        decision = balancer.arrive(Request(id=number, at=now))
        while isinstance(decision, Forward):
            tried = decision
            asked[tried.backend.name] += 1
            outcome = Outcome.failed("refused") if tried.backend.name == "b" else Outcome.answered(200)
            again = balancer.finish(number, outcome, now + 0.02)
            if again is None:
                break
            decision = again
        assert tried is not None
        assert tried.backend.name == "a"
    assert asked["a"] == 3000
    assert 300 / 10 / 7 <= asked["b"] <= 300 / 10 / 5, "10 s fade to 20 ms in tau * ln 500 = 62 s"


def test_what_happened_to_others_is_not_learned() -> None:
    pool = backends(1, 1)
    algorithm = measured(pool, 0.1, 0.1)
    algorithm.observe(Joined(0.0, "web", "a", 1, "up"))
    algorithm.observe(finished("gone", 9.0))
    assert loads(algorithm, pool) == (0.1, 0.1)
    PeakEwma().observe(finished("a", 9.0))


def test_a_namesake_that_came_later_is_not_known() -> None:
    pool, later = backends(1, 1), backends(1)[0]
    algorithm = measured(pool, 0.1, 0.1)
    changed = (later, pool[1])
    assert algorithm.pick(request(), changed) is later
    assert loads(algorithm, changed) == (0, 0.1)


@pytest.mark.parametrize("tau", [0, -1, float("inf"), float("nan"), "10s", True])
def test_a_tau_that_cannot_be_is_refused(tau: float) -> None:
    with pytest.raises(ConfigError, match="`tau` is seconds, more than 0, not"):
        PeakEwma(tau)
