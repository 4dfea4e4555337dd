"""Where programs get their chances from: three questions, and two who answer them.

Every grammar is written against `Draw`, so one grammar serves both searches: `Dice`, a seeded `random.Random`, which
costs microseconds and drives `check`; and Hypothesis, in `strategies`, which can also aim for large numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import Protocol, TypeVar

T = TypeVar("T")


class Draw(Protocol):
    """Chance, as a grammar sees it."""

    def number(self, low: int, high: int) -> int:
        """A whole number from `low` to `high`, both included; the dullest is `low`."""
        ...

    def one(self, options: Sequence[T], weights: Sequence[float] | None = None) -> T:
        """One of `options`, which are not empty; the dullest comes first."""
        ...

    def chance(self, share: float) -> bool:
        """True in that share of the cases."""
        ...


class Dice:
    """Chance from a seed: the same seed, the same programs."""

    def __init__(self, seed: int) -> None:
        self._rng = Random(seed)

    def number(self, low: int, high: int) -> int:
        return self._rng.randint(low, high)

    def one(self, options: Sequence[T], weights: Sequence[float] | None = None) -> T:
        return self._rng.choices(options, weights)[0] if weights else options[self._rng.randrange(len(options))]

    def chance(self, share: float) -> bool:
        return self._rng.random() < share


LENGTHS = (8, 20, 40)
"""How many operations a program has. Short ones alone miss most bugs that need a history: with lists drawn without
aim, which average five operations, 10 of 24 seeded bugs were found; with 20 to 40 operations, 22."""


def operations(draw: Draw, kinds: dict[str, float]) -> list[str]:
    """The kinds of a program's operations, by weight; one program in eight keeps to a random half of them (swarm
    testing, Groce et al., ISSTA 2012), since some bugs need that something does *not* happen."""
    names = list(kinds)
    if draw.chance(1 / 8):
        half = [name for name in names if draw.chance(0.5)]
        names = half or names
    weights = [kinds[name] for name in names]
    return [draw.one(names, weights) for _ in range(draw.one(LENGTHS))]
