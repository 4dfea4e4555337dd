"""The health state machine: right ones that count in different ways, and wrong ones as people write them."""

import enum
from collections import deque


class Streak:
    """Right: one streak of results that speak against the state."""

    def __init__(self, rise, fall):
        self.rise, self.fall = rise, fall
        self.state = "up"
        self.streak = 0

    def on_probe(self, ok):
        if ok == (self.state == "up"):
            self.streak = 0
            return self.state
        self.streak += 1
        if self.streak >= (self.rise if ok else self.fall):
            self.state = "up" if ok else "down"
            self.streak = 0
        return self.state


class State(enum.Enum):
    UP = enum.auto()
    DOWN = enum.auto()


class Enumerated:
    """Right: states of an enumeration, each with what it takes to leave it."""

    def __init__(self, rise, fall):
        self.leaves = {State.UP: (False, fall, State.DOWN), State.DOWN: (True, rise, State.UP)}
        self.state = State.DOWN
        self.run = 0

    def on_probe(self, ok):
        against, needed, following = self.leaves[self.state]
        self.run = self.run + 1 if ok is against else 0
        if self.run == needed:
            self.state, self.run = following, 0
        return self.state


class Score:
    """Right: one number with a threshold, as HAProxy has it; a first failure is enough to fall."""

    def __init__(self, rise, fall):
        self.rise, self.fall = rise, fall
        self.health = rise

    def on_probe(self, ok):
        top = self.rise + self.fall - 1
        if ok:
            self.health = top if self.health >= self.rise else self.health + 1
            if self.health >= self.rise:
                self.health = top
        elif self.health > self.rise:
            self.health -= 1
        else:
            self.health = 0
        return "UP" if self.health >= self.rise else "DOWN"


class Windows:
    """Right: the last results in two windows; starts down; answers True and False."""

    def __init__(self, healthy_threshold=2, unhealthy_threshold=3):
        self.good = deque(maxlen=healthy_threshold)
        self.bad = deque(maxlen=unhealthy_threshold)
        self.healthy = False

    def record(self, success):
        self.good.append(success)
        self.bad.append(success)
        if len(self.good) == self.good.maxlen and all(self.good):
            self.healthy = True
        if len(self.bad) == self.bad.maxlen and not any(self.bad):
            self.healthy = False
        return self.healthy


class Counters:
    """Right: two counters, each set back by the other kind; the first probe decides."""

    def __init__(self, fall=3, rise=2):
        self.fall, self.rise = fall, rise
        self.successes = self.failures = 0
        self.up = None

    def on_probe(self, ok):
        if ok:
            self.successes, self.failures = self.successes + 1, 0
        else:
            self.successes, self.failures = 0, self.failures + 1
        if self.up is None:
            self.up = ok
        elif self.successes >= self.rise:
            self.up = True
        elif self.failures >= self.fall:
            self.up = False
        return "healthy" if self.up else "unhealthy"


class OnlyNews(Streak):
    """Wrong: answers only when the state changes."""

    def on_probe(self, ok):
        before = self.state
        super().on_probe(ok)
        return self.state if self.state != before else ""


class KeyOfTheState(Streak):
    """Wrong: raises at the first failure after a recovery: its table has no such entry."""

    def __init__(self, rise, fall):
        super().__init__(rise, fall)
        self.next = {("up", False): "down", ("down", True): "up"}

    def on_probe(self, ok):
        before = self.state
        if super().on_probe(ok) != before:
            self.state = self.next.pop((before, ok))
        return self.state


class SuccessKeepsFailures:
    """Wrong: a success does not set the failures back, so that three failures in a year are enough."""

    def __init__(self, rise, fall):
        self.rise, self.fall = rise, fall
        self.state, self.good, self.bad = "up", 0, 0

    def on_probe(self, ok):
        if ok:
            self.good += 1
        else:
            self.good = 0
            self.bad += 1
        if self.state == "up" and self.bad >= self.fall:
            self.state, self.good = "down", 0
        elif self.state == "down" and self.good >= self.rise:
            self.state, self.bad = "up", 0
        return self.state


class FailureKeepsSuccesses(SuccessKeepsFailures):
    """Wrong: a failure does not set the successes back, so a server that fails every other time comes up."""

    def on_probe(self, ok):
        if ok:
            self.good, self.bad = self.good + 1, 0
        else:
            self.bad += 1
        if self.state == "up" and self.bad >= self.fall:
            self.state, self.good = "down", 0
        elif self.state == "down" and self.good >= self.rise:
            self.state = "up"
        return self.state


class OneTooMany(Streak):
    """Wrong: > for >=: it takes one failure more than was said."""

    def on_probe(self, ok):
        if self.state == "down" or ok:
            return super().on_probe(ok)
        self.streak += 1
        if self.streak > self.fall:
            self.state, self.streak = "down", 0
        return self.state


class FirstSuccessIsEnough(Streak):
    """Wrong: one success brings it back at once, whatever `rise` says: it flaps."""

    def on_probe(self, ok):
        if ok:
            self.state, self.streak = "up", 0
        return super().on_probe(ok)


class SwappedThresholds(Streak):
    """Wrong: takes `rise` for `fall` and the other way round."""

    def __init__(self, rise, fall):
        super().__init__(fall, rise)


class ShortMemory:
    """Wrong: keeps only the last `fall` results, so that it never rises when `rise` is larger."""

    def __init__(self, rise, fall):
        self.rise, self.fall = rise, fall
        self.state = "up"
        self.last = []

    def on_probe(self, ok):
        self.last = (self.last + [ok])[-self.fall :]
        if self.state == "up" and self.last == [False] * self.fall:
            self.state = "down"
        elif self.state == "down" and len(self.last) >= self.rise and all(self.last[-self.rise :]):
            self.state = "up"
        return self.state


class NeverForgets(Streak):
    """Wrong: good days are saved up without end, so after a long good time it takes as long to fall."""

    def __init__(self, rise, fall):
        super().__init__(rise, fall)
        self.credit = 0

    def on_probe(self, ok):
        if self.state == "up" and ok:
            self.credit += 1
        elif self.state == "up" and self.credit > 30 * self.fall:
            self.credit -= 30
            return "up"
        return super().on_probe(ok)


class SharedCounters:
    """Wrong: the counter is an attribute of the class, so all servers share it."""

    results = []

    def __init__(self, rise, fall):
        self.rise, self.fall = rise, fall
        self.state = "up"

    def on_probe(self, ok):
        self.results.append(ok)
        needed = self.rise if ok else self.fall
        if self.results[-needed:] == [ok] * needed:
            self.state = "up" if ok else "down"
        return self.state
