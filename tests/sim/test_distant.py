"""A station at the far end of a network: 1 s of work, 3 s away."""

from __future__ import annotations

from collections.abc import Callable
from statistics import fmean

import msgspec
import pytest

from lbtutor.core import ConfigError, Plan, Seconds
from lbtutor.core.events import Event, FaultKind, Finished
from lbtutor.core.messages import Outcome
from lbtutor.core.service import Service
from lbtutor.core.workload import Fault, MachineConfig
from lbtutor.sim.distant import Distant
from lbtutor.sim.loop import Loop, Order

MakePlan = Callable[..., Plan]
Play = Callable[[Plan], list[Event]]
Diary = list[tuple[float, int, str]]

DELAY = 3.0


class Machine:
    """The station and its diary: `(time, request, outcome)` of all that ended."""

    def __init__(self, *, workers: int = 1, errors: float = 0.0) -> None:
        self.loop = Loop()
        service = Service("constant", 1.0)
        config = MachineConfig("web", "a", workers, service, errors, delay=Seconds(DELAY))
        self.station = Distant(config, 1, self.loop, self._heard)
        self.ended: Diary = []

    def offer(self, *requests: int, at: float = 0.0, alone: bool = False) -> None:
        for request in requests:
            self.loop.schedule(at, Order.ARRIVAL, self._alone if alone else self._accept, request)

    def befall(self, kind: FaultKind, *, at: float) -> None:
        self.loop.schedule(at, Order.ACT, self.station.befall, Fault(kind, "web", "a", 0.0))

    def abandon(self, request: int, *, at: float) -> None:
        self.loop.schedule(at, Order.DEADLINE, self.station.abandon, request)

    def play(self) -> Diary:
        self.loop.run(100.0)
        return self.ended

    def _accept(self, request: int) -> None:
        self._told(request, self.station.accept(request))

    def _alone(self, request: int) -> None:
        self._told(request, self.station.accept_alone(request))

    def _told(self, request: int, outcome: Outcome | None) -> None:
        if outcome is not None:
            self._heard(request, outcome)

    def _heard(self, request: int, outcome: Outcome) -> None:
        self.ended.append((self.loop.now, request, outcome.says))


@pytest.mark.parametrize("alone", [False, True])
def test_an_answer_takes_the_way_there_the_work_and_the_way_back(alone: bool) -> None:
    machine = Machine()
    machine.offer(1, alone=alone)
    assert machine.play() == [(7.0, 1, "answered 200")]


def test_what_is_on_the_way_occupies_no_worker() -> None:
    machine = Machine(workers=1)
    for number in range(5):
        machine.offer(number, at=float(number))
    assert [at for at, _, _ in machine.play()] == [7.0, 8.0, 9.0, 10.0, 11.0]


def test_those_that_come_together_wait_for_one_another_at_the_machine() -> None:
    machine = Machine(workers=1)
    machine.offer(1, 2, 3)
    assert machine.play() == [(7.0, 1, "answered 200"), (8.0, 2, "answered 200"), (9.0, 3, "answered 200")]


def test_an_error_needs_the_way_there_and_back_too() -> None:
    machine = Machine(errors=1.0)
    machine.offer(1)
    assert machine.play() == [(6.0, 1, "answered 500")]


@pytest.mark.parametrize("when", [1.0, 3.5, 5.0], ids=["on the way there", "at the machine", "on the way back"])
def test_a_request_that_was_given_up_is_heard_of_no_more_and_leaves_its_worker(when: float) -> None:
    machine = Machine(workers=1)
    machine.offer(1)
    machine.abandon(1, at=when)
    machine.offer(2, 3, at=10.0)
    assert machine.play() == [(17.0, 2, "answered 200"), (18.0, 3, "answered 200")]
    assert "free=1" in repr(machine.station)


def test_a_crash_closes_what_is_on_the_way_as_well() -> None:
    machine = Machine(workers=1)
    machine.offer(1)
    machine.offer(2, at=4.0)
    machine.befall("crash", at=5.0)
    machine.offer(3, at=5.5)
    machine.befall("heal", at=6.0)
    machine.offer(4, at=10.0)
    closed = [(5.0, request, "closed before an answer") for request in (1, 2)]
    assert machine.play() == [*closed, (5.5, 3, "connection refused"), (17.0, 4, "answered 200")]


def test_a_hung_machine_holds_what_reaches_it_but_not_what_it_sent() -> None:
    machine = Machine(workers=1)
    machine.offer(1)
    machine.offer(2, at=3.0)
    machine.befall("hang", at=5.0)
    machine.befall("heal", at=20.0)
    assert machine.play() == [(7.0, 1, "answered 200"), (24.0, 2, "answered 200")]


def test_the_balancer_sees_an_answer_twice_the_delay_later(make_plan: MakePlan, play: Play) -> None:
    def mean(delay: float) -> float:
        plan = make_plan("a", rate=20, lasts=20, service=Service("constant", 0.02), workers=8)
        (machine,) = plan.machines
        far = msgspec.structs.replace(plan, machines=(msgspec.structs.replace(machine, delay=Seconds(delay)),))
        return fmean(event.took for event in play(far) if isinstance(event, Finished))

    assert mean(0.25) == pytest.approx(mean(0.0) + 0.5)


def test_nothing_arrives_before_it_was_sent() -> None:
    with pytest.raises(ConfigError, match="`delay` is 0 or longer"):
        MachineConfig("web", "a", delay=Seconds(-1))
