"""Where every request and probe is on its way, as a function of time.

A journey is a row of legs, each walked at constant speed along one road: client to balancer, balancer to server, and
home again. On loopback a request takes less than a millisecond, so legs are drawn longer than they took; what keeps the
picture honest is two rules. A leg starts no earlier than the event that it shows, and no earlier than the traveller
arrived where the leg starts: a reply never leaves a server that its request has not reached.

The way from the client ends when the balancer saw the request, so it begins before that: a picture that is to show it
must run `lead` behind the trace.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

from lbtutor.core.events import Answered, Arrived, Event, Finished, Left, Missed, Picked, Probed, ProbeSent, Rejected

TRAVEL = 0.6
"""Scenario seconds from the balancer to a server, unless the stage is told otherwise."""

MOST_DOTS = 300
"""More dots than this are thinned: nobody can follow them, and each costs bytes on the wire."""

Side = Literal["client", "server"]
Way = Literal["out", "back"]
Mark = Literal["request", "reply", "failed", "probe", "probe_passed", "probe_failed"]


class Road(NamedTuple):
    """One lane: between the balancer and a client (an address) or a server ("pool/name")."""

    side: Side
    label: str
    way: Way


class Dot(NamedTuple):
    """A traveller that has covered `share` (0 to below 1) of its road."""

    road: Road
    share: float
    mark: Mark


@dataclass(frozen=True, slots=True)
class _Leg:
    start: float
    end: float
    traveller: int
    mark: Mark


@dataclass(slots=True)
class _Traveller:
    """A request under way: whose it is, and when it arrives where its last leg ends."""

    client: str
    arrives: float


class Journeys:
    """Every leg that is being walked or is still to come."""

    def __init__(self, travel: float = TRAVEL) -> None:
        self.travel = travel
        self.one_in = 1
        """One request in so many is drawn: 1, 2, 4 …"""
        self._roads: dict[Road, list[_Leg]] = {}
        self._requests: dict[int, _Traveller] = {}
        self._probes: dict[str, float] = {}

    @property
    def lead(self) -> float:
        """Seconds from a client to the balancer: half of `travel`, as its road is about half as long."""
        return self.travel / 2

    def take(self, event: Event) -> None:
        """Lay the legs that this event begins."""
        match event:
            case Arrived():
                self._requests[event.request] = _Traveller(event.client, event.at)
                self._lay(Road("client", event.client, "out"), event.at - self.lead, event.at, event.request, "request")
            case Picked():
                self._go(event.request, Road("server", f"{event.pool}/{event.backend}", "out"), event.at, "request")
            case Finished():
                self._come_back(event)
            case Answered():
                self._go_home(event.request, event.at, "reply" if event.status < 500 else "failed")
            case Rejected():
                self._go_home(event.request, event.at, "failed")
            case ProbeSent():
                server = f"{event.pool}/{event.backend}"
                self._probes[server] = event.at + self.travel
                self._lay(Road("server", server, "out"), event.at, event.at + self.travel, 0, "probe")
            case Probed():
                server = f"{event.pool}/{event.backend}"
                start = max(event.at, self._probes.pop(server, event.at))
                mark: Mark = "probe_passed" if event.ok else "probe_failed"
                self._lay(Road("server", server, "back"), start, start + self.travel, 0, mark)
            case Left():
                self._close(f"{event.pool}/{event.backend}")
            case Missed():
                self._requests.clear()
                self._probes.clear()
            case _:
                pass

    def dots(self, now: float) -> list[Dot]:
        """Everybody who is on a road at that time, at most about `MOST_DOTS`; forgets who has arrived."""
        self._forget(now)
        walking = [(road, leg) for road, legs in self._roads.items() for leg in legs if leg.start <= now]
        self._thin(len(walking))
        return [
            Dot(road, (now - leg.start) / (leg.end - leg.start), leg.mark)
            for road, leg in walking
            if leg.traveller % self.one_in == 0
        ]

    def _forget(self, now: float) -> None:
        under_way = {road: [leg for leg in legs if leg.end > now] for road, legs in self._roads.items()}
        self._roads = {road: legs for road, legs in under_way.items() if legs}

    def _thin(self, walking: int) -> None:
        """Change the share drawn only when it must be, so that dots do not flicker in and out."""
        while walking > MOST_DOTS * self.one_in:
            self.one_in *= 2
        while self.one_in > 1 and walking < MOST_DOTS * self.one_in / 3:
            self.one_in //= 2

    def _come_back(self, event: Finished) -> None:
        server = f"{event.pool}/{event.backend}"
        mark: Mark = "reply" if event.ok else "failed"
        at_balancer = self._go(event.request, Road("server", server, "back"), event.at, mark)
        if event.final:
            self._go_home(event.request, at_balancer, mark)

    def _go_home(self, request: int, at: float, mark: Mark) -> None:
        traveller = self._requests.pop(request, None)
        if traveller is not None:
            start = max(at, traveller.arrives)
            self._lay(Road("client", traveller.client, "back"), start, start + self.lead, request, mark)

    def _go(self, request: int, road: Road, at: float, mark: Mark) -> float:
        """One leg between balancer and server; returns when it ends. Who was not seen to arrive is not drawn."""
        traveller = self._requests.get(request)
        if traveller is None:
            return at
        start = max(at, traveller.arrives)
        traveller.arrives = start + self.travel
        self._lay(road, start, traveller.arrives, request, mark)
        return traveller.arrives

    def _lay(self, road: Road, start: float, end: float, traveller: int, mark: Mark) -> None:
        self._roads.setdefault(road, []).append(_Leg(start, end, traveller, mark))

    def _close(self, server: str) -> None:
        self._probes.pop(server, None)
        for way in ("out", "back"):
            self._roads.pop(Road("server", server, way), None)
