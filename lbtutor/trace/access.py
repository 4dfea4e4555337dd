"""`AccessLog`: the trace as an access log, one entry a request, told when the client has what it gets.

    {"time":"2026-03-01T12:00:00.250Z","request":7,"client":"127.0.0.1","listener":"front","method":"GET","host":"shop",
     "path":"/","status":200,"took":0.3213,"pool":"web","attempts":[{"backend":"b","outcome":"connection refused",
     "took":0.0004},{"backend":"a","outcome":"answered 200","took":0.0209,"waited":0.3}],"because":"answered 200"}

`request` is the number at the end of the `X-Request-Id` that client and backend see. An attempt has `waited` when the
request was in a queue or backed off before it, `sticky` when the client's own backend was asked for, and `affinity` in
a sticky pool: whose cookie or address it was, or why there is a new one. Whoever spoke TLS has `sni`, if it named a
server. What the balancer answered by itself has no attempts, and its reason says why. A request is remembered from its
arrival to its end, so memory follows the requests under way and not the requests served.

`AccessFile` writes the entries to a file, and can open it anew when somebody has moved it away.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from io import FileIO
from types import TracebackType

import msgspec
from msgspec import Struct

from lbtutor.core.errors import EnvironmentFault
from lbtutor.core.events import (
    Answered,
    Arrived,
    BackedOff,
    Event,
    Finished,
    Missed,
    Picked,
    Queued,
    Refused,
    Rejected,
)

_DIGITS = 6
"""Microseconds: finer than any clock here is."""

KINDS: frozenset[type] = frozenset({Arrived, Queued, BackedOff, Picked, Finished, Rejected, Refused, Answered, Missed})
"""The kinds of events that an access log is made from."""


class Attempt(Struct, frozen=True, omit_defaults=True):
    """One try at one backend, the seconds it took, and those that the request waited before it."""

    backend: str
    outcome: str
    took: float
    waited: float = 0.0
    sticky: bool = False
    affinity: str = ""


class Access(Struct, frozen=True, omit_defaults=True):
    """One request: when it arrived, the status that its client got, and the seconds from its arrival to its end.

    `pool` is None when no route led to one. `because` says why it ended so: the last outcome, or the balancer's
    own reason. `sni` is the server name that a TLS client asked for.
    """

    time: str
    request: int
    client: str
    listener: str
    method: str
    host: str
    path: str
    status: int
    took: float
    pool: str | None
    attempts: tuple[Attempt, ...]
    because: str
    sni: str = ""


class _Open:
    """A request under way: its arrival, what was tried, and since when it waits for what comes next."""

    __slots__ = ("affinity", "arrived", "attempts", "sticky", "waited", "waits_since")

    def __init__(self, arrived: Arrived) -> None:
        self.arrived = arrived
        self.attempts: tuple[Attempt, ...] = ()
        self.waits_since: float | None = None
        self.waited = 0.0
        self.sticky = False
        self.affinity = ""

    def waits(self, at: float) -> None:
        """From now, unless it waits already: who has backed off may have to queue as well."""
        if self.waits_since is None:
            self.waits_since = at

    def picked(self, event: Picked) -> None:
        """The next attempt begins."""
        self.waited = 0.0 if self.waits_since is None else round(event.at - self.waits_since, _DIGITS)
        self.waits_since = None
        self.sticky = event.because == "sticky"
        self.affinity = event.affinity

    def tried(self, event: Finished) -> None:
        """That attempt is over."""
        took = round(event.took, _DIGITS)
        attempt = Attempt(event.backend, event.outcome, took, self.waited, self.sticky, self.affinity)
        self.attempts = (*self.attempts, attempt)


class AccessLog:
    """Folds a trace into entries; `time` writes a moment of the trace (in seconds) as text.

    A reader that fell behind cannot know which requests ended meanwhile: at a `Missed` all that are under way are
    forgotten, and have no entry.
    """

    def __init__(self, time: Callable[[float], str]) -> None:
        self._time = time
        self._open: dict[int, _Open] = {}

    def __repr__(self) -> str:
        return f"<AccessLog {len(self._open)} under way>"

    def take(self, event: Event) -> Access | None:
        """Fold one event; the entry of the request that ended with it."""
        match event:
            case Arrived():
                self._open[event.request] = _Open(event)
            case Picked():
                if (request := self._open.get(event.request)) is not None:
                    request.picked(event)
            case Finished():
                return self._finished(event)
            case Queued() | BackedOff():
                if (request := self._open.get(event.request)) is not None:
                    request.waits(event.at)
            case Rejected():
                return self._entry(event, event.pool, event.because)
            case Answered():
                return self._entry(event, None, event.because)
            case Refused():
                return self._refused(event)
            case Missed():
                self._open.clear()
        return None

    def _refused(self, event: Refused) -> Access:
        """It was no request, so it has no number, method, host or path."""
        return Access(
            self._time(event.at),
            0,
            event.client,
            event.listener,
            "",
            "",
            "",
            event.status,
            0.0,
            None,
            (),
            event.because,
        )

    def _finished(self, event: Finished) -> Access | None:
        request = self._open.get(event.request)
        if request is not None:
            request.tried(event)
        because = f"{event.outcome}; {event.because}" if event.because else event.outcome
        return self._entry(event, event.pool, because) if event.final else None

    def _entry(self, end: Finished | Rejected | Answered, pool: str | None, because: str) -> Access | None:
        request = self._open.pop(end.request, None)
        if request is None:
            return None
        arrived = request.arrived
        return Access(
            self._time(arrived.at),
            arrived.request,
            arrived.client,
            arrived.listener,
            arrived.method,
            arrived.host,
            arrived.path,
            end.status,
            round(end.at - arrived.at, _DIGITS),
            pool,
            request.attempts,
            because,
            arrived.sni,
        )


class AccessFile:
    """Appends entries to a file, or to stdout (`-`); raises `EnvironmentFault` when it cannot be written.

    Unbuffered: whole batches are written, and nothing is left to fail when the program ends.
    """

    def __init__(self, where: str, time: Callable[[float], str]) -> None:
        self._where = where
        self._log = AccessLog(time)
        self._encode = msgspec.json.Encoder().encode
        self._file = _open_for_appending(where)

    def __repr__(self) -> str:
        return f"<AccessFile {self._where}>"

    def __enter__(self) -> AccessFile:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._file.close()

    def take(self, batch: Iterable[Event]) -> None:
        """Write the entries of the requests that ended with these events; raises `OSError`."""
        entries = [entry for entry in map(self._log.take, batch) if entry is not None]
        rest = memoryview(b"".join(self._encode(entry) + b"\n" for entry in entries))
        while rest:  # a signal may cut a write short
            rest = rest[self._file.write(rest) :]

    def reopen(self) -> None:
        """Go on in a new file of the same name: the old one was moved away. If that fails, the old one is kept."""
        before, self._file = self._file, _open_for_appending(self._where)
        before.close()


def _open_for_appending(where: str) -> FileIO:
    try:
        if where == "-":
            return open(sys.stdout.fileno(), "ab", buffering=0, closefd=False)
        return open(where, "ab", buffering=0)
    except OSError as error:
        raise EnvironmentFault(f"cannot write the access log {where}: {error.strerror or error}") from error
