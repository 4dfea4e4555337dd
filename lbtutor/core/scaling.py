"""Autoscaling: how many instances are wanted, from how busy those are that run.

Utilisation comes in whenever the shell has it; each whole `period` makes one data point of what came, the mean over the
instances that served. These are `running`, and `work` is how many of them it kept busy. Points are counted in a row,
and the whole machine is one table:

    policy            so many points in a row            wanted becomes
    target tracking   `up_after` above `target`          ceil(work / target)
    target tracking   `down_after` below 90 % of it      the same, which is fewer
    step scaling      `up_after` above `up`              running + `by`
    step scaling      `down_after` below `down`          wanted - `by`
    either            otherwise, or no point at all      what it was

    never             above `max` or below `min`
    never fewer       while somebody warms up, within `cool_down` of the last time, or with `scale_in = false`
    never more        than was asked for already: who still warms up counts as there

A row that is long enough stays so until a point breaks it, as an alarm stays on, and acts at each further point.

Target tracking is Amazon's (EC2 Auto Scaling, "Target tracking scaling policies": its alarms take 3 points of a minute
to add and 15 to remove, and it removes only when utilisation is "usually more than 10 % lower" than the target); the
formula is also Kubernetes' (Horizontal Pod Autoscaling, "Algorithm details"). It has **one** number: the band in which
nothing happens lies below the target and is the policy's own. Step scaling has **two**, and the band between `up` and
`down` must be wider than what one step moves: `by` of n instances move utilisation by the share by / (n + by). When the
thresholds touch, the step up lands below `down` and the step down above `up`, for ever: it flaps.

Utilisation ends at 1, and so does what an autoscaler can know: a service that is offered three times what it can do
looks exactly as busy as one that is just full. Hence it grows by at most 1 / `target` (or `by`) each time, and each
time takes `up_after` points and a warm-up. Whoever is overloaded when the scaling begins stays so for many minutes.

An instance that is asked for now serves after `warm_up`; until then it is no part of the mean, and it counts as there
when the next step is worked out (EC2 Auto Scaling, "Set the default instance warmup").
"""

from __future__ import annotations

from collections.abc import Iterator
from math import ceil, isfinite

from msgspec import Struct

from lbtutor.core.errors import ConfigError
from lbtutor.core.units import Seconds

SLACK = 0.9
"""Target tracking removes nobody unless utilisation is below this share of the target."""

_ROUNDING = 1e-9
"""What floating point may add to a quotient that is a whole number, so that 7 * 0.7 / 0.7 asks for 7."""


class Scaling(Struct, frozen=True, forbid_unknown_fields=True):
    """How many instances at least and at most, and the policy between them; utilisations are shares of 1.

    `target` is target tracking; `up`, `down` and `by` are step scaling; neither is a group of constant size, `min` (who
    fails is replaced all the same). Raises `ConfigError` for wishes that contradict one another. Thresholds that touch
    do not: they work, badly, and that is for the learner to see.
    """

    min: int
    max: int
    target: float | None = None
    up: float | None = None
    down: float | None = None
    by: int = 1
    period: Seconds = Seconds(60)
    up_after: int = 3
    down_after: int = 15
    warm_up: Seconds = Seconds(300)
    cool_down: Seconds = Seconds(300)
    scale_in: bool = True

    def __post_init__(self) -> None:
        complaint = next(self._complaints(), None)
        if complaint:
            raise ConfigError(f"scale: {complaint}")

    def _complaints(self) -> Iterator[str]:
        if not 1 <= self.min <= self.max:
            yield f"`min` is at least 1 and at most `max`, not {self.min} of {self.max}"
        if self.target is not None and (self.up is not None or self.down is not None):
            yield "give `target` (target tracking) or `up` and `down` (step scaling), not both"
        if (self.up is None) != (self.down is None):
            yield "step scaling takes both thresholds, `up` and `down`"
        for name in ("target", "up", "down"):
            share = getattr(self, name)
            if share is not None and not 0 < share < 1:
                yield f"`{name}` is a share of what an instance can do, above 0 and below 1, not {share!r}"
        if self.up is not None and self.down is not None and self.down > self.up:
            yield f"`down` ({self.down:g}) is above `up` ({self.up:g}), so both would hold at once"
        if self.by < 1 or self.up_after < 1 or self.down_after < 1:
            yield "`by`, `up_after` and `down_after` are counts and at least 1"
        if not 0 < self.period < float("inf"):
            yield "`period` must be longer than 0"
        if not (0 <= self.warm_up < float("inf") and 0 <= self.cool_down < float("inf")):
            yield "`warm_up` and `cool_down` are 0 or longer"


class Wish(Struct, frozen=True):
    """From `at` on, `wanted` instances are wanted, where `was` were before; `because` says which rule held."""

    at: float
    wanted: int
    was: int
    because: str


class Autoscaler:
    """One group's memory: the points in a row, and when it last changed its mind. It waits for nothing."""

    def __init__(self, config: Scaling, now: float = 0.0, wanted: int | None = None) -> None:
        self.config = config
        self.wanted = _within(config.min if wanted is None else wanted, config)
        self._period_ends = now + config.period
        self._work = 0.0
        self._served = 0
        self._count = 0
        self._above = 0
        self._below = 0
        self._warm_at = now
        self._cool_at = now

    def __repr__(self) -> str:
        return f"<Autoscaler wants {self.wanted} of {self.config.min} to {self.config.max}>"

    def observe(self, now: float, utilisation: float | None, running: int) -> Wish | None:
        """Take in the mean utilisation of the `running` instances that serve; `now` never goes back.

        A value that nobody can have measured (None, NaN, below 0) is no value; one above 1 counts as it is, for a
        metric such as requests per instance has no end at 1.
        """
        wish = None
        while now >= self._period_ends:
            wish = self._close() or wish
            self._period_ends += self.config.period
        if utilisation is not None and isfinite(utilisation) and utilisation >= 0:
            self._work += utilisation * running
            self._served += running
            self._count += 1
        return wish

    def _close(self) -> Wish | None:
        """The period is over: make its data point, and decide."""
        config, now = self.config, self._period_ends
        point = self._work / self._served if self._served else None
        count, work, served = self._count, self._work, self._served
        self._work, self._served, self._count = 0.0, 0, 0
        above, below = self._thresholds()
        self._above = self._above + 1 if point is not None and above is not None and point > above else 0
        self._below = self._below + 1 if point is not None and below is not None and point < below else 0
        if point is None:
            return None
        tracked = None if config.target is None else ceil(min(work / count / config.target, config.max) - _ROUNDING)
        if self._above >= config.up_after:
            return self._grow(now, point, round(served / count) + config.by if tracked is None else tracked)
        if self._below >= config.down_after:
            return self._shrink(now, point, self.wanted - config.by if tracked is None else tracked)
        return None

    def _thresholds(self) -> tuple[float | None, float | None]:
        config = self.config
        return (config.target, config.target * SLACK) if config.target is not None else (config.up, config.down)

    def _grow(self, now: float, point: float, needed: int) -> Wish | None:
        """More, at once, and no more than who still warms up does not already make good."""
        wanted = _within(max(needed, self.wanted), self.config)
        if wanted == self.wanted:
            return None
        self._warm_at = now + self.config.warm_up
        return self._wish(now, wanted, f"{point:.0%} busy is above {self._thresholds()[0]:.0%}")

    def _shrink(self, now: float, point: float, needed: int) -> Wish | None:
        """Fewer, carefully."""
        config = self.config
        if not config.scale_in or now < self._warm_at or now < self._cool_at:
            return None
        wanted = _within(min(needed, self.wanted), config)
        if wanted == self.wanted:
            return None
        self._cool_at = now + config.cool_down
        return self._wish(now, wanted, f"{point:.0%} busy is below {self._thresholds()[1]:.0%}")

    def _wish(self, now: float, wanted: int, because: str) -> Wish:
        was, self.wanted = self.wanted, wanted
        return Wish(now, wanted, was, because)


def _within(wanted: int, config: Scaling) -> int:
    return max(config.min, min(wanted, config.max))
