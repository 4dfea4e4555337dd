"""A weighted round robin with a fault that a well-known web server had: it shows when a server in the middle fails."""


class WeightedRoundRobin:
    """Knows when each server's next turn is due, and chooses whose is due first."""

    def __init__(self):
        self.weights = []
        self.clock = 0.0  # counts rounds, not seconds
        self.last_turn = {}  # backend: what the clock said at its last turn

    def pick(self, request, backends):
        """The one of `backends` whose turn is due first."""
        if len(self.weights) < len(backends):
            self.weights = [backend.weight for backend in backends]
        due = {}
        for number, backend in enumerate(backends):
            wait = 1.0 / self.weights[number]
            due[backend] = max(self.last_turn.get(backend, 0.0), self.clock - wait) + wait
        chosen = min(backends, key=due.get)
        self.clock = self.last_turn[chosen] = due[chosen]
        return chosen
