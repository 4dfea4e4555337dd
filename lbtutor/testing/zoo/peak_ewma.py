"""Peak EWMA: right ones in several styles, and wrong ones as people write them."""

import math
import random

TAU = 10.0


class Peak:
    """Right: keeps its own books; peaks count at once, the rest fades by time, idle or not (Finagle)."""

    def __init__(self, backends):
        self.cost = {name: 0.0 for name, _ in backends}
        self.stamp = dict.fromkeys(self.cost, 0.0)
        self.open = dict.fromkeys(self.cost, 0)
        self.down = set()

    def learn(self, name, now, latency):
        cost = self.cost[name]
        if latency > cost:
            self.cost[name] = latency
        else:
            kept = math.exp(-max(0.0, now - self.stamp[name]) / TAU)
            self.cost[name] = cost * kept + latency * (1 - kept)
        self.stamp[name] = now

    def load(self, name, now):
        faded = self.cost[name] * math.exp(-max(0.0, now - self.stamp[name]) / TAU)
        if faded == 0.0 and self.open[name]:
            return 1e6 + self.open[name]
        return faded * (self.open[name] + 1)

    def pick(self, client, now):
        up = [name for name in self.cost if name not in self.down]
        return min(up, key=lambda name: self.load(name, now)) if up else None

    def started(self, name, now):
        if name in self.open:
            self.open[name] += 1

    def finished(self, name, now, latency, ok):
        if name in self.open:
            self.open[name] = max(0, self.open[name] - 1)
            self.learn(name, now, latency)

    def set_healthy(self, name, healthy):
        (self.down.discard if healthy else self.down.add)(name)

    def add(self, name, weight):
        if name not in self.cost:
            self.cost[name], self.stamp[name], self.open[name] = 0.0, 0.0, 0

    def remove(self, name):
        for table in (self.cost, self.stamp, self.open):
            table.pop(name, None)
        self.down.discard(name)


class Observing:
    """Right: ours; learns from `observe`, reads `in_flight`."""

    def __init__(self):
        self.costs = {}

    def observe(self, event):
        seconds, at = self.costs.get(event.backend, (0.0, event.at))
        kept = math.exp(min(0.0, at - event.at) / TAU)
        blended = seconds * kept + event.took * (1 - kept)
        self.costs[event.backend] = (max(event.took, blended), event.at)

    def pick(self, request, backends):
        def load(b):
            seconds, at = self.costs.get(b.name, (0.0, request.at))
            return seconds * math.exp(min(0.0, at - request.at) / TAU) * (b.in_flight + 1)

        return min(backends, key=load)


class TwoOfThem(Peak):
    """Right: draws two and compares these (tower, linkerd)."""

    def __init__(self, backends, rng=None):
        super().__init__(backends)
        self.rng = rng or random.Random()

    def pick(self, client, now):
        up = [name for name in self.cost if name not in self.down]
        drawn = self.rng.sample(up, min(2, len(up)))
        return min(drawn, key=lambda name: self.load(name, now)) if drawn else None


class MaybeTwice(TwoOfThem):
    """Right: draws twice, and may draw the same one (Envoy)."""

    def pick(self, client, now):
        up = [name for name in self.cost if name not in self.down]
        if not up:
            return None
        one, other = self.rng.choice(up), self.rng.choice(up)
        return one if self.load(one, now) <= self.load(other, now) else other


class PlainMean(Peak):
    """Wrong: a moving mean without the peak: bad news counts as slowly as good news."""

    def learn(self, name, now, latency):
        self.cost[name] = 0.7 * self.cost[name] + 0.3 * latency if self.cost[name] else latency
        self.stamp[name] = now


class LastOnly(Peak):
    """Wrong: only the last answer counts, so one good answer wipes out a peak."""

    def learn(self, name, now, latency):
        self.cost[name], self.stamp[name] = latency, now


class NeverFades(Peak):
    """Wrong: the cost changes with answers only; who is thought slow gets none, and stays slow for ever."""

    def load(self, name, now):
        return self.cost[name] * (self.open[name] + 1)


class Milliseconds(Peak):
    """Wrong: whole milliseconds; on a fast network every cost is 0."""

    def finished(self, name, now, latency, ok):
        super().finished(name, now, int(latency * 1000) / 1000, ok)

    def load(self, name, now):
        return self.cost[name] * math.exp(-max(0.0, now - self.stamp[name]) / TAU) * (self.open[name] + 1)


class WorkAttracts(Peak):
    """Wrong: divides by the open requests, as if they shared the cost."""

    def load(self, name, now):
        return self.cost[name] * math.exp(-max(0.0, now - self.stamp[name]) / TAU) / (self.open[name] + 1)


class UnknownIsSlow(Peak):
    """Wrong: who was never measured has the penalty from the beginning, and is never asked."""

    def load(self, name, now):
        return super().load(name, now) if self.cost[name] else 1e6


class NewcomersAreSlow(Peak):
    """Wrong: a newcomer begins with the penalty of a failure, which takes minutes to fade."""

    def add(self, name, weight):
        if name not in self.cost:
            self.cost[name], self.stamp[name], self.open[name] = 1e6, 0.0, 0


class NobodyUp(Peak):
    """Wrong: with nobody up, the best of none."""

    def pick(self, client, now):
        return min((n for n in self.cost if n not in self.down), key=lambda n: self.load(n, now))


class SharedCosts(Peak):
    """Wrong: the table of open requests is a default value, and so everybody's."""

    def __init__(self, backends, busy={}):
        super().__init__(backends)
        self.open = busy
        for name in self.cost:
            self.open.setdefault(name, 0)


class Overflows(Peak):
    """Wrong: when the clock runs backwards, the exponential grows without bound."""

    def load(self, name, now):
        return self.cost[name] * math.exp((self.stamp[name] - now) / 0.05) * (self.open[name] + 1)

    def learn(self, name, now, latency):
        self.cost[name], self.stamp[name] = max(latency, self.cost[name]), now


class FailsOpen(Peak):
    """Wrong: with nobody up it takes the best of those who are down."""

    def pick(self, client, now):
        return super().pick(client, now) or min(self.cost, key=lambda name: self.load(name, now), default=None)


class DefaultThatFades(Peak):
    """Right: 30 ms for who was never measured, and every cost fades from the first moment on (linkerd)."""

    def __init__(self, backends):
        super().__init__(backends)
        self.cost = dict.fromkeys(self.cost, 0.03)

    def add(self, name, weight):
        if name not in self.cost:
            self.cost[name], self.stamp[name], self.open[name] = 0.03, max(self.stamp.values(), default=0.0), 0


class FailuresStay(Peak):
    """Wrong: a request that fails is never taken off those that are open, so its server looks busy for ever."""

    def finished(self, name, now, latency, ok):
        if name in self.open:
            self.open[name] = max(0, self.open[name] - ok)
            self.learn(name, now, latency)


class DefaultThatStays(Peak):
    """Wrong: 30 ms for who was never measured, which never fade: between faster servers a newcomer is never tried."""

    def load(self, name, now):
        if not self.cost[name]:
            return 0.03 * (self.open[name] + 1)
        return super().load(name, now)
