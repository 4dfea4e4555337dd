"""Round robin: each server in turn, and none loses its turn when the pool changes."""


class RoundRobin:
    """Chooses whoever was chosen longest ago."""

    def __init__(self):
        self.requests = 0
        self.last_turn = {}  # backend: the number of the request that it got last

    def pick(self, request, backends):
        """The one of `backends` whose turn it is: of several that never had one, the first."""
        self.requests += 1
        chosen = min(backends, key=lambda backend: self.last_turn.get(backend, 0))
        self.last_turn[chosen] = self.requests
        return chosen
