"""Retries: right ones in different styles, and wrong ones as people write them."""

import random

IDEMPOTENT = {"GET", "HEAD", "PUT", "DELETE", "OPTIONS", "TRACE"}


class Tokens:
    """Right: each request earns a part of a retry, each retry spends a whole one; full jitter."""

    def __init__(self, attempts, budget, base=0.05, cap=1.0):
        self.attempts = attempts
        self.budget = budget
        self.tokens = 3.0
        self.base = base
        self.cap = cap

    def arrived(self, now):
        self.tokens = min(self.tokens + self.budget, 100.0)

    def helps(self, method, outcome):
        return outcome == "refused" or (outcome in ("closed", "timeout", "503") and method in IDEMPOTENT)

    def enough(self, attempt):
        return attempt >= self.attempts

    def retry(self, method, attempt, outcome, now):
        if self.enough(attempt) or not self.helps(method, outcome) or self.tokens < 1:
            return False
        self.tokens -= 1
        return True

    def wait(self, attempt):
        return random.uniform(0, min(self.cap, self.base * 2 ** min(attempt, 30)))


class RatioOfAll:
    """Right: retries against requests, counted since the start; no wait at all."""

    def __init__(self, max_retries, ratio):
        self.max_retries = max_retries
        self.ratio = ratio
        self.requests = 0
        self.retries = 0

    def on_request(self):
        self.requests += 1

    def should_retry(self, method, attempt, status, sent):
        if attempt > self.max_retries:
            return False
        if status is not None and status != 503:
            return False
        if sent and method in ("POST", "PATCH"):
            return False
        if self.retries + 1 > self.ratio * self.requests:
            return False
        self.retries += 1
        return True


class LastTenSeconds:
    """Right: a window of ten seconds with a small reserve, after Finagle; equal jitter; answers are never repeated."""

    def __init__(self, attempts, budget, *, base=0.1, cap=10.0):
        self.attempts, self.budget, self.base, self.cap = attempts, budget, base, cap
        self.requests = []
        self.retried = []

    def arrived(self, now):
        self.requests.append(now)

    def retry(self, method, attempt, outcome, now):
        since = now - 10
        self.requests = [at for at in self.requests if at > since]
        self.retried = [at for at in self.retried if at > since]
        if attempt >= self.attempts or len(self.retried) >= 10 + self.budget * len(self.requests):
            return False
        if outcome == "refused" or (outcome in {"closed", "timeout"} and method in IDEMPOTENT):
            self.retried.append(now)
            return True
        return False

    def backoff(self, attempt):
        try:
            full = min(self.cap, self.base * 2.0 ** (attempt - 1))
        except OverflowError:
            full = self.cap
        return full / 2 + random.random() * full / 2


class TableEnds(Tokens):
    """Wrong: the waits are a table, and a try for which it has no line raises."""

    def wait(self, attempt):
        return (0.05, 0.1, 0.2)[attempt - 1]


class OneTooMany(Tokens):
    """Wrong: it counts retries where tries are meant, so each request gets one more."""

    def enough(self, attempt):
        return attempt > self.attempts


class RepeatsPosts(Tokens):
    """Wrong: it does not look at the method; orders are placed twice (NGINX before 1.9.13)."""

    def helps(self, method, outcome):
        return outcome in ("refused", "closed", "timeout", "503")


class RepeatsPostAfterTimeout(Tokens):
    """Wrong: it takes a timeout for a sign that nothing was sent."""

    def helps(self, method, outcome):
        return outcome == "timeout" or super().helps(method, outcome)


class RepeatsEverything(Tokens):
    """Wrong: every answer that is not 200 is tried again, a 404 too."""

    def helps(self, method, outcome):
        return super().helps(method, outcome) or (outcome != "ok" and method in IDEMPOTENT)


class OnlyGet(Tokens):
    """Wrong: it takes GET for the only method that may be repeated, so no DELETE or PUT is mended."""

    def helps(self, method, outcome):
        return super().helps(method, outcome) and method == "GET"


class NeverAgain(Tokens):
    """Wrong: only refusals are tried again, though a GET that was cut off could be."""

    def helps(self, method, outcome):
        return outcome == "refused"


class NoBudget(Tokens):
    """Wrong: there is no budget, so three tries make an outage three times as bad."""

    def arrived(self, now):
        self.tokens = 1e9


class RetriesEarn(Tokens):
    """Wrong: a retry is counted as a request, so it earns for the next one."""

    def retry(self, method, attempt, outcome, now):
        self.arrived(now)
        return super().retry(method, attempt, outcome, now)


class BudgetPerRequest(Tokens):
    """Wrong: the budget is looked at for first retries only; the second is free."""

    def retry(self, method, attempt, outcome, now):
        if attempt > 1:
            return not self.enough(attempt) and self.helps(method, outcome)
        return super().retry(method, attempt, outcome, now)


class JitterOnTop(Tokens):
    """Wrong: the jitter is added after the cap, so waits are longer than the longest."""

    def wait(self, attempt):
        full = min(self.cap, self.base * 2 ** min(attempt, 30))
        return full + random.uniform(0, full)


class GrowsForEver(Tokens):
    """Wrong: there is no cap."""

    def wait(self, attempt):
        return self.base * 2 ** min(attempt, 60)
