"""Programs for Hypothesis: the same grammars, with Hypothesis to answer what they ask.

    @given(programs("least_connections"))
    def test_mine(program):
        ...

`check` itself throws seeded dice, which cost microseconds, and has a reducer of its own that finds as short a story in
a tenth of the time (measured: 3.6 s against 15 to 28 s for 24 searches). This is for laws that somebody writes in the
manner they know, and for whoever wants Hypothesis to aim (`hypothesis.target`).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from typing import TypeVar

from hypothesis import strategies as st

from lbtutor.testing.components import component as component_of
from lbtutor.testing.components import family
from lbtutor.testing.program import Program

T = TypeVar("T")

_FINE = 1000
"""In so many parts chances are told apart."""


class Drawn:
    """Chance from Hypothesis, which shrinks every answer towards its dullest."""

    def __init__(self, draw: st.DrawFn) -> None:
        self._draw = draw

    def number(self, low: int, high: int) -> int:
        return self._draw(st.integers(low, high))

    def one(self, options: Sequence[T], weights: Sequence[float] | None = None) -> T:
        if weights is None:
            return self._draw(st.sampled_from(options))
        place = self._draw(st.integers(0, _FINE - 1)) * sum(weights) / _FINE
        return next((one for one, upto in zip(options, accumulate(weights), strict=True) if place < upto), options[-1])

    def chance(self, share: float) -> bool:
        return self._draw(st.integers(0, _FINE - 1)) >= _FINE * (1 - share)


def programs(component: str) -> st.SearchStrategy[Program]:
    """Ordinary programs of that component. Raises `ConfigError` for a name that is none."""
    grammar = family(component_of(component).family).grammar

    @st.composite
    def drawn(draw: st.DrawFn) -> Program:
        return grammar(Drawn(draw), component)

    return drawn()
