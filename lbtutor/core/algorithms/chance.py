"""Algorithms that draw lots: random, and power of two choices.

Both draw by weight, from the generator that they are given. The next draw is always made already and waits: `compare`
looks at it without taking it, so the picks of a seed are the same whether or not anybody asks for reasons.
"""

from __future__ import annotations

import random
from bisect import bisect_right
from itertools import accumulate

from lbtutor.core.algorithms.base import Comparison
from lbtutor.core.backend import Backend
from lbtutor.core.messages import Request


class _Places:
    """Where each backend's places end: as many for each as it has weight. Kept while the pool stays the same."""

    def __init__(self) -> None:
        self._seen: tuple[Backend, ...] = ()
        self._ends: list[float] = []

    def ends(self, request: Request, backends: tuple[Backend, ...]) -> list[float]:
        """The ends for `backends`; those of a retry are made for it and not kept."""
        if backends is self._seen:
            return self._ends
        ends = list(accumulate(backend.weight for backend in backends))
        if request.attempt == 1:
            self._seen, self._ends = backends, ends
        return ends


class Random:
    """Anybody, with a chance in proportion to weight.

    It keeps no memory and asks nobody, so any number of balancers can do it side by side. The price is luck: of n
    requests thrown at n servers, the unluckiest server gets about ln n / ln ln n. (NGINX `random`, Caddy's default.)
    """

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._draw = rng.random()
        self._places = _Places()

    def pick(self, request: Request, backends: tuple[Backend, ...]) -> Backend:
        chosen = backends[_drawn(self._draw, self._places.ends(request, backends))]
        self._draw = self._rng.random()
        return chosen

    def compare(self, request: Request, backends: tuple[Backend, ...]) -> Comparison:
        ends = self._places.ends(request, backends)
        holder = _drawn(self._draw, ends)
        inside = tuple(1.0 if position == holder else 0.0 for position in range(len(backends)))
        return Comparison(
            f"drew place {self._draw * ends[-1]:.3g} of {ends[-1]:g}", inside, "highest", "places do not overlap"
        )


class PowerOfTwo:
    """Draw two by weight, never the same one twice, and take the one with fewer in flight for its weight.

    One look at the load takes nearly all the luck out of chance: of n requests thrown at n servers the unluckiest
    server gets about ln ln n / ln 2 instead of ln n / ln ln n, and a third choice adds little (Mitzenmacher, "The Power
    of Two Choices in Randomized Load Balancing", 2001). Nor do many balancers with the same stale counts run to the
    same server, as they do when each takes the minimum of all.

    Because the two differ, whoever is busier than everybody else is never picked. In a tie the one drawn first wins, so
    that an idle pool is shared by weight. (NGINX `random two least_conn` draws two that differ and lets the second win
    a tie; HAProxy `random(2)` and Envoy may draw the same one twice.)
    """

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._draws = rng.random(), rng.random()
        self._places = _Places()

    def pick(self, request: Request, backends: tuple[Backend, ...]) -> Backend:
        first, second = self._drawn(request, backends)
        self._draws = self._rng.random(), self._rng.random()
        return backends[first if _load(backends[first]) <= _load(backends[second]) else second]

    def compare(self, request: Request, backends: tuple[Backend, ...]) -> Comparison:
        drawn = self._drawn(request, backends)
        names = " and ".join(dict.fromkeys(backends[position].name for position in drawn))
        loads = tuple(_load(backend) if position in drawn else None for position, backend in enumerate(backends))
        weighted = any(backends[position].weight != 1 for position in drawn)
        rule = f"drew {names}: {'in flight per weight' if weighted else 'in flight'}"
        return Comparison(rule, loads, "lowest", "the first drawn", skipped="not drawn")

    def _drawn(self, request: Request, backends: tuple[Backend, ...]) -> tuple[int, int]:
        """Positions of the two that the waiting draws mean; twice the same when nobody else is offered."""
        ends = self._places.ends(request, backends)
        first = _drawn(self._draws[0], ends)
        return first, _drawn_besides(first, self._draws[1], ends)


def _load(backend: Backend) -> float:
    return backend.in_flight / backend.weight


def _drawn(draw: float, ends: list[float]) -> int:
    """The position that holds the place at `draw`, from 0 up to 1, of all the places."""
    return bisect_right(ends, draw * ends[-1], 0, len(ends) - 1)


def _drawn_besides(first: int, draw: float, ends: list[float]) -> int:
    """The same with the places of `first` taken away: those before it stay where they are, those after it move up."""
    last = len(ends) - 1
    if not last:
        return first
    start, end = ends[first - 1] if first else 0.0, ends[first]
    place = draw * (start + (ends[-1] - end))
    if first == last or place < start:
        return bisect_right(ends, place, 0, first - 1)
    return bisect_right(ends, place - start + end, first + 1, last)
