"""`Tally`: counts of single things that a scenario may expect, folded from its trace.

What `Metrics` does not know because no screen shows it: how often a status was given, who was picked how often, who
had to wait, and which clients did not stay where they were.
"""

from __future__ import annotations

from collections import Counter

from lbtutor.core.events import (
    Answered,
    Arrived,
    BackedOff,
    Event,
    Exchanged,
    Finished,
    Picked,
    Queued,
    Rejected,
    SessionLost,
    Stranded,
)


class Tally:
    """Counts by name: of requests that were told to it from their `Arrived` on, and of what no balancer knows of."""

    def __init__(self) -> None:
        self.picked: Counter[str] = Counter()
        """Attempts at each backend (`pool/name`)."""
        self.status: Counter[int] = Counter()
        """Requests by what the client got; 0 for connections and sessions, which have none."""
        self.answered: Counter[str] = Counter()
        """Requests answered by each backend's machine."""
        self.queued = 0
        """Requests that waited for a backend to be free."""
        self.backed_off = 0
        """Tries that waited before they were made."""
        self.moved = 0
        """Requests that went to another backend of a pool than the request before of the same client."""
        self.sticky = 0
        """Requests that went where their client had been before, because it had been there."""
        self.forgotten = 0
        """Visits whose session the machine did not know."""
        self.stranded = 0
        """Requests that were sent to a dead balancer."""
        self._clients: dict[int, str] = {}
        self._homes: dict[tuple[str, str], str] = {}

    def __repr__(self) -> str:
        return f"<Tally {dict(self.status)}>"

    def take(self, event: Event) -> None:
        """Fold one event."""
        match event:
            case Arrived():
                self._clients[event.request] = event.client
            case Queued():
                self.queued += 1
            case BackedOff():
                self.backed_off += 1
            case Picked():
                self._count(event)
            case SessionLost():
                self.forgotten += 1
            case Stranded():
                self.stranded += 1
            case Exchanged():
                self.answered[f"{event.pool}/{event.backend}"] += 1
            case Finished(final=True) | Rejected() | Answered():
                self.status[event.status] += 1
                if isinstance(event, Finished) and event.outcome.startswith("answered"):
                    self.answered[f"{event.pool}/{event.backend}"] += 1
                self._clients.pop(event.request, None)

    def _count(self, event: Picked) -> None:
        self.picked[f"{event.pool}/{event.backend}"] += 1
        self.sticky += event.because == "sticky"
        client = self._clients.get(event.request)
        if client is not None:
            before = self._homes.get((event.pool, client), event.backend)
            self.moved += before != event.backend
            self._homes[event.pool, client] = event.backend
