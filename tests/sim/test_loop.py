from __future__ import annotations

from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lbtutor.sim.loop import Loop, Order

_ORDERS = (Order.ACT, Order.ARRIVAL, Order.END, Order.DEADLINE, Order.PROBE)


def test_orders_are_played_in_the_order_they_are_listed() -> None:
    assert list(_ORDERS) == sorted(_ORDERS)


@given(st.lists(st.tuples(st.sampled_from([0.0, 0.5, 1.0, 2.5]), st.sampled_from(_ORDERS))))
def test_things_happen_by_time_then_by_order_then_by_who_was_scheduled_first(things: list[tuple[float, int]]) -> None:
    loop = Loop()
    happened: list[int] = []
    for number, (at, order) in enumerate(things):
        loop.schedule(at, order, happened.append, number)
    loop.run(until=3)
    assert happened == sorted(range(len(things)), key=things.__getitem__)


def test_the_clock_shows_the_time_of_what_happens_and_then_the_end_of_the_run() -> None:
    loop = Loop()
    seen: list[float] = []
    for at in (3.0, 1.0, 2.0):
        loop.schedule(at, Order.ACT, lambda _: seen.append(loop.now), None)
    loop.run(until=2.5)
    assert seen == [1.0, 2.0]
    assert loop.now == 2.5
    assert loop.next_at == 3.0


def test_what_falls_on_the_end_of_the_run_is_left_for_later() -> None:
    loop = Loop()
    happened: list[str] = []
    loop.schedule(1.0, Order.ACT, happened.append, "at the end")
    loop.run(until=1.0)
    assert happened == []
    loop.step()
    assert happened == ["at the end"]
    assert loop.now == 1.0


def test_what_is_scheduled_for_this_instant_still_happens_in_it() -> None:
    loop = Loop()
    happened: list[str] = []

    def first(_: None) -> None:
        loop.schedule(loop.now, Order.ACT, happened.append, "now")

    loop.schedule(1.0, Order.PROBE, first, None)
    loop.schedule(1.5, Order.ACT, happened.append, "later")
    loop.run(until=2.0)
    assert happened == ["now", "later"]


def test_the_past_cannot_be_scheduled() -> None:
    loop = Loop()
    loop.run(until=5.0)
    with pytest.raises(ValueError, match=r"it is 5 s; nothing can be scheduled at 4\.9 s any more"):
        loop.schedule(4.9, Order.ACT, print, None)


def test_an_empty_loop_has_nothing_to_do() -> None:
    loop = Loop()
    assert loop.next_at == inf
    with pytest.raises(IndexError):
        loop.step()
