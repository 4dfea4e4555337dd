"""A station alone on a loop: offered requests by hand, and heard when they end."""

from __future__ import annotations

from math import inf

import pytest

from lbtutor.core.events import FaultKind
from lbtutor.core.messages import Outcome
from lbtutor.core.service import Service
from lbtutor.core.workload import Fault, MachineConfig
from lbtutor.sim.loop import Loop, Order
from lbtutor.sim.station import Station


class Machine:
    """A station and its diary: `(time, request, outcome)` of all that ended."""

    def __init__(self, *, workers: int = 1, service: Service | None = None, errors: float = 0.0, seed: int = 1) -> None:
        self.loop = Loop()
        config = MachineConfig("web", "a", workers, service or Service("constant", 1.0), errors)
        self.station = Station(config, seed, self.loop, self._heard)
        self.ended: list[tuple[float, int, str]] = []

    def _heard(self, request: int, outcome: Outcome) -> None:
        self.ended.append((self.loop.now, request, outcome.says))

    def offer(self, *requests: int, at: float = 0.0) -> None:
        for request in requests:
            self.loop.schedule(at, Order.ARRIVAL, self._accept, request)

    def offer_alone(self, *requests: int, at: float = 0.0) -> None:
        for request in requests:
            self.loop.schedule(at, Order.ARRIVAL, self._accept_alone, request)

    def open(self, *requests: int, at: float = 0.0, lasts: float = 5.0) -> None:
        for request in requests:
            self.loop.schedule(at, Order.ARRIVAL, self._converse, (request, lasts))

    def _accept(self, request: int) -> None:
        self._told(request, self.station.accept(request))

    def _accept_alone(self, request: int) -> None:
        self._told(request, self.station.accept_alone(request))

    def _converse(self, conversation: tuple[int, float]) -> None:
        self._told(conversation[0], self.station.converse(*conversation))

    def _told(self, request: int, outcome: Outcome | None) -> None:
        if outcome is not None:
            self._heard(request, outcome)

    def befall(self, kind: FaultKind, amount: float = 0.0, *, at: float = 0.0) -> None:
        self.loop.schedule(at, Order.ACT, self.station.befall, Fault(kind, "web", "a", amount))

    def abandon(self, request: int, *, at: float) -> None:
        self.loop.schedule(at, Order.DEADLINE, self.station.abandon, request)

    def play(self, until: float = 100.0) -> list[tuple[float, int, str]]:
        self.loop.run(until)
        return self.ended


SWITCHED = Outcome.answered(101).says


def ok(at: float, request: int) -> tuple[float, int, str]:
    return at, request, "answered 200"


def test_one_worker_serves_one_after_the_other_first_come_first_served() -> None:
    machine = Machine(workers=1)
    machine.offer(3, 1, 2)
    assert machine.play() == [ok(1.0, 3), ok(2.0, 1), ok(3.0, 2)]


def test_so_many_workers_serve_so_many_at_once() -> None:
    machine = Machine(workers=2)
    machine.offer(1, 2, 3)
    assert machine.play() == [ok(1.0, 1), ok(1.0, 2), ok(2.0, 3)]


def test_a_worker_that_waits_starts_at_once() -> None:
    machine = Machine(workers=1)
    machine.offer(1, at=0.0)
    machine.offer(2, at=5.0)
    assert machine.play() == [ok(1.0, 1), ok(6.0, 2)]


def test_the_oldest_is_the_one_taken_in_first_and_nobody_when_all_have_ended() -> None:
    machine = Machine(workers=2)
    machine.offer(7, at=0.25)
    machine.offer(3, at=0.5)
    machine.play(until=0.6)
    oldest = machine.station.oldest
    assert oldest is not None
    assert (oldest.request, oldest.taken_in) == (7, 0.25)
    machine.play()
    assert machine.station.oldest is None


def test_the_dice_are_thrown_for_each_request_first_for_work_and_then_for_errors() -> None:
    service = Service("exponential", 1.0)
    machine = Machine(workers=1000, service=service, errors=0.5)
    rng = MachineConfig("web", "a").rng(1)
    expected = []
    for request in range(100):
        work, errs = service.sample(rng), rng.random() < 0.5
        expected.append((0.0 if errs else work, request, "answered 500" if errs else "answered 200"))
    machine.offer(*range(100))
    assert machine.play() == sorted(expected)


def test_the_nth_request_takes_as_long_whatever_befell_those_before() -> None:
    calm, stormy = (Machine(workers=100, service=Service("exponential", 1.0)) for _ in range(2))
    stormy.befall("error", 1.0, at=0.0)
    stormy.befall("slow", 3.0, at=1.0)
    stormy.befall("heal", at=2.0)
    for machine in (calm, stormy):
        for request in range(3):
            machine.offer(request, at=float(request))
    calm_took, stormy_took = ({request: at - request for at, request, _ in one.play()} for one in (calm, stormy))
    assert stormy_took[0] == 0
    assert stormy_took[1] == pytest.approx(3 * calm_took[1])
    assert stormy_took[2] == pytest.approx(calm_took[2])


def test_a_request_that_errs_is_answered_at_once_and_needs_no_worker() -> None:
    machine = Machine(workers=1)
    machine.offer(1)
    machine.befall("error", 1.0, at=0.5)
    machine.offer(2, at=0.5)
    assert machine.play() == [(0.5, 2, "answered 500"), ok(1.0, 1)]


def test_the_error_fault_replaces_the_share_that_the_machine_has_on_its_best_days() -> None:
    machine = Machine(errors=1.0, workers=10)
    machine.offer(1, at=0.0)
    machine.befall("error", 1e-12, at=1.0)
    machine.offer(2, at=1.0)
    machine.befall("heal", at=3.0)
    machine.offer(3, at=3.0)
    assert machine.play() == [(0.0, 1, "answered 500"), ok(2.0, 2), (3.0, 3, "answered 500")]


def test_a_crash_closes_what_is_under_way_and_what_waits_in_the_order_it_came() -> None:
    machine = Machine(workers=1)
    machine.offer(5, 4, 6)
    machine.befall("crash", at=0.5)
    closed = "closed before an answer"
    assert machine.play() == [(0.5, 5, closed), (0.5, 4, closed), (0.5, 6, closed)]


def test_a_crashed_machine_refuses_and_after_healing_starts_empty_with_the_same_dice() -> None:
    machine = Machine(workers=1, service=Service("exponential", 1.0))
    rng = MachineConfig("web", "a").rng(1)
    draws = [(rng.expovariate(1.0), rng.random())[0] for _ in range(2)]
    machine.offer(1)
    machine.befall("crash", at=draws[0] / 2)
    machine.offer(2, at=10.0)
    machine.befall("heal", at=20.0)
    machine.offer(3, at=20.0)
    _, refused, served = machine.play()
    assert refused == (10.0, 2, "connection refused")
    assert served == ok(20.0 + draws[1], 3)


def test_a_refusing_machine_goes_on_with_what_it_has_taken_in() -> None:
    machine = Machine(workers=1)
    machine.offer(1, 2)
    machine.befall("refuse", at=0.5)
    machine.offer(3, at=0.5)
    assert machine.play() == [(0.5, 3, "connection refused"), ok(1.0, 1), ok(2.0, 2)]


def test_a_refusing_machine_serves_as_many_as_connections_stayed_open() -> None:
    machine = Machine(workers=8)
    machine.offer(1, 2)
    machine.befall("refuse", at=5.0)
    machine.offer(3, 4, 5, at=5.0)
    assert machine.play() == [ok(1.0, 1), ok(1.0, 2), (5.0, 5, "connection refused"), ok(6.0, 3), ok(6.0, 4)]


def test_an_error_leaves_its_connection_open() -> None:
    machine = Machine()
    machine.befall("error", 1.0, at=0.0)
    machine.offer(1, at=0.0)
    machine.befall("refuse", at=1.0)
    machine.offer(2, 3, at=1.0)
    assert machine.play() == [(0.0, 1, "answered 500"), (1.0, 3, "connection refused"), ok(2.0, 2)]


def test_a_crash_leaves_no_connection_open() -> None:
    machine = Machine()
    machine.offer(1)
    machine.befall("crash", at=5.0)
    machine.befall("refuse", at=6.0)
    machine.offer(2, at=6.0)
    assert machine.play()[-1] == (6.0, 2, "connection refused")


def test_an_abandoned_request_takes_its_connection_with_it() -> None:
    machine = Machine()
    machine.offer(1)
    machine.abandon(1, at=0.5)
    machine.befall("refuse", at=5.0)
    machine.offer(2, at=5.0)
    assert machine.play() == [(5.0, 2, "connection refused")]


def test_a_hung_machine_answers_nobody_and_goes_on_where_it_stood_when_healed() -> None:
    machine = Machine(workers=1)
    machine.offer(1, 2)
    machine.befall("hang", at=0.25)
    machine.offer(3, at=10.0)
    machine.befall("heal", at=50.0)
    assert machine.play() == [ok(50.75, 1), ok(51.75, 2), ok(52.75, 3)]


def test_what_a_hung_machine_takes_in_starts_when_it_is_healed_even_if_workers_were_free() -> None:
    machine = Machine(workers=4)
    machine.befall("hang", at=0.0)
    machine.offer(1, 2, at=1.0)
    machine.befall("heal", at=5.0)
    assert machine.play() == [ok(6.0, 1), ok(6.0, 2)]


def test_an_error_that_a_hung_machine_took_in_is_answered_when_it_is_healed() -> None:
    machine = Machine(errors=1.0)
    machine.befall("hang", at=0.0)
    machine.offer(1, at=1.0)
    machine.befall("heal", at=5.0)
    assert machine.play() == [(5.0, 1, "answered 500")]


def test_a_hung_machine_that_crashes_closes_all_it_held() -> None:
    machine = Machine(workers=1)
    machine.offer(1, 2)
    machine.befall("hang", at=0.5)
    machine.befall("crash", at=3.0)
    machine.befall("heal", at=4.0)
    machine.offer(3, at=5.0)
    closed = "closed before an answer"
    assert machine.play() == [(3.0, 1, closed), (3.0, 2, closed), ok(6.0, 3)]


def test_to_hang_and_heal_in_one_instant_changes_nothing() -> None:
    machine = Machine(workers=1)
    machine.offer(1, 2)
    machine.befall("hang", at=0.5)
    machine.befall("heal", at=0.5)
    assert machine.play() == [ok(1.0, 1), ok(2.0, 2)]


def test_to_hang_twice_is_to_hang() -> None:
    machine = Machine(workers=1)
    machine.offer(1)
    machine.befall("hang", at=0.25)
    machine.befall("hang", at=2.0)
    machine.befall("heal", at=3.0)
    assert machine.play() == [ok(3.75, 1)]


def test_slowness_is_felt_by_work_that_starts_under_it_and_by_no_other() -> None:
    machine = Machine(workers=1)
    machine.offer(1, 2)
    machine.befall("slow", 4.0, at=0.5)
    machine.befall("heal", at=2.0)
    machine.offer(3, at=4.9)
    assert machine.play() == [ok(1.0, 1), ok(5.0, 2), ok(6.0, 3)]


def test_the_next_fault_replaces_the_one_before() -> None:
    machine = Machine(workers=1)
    machine.befall("crash", at=0.0)
    machine.befall("slow", 2.0, at=1.0)
    machine.offer(1, at=1.0)
    assert machine.play() == [ok(3.0, 1)]


@pytest.mark.parametrize("hung", [False, True])
def test_an_abandoned_request_that_waited_is_never_served(hung: bool) -> None:
    machine = Machine(workers=1)
    machine.offer(1, 2, 3)
    if hung:
        machine.befall("hang", at=0.25)
        machine.befall("heal", at=0.75)
    machine.abandon(2, at=0.5)
    delay = 0.5 if hung else 0.0
    assert machine.play() == [ok(1.0 + delay, 1), ok(2.0 + delay, 3)]


@pytest.mark.parametrize("hung", [False, True])
def test_an_abandoned_request_that_was_worked_on_frees_its_worker(hung: bool) -> None:
    machine = Machine(workers=1)
    machine.offer(1, 2)
    if hung:
        machine.befall("hang", at=0.25)
        machine.befall("heal", at=2.0)
    machine.abandon(1, at=0.5)
    started = 2.0 if hung else 0.5
    assert machine.play() == [ok(started + 1.0, 2)]


@pytest.mark.parametrize(
    ("kind", "amount", "heard"),
    [
        ("heal", 0.0, (True, "200")),
        ("slow", 50.0, (True, "200")),
        ("error", 0.99, (True, "200")),
        ("error", 1.0, (False, "500")),
        ("refuse", 0.0, (False, "connection refused")),
        ("crash", 0.0, (False, "connection refused")),
        ("hang", 0.0, None),
    ],
)
def test_probes_hear_what_the_table_of_faults_says(
    kind: FaultKind, amount: float, heard: tuple[bool, str] | None
) -> None:
    machine = Machine()
    machine.station.befall(Fault(kind, "web", "a", amount))
    result = machine.station.probe()
    assert (None if result is None else (result.ok, result.detail)) == heard


def test_a_probe_needs_no_worker_and_throws_no_dice() -> None:
    probed, left_alone = (Machine(workers=1, service=Service("exponential", 1.0)) for _ in range(2))
    probed.offer(1)
    probed.play(until=1e-9)
    for _ in range(5):
        assert probed.station.probe() is not None
    left_alone.offer(1)
    assert probed.play() == left_alone.play()


def test_nothing_is_left_to_come_when_all_have_ended() -> None:
    machine = Machine(workers=2)
    machine.offer(1, 2, 3)
    machine.play()
    assert machine.loop.next_at == inf


def test_a_connection_of_its_own_is_neither_one_that_stayed_open_nor_does_it_stay_open() -> None:
    machine = Machine(workers=2)
    machine.offer(1)
    machine.offer_alone(2)
    machine.befall("refuse", at=4.0)
    machine.offer_alone(3, at=5.0)
    machine.offer(4, 5, at=5.0)
    refused = [(5.0, request, "connection refused") for request in (3, 5)]
    assert machine.play() == [ok(1.0, 1), ok(1.0, 2), *refused, ok(6.0, 4)]


def test_a_request_on_its_own_connection_waits_in_line_and_errs_like_any_other() -> None:
    machine = Machine(workers=1)
    machine.offer_alone(1, 2)
    assert machine.play() == [ok(1.0, 1), ok(2.0, 2)]
    machine = Machine(errors=1.0)
    machine.offer_alone(1)
    assert machine.play() == [(0.0, 1, "answered 500")]


def test_a_conversation_occupies_no_worker_and_lasts_as_long_as_its_client_wants() -> None:
    machine = Machine(workers=1)
    machine.open(1, 2, lasts=5.0)
    machine.offer(3)
    assert machine.play() == [ok(1.0, 3), (5.0, 1, SWITCHED), (5.0, 2, SWITCHED)]


def test_a_crash_breaks_conversations() -> None:
    machine = Machine()
    machine.open(1)
    machine.befall("crash", at=2.0)
    assert machine.play() == [(2.0, 1, "broke off in mid-answer")]


def test_a_conversation_that_a_hung_machine_was_asked_for_begins_when_it_is_healed() -> None:
    machine = Machine()
    machine.befall("hang", at=0.0)
    machine.open(1, at=1.0, lasts=5.0)
    machine.befall("heal", at=3.0)
    assert machine.play() == [(8.0, 1, SWITCHED)]


def test_a_conversation_goes_on_while_its_machine_hangs() -> None:
    machine = Machine()
    machine.open(1, lasts=5.0)
    machine.befall("hang", at=1.0)
    assert machine.play() == [(5.0, 1, SWITCHED)]


def test_an_abandoned_conversation_has_no_end_of_its_own() -> None:
    machine = Machine()
    machine.open(1, 2, lasts=5.0)
    machine.abandon(1, at=2.0)
    assert machine.play() == [(5.0, 2, SWITCHED)]
    assert not machine.station.conversations


def test_a_conversation_takes_its_connection_with_it() -> None:
    machine = Machine()
    machine.offer(1)
    machine.open(2, at=2.0, lasts=1.0)
    machine.befall("refuse", at=4.0)
    machine.offer(3, at=5.0)
    assert machine.play() == [ok(1.0, 1), (3.0, 2, SWITCHED), (5.0, 3, "connection refused")]


@pytest.mark.parametrize(
    ("kind", "ok", "detail"),
    [("crash", False, "connection refused"), ("refuse", False, "connection refused"), ("hang", True, "connected")],
)
def test_a_knock_is_answered_by_the_machines_kernel(kind: FaultKind, ok: bool, detail: str) -> None:
    machine = Machine()
    machine.befall(kind)
    machine.play()
    assert (machine.station.knock().ok, machine.station.knock().detail) == (ok, detail)
