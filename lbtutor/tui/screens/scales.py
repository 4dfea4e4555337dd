"""The fixed scales of the charts, from the plan of a scene.

A chart that scales itself makes every run look alike. These scales come from what the scene is about to do, so that a
machine made four times slower is seen to be so, and the same height means the same number from the first request on.
"""

from __future__ import annotations

from math import ceil, log10, sqrt
from typing import NamedTuple

from lbtutor.core import Plan, Service

_HEADROOM = 1.5
_SLOWDOWN = 4.0
_DEVIATIONS = 2.0
"""So far above the mean a chart reaches: for an exponential, to the 95th percentile (ln 20, three times the mean)."""

_STEPS = (1.0, 1.5, 2.0, 3.0, 5.0, 8.0, 10.0)


class Scales(NamedTuple):
    """The top of each chart: requests a second, milliseconds, percent."""

    throughput: float
    latency: float
    errors: float = 100.0


def scales(plan: Plan) -> Scales:
    """Scales on which the scene's ordinary day fills about half of the chart, or a quarter for latency."""
    rate = sum(traffic.rate for traffic in plan.traffic)
    slowest = max((_tail(machine.service) for machine in plan.machines), default=0.0)
    return Scales(round_up(_HEADROOM * rate), round_up(1000 * _SLOWDOWN * slowest))


def _tail(service: Service) -> float:
    return service.mean + _DEVIATIONS * sqrt(max(0.0, service.second_moment - service.mean**2))


def round_up(number: float) -> float:
    """The next number that looks good on an axis: 18 is 20, 130 is 150."""
    if number <= 0:
        return 1.0
    power = 10.0 ** (ceil(log10(number)) - 1)
    return next(step * power for step in _STEPS if number <= step * power * (1 + 1e-9))
