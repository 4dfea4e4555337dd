from __future__ import annotations

from collections.abc import Callable, Iterable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lbtutor.core import Event
from lbtutor.core.events import (
    Answered,
    Arrived,
    Candidate,
    Disabled,
    Draining,
    Ejected,
    Enabled,
    Finished,
    HealthChanged,
    Joined,
    Left,
    Missed,
    OriginChanged,
    Picked,
    Probed,
    ProbeSent,
    Readmitted,
    Rejected,
    WeightChanged,
    Why,
)
from lbtutor.core.workload import Act
from lbtutor.tui.widgets.stage.scene import MOST_CLIENTS, Scene

TRAVEL = 1.0
LEAD = TRAVEL / 2
JOINED = [Joined(0.0, "web", name, 1, "up") for name in ("a", "b", "c")]

Told = Callable[..., list[Event]]


def played(events: Iterable[Event], until: float) -> Scene:
    """A scene that walked there in small steps and then caught up, as if the clock had stopped."""
    scene = Scene(TRAVEL)
    scene.take(sorted(events, key=lambda event: event.at))
    for frame in range(int(until * 20) + 1):
        scene.advance(frame / 20)
    while scene.shown < until:
        scene.advance(until)
    return scene


def picked(request: int, backend: str, turns: dict[str, float], because: str = "algorithm", at: float = 1.0) -> Picked:
    why = Why("turns to wait after c", "lowest", "", tuple(Candidate(name, turn, None) for name, turn in turns.items()))
    return Picked(at, request, 1, "web", backend, because, why)  # type: ignore[arg-type]


# the two clocks


def test_the_picture_runs_behind_by_the_way_from_a_client() -> None:
    scene = Scene(TRAVEL)
    for frame in range(100):
        scene.advance(frame / 20)
    assert scene.shown == pytest.approx(99 / 20 - LEAD)


def test_a_pick_is_counted_when_its_dot_is_at_the_balancer(journey: Told) -> None:
    scene = Scene(TRAVEL)
    scene.take([*JOINED, *journey(1, at=10.0, took=5.0)])
    scene.advance(9.0)
    scene.advance(10.0 + LEAD - 0.01)
    assert scene.servers["web/a"].picked == 0
    scene.advance(10.0 + LEAD)
    assert (scene.servers["web/a"].picked, len(scene.servers["web/a"].open)) == (1, 1)


def test_when_the_clock_stands_the_picture_catches_up_with_it(journey: Told) -> None:
    scene = Scene(TRAVEL)
    scene.take([*JOINED, *journey(1, at=10.0, took=5.0)])
    scene.advance(9.0)
    scene.advance(10.0)
    frames = 0
    while scene.advance(10.0):
        frames += 1
    assert scene.shown == 10.0
    assert scene.servers["web/a"].picked == 1
    assert frames < 12


def test_a_scene_that_stands_and_has_caught_up_has_nothing_to_do() -> None:
    scene = played(JOINED, 2.0)
    assert scene.advance(2.0) is False


@given(st.lists(st.floats(0, 2), max_size=40))
def test_the_picture_never_goes_back_and_never_ahead_of_the_clock(steps: list[float]) -> None:
    scene, now, before = Scene(TRAVEL), 0.0, 0.0
    for step in steps:
        now += step
        scene.advance(now)
        assert before <= scene.shown <= now
        before = scene.shown


def test_events_of_the_future_wait_for_their_time(journey: Told) -> None:
    scene = Scene(TRAVEL)
    scene.take([*JOINED, OriginChanged(5.0, "web", "a", "crash", 0, "hand"), *journey(1, at=6.0, took=1.0)])
    scene.advance(4.0)
    assert scene.machines == {}
    assert scene.journeys.dots(6.0) == []


def test_what_befalls_a_machine_is_seen_at_once_but_the_balancer_learns_it_from_probes() -> None:
    scene = Scene(TRAVEL)
    scene.take([*JOINED, OriginChanged(5.0, "web", "a", "crash", 0, "hand")])
    scene.advance(1.0)
    scene.advance(5.0)
    assert scene.shown < 5.0
    assert scene.machines["web/a"].fault == "crash"
    assert scene.servers["web/a"].health == "up"


def test_a_healed_machine_is_well() -> None:
    faults = [OriginChanged(1.0, "web", "a", "slow", 4, "hand"), OriginChanged(2.0, "web", "a", "heal", 0, "hand")]
    assert played([*JOINED, *faults], 1.5).machines
    assert not played([*JOINED, *faults], 2.5).machines


def test_with_nothing_moving_the_picture_shows_the_present(journey: Told) -> None:
    scene = Scene(TRAVEL)
    scene.still = True
    scene.take([*JOINED, *journey(1, at=10.0, took=5.0)])
    scene.advance(10.0)
    assert scene.shown == 10.0
    assert scene.servers["web/a"].picked == 1


# what the balancer believes


def test_requests_are_counted_at_their_server_and_at_their_client(journey: Told) -> None:
    events = [*JOINED, *journey(1, at=1.0, took=0.5), *journey(2, at=1.6, took=0.0, ok=False), *journey(3, 1.7, took=9)]
    scene = played(events, 3.0)
    server, client = scene.servers["web/a"], scene.clients["127.0.1.1"]
    assert (server.picked, server.answered, server.failed, len(server.open)) == (3, 1, 1, 1)
    assert (client.sent, client.answered, client.failed) == (3, 1, 1)


def test_a_rejected_request_failed_for_its_client_and_for_no_server() -> None:
    rejected = Rejected(1.0, 1, 503, "no backend is available", "web", ())
    scene = played([*JOINED, Arrived(1.0, 1, "127.0.1.1", "GET", "", "/", ""), rejected], 2.0)
    assert scene.clients["127.0.1.1"].failed == 1
    assert all(server.failed == 0 for server in scene.servers.values())


@pytest.mark.parametrize(("status", "answered", "failed"), [(301, 1, 0), (404, 1, 0), (503, 0, 1)])
def test_what_a_route_answers_counts_for_its_client_and_for_no_server(status: int, answered: int, failed: int) -> None:
    told: list[Event] = [Arrived(1.0, 1, "127.0.1.1", "GET", "", "/", ""), Answered(1.0, 1, status, "a redirect")]
    scene = played([*JOINED, *told], 2.0)
    client = scene.clients["127.0.1.1"]
    assert (client.answered, client.failed) == (answered, failed)
    assert all(server.answered == server.failed == 0 for server in scene.servers.values())


def test_probes_that_speak_against_the_belief_are_counted_until_it_changes() -> None:
    def counter(*events: Event) -> tuple[int, int, str, str]:
        server = played([*JOINED, *events], 9.0).servers["web/a"]
        return server.count, server.needed, server.towards, server.health

    fails = [Probed(n, "web", "a", False, "connection refused", n, 3, "down") for n in (1, 2, 3)]
    down = HealthChanged(3.0, "web", "a", "up", "down", "3 probes in a row failed")
    assert counter(fails[0], fails[1]) == (2, 3, "down", "up")
    assert counter(*fails, down)[0::3] == (0, "down")
    assert counter(*fails, down, Probed(4.0, "web", "a", True, "200", 1, 2, "up")) == (1, 2, "up", "down")
    assert counter(fails[0], Probed(2.0, "web", "a", True, "200", 0, 0, "up"))[0] == 0


def test_who_is_ejected_is_not_available_until_readmitted() -> None:
    events: list[Event] = [
        *JOINED,
        Ejected(1.0, "web", "a", 5.0, "5 attempts in a row failed"),
        Readmitted(5.0, "web", "a"),
    ]
    assert [played(events, until).servers["web/a"].available for until in (0.9, 1.1, 4.9, 5.1)] == [
        True,
        False,
        False,
        True,
    ]


def test_the_operators_commands_show() -> None:
    drained = played([*JOINED, Draining(1.0, "web", "a", 0)], 2.0).servers["web/a"]
    disabled = played([*JOINED, ProbeSent(0.5, "web", "a"), Disabled(1.0, "web", "a")], 2.0).servers["web/a"]
    enabled = played([*JOINED, Draining(1.0, "web", "a", 0), Enabled(1.5, "web", "a")], 2.0).servers["web/a"]
    weightless = played([*JOINED, WeightChanged(1.0, "web", "a", 1, 0)], 2.0).servers["web/a"]
    assert [server.available for server in (drained, disabled, enabled, weightless)] == [False, False, True, False]
    assert not disabled.probing


def test_a_server_that_left_is_gone_and_one_that_returns_has_no_past(journey: Told) -> None:
    left = [*JOINED, *journey(1, at=1.0, took=5.0), Left(2.0, "web", "a", 1)]
    assert list(played(left, 3.0).servers) == ["web/b", "web/c"]
    returned = played([*left, Joined(3.0, "web", "a", 1, "up"), *journey(1, at=1.0, took=5.0)[2:]], 7.0)
    assert list(returned.servers) == ["web/b", "web/c", "web/a"]
    assert (returned.servers["web/a"].picked, returned.servers["web/a"].open) == (0, set())


def test_an_answer_from_a_server_that_left_still_reaches_its_client(journey: Told) -> None:
    arrived, pick, finished = journey(1, at=1.0, took=2.0)
    scene = played([*JOINED, arrived, pick, Left(2.0, "web", "a", 1), finished], 4.0)
    assert scene.clients["127.0.1.1"].answered == 1


def test_a_gap_in_the_trace_is_counted_and_leaves_nothing_in_flight_forever(journey: Told) -> None:
    arrived, pick, finished = journey(1, at=1.0, took=2.0)
    scene = played([*JOINED, arrived, pick, Missed(2.0, 17), finished], 2.5)
    assert scene.missed == 17
    assert scene.servers["web/a"].open == set()
    scene = played([*JOINED, arrived, pick, Missed(2.0, 17), finished], 4.0)
    assert scene.servers["web/a"].answered == 1


def test_clients_known_beforehand_keep_their_order(journey: Told) -> None:
    scene = Scene(TRAVEL, ["127.0.1.1", "127.0.1.2"])
    scene.take([*JOINED, *journey(1, at=0.0, took=1, client="127.0.1.2"), *journey(2, 0.0, took=1, client="127.0.1.9")])
    scene.advance(5.0)
    assert list(scene.clients) == ["127.0.1.1", "127.0.1.2", "127.0.1.9"]


def test_a_crowd_of_clients_is_counted_together(journey: Told) -> None:
    crowd = [event for n in range(MOST_CLIENTS + 7) for event in journey(n, at=1.0, took=0, client=f"127.1.0.{n}")]
    scene = played([*JOINED, *crowd], 2.0)
    assert len(scene.clients) == MOST_CLIENTS
    assert (len(scene.other_clients), scene.others.answered) == (7, 7)


# whose turn it is


def test_next_is_who_has_the_fewest_turns_to_wait_after_the_one_that_was_picked() -> None:
    scene = played([*JOINED, picked(1, "b", {"a": 2, "b": 0, "c": 1})], 2.0)
    assert scene.next_in("web") == "web/c"


def test_a_retry_spends_nobodys_turn() -> None:
    turns = {"a": 2.0, "b": 0.0, "c": 1.0}
    scene = played([*JOINED, picked(1, "b", turns), picked(1, "c", {"a": 1, "c": 0}, "retry")], 2.0)
    assert scene.next_in("web") == "web/c"


def test_a_server_that_is_out_loses_its_turn_to_the_one_after_it() -> None:
    down = HealthChanged(1.5, "web", "c", "up", "down", "")
    scene = played([*JOINED, picked(1, "b", {"a": 2, "b": 0, "c": 1}), down], 2.0)
    assert scene.next_in("web") == "web/a"


def test_nobody_is_next_before_the_first_pick_or_without_turns() -> None:
    load = Picked(1.0, 1, 1, "web", "a", "algorithm", Why("in flight", "lowest", "", (Candidate("a", 0, None),)))
    assert played(JOINED, 2.0).next_in("web") is None
    assert played([*JOINED, load], 2.0).next_in("web") is None


@pytest.mark.parametrize("attempts", [1, 2])
def test_the_marker_is_right_through_crash_retry_and_return(
    run: Callable[..., list[Event]], crash_and_heal: tuple[Act, ...], attempts: int
) -> None:
    events = run(acts=crash_and_heal, attempts=attempts)
    scene = Scene(TRAVEL)
    scene.still = True
    foretold = told = 0
    for event in events:
        if isinstance(event, Picked) and event.because != "retry":
            promised = scene.next_in("web")
            told += promised is not None
            foretold += promised == f"web/{event.backend}"
        scene.take([event])
        scene.advance(event.at)
    assert told > 150
    assert foretold == told


@settings(max_examples=20, deadline=None)
@given(share=st.floats(0.05, 1))
def test_the_counters_are_those_of_the_trace_at_any_time(share: float, run_of_20_rps: list[Event]) -> None:
    until = share * run_of_20_rps[-1].at
    past = [event for event in run_of_20_rps if event.at <= until]
    scene = played(run_of_20_rps, until)
    finished = [event for event in past if isinstance(event, Finished)]
    picks = [event for event in past if isinstance(event, Picked)]
    assert sum(server.picked for server in scene.servers.values()) == len(picks)
    assert sum(server.failed for server in scene.servers.values()) == sum(not event.ok for event in finished)
    assert sum(len(server.open) for server in scene.servers.values()) == len(picks) - len(finished)


@pytest.fixture(scope="module")
def run_of_20_rps(crash_and_heal: tuple[Act, ...], run: Callable[..., list[Event]]) -> list[Event]:
    return run(acts=crash_and_heal)
