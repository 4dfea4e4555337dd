"""Least response time: the next request goes where answers have been quick, and few are waited for."""


class LeastResponseTime:
    """Chooses by the mean response time and by what is under way."""

    def pick(self, request, backends):
        """The one of `backends` with the lowest score: of several that are equal, the first.

        Each has `latency`, the mean of its response times in seconds (None before the first answer), and `in_flight`,
        how many requests it is working on.
        """
        return min(backends, key=self.score)

    def score(self, backend):
        """About how long this request would take there, in seconds; who was never measured comes first."""
        if backend.latency is None:
            return 0.0
        return backend.latency * (backend.in_flight + 1)
