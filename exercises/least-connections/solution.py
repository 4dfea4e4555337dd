"""Least connections: the next request goes where the least is under way."""


class LeastConnections:
    """Chooses the least busy server."""

    def pick(self, request, backends):
        """The one of `backends` that gets this request: of several that are equally busy, the first."""
        return min(backends, key=lambda backend: backend.in_flight)
