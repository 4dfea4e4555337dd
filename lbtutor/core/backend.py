"""`Backend`: what the balancer knows of one server.

The machine itself is elsewhere (an `Origin` in the live shell, a `Station` in the simulator). Only the core writes
here; algorithms read. Two backends are equal only if they are the same object: a name that left and came back is a new
backend, with nothing in flight and no past.
"""

from __future__ import annotations

from lbtutor.core.ejection import Ejection
from lbtutor.core.events import Health
from lbtutor.core.health import HealthState
from lbtutor.core.messages import BackendConfig

LATENCY_GAIN = 1 / 8
"""How much one answer moves the mean: the gain of TCP's round-trip estimator (RFC 6298, section 2)."""

STEPS = 10
"""A slow start grows by tenths of the weight, from one tenth (Envoy's `min_weight_percent`, 10 %)."""


class Backend:
    """One server as the balancer sees it.

    An algorithm may read `name`, `weight` (above 0 whenever it is offered; in a slow start a part of `full_weight`),
    `in_flight` (attempts under way), `latency` (seconds: decaying mean of all answers, errors too; None before the
    first; it does not age by itself), `latency_at` (when that was) and `since` (when it last became available).
    """

    __slots__ = (
        "address",
        "backup",
        "disabled",
        "draining",
        "ejection",
        "full_weight",
        "grown",
        "health",
        "in_flight",
        "known",
        "latency",
        "latency_at",
        "limit",
        "name",
        "pool",
        "since",
        "weight",
    )

    def __init__(
        self,
        config: BackendConfig,
        now: float,
        pool: str = "",
        health: HealthState | None = None,
        ejection: Ejection | None = None,
    ) -> None:
        self.pool = pool
        self.name = config.name
        self.address = config.address
        self.weight = self.full_weight = config.weight
        self.limit = config.limit
        self.backup = config.backup
        self.in_flight = 0
        self.latency: float | None = None
        self.latency_at: float | None = None
        self.since = now
        self.health = health
        self.ejection = ejection
        self.draining = False
        self.disabled = False
        self.grown = STEPS
        self.known = False

    def __repr__(self) -> str:
        return f"<Backend {self.name} weight={self.weight:g} in_flight={self.in_flight} {self.excluded or 'available'}>"

    @property
    def believed(self) -> Health:
        """What the probes say; without probes it is taken to be up."""
        return "up" if self.health is None else self.health.believed

    @property
    def willing(self) -> bool:
        """Does the operator let it have traffic?"""
        return not (self.disabled or self.draining or self.weight <= 0)

    @property
    def ejected_until(self) -> float | None:
        """When its ejection ends; None while it is not ejected."""
        return None if self.ejection is None else self.ejection.until

    @property
    def out(self) -> str | None:
        """Why it may not receive traffic however little it has to do, or None while it is in."""
        if self.disabled:
            return "in maintenance"
        if self.draining:
            return "draining"
        if self.weight <= 0:
            return "weight 0"
        if self.health is not None and self.health.believed != "up":
            return self.health.says
        if self.ejection is not None and self.ejection.until is not None:
            return f"ejected until {self.ejection.until:.1f} s"
        return None

    @property
    def full(self) -> bool:
        """Has it as much in flight as it may have?"""
        return self.limit is not None and self.in_flight >= self.limit

    @property
    def excluded(self) -> str | None:
        """Why it may not receive traffic, or None when it is available."""
        return self.out or (f"full, {self.in_flight} of {self.limit}" if self.full else None)

    def weigh(self, weight: float) -> None:
        """Give it that weight, or as much of it as it has grown to."""
        self.full_weight = weight
        self.grow_to(self.grown)

    def grow_to(self, step: int) -> None:
        """Let it have so many of the `STEPS` of its weight."""
        self.grown = step
        self.weight = self.full_weight if step == STEPS else self.full_weight * step / STEPS

    @property
    def slow_start(self) -> str:
        """How far it has grown, in words; empty when it has all its weight."""
        if self.grown == STEPS:
            return ""
        return f"slow start, {100 * self.grown // STEPS}% of weight {self.full_weight:g}"

    def answered(self, took: float, now: float) -> None:
        """Let one answer move the mean latency."""
        mean = self.latency
        self.latency = took if mean is None else mean + LATENCY_GAIN * (took - mean)
        self.latency_at = now
