from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lbtutor.core import Event
from lbtutor.core.events import Answered, Arrived, Finished, Left, Missed, Picked, Probed, ProbeSent, Rejected, Why
from lbtutor.tui.widgets.stage.journeys import MOST_DOTS, Dot, Journeys, Road, Way

TRAVEL = 1.0
LEAD = TRAVEL / 2
CLIENT = "127.0.1.1"
WHY = Why("", "lowest", "", ())

Told = Callable[..., list[Event]]


def taken(*events: Event) -> Journeys:
    journeys = Journeys(TRAVEL)
    for event in events:
        journeys.take(event)
    return journeys


def on(journeys: Journeys, side: str, way: Way, now: float) -> list[Dot]:
    return [dot for dot in journeys.dots(now) if dot.road.side == side and dot.road.way == way]


def test_a_request_reaches_the_balancer_when_the_balancer_saw_it(journey: Told) -> None:
    journeys = taken(*journey(1, at=10.0, took=0.2))
    assert journeys.dots(10 - LEAD - 0.01) == []
    assert journeys.dots(10 - LEAD) == [Dot(Road("client", CLIENT, "out"), 0.0, "request")]
    assert journeys.dots(10 - LEAD / 4)[0].share == pytest.approx(0.75)
    assert journeys.dots(10.0)[0].road == Road("server", "web/a", "out")


def test_a_request_goes_to_the_server_and_comes_home_as_a_reply(journey: Told) -> None:
    journeys = taken(*journey(1, at=10.0, took=3.0))
    told = [(dot.road.side, dot.road.way, dot.mark) for now in (9.75, 10.5, 13.5, 14.25) for dot in journeys.dots(now)]
    assert told == [
        ("client", "out", "request"),
        ("server", "out", "request"),
        ("server", "back", "reply"),
        ("client", "back", "reply"),
    ]
    assert journeys.dots(14.6) == []


def test_a_request_that_is_being_worked_on_is_on_no_road(journey: Told) -> None:
    journeys = taken(*journey(1, at=10.0, took=3.0))
    assert journeys.dots(10.0 + TRAVEL + 0.1) == []


@given(took=st.floats(0, 5))
def test_a_reply_leaves_neither_before_its_request_arrived_nor_before_it_was_given(took: float) -> None:
    finished = Finished(10 + took, 1, 1, "web", "a", "answered 200", 200, took, True, True)
    journeys = taken(
        Arrived(10.0, 1, CLIENT, "GET", "", "/", "front"), Picked(10.0, 1, 1, "web", "a", "algorithm", WHY), finished
    )
    leaves = 10 + max(took, TRAVEL)
    assert on(journeys, "server", "back", leaves - 0.001) == []
    assert on(journeys, "server", "back", leaves + 0.001) != []
    assert on(journeys, "server", "out", leaves + 0.001) == []


@given(
    gaps=st.lists(st.floats(0, 0.3), min_size=2, max_size=20),
    took=st.lists(st.floats(0, 2), min_size=20, max_size=20),
    later=st.floats(0, 3),
)
def test_nobody_overtakes_on_the_way_to_a_server(gaps: list[float], took: list[float], later: float) -> None:
    at, events = 0.0, list[Event]()
    for request, gap in enumerate(gaps):
        at += gap
        events += [
            Arrived(at, request, CLIENT, "GET", "", "/", "front"),
            Picked(at, request, 1, "web", "a", "algorithm", WHY),
            Finished(at + took[request], request, 1, "web", "a", "answered 200", 200, took[request], True, True),
        ]
    shares = [dot.share for dot in on(taken(*events), "server", "out", later)]
    assert shares == sorted(shares, reverse=True)
    assert all(0 <= share < 1 for share in shares)


def test_a_failed_request_comes_home_as_a_failure(journey: Told) -> None:
    journeys = taken(*journey(1, at=10.0, took=0.0, ok=False))
    assert [dot.mark for dot in journeys.dots(10.0 + TRAVEL + 0.1)] == ["failed"]
    assert [(dot.road.side, dot.mark) for dot in journeys.dots(10.0 + 2 * TRAVEL + 0.1)] == [("client", "failed")]


def test_a_retry_sets_out_when_the_failure_is_back_at_the_balancer() -> None:
    journeys = taken(
        Arrived(10.0, 1, CLIENT, "GET", "", "/", "front"),
        Picked(10.0, 1, 1, "web", "a", "algorithm", WHY),
        Finished(10.0, 1, 1, "web", "a", "connection refused", 502, 0.0, False, False),
        Picked(10.0, 1, 2, "web", "b", "retry", WHY),
        Finished(10.1, 1, 2, "web", "b", "answered 200", 200, 0.1, True, True),
    )
    assert [dot.road.label for dot in journeys.dots(11.9)] == ["web/a"]
    assert [(dot.road.label, dot.mark) for dot in journeys.dots(12.1)] == [("web/b", "request")]
    assert [(dot.road.label, dot.mark) for dot in journeys.dots(14.1)] == [(CLIENT, "reply")]


def test_a_rejected_request_turns_back_at_the_balancer() -> None:
    journeys = taken(
        Arrived(10.0, 1, CLIENT, "GET", "", "/", "front"), Rejected(10.0, 1, 503, "no backend is available", "web", ())
    )
    assert [(dot.road, dot.mark) for dot in journeys.dots(10.1)] == [(Road("client", CLIENT, "back"), "failed")]


@pytest.mark.parametrize(("status", "mark"), [(301, "reply"), (503, "failed")])
def test_what_a_route_answers_turns_back_at_the_balancer(status: int, mark: str) -> None:
    journeys = taken(Arrived(10.0, 1, CLIENT, "GET", "", "/", "front"), Answered(10.0, 1, status, "a fixed response"))
    assert [(dot.road, dot.mark) for dot in journeys.dots(10.1)] == [(Road("client", CLIENT, "back"), mark)]


@pytest.mark.parametrize(("ok", "mark"), [(True, "probe_passed"), (False, "probe_failed")])
def test_a_probe_goes_to_its_server_and_brings_its_result_back(ok: bool, mark: str) -> None:
    journeys = taken(ProbeSent(10.0, "web", "a"), Probed(10.01, "web", "a", ok, "200", 0, 0, "up"))
    assert [(dot.road.way, dot.mark) for dot in journeys.dots(10.5)] == [("out", "probe")]
    assert [(dot.road.way, dot.mark) for dot in journeys.dots(11.5)] == [("back", mark)]


def test_after_a_jump_in_time_nobody_is_left_on_the_way(journey: Told) -> None:
    journeys = taken(*(event for n in range(20) for event in journey(n, at=n * 0.1, took=0.3)))
    assert journeys.dots(1.0)
    assert journeys.dots(1000.0) == []


def test_a_removed_server_takes_its_roads_along(journey: Told) -> None:
    journeys = taken(*journey(1, at=10.0, took=3.0), ProbeSent(10.0, "web", "a"), Left(10.1, "web", "a", 1))
    assert on(journeys, "server", "out", 10.2) == []


def test_after_a_gap_in_the_trace_an_answer_to_nobody_is_not_drawn(journey: Told) -> None:
    arrived, picked, finished = journey(1, at=10.0, took=3.0)
    journeys = taken(arrived, picked, Missed(11.0, 5), finished)
    assert journeys.dots(13.1) == []


def test_many_travellers_are_thinned_and_the_picture_says_how(journey: Told) -> None:
    journeys = taken(*(event for n in range(2000) for event in journey(n, at=10 + n / 4000, took=0.1)))
    dots = journeys.dots(10.6)
    assert journeys.one_in == 8
    assert MOST_DOTS / 3 < len(dots) <= MOST_DOTS
    journeys.dots(1000.0)
    assert journeys.one_in == 1


def test_probes_are_never_thinned(journey: Told) -> None:
    crowd = [event for n in range(2000) for event in journey(n, at=10 + n / 4000, took=0.1)]
    journeys = taken(*crowd, ProbeSent(10.5, "web", "a"))
    assert [dot.mark for dot in journeys.dots(10.6)].count("probe") == 1


def test_a_new_speed_holds_for_those_who_set_out_later(journey: Told) -> None:
    journeys = taken(*journey(1, at=10.0, took=9.0))
    before = journeys.dots(10.5)
    journeys.travel = 4.0
    assert journeys.dots(10.5) == before
