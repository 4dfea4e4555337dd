"""A counterexample as events: what the stage shows of it."""

from __future__ import annotations

import msgspec
import pytest

from lbtutor.core.events import (
    Arrived,
    ContractBroken,
    Ended,
    Event,
    Finished,
    HealthChanged,
    Joined,
    Judged,
    Left,
    Picked,
    Rejected,
    Remarked,
)
from lbtutor.testing import Program, check, events_of
from lbtutor.testing.checking import opened
from lbtutor.testing.components import COMPONENTS, Component
from lbtutor.testing.program import Moment
from lbtutor.testing.report import Counterexample, LawReport
from lbtutor.testing.scenes import legend
from lbtutor.testing.staging.balancer import events
from lbtutor.testing.worlds.balancer import world
from lbtutor.testing.zoo import specimens


def broken(component: str, name: str, law: str) -> LawReport:
    file = next(one.file for one in specimens(component) if one.name == name)
    report = check(file, component, cls=name, seed=3, in_process=True)
    return report.law(law)


@pytest.fixture(scope="module")
def leak() -> tuple[LawReport, list[Event]]:
    """Two requests, one of which fails, and its place is never free again."""
    law = broken("least_connections", "FailuresNeverEnd", "however_it_ends_it_ends_once")
    return law, events_of(law, "least_connections")


def test_the_story_is_told_a_second_a_moment_and_ends_with_the_verdict(leak: tuple[LawReport, list[Event]]) -> None:
    law, events = leak
    found = law.counterexample
    assert found is not None
    assert [event.at for event in events if isinstance(event, Remarked)] == [1.0, 2.0, 3.0, 4.0]
    assert events[-2] == Judged(5.0, law.says, found.expected, found.got, found.because)
    assert isinstance(events[-1], Ended)
    assert [event.at for event in events] == sorted(event.at for event in events)


def test_members_join_before_anything_happens(leak: tuple[LawReport, list[Event]]) -> None:
    assert [event.backend for event in leak[1] if isinstance(event, Joined) and event.at == 0] == ["a", "b"]


def test_each_choice_has_the_numbers_that_could_be_compared(leak: tuple[LawReport, list[Event]]) -> None:
    *_, last = (event for event in leak[1] if isinstance(event, Picked))
    assert last.backend == "a"
    assert last.why.rule == "in flight"
    assert {one.backend: one.number for one in last.why.candidates} == {"a": 1, "b": 0}


def test_requests_end_as_they_did(leak: tuple[LawReport, list[Event]]) -> None:
    first, *_ = (event for event in leak[1] if isinstance(event, Finished))
    assert (first.at, first.request, first.backend, first.ok, first.took) == (3.0, 2, "b", False, 0.1)
    arrived = [event.request for event in leak[1] if isinstance(event, Arrived)]
    assert arrived == [1, 2, 3]


def test_health_and_membership_are_shown() -> None:
    program = Program(
        {"servers": [["a", 1], ["b", 1]], "names": ["a", "b", "c"]},
        (("health", 0, False), ("health", 0, False), ("serve", 0), ("add", 1), ("remove", 1), ("health", 0, True)),
    )
    right = next(one for one in specimens("least_connections") if one.name == "Counting")
    with opened(right.file, "least_connections", cls="Counting", in_process=True) as held:
        model = world(held.room, held.target, program.setting)
        for number, op in enumerate(program.ops):
            model.do(number, op)
    shown = [event for event in events(program, model.moments, 1.0, "least_connections") if event.at > 0]
    told = [type(event) for event in shown]
    assert told == [HealthChanged, Arrived, Picked, Joined, Left, HealthChanged]
    assert [event.at for event in shown] == [1.0, 3.0, 3.0, 4.0, 5.0, 6.0]
    assert [event.in_flight for event in shown if isinstance(event, Left)] == [1]


def test_an_answer_that_never_came_breaks_the_contract_on_the_stage() -> None:
    law = broken("round_robin", "TurnsForEver", "it_never_fails")
    events = events_of(law, "round_robin")
    assert any(isinstance(event, ContractBroken) for event in events)
    assert any(isinstance(event, Rejected) and event.status == 500 for event in events)


def test_a_family_without_a_stage_is_told_in_sentences(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(COMPONENTS, "lottery", Component("a lottery", "lottery", ()))
    moments = (Moment(0, "draw", "a ball is drawn", 7, asked=True), Moment(1, "pause", "time passes"))
    found = Counterexample(Program({}, (("draw",), ("pause",))), 0, (), "an even number", "7", "", moments=moments)
    events = events_of(LawReport("even", "It is even.", "failed", 1, {}, counterexample=found), "lottery")
    assert events == [
        Remarked(1.0, "a ball is drawn → 7"), Remarked(2.0, "time passes"),
        Judged(3.0, "It is even.", "an even number", "7", ""), Ended(4.0, "stopped"),
    ]  # fmt: skip
    assert legend("lottery") == ""


def wrong(of: str) -> LawReport:
    """The first law that the first wrong specimen of a component breaks."""
    specimen = next(one for one in specimens(of) if one.fault)
    report = check(specimen.file, of, cls=specimen.name, seed=3, in_process=True)
    return next(law for law in report.laws if law.counterexample is not None)


@pytest.mark.parametrize(
    "of", ["health", "affinity", "router", "ejection", "retry", "drain", "slow_start", "autoscaler"]
)
def test_the_stories_of_every_family_are_shown_and_can_be_kept(of: str) -> None:
    law = wrong(of)
    events = events_of(law, of)
    found = law.counterexample
    assert found is not None
    assert any(isinstance(event, Joined | Arrived) for event in events), "there is something to see"
    assert [event.at for event in events] == sorted(event.at for event in events)
    assert events[-2:] == [
        Judged(events[-2].at, law.says, found.expected, found.got, found.because), Ended(events[-1].at, "stopped"),
    ]  # fmt: skip
    kept = msgspec.json.decode(msgspec.json.encode(events), type=list[Event])
    assert kept == events


def test_a_legend_says_what_stands_there_in_place_of_servers() -> None:
    assert legend("retry") == "each try has its lane"
    assert legend("round_robin") == ""


def test_a_law_that_holds_has_no_scene() -> None:
    assert events_of(LawReport("x", "It is so.", "passed", 1, {}), "round_robin") == []
