"""`Feed`: how events cross from the thread where they happen to whoever reads them.

One bounded deque a reader. The writer appends and never waits, so watching a balancer does not slow it down; the
reader drains when it likes (a screen: once a frame). A reader that falls behind loses the oldest events, and is told:
`drain` puts one `Missed` with their number where they would have been. Appending and popping on a `deque` are atomic in
CPython, so there is no lock.
"""

from __future__ import annotations

from collections import deque

from lbtutor.core.events import Event, Missed


class Feed:
    """A bounded queue of events with one writer and one reader, each on its own thread."""

    def __init__(self, size: int = 65_536) -> None:
        self._events: deque[tuple[int, Event]] = deque(maxlen=size)
        self._written = 0
        self._expected = 0

    def __repr__(self) -> str:
        return f"<Feed {len(self._events)} of {self._events.maxlen} waiting, {self._written} written>"

    def write(self, event: Event) -> None:
        """Append one event; drops the oldest one when the feed is full."""
        self._events.append((self._written, event))
        self._written += 1

    def drain(self, most: int | None = None) -> list[Event]:
        """Everything that waits, oldest first (at most `most` events), with a `Missed` for each gap."""
        drained: list[Event] = []
        pop = self._events.popleft
        for _ in range(len(self._events) if most is None else min(most, len(self._events))):
            try:
                number, event = pop()
            except IndexError:  # the writer pushed it out meanwhile
                break
            if number != self._expected:
                drained.append(Missed(event.at, number - self._expected))
            self._expected = number + 1
            drained.append(event)
        return drained
