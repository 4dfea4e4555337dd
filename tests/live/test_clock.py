from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from math import inf

import pytest

from lbtutor.live.clock import Alarm, Clock


def test_before_the_start_it_is_zero_and_stays_so() -> None:
    clock = Clock()
    assert clock.now == 0.0
    assert clock.now == 0.0


@pytest.mark.parametrize("speed", [0.0, -1.0, inf, float("nan")])
def test_a_speed_that_is_none_is_refused(speed: float) -> None:
    with pytest.raises(ValueError, match="speed"):
        Clock(speed)
    with pytest.raises(ValueError, match="speed"):
        Clock().set_speed(speed)


async def _run_until(clock: Clock, when: float) -> None:
    reached = asyncio.get_running_loop().create_future()
    clock.call_at(when, lambda: reached.set_result(None))
    await reached


def test_calls_come_in_order_of_time_and_then_of_asking() -> None:
    async def scene() -> list[str]:
        clock, called = Clock(1000), list[str]()
        for name, when in (("late", 9.0), ("early", 1.0), ("first", 5.0), ("second", 5.0)):
            clock.call_at(when, partial(called.append, name))
        clock.start(asyncio.get_running_loop())
        await _run_until(clock, 10.0)
        return called

    assert asyncio.run(scene()) == ["early", "first", "second", "late"]


def test_no_call_is_early_and_now_never_goes_back() -> None:
    async def scene() -> list[tuple[float, float]]:
        clock, seen = Clock(700), list[tuple[float, float]]()

        def note(when: float) -> None:
            seen.append((when, clock.now))

        def nap() -> None:
            clock.pause()
            asyncio.get_running_loop().call_later(0.01, clock.resume)

        clock.start(asyncio.get_running_loop())
        for when in (0.3, 1.7, 2.0, 33.3):
            clock.call_at(when, partial(note, when))
        clock.call_at(10.0, lambda: clock.set_speed(300))
        clock.call_at(11.0, nap)
        await _run_until(clock, 34.0)
        return seen

    seen = asyncio.run(scene())
    assert [when for when, _ in seen] == [0.3, 1.7, 2.0, 33.3]
    assert all(now >= when for when, now in seen)
    assert sorted(now for _, now in seen) == [now for _, now in seen]


def test_a_paused_clock_calls_nobody() -> None:
    async def scene() -> tuple[float, float, list[str]]:
        clock, called = Clock(1000), list[str]()
        loop = asyncio.get_running_loop()
        clock.start(loop)
        clock.call_at(20.0, lambda: called.append("rang"))
        clock.pause()
        before = clock.now
        meanwhile = loop.create_future()
        loop.call_later(0.06, lambda: meanwhile.set_result(None))  # three times as long as the call was away
        await meanwhile
        return before, clock.now, called

    before, after, called = asyncio.run(scene())
    assert before == after
    assert called == []


def test_a_cancelled_timer_is_silent() -> None:
    async def scene() -> list[str]:
        clock, called = Clock(1000), list[str]()
        clock.start(asyncio.get_running_loop())
        clock.call_at(1.0, lambda: called.append("cancelled")).cancel()
        await _run_until(clock, 2.0)
        return called

    assert asyncio.run(scene()) == []


def test_a_call_that_fails_does_not_stop_the_clock() -> None:
    async def scene() -> list[str]:
        clock, failures = Clock(1000), list[str]()
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda loop, context: failures.append(str(context["exception"])))
        clock.start(loop)

        def fail() -> None:
            raise RuntimeError("on purpose")

        clock.call_at(1.0, fail)
        await _run_until(clock, 1.0)
        return failures

    assert asyncio.run(scene()) == ["on purpose"]


def _alarm_scene(act: Callable[[Clock, Alarm], None], until: float) -> list[float]:
    async def scene() -> list[float]:
        clock, rang = Clock(1000), list[float]()
        alarm = Alarm(clock, lambda: rang.append(clock.now))
        act(clock, alarm)
        clock.start(asyncio.get_running_loop())
        await _run_until(clock, until)
        return rang

    return asyncio.run(scene())


def test_an_alarm_that_is_put_off_rings_once_at_its_last_deadline() -> None:
    def act(clock: Clock, alarm: Alarm) -> None:
        alarm.set(5.0)
        clock.call_at(3.0, lambda: alarm.set(15.0))

    (rang,) = _alarm_scene(act, until=30.0)
    assert rang >= 15.0


def test_an_alarm_that_is_brought_forward_rings_then() -> None:
    def act(clock: Clock, alarm: Alarm) -> None:
        alarm.set(5000.0)
        alarm.set(5.0)

    assert len(_alarm_scene(act, until=30.0)) == 1


def test_an_alarm_that_is_cleared_or_cancelled_is_silent_until_it_is_set_again() -> None:
    def act(clock: Clock, alarm: Alarm) -> None:
        alarm.set(5.0)
        alarm.clear()
        clock.call_at(8.0, lambda: alarm.set(10.0))
        clock.call_at(9.0, alarm.cancel)
        clock.call_at(20.0, lambda: alarm.set(21.0))

    (rang,) = _alarm_scene(act, until=30.0)
    assert rang >= 21.0


def test_an_alarm_that_is_put_off_a_thousand_times_holds_one_place_on_the_clock() -> None:
    clock = Clock()
    alarm = Alarm(clock, lambda: None)
    for request in range(1000):
        alarm.set(60.0 + request)
    assert len(clock._heap) == 1


def test_what_was_cancelled_does_not_pile_up() -> None:
    clock = Clock()
    kept = [clock.call_at(1e6 + number, lambda: None) for number in range(100)]
    for number in range(20_000):
        clock.call_at(60.0 + number, lambda: None).cancel()
    assert clock.waiting < 1000
    assert not any(timer.is_cancelled for timer in kept)
