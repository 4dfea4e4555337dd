from __future__ import annotations

from functools import partial
from math import inf
from typing import NamedTuple

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


class Coming(NamedTuple):
    at: float
    name: str


def test_what_comes_in_order_of_time_takes_its_place_among_what_is_scheduled() -> None:
    loop = Loop()
    happened: list[tuple[float, str]] = []

    def happen(name: str) -> None:
        happened.append((loop.now, name))

    def come(thing: Coming) -> None:
        happen(thing.name)
        loop.schedule(thing.at + 0.5, Order.END, happen, f"end of {thing.name}")

    for at, order, name in ((1.0, Order.ACT, "act"), (1.0, Order.END, "end"), (2.0, Order.END, "late")):
        loop.schedule(at, order, happen, name)
    loop.run_with([Coming(0.25, "a"), Coming(1.0, "b"), Coming(1.0, "c")], Order.ARRIVAL, come)
    expected = [(0.25, "a"), (0.75, "end of a"), (1.0, "act"), (1.0, "b"), (1.0, "c")]
    assert happened == expected
    loop.run(until=5.0)
    assert happened == [*expected, (1.0, "end"), (1.5, "end of b"), (1.5, "end of c"), (2.0, "late")]


def _tell_name(told: list[str], thing: Coming) -> None:
    told.append(thing.name)


@given(st.lists(st.integers(0, 5).map(float)), st.lists(st.tuples(st.integers(0, 5).map(float), st.integers(0, 4))))
def test_a_stream_is_played_as_if_each_of_it_were_scheduled(
    times: list[float], others: list[tuple[float, int]]
) -> None:
    stream = [Coming(at, f"stream {number}") for number, at in enumerate(sorted(times))]
    others = [(at, order) for at, order in others if order != Order.ARRIVAL]
    played: list[list[str]] = []
    for on_the_heap in (False, True):
        loop, told = Loop(), list[str]()
        for at, order in others:
            loop.schedule(at, order, told.append, f"{order} at {at}")
        if on_the_heap:
            for thing in stream:
                loop.schedule(thing.at, Order.ARRIVAL, told.append, thing.name)
        else:
            loop.run_with(stream, Order.ARRIVAL, partial(_tell_name, told))
        loop.run(until=9.0)
        played.append(told)
    assert played[0] == played[1]
