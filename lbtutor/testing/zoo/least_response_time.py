"""Least response time: right ones in several styles, and wrong ones as people write them."""

import random
from collections import deque


class Offered:
    """Right: ours; mean latency times the requests that it would have, and who was never measured comes first."""

    def pick(self, request, backends):
        return min(backends, key=lambda b: (b.latency or 0.0) * (b.in_flight + 1) / b.weight)


class MovingMean:
    """Right: keeps its own books; a moving mean of the response times, and nothing else."""

    def __init__(self, backends):
        self.mean = {name: None for name, _ in backends}
        self.down = set()

    def score(self, name):
        return -1.0 if self.mean[name] is None else self.mean[name]

    def pick(self, client, now):
        up = [name for name in self.mean if name not in self.down]
        return min(up, key=self.score) if up else None

    def finished(self, name, now, latency, ok):
        if name in self.mean:
            mean = self.mean[name]
            self.mean[name] = latency if mean is None else 0.8 * mean + 0.2 * latency

    def set_healthy(self, name, healthy):
        (self.down.discard if healthy else self.down.add)(name)

    def add(self, name, weight):
        self.mean.setdefault(name, None)

    def remove(self, name):
        self.mean.pop(name, None)
        self.down.discard(name)


class Stats:
    def __init__(self):
        self.times = deque(maxlen=100)
        self.open = 0
        self.up = True

    def score(self):
        mean = sum(self.times) / len(self.times) if self.times else 0.0
        return mean * (1 + self.open)


class LastHundred:
    """Right: the mean of the last hundred, times the requests open (Traefik's `leasttime`)."""

    def __init__(self, servers):
        self.stats = {name: Stats() for name, _ in servers}

    def pick(self, client, now):
        up = [name for name, stats in self.stats.items() if stats.up]
        return min(up, key=lambda name: (self.stats[name].score(), name)) if up else None

    def started(self, name, now):
        if name in self.stats:
            self.stats[name].open += 1

    def finished(self, name, now, latency, ok):
        if name in self.stats:
            stats = self.stats[name]
            stats.open = max(0, stats.open - 1)
            stats.times.append(latency)

    def set_healthy(self, name, healthy):
        if name in self.stats:
            self.stats[name].up = healthy

    def add(self, name, weight):
        if name not in self.stats:
            self.stats[name] = Stats()

    def remove(self, name):
        self.stats.pop(name, None)


class Explorer(MovingMean):
    """Right: one request in ten goes to anybody, so that every opinion stays fresh."""

    def __init__(self, backends, rng=None):
        super().__init__(backends)
        self.rng = rng or random.Random()

    def pick(self, client, now):
        up = [name for name in self.mean if name not in self.down]
        if up and self.rng.random() < 0.1:
            return self.rng.choice(up)
        return super().pick(client, now)


class Slowest:
    """Wrong: ours; the wrong end: the highest response time."""

    def pick(self, request, backends):
        return max(backends, key=lambda b: (b.latency or 1e9, -b.in_flight))


class WholeMilliseconds(MovingMean):
    """Wrong: whole milliseconds; on a fast network all of them are 0 (NGINX keeps milliseconds, too)."""

    def finished(self, name, now, latency, ok):
        super().finished(name, now, int(latency * 1000), ok)


class LifetimeMean(MovingMean):
    """Wrong: the mean of all answers ever, which a long good past keeps low."""

    def __init__(self, backends):
        super().__init__(backends)
        self.answers = {}

    def finished(self, name, now, latency, ok):
        if name in self.mean:
            count = self.answers[name] = self.answers.get(name, 0) + 1
            self.mean[name] = ((self.mean[name] or 0.0) * (count - 1) + latency) / count


class UnknownIsSlow(MovingMean):
    """Wrong: who was never measured counts as endlessly slow, so it never is measured."""

    def score(self, name):
        return float("inf") if self.mean[name] is None else self.mean[name]


class NewcomersAreSlow(MovingMean):
    """Wrong: a newcomer begins with a penalty of a minute, and nobody ever learns better."""

    def add(self, name, weight):
        self.mean.setdefault(name, 60.0)


class NobodyUp(LastHundred):
    """Wrong: with nobody up, the best of none."""

    def pick(self, client, now):
        return min((n for n, s in self.stats.items() if s.up), key=lambda n: self.stats[n].score())


class SharesItOut:
    """Wrong: ours; divides by the open requests instead of multiplying, so that work attracts work."""

    def pick(self, request, backends):
        return min(backends, key=lambda b: (b.latency or 0.0) / (b.in_flight + 1))


class MeansOfAll(MovingMean):
    """Wrong: one table of means for all balancers of the class."""

    table = {}

    def __init__(self, backends):
        super().__init__(backends)
        self.picked = MeansOfAll.table

    def pick(self, client, now):
        up = [name for name in self.mean if name not in self.down]
        if not up:
            return None
        chosen = min(up, key=lambda name: (self.score(name), self.picked.get(name, 0)))
        self.picked[chosen] = self.picked.get(chosen, 0) + 1
        return chosen


class NoMean(MovingMean):
    """Wrong: compares None with a number when one was measured and one was not."""

    def pick(self, client, now):
        up = [name for name in self.mean if name not in self.down]
        return min(up, key=self.mean.get) if up else None


class KeepsTheFastest(MovingMean):
    """Wrong: it remembers who is fastest, and not that it went down since."""

    def __init__(self, backends):
        super().__init__(backends)
        self.fastest = None

    def finished(self, name, now, latency, ok):
        super().finished(name, now, latency, ok)
        self.fastest = min(self.mean, key=self.score, default=None)

    def pick(self, client, now):
        return self.fastest or super().pick(client, now)

    def add(self, name, weight):
        super().add(name, weight)
        self.fastest = None

    def remove(self, name):
        super().remove(name)
        self.fastest = None


class FailuresStay(LastHundred):
    """Wrong: a request that fails is never taken off those that are open, so its server looks busy for ever."""

    def finished(self, name, now, latency, ok):
        if ok:
            super().finished(name, now, latency, ok)
