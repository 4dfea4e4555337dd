"""The stories of slow starts: a server, and what it weighs by the code under test each time that somebody looks.

Where a server of ten times the weight does not grow in proportion, it is on the stage as well: the code was asked for
both.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import isfinite

from lbtutor.core.events import Event, HealthChanged, Joined, WeightChanged
from lbtutor.testing.program import Program
from lbtutor.testing.staging.telling import ENDS, POOL, SETTLES
from lbtutor.testing.worlds.slow_start import Weighing

LEGEND = "what it weighs by the code"

APART = 0.05
"""Shares that differ by more than that can be told apart."""

HEAVIER = 10
"""So many times the weight has the second server."""


def events(program: Program, moments: Sequence[Weighing], beat: float, component: str) -> Iterator[Event]:  # noqa: ARG001
    """What the stage shows of these moments."""
    full = float(program.setting["full"])
    play = Play({"new": full} | ({"heavy": HEAVIER * full} if any(map(_differs, moments)) else {}))
    yield from play.join()
    for number, moment in enumerate(moments, 1):
        yield from play.tell(moment, number * beat, beat)


def _differs(weighing: Weighing) -> bool:
    return _is_number(weighing.answer) and abs(weighing.share - weighing.other) > APART


def _is_number(answer: str) -> bool:
    """Did the code answer a number? `answer` is its text, or the sign of silence."""
    try:
        return isfinite(float(answer))
    except ValueError:
        return False


class Play:
    """What each server weighs, and how often they have come in. Before the first look that is their whole weight."""

    def __init__(self, weights: dict[str, float]) -> None:
        self._full = dict(weights)
        self._now = dict(weights)
        self._life = 0

    def join(self) -> Iterator[Event]:
        for name, weight in self._full.items():
            yield Joined(0.0, POOL, name, weight, "up")

    def tell(self, weighing: Weighing, at: float, beat: float) -> Iterator[Event]:
        if weighing.life != self._life:
            self._life = weighing.life
            for name in self._full:
                yield HealthChanged(at, POOL, name, "up", "down", "it failed")
                yield HealthChanged(at + ENDS * beat, POOL, name, "down", "up", "it is back")
        if _is_number(weighing.answer):
            for name, share in zip(self._full, (weighing.share, weighing.other), strict=False):
                yield from self._weigh(name, share, weighing.age, at + SETTLES * beat)

    def _weigh(self, name: str, share: float, age: float, at: float) -> Iterator[Event]:
        """A change of weight, if it is one that can be written down."""
        if not isfinite(share * self._full[name]):
            return
        weight = float(f"{share * self._full[name]:.4g}")
        if weight != self._now[name]:
            since = f"it is in for {age:g} s" if age >= 0 else f"it comes in only in {-age:g} s"
            because = f"{since}, and has {share:.0%} of {self._full[name]:g}"
            yield WeightChanged(at, POOL, name, self._now[name], weight, because)
            self._now[name] = weight
