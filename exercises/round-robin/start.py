"""Round robin: each server in turn, and none loses its turn when the pool changes."""


class RoundRobin:
    """Chooses whoever was chosen longest ago."""

    def __init__(self):
        self.requests = 0
        self.last_turn = {}  # backend: the number of the request that it got last

    def pick(self, request, backends):
        """The one of `backends` whose turn it is. A backend that was never chosen is not in `last_turn` yet.

        `backends` are those that may get a request now, in their usual order: not always the same ones.
        """
        self.requests += 1
        chosen = backends[self.requests % len(backends)]  # the gap: who was chosen longest ago?
        self.last_turn[chosen] = self.requests
        return chosen
