"""Retries: when a request may be tried again, how often, and how soon.

Another try always goes to another backend. Whether there is one is decided in this order, and the first line that holds
ends it; what stands on the right is what the trace says then:

    the attempt ended so that `on` asks for nothing          "", or "`on` does not list timeout"
    all tries were made                                      3 of 3 tries made
    it was sent, and its method is not idempotent            POST is not idempotent
    nobody is left to try                                    no other backend is available
    the pool has retried too much of late                    the retry budget is spent
    part of its body was sent and is gone                    its body cannot be sent again

Idempotent methods are those of RFC 9110, section 9.2.2. A connection that could not be made carried nothing, so there
the method does not matter (NGINX and HAProxy agree). A TCP connection or a UDP session that was made is never tried
again: nobody knows what was said. Nor is an answer that broke off: part of it is with the client.

**The budget** keeps retries from adding to an outage: when every request fails, a pool that tries each three times
carries three times the load. Each request earns `budget` of a retry, each retry spends a whole one, and what is saved
has an upper bound (gRPC's retry throttling works so; the share is Envoy's `retry_budget` and Finagle's `RetryBudget`,
20 % both, and 10 % in the SRE book, chapter 21). A pool begins with `FLOOR` in hand, as many as Envoy's
`min_retry_concurrency`, so that the first failures of a quiet pool can be saved. Hence, over any stretch of time that
sees n requests, there are at most `MOST_SAVED + budget * n` retries, and since the start at most `FLOOR + budget * n`:
the load is amplified by no more than `1 + budget`. Counting needs no clock and two numbers.

**The wait** before try k + 1 is drawn evenly from 0 to `backoff * 2**k`, but at most `backoff * LONGEST_WAIT`: "full
jitter" (M. Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015), with the bound of Envoy's
`max_interval`, ten times the base. So its mean is `backoff`, then twice that, four
times, and from there on five times.
"""

from __future__ import annotations

from random import Random

from msgspec import Struct

from lbtutor.core.errors import ConfigError, hint
from lbtutor.core.messages import Outcome, Request
from lbtutor.core.units import Seconds

IDEMPOTENT = frozenset({"GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"})
"""Methods that may be carried out twice to the effect of once (RFC 9110, section 9.2.2)."""

FLOOR = 3
"""Retries that a pool with a budget may make before it has seen a request."""

MOST_SAVED = 100
"""Retries that can be saved up, however long all went well."""

LONGEST_WAIT = 10
"""No wait is longer than so many times `backoff`."""

NOBODY_ELSE = "no other backend is available"

_WORDS = {
    "refused": "connect",
    "unreachable": "connect",
    "untrusted": "connect",
    "closed": "close",
    "invalid": "invalid",
    "timed_out": "timeout",
}
"""The word in `on` for each failure; those that have none are never mended: `cut`, `cancelled`."""

_KNOWN = ("connect", "close", "invalid", "timeout")


class Retry(Struct, frozen=True, forbid_unknown_fields=True):
    """How often one request may be tried in all, after what, and at what price.

    `on` lists what is worth another try: `connect` (no connection: nothing was sent, so any method may go),
    `close` (the connection ended before an answer), `invalid` (what came is not HTTP), `timeout`, or a status such as
    `503`; all but `connect` only for idempotent methods. `budget` bounds retries to that share of the requests (None:
    no bound). `backoff` is the mean wait before the second try, doubled for each one after it. Raises `ConfigError` for
    numbers that cannot work, and for unknown words with the nearest known one.
    """

    attempts: int = 1
    budget: float | None = None
    on: tuple[str, ...] = ("connect", "close")
    backoff: Seconds = Seconds(0)

    def __post_init__(self) -> None:
        if self.attempts < 1:
            raise ConfigError("retry: `attempts` counts all tries and must be at least 1")
        if self.budget is not None and not 0 <= self.budget <= 1:
            raise ConfigError(f"retry: `budget` is a share of the requests, from 0 to 1, not {self.budget!r}")
        if not 0 <= self.backoff < float("inf"):
            raise ConfigError("retry: `backoff` is 0 or longer")
        for word in self.on:
            if word not in _KNOWN and not _is_status(word):
                raise ConfigError(f"retry: `on` knows no {word!r}; {hint(word, (*_KNOWN, '503'))}")


class Retries:
    """One pool's rule for another try, and what is left of its budget."""

    __slots__ = ("_attempts", "_backoff", "_kinds", "_statuses", "budget")

    def __init__(self, config: Retry) -> None:
        self._attempts = config.attempts
        self._backoff = config.backoff
        self._kinds = frozenset(kind for kind, word in _WORDS.items() if word in config.on)
        self._statuses = frozenset(int(word) for word in config.on if word not in _KNOWN)
        self.budget = None if config.budget is None else Budget(config.budget)

    def __repr__(self) -> str:
        return f"<Retries attempts={self._attempts} budget={self.budget}>"

    def wants(self, outcome: Outcome) -> bool:
        """Is an attempt that ended so worth another one, if all else allows it?"""
        return outcome.status in self._statuses if outcome.kind == "answered" else outcome.kind in self._kinds

    def forbids(self, request: Request, outcome: Outcome, *, repeatable: bool, others: bool) -> str:
        """What keeps a request whose attempt ended in such a failure from another; empty when nothing does.

        `repeatable` is false when its body cannot be sent again, `others` when nobody else could take it.
        """
        if request.attempt >= self._attempts:
            return f"{request.attempt} of {self._attempts} tries made"
        if _WORDS.get(outcome.kind) != "connect" and request.method not in IDEMPOTENT:
            return f"{request.method} is not idempotent"
        if not others:
            return NOBODY_ELSE
        if self.budget is not None and self.budget.is_spent:
            return "the retry budget is spent"
        return "" if repeatable else "its body cannot be sent again"

    def excuse(self, outcome: Outcome) -> str:
        """Why an end that it does not want is left as it is; empty where nobody would ask."""
        word = _WORDS.get(outcome.kind)
        return f"`on` does not list {word}" if word is not None else ""

    def spend(self) -> None:
        """A request is retried."""
        if self.budget is not None:
            self.budget.spend()

    def wait(self, attempt: int, rng: Random) -> float:
        """Seconds before the next try, when `attempt` were made; 0 without a back-off, and then no die is rolled."""
        return rng.uniform(0, self._backoff * min(2**attempt, LONGEST_WAIT)) if self._backoff else 0.0


class Budget:
    """Retries in hand, in millionths: whole numbers add up exactly."""

    __slots__ = ("_earns", "_saved")

    def __init__(self, share: float) -> None:
        self._earns = round(share * _WHOLE)
        self._saved = FLOOR * _WHOLE

    def __repr__(self) -> str:
        return f"<Budget {self._saved / _WHOLE:g} in hand>"

    @property
    def is_spent(self) -> bool:
        """Is less than a whole retry left?"""
        return self._saved < _WHOLE

    def earn(self) -> None:
        """A request arrived."""
        self._saved = min(self._saved + self._earns, MOST_SAVED * _WHOLE)

    def spend(self) -> None:
        """A request is retried."""
        self._saved -= _WHOLE


_WHOLE = 1_000_000


def _is_status(word: str) -> bool:
    return word.isascii() and word.isdigit() and 100 <= int(word[:4]) <= 599 and len(word) == 3
