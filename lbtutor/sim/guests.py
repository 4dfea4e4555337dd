"""Guests: the requests of which something must be remembered while they are under way.

A plain request is a number. A guest is one whose client keeps cookies that somebody might give it, one that visits a
machine with sessions, or one that is more than a request:

    tcp          a connection of its own, which ends well whatever was said on it
    series       one of several requests on a connection (`lbtutor.sim.series`)
    websocket    a conversation: it occupies no worker, and stays open for as long as its client wants

Which rules send plain requests is decided once, so that these cost nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from lbtutor.core.cookies import Jars
from lbtutor.core.events import Event
from lbtutor.core.keys import read_cookie
from lbtutor.core.listening import ListenerConfig
from lbtutor.core.messages import Forward, Outcome
from lbtutor.core.sessions import SESSION_COOKIE, Memory, session_cookie, told_of
from lbtutor.core.workload import Arrival, Plan, Traffic, with_cookies
from lbtutor.sim.lines import Line
from lbtutor.sim.loop import Loop

SERVED = Outcome("served", 0)
_CUT = Outcome.failed("cut")

_UNNAMED = "127.0.0.1"
"""Who a machine behind a bare connection believes to be spoken to by: the balancer."""


class Manner:
    """How the requests of one traffic rule look, and whether they are plain."""

    __slots__ = ("bare", "fields", "host", "method", "overheard", "path", "plain", "rule", "secure", "server_name")

    def __init__(self, rule: Traffic, door: ListenerConfig, *, remembered: bool) -> None:
        self.rule = rule
        self.bare = door.mode != "http"
        self.secure = door.tls is not None
        self.plain = not (self.bare or remembered or rule.websocket is not None or rule.requests > 1)
        self.overheard = door.mode == "tcp" and rule.requests > 1
        self.server_name = (rule.host or "localhost") if self.secure else ""
        self.method = door.mode.upper() if self.bare else rule.method
        self.host = "" if self.bare else rule.host
        self.path = "" if self.bare else rule.path
        self.fields: Mapping[str, str] = {} if self.bare else rule.fields

    def __repr__(self) -> str:
        return f"<Manner {self.method} {self.host}{self.path}{' plain' if self.plain else ''}>"


class Following(Arrival, frozen=True, gc=False):
    """A request of a series that is not its first; so many are `left` after it."""

    left: int = 0


class Guest:
    """One request that is remembered: who it is, what it shows, where it is, and the cookies that it is given there.

    Of a series it says how many are `left`, when this one was `asked_at`, and whether one `was_answered`.
    """

    __slots__ = ("arrival", "asked_at", "client", "gifts", "left", "line", "manner", "shown", "was_answered")

    def __init__(self, arrival: Arrival, manner: Manner, client: str, shown: str) -> None:
        self.arrival = arrival
        self.manner = manner
        self.client = client
        self.shown = shown
        self.line: Line | None = None
        self.gifts: list[str] = []
        self.left = arrival.left if isinstance(arrival, Following) else manner.rule.requests - 1
        self.asked_at = arrival.at
        self.was_answered = False

    def __repr__(self) -> str:
        return f"<Guest {self.arrival}>"


class Guests:
    """The guests of a run; `known` holds those under way, by the number of their request."""

    def __init__(self, plan: Plan, loop: Loop, report: Callable[[Event], None] | None) -> None:
        doors = {door.name: door for door in plan.listeners}
        remembered = any(machine.sessions for machine in plan.machines) or any(
            pool.sticky is not None and pool.sticky.cookie for pool in plan.pools
        )
        self.known: dict[int, Guest] = {}
        self.manners = [Manner(rule, doors[rule.to], remembered=remembered) for rule in plan.traffic]
        self._loop = loop
        self._report = report
        self._announced = {pool.name for pool in plan.pools if pool.send_proxy}
        self._jars = Jars()

    def __repr__(self) -> str:
        return f"<Guests {list(self.known.values())}>"

    def welcome(self, request: int, arrival: Arrival, client: str) -> Mapping[str, str]:
        """A guest comes: the fields of its request, with the cookies that it shows."""
        manner = self.manners[arrival.rule]
        fields = with_cookies(manner.rule.fields, self._cookies(arrival, manner))
        self.known[request] = Guest(arrival, manner, client, fields.get("cookie", ""))
        return manner.fields if manner.bare else fields

    def _cookies(self, arrival: Arrival, manner: Manner) -> str:
        if not self._jars or not manner.rule.cookies:
            return ""
        return self._jars.show(arrival.client, arrival.host, arrival.path, self._loop.now, secure=manner.secure)

    def bring(self, forward: Forward, line: Line) -> Outcome | None:
        """To that station: how it ended there at once, or None when the station will tell."""
        guest = self.known.get(forward.request)
        if guest is None:
            return line.station.accept(forward.request)
        guest.line = line
        secure = "; Secure" if guest.manner.secure else ""
        guest.gifts = [forward.set_cookie + secure] if forward.set_cookie else []
        if guest.manner.bare:
            return line.station.accept_alone(forward.request)
        if guest.manner.rule.websocket is None:
            return line.station.accept(forward.request)
        ended = line.station.converse(forward.request, guest.manner.rule.websocket.lasts)
        if line.station.converses(forward.request):
            self._give(guest)  # with the handshake
        return ended

    def served(self, request: int, outcome: Outcome) -> Outcome:
        """An attempt is over: what its visit leaves behind, and how its end looks to the balancer."""
        guest = self.known.get(request)
        if guest is None:
            return outcome
        if outcome.status == 200 and guest.line is not None and guest.line.sessions is not None:
            self._visit(guest, guest.line, guest.line.sessions)
        if guest.was_answered and outcome.kind == "closed":
            return _CUT
        return SERVED if guest.manner.bare and outcome.kind in ("answered", "timed_out") else outcome

    def _visit(self, guest: Guest, line: Line, sessions: Memory) -> None:
        visit = sessions.visit(read_cookie(guest.shown, SESSION_COOKIE), line.names.next())
        if visit.visits == 1:
            guest.gifts.append(session_cookie(visit.session))
        if self._report is not None:
            who = _UNNAMED if guest.manner.bare and line.machine.pool not in self._announced else guest.client
            for event in told_of(visit, self._loop.now, line.machine.pool, line.machine.name, who):
                self._report(event)

    def see_off(self, request: int, outcome: Outcome | None) -> None:
        """It is over; if there was an answer, its client keeps what that brought."""
        guest = self.known.pop(request, None)
        if guest is not None and outcome is not None and outcome.kind in ("answered", "served"):
            self._give(guest)

    def _give(self, guest: Guest) -> None:
        arrival = guest.arrival
        for cookie in guest.gifts if guest.manner.rule.cookies else ():
            self._jars.take(arrival.client, arrival.host, arrival.path, cookie, self._loop.now)
        guest.gifts = []
