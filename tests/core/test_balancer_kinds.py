"""Who listens names what he wants to hear: nothing else is made, and the decisions stay the same."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest

from lbtutor.core import balancer as module
from lbtutor.core.answers import Respond
from lbtutor.core.balancer import Balancer
from lbtutor.core.events import (
    EVERYTHING,
    Answered,
    Arrived,
    Event,
    Finished,
    Joined,
    Picked,
    Rejected,
    Routed,
    WeightChanged,
    Why,
)
from lbtutor.core.messages import Answer, BackendConfig, Forward, Outcome, Reject, Request, SetWeight
from lbtutor.core.pool import PoolConfig
from lbtutor.core.retry import Retry
from lbtutor.core.routing import Route

POOLS = (
    PoolConfig("web", backends=(BackendConfig("a"), BackendConfig("b")), retry=Retry(attempts=2)),
    PoolConfig("empty"),
)
ROUTES = (
    Route("web"),
    Route("empty", path="/empty"),
    Route(path="/fixed", respond=Respond(200, "here")),
    Route("web", path="/never", method="PUT"),
)


def play(kinds: frozenset[type] | None, *, listens: bool = True) -> tuple[list[Event], list[Any]]:
    """One of everything that can become of a request; what was told, and what was decided."""
    told: list[Event] = []
    balancer = Balancer(POOLS, ROUTES, rng=Random(7), report=told.append if listens else None, kinds=kinds)
    decided: list[Any] = []
    for number, path in enumerate(("/", "/empty", "/fixed", "/nowhere", "/")):
        decision = balancer.arrive(Request(number, float(number), path=path))
        if isinstance(decision, Forward):
            again = balancer.finish(number, Outcome.failed("refused"), number + 0.1)
            assert isinstance(again, Forward)
            decided.append((decision.backend.name, again.backend.name))
            assert balancer.finish(number, Outcome.answered(200), number + 0.2) is None
        else:
            assert isinstance(decision, Answer | Reject)
            decided.append(decision.status)
    balancer.command(SetWeight("web", "a", 2), 9.0)
    return told, decided


def test_everything_is_told_unless_kinds_are_named() -> None:
    told, _ = play(None)
    assert {type(event) for event in told} == {
        *(Joined, Arrived, Routed, Picked, Finished, Answered, Rejected, WeightChanged)
    }
    assert play(EVERYTHING)[0] == told


@pytest.mark.parametrize("kind", [Joined, Arrived, Routed, Picked, Finished, Answered, Rejected, WeightChanged])
def test_a_single_kind_is_told_as_if_all_were(kind: type) -> None:
    everything, _ = play(None)
    told, _ = play(frozenset({kind, Why}))
    assert told == [event for event in everything if type(event) is kind]


def test_the_record_of_a_pick_is_a_kind_of_its_own() -> None:
    with_why, _ = play(frozenset({Picked, Why}))
    without, _ = play(frozenset({Picked}))
    assert all(isinstance(event, Picked) and event.why.candidates for event in with_why)
    assert all(isinstance(event, Picked) and not event.why.candidates for event in without)
    assert [event.at for event in without] == [event.at for event in with_why]


def test_nobody_explains_what_nobody_wants_to_know(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("a record was made that nobody wants")

    for name in ("explain", "unexplained", "passed_over"):
        monkeypatch.setattr(module, name, refuse)
    play(frozenset({Arrived, Picked, Finished, Joined, Rejected}))
    play(None, listens=False)


def test_decisions_do_not_depend_on_who_listens() -> None:
    _, expected = play(None, listens=False)
    for kinds in (None, frozenset[type](), frozenset({Picked}), frozenset({Finished, Arrived})):
        assert play(kinds)[1] == expected


def test_what_is_wanted_may_change_at_any_time() -> None:
    told: list[Event] = []
    balancer = Balancer(POOLS, ROUTES, rng=Random(7))
    balancer.report_to(told.append, frozenset({Arrived}))
    balancer.arrive(Request(1, 1.0))
    balancer.report_to(told.append, frozenset({Finished}))
    balancer.finish(1, Outcome.answered(200), 2.0)
    balancer.report_to(None)
    balancer.arrive(Request(2, 3.0))
    assert [type(event) for event in told] == [Arrived, Finished]
