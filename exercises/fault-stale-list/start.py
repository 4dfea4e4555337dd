"""A least-connections balancer with a fault that a well-known web server had.

Its test did not find it: that looked at idle servers only, and for these there is a short cut.
"""


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
                best.append(backend)
            elif backend.in_flight == least:
                best.append(backend)
        return best[int(self.rng.random() * len(best))]
