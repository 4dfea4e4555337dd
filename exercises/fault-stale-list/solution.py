"""A least-connections balancer that forgets whoever turns out not to be the least busy."""


class LeastConnections:
    """Goes through the servers once, and keeps those that are the least busy so far."""

    def __init__(self, rng):
        self.rng = rng

    def pick(self, request, backends):
        """One of the least busy, by lot."""
        best = []
        least = None
        for backend in backends:
            if backend.in_flight == 0:
                return backend
            if least is None or backend.in_flight < least:
                least = backend.in_flight
                best = [backend]
            elif backend.in_flight == least:
                best.append(backend)
        return best[int(self.rng.random() * len(best))]
