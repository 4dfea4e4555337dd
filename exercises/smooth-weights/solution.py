"""Smooth weighted round robin: turns by weight, and spread as evenly as they can be (as in NGINX)."""


class WeightedRoundRobin:
    """Everybody saves up its weight; whoever has saved most is chosen, and pays."""

    def __init__(self):
        self.saved = {}  # backend: what it has saved up so far

    def pick(self, request, backends):
        """The one of `backends` that has saved most, after each was paid its weight."""
        for backend in backends:
            self.saved[backend] = self.saved.get(backend, 0) + backend.weight
        chosen = max(backends, key=lambda backend: self.saved[backend])
        self.saved[chosen] -= sum(backend.weight for backend in backends)
        return chosen
