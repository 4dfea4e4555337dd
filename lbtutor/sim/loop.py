"""`Loop`: a virtual clock and what is still to come.

Time jumps from one thing to the next, so an idle hour costs nothing and a busy second as long as it takes. What is to
come lies on a heap, as in SimPy's `core.py`, ordered by three things:

    at       when
    order    what goes first among things of the same instant (`Order`)
    number   who was scheduled first, among those of the same order

so that nothing is left to chance, and a run is the same each time.

A call is a function and its one argument, not a closure: a million of them are made, and a bound method kept by whoever
schedules costs nothing to hand over.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from heapq import heappop, heappush
from itertools import count
from math import inf
from typing import Any, Protocol, TypeVar

T = TypeVar("T")


class HasTime(Protocol):
    """Something that happens `at` a time."""

    @property
    def at(self) -> float: ...


Dated = TypeVar("Dated", bound=HasTime)


class Order:
    """Who goes first when several things fall on the same instant.

    As on real sockets, where an answer needs a moment to travel: what befalls the stage comes before the request that
    finds it so, a request arrives before an answer due at that instant is in, an answer that is just in time counts,
    and a probe sees what is left.

    Plain numbers, because they are looked up twice a request and the members of an enum are slow to find.
    """

    ACT = 0
    ARRIVAL = 1
    END = 2
    DEADLINE = 3
    PROBE = 4


class Loop:
    """The clock: `now` in scenario seconds, from 0, never going back."""

    __slots__ = ("_heap", "_numbers", "now")

    def __init__(self) -> None:
        self.now = 0.0
        self._heap: list[tuple[float, int, int, Callable[[Any], None], Any]] = []
        self._numbers = count()

    def __repr__(self) -> str:
        return f"<Loop now={self.now:g} next_at={self.next_at:g} waiting={len(self._heap)}>"

    @property
    def next_at(self) -> float:
        """When the next thing happens; infinity when nothing is left."""
        return self._heap[0][0] if self._heap else inf

    def schedule(self, at: float, order: int, call: Callable[[T], None], argument: T) -> None:
        """Call `call(argument)` at time `at`; raises `ValueError` when that is past."""
        if at < self.now:
            raise ValueError(f"it is {self.now:g} s; nothing can be scheduled at {at:g} s any more")
        heappush(self._heap, (at, order, next(self._numbers), call, argument))

    def schedule_in(self, seconds: float, order: int, call: Callable[[T], None], argument: T) -> float:
        """The same so many seconds from now, 0 or more; when that is."""
        at = self.now + seconds
        heappush(self._heap, (at, order, next(self._numbers), call, argument))
        return at

    def step(self) -> None:
        """Jump to the next thing and do it; raises `IndexError` when nothing is left."""
        self.now, _, _, call, argument = heappop(self._heap)
        call(argument)

    def run_with(self, stream: Iterable[Dated], order: int, call: Callable[[Dated], None]) -> None:
        """Call `call` with each of `stream` at its time, and do all that happens before the last of them.

        As if each were scheduled with that `order`; but what comes in order of time anyway needs no place on the heap.
        """
        heap = self._heap
        for thing in stream:
            at = thing.at
            while heap and (soonest := heap[0][0]) <= at and (soonest < at or heap[0][1] < order):
                self.now, _, _, then, argument = heappop(heap)
                then(argument)
            self.now = at
            call(thing)

    def run(self, until: float) -> None:
        """Do all that happens before `until`, and stop the clock there."""
        heap = self._heap
        while heap and heap[0][0] < until:
            self.now, _, _, call, argument = heappop(heap)
            call(argument)
        self.now = max(self.now, until)
