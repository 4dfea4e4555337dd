"""`Feed`: how events cross from the thread where they happen to whoever reads them.

One bounded queue a reader. The writer appends and never waits, so watching a balancer does not slow it down; the
reader drains when it likes (a screen: once a frame). A reader that falls behind loses the oldest events, and is told:
`drain` puts one `Missed` with their number where they would have been.

The queue is made of pages, numbered by their first event. The writer fills one after the other; the reader takes the
oldest out of the queue, reads on in it while it is being written, and goes on to the next. Appending to a list, taking
a slice of it, and both ends of a `deque` are atomic in CPython, so there is no lock. (A number for each event would be
simpler. It would make two more objects of each, and 65 536 events are cold by the time they fall out of the queue: 2 us
a request, of 7 that the whole trace costs.)
"""

from __future__ import annotations

from collections import deque
from sys import maxsize

from lbtutor.core.events import Event, Missed

_Page = tuple[int, list[Event]]


class Feed:
    """A bounded queue of `size` events with one writer and one reader, each on its own thread.

    When it is full, the oldest of its `pages` is dropped, with all that is on it.
    """

    def __init__(self, size: int = 65_536, pages: int = 1024) -> None:
        self._most = max(1, size // pages)
        self._page: list[Event] = []
        self._first = 0
        self._pages: deque[_Page] = deque([(0, self._page)], maxlen=size // self._most)
        self._reading: _Page = (0, [])
        self._expected = 0

    def __repr__(self) -> str:
        return f"<Feed {self._waiting} of {self._most * (self._pages.maxlen or 0)} waiting, {self._written} written>"

    def write(self, event: Event) -> None:
        """Append one event; drops the oldest ones when the feed is full."""
        if len(self._page) == self._most:
            self._turn_over()
        self._page.append(event)

    def _turn_over(self) -> None:
        """To a new page; in a feed that is full, the oldest one falls out."""
        self._first += self._most
        self._page = []
        self._pages.append((self._first, self._page))

    def drain(self, most: int | None = None) -> list[Event]:
        """Everything that waits, oldest first (at most `most` events), with a `Missed` for each gap."""
        drained: list[Event] = []
        left = maxsize if most is None else most
        end = self._written  # what is written while this goes on is for the next time
        while left and self._expected < end and (events := self._next_events(left)):
            missed = self._reading[0] - self._expected
            if missed > 0:
                drained.append(Missed(events[0].at, missed))
                self._expected += missed
            drained += events
            self._expected += len(events)
            left -= len(events)
        return drained

    def _next_events(self, most: int) -> list[Event]:
        """What there is of one page: of the one that is being read, or else of the oldest one in the queue."""
        if self._pages and self._pages[0][1] and self._expected >= self._reading[0] + len(self._reading[1]):
            self._reading = self._pages.popleft()
        first, page = self._reading
        start = max(self._expected - first, 0)
        return page[start : start + most]

    @property
    def _waiting(self) -> int:
        read = max(self._expected - self._reading[0], 0)
        return len(self._reading[1]) - read + sum(len(page) for _, page in list(self._pages))

    @property
    def _written(self) -> int:
        return self._first + len(self._page)
