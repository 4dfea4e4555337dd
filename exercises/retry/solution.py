"""Retries with a budget: what may be tried again is, but when everything fails nobody is knocked over by it."""

IDEMPOTENT = {"GET", "HEAD", "PUT", "DELETE", "OPTIONS", "TRACE"}


class RetryBudget:
    """At most `attempts` tries of a request, and retries for at most the share `budget` of all requests."""

    def __init__(self, attempts, budget):
        self.attempts = attempts
        self.budget = budget
        self.tokens = 3.0  # a retry costs one; these are for a beginning without any traffic

    def arrived(self, now):
        """A new request came."""
        self.tokens = min(self.tokens + self.budget, 100.0)

    def retry(self, method, attempt, outcome, now):
        """Whether a request is tried once more, after `attempt` tries of which the last ended in `outcome`:

        "ok", "404", "503" (an answer), "refused" (nothing was sent), "closed" or "timeout" (nobody knows).
        """
        if outcome in ("ok", "404") or attempt >= self.attempts:
            return False
        if outcome != "refused" and method not in IDEMPOTENT:
            return False
        if self.tokens < 1:
            return False
        self.tokens -= 1
        return True
