"""A weighted round robin in which a weight belongs to a server, whoever else is there."""


class WeightedRoundRobin:
    """Knows when each server's next turn is due, and chooses whose is due first."""

    def __init__(self):
        self.clock = 0.0  # counts rounds, not seconds
        self.last_turn = {}  # backend: what the clock said at its last turn

    def pick(self, request, backends):
        """The one of `backends` whose turn is due first."""
        due = {}
        for backend in backends:
            wait = 1.0 / backend.weight
            due[backend] = max(self.last_turn.get(backend, 0.0), self.clock - wait) + wait
        chosen = min(backends, key=due.get)
        self.clock = self.last_turn[chosen] = due[chosen]
        return chosen
