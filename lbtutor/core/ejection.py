"""Passive health checks: a backend is thrown out for the answers that clients got from it.

A probe asks now and then; every request asks all the time. So when requests fail, the balancer need not wait for the
next probe. What happens to one backend is one table:

    state      an attempt at it              what follows
    in         failed                        one more in a row; ejected at `fails` of them within `window`
    in         answered below 500            the row is broken, and counting starts again
    in         cancelled by the client       nothing: it says nothing about the server
    ejected    ended, however                nothing: the verdict stands until its time is over
    readmitted ended, but begun before that  nothing: it tells of the past

*Failed* is every end that `Outcome` blames the server for: refused, unreachable, closed, invalid, timed out, cut, and
an answer of 500 or more (Envoy's `consecutive_5xx`, which counts errors of the connection as such; HAProxy's `observe
layer7` would forgive 501 and 505).

    counting   in a row (Envoy: 5; HAProxy `error-limit`: 10), and all of them within `window`, so that five bad ends
               in a day are not one bad moment; each failure is forgotten by itself when `window` has passed (Caddy)
    how long   the n-th ejection lasts n times `eject`, at most ten times (Envoy: 30 s and 300 s). For each whole
               `eject` that the backend has then spent readmitted, n goes down by one
    how many   at most the share `max_ejected` of the members, but one at least (Envoy, where the share is 10 %). Who
               fails while nobody more may be ejected stays, and its next failure asks again
    alone      the only member of a pool is never ejected (NGINX): there is nobody to go to instead
    the end    time alone readmits, and the failures are forgotten. A passed probe does not, unlike in Envoy: a server
               that answers `/health` and nothing else is what passive checks are for. Nor is the first request a trial
               (NGINX): it counts as any other

Active checks go on beside this and believe what they believe: a backend is available when neither says no. A member
that drains, is in maintenance or has weight 0 is not ejected, for it gets nothing anyway. With `all_down = "fail_open"`
the ejected are offered like the down, when nobody else is left.
"""

from __future__ import annotations

from collections import deque

from msgspec import Struct

from lbtutor.core.errors import ConfigError
from lbtutor.core.messages import Outcome
from lbtutor.core.units import Seconds

MOST_TIMES = 10
"""No ejection lasts longer than so many times `eject`."""


class PassiveCheck(Struct, frozen=True, forbid_unknown_fields=True):
    """The rule for ejecting the members of a pool; durations in seconds, `max_ejected` a share of the members.

    Raises `ConfigError` for numbers that cannot work.
    """

    fails: int = 5
    window: Seconds = Seconds(10)
    eject: Seconds = Seconds(30)
    max_ejected: float = 0.5
    share: float | None = None
    volume: int = 20

    def __post_init__(self) -> None:
        if self.fails < 1:
            raise ConfigError("passive: `fails` counts failed attempts and must be at least 1")
        if self.window <= 0 or self.eject <= 0:
            raise ConfigError("passive: `window` and `eject` must be longer than 0")
        if not 0 < self.max_ejected <= 1:
            raise ConfigError(
                f"passive: `max_ejected` is a share of the members, above 0 and at most 1, not {self.max_ejected!r}"
            )

    def allows(self, ejected: int, members: int) -> bool:
        """May one more be ejected, where `ejected` of `members` are already?"""
        return members > 1 and (not ejected or (ejected + 1) / members <= self.max_ejected)


class Ejection:
    """What its answers say against one backend, and until when it is ejected (None while it is not)."""

    __slots__ = ("_check", "_failures", "_readmitted_at", "_times", "until")

    def __init__(self, check: PassiveCheck, now: float) -> None:
        self._check = check
        self._failures: deque[float] = deque(maxlen=check.fails)
        self._readmitted_at = now
        self._times = 0
        self.until: float | None = None

    def __repr__(self) -> str:
        return f"<Ejection failures={len(self._failures)} times={self._times} until={self.until}>"

    def judge(self, outcome: Outcome, began: float, now: float) -> bool:
        """Take in how an attempt ended that `began` then: True when it is the one failure too many."""
        if outcome.kind == "cancelled" or self.until is not None or began < self._readmitted_at:
            return False
        if outcome.ok:
            self._failures.clear()
            return False
        self._failures.append(now)
        return len(self._failures) == self._check.fails and now - self._failures[0] <= self._check.window

    def eject(self, now: float) -> float:
        """Throw it out; returns until when."""
        forgiven = int((now - self._readmitted_at) / self._check.eject)
        self._times = min(max(self._times - forgiven, 0) + 1, MOST_TIMES)
        self.until = now + self._times * self._check.eject
        return self.until

    def is_over(self, now: float) -> bool:
        """Was it ejected until now, or until earlier?"""
        return self.until is not None and self.until <= now

    def readmit(self, now: float) -> None:
        """Let it in again, with no failure to its name."""
        self.until = None
        self._readmitted_at = now
        self._failures.clear()


def why_ejected(fails: int, outcome: Outcome) -> str:
    """The reason in words."""
    if fails == 1:
        return f"one attempt failed: {outcome.says}"
    return f"{fails} attempts in a row failed, the last with: {outcome.says}"
