"""The autoscaler: right ones in different styles, and wrong ones as people write them."""

import math
from collections import deque


class Rule:
    """Right: the public rule of Kubernetes with its tolerance, and a wait after growing."""

    def __init__(self, minimum, maximum, target, tolerance=0.1, window=300):
        self.min = minimum
        self.max = maximum
        self.target = target
        self.tolerance = tolerance
        self.window = window
        self.grew_at = -math.inf

    def desired(self, current, utilisation, now):
        if not self.measured(utilisation):
            return self.bounded(current)
        wanted = current
        if not self.near(utilisation):
            wanted = self.needed(current, utilisation)
        wanted = self.bounded(wanted)
        if wanted > current:
            self.grew_at = now
        if wanted < current and self.waits(now):
            return self.bounded(current)
        return wanted

    def measured(self, utilisation):
        return utilisation is not None and utilisation >= 0

    def near(self, utilisation):
        return abs(utilisation / self.target - 1) <= self.tolerance

    def needed(self, current, utilisation):
        return math.ceil(current * utilisation / self.target)

    def waits(self, now):
        return now - self.grew_at < self.window

    def bounded(self, wanted):
        return max(self.min, min(wanted, self.max))


class HorizontalPodAutoscaler:
    """Right: the highest recommendation of the last five minutes, as in Kubernetes; at most twice as many at once."""

    def __init__(self, min_replicas, max_replicas, target_utilization, stabilization_window=300.0):
        self.min_replicas = min_replicas
        self.max_replicas = max_replicas
        self.target_utilization = target_utilization
        self.stabilization_window = stabilization_window
        self.recommendations = deque()

    def recommend(self, replicas, metric, now):
        if metric is None or math.isnan(metric) or metric < 0:
            return min(max(replicas, self.min_replicas), self.max_replicas)
        ratio = metric / self.target_utilization
        raw = replicas if 0.9 <= ratio <= 1.1 else math.ceil(replicas * ratio)
        raw = min(raw, max(2 * replicas, replicas + 4))
        raw = min(max(raw, self.min_replicas), self.max_replicas)
        self.recommendations.append((now, raw))
        while self.recommendations[0][0] <= now - self.stabilization_window:
            self.recommendations.popleft()
        if raw >= replicas:
            return raw
        highest = max(r for _, r in self.recommendations)
        return max(self.min_replicas, min(replicas, highest, self.max_replicas))


class Textbook:
    """Right: one line, no memory and no tolerance."""

    def __init__(self, lo, hi, goal):
        self.lo, self.hi, self.goal = lo, hi, goal

    def desired(self, n, u, t):
        if u is None or u != u or u < 0:
            return min(max(n, self.lo), self.hi)
        return min(max(math.ceil(n * u / self.goal), self.lo), self.hi)


class NoneFails(Rule):
    """Wrong: with no measurement there is nothing to compare, and it raises."""

    def measured(self, utilisation):
        return utilisation >= 0


class DividesByCurrent(Rule):
    """Wrong: it works out the growth per instance, and fails when there is none."""

    def needed(self, current, utilisation):
        return math.ceil(current * utilisation / self.target) * current // current


class HoldsOutside(Rule):
    """Wrong: on the way where nothing changes nobody looks at the bounds."""

    def desired(self, current, utilisation, now):
        if self.measured(utilisation) and self.near(utilisation):
            return current
        return super().desired(current, utilisation, now)


class NoDataIsNoLoad(Rule):
    """Wrong: a missing measurement counts as idle, so it shrinks to the least when the metrics are gone."""

    def measured(self, utilisation):
        return True

    def desired(self, current, utilisation, now):
        if utilisation is None or math.isnan(utilisation):
            utilisation = 0.0
        return super().desired(current, max(0.0, utilisation), now)


class Fidgets(Rule):
    """Wrong: it has a tolerance and does not use it."""

    def near(self, utilisation):
        return utilisation == self.target


class RoundsDown(Rule):
    """Wrong: it rounds down, so there is always one too few."""

    def needed(self, current, utilisation):
        return int(current * utilisation / self.target)


class RoundsToNearest(Rule):
    """Wrong: it rounds to the nearest number."""

    def needed(self, current, utilisation):
        return round(current * utilisation / self.target)


class OneAtATime(Rule):
    """Wrong: it grows by one, however much is missing."""

    def needed(self, current, utilisation):
        return current + 1 if utilisation > self.target else super().needed(current, utilisation)


class NeverShrinks(Rule):
    """Wrong: it never lets anybody go."""

    def waits(self, now):
        return True


class EachQuestionWaits(Rule):
    """Wrong: each wish to shrink begins the wait anew, so it never does."""

    def waits(self, now):
        still = super().waits(now)
        if self.grew_at == -math.inf or not still:
            self.grew_at = now
            return True
        return True


class ShrinksAtOnce(Rule):
    """Wrong: it has a window and does not wait, so it follows each dip."""

    def waits(self, now):
        return False


class WaitsFiveSeconds(Rule):
    """Wrong: the window is taken for minutes where it is in seconds."""

    def waits(self, now):
        return now - self.grew_at < self.window / 60


class UpAndDown(Rule):
    """Wrong: one number for both ways and steps of one, so it goes up and down for ever."""

    def near(self, utilisation):
        return utilisation == self.target

    def needed(self, current, utilisation):
        if utilisation > self.target:
            return max(current + 1, super().needed(current, utilisation))
        return current - 1

    def waits(self, now):
        return now - self.grew_at < 60
