"""Passive health checks: a backend is thrown out for the answers that clients got from it.

A probe asks now and then; every request asks all the time. So when requests fail, the balancer need not wait for the
next probe. What happens to one backend is one table:

    state      an attempt at it              what follows
    in         failed                        one more in a row; ejected at `fails` of them within `window`, and when
                                             the share of failures has come to `share`
    in         answered below 500            the row is broken, and counting starts again
    in         cancelled by the client       nothing: it says nothing about the server
    ejected    ended, however                nothing: the verdict stands until its time is over
    readmitted ended, but begun before that  nothing: it tells of the past

*Failed* is every end that `Outcome` blames the server for: refused, unreachable, untrusted, closed, invalid, timed
out, cut, and an answer of 500 or more (Envoy's `consecutive_5xx`, which counts errors of the connection as such;
HAProxy's `observe layer7` would forgive 501 and 505).

    counting   in a row (Envoy: 5; HAProxy `error-limit`: 10), and all of them within `window`, so that five bad ends
               in a day are not one bad moment; each failure is forgotten by itself when `window` has passed (Caddy)
    share      of the attempts that ended within `window`, if there are `volume` of them (Envoy's failure percentage:
               85 %, of 50 requests): a server that fails every other time never fails five times in a row. Ends are
               counted in tenths of the window, so what is counted reaches back between nine tenths of it and all
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

    `share` is a share of at least `volume` attempts; None leaves it to `fails` in a row alone. Raises `ConfigError` for
    numbers that cannot work.
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
        if self.share is not None and not 0 < self.share <= 1:
            raise ConfigError(f"passive: `share` is a share of the attempts, above 0 and at most 1, not {self.share!r}")
        if self.volume < 1:
            raise ConfigError("passive: `volume` counts attempts and must be at least 1")

    def allows(self, ejected: int, members: int) -> bool:
        """May one more be ejected, where `ejected` of `members` are already?"""
        return members > 1 and (not ejected or (ejected + 1) / members <= self.max_ejected)


_BUCKETS = 10


class Tally:
    """How many attempts ended, and how many of them failed, in the last `window` seconds: ten numbers of each."""

    __slots__ = ("_bucket", "_counts", "attempts", "failures")

    def __init__(self, window: float) -> None:
        self._bucket = window / _BUCKETS
        self._counts: deque[list[int]] = deque()
        self.attempts = 0
        self.failures = 0

    def count(self, failed: bool, now: float) -> None:
        """One more attempt ended; time never goes back."""
        number = int(now / self._bucket)
        self._forget_before(number - _BUCKETS + 1)
        if not self._counts or self._counts[-1][0] != number:
            self._counts.append([number, 0, 0])
        self._counts[-1][1] += 1
        self._counts[-1][2] += failed
        self.attempts += 1
        self.failures += failed

    def _forget_before(self, number: int) -> None:
        while self._counts and self._counts[0][0] < number:
            _, attempts, failures = self._counts.popleft()
            self.attempts -= attempts
            self.failures -= failures


class Ejection:
    """What its answers say against one backend, and until when it is ejected (None while it is not)."""

    __slots__ = ("_check", "_failures", "_readmitted_at", "_tally", "_times", "until")

    def __init__(self, check: PassiveCheck, now: float) -> None:
        self._check = check
        self._times = 0
        self.until: float | None = None
        self._readmitted_at = now
        self._count_anew()

    def __repr__(self) -> str:
        return f"<Ejection failures={len(self._failures)} times={self._times} until={self.until}>"

    def judge_by(self, check: PassiveCheck) -> None:
        """Judge by this rule from here on, and if it is another one, count anew."""
        if check != self._check:
            self._check = check
            self._count_anew()

    def _count_anew(self) -> None:
        self._failures: deque[float] = deque(maxlen=self._check.fails)
        self._tally = None if self._check.share is None else Tally(self._check.window)

    def judge(self, outcome: Outcome, began: float, now: float) -> str | None:
        """Take in how an attempt ended that `began` then: why this is the one failure too many, or None."""
        if outcome.kind == "cancelled" or self.until is not None or began < self._readmitted_at:
            return None
        if self._tally is not None:
            self._tally.count(not outcome.ok, now)
        if outcome.ok:
            self._failures.clear()
            return None
        self._failures.append(now)
        return self._too_many_in_a_row(outcome, now) or self._too_large_a_share(outcome)

    def _too_many_in_a_row(self, outcome: Outcome, now: float) -> str | None:
        fails, window = self._check.fails, self._check.window
        if len(self._failures) < fails or now - self._failures[0] > window:
            return None
        if fails == 1:
            return f"one attempt failed: {outcome.says}"
        return f"{fails} attempts in a row failed, the last with: {outcome.says}"

    def _too_large_a_share(self, outcome: Outcome) -> str | None:
        check, tally = self._check, self._tally
        if check.share is None or tally is None or tally.attempts < check.volume:
            return None
        if tally.failures / tally.attempts < check.share:
            return None
        of = f"{tally.failures} of {tally.attempts} attempts in {check.window:g} s"
        return f"{of} failed ({tally.failures / tally.attempts:.0%}), the last with: {outcome.says}"

    def eject(self, now: float) -> float:
        """Throw it out; returns until when."""
        forgiven = int((now - self._readmitted_at) / self._check.eject)
        self._times = min(max(self._times - forgiven, 0) + 1, MOST_TIMES)
        self.until = now + self._times * self._check.eject
        return self.until

    def readmit(self, now: float) -> None:
        """Let it in again, with no failure to its name."""
        self.until = None
        self._readmitted_at = now
        self._count_anew()
