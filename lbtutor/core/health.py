"""Active health checks: when to probe, and what a result changes.

A backend's health is what the balancer *believes*. The machine may have been dead for a minute; belief follows the
probes, and the gap between the two is where requests are lost. The whole machine is one table:

    believed    result   streak reaches     becomes
    up          fail     fall               down
    down        pass     rise               up
    unchecked   pass     1                  up
    unchecked   fail     1                  down

A result that agrees with the belief clears the streak: thresholds count *consecutive* results (HAProxy `rise`/`fall`,
ALB healthy/unhealthy threshold). `initial = "up"` trusts a newcomer until probes say otherwise (HAProxy, NGINX,
Caddy); `initial = "unchecked"` offers it nothing until one probe passed (ALB, Envoy).

Probes start `interval` seconds apart, counted from start to start, and the members of a pool take turns within the
interval (HAProxy's `spread-checks` idea) so that a pool of fifty is not probed in one burst. A machine that hangs just
after a good probe is thus found out after `fall * interval + timeout` seconds, one that hangs just before a probe after
`(fall - 1) * interval + timeout`: 95 s and 65 s with 30/5/3.

With `mode = "http"` a probe asks for `path`. With `"tcp"` it asks nothing: a connection that opens has passed
(HAProxy's plain `check`, NLB), which says that somebody listens there and no more.
"""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from lbtutor.core.errors import ConfigError
from lbtutor.core.events import Health
from lbtutor.core.units import Seconds

_TRANSITIONS: dict[tuple[Health, bool], tuple[str, Health]] = {
    ("up", False): ("fall", "down"),
    ("down", True): ("rise", "up"),
    ("unchecked", True): ("first", "up"),
    ("unchecked", False): ("first", "down"),
}


class HealthCheck(Struct, frozen=True, forbid_unknown_fields=True):
    """The rule for probing the members of a pool; durations in seconds.

    Raises `ConfigError` for numbers that cannot work.
    """

    path: str = "/health"
    interval: Seconds = Seconds(30)
    timeout: Seconds = Seconds(5)
    rise: int = 2
    fall: int = 3
    initial: Literal["up", "unchecked"] = "up"
    mode: Literal["http", "tcp"] = "http"

    def __post_init__(self) -> None:
        if self.interval <= 0 or self.timeout <= 0:
            raise ConfigError("health: `interval` and `timeout` must be longer than 0")
        if self.timeout > self.interval:
            raise ConfigError(
                f"health: `timeout` ({self.timeout:g} s) is longer than `interval` ({self.interval:g} s); "
                "a probe must end before the next one starts"
            )
        if self.rise < 1 or self.fall < 1:
            raise ConfigError("health: `rise` and `fall` count probes and must be at least 1")
        if not self.path.startswith("/"):
            raise ConfigError(f"health: `path` must start with a slash, not {self.path!r}")


class HealthState:
    """What is believed of one backend, and the streak of results that speaks against it."""

    __slots__ = ("_check", "believed", "next_probe", "probing", "streak")

    def __init__(self, check: HealthCheck, first_probe: float) -> None:
        self._check = check
        self.believed: Health = check.initial
        self.streak = 0
        self.next_probe = first_probe
        self.probing = False

    def __repr__(self) -> str:
        return f"<HealthState {self.believed} streak={self.streak} next_probe={self.next_probe:g}>"

    def check_by(self, check: HealthCheck, now: float) -> None:
        """Believe on, but by another check from here on; a streak counts for the one that it began under."""
        if check != self._check:
            self._check, self.streak = check, 0
            self.next_probe = min(self.next_probe, now + check.interval)

    def due(self, now: float) -> bool:
        """True once when a probe is to be sent; the next is due one interval later."""
        if self.probing or now < self.next_probe:
            return False
        interval = self._check.interval
        self.next_probe += interval * (int((now - self.next_probe) / interval) + 1)
        if self.next_probe <= now:  # a quotient just below a whole number
            self.next_probe += interval
        self.probing = True
        return True

    def result(self, ok: bool) -> tuple[int, int, Health, bool]:
        """Take in one result: `(count, needed, towards, changed)`, where `count` of `needed` in a row say `towards`."""
        self.probing = False
        transition = _TRANSITIONS.get((self.believed, ok))
        if transition is None:
            self.streak = 0
            return 0, 0, self.believed, False
        threshold, towards = transition
        needed = {"rise": self._check.rise, "fall": self._check.fall, "first": 1}[threshold]
        self.streak += 1
        count = self.streak
        changed = count >= needed
        if changed:
            self.believed, self.streak = towards, 0
        return count, needed, towards, changed

    @property
    def says(self) -> str:
        """The belief and the streak against it: "down", "up", "up, 2 of 3 failures"."""
        if self.believed == "up" and self.streak:
            return f"up, {self.streak} of {self._check.fall} failures"
        if self.believed == "down" and self.streak:
            return f"down, {self.streak} of {self._check.rise} passes"
        return "not checked yet" if self.believed == "unchecked" else self.believed
