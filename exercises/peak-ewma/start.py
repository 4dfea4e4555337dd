"""Peak EWMA: bad news counts at once, good news by and by (as in Finagle)."""

import math

TAU = 10.0
"""Seconds in which all but a third of an old estimate is forgotten."""


class PeakEwma:
    """Keeps an estimate of its own for each server, from what `observe` hears."""

    def __init__(self):
        self.cost = {}  # name: the estimate, in seconds
        self.heard = {}  # name: when it was last heard of

    def observe(self, event):
        """A request ended: `event.backend` is the name of the server, `event.took` how long, `event.at` when."""
        name = event.backend
        age = event.at - self.heard.get(name, event.at)
        self.cost[name] = self.learned(self.cost.get(name, event.took), event.took, age)
        self.heard[name] = event.at

    def learned(self, cost, took, age):
        """The new estimate, from the old one, how long this request took, and how old the old one is (in seconds)."""
        kept = math.exp(-max(0.0, age) / TAU)
        return cost * kept + took * (1 - kept)  # the gap: and if it took longer than was thought?

    def now(self, name, at):
        """The estimate, faded by the time in which nothing was heard."""
        age = max(0.0, at - self.heard.get(name, at))
        return self.cost.get(name, 0.0) * math.exp(-age / TAU)

    def pick(self, request, backends):
        """The one of `backends` with the lowest estimate, times the requests that it would have in flight."""
        return min(backends, key=lambda backend: self.now(backend.name, request.at) * (backend.in_flight + 1))
