"""The autoscaler: as many instances as the load needs, and no nervousness (the rule of Kubernetes)."""

import math

TOLERANCE = 0.1
WAIT = 300.0
"""Seconds after growing before it may shrink."""


class Autoscaler:
    """Keeps every instance about as busy as `target`."""

    def __init__(self, min, max, target):
        self.min = min
        self.max = max
        self.target = target
        self.grew_at = -math.inf

    def desired(self, current, utilisation, now):
        """How many instances there should be: there are `current`, each so busy (0.5 is half; None: nobody knows)."""
        if utilisation is None or not utilisation >= 0:
            return self.bounded(current)
        wanted = self.bounded(self.needed(current, utilisation))
        if wanted > current:
            self.grew_at = now
        if wanted < current and now - self.grew_at < WAIT:
            return self.bounded(current)
        return wanted

    def needed(self, current, utilisation):
        """How many would be as busy as `target`; within a tenth of it (TOLERANCE), as many as there are."""
        busier = utilisation / self.target
        return current + 1 if busier > 1 else current - 1  # the gap: one step at a time, and never at rest

    def bounded(self, count):
        """At least `min`, at most `max`."""
        return max(self.min, min(count, self.max))
