"""What the simulator does with decisions that come later, and with what is more than a request."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import pytest

from lbtutor.core import (
    Act,
    Conversation,
    Drain,
    Event,
    Fault,
    HealthCheck,
    ListenerConfig,
    Plan,
    Retry,
    Seconds,
    Service,
    Sticky,
    Tls,
)
from lbtutor.core.events import (
    Arrived,
    BackedOff,
    Drained,
    Finished,
    Picked,
    Probed,
    ProbeSent,
    Queued,
    Rejected,
    SessionLost,
    SessionStarted,
    WeightChanged,
)

MakePlan = Callable[..., Plan]
Play = Callable[[Plan], list[Event]]

SLOW = Service("constant", 1.0)
TCP = ListenerConfig("front", mode="tcp", pool="web", idle_timeout=Seconds(2))
UDP = ListenerConfig("front", mode="udp", pool="web", idle_timeout=Seconds(1.5))


def crash(backend: str, at: float) -> Act:
    return Act(at, Fault("crash", "web", backend))


def ends(trace: list[Event]) -> list[tuple[float, int, str, int]]:
    """When each attempt ended, how, and what the client got."""
    return [
        (round(event.at, 6), event.request, event.outcome, event.status)
        for event in trace
        if isinstance(event, Finished)
    ]


def events(trace: list[Event], kind: type) -> list[Event]:
    return [event for event in trace if isinstance(event, kind)]


def test_who_waits_in_line_is_served_when_there_is_room(make_plan: MakePlan, play: Play) -> None:
    trace = play(make_plan("a", limit=1, queue=Seconds(5), service=SLOW, rate=2, lasts=1.6))
    assert [event.request for event in trace if isinstance(event, Queued)] == [2, 3]
    assert [(event.at, event.request) for event in trace if isinstance(event, Picked)] == [(0.5, 1), (1.5, 2), (2.5, 3)]


def test_who_waits_too_long_is_turned_away_on_time_also_when_the_scenario_is_over(
    make_plan: MakePlan, play: Play
) -> None:
    plan = make_plan("a", limit=1, queue=Seconds(2), service=Service("constant", 9.0), rate=2, lasts=1.6)
    trace = play(plan)
    assert [(event.at, event.status) for event in trace if isinstance(event, Rejected)] == [(3.0, 503), (3.5, 503)]


def test_who_still_waits_when_all_time_is_over_is_sent_home(make_plan: MakePlan, play: Play) -> None:
    work = Service("constant", 99.0)
    trace = play(make_plan("a", limit=1, queue=Seconds(50), service=work, rate=2, lasts=1.6, drain=3))
    assert [(event.request, event.status) for event in trace if isinstance(event, Rejected)] == [(2, 499), (3, 499)]
    assert [end[1:] for end in ends(trace)] == [(1, "the client left first", 499)]


def test_no_probe_is_sent_for_a_back_off_after_the_end(make_plan: MakePlan, play: Play) -> None:
    health = HealthCheck(interval=Seconds(1), timeout=Seconds(0.5))
    plan = make_plan(
        "ab", retry=Retry(2, backoff=Seconds(8)), health=health, rate=1, acts=[crash("a", 0.1)], lasts=1.5, drain=40
    )
    trace = play(plan)
    (backed_off,) = (event for event in trace if isinstance(event, BackedOff))
    second = [event for event in trace if isinstance(event, Picked) and event.attempt == 2]
    assert [event.at for event in second] == [backed_off.until]
    assert max(event.at for event in events(trace, ProbeSent)) < 1.5 < backed_off.until


def test_what_is_cut_off_by_a_drain_ends_there_and_frees_its_worker(make_plan: MakePlan, play: Play) -> None:
    plan = make_plan(
        "a", service=Service("constant", 9.0), rate=1, acts=[Act(2.5, Drain("web", "a", Seconds(1)))], lasts=5
    )
    trace = play(plan)
    assert ends(trace) == [
        (3.5, 1, "closed before an answer", 502),
        (3.5, 2, "closed before an answer", 502),
    ]
    assert [event.at for event in events(trace, Drained)] == [3.5]


def test_a_conversation_that_is_cut_off_has_begun(make_plan: MakePlan, play: Play) -> None:
    talk = Conversation(Seconds(60))
    plan = make_plan("a", websocket=talk, rate=1, stop=1.5, acts=[Act(2.5, Drain("web", "a", Seconds(1)))], lasts=5)
    assert ends(play(plan)) == [(3.5, 1, "broke off in mid-answer", 101)]


def test_conversations_that_outlive_the_run_are_cancelled(make_plan: MakePlan, play: Play) -> None:
    plan = make_plan("a", websocket=Conversation(Seconds(60)), rate=1, stop=1.5, lasts=3, drain=2)
    assert ends(play(plan)) == [(5.0, 1, "the client left first", 499)]


def test_a_conversation_that_gets_no_answer_times_out_like_any_request(make_plan: MakePlan, play: Play) -> None:
    acts = [Act(0.5, Fault("hang", "web", "a"))]
    plan = make_plan("a", websocket=Conversation(Seconds(60)), rate=1, stop=1.5, acts=acts, response_timeout=2, lasts=4)
    assert ends(play(plan)) == [(3.0, 1, "no answer in time", 504)]


def test_a_probe_of_a_port_is_a_knock(make_plan: MakePlan, play: Play) -> None:
    health = HealthCheck(interval=Seconds(1), timeout=Seconds(0.5), mode="tcp")
    acts = [Act(0.5, Fault("hang", "web", "a")), crash("b", 0.2)]
    trace = play(make_plan("ab", health=health, acts=acts, lasts=1.9))
    assert [(event.backend, event.because) for event in trace if isinstance(event, Probed)] == [
        ("a", "connected"),
        ("b", "connection refused"),
        ("a", "connected"),
        ("b", "connection refused"),
    ]


def test_a_slow_start_is_stepped_through_without_any_probe_or_request(make_plan: MakePlan, play: Play) -> None:
    health = HealthCheck(interval=Seconds(2), timeout=Seconds(1), rise=1, fall=1)
    acts = [crash("a", 1.0), Act(3.0, Fault("heal", "web", "a"))]
    plan = make_plan("ab", slow_start=Seconds(1), health=health, rate=0.01, acts=acts, lasts=6)
    grown = [event for event in play(plan) if isinstance(event, WeightChanged)]
    assert [round(event.at, 6) for event in grown[1:]] == pytest.approx([4 + step / 10 for step in range(2, 11)])


def test_a_sticky_client_goes_where_it_was_until_its_cookie_is_too_old(make_plan: MakePlan, play: Play) -> None:
    sticky = Sticky(cookie="SERVER", ttl=Seconds(3), sliding=False)
    trace = play(make_plan("ab", sticky=sticky, clients=1, rate=1, lasts=8.5))
    assert [event.because for event in trace if isinstance(event, Picked)] == [
        "algorithm",
        "sticky",
        "sticky",
        "algorithm",
        "sticky",
        "sticky",
        "algorithm",
        "sticky",
    ]


def test_a_client_that_keeps_no_cookies_is_a_stranger_each_time(make_plan: MakePlan, play: Play) -> None:
    trace = play(make_plan("ab", sticky=Sticky(cookie="SERVER"), clients=1, cookies=False, lasts=2))
    assert {event.because for event in trace if isinstance(event, Picked)} == {"algorithm"}


def test_a_handshake_brings_a_cookie_while_its_conversation_goes_on(make_plan: MakePlan, play: Play) -> None:
    talk = Conversation(Seconds(60))
    plan = make_plan("ab", sticky=Sticky(cookie="SERVER"), websocket=talk, clients=1, rate=1, lasts=3.5)
    assert [event.because for event in play(plan) if isinstance(event, Picked)] == ["algorithm", "sticky", "sticky"]


def test_a_cookie_that_came_with_no_answer_is_not_kept(make_plan: MakePlan, play: Play) -> None:
    plan = make_plan("ab", sticky=Sticky(cookie="SERVER"), clients=1, rate=1, acts=[crash("a", 0.5)], lasts=2.5)
    assert [event.because for event in play(plan) if isinstance(event, Picked)] == ["algorithm", "algorithm"]


def test_a_connection_is_a_request_that_ends_well_whatever_is_said_on_it(make_plan: MakePlan, play: Play) -> None:
    trace = play(make_plan("a", listener=TCP, errors=1.0, rate=2, lasts=1.6))
    assert [(event.method, event.host, event.path) for event in trace if isinstance(event, Arrived)] == [
        ("TCP", "", "")
    ] * 3
    assert [end[2:] for end in ends(trace)] == [("ended well", 0)] * 3


def test_a_connection_on_which_nobody_speaks_is_closed_when_its_door_has_no_more_patience(
    make_plan: MakePlan, play: Play
) -> None:
    plan = make_plan("a", listener=TCP, service=Service("constant", 9.0), rate=1, lasts=1.5, response_timeout=0.5)
    assert ends(play(plan)) == [(3.0, 1, "ended well", 0)]


def test_a_connection_with_tls_tells_the_name_that_is_asked_for(make_plan: MakePlan, play: Play) -> None:
    door = ListenerConfig("front", mode="tcp", pool="web", tls=Tls(passthrough=True))
    trace = play(make_plan("a", listener=door, rate=1, lasts=1.5))
    assert [(event.host, event.sni) for event in trace if isinstance(event, Arrived)] == [("", "localhost")]


def test_datagrams_of_one_client_are_a_session_until_it_is_silent(make_plan: MakePlan, play: Play) -> None:
    trace = play(make_plan("ab", listener=UDP, clients=1, rate=1, stop=4.5, lasts=9))
    assert ends(trace) == [(5.5, 1, "ended well", 0)]


def test_after_a_silence_the_next_datagram_begins_another_session(make_plan: MakePlan, play: Play) -> None:
    trace = play(make_plan("ab", listener=UDP, clients=1, rate=0.5, stop=4.5, lasts=9))
    assert [event.backend for event in trace if isinstance(event, Picked)] == ["a", "b"]


def test_a_closed_port_ends_the_session_of_the_datagram_that_comes_there(make_plan: MakePlan, play: Play) -> None:
    plan = make_plan("ab", listener=UDP, clients=1, rate=1, acts=[crash("a", 1.5)], attempts=2, stop=4.5, lasts=9)
    assert ends(play(plan)) == [(2.0, 1, "broke off in mid-answer", 502), (5.5, 2, "ended well", 0)]
    plan = make_plan("ab", listener=UDP, clients=1, rate=1, acts=[crash("a", 0.5)], attempts=2, stop=2.5, lasts=9)
    assert ends(play(plan)) == [(1.0, 1, "connection refused", 502), (3.5, 2, "ended well", 0)]


def test_sessions_of_datagrams_that_outlive_the_run_are_cancelled(make_plan: MakePlan, play: Play) -> None:
    trace = play(make_plan("a", listener=UDP, clients=1, rate=1, lasts=1.5, drain=0.5))
    assert ends(trace) == [(2.0, 1, "the client left first", 499)]


def test_a_machine_with_its_own_memory_does_not_know_anothers_visitors(make_plan: MakePlan, play: Play) -> None:
    trace = play(make_plan("ab", sessions="memory", clients=1, rate=2, lasts=2.6))
    started = [event.session for event in trace if isinstance(event, SessionStarted)]
    lost = [(event.backend, event.session) for event in trace if isinstance(event, SessionLost)]
    assert lost == [("b", started[0]), ("a", started[1]), ("b", started[2]), ("a", started[3])]


@pytest.mark.parametrize(("store", "lost"), [("memory", 1), ("sqlite", 0)])
def test_a_crash_takes_a_machines_own_memory_along_and_no_other(
    make_plan: MakePlan, play: Play, store: str, lost: int
) -> None:
    acts = [crash("a", 2.2), Act(2.4, Fault("heal", "web", "a"))]
    trace = play(make_plan("a", sessions=store, clients=1, rate=2, acts=acts, lasts=4))
    assert len(events(trace, SessionLost)) == lost
    assert len(events(trace, SessionStarted)) == 1 + lost


def test_an_error_and_a_broken_request_are_no_visits(make_plan: MakePlan, play: Play) -> None:
    trace = play(make_plan("a", sessions="memory", errors=1.0, lasts=2))
    assert not events(trace, SessionStarted)


def test_a_machine_behind_a_bare_connection_knows_its_visitors_by_cookie_and_not_by_address(
    make_plan: MakePlan, play: Play
) -> None:
    plan = make_plan("a", listener=TCP, sessions="memory", clients=2, rate=2, lasts=3)
    started = [event.client for event in play(plan) if isinstance(event, SessionStarted)]
    assert started == ["127.0.0.1"] * 2
    plan = make_plan("a", listener=TCP, sessions="memory", clients=2, rate=2, lasts=3, send_proxy="v1")
    started = [event.client for event in play(plan) if isinstance(event, SessionStarted)]
    assert started == ["127.0.1.1", "127.0.1.2"]


def test_every_guest_is_seen_off(make_plan: MakePlan, play: Play) -> None:
    acts = [crash("b", 3.0), Act(6.0, Fault("heal", "web", "b"))]
    plan = make_plan(
        "abc",
        sticky=Sticky(cookie="SERVER"),
        sessions="memory",
        limit=2,
        queue=Seconds(0.7),
        retry=Retry(3, backoff=Seconds(0.2)),
        service=Service("exponential", 0.5),
        errors=0.1,
        arrivals="poisson",
        rate=12,
        acts=acts,
        lasts=12,
    )
    trace = play(plan)
    over = Counter(
        event.request for event in trace if isinstance(event, Rejected) or (isinstance(event, Finished) and event.final)
    )
    assert over == Counter(event.request for event in trace if isinstance(event, Arrived))
    assert all(events(trace, kind) for kind in (Queued, BackedOff, SessionLost))
