"""Metrics: exact counts, latencies from arrival to the final answer, and memory that does not grow."""

from __future__ import annotations

from collections.abc import Iterable
from random import Random

import msgspec
import pytest

from lbtutor.core.balancer import Balancer
from lbtutor.core.events import (
    Answered,
    Arrived,
    Ended,
    Event,
    Finished,
    HealthChanged,
    Joined,
    Missed,
    Picked,
    Rejected,
    Why,
)
from lbtutor.core.messages import BackendConfig, Forward, Outcome, Request
from lbtutor.core.pool import PoolConfig
from lbtutor.core.retry import Retry
from lbtutor.core.routing import Route
from lbtutor.trace.metrics import Metrics

WHY = Why("", "lowest", "", ())


def arrived(request: int, at: float) -> Arrived:
    return Arrived(at, request, "127.0.1.1", "GET", "", "/", "front")


def picked(request: int, at: float, backend: str = "a", attempt: int = 1, pool: str = "web") -> Picked:
    return Picked(at, request, attempt, pool, backend, "algorithm", WHY)


def finished(
    request: int, at: float, outcome: Outcome, backend: str = "a", attempt: int = 1, final: bool = True
) -> Finished:
    return Finished(at, request, attempt, "web", backend, outcome.says, outcome.status, 0.1, outcome.ok, final)


def folded(events: Iterable[Event]) -> Metrics:
    metrics = Metrics()
    for event in events:
        metrics.take(event)
    return metrics


OK = Outcome.answered(200)
REFUSED = Outcome.failed("refused")

STORY: list[Event] = [
    Joined(0.0, "web", "a", 1, "up"),
    Joined(0.0, "web", "b", 1, "up"),
    Joined(0.0, "api", "x", 1, "up"),
    arrived(1, 1.0),
    picked(1, 1.0, "a"),
    arrived(2, 1.1),
    picked(2, 1.1, "b"),
    finished(1, 1.4, OK, "a"),
    finished(2, 1.5, REFUSED, "b", final=False),
    picked(2, 1.5, "a", attempt=2),
    arrived(3, 1.6),
    Rejected(1.6, 3, 404, "no route for /", None, ()),
    arrived(4, 1.7),
    picked(4, 1.7, "a"),
    finished(2, 1.9, OK, "a", attempt=2),
    finished(4, 2.7, Outcome.answered(500), "a"),
    arrived(5, 2.8),
    picked(5, 2.8, "a"),
    finished(5, 2.9, Outcome.failed("closed"), "a"),
    arrived(6, 3.0),
    picked(6, 3.0, "x", pool="api"),
    HealthChanged(3.0, "web", "b", "up", "down", "…"),
    Ended(3.0, "lasted"),
]


def test_requests_are_counted_by_how_they_ended() -> None:
    counts = folded(STORY).requests
    assert (counts.total, counts.ok, counts.failed, counts.rejected, counts.retried) == (6, 2, 2, 1, 1)
    assert counts.under_way == 1


def test_backends_are_counted_by_attempts_and_share_their_pool_alone() -> None:
    backends = folded(STORY).backends
    assert list(backends) == ["web/a", "web/b", "api/x"], "in configuration order"
    a, b, x = backends.values()
    assert (a.picked, a.ok, a.failed, a.in_flight, a.share) == (4, 2, 2, 0, 0.8)
    assert (b.picked, b.ok, b.failed, b.in_flight, b.share) == (1, 0, 1, 0, 0.2)
    assert (x.picked, x.ok, x.failed, x.in_flight, x.share) == (1, 0, 0, 1, 1.0)


def test_a_latency_is_from_the_arrival_to_the_final_answer_and_failures_have_none() -> None:
    latency = folded(STORY).latency
    assert latency.count == 3
    assert latency.mean == pytest.approx((0.4 + 0.8 + 1.0) / 3)
    assert latency.max == pytest.approx(1.0)
    assert latency.p50 == pytest.approx(0.8, rel=0.01)


def test_how_long_a_tunnel_lives_is_no_latency() -> None:
    metrics = folded([arrived(1, 0.0), picked(1, 0.0), finished(1, 3600.0, Outcome.answered(101))])
    assert (metrics.requests.ok, metrics.latency.count) == (1, 0)


def test_errors_are_counted_by_kind() -> None:
    assert folded(STORY).errors_by_kind == {"rejected 404": 1, "answered 500": 1, "closed before an answer": 1}


def test_an_answer_that_is_not_http_is_no_answer() -> None:
    metrics = folded([arrived(1, 0.0), picked(1, 0.0), finished(1, 0.5, Outcome.failed("invalid"))])
    assert metrics.latency.count == 0
    assert metrics.requests.failed == 1


def test_the_summary_is_the_document_of_lab_run() -> None:
    summary = folded(STORY).summary()
    assert summary["requests"] == {"total": 6, "ok": 2, "failed": 2, "rejected": 1, "retried": 1}
    assert summary["backends"]["web/b"] == {"picked": 1, "ok": 0, "failed": 1, "share": 0.2}
    assert list(summary["latency"]) == ["mean", "p50", "p90", "p99", "max"]
    assert msgspec.json.decode(msgspec.json.encode(summary)) == summary


def test_without_requests_latencies_are_null_and_shares_nothing() -> None:
    summary = folded(STORY[:3]).summary()
    assert set(summary["latency"].values()) == {None}
    assert summary["backends"]["web/a"]["share"] == 0


def test_windows_look_at_the_last_seconds_alone() -> None:
    metrics = folded(STORY)
    assert metrics.rate(now=3.5, window=1.5) == pytest.approx(2 / 1.5)
    assert metrics.error_share(now=3.5, window=1.0) == 1.0
    assert metrics.error_share(now=3.5, window=3.5) == pytest.approx(3 / 5)
    assert metrics.p95(now=2.0, window=1.0) == pytest.approx(0.4, rel=0.01)
    assert metrics.p95(now=50.0, window=1.0) is None
    assert sum(moment.arrived for moment in metrics.history(now=3.5)) == 6


def test_events_that_were_missed_are_counted_and_break_nothing() -> None:
    without_picks = [event for event in STORY if not isinstance(event, Picked | Arrived)]
    metrics = folded([*without_picks, Missed(3.0, 12)])
    assert metrics.missed == 12
    assert all(backend.in_flight == 0 for backend in metrics.backends.values())
    assert metrics.requests.under_way == 0
    assert metrics.latency.mean == pytest.approx(0.1), "the last attempt is all that is known"


def test_memory_depends_on_the_requests_under_way_and_not_on_how_many_there_were() -> None:
    metrics = Metrics(keeps=5.0)
    for number in range(3000):
        at = number / 10
        metrics.take(arrived(number, at))
        metrics.take(picked(number, at))
        metrics.take(finished(number, at + 0.05, OK))
    assert metrics.requests.ok == 3000
    assert len(metrics._arrived_at) == 0
    assert len(metrics.history(now=300.0, window=1e9)) <= 11


def test_what_the_balancer_answers_by_a_route_is_ok_and_has_no_latency() -> None:
    told: list[Event] = [
        arrived(1, 1.0),
        Answered(1.0, 1, 308, "a redirect"),
        arrived(2, 1.1),
        Answered(1.1, 2, 503, "closed today"),
    ]
    metrics = folded(told)
    counts = metrics.requests
    assert (counts.total, counts.ok, counts.failed, counts.rejected, counts.under_way) == (2, 1, 1, 0, 0)
    assert metrics.errors_by_kind == {"answered 503": 1}
    assert metrics.latency.count == 0
    assert metrics.error_share(2.0) == 0.5
    assert len(metrics._arrived_at) == 0


def test_the_counts_of_a_real_balancers_trace_agree_with_the_balancer() -> None:
    rng, metrics = Random(1), Metrics()
    pool = PoolConfig("web", backends=tuple(map(BackendConfig, "abc")), retry=Retry(attempts=2))
    balancer = Balancer([pool], [Route("web", path="/web")], rng=Random(1), report=metrics.take)
    open_requests: list[int] = []
    ends = {"ok": 0, "failed": 0, "rejected": 0}
    for number in range(2000):
        request = Request(id=number, at=number / 100, path=rng.choice(["/web", "/web", "/web", "/"]))
        if isinstance(balancer.arrive(request), Forward):
            open_requests.append(number)
        else:
            ends["rejected"] += 1
        while len(open_requests) > 5:
            outcome = rng.choice([OK, OK, REFUSED, Outcome.failed("timed_out")])
            chosen = open_requests.pop(rng.randrange(len(open_requests)))
            if balancer.finish(chosen, outcome, now=number / 100) is not None:
                open_requests.append(chosen)
            else:
                ends["ok" if outcome.ok else "failed"] += 1
    counts = metrics.requests
    assert (counts.ok, counts.failed, counts.rejected) == (ends["ok"], ends["failed"], ends["rejected"])
    assert counts.under_way == balancer.open_requests == len(open_requests)
    (snapshot,) = balancer.snapshot()
    assert [one.in_flight for one in metrics.backends.values()] == [one.in_flight for one in snapshot.backends]
    assert counts.retried > 100
    assert sum(one.share for one in metrics.backends.values()) == pytest.approx(1)
