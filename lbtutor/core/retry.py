"""Retries: when a request may be tried again, how often, and how soon."""

from __future__ import annotations

from msgspec import Struct

from lbtutor.core.errors import ConfigError
from lbtutor.core.units import Seconds


class Retry(Struct, frozen=True, forbid_unknown_fields=True):
    """How often one request may be tried in all, after what, and at what price.

    `on` lists what is worth another try: `connect` (refused or unreachable: nothing was sent, so any method may go),
    `close` (the connection ended before an answer), `timeout`, or a status such as `503`; all but `connect` only for
    idempotent methods. `budget` bounds retries to that share of the requests (None: no bound). `backoff` is the mean
    wait before the second try, doubled for each one after it.
    """

    attempts: int = 1
    budget: float | None = None
    on: tuple[str, ...] = ("connect", "close")
    backoff: Seconds = Seconds(0)

    def __post_init__(self) -> None:
        if self.attempts < 1:
            raise ConfigError("retry: `attempts` counts all tries and must be at least 1")
