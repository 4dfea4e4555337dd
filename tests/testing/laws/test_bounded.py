"""The laws of bounded loads, held against our own ring, and against variants that are right and might be accused."""

from __future__ import annotations

from typing import Any

import pytest

from lbtutor.core.events import Picked
from lbtutor.testing.adapt import Adapter
from lbtutor.testing.checking import check
from lbtutor.testing.report import Report
from lbtutor.testing.sandbox import submission
from lbtutor.testing.scenes import events_of
from lbtutor.testing.search import Profile
from lbtutor.testing.worlds.balancer import Choice

OURS = """
from lbtutor.core.algorithms import consistent

class BoundedLoad(consistent.ConsistentHash):
    def __init__(self):
        super().__init__(bound={bound})
"""

KEEPER = """
import math, random, zlib

class BoundedLoad:
    C = 1.25

    def __init__(self, backends):
        self.open = {name: 0 for name, _ in backends}
        self.down = set()

    def limit(self, up):
        return math.ceil(self.C * (sum(self.open[name] for name in up) + 1) / len(up))

    def order(self, client, up):
        return sorted(up, key=lambda name: zlib.crc32(f"{name}|{client}|{name}".encode()) * 2654435761 % 2**32)

    def pick(self, client, now):
        up = [name for name in self.open if name not in self.down]
        order = self.order(client, up)
        return next((name for name in order if self.open[name] < self.limit(up)), None)

    def started(self, name, now):
        if name in self.open:
            self.open[name] += 1

    def finished(self, name, now, latency, ok):
        if self.open.get(name):
            self.open[name] -= 1

    def set_healthy(self, name, healthy):
        (self.down.discard if healthy else self.down.add)(name)

    def add(self, name, weight):
        self.open.setdefault(name, 0)

    def remove(self, name):
        self.open.pop(name, None)
        self.down.discard(name)
"""


pytestmark = pytest.mark.slow

SHORT = Profile("short", programs=20, own=12, seconds=600, shorten=False)
"""As much as shows a difference, without a clock."""


def judged(text: str, **how: Any) -> Report:
    file = submission("mine.py", text.encode())
    return check(file, "bounded_load", cls="BoundedLoad", in_process=True, profile=SHORT, **how)


def broken(report: Report) -> list[str]:
    return [law.name for law in report.laws if law.verdict == "failed"]


def test_our_own_ring_obeys() -> None:
    report = judged(OURS.format(bound=1.25), seed=1)
    assert report.verdict == "passed", [law for law in report.laws if law.verdict in ("failed", "unknown")]


def test_our_own_ring_without_a_bound_is_not_taken_for_bounded() -> None:
    assert broken(judged(OURS.format(bound=None), seed=1)) == ["nobody_has_more_than_the_bound"]


RIGHT = {
    "the mean with this request, rounded up": ("C = 1.25", "C = 5 / 4"),
    "the mean without this request": (") + 1) / len(up))", ")) / len(up)) or 1"),
    "a mean of whole requests": (
        "self.C * (sum(self.open[name] for name in up) + 1) / len(up)",
        "self.C * max(1, (sum(self.open[name] for name in up) + 1) // len(up))",
    ),
    "requests of the dead count too": ("for name in up)", "for name in self.open)"),
    "whoever finds no room goes home": (
        "< self.limit(up)), None)",
        "< self.limit(up)), order[0] if order else None)",
    ),
    "not rounded, and `<=`": ("math.ceil(", "1 + math.floor("),
}


@pytest.mark.parametrize("change", RIGHT.values(), ids=RIGHT)
def test_every_way_to_round_is_right(change: tuple[str, str]) -> None:
    text = KEEPER.replace(*change)
    assert text != KEEPER
    report = judged(text, seed=2)
    assert report.verdict == "passed", [law for law in report.laws if law.verdict in ("failed", "unknown")]


FOREIGN = {
    "twice the mean": ("C = 1.25", "C = 2.0"),
    "hardly above the mean": ("C = 1.25", "C = 1.01"),
    "anybody with room": (
        "return next((name for name in order if self.open[name] < self.limit(up)), None)",
        "roomy = [name for name in order if self.open[name] < self.limit(up)]\n"
        "        return order[0] if order and order[0] in roomy else random.choice(roomy) if roomy else None",
    ),
    "whoever has least to do": (
        "return next((name for name in order if self.open[name] < self.limit(up)), None)",
        "home = order[:1]\n"
        "        roomy = [name for name in home if self.open[name] < self.limit(up)]\n"
        "        return (roomy or [min(order, key=self.open.get, default=None)])[0]",
    ),
}


@pytest.mark.parametrize("change", FOREIGN.values(), ids=FOREIGN)
def test_foreign_code_may_claim_another_bound_and_send_on_to_anybody(change: tuple[str, str]) -> None:
    text = KEEPER.replace(*change)
    assert text != KEEPER
    assert broken(judged(text, seed=1)) != []
    report = judged(text, seed=1, lenient=True)
    assert report.verdict == "passed", [law for law in report.laws if law.verdict in ("failed", "unknown")]


def test_a_bound_that_is_claimed_is_held_to() -> None:
    text = KEEPER.replace("C = 1.25", "C = 3")
    assert judged(text, seed=1, claims={"bound": 3}).verdict == "passed"
    assert "nobody_has_more_than_the_bound" in broken(judged(text, seed=1, lenient=True))


def test_other_names_need_an_adapter_and_no_more() -> None:
    text = KEEPER
    for ours, theirs in (("started", "inc"), ("finished", "done")):
        text = text.replace(f"def {ours}(", f"def {theirs}(")
    adapter = Adapter(started="inc", finished="done")
    assert judged(text, seed=1, adapter=adapter).verdict == "passed"


def test_many_requests_at_once_are_one_line_of_the_story_and_as_many_on_the_stage() -> None:
    text = KEEPER.replace(*FOREIGN["whoever has least to do"])
    law = next(law for law in judged(text, seed=1).laws if law.verdict == "failed")
    assert law.counterexample is not None
    ((at, count),) = [(op, what[2]) for op, what in enumerate(law.counterexample.program.ops) if what[0] == "pile"]
    (told,) = [one for one in law.counterexample.moments if one.op == at and isinstance(one, Choice)]
    assert told.says == f"{count} requests start on {told.name}, chosen elsewhere"
    shown = [event for event in events_of(law, "bounded_load") if isinstance(event, Picked) and event.at == 1]
    assert [event.backend for event in shown] == [told.name] * count
