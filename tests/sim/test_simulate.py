from __future__ import annotations

import tracemalloc
from collections import Counter
from collections.abc import Callable

import msgspec
import pytest

from lbtutor.core import (
    Act,
    Backend,
    ConfigError,
    Fault,
    PassiveCheck,
    Plan,
    Redirect,
    Respond,
    Route,
    Seconds,
    Service,
    Traffic,
)
from lbtutor.core.events import (
    Answered,
    Arrived,
    ContractBroken,
    Drained,
    Draining,
    Ejected,
    Ended,
    Event,
    FaultKind,
    Finished,
    HealthChanged,
    Joined,
    OriginChanged,
    Picked,
    Probed,
    ProbeSent,
    Readmitted,
    Rejected,
)
from lbtutor.core.health import HealthCheck
from lbtutor.core.messages import Add, BackendConfig, Command, Disable, Drain, Enable, Remove, Request, SetWeight
from lbtutor.sim import simulate
from lbtutor.trace.metrics import Metrics

MakePlan = Callable[..., Plan]
Play = Callable[[Plan], list[Event]]

QUICK = HealthCheck(interval=Seconds(1), timeout=Seconds(0.5), rise=2, fall=3)
SLOW_WORK = Service("constant", 1.0)


def befalls(kind: FaultKind, backend: str, at: float, amount: float = 0.0) -> Act:
    return Act(at, Fault(kind, "web", backend, amount))


def picks(trace: list[Event]) -> list[str]:
    return [event.backend for event in trace if isinstance(event, Picked)]


def finals(trace: list[Event]) -> list[Finished]:
    return [event for event in trace if isinstance(event, Finished) and event.final]


def changes(trace: list[Event]) -> list[tuple[float, str, str]]:
    return [(event.at, event.backend, event.now) for event in trace if isinstance(event, HealthChanged)]


def test_a_quiet_run_from_its_first_event_to_its_last(make_plan: MakePlan, play: Play) -> None:
    trace = play(make_plan("ab", rate=10, lasts=0.35))
    assert [(type(event).__name__, round(event.at, 6)) for event in trace] == [
        ("Joined", 0.0),
        ("Joined", 0.0),
        ("Arrived", 0.1),
        ("Picked", 0.1),
        ("Finished", 0.12),
        ("Arrived", 0.2),
        ("Picked", 0.2),
        ("Finished", 0.22),
        ("Arrived", 0.3),
        ("Picked", 0.3),
        ("Finished", 0.32),
        ("Ended", 0.35),
    ]
    assert picks(trace) == ["a", "b", "a"]
    assert [event.client for event in trace if isinstance(event, Arrived)] == ["127.0.1.1", "127.0.1.2", "127.0.1.3"]
    assert trace[-1] == Ended(0.35, "lasted")


def test_the_same_seed_gives_the_same_trace_to_the_byte(make_plan: MakePlan, play: Play) -> None:
    def as_json(seed: int) -> bytes:
        plan = make_plan(
            "abcd",
            algorithm="least_response_time",
            rate=200,
            arrivals="poisson",
            workers=1,
            service=Service("exponential", 0.015),
            errors=0.02,
            health=QUICK,
            attempts=2,
            acts=[
                befalls("hang", "b", 1.5),
                befalls("crash", "c", 2),
                befalls("heal", "b", 6),
                befalls("heal", "c", 7),
            ],
            lasts=10,
            seed=seed,
        )
        return msgspec.json.encode(play(plan))

    assert as_json(5) == as_json(5)
    assert as_json(5) != as_json(6)


def test_listening_changes_nothing(make_plan: MakePlan, play: Play) -> None:
    class Recorder:
        def __init__(self) -> None:
            self.picked: list[tuple[int, str]] = []

        def pick(self, request: Request, backends: tuple[Backend, ...]) -> Backend:
            chosen = min(backends, key=lambda backend: (backend.in_flight, backend.name))
            self.picked.append((request.id, chosen.name))
            return chosen

    def picked(*, listening: bool) -> list[tuple[int, str]]:
        recorder = Recorder()
        plan = make_plan(
            rate=100, arrivals="poisson", health=QUICK, attempts=2, acts=[befalls("crash", "a", 2)], lasts=8
        )
        simulate(plan, (lambda event: None) if listening else None, algorithms={"web": recorder})
        return recorder.picked

    assert picked(listening=True) == picked(listening=False)


def test_time_never_goes_back_in_a_trace(make_plan: MakePlan, play: Play) -> None:
    plan = make_plan(
        rate=50,
        arrivals="poisson",
        workers=1,
        service=Service("exponential", 0.05),
        health=QUICK,
        attempts=3,
        acts=[befalls("hang", "a", 2), befalls("refuse", "b", 3), befalls("heal", "a", 8)],
        lasts=12,
    )
    times = [event.at for event in play(plan)]
    assert times == sorted(times)


def test_every_event_of_a_run_can_be_written_to_a_journal_and_read_back(make_plan: MakePlan, play: Play) -> None:
    acts = [
        befalls("hang", "a", 3),
        Act(Seconds(4), Drain("web", "b")),
        Act(Seconds(5), SetWeight("web", "c", 2)),
        Act(Seconds(6), Disable("web", "c")),
    ]
    trace = play(make_plan(rate=20, health=QUICK, acts=acts, lasts=12, response_timeout=2))
    assert msgspec.json.decode(msgspec.json.encode(trace), type=list[Event]) == trace


def test_acts_come_before_arrivals_and_these_before_answers_and_probes_of_the_same_instant(
    make_plan: MakePlan, play: Play
) -> None:
    plan = make_plan(
        "a", rate=1, service=Service("constant", 1.0), health=QUICK, acts=[befalls("slow", "a", 2, 1.0)], lasts=2.5
    )
    now = [type(event) for event in play(plan) if event.at == 2.0]
    assert now == [OriginChanged, Arrived, Picked, Finished, ProbeSent, Probed]


def test_every_arrival_ends_exactly_once(make_plan: MakePlan, play: Play) -> None:
    acts = [
        befalls("crash", "a", 2),
        befalls("hang", "b", 3),
        befalls("refuse", "c", 4),
        befalls("error", "a", 5, 0.5),
        befalls("heal", "b", 8),
        befalls("heal", "c", 9),
        Act(10, Remove("web", "a")),
        befalls("hang", "c", 17),
    ]
    plan = make_plan(
        rate=100,
        arrivals="poisson",
        workers=2,
        service=Service("exponential", 0.02),
        health=QUICK,
        attempts=2,
        acts=acts,
        response_timeout=2,
        lasts=18,
        drain=1,
    )
    trace = play(plan)
    arrived = [event.request for event in trace if isinstance(event, Arrived)]
    rejected = [event.request for event in trace if isinstance(event, Rejected)]
    assert len(arrived) == len(set(arrived)) > 1500
    assert sorted(rejected + [event.request for event in finals(trace)]) == arrived
    outcomes = {event.outcome for event in trace if isinstance(event, Finished)}
    assert outcomes == {
        "answered 200",
        "answered 500",
        "connection refused",
        "closed before an answer",
        "no answer in time",
        "the client left first",
    }


def test_answers_by_a_route_are_ends_too(make_plan: MakePlan, play: Play) -> None:
    closed = Route(respond=Respond(503), path="/closed")
    homeless = Route(redirect=Redirect("https://{host}/"), path="/old")
    traffic = tuple(Traffic("front", 10, "poisson", path=path) for path in ("/", "/closed", "/old"))
    plan = msgspec.structs.replace(make_plan(lasts=5), routes=(Route("web"), closed, homeless), traffic=traffic)
    trace = play(plan)
    ends = [*finals(trace), *(event for event in trace if isinstance(event, Rejected | Answered))]
    assert sorted(event.request for event in ends) == [event.request for event in trace if isinstance(event, Arrived)]
    assert {type(event): event.status for event in ends} == {Finished: 200, Answered: 503, Rejected: 400}


def test_requests_under_way_at_the_end_may_end(make_plan: MakePlan, play: Play) -> None:
    trace = play(make_plan("a", rate=2, service=SLOW_WORK, lasts=1.75))
    assert [(event.at, event.outcome) for event in finals(trace)] == [
        (1.5, "answered 200"),
        (2.0, "answered 200"),
        (2.5, "answered 200"),
    ]
    assert trace[-1] == Ended(2.5, "lasted")
    assert not [event for event in trace if isinstance(event, Arrived) and event.at >= 1.75]


def test_what_has_not_ended_within_the_drain_is_cut_off(make_plan: MakePlan, play: Play) -> None:
    trace = play(make_plan("a", rate=2, service=SLOW_WORK, lasts=1.75, drain=0.5))
    assert [(event.at, event.outcome) for event in finals(trace)] == [
        (1.5, "answered 200"),
        (2.0, "answered 200"),
        (2.25, "the client left first"),
    ]
    assert trace[-1] == Ended(2.25, "lasted")


def test_after_the_end_nothing_befalls_anyone_and_nobody_is_probed(make_plan: MakePlan, play: Play) -> None:
    plan = make_plan(
        "a", rate=1, service=Service("constant", 5.0), health=QUICK, acts=[befalls("crash", "a", 4)], lasts=3
    )
    trace = play(plan)
    assert trace[-1] == Ended(7.0, "lasted")
    assert {type(event) for event in trace if event.at >= 3} == {Finished, Ended}


def test_a_crash_fails_what_was_under_way_and_what_is_sent_until_the_ejection_and_no_other(
    make_plan: MakePlan, play: Play
) -> None:
    plan = make_plan(
        rate=40, service=Service("constant", 0.2), health=QUICK, acts=[befalls("crash", "b", 4.99)], lasts=15
    )
    trace = play(plan)
    (ejected,) = [event.at for event in trace if isinstance(event, HealthChanged)]
    ended_at = {event.request: event.at for event in trace if isinstance(event, Finished)}
    sent_to_b = [event for event in trace if isinstance(event, Picked) and event.backend == "b"]
    under_way = {event.request for event in sent_to_b if event.at < 4.99 <= ended_at[event.request]}
    doomed = {event.request for event in sent_to_b if 4.99 <= event.at <= ejected}
    failed = {event.request: event.outcome for event in finals(trace) if not event.ok}
    assert {request for request, outcome in failed.items() if outcome == "closed before an answer"} == under_way
    assert {request for request, outcome in failed.items() if outcome == "connection refused"} == doomed
    assert set(failed) == under_way | doomed
    assert len(under_way) >= 2
    assert len(doomed) >= 20
    assert not [event for event in sent_to_b if event.at > ejected]


def test_a_refused_connection_ends_at_once_with_502(make_plan: MakePlan, play: Play) -> None:
    trace = play(make_plan("a", rate=1, acts=[befalls("crash", "a", 0)], lasts=1.5))
    (end,) = finals(trace)
    assert (end.at, end.took, end.status, end.outcome) == (1.0, 0.0, 502, "connection refused")


def test_a_hung_machine_costs_each_client_the_response_timeout_and_gives_504(make_plan: MakePlan, play: Play) -> None:
    trace = play(make_plan("a", rate=2, acts=[befalls("hang", "a", 0)], response_timeout=3, lasts=2.1))
    assert [(event.request, event.at, event.took, event.status) for event in finals(trace)] == [
        (1, 3.5, 3.0, 504),
        (2, 4.0, 3.0, 504),
        (3, 4.5, 3.0, 504),
        (4, 5.0, 3.0, 504),
    ]


def test_waiting_in_line_counts_towards_the_response_timeout(make_plan: MakePlan, play: Play) -> None:
    plan = make_plan("a", rate=4, workers=1, service=SLOW_WORK, response_timeout=1.5, lasts=1.1)
    assert [(event.request, event.at, event.status) for event in finals(play(plan))] == [
        (1, 1.25, 200),
        (2, 2.0, 504),
        (3, 2.25, 504),
        (4, 2.5, 504),
    ]


def test_an_answer_at_the_very_deadline_is_in_time(make_plan: MakePlan, play: Play) -> None:
    plan = make_plan("a", rate=1, service=Service("constant", 1.5), response_timeout=1.5, lasts=1.5)
    assert [(event.at, event.status) for event in finals(play(plan))] == [(2.5, 200)]


def test_a_client_that_was_let_down_leaves_its_worker_to_the_next(make_plan: MakePlan, play: Play) -> None:
    acts = [befalls("slow", "a", 0, 100.0), befalls("heal", "a", 1.5)]
    plan = make_plan("a", rate=1, workers=1, service=SLOW_WORK, response_timeout=3, acts=acts, lasts=2.5)
    assert [(event.request, event.at, event.status) for event in finals(play(plan))] == [(1, 4.0, 504), (2, 5.0, 200)]


def test_a_retry_saves_every_request_that_was_refused(make_plan: MakePlan, play: Play) -> None:
    plan = make_plan(rate=20, health=QUICK, attempts=2, acts=[befalls("refuse", "b", 0)], lasts=6)
    trace = play(plan)
    refused = [event for event in trace if isinstance(event, Finished) and not event.ok]
    assert len(refused) >= 10
    assert {(event.backend, event.outcome, event.final) for event in refused} == {("b", "connection refused", False)}
    assert all(event.ok for event in finals(trace))
    assert {event.attempt for event in finals(trace) if event.request in {one.request for one in refused}} == {2}


def test_without_retries_every_refused_request_is_lost(make_plan: MakePlan, play: Play) -> None:
    trace = play(make_plan(rate=20, health=QUICK, attempts=1, acts=[befalls("refuse", "b", 0)], lasts=6))
    assert {event.backend for event in finals(trace) if not event.ok} == {"b"}


@pytest.mark.parametrize(("method", "ends"), [("POST", [(1, 502, True)]), ("GET", [(1, 502, False), (2, 200, True)])])
def test_a_request_that_was_sent_is_sent_again_only_if_it_is_idempotent(
    make_plan: MakePlan, play: Play, method: str, ends: list[tuple[int, int, bool]]
) -> None:
    acts = [befalls("crash", "a", 1.75)]
    plan = make_plan("ab", rate=1, service=SLOW_WORK, attempts=2, acts=acts, lasts=1.9)
    trace = play(msgspec.structs.replace(plan, traffic=(msgspec.structs.replace(plan.traffic[0], method=method),)))
    assert [(event.attempt, event.status, event.final) for event in trace if isinstance(event, Finished)] == ends


def test_a_retry_tries_each_backend_once_and_then_gives_up(make_plan: MakePlan, play: Play) -> None:
    acts = [befalls("crash", name, 0) for name in "abc"]
    trace = play(make_plan(rate=1, attempts=5, acts=acts, lasts=1.5))
    assert sorted(picks(trace)) == ["a", "b", "c"]
    assert [(event.attempt, event.final) for event in trace if isinstance(event, Finished)] == [
        (1, False),
        (2, False),
        (3, True),
    ]


def test_an_algorithm_that_breaks_its_contract_fails_its_requests_and_the_run_goes_on(
    make_plan: MakePlan,
) -> None:
    class Stubborn:
        def pick(self, request: Request, backends: tuple[Backend, ...]) -> Backend:
            if request.id % 2:
                raise RuntimeError("no")
            return backends[0]

    trace: list[Event] = []
    simulate(make_plan(rate=10, lasts=1.05), trace.append, algorithms={"web": Stubborn()})
    assert len([event for event in trace if isinstance(event, ContractBroken)]) == 5
    assert [event.status for event in trace if isinstance(event, Rejected)] == [500] * 5
    assert len(finals(trace)) == 5


def found_out_after(make_plan: MakePlan, play: Play, kind: FaultKind, at: float) -> float:
    """How long the only backend was believed up after this befell it; probes at 0, 30, 60 …, by the chapter's rule."""
    chapter = HealthCheck(interval=Seconds(30), timeout=Seconds(5), rise=2, fall=3)
    plan = make_plan("a", rate=0.01, health=chapter, acts=[befalls(kind, "a", at)], lasts=at + 100)
    ((down_at, _, now),) = changes(play(plan))
    assert now == "down"
    return down_at - at


@pytest.mark.parametrize(
    ("kind", "just_before_a_probe", "just_after_a_probe"), [("hang", 65, 95), ("refuse", 60, 90), ("crash", 60, 90)]
)
def test_the_time_to_find_out_depends_on_the_phase(
    make_plan: MakePlan, play: Play, kind: FaultKind, just_before_a_probe: float, just_after_a_probe: float
) -> None:
    after = {at: found_out_after(make_plan, play, kind, at) for at in (60.001, 67.5, 75, 82.5, 89.999, 90)}
    assert after[60.001] == pytest.approx(just_after_a_probe - 0.001)
    assert after[89.999] == pytest.approx(just_before_a_probe + 0.001)
    assert after[90] == just_before_a_probe
    assert list(after.values()) == sorted(after.values(), reverse=True)


def test_members_take_turns_within_the_probe_interval(make_plan: MakePlan, play: Play) -> None:
    check = HealthCheck(interval=Seconds(30), timeout=Seconds(5))
    trace = play(make_plan("abc", rate=0.01, health=check, lasts=61))
    assert [(event.at, event.backend) for event in trace if isinstance(event, ProbeSent)] == [
        (0, "a"),
        (10, "b"),
        (20, "c"),
        (30, "a"),
        (40, "b"),
        (50, "c"),
        (60, "a"),
    ]


@pytest.mark.parametrize(
    ("kind", "amount", "delay", "because"),
    [
        ("heal", 0.0, 0.0, "200"),
        ("crash", 0.0, 0.0, "connection refused"),
        ("error", 1.0, 0.0, "500"),
        ("hang", 0.0, 5.0, "no answer in 5s"),
    ],
)
def test_a_probe_says_what_it_heard_and_only_a_hung_machine_takes_its_time(
    make_plan: MakePlan, play: Play, kind: FaultKind, amount: float, delay: float, because: str
) -> None:
    check = HealthCheck(interval=Seconds(30), timeout=Seconds(5))
    trace = play(make_plan("a", rate=0.01, health=check, acts=[befalls(kind, "a", 10, amount)], lasts=40))
    heard = [event for event in trace if isinstance(event, Probed)][-1]
    assert (heard.at, heard.because) == (30 + delay, because)


@pytest.mark.parametrize(
    ("kind", "amount", "heard"),
    [
        ("heal", 0.0, [(0, "200"), (32, "200")]),
        ("refuse", 0.0, [(0, "200"), (32, "200")]),
        ("error", 1.0, [(0, "200"), (32, "500")]),
        ("crash", 0.0, [(0, "200"), (32, "closed before an answer")]),
        ("hang", 0.0, [(0, "200"), (35, "no answer in 5s")]),
    ],
)
def test_a_probe_that_is_held_hears_what_befalls_the_machine_next(
    make_plan: MakePlan, play: Play, kind: FaultKind, amount: float, heard: list[tuple[float, str]]
) -> None:
    check = HealthCheck(interval=Seconds(30), timeout=Seconds(5))
    acts = [befalls("hang", "a", 29), befalls(kind, "a", 32, amount)]
    trace = play(make_plan("a", rate=0.01, health=check, acts=acts, lasts=59))
    assert [(event.at, event.because) for event in trace if isinstance(event, Probed)] == heard


def test_each_probe_has_its_whole_timeout_whatever_became_of_the_one_before(make_plan: MakePlan, play: Play) -> None:
    acts = [
        Act(0.5, Disable("web", "a")),
        befalls("hang", "a", 1),
        Act(3.25, Enable("web", "a")),
        befalls("heal", "a", 3.5),
        befalls("hang", "a", 3.75),
    ]
    check = HealthCheck(interval=Seconds(1), timeout=Seconds(1))
    trace = play(make_plan("a", rate=0.01, health=check, acts=acts, lasts=5.5))
    assert [event.at for event in trace if isinstance(event, ProbeSent)] == [0, 3.25, 4, 5]
    assert [(event.at, event.ok) for event in trace if isinstance(event, Probed)] == [
        (0, True),
        (3.5, True),
        (5, False),
    ]


def test_a_healed_machine_returns_after_two_good_probes_and_gets_its_share_again(
    make_plan: MakePlan, play: Play
) -> None:
    acts = [befalls("crash", "a", 2.5), befalls("heal", "a", 7.5)]
    trace = play(make_plan("abc", rate=30, health=QUICK, acts=acts, lasts=20))
    assert changes(trace) == [(5.0, "a", "down"), (9.0, "a", "up")]
    without_a = Counter(event.backend for event in trace if isinstance(event, Picked) and 5.0 < event.at < 9.0)
    assert without_a["a"] == 0
    assert without_a["b"] == pytest.approx(without_a["c"], abs=1)
    again = Counter(event.backend for event in trace if isinstance(event, Picked) and event.at > 9.0)
    assert max(again.values()) - min(again.values()) <= 1
    assert set(again) == {"a", "b", "c"}


def test_with_everybody_down_a_rejecting_pool_answers_503_itself(make_plan: MakePlan, play: Play) -> None:
    acts = [befalls("hang", name, 0.5) for name in "ab"]
    trace = play(make_plan("ab", rate=10, health=QUICK, acts=acts, response_timeout=1, lasts=10))
    last_down = max(at for at, _, _ in changes(trace))
    rejected = [event for event in trace if isinstance(event, Rejected)]
    assert {(event.status, event.because) for event in rejected} == {(503, "no backend is available")}
    assert [event.request for event in rejected] == [
        event.request for event in trace if isinstance(event, Arrived) and event.at > last_down
    ]


def test_with_everybody_down_a_pool_that_fails_open_offers_everybody(make_plan: MakePlan, play: Play) -> None:
    acts = [befalls("crash", name, 0.5) for name in "ab"]
    trace = play(make_plan("ab", rate=10, health=QUICK, all_down="fail_open", acts=acts, lasts=10))
    last_down = max(at for at, _, _ in changes(trace))
    assert not [event for event in trace if isinstance(event, Rejected)]
    after = Counter(event.backend for event in trace if isinstance(event, Picked) and event.at > last_down)
    assert set(after) == {"a", "b"}
    assert max(after.values()) - min(after.values()) <= 1


def test_fail_open_serves_while_the_probes_are_wrong(make_plan: MakePlan, play: Play) -> None:
    acts = [befalls("refuse", name, 1.05) for name in "ab"]
    trace = play(make_plan("ab", rate=10, health=QUICK, all_down="fail_open", acts=acts, lasts=10))
    assert {name for _, name, now in changes(trace) if now == "down"} == {"a", "b"}
    assert all(event.ok for event in finals(trace))


def test_a_draining_backend_gets_nothing_new_and_ends_what_it_has(make_plan: MakePlan, play: Play) -> None:
    acts: list[Act] = [Act(5.05, Drain("web", "b"))]
    trace = play(make_plan(rate=10, service=SLOW_WORK, acts=acts, lasts=10))
    (draining,) = [event for event in trace if isinstance(event, Draining)]
    (drained,) = [event for event in trace if isinstance(event, Drained)]
    to_b = [event for event in trace if isinstance(event, Finished) and event.backend == "b"]
    assert draining.in_flight == sum(event.at > 5.05 for event in to_b) >= 3
    assert drained.at == to_b[-1].at <= 6.05
    assert all(event.ok for event in to_b)
    assert not [event for event in trace if isinstance(event, Picked) and event.backend == "b" and event.at > 5.05]


def commanded(at: float, command: Command) -> Act:
    return Act(at, command)


def test_a_newcomer_gets_its_turn_at_the_end_of_the_order(make_plan: MakePlan, play: Play) -> None:
    acts = [commanded(1.05, Add("web", BackendConfig("c")))]
    trace = play(make_plan("ab", rate=10, acts=acts, extra_machines="c", lasts=2))
    assert [event.backend for event in trace if isinstance(event, Joined)] == ["a", "b", "c"]
    assert picks(trace)[10:16] == ["a", "b", "c", "a", "b", "c"]


def test_one_in_maintenance_is_neither_picked_nor_probed_until_enabled(make_plan: MakePlan, play: Play) -> None:
    acts = [commanded(2.05, Disable("web", "a")), commanded(6.05, Enable("web", "a"))]
    trace = play(make_plan("ab", rate=10, health=QUICK, acts=acts, lasts=10))
    heard_of_a = [
        event for event in trace if isinstance(event, Picked | ProbeSent) and event.backend == "a" and event.at < 9
    ]
    assert not [event for event in heard_of_a if 2.05 < event.at < 6.05]
    assert [event.at for event in heard_of_a if isinstance(event, ProbeSent)] == [0, 1, 2, 6.05, 7, 8]


def test_a_new_weight_counts_from_its_moment_on(make_plan: MakePlan, play: Play) -> None:
    acts = [commanded(6.05, SetWeight("web", "a", 3))]
    trace = play(make_plan("ab", algorithm="weighted_round_robin", rate=10, acts=acts, lasts=14.1))
    assert Counter(picks(trace)[:60]) == {"a": 30, "b": 30}
    assert Counter(picks(trace)[60:140]) == {"a": 60, "b": 20}


@pytest.mark.parametrize("backends", ["a", "ab", "abcd", "abcdefg"])
def test_round_robin_shares_differ_by_at_most_one_request(make_plan: MakePlan, play: Play, backends: str) -> None:
    trace = play(make_plan(backends, rate=50, arrivals="poisson", lasts=20))
    shares = Counter(picks(trace))
    assert set(shares) == set(backends)
    assert max(shares.values()) - min(shares.values()) <= 1
    assert picks(trace)[: len(backends)] == list(backends)


def test_an_interruption_ends_the_run_with_what_was_seen_so_far(make_plan: MakePlan, play: Play) -> None:
    plan = make_plan(rate=10, lasts=30)
    whole = play(plan)
    seen: list[Event] = []

    def report(event: Event) -> None:
        seen.append(event)
        if len(seen) == 100:
            raise KeyboardInterrupt

    simulate(plan, report)
    assert seen[:100] == whole[:100]
    assert seen[100:] == [Ended(whole[99].at, "interrupted")]


def test_an_interruption_before_anything_happened_ends_the_run_too(make_plan: MakePlan) -> None:
    seen: list[Event] = []

    def report(event: Event) -> None:
        seen.append(event)
        if isinstance(event, Joined):
            raise KeyboardInterrupt

    simulate(make_plan(), report)
    assert [type(event) for event in seen] == [Joined, Ended]


@pytest.mark.parametrize(
    ("act", "needed_by"),
    [
        (befalls("crash", "z", 5), "crash at 5s needs a machine web/z"),
        (Act(7, Add("web", BackendConfig("z", 1, "10.0.0.9:80"))), "add at 7s needs a machine web/z"),
    ],
)
def test_a_plan_that_needs_a_machine_it_does_not_describe_is_refused_before_it_starts(
    make_plan: MakePlan, act: Act, needed_by: str
) -> None:
    seen: list[Event] = []
    with pytest.raises(ConfigError, match=f"{needed_by}.*known: web/a, web/b, web/c"):
        simulate(make_plan(acts=[act]), seen.append)
    assert seen == []


def test_a_backend_that_is_somebodys_server_cannot_be_simulated(make_plan: MakePlan) -> None:
    plan = msgspec.structs.replace(make_plan("ab"), machines=())
    with pytest.raises(ConfigError, match=r"pool web needs a machine web/a.*known: none.*not servers at an `address`"):
        simulate(plan, None)


def test_an_ejection_ends_on_time_without_any_probe(make_plan: MakePlan, play: Play) -> None:
    plan = make_plan("ab", acts=[befalls("crash", "a", 1.01), befalls("heal", "a", 6.01)], lasts=12)
    check = PassiveCheck(fails=2, window=Seconds(5), eject=Seconds(2.05))
    plan = msgspec.structs.replace(plan, pools=(msgspec.structs.replace(plan.pools[0], passive=check),))
    events = play(plan)
    out = [event for event in events if isinstance(event, Ejected)]
    back = [event for event in events if isinstance(event, Readmitted)]
    assert [event.until - event.at for event in out] == pytest.approx([2.05, 4.1])
    assert [event.at for event in back] == [event.until for event in out]
    for begin, end in zip(out, back, strict=True):
        assert not any(
            isinstance(event, Picked) and event.backend == "a" and begin.at < event.at < end.at for event in events
        )


@pytest.mark.slow
@pytest.mark.parametrize(("requests", "listens"), [(10_000, False), (4_000, True)])
def test_memory_does_not_grow_with_the_number_of_requests(make_plan: MakePlan, requests: int, listens: bool) -> None:
    """Ten times the requests at the same load: the high-water mark stays, but for a queue that is deeper by chance."""

    def peak(requests: int) -> int:
        metrics = Metrics(keeps=1)
        plan = make_plan(
            rate=400,
            arrivals="poisson",
            clients=50,
            workers=2,
            service=Service("exponential", 0.01),
            health=QUICK,
            lasts=requests / 400,
        )
        tracemalloc.start()
        try:
            simulate(plan, metrics.take if listens else None)
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    peak(1_000)
    few, many = peak(requests), peak(10 * requests)
    assert many < 1.25 * few, f"{few:,} bytes for {requests} requests, {many:,} for ten times as many"
