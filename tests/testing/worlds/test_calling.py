"""Strangers' names for our words: which method is asked, which values it gets, and what a constructor is told."""

from __future__ import annotations

import pytest

from lbtutor.core.errors import ConfigError
from lbtutor.testing.adapt import Adapter
from lbtutor.testing.checking import check
from lbtutor.testing.report import Report
from lbtutor.testing.sandbox import submission

AUTOSCALER = """
import math

class Scaler:
    def __init__(self, {constructor}):
        self.low, self.high, self.goal = {low}, {high}, {goal}

    def {method}(self, {values}):
        if {busy} is None or not {busy} >= 0:
            return min(max({count}, self.low), self.high)
        return min(max(math.ceil({count} * {busy} / self.goal), self.low), self.high)
"""


def judged(text: str, component: str, adapter: Adapter | None = None) -> Report:
    return check(submission("theirs.py", text), component, seed=5, in_process=True, adapter=adapter)


@pytest.mark.parametrize(
    ("constructor", "method", "values", "adapter"),
    [
        ("min, max, target", "desired", "current, utilisation, now", None),
        ("target, min_replicas, max_replicas", "recommend", "metric, replicas", None),
        ("a, b, c", "decide", "x, y, z", None),
        ("min, max, target, step=4", "scale", "replicas, cpu, timestamp, verbose=False", None),
        ("min, max, target", "how_many", "value, now, count", Adapter(desired="how_many(utilisation, now, current)")),
        ("*, goal, hi, lo", "desired_replicas", "current, utilization, t", None),
    ],
)
def test_an_autoscaler_is_understood_in_its_own_words(
    constructor: str, method: str, values: str, adapter: Adapter | None
) -> None:
    names = [name.strip(" *") for name in constructor.split(",") if name.strip(" *")]
    low = next((name for name in names if name in ("min", "min_replicas", "lo")), "a")
    high = next((name for name in names if name in ("max", "max_replicas", "hi")), "b")
    goal = next((name for name in names if name in ("target", "goal")), "c")
    taken = [name.split("=")[0].strip() for name in values.split(",")]
    busy = next((n for n in taken if n in ("utilisation", "metric", "cpu", "value", "utilization")), "y")
    count = next((name for name in taken if name in ("current", "replicas", "count")), "x")
    text = AUTOSCALER.format(
        constructor=constructor, method=method, values=values, low=low, high=high, goal=goal, busy=busy, count=count
    )
    if adapter is None:
        assert judged(text, "autoscaler").verdict == "passed"
    else:  # recognised by a usual name, asked by the one that the adapter says
        text += "    def desired(self, current, utilisation, now):\n        return -1\n"
        assert judged(text, "autoscaler").verdict == "failed"
        assert judged(text, "autoscaler", adapter).verdict == "passed"


SLOW = """
class Slow:
    def __init__(self, {constructor}):
        pass

    def weight(self, {values}):
        return full
"""


@pytest.mark.parametrize(
    ("constructor", "values", "complaint"),
    [("a, b, c", "full, since, now", "what is b, c of Slow"), ("window", "a, b, c, d, e", "weight wants 5 values")],
)
def test_who_wants_more_than_there_is_is_told_so(constructor: str, values: str, complaint: str) -> None:
    found = judged(SLOW.format(constructor=constructor, values=values), "slow_start").law("it_always_answers")
    assert found.counterexample is not None
    assert complaint in found.counterexample.got


@pytest.mark.parametrize("component", ["ejection", "retry", "drain", "slow_start", "autoscaler"])
def test_a_class_without_the_methods_is_not_recognised(component: str) -> None:
    with pytest.raises(ConfigError, match="is not recognised"):
        judged("class Thing:\n    def hello(self):\n        return 1\n", component)


RAISES = """
class Drain:
    def __init__(self, deadline):
        self.deadline, self.open, self.since = deadline, 0, None

    def started(self):
        self.open += 1

    def finished(self):
        if not self.open:
            raise ValueError("nothing is open")
        self.open -= 1

    def drain(self, now):
        self.since = now

    def cancel(self):
        self.since = None

    def state(self, now):
        if self.since is None:
            return "active"
        return "draining" if self.open and now - self.since < self.deadline else "drained"
"""


def test_who_raises_for_the_odd_is_right_if_it_claims_so() -> None:
    file = submission("theirs.py", RAISES)
    assert check(file, "drain", seed=5, in_process=True).verdict == "failed"
    assert check(file, "drain", claims={"unknown": "raise"}, seed=5, in_process=True).verdict == "passed"


HALF_OPEN = """
class Outliers:
    def __init__(self, names, fails, eject, max_ejected):
        self.fails, self.eject, self.share = fails, eject, max_ejected
        self.row = dict.fromkeys(names, 0)
        self.until = {}

    def finished(self, name, ok, now):
        if name not in self.row or now < self.until.get(name, now):
            return
        self.row[name] = 0 if ok else self.row[name] + 1
        out = sum(now < until for until in self.until.values())
        if self.row[name] >= self.fails and (not out or (out + 1) / len(self.row) <= self.share):
            self.until[name] = now + self.eject

    def ejected(self, now):
        return [name for name, until in self.until.items() if now < until]
"""


def test_one_failure_after_the_return_is_enough_for_who_claims_so() -> None:
    file = submission("theirs.py", HALF_OPEN)
    strict = check(file, "ejection", seed=5, in_process=True)
    assert strict.law("nobody_goes_before_so_many_failures_in_a_row").verdict == "failed"
    assert check(file, "ejection", claims={"forgets": False}, seed=5, in_process=True).verdict == "passed"
