"""The narrator: each kind of event is one sentence with its reason and its numbers."""

from __future__ import annotations

from random import Random
from typing import get_args

import pytest

from lbtutor.core.balancer import Balancer
from lbtutor.core.events import (
    Answered,
    Arrived,
    BackedOff,
    BalancerChanged,
    Calmed,
    Candidate,
    ContractBroken,
    Disabled,
    Drained,
    Draining,
    Ejected,
    Enabled,
    Ended,
    Event,
    Exchanged,
    Finished,
    HandshakeFailed,
    HealthChanged,
    Joined,
    Judged,
    Left,
    Missed,
    OriginChanged,
    Panicked,
    Picked,
    Probed,
    ProbeSent,
    Queued,
    Readmitted,
    Refused,
    Rejected,
    Relisted,
    Reloaded,
    Remarked,
    Resolved,
    Routed,
    SessionLost,
    SessionStarted,
    Shifted,
    Stranded,
    WeightChanged,
    Why,
)
from lbtutor.core.messages import BackendConfig, Outcome, Request
from lbtutor.core.pool import PoolConfig
from lbtutor.core.retry import Retry
from lbtutor.core.routing import Route
from lbtutor.trace.narrate import Narrator, Told

LOADS = (Candidate("a", 5, None), Candidate("b", 2, None), Candidate("c", 8, None))
LEAST = Why("in flight", "lowest", "the one picked longest ago", LOADS)
ONLY = Why("in flight", "lowest", "", (Candidate("a", None, "down"), Candidate("b", 2, None)))


def finished(outcome: Outcome, took: float = 0.412, final: bool = True, because: str = "") -> Finished:
    return Finished(1.0, 7, 1, "web", "srv-2", outcome.says, outcome.status, took, outcome.ok, final, because)


SENTENCES: list[tuple[Event, str]] = [
    (Arrived(0.0, 12, "127.0.1.1", "GET", "a.com", "/x", "front"), "r12 arrives: GET a.com/x from 127.0.1.1"),
    (Picked(0.0, 12, 1, "web", "b", "algorithm", LEAST), "r12 → b: 2 in flight, fewer than a's 5 and c's 8"),
    (Picked(0.0, 12, 1, "web", "b", "only", ONLY), "r12 → b: the only one available (a is down)"),
    (Arrived(0.0, 12, "127.0.1.1", "TCP", "", "", "front", "a.com"), "r12 arrives: TCP a.com from 127.0.1.1"),
    (
        Rejected(0.0, 3, 503, "no backend is available", "web", (Candidate("a", None, "down"),)),
        "r3 is answered 503 by the balancer: no backend is available (a is down)",
    ),
    (
        Rejected(0.0, 3, 404, "no route for /x", None, ()),
        "r3 is answered 404 by the balancer: no route for /x",
    ),
    (
        Refused(0.0, "front", "10.0.0.7", 400, "more than one Host"),
        "10.0.0.7 is refused at front with 400: more than one Host",
    ),
    (
        Routed(0.0, 12, "/api (split: green, 10 of 100)", "green", "the longer path, before /"),
        "r12 takes route /api (split: green, 10 of 100) → pool green: the longer path, before /",
    ),
    (
        Answered(0.0, 3, 308, "a redirect for /old (no other route matches)"),
        "r3 is answered 308 by the balancer: a redirect for /old (no other route matches)",
    ),
    (finished(Outcome.answered(200)), "r7 ← srv-2: answered 200 in 412 ms"),
    (finished(Outcome.answered(500), 1.34), "r7 ← srv-2: answered 500 in 1.3 s"),
    (finished(Outcome.failed("refused"), 0.0), "r7 ← srv-2: connection refused at once; the client gets 502"),
    (
        finished(Outcome.failed("refused"), 0.0, final=False),
        "r7 ← srv-2: connection refused at once; another try follows",
    ),
    (finished(Outcome.failed("timed_out"), 60.0), "r7 ← srv-2: no answer in time after 60 s; the client gets 504"),
    (
        finished(Outcome.failed("closed"), because="POST is not idempotent"),
        "r7 ← srv-2: closed before an answer after 412 ms (POST is not idempotent); the client gets 502",
    ),
    (
        finished(Outcome.failed("cut", 200)),
        "r7 ← srv-2: broke off in mid-answer after 412 ms; the client has seen a part of it",
    ),
    (
        finished(Outcome.failed("cancelled")),
        "r7 ← srv-2: the client left first after 412 ms; nobody waits for an answer",
    ),
    (ProbeSent(0.0, "web", "srv-2"), "srv-2 is probed"),
    (
        Probed(0.0, "web", "srv-2", False, "connection refused", 2, 3, "down"),
        "probe of srv-2 failed (connection refused): 2 of 3 towards down",
    ),
    (Probed(0.0, "web", "srv-2", True, "200", 0, 0, "up"), "probe of srv-2 passed (200): it stays up"),
    (
        HealthChanged(0.0, "web", "srv-2", "up", "down", "3 probes in a row failed, the last with: no answer in 5 s"),
        "srv-2 is down: 3 probes in a row failed, the last with: no answer in 5 s",
    ),
    (
        HealthChanged(0.0, "web", "srv-2", "down", "up", "2 probes in a row passed, the last with: 200"),
        "srv-2 is up again: 2 probes in a row passed, the last with: 200",
    ),
    (
        HealthChanged(0.0, "web", "srv-2", "unchecked", "up", "one probe passed: 200"),
        "srv-2 is up: one probe passed: 200",
    ),
    (
        Ejected(9.5, "web", "srv-2", 69.5, "5 attempts in a row failed, the last with: answered 500"),
        "srv-2 is ejected for 60 s: 5 attempts in a row failed, the last with: answered 500",
    ),
    (Readmitted(0.0, "web", "srv-2"), "srv-2 is readmitted: its time is over, its failures are forgotten"),
    (Joined(0.0, "web", "srv-2", 1.0, "up"), "srv-2 joins pool web, weight 1, believed up"),
    (Joined(0.0, "web", "srv-2", 0.5, "unchecked"), "srv-2 joins pool web, weight 0.5, not checked yet"),
    (Left(0.0, "web", "srv-2", 1), "srv-2 leaves pool web with 1 request in flight"),
    (Left(0.0, "web", "srv-2", 0), "srv-2 leaves pool web with nothing in flight"),
    (
        Draining(0.0, "web", "srv-2", 3),
        "srv-2 is draining: it gets no new requests, and 3 in flight may finish",
    ),
    (
        Draining(0.0, "web", "srv-2", 0),
        "srv-2 is draining: it gets no new requests, and nothing is in flight",
    ),
    (Drained(0.0, "web", "srv-2"), "srv-2 is drained: nothing is in flight there any more"),
    (Disabled(0.0, "web", "srv-2"), "srv-2 is in maintenance: it gets neither requests nor probes"),
    (Enabled(0.0, "web", "srv-2"), "srv-2 is enabled: its drain or maintenance is over"),
    (WeightChanged(0.0, "web", "srv-2", 1.0, 3.0), "the weight of srv-2 goes from 1 to 3"),
    (WeightChanged(0.0, "web", "srv-2", 1.0, 0.0), "the weight of srv-2 goes from 1 to 0, so it gets no traffic"),
    (
        Queued(1.0, 7, "web", 2, 3.0, "every backend is full"),
        "r7 waits in the queue of pool web, second in line, for at most 2 s: every backend is full",
    ),
    (BackedOff(1.0, 7, "web", 2, 1.025), "r7 waits 25 ms before its second try"),
    (finished(Outcome.failed("served"), 1.34), "r7 ← srv-2: ended well after 1.3 s"),
    (finished(Outcome.answered(101), 12.0), "r7 ← srv-2: the tunnel was closed after 12 s"),
    (Shifted(0.0, "shop", {"blue": 1}, {"blue": 0, "green": 1}), "route shop goes from blue to green"),
    (
        Shifted(0.0, "shop", {"blue": 1}, {"blue": 90, "green": 10}),
        "route shop goes from blue to 90 blue and 10 green",
    ),
    (
        Panicked(0.0, "web", 1, 4, 0.5),
        "pool web panics (1 of 4 available, less than 50%): all the willing are offered",
    ),
    (Calmed(0.0, "web", 3, 4), "pool web is calm again (3 of 4 available): only these are offered"),
    (Reloaded(0.0, "pool web: b joins"), "a new configuration is in force: pool web: b joins"),
    (SessionStarted(0.0, "web", "srv-2", "s7", "10.0.0.1"), "srv-2 begins session s7 for 10.0.0.1"),
    (
        SessionLost(0.0, "web", "srv-2", "s7", "10.0.0.1"),
        "srv-2 does not know session s7 of 10.0.0.1: it is lost",
    ),
    (
        Exchanged(0.0, "web", "srv-2", "10.0.0.1", 200, 0.0213),
        "srv-2 answers 200 to 10.0.0.1 in 21 ms, on a connection that the balancer does not read",
    ),
    (
        Arrived(0.0, 3, "10.0.0.1", "GET", "", "/", "front", balancer="lb-1"),
        "r3 arrives at lb-1: GET / from 10.0.0.1",
    ),
    (Resolved(5.0, "10.0.0.1", "lb-1", 35.0), "DNS tells 10.0.0.1 of lb-1, and it keeps that for 30 s"),
    (
        Relisted(0.0, "lb-1", False, "3 probes in a row failed"),
        "DNS no longer gives out the address of lb-1: 3 probes in a row failed",
    ),
    (
        Relisted(0.0, "lb-1", True, "2 probes in a row passed"),
        "DNS gives out the address of lb-1: 2 probes in a row passed",
    ),
    (
        BalancerChanged(0.0, "lb-1", "died"),
        "balancer lb-1 dies, and all that is under way through it is lost",
    ),
    (BalancerChanged(0.0, "lb-1", "returned"), "balancer lb-1 is back, and has forgotten all that it knew"),
    (Stranded(0.0, "10.0.0.1", "lb-1"), "10.0.0.1 goes to balancer lb-1, which is dead"),
    (
        HandshakeFailed(0.0, "front", "10.0.0.1", "no handshake in time"),
        "no TLS with 10.0.0.1 at front: no handshake in time",
    ),
    (
        ContractBroken(0.0, 5, "web", "Mine", "it raised KeyError: 'x'"),
        "r5: Mine broke its contract: it raised KeyError: 'x'",
    ),
    (
        OriginChanged(0.0, "web", "srv-2", "crash", 0.0, "hand"),
        "srv-2 crashes: its connections break and new ones are refused (by hand, the balancer is not told)",
    ),
    (
        OriginChanged(0.0, "web", "srv-2", "slow", 4.0, "timeline"),
        "srv-2 takes 4 times as long for a request (the balancer is not told)",
    ),
    (
        OriginChanged(0.0, "web", "srv-2", "error", 0.3, "timeline"),
        "srv-2 answers 30% of its requests with 500 (the balancer is not told)",
    ),
    (OriginChanged(0.0, "web", "srv-2", "heal", 0.0, "timeline"), "srv-2 is well again (the balancer is not told)"),
    (Remarked(0.0, "request A arrives from 10.0.0.1 -> a"), "request A arrives from 10.0.0.1 -> a"),
    (
        Judged(0.0, "The least busy is chosen.", "b", "a", "a has 2 in flight, b none"),
        "a law is broken: expected b, got a, because a has 2 in flight, b none",
    ),
    (
        Judged(0.0, "It never fails.", "an answer", "raised KeyError", ""),
        "a law is broken: expected an answer, got raised KeyError",
    ),
    (Missed(0.0, 120), "120 events were missed here: the reader fell behind"),
    (Missed(0.0, 1), "1 event was missed here: the reader fell behind"),
    (Ended(0.0, "lasted"), "the run is over: it lasted as long as planned"),
    (Ended(0.0, "interrupted"), "the run is over: it was interrupted"),
]


@pytest.mark.parametrize(("event", "sentence"), SENTENCES, ids=lambda value: type(value).__name__)
def test_an_event_is_one_sentence(event: Event, sentence: str) -> None:
    assert Narrator().say(event) == sentence


def test_every_kind_of_event_has_its_sentence_here() -> None:
    assert {type(event) for event, _ in SENTENCES} == set(get_args(Event))


@pytest.mark.parametrize(("event", "sentence"), SENTENCES, ids=lambda value: type(value).__name__)
def test_in_ascii_the_arrows_are_drawn_with_what_there_is(event: Event, sentence: str) -> None:
    assert Narrator(ascii=True).say(event) == sentence.replace("→", "->").replace("←", "<-")


def test_in_ascii_foreign_letters_are_escaped() -> None:
    assert Narrator(ascii=True).say(Drained(0.0, "web", "bär")).startswith(r"b\xe4r is drained")


def test_the_parts_are_the_sentence_without_its_request() -> None:
    assert Narrator().tell(SENTENCES[1][0]) == Told(">", 12, "b: 2 in flight, fewer than a's 5 and c's 8", " → ")
    assert Narrator().tell(Ended(0.0, "stopped")) == Told("=", None, "the run is over: it was stopped")


def test_backends_are_named_by_their_pool_once_there_is_more_than_one() -> None:
    drained = Drained(0.0, "web", "a")
    narrator = Narrator()
    narrator.say(Joined(0.0, "web", "a", 1.0, "up"))
    assert narrator.say(drained).startswith("a is")
    narrator.say(Joined(0.0, "api", "a", 1.0, "up"))
    assert narrator.say(drained).startswith("web/a is")
    assert Narrator(backends_qualified=True).say(drained).startswith("web/a is")
    narrator = Narrator(backends_qualified=False)
    narrator.say(Joined(0.0, "api", "a", 1.0, "up"))
    assert narrator.say(drained).startswith("a is")


def test_the_algorithm_without_reasons_is_named_by_its_pool() -> None:
    silent = Why("", "lowest", "", (Candidate("a", None, None), Candidate("b", None, None)))
    event = Picked(0.0, 5, 1, "web", "a", "algorithm", silent)
    assert Narrator(algorithms={"web": "Mine"}).say(event) == "r5 → a: chosen by Mine (it gives no reason)"
    assert Narrator().say(event) == "r5 → a: chosen by the algorithm (it gives no reason)"


def retried() -> list[Event]:
    """A real trace: a request that a refuses, and another that comes between."""
    events: list[Event] = []
    pool = PoolConfig("web", "least_connections", tuple(map(BackendConfig, "abc")), retry=Retry(attempts=3))
    balancer = Balancer([pool], [Route("web")], rng=Random(1), report=events.append)
    balancer.arrive(Request(id=1, at=0.0))
    balancer.arrive(Request(id=2, at=0.0))
    balancer.finish(1, Outcome.failed("refused"), now=0.1)
    balancer.finish(1, Outcome.failed("unreachable"), now=5.1)
    return [event for event in events if isinstance(event, Picked | Finished)]


def test_a_retry_says_what_it_follows() -> None:
    narrator = Narrator()
    assert [narrator.say(event) for event in retried()] == [
        "r1 → a: 0 in flight, as few as b and c; it was picked longest ago",
        "r2 → b: 0 in flight, as few as c; it was picked longest ago",
        "r1 ← a: connection refused after 100 ms; another try follows",
        "r1 → c: second try, after a refused: 0 in flight, fewer than b's 1",
        "r1 ← c: no connection in time after 5 s; another try follows",
        "r1 → b: third try, after c did not connect in time",
    ]


def test_without_its_past_a_retry_says_what_its_own_record_holds() -> None:
    events = retried()
    assert Narrator().say(events[3]) == "r1 → c: second try, after a: 0 in flight, fewer than b's 1"
    narrator = Narrator()
    for event in events:
        narrator.say(event)
    assert narrator.say(events[3]) == "r1 → c: second try, after a: 0 in flight, fewer than b's 1"
