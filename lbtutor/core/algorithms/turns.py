"""Algorithms that give everyone a turn: round robin, plain and weighted.

Both keep their turns on backends, not on positions, so that nobody is robbed when the pool changes: whoever was due
before a change is due after it. A retry takes whoever is due next without spending that turn.
"""

from __future__ import annotations

from lbtutor.core.algorithms.base import Comparison
from lbtutor.core.backend import Backend
from lbtutor.core.messages import Request


class RoundRobin:
    """Each in turn, in configuration order, then from the top again."""

    def __init__(self) -> None:
        self._seen: tuple[Backend, ...] = ()
        self._turn = 0
        self._last: Backend | None = None

    def pick(self, request: Request, backends: tuple[Backend, ...]) -> Backend:
        if request.attempt > 1:
            return backends[self._due(backends)]
        if backends is not self._seen:
            self._turn, self._seen = self._due(backends), backends
        chosen = self._last = backends[self._turn]
        self._turn = (self._turn + 1) % len(backends)
        return chosen

    def compare(self, request: Request, backends: tuple[Backend, ...]) -> Comparison:
        count, due = len(backends), self._due(backends)
        turns = tuple(float((position - due) % count) for position in range(count))
        rule = "turns to wait" if self._last is None else f"turns to wait after {self._last.name}"
        return Comparison(rule, turns, "lowest", "nobody shares a turn")

    def _due(self, backends: tuple[Backend, ...]) -> int:
        """Position in `backends` of whoever is due: the first in the old order, from the turn on, who is offered."""
        if backends is self._seen:
            return self._turn
        in_order_of_turn = self._seen[self._turn :] + self._seen[: self._turn]
        return next((backends.index(backend) for backend in in_order_of_turn if backend in backends), 0)


class WeightedRoundRobin:
    """Smooth weighted round robin: 5, 1, 1 gives a a b a c a a, not a a a a a b c.

    Everybody earns its weight at each pick; the richest is picked (the earlier in configuration order among equals) and
    pays what all earned together. Over one period each is picked in proportion to its weight, spread out as evenly as
    can be, and the purses are back at zero. Source: NGINX, `ngx_http_upstream_get_peer`, since 1.3.1.
    """

    def __init__(self) -> None:
        self._seen: tuple[Backend, ...] = ()
        self._purse: dict[Backend, float] = {}

    def pick(self, request: Request, backends: tuple[Backend, ...]) -> Backend:
        purse = self._purse
        if request.attempt > 1:
            return max(backends, key=lambda backend: purse.get(backend, 0.0) + backend.weight)
        if backends is not self._seen:
            purse = self._purse = {backend: purse.get(backend, 0.0) for backend in backends}
            self._seen = backends
        earned = 0.0
        richest = backends[0]
        for backend in backends:
            purse[backend] += backend.weight
            earned += backend.weight
            if purse[backend] > purse[richest]:
                richest = backend
        purse[richest] -= earned
        return richest

    def compare(self, request: Request, backends: tuple[Backend, ...]) -> Comparison:
        purses = tuple(self._purse.get(backend, 0.0) + backend.weight for backend in backends)
        return Comparison("credit", purses, "highest", "the earlier in configuration order")
