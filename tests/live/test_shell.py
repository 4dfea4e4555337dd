"""What is decided later reaches whom it is about: those who wait, those who left meanwhile, those to be cut off."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from itertools import count
from random import Random

import pytest

from lbtutor.core import BackendConfig, Drain, PoolConfig, Retry, Route, Seconds
from lbtutor.core.balancer import Balancer
from lbtutor.core.messages import Forward, Outcome, Reject, Request, Wait
from lbtutor.live.clock import Clock
from lbtutor.live.gate import Gate
from lbtutor.live.shell import Shell


class Visitor:
    """A guest who writes down what it is told."""

    def __init__(self, shell: Shell, number: int) -> None:
        self._shell = shell
        self.id = number
        self.told: list[Forward | Reject | str] = []

    def arrive(self) -> None:
        decision = self._shell.arrive(Request(self.id, self._shell.clock.now))
        if isinstance(decision, Wait):
            self._shell.wait_for(self)
        else:
            assert isinstance(decision, Forward)
            self.told.append(decision)

    def answered(self) -> None:
        self._shell.finish(self.id, Outcome.answered(200))

    def go_on(self, forward: Forward) -> None:
        self.told.append(forward)

    def turn_away(self, reject: Reject) -> None:
        self.told.append(reject)

    def cut(self) -> None:
        self.told.append("cut")
        self._shell.finish(self.id, Outcome.failed("closed"))

    @property
    def statuses(self) -> list[int | str]:
        """What it was told, in short: 0 for a backend to go to."""
        return [one.status if isinstance(one, Reject) else 0 if isinstance(one, Forward) else one for one in self.told]


class House:
    """A shell around two backends that take one request at a time each, on a loop that runs only when it is told."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self.clock = Clock()
        pool = PoolConfig(
            "web",
            backends=(BackendConfig("a", limit=1), BackendConfig("b", limit=1)),
            queue=Seconds(10),
            retry=Retry(attempts=2, backoff=Seconds(1)),
        )
        self.balancer = Balancer((pool,), (Route("web"),), rng=Random(1))
        self.shell = Shell(self._loop, self.clock, Gate(), self.balancer)
        self.looked = 0
        self.shell.look_again = self._look
        self._numbers = count(1)

    def _look(self) -> None:
        self.looked += 1

    def visitors(self, number: int) -> list[Visitor]:
        guests = [Visitor(self.shell, next(self._numbers)) for _ in range(number)]
        self.shell.guests = lambda: guests
        for guest in guests:
            guest.arrive()
        return guests

    def next_round(self) -> None:
        self._loop.call_soon(self._loop.stop)
        self._loop.run_forever()

    def tick_at(self, now: float) -> None:
        """It is that late; the balancer looks what is due."""
        self.clock._scale = (now, 0.0, 0.0)
        self.shell.tick()

    def wait_until(self, now: float) -> None:
        """The same, and everybody is told."""
        self.tick_at(now)
        self.next_round()

    def close(self) -> None:
        self._loop.close()


@pytest.fixture
def house() -> Iterator[House]:
    house = House()
    yield house
    house.close()


def test_who_waits_goes_on_when_another_is_done_but_not_in_the_middle_of_that(house: House) -> None:
    *busy, third = house.visitors(3)
    assert third.statuses == []
    busy[0].answered()
    assert third.statuses == []
    house.next_round()
    assert third.statuses == [0]


def test_the_first_one_to_wait_makes_somebody_look_at_the_clock(house: House) -> None:
    house.visitors(2)
    assert house.looked == 0
    house.visitors(0)
    waiting = Visitor(house.shell, 99)
    waiting.arrive()
    assert house.looked == 1
    Visitor(house.shell, 100).arrive()
    assert house.looked == 1, "its time is later"


def test_who_waited_in_vain_is_turned_away(house: House) -> None:
    *_, third, fourth = house.visitors(4)
    house.wait_until(10.0)
    assert (third.statuses, fourth.statuses) == ([503], [503])


def test_who_left_before_hearing_the_good_news_leaves_no_trace(house: House) -> None:
    first, second, third = house.visitors(3)
    first.answered()
    house.shell.leave(third)
    house.next_round()
    assert third.statuses == []
    second.answered()
    assert (house.balancer.open_requests, house.balancer.waiting_requests) == (0, 0)


def test_who_left_before_hearing_the_bad_news_leaves_no_trace(house: House) -> None:
    first, second, third = house.visitors(3)
    house.tick_at(10.0)
    house.shell.leave(third)
    house.next_round()
    assert third.statuses == []
    first.answered()
    second.answered()
    assert (house.balancer.open_requests, house.balancer.waiting_requests) == (0, 0)


def test_the_deadline_of_a_drain_cuts_off_those_at_that_backend_alone(house: House) -> None:
    first, second, third = house.visitors(3)
    house.shell.command(Drain("web", "a", Seconds(5)))
    house.next_round()
    assert first.statuses == second.statuses == [0]
    house.wait_until(5.0)
    assert (first.statuses, second.statuses, third.statuses) == ([0, "cut"], [0], [])
    second.answered()
    house.next_round()
    assert third.statuses == [0]


def test_an_attempt_that_ended_by_itself_is_not_cut_off_at_its_next_backend(house: House) -> None:
    first, second = house.visitors(2)
    second.answered()
    house.shell.command(Drain("web", "a", Seconds(5)))
    house.tick_at(5.0)
    again = house.shell.finish(first.id, Outcome.failed("closed"))
    assert isinstance(again, Wait)
    house.shell.wait_for(first)
    house.next_round()
    assert first.statuses == [0]
    house.wait_until(again.until)
    assert first.statuses == [0, 0]


def test_a_retry_that_waits_its_time_goes_on(house: House) -> None:
    (first,) = house.visitors(1)
    again = house.shell.finish(first.id, Outcome.failed("refused"))
    assert isinstance(again, Wait)
    house.shell.wait_for(first)
    house.wait_until(again.until)
    assert first.statuses == [0, 0]
