"""`Clock`: scenario time on a real machine. It can be slowed, hurried and stopped.

    scenario time = base + (wall time - since) * rate

The three numbers change together, as one tuple, so that any thread may read `now`. Everything in a run that waits,
waits here: arrivals, work, probes, timeouts. So a pause freezes the whole stage, and slow motion is real.

The clock keeps a heap of its own over a single timer of the event loop; a change of speed moves that one timer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from heapq import heapify, heappop, heappush
from itertools import count
from math import inf
from time import monotonic

_TICK = 0.0005
"""Half a tick of the event loop's timers (both loops count milliseconds): rounded with it, a timer is never early."""

_SWEEP_FROM = 256
"""Entries from which the heap is swept of cancelled ones: each connection that ends early leaves one behind."""


class Timer:
    """One call that the clock owes; `cancel` forgets it."""

    __slots__ = ("_call",)

    def __init__(self, call: Callable[[], None]) -> None:
        self._call: Callable[[], None] | None = call

    @property
    def is_cancelled(self) -> bool:
        return self._call is None

    def cancel(self) -> None:
        """Never call; harmless when it has been called already."""
        self._call = None

    def ring(self) -> None:
        """Call, once."""
        call, self._call = self._call, None
        if call is not None:
            call()


class Clock:
    """Scenario seconds from 0, never going back; stands still until `start`.

    `now`, `speed` and `paused` may be read from any thread; all else belongs to the thread of the event loop (and
    before `start` to whoever made the clock).
    """

    def __init__(self, speed: float = 1.0, *, paused: bool = False) -> None:
        self._scale = (0.0, 0.0, 0.0)
        self._speed = _checked(speed)
        self._paused = paused
        self._loop: asyncio.AbstractEventLoop | None = None
        self._heap: list[tuple[float, int, Timer]] = []
        self._sweep_at = _SWEEP_FROM
        self._numbers = count()
        self._handle: asyncio.TimerHandle | None = None

    def __repr__(self) -> str:
        return f"<Clock now={self.now:g} speed={self._speed:g}{' paused' if self._paused else ''}>"

    @property
    def now(self) -> float:
        """Scenario seconds since the start."""
        base, since, rate = self._scale
        return base + (monotonic() - since) * rate

    @property
    def speed(self) -> float:
        """Scenario seconds per wall second, while it runs."""
        return self._speed

    @property
    def paused(self) -> bool:
        return self._paused

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """From here on time passes, unless it is paused."""
        self._loop = loop
        self._rescale()

    def stop(self) -> None:
        """Time stands still for good; there is no loop any more."""
        if self._handle is not None:
            self._handle.cancel()
        self._handle = None
        self._scale = (self.now, 0.0, 0.0)
        self._loop = None

    def pause(self) -> None:
        """Stop time; nothing rings until `resume`."""
        self._paused = True
        self._rescale()

    def resume(self) -> None:
        """Let time pass again from where it stood."""
        self._paused = False
        self._rescale()

    def set_speed(self, speed: float) -> None:
        """Scenario seconds per wall second from now on; raises `ValueError` unless it is above 0 and finite."""
        self._speed = _checked(speed)
        self._rescale()

    def call_at(self, when: float, call: Callable[[], None]) -> Timer:
        """Call once it is `when` or later; things due at the same time are called in the order they were asked for."""
        if len(self._heap) >= self._sweep_at:
            self._sweep()
        timer = Timer(call)
        entry = (when, next(self._numbers), timer)
        heappush(self._heap, entry)
        if self._heap[0] is entry:
            self._arm()
        return timer

    def call_later(self, delay: float, call: Callable[[], None]) -> Timer:
        """Call `delay` scenario seconds from now."""
        return self.call_at(self.now + delay, call)

    @property
    def waiting(self) -> int:
        """How many entries the heap holds, cancelled ones that were not yet swept out among them."""
        return len(self._heap)

    def _sweep(self) -> None:
        """Throw out what was cancelled; again when the heap has doubled, so that each entry pays for it but once."""
        self._heap[:] = [entry for entry in self._heap if not entry[2].is_cancelled]
        heapify(self._heap)
        self._sweep_at = max(_SWEEP_FROM, 2 * len(self._heap))

    def _rescale(self) -> None:
        rate = 0.0 if self._paused or self._loop is None else self._speed
        self._scale = (self.now, monotonic(), rate)
        self._arm()

    def _arm(self) -> None:
        """Set the loop's timer to the first thing that is due."""
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None
        rate = self._scale[2]
        if self._heap and rate and self._loop is not None:
            wait = max(self._heap[0][0] - self.now, 0.0) / rate
            self._handle = self._loop.call_later(wait + _TICK if wait else 0.0, self._ring)

    def _ring(self) -> None:
        """Call what is due by now; what becomes due meanwhile waits for the next round, so that sockets get theirs."""
        self._handle = None
        now, heap = self.now, self._heap
        try:
            while heap and heap[0][0] <= now:
                heappop(heap)[2].ring()
        finally:
            self._arm()


class Alarm:
    """A deadline that is put off again and again, as the timeouts of a connection are.

    Putting it off costs one comparison: the timer that is already set stays, and when it rings too early it is set
    anew. So a connection that carries a thousand requests a second has one entry on the clock's heap.
    """

    __slots__ = ("_clock", "_deadline", "_ring", "_rings_at", "_timer")

    def __init__(self, clock: Clock, ring: Callable[[], None]) -> None:
        self._clock = clock
        self._ring = ring
        self._deadline = inf
        self._rings_at = inf
        self._timer: Timer | None = None

    def __repr__(self) -> str:
        return f"<Alarm at {self._deadline:g}>"

    @property
    def is_set(self) -> bool:
        return self._deadline < inf

    def set(self, deadline: float) -> None:
        """Ring at that scenario time instead of any earlier wish."""
        self._deadline = deadline
        if deadline < self._rings_at:
            self._set_timer(deadline)

    def clear(self) -> None:
        """Do not ring until it is set again."""
        self._deadline = inf

    def cancel(self) -> None:
        """Let go for good, of the timer too."""
        self._deadline = self._rings_at = inf
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _set_timer(self, when: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._rings_at = when
        self._timer = self._clock.call_at(when, self._timer_rang)

    def _timer_rang(self) -> None:
        self._timer = None
        self._rings_at = inf
        if self._deadline > self._clock.now:
            if self._deadline < inf:
                self._set_timer(self._deadline)
            return
        self._deadline = inf
        self._ring()


def _checked(speed: float) -> float:
    if not 0 < speed < inf:
        raise ValueError(f"speed is scenario seconds per wall second, above 0, not {speed!r}")
    return speed
