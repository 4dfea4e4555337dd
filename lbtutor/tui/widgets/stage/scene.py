"""What is on stage at a moment: a fold of the trace.

Two clocks meet here. The trace is known up to `now`; the picture shows `shown`, a moment earlier, so that a request can
be seen on its way to the balancer before the balancer decides. All that the balancer knows and does (picks, counts,
health) is folded up to `shown`, so the marker, the counters and the dots agree with each other. What befalls a machine
is folded up to `now`: the balancer is not told, and a key that kills a server must be seen to work at once.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import islice

from lbtutor.core.events import (
    Answered,
    Arrived,
    Disabled,
    Drained,
    Draining,
    Ejected,
    Enabled,
    Event,
    Finished,
    Health,
    HealthChanged,
    Joined,
    Left,
    Missed,
    OriginChanged,
    Picked,
    Probed,
    ProbeSent,
    Readmitted,
    Rejected,
    WeightChanged,
)
from lbtutor.tui.widgets.stage.journeys import TRAVEL, Journeys

MOST_CLIENTS = 100
"""More addresses than this are counted, but not kept apart."""

_TURNS = "turns to wait"
_CATCH_UP_FRAMES = 8

_AtServer = (
    Picked
    | Finished
    | ProbeSent
    | Probed
    | HealthChanged
    | Ejected
    | Readmitted
    | Draining
    | Drained
    | Disabled
    | Enabled
    | WeightChanged
)


@dataclass(slots=True)
class Server:
    """A backend as the balancer believes it to be; `count` of `needed` probes in a row speak for `towards`."""

    pool: str
    name: str
    weight: float
    health: Health
    draining: bool = False
    drained: bool = False
    disabled: bool = False
    ejected: bool = False
    count: int = 0
    needed: int = 0
    towards: Health = "up"
    probing: bool = False
    picked: int = 0
    answered: int = 0
    failed: int = 0
    open: set[tuple[int, int]] = field(default_factory=set)
    """The attempts in flight, as (request, attempt)."""

    @property
    def available(self) -> bool:
        """May it receive requests, as far as the balancer believes?"""
        kept_out = self.draining or self.disabled or self.ejected
        return self.health == "up" and not kept_out and self.weight > 0


@dataclass(slots=True)
class Client:
    """An address that requests come from, and how they ended."""

    sent: int = 0
    answered: int = 0
    failed: int = 0


class Scene:
    """Servers by "pool/name" and clients by address, each in order of appearance, and the journeys between them.

    `clients` are addresses known beforehand, so that they have their place before their first request.
    """

    def __init__(self, travel: float = TRAVEL, clients: Iterable[str] = ()) -> None:
        self.journeys = Journeys(travel)
        self.servers: dict[str, Server] = {}
        self.clients: dict[str, Client] = {client: Client() for client in islice(clients, MOST_CLIENTS)}
        self.other_clients: set[str] = set()
        """The addresses beyond `MOST_CLIENTS`; `others` is all of them together."""
        self.others = Client()
        self.machines: dict[str, OriginChanged] = {}
        """What last befell each machine that is not well, by "pool/name"."""
        self.missed = 0
        self.version = 0
        """Grows whenever anything but the dots may look different."""
        self.shown = 0.0
        self.still = False
        """Nothing moves, so there is nothing to lead up to: the picture shows `now`."""
        self._now = 0.0
        self._coming: deque[Event] = deque()
        self._seen: deque[Event] = deque()
        self._senders: dict[int, Client] = {}
        self._turns: dict[str, list[str]] = {}

    def take(self, events: Iterable[Event]) -> None:
        """Hand over what happened or will happen, in order."""
        self._coming.extend(events)

    def advance(self, now: float) -> bool:
        """Move on to where the trace is known up to `now`; False when nothing has changed."""
        was, waiting = self.shown, len(self._coming)
        while self._coming and self._coming[0].at <= now:
            self._see(self._coming.popleft())
        self.shown = self._pace(now)
        while self._seen and self._seen[0].at <= self.shown:
            self._show(self._seen.popleft())
        return self.shown != was or len(self._coming) != waiting

    def next_in(self, pool: str) -> str | None:
        """Whose turn it is in that pool; None before the first pick, or when its algorithm takes no turns."""
        return next((label for label in self._turns.get(pool, ()) if self._may_be_picked(label)), None)

    def _may_be_picked(self, label: str) -> bool:
        return label in self.servers and self.servers[label].available

    def _pace(self, now: float) -> float:
        """How far to show: `lead` behind a clock that runs, level with one that stands, and never backwards.

        After a pause the picture is closer than `lead`; it goes at half speed until the distance is right again.
        """
        lead = 0.0 if self.still else self.journeys.lead
        moved, self._now = max(0.0, now - self._now), now
        if moved:
            return max(now - lead, self.shown + moved / 2)
        return max(self.shown, min(now, self.shown + lead / _CATCH_UP_FRAMES) if lead else now)

    def _see(self, event: Event) -> None:
        self.journeys.take(event)
        self._seen.append(event)
        if isinstance(event, OriginChanged):
            self.version += 1
            self.machines.pop(_label(event), None)
            if event.fault != "heal":
                self.machines[_label(event)] = event

    def _show(self, event: Event) -> None:
        self.version += 1
        if isinstance(event, _AtServer) and _label(event) in self.servers:
            _show_at(self.servers[_label(event)], event)
        match event:
            case Arrived():
                self._senders[event.request] = self._sender(event.client)
            case Picked():
                self._turn(event)
            case Answered():
                self._ended(event.request, ok=event.status < 500)
            case Rejected():
                self._ended(event.request, ok=False)
            case Finished(final=True):
                self._ended(event.request, ok=event.ok)
            case Joined():
                self.servers[_label(event)] = Server(event.pool, event.backend, event.weight, event.health)
            case Left():
                self.servers.pop(_label(event), None)
            case Missed():
                self._lost(event.count)
            case _:
                pass

    def _sender(self, address: str) -> Client:
        if address in self.clients or len(self.clients) < MOST_CLIENTS:
            client = self.clients.setdefault(address, Client())
        else:
            client = self.others
            self.other_clients.add(address)
        client.sent += 1
        return client

    def _ended(self, request: int, *, ok: bool) -> None:
        client = self._senders.pop(request, None)
        if client is not None:
            client.answered += ok
            client.failed += not ok

    def _turn(self, event: Picked) -> None:
        """Remember the order of turns after this pick; a retry spends nobody's turn, nor does a client who stays."""
        if event.because in ("retry", "sticky"):
            return
        waiting = [(one.number, one.backend) for one in event.why.candidates if one.number is not None]
        order = [f"{event.pool}/{backend}" for _, backend in sorted(waiting)]
        self._turns[event.pool] = order[1:] + order[:1] if event.why.rule.startswith(_TURNS) else []

    def _lost(self, count: int) -> None:
        """A gap in the trace: who is in flight is no longer known, only what ends from here on."""
        self.missed += count
        self._senders.clear()
        for server in self.servers.values():
            server.open.clear()


def _label(event: _AtServer | Joined | Left | OriginChanged) -> str:
    return f"{event.pool}/{event.backend}"


def _show_at(server: Server, event: _AtServer) -> None:
    match event:
        case Picked():
            server.picked += 1
            server.open.add((event.request, event.attempt))
        case Finished():
            server.open.discard((event.request, event.attempt))
            server.answered += event.ok
            server.failed += not event.ok
        case ProbeSent():
            server.probing = True
        case Probed():
            server.probing = False
            server.count, server.needed, server.towards = event.count, event.needed, event.towards
        case HealthChanged():
            server.health, server.count = event.now, 0
        case Ejected():
            server.ejected = True
        case Readmitted():
            server.ejected = False
        case Draining():
            server.draining, server.drained = True, False
        case Drained():
            server.drained = True
        case Disabled():
            server.disabled, server.probing = True, False
        case Enabled():
            server.draining = server.drained = server.disabled = False
        case WeightChanged():
            server.weight = event.now
