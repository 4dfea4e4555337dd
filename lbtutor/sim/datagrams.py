"""Datagrams: UDP as the balancer sees it, in sessions.

All datagrams of one client to one door are a session, for as long as they come within the door's `idle_timeout`; to the
balancer it is one request, of the method `UDP`, which nothing but time brings to a good end. A machine echoes at once,
by nobody's worker.

A port that is closed is found out by the datagram that comes there: it is lost, and the session is over; the client's
next one begins another. Nothing is sent twice.
"""

from __future__ import annotations

from collections.abc import Callable

from lbtutor.core.messages import Outcome
from lbtutor.core.workload import Arrival, Plan
from lbtutor.sim.lines import Line
from lbtutor.sim.loop import Loop, Order

_SERVED = Outcome("served", 0)
_REFUSED = Outcome.failed("refused")
_CUT = Outcome.failed("cut")
_CLOSED = Outcome.failed("closed")

_Key = tuple[int, str]


class Session:
    """One client's datagrams at one door: since when there was none, and where they go."""

    __slots__ = ("answered", "heard_at", "idle_timeout", "key", "line", "request")

    def __init__(self, request: int, key: _Key, heard_at: float, idle_timeout: float) -> None:
        self.request = request
        self.key = key
        self.heard_at = heard_at
        self.idle_timeout = idle_timeout
        self.line: Line | None = None
        self.answered = False

    def __repr__(self) -> str:
        return f"<Session r{self.request} heard_at={self.heard_at:g}>"


class Sessions:
    """The sessions of a run; `known` holds those under way, by the number of their request.

    `ended(request, outcome)` is called when one has ended by itself.
    """

    def __init__(self, plan: Plan, loop: Loop, ended: Callable[[int, Outcome], None]) -> None:
        self.known: dict[int, Session] = {}
        self._idle_timeouts = {door.name: float(door.idle_timeout) for door in plan.listeners}
        self._doors = {door.name for door in plan.listeners if door.mode == "udp"}
        self._loop = loop
        self._ended = ended
        self._by_client: dict[_Key, Session] = {}

    def __repr__(self) -> str:
        return f"<Sessions {list(self.known.values())}>"

    def takes(self, arrival: Arrival) -> bool:
        """A datagram comes: is it one more of a session that there is?"""
        session = self._by_client.get((arrival.client, arrival.to))
        if session is None:
            return False
        outcome = self._hear(session)
        if outcome is not None:
            self._ended(session.request, outcome)
        return True

    def begin(self, request: int, arrival: Arrival) -> None:
        """If it came as a datagram, a session begins with it."""
        if arrival.to in self._doors:
            key = (arrival.client, arrival.to)
            session = Session(request, key, self._loop.now, self._idle_timeouts[arrival.to])
            self.known[request] = self._by_client[key] = session

    def bring(self, session: Session, line: Line) -> Outcome | None:
        """To that station: how it ended there at once, or None."""
        session.line = line
        outcome = self._hear(session)
        if outcome is None:
            self._loop.schedule(session.heard_at + session.idle_timeout, Order.END, self._is_idle, session)
        return outcome

    def _hear(self, session: Session) -> Outcome | None:
        """One datagram more, for the station if there is one already: how the session ended with it, or None."""
        session.heard_at = self._loop.now
        if session.line is None:
            return None
        if session.line.station.refuses:
            return self.cut_short(session) if session.answered else _REFUSED
        session.answered = session.answered or session.line.station.hears
        return None

    def cut_short(self, session: Session) -> Outcome:
        """How it looks when it ends in the middle."""
        return _CUT if session.answered else _CLOSED

    def _is_idle(self, session: Session) -> None:
        if self.known.get(session.request) is not session:
            return
        idle_at = session.heard_at + session.idle_timeout
        if idle_at <= self._loop.now:
            self._ended(session.request, _SERVED)
        else:
            self._loop.schedule(idle_at, Order.END, self._is_idle, session)

    def see_off(self, request: int) -> None:
        """It is over."""
        session = self.known.pop(request, None)
        if session is not None:
            del self._by_client[session.key]
