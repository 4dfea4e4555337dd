"""What waits, and until when: the agenda of a balancer that never waits itself.

Much of what a balancer decides comes due later: an ejection ends, patience in a queue runs out, a back-off is over, a
drain reaches its deadline, a slow start takes its next step. Each is a *matter* with a date in one `Agenda`: whatever
is to be done, and about whom. The shell asks for the earliest date and comes back then.

A request that waits is a `Waiting`: for a backend that has room, if it stands in its pool's line, and otherwise for its
next try.
"""

from __future__ import annotations

from collections.abc import Callable
from heapq import heapify, heappop, heappush
from math import inf
from typing import TYPE_CHECKING, Any, TypeVar

from lbtutor.core.messages import Request

if TYPE_CHECKING:
    from lbtutor.core.backend import Backend
    from lbtutor.core.pool import Pool

LONGEST_LINE = 1024
"""So many requests may stand in one pool's line (Envoy's `max_pending_requests`); the next one is turned away."""

_FEW = 64

_T = TypeVar("_T")
_Do = Callable[[Any, float], None]


class Waiting:
    """A request that is neither with a backend nor turned away.

    `request` is as it will be tried, its `attempt` the number of that try; `tried` had it before. `status` is what its
    client gets when nobody can take it.
    """

    __slots__ = ("pool", "request", "status", "tried", "until")

    def __init__(
        self, request: Request, pool: Pool, until: float, tried: tuple[Backend, ...] = (), status: int = 503
    ) -> None:
        self.request = request
        self.pool = pool
        self.until = until
        self.tried = tried
        self.status = status

    def __repr__(self) -> str:
        return f"<Waiting {self.request.id} attempt={self.request.attempt} until={self.until:g}>"


class Agenda:
    """One date for each matter; the earliest comes first, and of two at the same time the one put down first."""

    __slots__ = ("_count", "_heap", "_matters", "next")

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, _Do, Any]] = []
        self._matters: dict[tuple[_Do, Any], int] = {}
        self._count = 0
        self.next = inf
        """The earliest date; infinity while there is none."""

    def __repr__(self) -> str:
        return f"<Agenda of {len(self)}, next={self.next:g}>"

    def __len__(self) -> int:
        return len(self._matters)

    def put(self, at: float, do: Callable[[_T, float], None], about: _T) -> None:
        """At that time `do(about, now)` is to be called; if that had a date before, this one replaces it."""
        self._count += 1
        self._matters[do, about] = self._count
        heappush(self._heap, (at, self._count, do, about))
        self._tidy()

    def drop(self, do: Callable[[_T, float], None], about: _T) -> None:
        """Forget a matter, if it was put down at all."""
        if self._matters.pop((do, about), None) is not None:
            self._tidy()

    def attend(self, now: float) -> None:
        """Do all that is due by now, and what these put down for now or earlier."""
        while self.next <= now:
            _, _, do, about = heappop(self._heap)
            del self._matters[do, about]
            self._tidy()
            do(about, now)

    def _tidy(self) -> None:
        """Dates that count no more neither come first nor pile up behind others."""
        heap = self._heap
        if len(heap) > 2 * len(self._matters) + _FEW:
            heap[:] = filter(self._counts, heap)
            heapify(heap)
        while heap and not self._counts(heap[0]):
            heappop(heap)
        self.next = heap[0][0] if heap else inf

    def _counts(self, entry: tuple[float, int, _Do, Any]) -> bool:
        return self._matters.get(entry[2:]) == entry[1]
